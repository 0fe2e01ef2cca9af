/** What a series' missing value does to answers, over HTTP: the same as NumPy and pandas find where they put NaN in its place. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { tableFromIPC } from '@uwdata/flechette';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compactAll, flushAll, runVarve } from '../support/command.ts';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { describePython } from '../support/python.ts';
import { startService, type RunningService } from '../support/service.ts';
import { ApiClient, expecting, type SamplesJson } from './client.ts';
import { DTYPES, type NumberType } from './number-types.ts';

const START = '2026-05-01T09:00:00Z';
const START_NS = 1_777_626_000_000_000_000n;
/** 100 Hz. */
const STEP_NS = 10_000_000n;
const ROWS = 6000;
const AGGREGATES = 'count,sum,mean,min,max,first,last,std';
/** Each asks and computes a hundred times. */
const LIMIT_MS = 180_000;
/** A replacement of rows of the regular series. */
const REPLACED = { from: 4100, to: 4300 };

/** Those whose neighbours are easily taken for them. */
const MISSING: Readonly<Record<NumberType, number | bigint>> = {
  int8: -128,
  int16: -32_768,
  int32: -1,
  int64: 2n ** 53n,
  uint8: 255,
  uint16: 0,
  uint32: 2 ** 32 - 1,
  uint64: 2n ** 64n - 1n,
  float32: Math.fround(0.1),
  float64: -999,
};
const NAMES = Object.keys(MISSING) as NumberType[];
const isIrregular = (dtype: NumberType): boolean => NAMES.indexOf(dtype) % 2 === 1;

/**
 * Rows of two channels, of which one in eight is missing. The first channel misses all from row 1000 to 1800, and both
 * miss all from 2300 to 3750, and the last but one.
 */
function valuesOf(dtype: NumberType): (number | bigint)[][] {
  const missing = MISSING[dtype];
  const { isBig } = DTYPES[dtype];
  let state = NAMES.indexOf(dtype) + 1;
  const draw = (): number => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32;
  const one = (row: number, channel: number): number | bigint => {
    const isGone = draw() < 1 / 8 || (row >= 2300 && row < 3750) || (channel === 0 && row >= 1000 && row < 1800);
    if (isGone || row === ROWS - 2) return missing;
    if (typeof missing === 'bigint' && draw() < 1 / 16) return missing - 1n;
    if (dtype === 'int64' && draw() < 1 / 16) return 2n ** 53n + 1n;
    if (dtype.startsWith('float')) return draw() < 1 / 16 ? NaN : Math.fround(draw() * 200 - 100);
    const small = 1 + Math.floor(draw() * 100);
    return isBig ? BigInt(small) : small;
  };
  return Array.from({ length: ROWS }, (_, row) => [one(row, 0), one(row, 1)]);
}

const asJson = (rows: readonly (readonly (number | bigint)[])[]): unknown[][] =>
  rows.map((row) => row.map((value) => (typeof value === 'bigint' ? String(value) : value)));

let folder: string;
const env = { DATABASE_URL: '' };
const databases: TestDatabase[] = [];
let service: RunningService;
let api: ApiClient;
const ids = new Map<NumberType, string>();

async function newDatabase(): Promise<void> {
  const database = await testDatabase();
  databases.push(database);
  env.DATABASE_URL = database.url;
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'varve-missing-'));
  await newDatabase();
  service = await startService({ env });
  api = new ApiClient(service);
  const data: Record<string, object> = {};
  for (const dtype of NAMES) {
    const irregular = isIrregular(dtype);
    const { id } = await api.createSeries({
      name: dtype,
      dtype,
      missing_value: DTYPES[dtype].isBig ? String(MISSING[dtype]) : MISSING[dtype],
      channels: [{ label: 'plain' }, { label: 'falls', scale: -0.5, offset: 3 }],
      sampling: irregular ? { kind: 'irregular' } : { kind: 'regular', rate_hz: 100, start: START },
    });
    ids.set(dtype, id);
    const rows = valuesOf(dtype);
    const half = ROWS / 2;
    const timesOf = (from: number, to: number): string[] =>
      Array.from({ length: to - from }, (_, i) => String(START_NS + BigInt(from + i) * STEP_NS));
    if (irregular) {
      await api.append(id, { times: timesOf(half, ROWS), values: asJson(rows.slice(half)) });
      await api.append(id, { times: timesOf(0, half), values: asJson(rows.slice(0, half)) });
    } else {
      const { from, to } = REPLACED;
      const meant = rows.map((row, i) => (i >= from && i < to ? rows[0] : row));
      for (let at = 0; at < ROWS; at += half) await api.append(id, { values: asJson(meant.slice(at, at + half)) });
      const range = `start=${START_NS + BigInt(from) * STEP_NS}&end=${START_NS + BigInt(to) * STEP_NS}`;
      const body = JSON.stringify({ values: asJson(rows.slice(from, to)) });
      const headers = { 'content-type': 'application/json' };
      expecting(200, await api.send('PUT', `/v1/series/${id}/samples?${range}`, { headers, body }));
    }
    const missing = String(MISSING[dtype]);
    data[dtype] = { missing, irregular, values: rows.map((row) => row.map(String)) };
  }
  writeFileSync(join(folder, 'data.json'), JSON.stringify(data));
});

afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await service?.drop();
  for (const database of databases) await database.drop();
});

/** Asks everything, into files. */
async function askAll(stage: string): Promise<void> {
  const save = (name: string, body: Buffer): void => writeFileSync(join(folder, stage, name), body);
  mkdirSync(join(folder, stage));
  for (const [dtype, id] of ids) {
    for (const [name, query] of [
      ['points.json', 'points=10'],
      ['points-physical.json', 'points=10&physical=true'],
      ['points.npy', 'points=10&format=npy'],
      ['line.json', 'points=100&method=lttb&channels=plain'],
      ['every.json', `every=7s&agg=${AGGREGATES}`],
      ['every.csv', `every=7s&agg=${AGGREGATES}&physical=true&format=csv`],
      ['raw.npy', 'format=npy'],
      ['physical.json', 'physical=true&channels=falls,plain'],
      ['physical.csv', 'physical=true&format=csv&epoch=ns'],
      ['physical.npy', 'physical=true&format=npy'],
      ['latest.json', 'latest=10&physical=true'],
      ['file.h5', 'format=hdf5'],
      ['physical.h5', 'format=hdf5&physical=true'],
    ] as const) {
      const answer = await api.get(`/v1/series/${id}/samples?${query}`);
      save(`${dtype}-${name}`, expecting(200, answer).body);
    }
  }
  const series = [...ids.values()];
  for (const [name, body] of [
    ['query-buckets.json', { series, every: '7s', agg: AGGREGATES.split(','), physical: true }],
    [
      'query-wide.csv',
      { series, form: 'wide', every: '7s', agg: ['mean'], fill: 'null', physical: true, format: 'csv' },
    ],
    ['query-newest.json', { series, latest: 3, physical: true }],
    [
      'query-as-of.csv',
      { series, form: 'wide', as_of: { clock: series[0], tolerance: '0s' }, physical: true, format: 'csv' },
    ],
  ] as const) {
    save(name, expecting(200, await api.post('/v1/query', body)).body);
  }
}

const SCRIPT = `
import io, json, os, sys
import h5py, numpy as np, pandas as pd
os.chdir(sys.stdin.readline().strip())
stage = sys.stdin.readline().strip()
START, STEP, EVERY = ${START_NS}, ${STEP_NS}, 7_000_000_000
data = json.load(open("data.json"))
read = lambda name: open(f"{stage}/{name}", "rb").read()
text = lambda name: json.loads(read(name), parse_int=int)
times = START + STEP * np.arange(${ROWS}, dtype=np.int64)
bucket = times // EVERY * EVERY
names = "count sum mean min max first last std".split()

def close(found, wanted, what):
    found, wanted = (np.array([np.nan if v is None else float(v) for v in side]) for side in (found, wanted))
    scale = np.nanmax(np.abs(wanted)) if not np.isnan(wanted).all() else 0
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6 * scale, err_msg=what)

def exact(found, wanted, dtype, what):
    number = (lambda v: None if v is None or v != v else int(v)) if dtype.kind in "iu" else (lambda v: None if v is None or v != v else float(dtype.type(v)))
    assert [number(v) for v in found] == [number(v) for v in wanted], what

def plain(values):
    """Of values that are there, without a double between."""
    n = len(values)
    return {"count": n, **dict(zip(["min", "max", "first", "last"], [values.min(), values.max(), values[0], values[-1]] if n else [None] * 4))}

physicals = {}
for name, of in data.items():
    dtype = np.dtype(name)
    number = int if dtype.kind in "iu" else float
    x = np.array([[number(v) for v in row] for row in of["values"]], dtype=dtype)
    missing = dtype.type(number(of["missing"]))
    gone = x == missing
    assert gone.any() and np.isnan(x.astype(float)).any() == (dtype.kind == "f")
    raw = np.where(gone, np.nan, x.astype(np.float64))
    physical = np.column_stack([raw[:, 0], raw[:, 1] * -0.5 + 3])
    physicals[name] = physical
    there = ~np.isnan(raw)

    # rows
    array = np.load(io.BytesIO(read(f"{name}-raw.npy")))
    assert (array["values"] if of["irregular"] else array).tobytes() == x.tobytes(), name
    array = np.load(io.BytesIO(read(f"{name}-physical.npy")))
    np.testing.assert_array_equal(array["values"] if of["irregular"] else array, physical, name)
    listed = text(f"{name}-physical.json")["values"]
    np.testing.assert_array_equal(np.array(listed, dtype=float), physical[:, ::-1], name)
    assert (np.array([[v is None for v in row] for row in listed]) == np.isnan(physical[:, ::-1])).all(), name
    frame = pd.read_csv(io.BytesIO(read(f"{name}-physical.csv")), keep_default_na=False, na_values=[""], float_precision="round_trip")
    assert (frame["time"] == times).all()
    np.testing.assert_array_equal(frame[["plain", "falls"]].astype(float).to_numpy(), physical, name)
    np.testing.assert_array_equal(np.array(text(f"{name}-latest.json")["values"], dtype=float), physical[-10:], name)
    with h5py.File(io.BytesIO(read(f"{name}-file.h5"))) as f:
        group = f[f.attrs["group"]]
        said = group.attrs["missing_value"]
        assert said.dtype == dtype and said == missing, (name, said)
        assert group["values"][()].tobytes() == x.tobytes()
    with h5py.File(io.BytesIO(read(f"{name}-physical.h5"))) as f:
        group = f[f.attrs["group"]]
        assert "missing_value" not in group.attrs
        np.testing.assert_array_equal(group["values"][()], physical)

    # aggregates: exactly by dtype, and as pandas has them
    groups = pd.DataFrame(raw).groupby(bucket).agg(names)
    kept = [b for b in groups.index if there[bucket == b].any()]
    assert len(kept) < len(groups), "a bucket is all missing"
    answer = text(f"{name}-every.json")
    assert [int(at) for at in answer["buckets"]["start"]] == kept, name
    assert answer["buckets"]["count"] == [there[bucket == b].sum(axis=0).max() for b in kept]
    for c, channel in enumerate(answer["channels"]):
        cells = [plain(x[(bucket == b) & there[:, c], c]) for b in kept]
        assert channel["count"] == [cell["count"] for cell in cells], name
        for each in ["min", "max", "first", "last"]:
            exact(channel[each], [cell[each] for cell in cells], dtype, f"{name} {each}")
        for each in ["mean", "std"]:
            close(channel[each], groups[c][each].loc[kept], f"{name} {each}")
        close(channel["sum"], groups[c]["sum"].where(groups[c]["count"] > 0).loc[kept], f"{name} sum")
    frame = pd.read_csv(io.BytesIO(read(f"{name}-every.csv")))
    groups = pd.DataFrame(physical).groupby(bucket).agg(names).loc[kept]
    for c, label in enumerate(["plain", "falls"]):
        for each in names:
            wanted = groups[c][each] if each == "count" else groups[c][each].where(groups[c]["count"] > 0)
            close(frame[f"{label}.{each}"], wanted, f"{name} physical {each}")

    # overviews
    answer, calibrated = text(f"{name}-points.json"), text(f"{name}-points-physical.json")
    record = np.load(io.BytesIO(read(f"{name}-points.npy")))
    starts, ends = (np.array([int(at) for at in answer["buckets"][side]]) for side in ["start", "end"])
    assert len(starts) == 10 and 0 in answer["buckets"]["count"]
    for c, channel in enumerate(answer["channels"]):
        masks = [(times >= a) & (times < b) & there[:, c] for a, b in zip(starts, ends)]
        cells = [plain(x[mask, c]) for mask in masks]
        for each in ["min", "max"]:
            exact(channel[each], [cell[each] for cell in cells], dtype, f"{name} overview {each}")
            none = np.nan if dtype.kind == "f" else missing
            exact(record[each][:, c], [none if cell[each] is None else cell[each] for cell in cells], dtype, f"{name} npy {each}")
        for side, values in [(channel, raw), (calibrated["channels"][c], physical)]:
            close(side["mean"], [values[mask, c].mean() if mask.any() else None for mask in masks], f"{name} overview mean")
            close(side["max"], [values[mask, c].max() if mask.any() else None for mask in masks], f"{name} overview max")
    assert answer["buckets"]["count"] == [there[(times >= a) & (times < b)].sum(axis=0).max() for a, b in zip(starts, ends)]
    line = text(f"{name}-line.json")
    # Null is a bucket without a value.
    told = [(int(at), v) for at, v in zip(line["times"], line["values"][0]) if v is not None]
    points = [dtype.type(number(v)) for _, v in told]
    assert len(line["times"]) == 100 and set(points) <= set(x[there[:, 0], 0].tolist()), (name, points)
    if stage in ("fresh", "flushed"):  # of a summary's cell it is known where it begins
        assert [x[(at - START) // STEP, 0] for at, _ in told] == points, name

# many series
rows = text("query-buckets.json")["data"]
frame = pd.DataFrame(rows)
wide = pd.read_csv(io.BytesIO(read("query-wide.csv")))
as_of = pd.read_csv(io.BytesIO(read("query-as-of.csv")), float_precision="round_trip")
newest = pd.DataFrame(text("query-newest.json")["data"])
for name, physical in physicals.items():
    for c, label in enumerate(["plain", "falls"]):
        groups = pd.Series(physical[:, c]).groupby(bucket).agg(names)
        kept = groups[groups["count"] > 0]
        own = frame[(frame["name"] == name) & (frame["channel"] == label)]
        assert own["start"].astype("int64").tolist() == kept.index.tolist(), name
        for each in names:
            close(own[each], kept[each], f"query {name} {each}")
        close(wide[f"{name}:{label}"], groups["mean"], f"wide {name}")
        np.testing.assert_array_equal(as_of[f"{name}:{label}"].astype(float), physical[:, c], f"as of {name}")
        own = newest[(newest["name"] == name) & (newest["channel"] == label)]["value"].astype(float)
        np.testing.assert_array_equal(own, physical[-3:, c], f"newest {name}")
print("all alike")
`;

describePython('what is missing is NaN to NumPy and pandas, and not counted', ['numpy', 'pandas', 'h5py'], (run) => {
  const check = async (stage: string): Promise<void> => {
    await askAll(stage);
    expect(run(SCRIPT, `${folder}\n${stage}\n`).toString()).toBe('all alike\n');
    const { code, stdout } = await runVarve(['verify', '--json'], { ...env, VARVE_DATA: service.dataRoot });
    expect({ code, findings: (JSON.parse(stdout) as { findings: unknown[] }).findings }).toEqual({
      code: 0,
      findings: [],
    });
  };

  test('in fresh chunks', () => check('fresh'), LIMIT_MS);

  test(
    'in shards',
    async () => {
      expect(await flushAll(service.dataRoot, env)).not.toEqual([]);
      await check('flushed');
    },
    LIMIT_MS,
  );

  test(
    'in compacted ones, with summaries',
    async () => {
      expect(await compactAll(service.dataRoot, env)).not.toEqual([]);
      await check('compacted');
    },
    LIMIT_MS,
  );

  test(
    'in a catalog that was made again from the shards',
    async () => {
      await service.stop();
      await newDatabase();
      const { code, stderr } = await runVarve(['rebuild-catalog'], { ...env, VARVE_DATA: service.dataRoot });
      expect({ code, stderr }).toMatchObject({ code: 0 });
      await service.restart();
      await check('rebuilt');
    },
    LIMIT_MS,
  );
});

describe('a missing value', () => {
  test('is in the metadata of Arrow, but where NaN is in its place', async () => {
    for (const [dtype, id] of ids) {
      const schema = async (query: string): Promise<Map<string, string>> => {
        const { body } = expecting(200, await api.get(`/v1/series/${id}/samples?format=arrow-stream${query}`));
        return tableFromIPC(body, { useBigInt: true }).schema.metadata!;
      };
      expect((await schema('')).get('missing_value')).toBe(String(MISSING[dtype]));
      expect((await schema('&physical=true')).has('missing_value')).toBe(false);
    }
  });

  test('is itself in raw answers', async () => {
    const { values }: SamplesJson = await api.read(ids.get('int64')!, `?rows=${ROWS - 2}:${ROWS - 1}`);
    expect(values).toEqual([['9007199254740992'], ['9007199254740992']]);
  });
});
