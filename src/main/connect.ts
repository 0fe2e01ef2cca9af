/** From the configuration to a client of the running service. */
import { VarveError } from '../core/errors.ts';
import { VarveClient } from './client.ts';
import type { Config } from './config.ts';
import { tokenInFolder, tokenPath } from './first-token.ts';

/** With the token of VARVE_TOKEN, else the one in the data folder. @throws unauthorized if there is neither */
export function connect(config: Config): VarveClient {
  return new VarveClient(config.serviceUrl, config.firstToken ?? tokenInFolder(config.dataRoot) ?? missing(config));
}

function missing({ dataRoot }: Config): never {
  throw new VarveError(
    'unauthorized',
    `there is no token in ${tokenPath(dataRoot)}: set VARVE_DATA to the service's folder, or VARVE_TOKEN, or start a service with \`varve serve\``,
    { slug: 'token-missing' },
  );
}
