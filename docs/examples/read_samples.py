#!/usr/bin/env python3
"""Reads samples from Varve in the ways an analysis does: an array, a data frame, pages of a long range, a file, many series as one table.

    VARVE_TOKEN=… python3 read_samples.py http://127.0.0.1:4321 <series id>

Needs NumPy and pandas; h5py for the file.
"""

import io
import json
import os
import re
import sys
import urllib.parse
import urllib.request

import numpy as np
import pandas as pd


class Series:
    """The samples of one series."""

    def __init__(self, server, series, token):
        self.server = server.rstrip("/")
        self.path = f"/v1/series/{urllib.parse.quote(series)}/samples"
        self.headers = {"Authorization": f"Bearer {token}"}

    def open(self, path):
        return urllib.request.urlopen(urllib.request.Request(self.server + path, headers=self.headers))

    def url(self, **query):
        return f"{self.path}?{urllib.parse.urlencode(query)}"

    def array(self, **query):
        """Rows × channels; of an irregular series records with the fields `time` (int64 ns) and `values`."""
        with self.open(self.url(format="npy", **query)) as answer:
            return np.load(io.BytesIO(answer.read()), allow_pickle=False)

    def frame(self, **query):
        """A column a channel, indexed by time."""
        frame = pd.read_csv(self.server + self.url(format="csv", epoch="ns", **query), storage_options=self.headers)
        frame["time"] = pd.to_datetime(frame["time"], unit="ns", utc=True)
        return frame.set_index("time")

    def pages(self, rows_per_page, **query):
        """A long range, array by array: each answer names the next one, until there is none."""
        path = self.url(format="npy", limit=rows_per_page, **query)
        while path:
            with self.open(path) as answer:
                yield np.load(io.BytesIO(answer.read()), allow_pickle=False)
                link = re.search(r'<([^>]*)>;\s*rel="next"', answer.headers.get("Link") or "")
                path = link and link.group(1)

    def save_hdf5(self, filename, **query):
        """Everything about the range in one file, which opens without Varve."""
        with self.open(self.url(format="hdf5", **query)) as answer, open(filename, "wb") as file:
            while piece := answer.read(1 << 20):
                file.write(piece)


def table(server, token, **question):
    """Many series as one data frame, indexed by time: those with the ids `series`, or those that the expression `where` finds."""
    body = json.dumps({**question, "format": "csv", "epoch": "ns"}).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{server}/v1/query", body, headers)) as answer:
        frame = pd.read_csv(answer)
    times = [name for name in ("time", "start", "end") if name in frame]
    frame[times] = frame[times].apply(pd.to_datetime, unit="ns", utc=True)
    return frame.set_index(times[0])


def main():
    server, series_id = sys.argv[1:3]
    series = Series(server, series_id, os.environ["VARVE_TOKEN"])

    raw = series.array()
    print("array:", raw.shape, raw.dtype)

    frame = series.frame(physical="true")
    print("frame:", len(frame), "rows from", frame.index[0], "to", frame.index[-1])
    print(frame.mean().to_string())

    pages = list(series.pages(rows_per_page=1000))
    print("pages:", len(pages), "equal to the array:", np.array_equal(np.concatenate(pages), raw))

    seconds = table(server, os.environ["VARVE_TOKEN"], series=[series_id], form="wide", every="1s", agg=["mean"], physical=True)
    print("table:", seconds.shape, list(seconds.columns))


if __name__ == "__main__":
    main()
