/** h5py with its file open: what the disk and HDF5 give without a service around them. No service can be faster. */
import { LibraryPeer } from './library.ts';
import type { PeerKind } from './peer.ts';

class H5py extends LibraryPeer {
  /** As {@link ingest}, with shuffle and gzip 1. */
  async ingestCompressed(): Promise<number> {
    return (await this.timed('ingest', { compressed: true }))[0];
  }
}

const TITLE = {
  name: 'h5py',
  layout: 'in a process with the values, a chunked data set of values a series, no filter, fsync at the end',
};

export const H5PY: PeerKind = {
  name: TITLE.name,
  needs: 'python3 with h5py',
  start: (folder) => H5py.startPython(TITLE, 'h5py_peer.py', folder),
};
