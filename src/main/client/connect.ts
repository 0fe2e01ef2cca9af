/** From the configuration to a client of the running service. */
import { VarveError } from '../../core/errors.ts';
import { VarveClient } from './client.ts';
import type { Config } from '../process/config.ts';
import { tokenInFolder, tokenPath } from '../process/first-token.ts';

/** A client with the token of VARVE_TOKEN, else the one in the data folder. @throws unauthorized if there is neither */
export function connect(config: Config): VarveClient {
  return new VarveClient(config.serviceUrl, tokenOf(config));
}

/** The token of VARVE_TOKEN, else the one in the data folder. @throws unauthorized if there is neither */
export function tokenOf(config: Config): string {
  return config.firstToken ?? tokenInFolder(config.dataRoot) ?? missing(config);
}

function missing({ dataRoot }: Config): never {
  throw new VarveError(
    'unauthorized',
    `there is no token in ${tokenPath(dataRoot)}: name the service's folder with --data, or a token with --token or VARVE_TOKEN; \`varve token recover\` makes a new one`,
    { slug: 'token-missing' },
  );
}
