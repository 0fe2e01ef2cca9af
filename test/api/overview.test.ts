/** Overviews, aggregates and newest rows over HTTP. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { tableFromIPC } from '@uwdata/flechette';
import { BUCKET_FORMATS } from '../../src/flows/overview/print-overview.ts';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { describePython } from '../support/python.ts';
import { startService, type RunningService } from '../support/service.ts';
import { ApiClient, expecting, type Problem, type SamplesJson } from './client.ts';

const START = '2026-05-01T09:00:00Z';
const START_NS = 1_777_626_000_000_000_000n;
const S = 1_000_000_000n;

interface Buckets {
  readonly series: string;
  readonly buckets: { readonly start: string[]; readonly end: string[]; readonly count: number[] };
  readonly channels: ReadonlyArray<
    { readonly label: string; readonly unit: string | null } & Record<string, (number | string | null)[]>
  >;
}

let database: TestDatabase;
let service: RunningService;
let api: ApiClient;

beforeAll(async () => {
  database = await testDatabase();
  service = await startService({ env: { DATABASE_URL: database.url } });
  api = new ApiClient(service);
});

afterAll(async () => {
  await service?.drop();
  await database?.drop();
});

async function buckets(id: string, query: string): Promise<Buckets> {
  return expecting(200, await api.get(`/v1/series/${id}/samples?${query}`)).json<Buckets>();
}

/** One row a second: 0, 1, … 99, then a gap of a hundred seconds, then 100 … 199; the second channel falls. */
async function twoParts(): Promise<string> {
  const { id } = await api.createSeries({
    name: randomUUID(),
    dtype: 'int16',
    unit: 'mV',
    scale: 1,
    channels: [{ label: 'up' }, { label: 'down', unit: 'V', scale: -2, offset: 1 }],
    sampling: { kind: 'regular', rate_hz: 1, start: START },
  });
  const rows = (from: number): number[][] => Array.from({ length: 100 }, (_, i) => [from + i, 1000 - from - i]);
  await api.append(id, { values: rows(0) });
  await api.append(id, { values: rows(100), start: String(START_NS + 200n * S) });
  return id;
}

test('buckets have weak entity tags in every format, for means of floats are told in more than one way', async () => {
  const { id, name } = await api.createSeries({
    name: randomUUID(),
    dtype: 'float32',
    sampling: { kind: 'irregular' },
  });
  await api.append(id, { times: ['0', '5', '9'], values: [[1.5], [2], [3]] });
  const questions = [
    'points=2',
    'points=5&method=lttb',
    'every=1s&agg=mean',
    'every=1s&agg=mean,std&fill=null',
    'every=1mo&agg=count&tz=Europe/Berlin',
  ];
  for (const question of questions) {
    for (const format of BUCKET_FORMATS) {
      for (const at of [`/v1/series/${id}/samples?`, `/v1/series/by-name/${name}/samples?`]) {
        const path = `${at}${question}&format=${format}`;
        const answer = await api.get(path);
        expect({ path, tag: String(expecting(200, answer).headers.etag) }).toEqual({
          path,
          tag: expect.stringMatching(/^W\/"[^"]+"$/),
        });
        const known = { 'if-none-match': String(answer.headers.etag) };
        expect(expecting(304, await api.get(path, known)).headers.etag).toBe(answer.headers.etag);
      }
    }
  }
});

describe('an overview', () => {
  let id: string;
  beforeAll(async () => {
    id = await twoParts();
  });

  test('has as many buckets as were asked for, with minimum, maximum and mean, and a gap that shows', async () => {
    const answer = await buckets(id, 'points=3');
    expect(answer).toEqual({
      series: id,
      buckets: {
        start: [0n, 100n, 200n].map((s) => String(START_NS + s * S)),
        end: [100n, 200n, 300n].map((s) => String(START_NS + s * S)),
        count: [100, 0, 100],
      },
      channels: [
        { label: 'up', unit: 'mV', min: [0, null, 100], max: [99, null, 199], mean: [49.5, null, 149.5] },
        { label: 'down', unit: 'V', min: [901, null, 801], max: [1000, null, 900], mean: [950.5, null, 850.5] },
      ],
    });
  });

  test('of physical values with a negative scale has minimum and maximum the right way round', async () => {
    const { channels } = await buckets(id, 'points=1&physical=true&channels=down');
    expect(channels).toEqual([{ label: 'down', unit: 'V', min: [-1999], max: [-1601], mean: [-1800] }]);
  });

  test('of a range is clipped to the data', async () => {
    const { buckets: found } = await buckets(id, `points=2&start=2020-01-01T00:00:00Z&end=${START_NS + 10n * S}`);
    expect(found).toEqual({
      start: [String(START_NS), String(START_NS + 5n * S)],
      end: [String(START_NS + 5n * S), String(START_NS + 10n * S)],
      count: [5, 5],
    });
    expect((await buckets(id, 'points=2&end=2020-01-01T00:00:00Z')).buckets.count).toEqual([]);
    const empty = await api.createSeries({ name: randomUUID(), dtype: 'int16', sampling: { kind: 'irregular' } });
    expect((await buckets(empty.id, 'points=2')).buckets.count).toEqual([]);
  });

  test('comes as CSV, too', async () => {
    const answer = await api.get(`/v1/series/${id}/samples?points=3&channels=up`, { accept: 'text/csv' });
    expect(answer.body.toString()).toBe(
      'start,end,count,up.min,up.max,up.mean\n' +
        '2026-05-01T09:00:00Z,2026-05-01T09:01:40Z,100,0,99,49.5\n' +
        '2026-05-01T09:01:40Z,2026-05-01T09:03:20Z,0,,,\n' +
        '2026-05-01T09:03:20Z,2026-05-01T09:05:00Z,100,100,199,149.5\n',
    );
  });

  test('comes as Arrow, too, with units and nulls', async () => {
    for (const format of ['arrow', 'arrow-stream']) {
      const answer = expecting(200, await api.get(`/v1/series/${id}/samples?points=3&format=${format}`));
      const table = tableFromIPC(answer.body, { useBigInt: true });
      expect(table.schema.fields.map(({ name }) => name).slice(0, 5)).toEqual([
        'start',
        'end',
        'count',
        'up.min',
        'up.max',
      ]);
      expect([...table.getChild('count')]).toEqual([100n, 0n, 100n]);
      expect([...table.getChild('down.max')]).toEqual([1000, null, 900]);
      expect(table.schema.fields.at(-1)!.metadata).toEqual(
        new Map([
          ['channel', 'down'],
          ['unit', 'V'],
          ['aggregate', 'mean'],
        ]),
      );
      const line = await api.get(`/v1/series/${id}/samples?points=3&method=lttb&channels=up&format=${format}`);
      expect([...tableFromIPC(expecting(200, line).body).getChild('up')]).toEqual([0, null, 199]);
    }
  });

  test('is known by its entity tag until something is appended', async () => {
    const path = `/v1/series/${id}/samples?points=3`;
    const { etag } = expecting(200, await api.get(path)).headers;
    expecting(304, await api.get(path, { 'if-none-match': String(etag) }));
    expecting(200, await api.send('HEAD', path));
  });

  test('as a line has so many points of the one channel that was asked for', async () => {
    const answer = expecting(200, await api.get(`/v1/series/${id}/samples?points=4&method=lttb&channels=up`));
    const line = answer.json<{ times: string[]; values: number[][] }>();
    expect(line.times).toHaveLength(4);
    expect([line.values[0][0], line.values[0][3]]).toEqual([0, 199]);
  });

  interface Line {
    readonly times: string[];
    readonly values: [(number | null)[]];
  }

  async function lineOf(series: string, query: string): Promise<[number, number | null][]> {
    const answer = await api.get(`/v1/series/${series}/samples?method=lttb&${query}`);
    const { times, values } = expecting(200, answer).json<Line>();
    return times.map((ns, i) => [Number(BigInt(ns) / 1_000_000n), values[0][i]]);
  }

  test('as a line keeps the ends of each piece, and is broken at every gap', async () => {
    const line = await api.get(`/v1/series/${id}/samples?points=20&method=lttb&channels=up`);
    const { times, values } = expecting(200, line).json<Line>();
    expect(times).toHaveLength(20);
    const at = values[0].indexOf(null);
    expect([values[0][0], values[0][at - 1], values[0][at + 1], values[0].at(-1)]).toEqual([0, 99, 100, 199]);
    expect(BigInt(times[at]) > BigInt(times[at - 1]) && BigInt(times[at]) < BigInt(times[at + 1])).toBe(true);
    const csv = await api.get(`/v1/series/${id}/samples?points=20&method=lttb&channels=up&format=csv`);
    expect(
      expecting(200, csv)
        .body.toString()
        .split('\n')
        .filter((text) => text.endsWith('Z,')),
    ).toHaveLength(1);
    expecting(200, await api.get(`/v1/series/${id}/samples?points=20&method=lttb&channels=up&format=npy`));
    // Rows that were removed part it, too, however few, and a range in between ends where it does.
    const other = await twoParts();
    const second = (s: number): bigint => START_NS + BigInt(s) * S;
    expecting(200, await api.delete(`/v1/series/${other}/samples?start=${second(40)}&end=${second(42)}`));
    const parted = await lineOf(other, `points=30&channels=up&start=${second(10)}&end=${second(250)}`);
    const shown = parted.map(([, value]) => value);
    expect(shown.filter((value) => value === null)).toHaveLength(2);
    for (const end of [10, 39, 42, 99, 100, 149]) expect(shown).toContain(end);
    expect([shown[0], shown.at(-1), shown.length]).toEqual([10, 149, 30]);
  });

  test.each(['regular', 'irregular'])(
    'as a line of a %s series begins and ends with its rows, and shows where there is no value',
    async (kind) => {
      const sampling = kind === 'regular' ? { kind, rate_hz: 1000 } : { kind };
      const wave = await api.createSeries({ name: randomUUID(), dtype: 'float64', sampling });
      // The ends are extremes of nothing; a tenth of the rows have no value.
      const values = Array.from({ length: 5000 }, (_, i) => (i >= 2000 && i < 2500 ? null : Math.sin(i / 3)));
      for (let from = 0; from < 5000; from += 1000) {
        const times = Array.from({ length: 1000 }, (_, i) => String((from + i) * 1_000_000));
        await api.append(wave.id, { values: values.slice(from, from + 1000), ...(kind === 'irregular' && { times }) });
      }
      for (const [query, first, last] of [
        ['', 0, 4999],
        ['&start=1000000&end=4000000001', 1, 4000],
        ['&start=1234500000', 1235, 4999],
      ] as const) {
        const line = await lineOf(wave.id, `points=100${query}`);
        expect(line[0]).toEqual([first, values[first]]);
        expect(line.at(-1)).toEqual([last, values[last]]);
        expect(line.length).toBeLessThanOrEqual(100);
        const breaks = line.filter(([, value]) => value === null);
        expect(breaks).toHaveLength(1);
        expect(breaks[0][0]).toBeGreaterThanOrEqual(1999);
        expect(breaks[0][0]).toBeLessThan(2500);
        for (const [ms, value] of line) if (value !== null) expect(value).toBe(values[ms]);
      }
    },
  );

  test('as a line is broken at each of very many gaps', async () => {
    const bursts = await api.createSeries({
      name: randomUUID(),
      dtype: 'int32',
      sampling: { kind: 'regular', rate_hz: 1 },
    });
    for (let i = 0; i < 40; i++)
      await api.append(bursts.id, { values: [i, i + 1, i], start: String(BigInt(i) * 100n * S) });
    for (const points of [7, 30, 100, 1000]) {
      const line = await lineOf(bursts.id, `points=${points}`);
      expect(line.length).toBeLessThanOrEqual(points);
      expect([line[0], line.at(-1)]).toEqual([
        [0, 0],
        [3_902_000, 39],
      ]);
      line.forEach(([ms, value], i) => {
        if (i === 0 || value === null || line[i - 1][1] === null) return;
        expect(Math.floor(ms / 100_000)).toBe(Math.floor(line[i - 1][0] / 100_000));
      });
    }
  });

  test('of 64-bit integers keeps every digit', async () => {
    const wide = await api.createSeries({ name: randomUUID(), dtype: 'int64', sampling: { kind: 'irregular' } });
    const [low, high] = ['-9223372036854775808', '9223372036854775807'];
    await api.append(wide.id, { times: ['1', '2', '3'], values: [low, 5, high] });
    const { channels } = await buckets(wide.id, 'points=1');
    expect([channels[0].min, channels[0].max]).toEqual([[low], [high]]);
  });
});

describe('aggregates', () => {
  let id: string;
  beforeAll(async () => {
    id = await twoParts();
  });

  test('are of buckets that are counted from 1970, and leave empty ones out', async () => {
    const answer = await buckets(id, 'every=1m&agg=count,sum,mean,min,max,first,last,std&channels=up');
    const at = (minute: bigint): string => String(START_NS + minute * 60n * S);
    expect(answer.buckets).toEqual({
      start: [at(0n), at(1n), at(3n), at(4n)],
      end: [at(1n), at(2n), at(4n), at(5n)],
      count: [60, 40, 40, 60],
    });
    const [channel] = answer.channels;
    expect(channel.sum).toEqual([1770, 3180, 4780, 10170]);
    expect(channel.first).toEqual([0, 60, 100, 140]);
    expect(channel.last).toEqual([59, 99, 139, 199]);
    expect(channel.std[1]).toBeCloseTo(Math.sqrt((40 * 41) / 12), 9);
  });

  test.each([
    ['null', [79.5, null, 119.5]],
    ['previous', [79.5, 79.5, 119.5]],
    ['linear', [79.5, 99.5, 119.5]],
  ])('that are empty are filled with %s', async (fill, mean) => {
    const range = `start=${START_NS + 60n * S}&end=${START_NS + 240n * S}`;
    const { channels, buckets: found } = await buckets(id, `every=1m&agg=mean&fill=${fill}&channels=up&${range}`);
    expect(found.start).toHaveLength(3);
    expect(channels[0].mean).toEqual(mean);
  });

  test('of physical values are scaled as sums, means and deviations are', async () => {
    const query = 'every=1h&agg=sum,mean,min,max,first,std&channels=down';
    const [raw] = (await buckets(id, query)).channels;
    const [physical] = (await buckets(id, `${query}&physical=true`)).channels;
    expect(physical.mean).toEqual([-1800]);
    expect(physical.sum).toEqual([-360_000]);
    expect([physical.min, physical.max, physical.first]).toEqual([[-1999], [-1601], [-1999]]);
    expect(physical.std[0]).toBeCloseTo(2 * Number(raw.std[0]), 9);
  });

  test('of days are those of the place', async () => {
    const { buckets: found } = await buckets(id, 'every=1d&agg=count&tz=Europe/Berlin');
    expect(found.start).toEqual([String(START_NS - 11n * 3600n * S)]);
    expect(found.end).toEqual([String(START_NS + 13n * 3600n * S)]);
  });
});

describePython('NumPy', ['numpy'], (run) => {
  test('reads an overview as a structured array', async () => {
    const id = await twoParts();
    const { body } = expecting(
      200,
      await api.get(`/v1/series/${id}/samples?points=3`, { accept: 'application/x-npy' }),
    );
    const script = `
import io, json, sys, numpy as np
a = np.load(io.BytesIO(sys.stdin.buffer.read()))
print(json.dumps([a['start'].tolist(), a['count'].tolist(), a['max'].tolist(), str(a['max'].dtype), np.isnan(a['mean']).tolist()]))`;
    const [start, count, max, dtype, isNaN] = JSON.parse(run(script, body).toString()) as unknown[];
    expect(start).toHaveLength(3);
    expect([count, dtype]).toEqual([[100, 0, 100], 'int16']);
    expect(max).toEqual([
      [99, 1000],
      [0, 0],
      [199, 900],
    ]);
    expect(isNaN).toEqual([
      [false, false],
      [true, true],
      [false, false],
    ]);
  });
});

describe('the newest rows', () => {
  test('of a regular series are its last', async () => {
    const id = await twoParts();
    const { first_row, values } = await api.read(id, '?latest=3&channels=up');
    expect([first_row, values]).toEqual([197, [[197, 198, 199]]]);
    expect((await api.read(id, '?latest=1000')).times).toHaveLength(200);
  });

  test('of an irregular series are the last in time, though others came later', async () => {
    const { id } = await api.createSeries({ name: randomUUID(), dtype: 'int32', sampling: { kind: 'irregular' } });
    for (let i = 0; i < 12; i++) await api.append(id, { times: [String(1000 - i), String(2000 + i)], values: [-i, i] });
    await api.append(id, { times: ['5', '2005'], values: [7, 55] });
    const found: SamplesJson = await api.read(id, '?latest=8');
    expect(found.times).toEqual([4, 5, 6, 7, 8, 9, 10, 11].map((i) => String(2000 + i)));
    expect(found.values[0]).toEqual([4, 55, 6, 7, 8, 9, 10, 11]);
    const csv = await api.get(`/v1/series/${id}/samples?latest=1&format=csv&epoch=ns`);
    expect(csv.body.toString().trim().split('\n').at(-1)).toBe('2011,11');
  });
});

describe('what is wrong', () => {
  test.each([
    ['points=0', 'points'],
    ['points=20001', 'points'],
    ['points=x', 'points'],
    ['points=5&rows=0:3', 'rows'],
    ['points=5&limit=3', 'limit'],
    ['points=5&every=1m&agg=mean', 'every'],
    ['points=5&latest=3', 'latest'],
    ['points=5&method=median', 'method'],
    ['points=5&method=lttb', 'channels'],
    ['points=5&channels=left', 'channels'],
    ['points=5&start=2026-01-02&end=2026-01-01', 'start'],
    ['points=5&start=tomorrow', 'start'],
    ['points=5&format=octet', 'format'],
    ['points=5&agg=mean', 'agg'],
    ['method=lttb', 'method'],
    ['every=1m', 'agg'],
    ['every=1m&agg=median', 'agg'],
    ['every=1m&agg=', 'agg'],
    ['every=1parsec&agg=mean', 'every'],
    ['every=0s&agg=mean', 'every'],
    ['every=1ns&agg=mean', 'every'],
    ['every=1m&agg=mean&fill=zero', 'fill'],
    ['every=1d&agg=mean&tz=Mars/Olympus', 'tz'],
    ['every=1m&agg=mean&rows=1:2', 'rows'],
    ['latest=0', 'latest'],
    ['latest=-1', 'latest'],
    ['latest=5&start=2026-01-01', 'start'],
    ['latest=5&limit=3', 'limit'],
    ['latest=5&points=3', 'latest'],
  ])('%s is refused naming %s', async (query, field) => {
    const id = await twoParts();
    const problem = expecting(400, await api.get(`/v1/series/${id}/samples?${query}`)).json<Problem>();
    expect(problem.errors.map((each) => each.field)).toContain(field);
  });

  test('a series that is not there is not found', async () => {
    for (const query of ['points=5', 'every=1m&agg=mean', 'latest=5']) {
      expecting(404, await api.get(`/v1/series/${randomUUID()}/samples?${query}`));
    }
    expecting(406, await api.get(`/v1/series/${await twoParts()}/samples?points=5`, { accept: 'image/png' }));
  });
});
