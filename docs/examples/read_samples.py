#!/usr/bin/env python3
"""Reads samples from Varve in the ways an analysis does: an array, a data frame, pages of a long range, a file, many series as one table.

    VARVE_TOKEN="$(cat varve-data/token)" python3 read_samples.py http://127.0.0.1:7424 demo/ecg/mouse-12

The series is named by its name or its id. Needs NumPy and pandas; h5py for the file.
"""

import io
import json
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request

import numpy as np
import pandas as pd


class Series:
    """The samples of one series, by its id, or by its name in the project `default`."""

    def __init__(self, server, series, token):
        self.server = server.rstrip("/")
        is_id = re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", series)
        self.address = f"/v1/series/{series}" if is_id else f"/v1/series/by-name/{urllib.parse.quote(series, safe='')}"
        self.path = f"{self.address}/samples"
        self.headers = {"Authorization": f"Bearer {token}"}

    def about(self):
        """What it is: name, channels, rows, first and last time, …"""
        with self.open(self.address) as answer:
            return json.load(answer)

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
        url = self.server + self.url(format="csv", epoch="ns", **query)
        # pandas' default is off by one in the last place of many numbers.
        frame = pd.read_csv(url, storage_options=self.headers, float_precision="round_trip")
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
        frame = pd.read_csv(answer, float_precision="round_trip")
    times = [name for name in ("time", "start", "end") if name in frame]
    frame[times] = frame[times].apply(pd.to_datetime, unit="ns", utc=True)
    return frame.set_index(times[0])


def bucket_length(about, buckets=100):
    """A length of time that makes so many buckets of the whole series, as `every` takes it."""
    first, last = (pd.Timestamp(about[name]).value for name in ("first_time", "last_time"))
    return f"{max(1, -(-(last - first) // buckets))}ns"


def main():
    if len(sys.argv) != 3 or "VARVE_TOKEN" not in os.environ:
        sys.exit(__doc__)
    server, series = sys.argv[1].rstrip("/"), Series(*sys.argv[1:3], os.environ["VARVE_TOKEN"])

    about = series.about()
    raw = series.array()
    print("array:", raw.shape, raw.dtype)
    if len(raw) == 0:
        sys.exit(f"{about['name']} has no rows yet")

    frame = series.frame(physical="true")
    print("frame:", len(frame), "rows from", frame.index[0], "to", frame.index[-1])
    print(frame.mean().to_string())

    pages = list(series.pages(rows_per_page=1000))
    print("pages:", len(pages), "equal to the array:", np.concatenate(pages).tobytes() == raw.tobytes())

    every = bucket_length(about)
    buckets = table(server, os.environ["VARVE_TOKEN"], series=[about["id"]], form="wide", every=every, agg=["mean"], physical=True)
    print("table:", buckets.shape, list(buckets.columns))


if __name__ == "__main__":
    try:
        main()
    except urllib.error.HTTPError as error:
        sys.exit(f"{error.code}: {json.load(error)['detail']}")
    except urllib.error.URLError as error:
        sys.exit(f"no Varve answers: {error.reason}")
