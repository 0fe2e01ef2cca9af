/** What a reader may choose about an answer: file formats, spellings, parts, and not to be sent what it has already. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { tableFromIPC } from '@uwdata/flechette';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { describePython } from '../support/python.ts';
import { startService, type RunningService } from '../support/service.ts';
import { ApiClient, expecting, pause, type Problem } from './client.ts';

const T0 = 1_777_626_000_123_456_789n;

let database: TestDatabase;
let service: RunningService;
let api: ApiClient;
/** Two channels, int16 at 4 Hz, rows 0 to 2 at T0, 3 and 4 a minute later. */
let ecg: string;
/** Relative times, int64, out of order. */
let events: string;

beforeAll(async () => {
  database = await testDatabase();
  service = await startService({ env: { DATABASE_URL: database.url } });
  api = new ApiClient(service);
  ecg = await create({
    dtype: 'int16',
    unit: 'mV',
    scale: 0.5,
    offset: -1,
    channels: [{ label: 'MLII', unit: 'µV', gain: 200, baseline: 12 }, { label: 'V5' }],
    tags: { species: 'mouse', age_days: 61 },
    time_reference: 'utc',
    sampling: { kind: 'regular', rate_hz: 4 },
  });
  const values = [10, 12, 14].map((n) => [n, -n]);
  await api.append(ecg, { start: String(T0), values });
  await api.append(ecg, { start: String(T0 + 60_000_000_000n), values: [[1, 2], [3, 4]] }); // prettier-ignore
  events = await create({ dtype: 'int64', time_reference: 'relative', sampling: { kind: 'irregular' } });
  await api.append(events, { times: ['30', '-1', '20'], values: [`${2n ** 63n - 1n}`, 1, `${-(2n ** 63n)}`] });
});

afterAll(async () => {
  await service?.drop();
  await database?.drop();
});

async function create(fields: Readonly<Record<string, unknown>>): Promise<string> {
  return (await api.createSeries({ name: randomUUID(), ...fields })).id;
}

const samplesOf = (id: string, query: string): string => `/v1/series/${id}/samples?${query}`;

async function read(id: string, query: string, headers: Record<string, string> = {}) {
  return expecting(200, await api.get(samplesOf(id, query), headers));
}

/** Small enough a series would be written before a client can leave. */
async function createLarge(): Promise<string> {
  const id = await create({ dtype: 'int32', channels: 4, sampling: { kind: 'regular', rate_hz: 1000 } });
  const headers = { 'content-type': 'application/octet-stream' };
  expecting(201, await api.send('POST', `/v1/series/${id}/samples`, { headers, body: Buffer.alloc(48_000_000, 7) }));
  return id;
}

describe('Arrow', () => {
  test.each(['arrow', 'arrow-stream'])('%s says of the series what a shard says', async (format) => {
    const table = tableFromIPC((await read(ecg, `format=${format}`)).body, { useBigInt: true });
    const { fields, metadata } = table.schema;
    expect(Object.fromEntries(metadata ?? [])).toMatchObject({
      series: ecg,
      project: 'default',
      unit: 'mV',
      kind: 'regular',
      rate: '4/1',
      time_reference: 'utc',
      scale: '0.5',
      offset: '-1',
    });
    expect(JSON.parse(metadata?.get('tags') ?? '')).toEqual({ species: 'mouse', age_days: 61 });
    expect(fields.map(({ name, type }) => [name, type])).toMatchObject([
      ['time', { typeId: 10, unit: 3, timezone: 'UTC' }],
      ['MLII', { typeId: 2, bitWidth: 16, signed: true }],
      ['V5', { typeId: 2, bitWidth: 16, signed: true }],
    ]);
    expect(Object.fromEntries(fields[1].metadata ?? [])).toEqual({ unit: 'µV', gain: '200', baseline: '12' });
    expect(table.numRows).toBe(5);
  });

  test('physical values come without the calibration that was applied, relative times as durations', async () => {
    const physical = tableFromIPC((await read(ecg, 'format=arrow&physical=true&channels=MLII')).body);
    expect(physical.schema.fields[1]).toMatchObject({ type: { typeId: 3, precision: 2 } });
    expect(Object.fromEntries(physical.schema.fields[1].metadata ?? [])).toEqual({ unit: 'µV' });
    expect(Object.fromEntries(physical.schema.metadata ?? [])).toMatchObject({ scale: '1', offset: '0' });
    expect(physical.getChild('MLII').at(0)).toBe((10 - 12) / 200);
    const [low, high] = [-192.5, 204];
    const ranges = { digital_min: -2048, digital_max: 2047, physical_min: low, physical_max: high };
    const edf = await create({
      dtype: 'int16',
      scale: 7,
      channels: [{ label: 'EEG', location: 'Fpz-Cz', ...ranges }],
      sampling: { kind: 'regular', rate_hz: 100 },
    });
    const raw = [-2048, 0, 1, 2047];
    await api.append(edf, { values: raw });
    const step = (high - low) / 4095;
    const expected = raw.map((value) => (value + (high / step - 2047)) * step);
    const eeg = tableFromIPC((await read(edf, 'format=arrow&physical=true')).body);
    expect([...(eeg.getChild('EEG').data[0].values as Float64Array)]).toEqual(expected);
    expect(Math.abs(expected[0] - low) + Math.abs(expected[3] - high)).toBeLessThan(1e-12);
    expect(Object.fromEntries(eeg.schema.fields[1].metadata ?? [])).toEqual({});
    expect(JSON.parse(eeg.schema.metadata!.get('channels')!)).toEqual([{ label: 'EEG', location: 'Fpz-Cz' }]);
    const asStored = tableFromIPC((await read(edf, 'format=arrow')).body);
    expect(Object.fromEntries(asStored.schema.fields[1].metadata ?? [])).toMatchObject({ physical_min: '-192.5' });
    const overview = (await read(edf, 'points=1&physical=true')).json<{
      channels: { min: number[]; max: number[] }[];
    }>();
    expect([overview.channels[0].min, overview.channels[0].max]).toEqual([[expected[0]], [expected[3]]]);
    const relative = tableFromIPC((await read(events, 'format=arrow')).body, { useBigInt: true });
    expect(relative.schema.fields[0].type).toMatchObject({ typeId: 18, unit: 3 });
    expect([...(relative.getChildAt(0).data[0].values as BigInt64Array)]).toEqual([-1n, 20n, 30n]);
  });
});

describe('spellings', () => {
  test.each([
    ['ns', '1777626000123456789', '-1'],
    ['us', '1777626000123456.789', '-0.001'],
    ['ms', '1777626000123.456789', '-0.000001'],
    ['s', '1777626000.123456789', '-0.000000001'],
  ])('CSV with epoch=%s loses nothing', async (epoch, first, before) => {
    const [, line] = (await read(ecg, `format=csv&epoch=${epoch}&rows=:1`)).body.toString().split('\n');
    expect(line).toBe(`${first},10,-10`);
    const early = (await read(events, `format=csv&epoch=${epoch}`)).body.toString().split('\n');
    expect(early[1]).toBe(`${before},1`);
  });

  test('whole seconds are integers', async () => {
    const id = await create({ dtype: 'int8', sampling: { kind: 'regular', rate_hz: 2 } });
    await api.append(id, { start: '-1000000000', values: [1, 2, 3, 4] });
    const lines = (await read(id, 'format=csv&epoch=s')).body.toString().split('\n');
    expect(lines.slice(1, 5)).toEqual(['-1,1', '-0.5,2', '0,3', '0.5,4']);
  });

  interface Oriented {
    readonly orient: string;
    readonly values: readonly unknown[];
    readonly next: string | null;
  }

  test('JSON comes by rows, as it goes in, says so, and comes by channels for who asks', async () => {
    const times = [250_000_000n, 500_000_000n, 60_000_000_000n].map((ns) => String(T0 + ns));
    const rows = [[12, -12], [14, -14], [1, 2]]; // prettier-ignore
    const columns = [[12, 14, 1], [-12, -14, 2]]; // prettier-ignore
    for (const [query, orient, values] of [
      ['', 'rows', rows],
      ['&orient=rows', 'rows', rows],
      ['&orient=channels', 'channels', columns],
      ['&channels=V5', 'rows', columns[1]],
      ['&channels=V5&orient=channels', 'channels', [columns[1]]],
      ['&channels=V5,MLII', 'rows', rows.map(([a, b]) => [b, a])],
      ['&physical=true&channels=V5', 'rows', columns[1].map((value) => value * 0.5 - 1)],
    ] as const) {
      const answer = (await read(ecg, `rows=1:4${query}`)).json();
      expect([query, answer]).toEqual([query, { series: ecg, first_row: 1, times, orient, values, next: null }]);
    }
    // The exact text, as a reader of streams sees it.
    expect((await read(ecg, 'rows=0:1')).body.toString()).toBe(
      `{"series":"${ecg}","first_row":0,"times":["${T0}"],"orient":"rows","values":[[10,-10]],"next":null}`,
    );
    const latest = (await read(ecg, 'latest=2')).json<Oriented>();
    expect([latest.orient, latest.values]).toEqual(['rows', [[1, 2], [3, 4]]]); // prettier-ignore
    const turned = (await read(ecg, 'latest=2&orient=channels')).json<Oriented>();
    expect([turned.orient, turned.values]).toEqual(['channels', [[1, 3], [2, 4]]]); // prettier-ignore
    expect((await read(events, '')).json<Oriented>().values).toEqual([1, String(-(2n ** 63n)), String(2n ** 63n - 1n)]);
    for (const [query, values] of [
      ['rows=0:0', []],
      ['rows=0:0&orient=channels', [[], []]],
    ] as const) {
      expect((await read(ecg, query)).json<Oriented>().values).toEqual(values);
    }
    const { next } = (await read(ecg, 'orient=channels&limit=2')).json<Oriented>();
    expect(expecting(200, await api.get(next!)).json<Oriented>()).toMatchObject({ orient: 'channels' });
    const line = (await read(ecg, 'points=5&method=lttb&channels=V5')).json<Oriented>();
    expect(line).toMatchObject({ orient: 'channels', values: [expect.any(Array)] });
  });

  test.each([
    ['format=csv&epoch=minutes', 'epoch'],
    ['format=csv&epoch=', 'epoch'],
    ['format=json&epoch=ns', 'epoch'],
    ['orient=sideways', 'orient'],
    ['orient=columns', 'orient'],
    ['format=npy&orient=rows', 'orient'],
    ['format=parquet', 'format'],
  ])('%s is refused and named', async (query, field) => {
    const problem = expecting(400, await api.get(samplesOf(ecg, query))).json<Problem>();
    expect(problem.errors).toMatchObject([{ field }]);
  });

  test('a format that is not made is refused, and the answer lists those that are', async () => {
    const answer = expecting(406, await api.get(samplesOf(ecg, ''), { accept: 'application/vnd.apache.parquet' }));
    for (const offered of ['text/csv', 'application/vnd.apache.arrow.stream', 'application/x-hdf5'])
      expect(answer.json<Problem>().detail).toContain(offered);
  });
});

describe('conditional requests', () => {
  test.each(['json', 'ndjson', 'csv', 'npy', 'octet', 'arrow', 'arrow-stream', 'hdf5'])(
    '%s: who has the answer is not sent it again, until something changes',
    async (format) => {
      const id = await create({ dtype: 'int16', sampling: { kind: 'regular', rate_hz: 1 } });
      await api.append(id, { values: [1, 2, 3] });
      const query = `format=${format}&rows=:2`;
      const { etag, ...first } = (await read(id, query)).headers;
      expect(first).toMatchObject({ 'cache-control': 'private, no-cache', vary: expect.stringMatching(/accept/i) });
      const again = expecting(304, await api.get(samplesOf(id, query), { 'if-none-match': String(etag) }));
      expect([again.body.length, again.headers.etag, again.headers.vary]).toEqual([0, etag, first.vary]);
      expecting(304, await api.send('HEAD', samplesOf(id, query), { headers: { 'if-none-match': `"x", ${etag}` } }));
      // The same state, but another answer.
      await read(id, `format=${format}&rows=:3`, { 'if-none-match': String(etag) });
      await api.append(id, { values: [4] });
      const grown = await read(id, query, { 'if-none-match': String(etag) });
      expecting(200, await api.patch(`/v1/series/${id}`, { scale: 3 }));
      await read(id, query, { 'if-none-match': String(grown.headers.etag) });
    },
  );

  test('tags are strong only where equal tags mean equal bytes', async () => {
    const tagOf = async (format: string): Promise<string> => String((await read(ecg, `format=${format}`)).headers.etag);
    for (const format of ['json', 'ndjson', 'csv']) expect(await tagOf(format)).toMatch(/^W\//);
    for (const format of ['npy', 'octet', 'hdf5', 'arrow', 'arrow-stream']) expect(await tagOf(format)).toMatch(/^"/);
  });

  test('formats that Accept chose have tags of their own', async () => {
    const csv = await read(ecg, '', { accept: 'text/csv' });
    await read(ecg, '', { accept: 'application/json', 'if-none-match': String(csv.headers.etag) });
  });

  test('a series out of reach stays unknown to who guesses its tag', async () => {
    expecting(404, await api.get(samplesOf(randomUUID(), ''), { 'if-none-match': '*' }));
  });
});

describe('files', () => {
  const exportsLeft = (): string[] => readdirSync(join(service.dataRoot, 'exports'));

  test('HDF5 is answered to Accept, with its length, and leaves nothing behind', async () => {
    const answer = await read(ecg, '', { accept: 'application/x-hdf5' });
    expect(answer.headers).toMatchObject({ 'content-type': 'application/x-hdf5', 'accept-ranges': 'bytes' });
    expect(answer.headers['content-length']).toBe(String(answer.body.length));
    expect(answer.body.subarray(1, 4).toString()).toBe('HDF');
    const head = expecting(200, await api.send('HEAD', samplesOf(ecg, 'format=hdf5')));
    expect([head.headers['content-length'], head.body.length]).toEqual([String(answer.body.length), 0]);
    expect(exportsLeft()).toEqual([]);
  });

  test('parts of a file fit together, also when they are asked for at different times', async () => {
    const path = samplesOf(ecg, 'format=hdf5');
    const whole = await read(ecg, 'format=hdf5');
    const size = whole.body.length;
    await pause(1100); // HDF5 could stamp what it makes with the second it was made in
    const part = (range: string, ifRange?: string) =>
      api.get(path, { range, ...(ifRange !== undefined && { 'if-range': ifRange }) });
    for (const [range, from, to] of [
      ['bytes=0-99', 0, 100],
      ['bytes=100-', 100, size],
      ['bytes=-50', size - 50, size],
      [`bytes=10-${size + 5}`, 10, size],
    ] as const) {
      const answer = expecting(206, await part(range, String(whole.headers.etag)));
      expect(answer.headers['content-range']).toBe(`bytes ${from}-${to - 1}/${size}`);
      expect(answer.headers['content-length']).toBe(String(to - from));
      expect(answer.body.equals(whole.body.subarray(from, to))).toBe(true);
      expect(answer.headers.etag).toBe(whole.headers.etag);
    }
    for (const [range, ifRange] of [
      ['bytes=0-99', '"another"'],
      ['bytes=0-99', `W/${whole.headers.etag}`],
      ['bytes=0-9,20-29', undefined],
      ['rows=0-9', undefined],
    ] as const) {
      expect(expecting(200, await part(range, ifRange)).body.equals(whole.body)).toBe(true);
    }
    const beyond = expecting(416, await part(`bytes=${size}-`));
    expect(beyond.headers['content-range']).toBe(`bytes */${size}`);
    expect(beyond.json<Problem>()).toMatchObject({ status: 416, errors: [{ field: 'Range' }] });
    // Other formats are streams, which have no parts.
    const csv = expecting(200, await api.get(samplesOf(ecg, 'format=csv'), { range: 'bytes=0-9' }));
    expect(csv.headers['accept-ranges']).toBeUndefined();
  });

  test.each(['hdf5', 'arrow', 'arrow-stream', 'csv'])('%s: who leaves ends the work', async (format) => {
    const id = await createLarge();
    const left = await api.open('GET', samplesOf(id, `format=${format}`));
    await once(left, 'data');
    left.destroy();
    // Before the first byte, too: a file is being written then.
    const controller = new AbortController();
    const early = fetch(new URL(samplesOf(id, `format=${format}`), service.url), {
      headers: { authorization: `Bearer ${service.token}` },
      signal: controller.signal,
    });
    setTimeout(() => controller.abort(), 250);
    await early.then((answer) => answer.arrayBuffer()).catch(() => {});
    for (let waited = 0; exportsLeft().length > 0 && waited < 5000; waited += 50) await pause(50);
    expect(exportsLeft()).toEqual([]);
    const open = await openShards();
    expect(open).toEqual([]);
    await read(ecg, `format=${format}`);
  });

  /** Shards and exports that the service has open for reading, once it has had time to close them. */
  async function openShards(): Promise<string[]> {
    const { readlinkSync } = await import('node:fs');
    const folder = `/proc/${service.pid}/fd`;
    let open: string[] = [];
    for (let tries = 0; tries < 100; tries++) {
      open = readdirSync(folder).flatMap((fd) => {
        try {
          const path = readlinkSync(join(folder, fd));
          return path.startsWith(service.dataRoot) && /\.h5( \(deleted\))?$/.test(path) ? [path] : [];
        } catch {
          return [];
        }
      });
      if (open.length === 0) break;
      await pause(50);
    }
    return open;
  }
});

describePython('HDF5 for h5py', ['h5py', 'numpy', 'pandas'], (python) => {
  const look = (body: Buffer, expression: string): unknown =>
    JSON.parse(
      python(
        `
import io, sys, json, h5py, numpy as np, pandas as pd
with h5py.File(io.BytesIO(sys.stdin.buffer.read()), 'r') as file:
    group = file[file.attrs['group']]
    print(json.dumps(${expression}))`,
        body,
      ).toString(),
    );

  test('a file says everything there is to know', async () => {
    const { body } = await read(ecg, 'format=hdf5');
    expect(
      look(
        body,
        `[group.name[1:] == group.attrs['name'], {name: value if isinstance(value, str) else float(value) for name, value in group.attrs.items()},
          group['values'].dtype.str, group['values'][()].tolist(), group['time'].dtype.str, group['time'][()].tolist(),
          group['segments'][()].tolist()]`,
      ),
    ).toEqual([
      true,
      {
        series: ecg,
        name: expect.any(String),
        project: 'default',
        unit: 'mV',
        kind: 'regular',
        time_reference: 'utc',
        channels: expect.stringContaining('"gain":200'),
        tags: expect.stringContaining('"species":"mouse"'),
        scale: 0.5,
        offset: -1,
        rate: '4/1',
      },
      '<i2',
      [[10, -10], [12, -12], [14, -14], [1, 2], [3, 4]], // prettier-ignore
      '<i8',
      expect.any(Array),
      [[0, expect.any(Number)], [3, expect.any(Number)]], // prettier-ignore
    ]);
    // Digits that JSON's readers would round.
    expect(look(body, `[str(t) for t in group['time'][()]] + [str(s) for s in group['segments'][:, 1]]`)).toEqual(
      [0n, 250n, 500n, 60_000n, 60_250n, 0n, 60_000n].map((ms) => String(T0 + ms * 1_000_000n)),
    );
    expect(look(body, `str(pd.to_datetime(group['time'][:1])[0])`)).toBe('2026-05-01 09:00:00.123456789');
  });

  test('selections, physical values, irregular and empty series', async () => {
    const part = await read(ecg, 'format=hdf5&physical=true&channels=MLII&rows=2:4');
    expect(
      look(
        part.body,
        `[group['values'].dtype.str, group['values'][()].tolist(), group.attrs['scale'], group['segments'][:, 0].tolist()]`,
      ),
    ).toEqual(['<f8', [[(14 - 12) / 200], [(1 - 12) / 200]], 1, [0, 1]]);
    const irregular = await read(events, 'format=hdf5');
    expect(
      look(irregular.body, `[group['time'][()].tolist(), [str(v) for v in group['values'][:, 0]], sorted(group)]`),
    ).toEqual([
      [-1, 20, 30],
      ['1', String(-(2n ** 63n)), String(2n ** 63n - 1n)],
      ['channel', 'time', 'values'],
    ]);
    for (const [id, columns] of [
      [ecg, 2],
      [events, 1],
    ] as const) {
      // prettier-ignore
      const empty = await read(id, 'format=hdf5&rows=0:0');
      expect(look(empty.body, `[group['values'].shape, group['time'].shape]`)).toEqual([[0, columns], [0]]);
    }
  });

  test('what was removed is a gap, in HDF5 as in Arrow', async () => {
    const id = await create({
      dtype: 'int32',
      sampling: { kind: 'regular', rate_hz: 1000, start: '1970-01-01T00:00:00Z' },
    });
    await api.append(id, { values: [0, 1, 2, 3, 4, 5, 6, 7] });
    const ms = (n: number): number => n * 1_000_000;
    expecting(200, await api.delete(`/v1/series/${id}/samples?start=${ms(2)}&end=${ms(5)}`));
    const { body } = await read(id, 'format=hdf5');
    expect(
      look(body, `[group['values'][:, 0].tolist(), group['time'][()].tolist(), group['segments'][()].tolist()]`),
    ).toEqual([
      [0, 1, 5, 6, 7],
      [0, 1, 5, 6, 7].map(ms),
      [
        [0, 0],
        [2, ms(5)],
      ],
    ]);
    const table = tableFromIPC((await read(id, 'format=arrow')).body, { useBigInt: true });
    expect([...table.getChildAt(1)]).toEqual([0, 1, 5, 6, 7]);
    expect([...table.getChildAt(0)].map(Number)).toEqual([0, 1, 5, 6, 7]); // shown in milliseconds
  });

  test('12 million values arrive whole', async () => {
    const id = await create({ dtype: 'int32', channels: 4, sampling: { kind: 'regular', rate_hz: 1000 } });
    const values = Int32Array.from({ length: 12_000_000 }, (_, i) => Math.imul(i, 2_654_435_761));
    const headers = { 'content-type': 'application/octet-stream' };
    const sent = Buffer.from(values.buffer);
    expecting(201, await api.send('POST', `/v1/series/${id}/samples`, { headers, body: sent }));
    const { body } = await read(id, 'format=hdf5&rows=5:2999995');
    expect(
      look(
        body,
        `[int(np.abs(group['values'][()].ravel() - (np.arange(20, 11999980, dtype=np.uint64) * 2654435761).astype(np.uint32).view(np.int32)).max()),
          int(np.ptp(np.diff(group['time'][()]))), group['values'].shape]`,
      ),
    ).toEqual([0, 0, [2_999_990, 4]]);
  });
});

describePython('HDF5 for xarray', ['h5py', 'xarray', 'h5netcdf', 'netCDF4'], (python) => {
  const look = (body: Buffer, code: string): unknown =>
    JSON.parse(
      python(
        `
import json, os, sys, tempfile, warnings, h5py, numpy as np, xarray as xr
warnings.simplefilter('ignore')
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, 'selection.h5')
    with open(path, 'wb') as file: file.write(sys.stdin.buffer.read())
    def each(look, group, **options):
        answers = []
        for engine in ('h5netcdf', 'netcdf4'):
            with xr.open_dataset(path, group=group, engine=engine, **options) as found: answers.append(look(found))
        assert repr(answers[0]) == repr(answers[1]), answers
        return answers[0]
    print(json.dumps(${code}))`,
        body,
      ).toString(),
    );
  const START = { start: '2026-05-01T09:00:00.123456789Z' };
  const LOOK = `lambda d: [d['values'].dims, d['values'].values.tolist(), str(d['values'].dtype), d['values'].attrs.get('units'),
    str(d['time'].dtype), d['time'].values.astype('int64').astype(str).tolist(), d['channel'].values.tolist()]`;

  test('values have the coordinates time and channel, for h5py and xarray, regular or not', async () => {
    const channels = [
      { label: 'MLII', unit: 'mV' },
      { label: 'Ⅴ5', unit: 'mV' },
    ];
    for (const sampling of [{ kind: 'regular', rate_hz: 2, ...START }, { kind: 'irregular' }]) {
      const name = `mouse-12/${sampling.kind}`;
      const id = await create({ name, dtype: 'int64', channels, sampling });
      const times = [T0, T0 + 500_000_000n, T0 + 1_000_000_000n].map(String);
      const values = [['9007199254740993', 2], [3, 4], [5, 6]]; // prettier-ignore
      await api.append(id, sampling.kind === 'regular' ? { values } : { times, values });
      const { body } = await read(id, 'format=hdf5');
      expect(
        look(
          body,
          `each(lambda d: [d['values'].values.astype(str).tolist(), *(${LOOK})(d)[2:]], ${JSON.stringify(name)})`,
        ),
      ).toEqual([values.map((row) => row.map(String)), 'int64', 'mV', 'datetime64[ns]', times, ['MLII', 'Ⅴ5']]);
      const scales = `[[dict(v.attrs).get(a) for a in ('CLASS', 'NAME')] for v in (file[g]['time'], file[g]['channel'])]`;
      expect(
        look(
          body,
          `(lambda file, g: [[d[0].name for d in file[g]['values'].dims], str(${scales}), file[g]['time'].attrs['units'],
            len(file[g]['time'].attrs['REFERENCE_LIST']), len(file[g]['values'].attrs['DIMENSION_LIST'])])(h5py.File(path), ${JSON.stringify(name)})`,
        ),
      ).toEqual([
        [`/${name}/time`, `/${name}/channel`],
        "[[b'DIMENSION_SCALE', b'time'], [b'DIMENSION_SCALE', b'channel']]",
        'nanoseconds since 1970-01-01',
        1,
        2,
      ]);
      const empty = (await read(id, 'format=hdf5&rows=0:0')).body;
      expect(look(empty, `each(lambda d: [d['values'].shape, str(d['time'].dtype)], ${JSON.stringify(name)})`)).toEqual(
        [[0, 2], 'datetime64[ns]'],
      );
    }
    const relative = (await read(events, 'format=hdf5')).body;
    const name = (await api.series(events)).name;
    expect(look(relative, `each(lambda d: str(d['time'].dtype), ${JSON.stringify(name)})`)).toBe('timedelta64[ns]');
  });

  test('factor and offset are said where one of each serves all channels exactly, and values are raw', async () => {
    const two = (a: object, b: object) => ({
      channels: [
        { label: 'a', ...a },
        { label: 'b', ...b },
      ],
    });
    const linear = { factor: 0.1, add: -5.12 };
    const none = { factor: null, add: null };
    const cases: [string, object, string, { factor: number | null; add: number | null }, string | null][] = [
      ['one for the series', { scale: 0.1, offset: -5.12, ...two({}, {}) }, '', linear, 'V'],
      ['physical already', { scale: 0.1, offset: -5.12, ...two({}, {}) }, '&physical=true', none, 'V'],
      ['none', two({}, {}), '', none, 'V'],
      ['equal ones of channels', { scale: 0.05, ...two({ scale: 2, offset: 3 }, { scale: 2, offset: 3 }) }, '', { factor: 0.1, add: 3 }, 'V'], // prettier-ignore
      ['different ones', { scale: 0.1, ...two({}, { scale: 2 }) }, '', none, null],
      ['different ones, of which one is read', { scale: 0.1, ...two({}, { scale: 2 }) }, '&channels=b', { factor: 0.2, add: 0 }, 'V'], // prettier-ignore
      ['a gain, which divides', two({ gain: 200 }, { gain: 200 }), '', none, null],
      ['different units', two({ unit: 'mV' }, {}), '', none, null],
      ['a missing value', { missing_value: -1, ...two({}, {}) }, '', none, 'V'],
    ];
    for (const [what, fields, query, { factor, add }, unit] of cases) {
      const name = randomUUID();
      const id = await create({
        name,
        dtype: 'int16',
        unit: 'V',
        sampling: { kind: 'regular', rate_hz: 1 },
        ...fields,
      });
      await api.append(id, { values: [[1, -2], [30000, -1], [7, 8]] }); // prettier-ignore
      const { body } = await read(id, `format=hdf5${query}`);
      const found = `(lambda d: [d['values'].attrs.get(a) for a in ('scale_factor', 'add_offset', 'units')])`;
      const raw = look(body, `each(${found}, ${JSON.stringify(name)}, mask_and_scale=False)`);
      expect([what, raw]).toEqual([what, [factor, add, unit]]);
      // What xarray makes of it is what the service does.
      if (factor === null && what !== 'a missing value') continue;
      const npy = (await read(id, `format=npy&physical=true${query}`)).body;
      const physical = `np.load(__import__('io').BytesIO(bytes.fromhex('${npy.toString('hex')}')))`;
      const same = `each(lambda d: bool(np.array_equal(d['values'].values, ${physical}, equal_nan=True)), ${JSON.stringify(name)})`;
      expect([what, look(body, same)]).toEqual([what, true]);
    }
  }, 300_000);

  test.each(['.', '..', '../../x', 'a//b', '/a/', 'a/./b', 'series', 'values/time', 'Küche/µV 50% "x"', '/'])(
    'h5py finds the series %s by its name',
    async (name) => {
      const id = await create({ name, dtype: 'int8', sampling: { kind: 'regular', rate_hz: 1 } });
      await api.append(id, { values: [1, 2] });
      const { body } = await read(id, 'format=hdf5');
      const found = `(lambda file, name: [file[name]['values'][:, 0].tolist(), file[name].attrs['name'], file[name].name == file.attrs['group']])`;
      expect(look(body, `${found}(h5py.File(path), ${JSON.stringify(name)})`)).toEqual([[1, 2], name, true]);
      // xarray takes the group as the file says it.
      expect(look(body, `each(lambda d: d['values'].values.tolist(), h5py.File(path).attrs['group'])`)).toEqual([
        [1],
        [2],
      ]);
    },
  );
});
