"""A library in this process, asked by the bench.

One JSON request a line on standard input, one JSON answer a line on standard output. Times are taken here, around the
calls to the library alone, in milliseconds. Every answer of the library is compared bit for bit after its clock has stopped.
"""

import json
import os
import sys
import time

import numpy as np

ROW_BYTES = 8


class WrongAnswer(Exception):
    pass


class LibraryPeer:
    def __init__(self, folder):
        self.folder = folder
        self.values = None

    def load(self, path, series):
        """Takes over the values: one row of the array a series."""
        self.values = np.fromfile(path, dtype="<f8").reshape(series, -1)

    def read(self, places):
        """Rows `[start, stop)` of one series after the other, from what was ingested last."""
        self.open()
        times = []
        for series, start, stop in places:
            begun = time.perf_counter()
            found = self.rows(series, start, stop)
            times.append(elapsed_ms(begun))
            check(found, self.values[series, start:stop])
        return {"ms": times}

    def open(self):
        """Opens what was ingested last, unless it is open."""
        raise NotImplementedError

    def rows(self, series, start, stop):
        raise NotImplementedError

    def close(self):
        raise NotImplementedError


def synced(path):
    descriptor = os.open(path, os.O_RDWR)
    os.fsync(descriptor)
    os.close(descriptor)


def elapsed_ms(begun):
    return (time.perf_counter() - begun) * 1000


def disk_mb(path):
    return {"mb": os.stat(path).st_blocks * 512 / 1e6}


def check(found, expected):
    if found.tobytes() != expected.tobytes():
        raise WrongAnswer("answered other bytes than were written")


def answer(result):
    print(json.dumps(result or {}), flush=True)


def serve(peer, version):
    answer({"version": version, "pid": os.getpid()})
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer(getattr(peer, request.pop("call"))(**request))
        except WrongAnswer as wrong:
            answer({"wrong": str(wrong)})
    peer.close()
