"""h5py in this process: what the disk and the library give without a service around them.

One JSON request a line on standard input, one JSON answer a line on standard output. Times are taken here, around the
calls to h5py alone, in milliseconds. Every answer of h5py is compared bit for bit after its clock has stopped.
"""

import json
import os
import sys
import time

import h5py
import numpy as np

CHUNK_BYTES = 128 * 1024
APPEND_CHUNK_ROWS = 2048
ROW_BYTES = 8


class Peer:
    def __init__(self, folder):
        self.path = os.path.join(folder, "peer.h5")
        self.values = None
        self.file = None

    def load(self, path, series):
        """Takes over the values: one row of the array a series."""
        self.values = np.fromfile(path, dtype="<f8").reshape(series, -1)

    def write(self, compressed=False):
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

    def read(self, places):
        """Rows `[start, stop)` of one series after the other, from the file that was last written."""
        if self.file is None:
            self.file = h5py.File(self.path, "r")
            self.datasets = [self.file[str(i)] for i in range(len(self.values))]
        times = []
        for series, start, stop in places:
            dataset = self.datasets[series]
            begun = time.perf_counter()
            found = dataset[start:stop]
            times.append(elapsed_ms(begun))
            check(found, self.values[series, start:stop])
        return {"ms": times}

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
        return {"mb": os.stat(self.path).st_blocks * 512 / 1e6}

    def close(self):
        if self.file is not None:
            self.file.close()
            self.file = None


def synced(path):
    descriptor = os.open(path, os.O_RDWR)
    os.fsync(descriptor)
    os.close(descriptor)


def elapsed_ms(begun):
    return (time.perf_counter() - begun) * 1000


def check(found, expected):
    if found.tobytes() != expected.tobytes():
        raise AssertionError("h5py answered other bytes than were written")


def answer(result):
    print(json.dumps(result or {}), flush=True)


def main():
    peer = Peer(sys.argv[1])
    answer({"h5py": h5py.__version__, "hdf5": h5py.version.hdf5_version, "pid": os.getpid()})
    for line in sys.stdin:
        request = json.loads(line)
        answer(getattr(peer, request.pop("call"))(**request))
    peer.close()


if __name__ == "__main__":
    main()
