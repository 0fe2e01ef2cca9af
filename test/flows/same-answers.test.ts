/** No answer changes by a flush, a compaction or a restart: samples, pages of them, the latest, tables and exports, byte for byte. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { openDatabase, type Database } from '../../src/catalog/database.ts';
import { parseRate } from '../../src/core/rate.ts';
import { UNSAID, type DuplicateRule, type NewSeries, type Series } from '../../src/core/series.ts';
import { AnswerRoom } from '../../src/flows/answer-room.ts';
import { readLatest } from '../../src/flows/latest-read.ts';
import { lastValues } from '../../src/flows/last-value.ts';
import { readBuckets } from '../../src/flows/overview-read.ts';
import { querySeries } from '../../src/flows/query-series.ts';
import { readSamples, type ReadDeps } from '../../src/flows/read-samples.ts';
import type { ReadRequest, SampleSelection, SampleStream, WantedTable } from '../../src/flows/service.ts';
import { unpackRecords } from '../../src/formats/packed-records.ts';
import type { AnswerFormatName } from '../../src/formats/wire-formats.ts';
import { CodecPool } from '../../src/storage/codec-pool.ts';
import { eachOpened } from '../../src/storage/shard-files.ts';
import { execute } from '../support/postgres.ts';
import { Store } from './store.ts';

const FORMATS: AnswerFormatName[] = ['json', 'ndjson', 'csv', 'npy', 'octet', 'arrow', 'arrow-stream'];
const RULES: DuplicateRule[] = ['last', 'keep', 'error'];
const STEP_NS = 1_000_000n;
const RUNS = 1;

let store: Store;
beforeAll(async () => {
  store = await Store.open();
});
afterAll(async () => {
  await store.close();
});

let names = 0;
function create(sampling: NewSeries['sampling'], duplicates: DuplicateRule = 'last'): Promise<Series> {
  return store.create({
    name: `series ${names++}`,
    description: null,
    dtype: 'int32',
    channels: [{ label: 'a' }, { label: 'b' }],
    unit: 'mV',
    scale: 0.5,
    offset: 1,
    sampling,
    timeReference: 'utc',
    duplicates,
    codec: 'gzip',
    tags: {},
    ...UNSAID,
    provenance: {},
  });
}
const regular = (): Promise<Series> => create({ kind: 'regular', rate: parseRate(1000)!, startNs: 0n });
const irregular = (duplicates: DuplicateRule): Promise<Series> => create({ kind: 'irregular' }, duplicates);

/** As a service has them: those of a restarted one are others. */
function services(db: Database, codec: CodecPool): ReadDeps & { searches: Database } {
  return { db, searches: db, root: store.root, codec, room: new AnswerRoom(), files: eachOpened(store.root) };
}
const running = (): ReadDeps & { searches: Database } => services(store.db, store.codec);

async function restarted<T>(work: (deps: ReturnType<typeof services>) => Promise<T>): Promise<T> {
  const { db, close } = openDatabase(store.databaseUrl, { poolSize: 2, onError: () => {} });
  const codec = new CodecPool(new URL('../../src/flows/codec-thread.js', import.meta.url), 1);
  try {
    return await work(services(db, codec));
  } finally {
    await Promise.all([close(), codec.close()]);
  }
}

async function bytesOf(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of body) pieces.push(Buffer.from(piece)); // its memory is used again
  return Buffer.concat(pieces);
}

const asker = ({ id }: Series) => ({
  principal: { tokenId: id, scopes: ['read'] as const, projects: null },
  channels: null,
  physical: false,
  signal: new AbortController().signal,
});
const link = (rest: SampleSelection): string =>
  JSON.stringify(rest, (_, value: unknown) => (typeof value === 'bigint' ? { ns: String(value) } : value));

/** Everything of an answer but how its bytes are cut. */
async function told(stream: SampleStream): Promise<string> {
  const { body, ...about } = stream;
  const digest = createHash('sha256').update(await bytesOf(body));
  return JSON.stringify([about, digest.digest('hex')], (_, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value,
  );
}

function read(
  deps: ReadDeps,
  series: Series,
  selection: SampleSelection,
  format: AnswerFormatName = 'octet',
  more: Partial<ReadRequest> = {},
): Promise<SampleStream> {
  const request = { ...asker(series), ref: { id: series.id }, selection, format, limit: null, linkTo: link };
  return readSamples(deps, { ...request, ...more });
}

/** The pages of a selection, one after the other. */
async function pagesOf(deps: ReadDeps, series: Series, first: SampleSelection, limit: number): Promise<Buffer> {
  const pages: Buffer[] = [];
  for (let selection: SampleSelection | null = first; selection;) {
    let rest: SampleSelection | null = null;
    const linkTo = (next: SampleSelection): string => link((rest = next));
    const stream = await read(deps, series, selection, 'octet', { limit, linkTo });
    expect(stream.rows).toBeLessThanOrEqual(limit);
    if (rest) expect(stream.rows).toBe(limit);
    pages.push(await bytesOf(stream.body));
    selection = rest;
  }
  return Buffer.concat(pages);
}

/** All that is asked, with what is answered. */
async function answers(deps: ReturnType<typeof services>, all: readonly Series[]): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const [i, series] of all.entries()) {
    const span = { startNs: 37n * STEP_NS, endNs: 1_203n * STEP_NS };
    const selections: SampleSelection[] = [
      { by: 'time' },
      { by: 'time', ...span },
      { by: 'rows', from: 11, to: 1_002 },
      { by: 'rows', from: -20, to: -3 },
    ];
    for (const [s, selection] of selections.entries()) {
      for (const format of s === 1 ? [...FORMATS, 'hdf5' as const] : FORMATS)
        found[`${i} ${s} ${format}`] = await told(await read(deps, series, selection, format));
      found[`${i} ${s} page`] = await told(await read(deps, series, selection, 'json', { limit: 7, physical: true }));
      const whole = await bytesOf((await read(deps, series, selection)).body);
      expect((await pagesOf(deps, series, selection, 331)).equals(whole)).toBe(true);
    }
    for (const rows of [1, 300]) {
      const { linkTo, limit, ...request } = { ...asker(series), linkTo: null, limit: null };
      found[`${i} latest ${rows}`] = await told(
        await readLatest(deps, { ...request, ref: { id: series.id }, rows, format: 'json' }),
      );
    }
    const last = await lastValues(deps, asker(series).principal, [series]);
    found[`${i} last`] = JSON.stringify(last, (_, value: unknown) =>
      typeof value === 'bigint' ? String(value) : value,
    );
  }
  const by = { by: 'ids', ids: all.map(({ id }) => id) } as const;
  const wanted: WantedTable[] = [
    { by: 'rows', most: null },
    { by: 'rows', most: 50 },
    { by: 'newest', rows: 20 },
    { by: 'as-of', clock: { seriesId: all[0].id }, toleranceNs: STEP_NS, direction: 'backward' },
    {
      by: 'buckets',
      isWide: false,
      every: { kind: 'fixed', ns: 100n * STEP_NS },
      zone: 'UTC',
      aggregates: ['count', 'sum', 'min', 'last'],
      fill: 'null',
    },
  ];
  for (const [w, each] of wanted.entries()) {
    for (const format of ['json', 'csv', 'arrow', 'ndjson'] as const) {
      const { body } = await querySeries(deps, { ...asker(all[0]), series: by, wanted: each, format });
      found[`table ${w} ${format}`] = createHash('sha256')
        .update(await bytesOf(body))
        .digest('hex');
    }
  }
  return found;
}

/** What comes, and what is done afterwards. */
const step = fc.record({
  rows: fc.integer({ min: 1, max: 700 }),
  late: fc.nat(300),
  gap: fc.boolean(),
  next: fc.constantFrom('nothing', 'nothing', 'flush', 'compact', 'remove', 'replace'),
});

test('no answer changes by a flush, a compaction or a restart: whatever is asked, in whatever format', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 6 }), async (steps) => {
      const even = await regular();
      const uneven = await Promise.all(RULES.map(irregular));
      const all = [even, ...uneven];
      let number = 0;
      const values = (rows: number): Int32Array => Int32Array.from({ length: rows * 2 }, () => number++);
      let [at, evenAt] = [0, 0];
      for (const { rows, late, gap, next } of steps) {
        if (gap) evenAt += 50;
        await store.append(even, { values: values(rows), times: null }, gap ? BigInt(evenAt) * STEP_NS : null);
        evenAt += rows;
        for (const series of uneven) {
          // Times come twice, and late; where they may not, each is new.
          const isStrict = series.duplicates === 'error';
          const timeOf = (i: number): number =>
            isStrict ? at + i : Math.max(0, at - late) + i - (i % 3 === 2 ? 1 : 0);
          const times = BigInt64Array.from({ length: rows }, (_, i) => BigInt(timeOf(i)) * STEP_NS);
          await store.append(series, { values: values(rows), times });
        }
        at += rows;
        const range = {
          startNs: BigInt(Math.max(0, at - rows)) * STEP_NS,
          endNs: BigInt(at - (rows >> 1) + 1) * STEP_NS,
        };
        if (next === 'flush') await store.flush();
        if (next === 'compact') {
          await store.flush();
          for (const { id } of all) await store.compact(id);
        }
        if (next === 'remove') for (const series of all) await store.remove(series, range);
        if (next === 'replace') {
          for (const series of uneven) {
            await store.replace(series, range, {
              values: values(2),
              times: BigInt64Array.of(range.startNs, range.endNs - 1n),
            });
          }
        }
      }
      const before = await answers(running(), all);
      expect(Object.keys(before).length).toBeGreaterThan(100);
      await store.flush();
      expect(await answers(running(), all)).toEqual(before);
      for (const { id } of all) await store.compact(id);
      expect(await answers(running(), all)).toEqual(before);
      expect(await restarted((deps) => answers(deps, all))).toEqual(before);
    }),
    { numRuns: RUNS, endOnFailure: true },
  );
}, 400_000);

describe('rows of an irregular series', () => {
  const BIG = 150_000;

  test('keep no numbers, in any answer, while those of a regular one do', async () => {
    const [uneven, even] = [await irregular('keep'), await regular()];
    const times = BigInt64Array.of(5n, 3n, 3n).map((ns) => ns * STEP_NS);
    await store.append(uneven, { values: Int32Array.of(0, 1, 2, 3, 4, 5), times });
    await store.append(even, { values: Int32Array.of(0, 1, 2, 3, 4, 5), times: null });
    for (const selection of [{ by: 'time' }, { by: 'rows', from: 1, to: 3 }] satisfies SampleSelection[]) {
      const stream = await read(running(), uneven, selection, 'json');
      expect(stream.firstRow).toBeNull();
      expect(JSON.parse((await bytesOf(stream.body)).toString())).toMatchObject({ first_row: null });
      expect((await read(running(), even, selection, 'json')).firstRow).toBe(selection.by === 'rows' ? 1 : 0);
    }
    const last = await lastValues(running(), asker(even).principal, [uneven, even]);
    expect(last.map((each) => each?.row)).toEqual([null, 2]);
  });

  test('are counted in order of time by rows=, and pages of them part rows of one time', async () => {
    const series = await irregular('keep');
    const times = BigInt64Array.from([9, 2, 2, 2, 7, 2], (ms) => BigInt(ms) * STEP_NS);
    await store.append(series, { values: Int32Array.from({ length: 12 }, (_, i) => i), times });
    const numbers = async (selection: SampleSelection): Promise<number[]> => {
      const bytes = await bytesOf((await read(running(), series, selection)).body);
      const { values } = unpackRecords(bytes, 'int32', 2);
      return Array.from({ length: values.length / 2 }, (_, i) => Number(values[i * 2]) / 2);
    };
    for (const done of ['nothing', 'flush', 'compact']) {
      if (done === 'flush') await store.flush();
      if (done === 'compact') await store.compact(series.id);
      expect(await numbers({ by: 'rows', from: 1, to: 5 })).toEqual([2, 3, 5, 4]);
      expect(await numbers({ by: 'time', startNs: times[1], skip: 2, count: 2 })).toEqual([3, 5]);
      expect(await numbers({ by: 'time', startNs: 3n * STEP_NS, skip: 2 })).toEqual([4, 0]); // none has that time
      for (const limit of [1, 2, 3, 5]) {
        for (const selection of [{ by: 'rows', from: 1, to: 5 }, { by: 'time' }] satisfies SampleSelection[]) {
          const whole = await bytesOf((await read(running(), series, selection)).body);
          expect((await pagesOf(running(), series, selection, limit)).equals(whole)).toBe(true);
        }
      }
    }
  });

  test('that come late do not shift the pages of rows= that follow', async () => {
    const series = await irregular('last');
    const rows = (...ms: number[]) => ({
      values: Int32Array.from({ length: ms.length * 2 }, () => 1),
      times: BigInt64Array.from(ms, (each) => BigInt(each) * STEP_NS),
    });
    await store.append(series, rows(10, 20, 30, 40, 50, 60));
    let rest: SampleSelection | null = null;
    await read(running(), series, { by: 'rows', from: 1, to: 5 }, 'octet', {
      limit: 2,
      linkTo: (next) => link((rest = next)),
    });
    await store.append(series, rows(1, 2, 3));
    const { times } = unpackRecords(await bytesOf((await read(running(), series, rest!)).body), 'int32', 2);
    expect([...times]).toEqual([40n * STEP_NS, 50n * STEP_NS]);
  });

  test('of a regular one are not gone on by time', async () => {
    const series = await regular();
    await store.append(series, { values: Int32Array.of(1, 2), times: null });
    const asked = read(running(), series, { by: 'time', startNs: 0n, count: 1 });
    await expect(asked).rejects.toMatchObject({ code: 'invalid-input', errors: [{ field: 'count' }] });
  });

  test('Arrow is cut by rows of the answer', async () => {
    const series = await regular();
    for (const rows of [1, 70_000, 5, BIG]) {
      await store.append(series, { values: new Int32Array(rows * 2).fill(rows), times: null });
    }
    const whole = await told(await read(running(), series, { by: 'time' }, 'arrow-stream'));
    await store.flush();
    expect(await told(await read(running(), series, { by: 'time' }, 'arrow-stream'))).toBe(whole);
  });
});

describe('a fresh chunk that is damaged', () => {
  const flip = `set_byte($, 5, get_byte($, 5) # 4)`;
  const damage = (series: Series, column: 'values' | 'times'): Promise<void> =>
    execute(
      store.databaseUrl,
      `update fresh set ${column} = ${flip.replaceAll('$', column)} where series_id = '${series.id}' and first_row = 2`,
    );
  const corrupt = { code: 'corrupt', slug: 'chunk-corrupt', message: expect.stringContaining('row 2') as unknown };

  test.each(['values', 'times'] as const)('in Postgres, in its %s, is told and not served', async (column) => {
    const series = await irregular('last');
    for (const at of [0n, 10n, 20n]) {
      const times = BigInt64Array.of(at * STEP_NS, (at + 1n) * STEP_NS);
      await store.append(series, { values: Int32Array.of(1, 2, 3, 4), times });
    }
    const sound = { by: 'time', startNs: 0n, endNs: 5n * STEP_NS } as const;
    const before = await store.read(series, sound);
    await damage(series, column);
    await expect(store.read(series, { by: 'time' })).rejects.toMatchObject(corrupt);
    await expect(store.read(series, { by: 'rows', from: 0, to: 6 })).rejects.toMatchObject(corrupt);
    const request = { ...asker(series), ref: { id: series.id }, format: 'json' } as const;
    await expect(readBuckets(running(), { ...request, wanted: { by: 'points', points: 2 } })).rejects.toMatchObject(
      corrupt,
    );
    if (column === 'times') {
      await expect(store.remove(series, { startNs: 10n * STEP_NS, endNs: 11n * STEP_NS })).rejects.toMatchObject(
        corrupt,
      );
    }
    expect((await store.read(series, sound)).equals(before)).toBe(true);
  });

  test.each([
    ['values', 0],
    ['times', 1_600_000],
  ])('in a spool file, in its %s, is told and not served', async (_, offset) => {
    const series = await irregular('last');
    const times = BigInt64Array.from({ length: 200_000 }, (__, i) => BigInt(i) * STEP_NS);
    await store.append(series, { values: new Int32Array(400_000), times });
    const rows = await store.db.selectFrom('fresh').selectAll().where('series_id', '=', series.id).execute();
    const path = store.root.spooled(rows[0].spool_id!);
    expect(readFileSync(path).length).toBeGreaterThan(offset);
    const file = openSync(path, 'r+');
    const at = offset === 0 ? Number(rows[0].values_offset) : Number(rows[0].times_offset);
    writeSync(file, Buffer.of(0x55), 0, 1, at + 9);
    closeSync(file);
    const told = { code: 'corrupt', slug: 'chunk-corrupt', message: expect.stringContaining('spool file') as unknown };
    await expect(store.read(series, { by: 'time' })).rejects.toMatchObject(told);
  });
});
