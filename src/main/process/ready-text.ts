/** What a service says when it is ready: a line for programs, and lines for people. */
import type { Config } from './config.ts';
import { tokenPath } from './first-token.ts';

/**
 * The first line ends with the URL, and is all that a program has to know.
 * @param link signs a browser in, once; null where there is no page to open
 */
export function readyText(url: string, { dataRoot, firstToken }: Config, link: string | null): string {
  return [
    `varve is ready at ${url}`,
    ...(link === null ? [] : [`  open   ${link}`]),
    `  docs   ${url}/docs`,
    `  token  ${firstToken === null ? tokenPath(dataRoot) : 'that of VARVE_TOKEN'}`,
    `  data   ${dataRoot}`,
    '',
  ].join('\n');
}
