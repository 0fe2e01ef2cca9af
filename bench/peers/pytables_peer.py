"""PyTables: a table of time and value a series, the time indexed, as pandas' HDFStore keeps it; read by a range of time.

An EArray of values alone would be h5py by another name: the table is what PyTables adds.
"""

import os
import sys
import time

import numpy as np
import tables

from library_peer import LibraryPeer, check, disk_mb, elapsed_ms, serve, synced

START_NS = 1_777_626_000_000_000_000
STEP_NS = 1_000_000
ROW = np.dtype([("time", "<i8"), ("value", "<f8")])


class PyTables(LibraryPeer):
    def __init__(self, folder):
        super().__init__(folder)
        self.path = os.path.join(folder, "peer.h5")
        self.file = None

    def ingest(self):
        """All series into a new file, with their indexes, durable when the clock stops."""
        self.close()
        if os.path.exists(self.path):
            os.unlink(self.path)
        rows = self.values.shape[1]
        begun = time.perf_counter()
        times = START_NS + np.arange(rows) * STEP_NS
        with tables.open_file(self.path, "w") as file:
            for i, values in enumerate(self.values):
                records = np.empty(rows, dtype=ROW)
                records["time"] = times
                records["value"] = values
                table = file.create_table("/", f"s{i}", ROW, expectedrows=rows)
                table.append(records)
                table.flush()
                table.cols.time.create_index(optlevel=6)
        synced(self.path)
        return {"ms": [elapsed_ms(begun)]}

    def open(self):
        if self.file is None:
            self.file = tables.open_file(self.path, "r")
            self.tables = [self.file.get_node(f"/s{i}") for i in range(len(self.values))]

    def rows(self, series, start, stop):
        between = {"first": START_NS + start * STEP_NS, "end": START_NS + stop * STEP_NS}
        return self.tables[series].read_where("(time >= first) & (time < end)", between)["value"]

    def append(self, count):
        """Rows one by one to a growing table, each durable before the next."""
        path = self.path + ".append"
        times = []
        values = np.sin(np.arange(count, dtype="<f8"))
        with tables.open_file(path, "w") as file:
            table = file.create_table("/", "values", ROW)
            for row, value in enumerate(values):
                begun = time.perf_counter()
                table.append([(START_NS + row * STEP_NS, value)])
                table.flush()
                synced(path)
                times.append(elapsed_ms(begun))
            check(table.col("value"), values)
        os.unlink(path)
        return {"ms": times}

    def disk(self):
        return disk_mb(self.path)

    def close(self):
        if self.file is not None:
            self.file.close()
            self.file = None


if __name__ == "__main__":
    serve(PyTables(sys.argv[1]), f"{tables.__version__} with HDF5 {tables.hdf5_version}")
