/** PyTables, as pandas' HDFStore uses it. */
import { LibraryPeer } from './library.ts';
import type { PeerKind } from './peer.ts';

const TITLE = {
  name: 'PyTables',
  layout:
    'in a process with the values, a table of time and value a series with an index of the time, read by time, fsync at the end',
};

export const PYTABLES: PeerKind = {
  name: TITLE.name,
  needs: 'python3 with tables',
  start: (folder) => LibraryPeer.startPython(TITLE, 'pytables_peer.py', folder),
};
