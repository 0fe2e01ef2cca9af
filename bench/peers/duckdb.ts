/** DuckDB in a Node process of its own. */
import { fileURLToPath } from 'node:url';
import { LibraryPeer } from './library.ts';
import type { PeerKind } from './peer.ts';

const TITLE = {
  name: 'DuckDB',
  layout:
    'in a process with the values, one table of series, time and value in their order, by data chunks of its appender, committed',
};
/** Compiled beside this. */
const SCRIPT = fileURLToPath(new URL('duckdb-process.js', import.meta.url));

export const DUCKDB: PeerKind = {
  name: TITLE.name,
  needs: 'the npm package @duckdb/node-api',
  start: (folder) => LibraryPeer.startNode(TITLE, SCRIPT, folder),
};
