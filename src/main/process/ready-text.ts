/** What a service says when it is ready: a line for programs, and lines for people. */
import type { Config } from './config.ts';
import { tokenPath } from './first-token.ts';

/** The first line ends with the URL, and is all that a program has to know. */
export function readyText(url: string, { dataRoot, firstToken }: Config): string {
  return [
    `varve is ready at ${url}`,
    `  docs   ${url}/docs`,
    `  token  ${firstToken === null ? tokenPath(dataRoot) : 'that of VARVE_TOKEN'}`,
    `  data   ${dataRoot}`,
    '',
  ].join('\n');
}
