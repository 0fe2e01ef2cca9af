/** Options that stand in place of environment variables: where a service is, and where its data are. */
import { isVarveError, VarveError } from '../../core/errors.ts';
import { readConfig, type Config } from '../process/config.ts';

export interface PlaceOptions {
  readonly url?: string;
  readonly host?: string;
  readonly port?: string;
  readonly data?: string;
  readonly token?: string;
}

const VARIABLES = {
  url: 'VARVE_URL',
  host: 'VARVE_HOST',
  port: 'VARVE_PORT',
  data: 'VARVE_DATA',
  token: 'VARVE_TOKEN',
} as const satisfies Record<keyof PlaceOptions, string>;

/**
 * The configuration of a command that runs a service or works on its data.
 * @param defaults for variables that are not set
 * @throws invalid-input naming each option and variable that is wrong
 */
export function configOf(options: PlaceOptions, defaults: Readonly<Record<string, string>> = {}): Config {
  return read(given(options), defaults);
}

/**
 * The configuration of a command that asks a service. What is given as an option goes before every variable: a port before
 * VARVE_URL, a folder, in which there is a token, before VARVE_TOKEN.
 * @throws invalid-input naming each option and variable that is wrong
 */
export function clientConfigOf(options: PlaceOptions): Config {
  const chosen = given(options);
  if (options.port !== undefined && options.url === undefined) chosen.VARVE_URL = '';
  if (options.data !== undefined && options.token === undefined) chosen.VARVE_TOKEN = '';
  return read(chosen, {});
}

function given(options: PlaceOptions): Record<string, string> {
  const names = Object.keys(VARIABLES) as (keyof PlaceOptions)[];
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = options[name];
      if (value === '') throw new VarveError('invalid-input', `--${name}: must not be empty`);
      return value === undefined ? [] : [[VARIABLES[name], value]];
    }),
  );
}

function read(chosen: Readonly<Record<string, string>>, defaults: Readonly<Record<string, string>>): Config {
  try {
    return readConfig(defaults, undefined, chosen);
  } catch (error) {
    if (!isVarveError(error)) throw error;
    // Whoever has written --port is not told of a variable.
    const message = Object.entries(VARIABLES)
      .filter(([, variable]) => chosen[variable])
      .reduce((text, [name, variable]) => text.replaceAll(`${variable} `, `--${name} `), error.message);
    throw new VarveError(error.code, message, error);
  }
}
