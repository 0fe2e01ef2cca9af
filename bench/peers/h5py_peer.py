"""h5py: a chunked data set of values a series; the file stays open for reading."""

import os
import sys
import time

import h5py
import numpy as np

from library_peer import ROW_BYTES, LibraryPeer, check, disk_mb, elapsed_ms, serve, synced

CHUNK_BYTES = 128 * 1024
APPEND_CHUNK_ROWS = 2048


class H5py(LibraryPeer):
    def __init__(self, folder):
        super().__init__(folder)
        self.path = os.path.join(folder, "peer.h5")
        self.file = None

    def ingest(self, compressed=False):
        """All series into a new file, durable when the clock stops; compressed: by shuffle and gzip 1."""
        filters = {"shuffle": True, "compression": "gzip", "compression_opts": 1} if compressed else {}
        self.close()
        if os.path.exists(self.path):
            os.unlink(self.path)
        rows = self.values.shape[1]
        chunk = min(rows, CHUNK_BYTES // ROW_BYTES)
        begun = time.perf_counter()
        with h5py.File(self.path, "w", libver="v108") as file:
            for i, values in enumerate(self.values):
                file.create_dataset(str(i), data=values, chunks=(chunk,), maxshape=(None,), **filters)
        synced(self.path)
        return {"ms": [elapsed_ms(begun)]}

    def open(self):
        if self.file is None:
            self.file = h5py.File(self.path, "r")
            self.datasets = [self.file[str(i)] for i in range(len(self.values))]

    def rows(self, series, start, stop):
        return self.datasets[series][start:stop]

    def append(self, count):
        """Rows one by one to a growing dataset, each durable before the next."""
        path = self.path + ".append"
        times = []
        values = np.sin(np.arange(count, dtype="<f8"))
        with h5py.File(path, "w", libver="v108") as file:
            dataset = file.create_dataset("values", (0,), "<f8", chunks=(APPEND_CHUNK_ROWS,), maxshape=(None,))
            for row, value in enumerate(values):
                begun = time.perf_counter()
                dataset.resize((row + 1,))
                dataset[row] = value
                file.flush()
                synced(path)
                times.append(elapsed_ms(begun))
            check(dataset[:], values)
        os.unlink(path)
        return {"ms": times}

    def disk(self):
        return disk_mb(self.path)

    def close(self):
        if self.file is not None:
            self.file.close()
            self.file = None


if __name__ == "__main__":
    serve(H5py(sys.argv[1]), f"{h5py.__version__} with HDF5 {h5py.version.hdf5_version}")
