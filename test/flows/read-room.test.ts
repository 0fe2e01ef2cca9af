/** No read begins without room for it, and what it plans is bounded, whatever kind it is of. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readSampleSnapshot } from '../../src/catalog/read/sample-snapshot.ts';
import { withOverview } from '../../src/catalog/read/overview-snapshot.ts';
import { readPlanSizes } from '../../src/catalog/read/plan-sizes.ts';
import { parseRate } from '../../src/core/signal/rate.ts';
import { UNSAID, type NewSeries, type Series } from '../../src/core/signal/series.ts';
import { measureErasure } from '../../src/flows/append/measure-erasure.ts';
import { hashContent } from '../../src/flows/close/hash-content.ts';
import { stateService } from '../../src/flows/close/seal-series.ts';
import { readBuckets } from '../../src/flows/overview/read-overview.ts';
import { AnswerRoom } from '../../src/flows/read/answer-room.ts';
import { readLatest } from '../../src/flows/read/latest-read.ts';
import { readSamples } from '../../src/flows/read/read-samples.ts';
import { LARGEST_PLAN, MOST_PLAN_BYTES, needLargerPlan, planSizeOf } from '../../src/flows/read/read-weight.ts';
import { lastValues } from '../../src/flows/table/last-value.ts';
import { querySeries } from '../../src/flows/table/query-series.ts';
import { eachOpened } from '../../src/storage/read/shard-files.ts';
import { hasTestPostgres } from '../support/postgres.ts';
import { Store } from './store.ts';

const MIB = 1024 ** 2;
const ROWS = 20_000;
const BLOCK_ROWS = 25_000;
const BLOCKS = 12;
const suite = hasTestPostgres() ? describe : describe.skip;

let store: Store;
let regular: Series;
let disordered: Series;
let fresh: Series;

function spec(name: string, sampling: NewSeries['sampling']): Omit<NewSeries, 'project'> {
  const about = { description: null, unit: null, scale: 1, offset: 0, tags: {}, provenance: {}, ...UNSAID };
  const form = {
    dtype: 'float64',
    channels: [{ label: '0' }],
    timeReference: 'utc',
    duplicates: 'last',
    codec: 'gzip',
  };
  return { name, sampling, ...about, ...form } as Omit<NewSeries, 'project'>;
}

beforeAll(async () => {
  if (!hasTestPostgres()) return;
  store = await Store.open();
  const sampling = { kind: 'regular' as const, rate: parseRate(100)!, startNs: 0n };
  regular = await store.create(spec('regular', sampling));
  disordered = await store.create(spec('disordered', { kind: 'irregular' }));
  for (let part = 0; part < 4; part++) {
    const values = Float64Array.from({ length: ROWS / 4 }, (_, i) => part * (ROWS / 4) + i);
    await store.append(regular, { values, times: null });
    await store.append(disordered, { values, times: BigInt64Array.from(values, (v) => BigInt((v * 7919) % ROWS)) });
    await store.flush();
  }
  // Small appends, whose bytes lie in rows of Postgres.
  fresh = await store.create(spec('fresh', sampling));
  for (let block = 0; block < BLOCKS; block++) {
    const values = Float64Array.from({ length: BLOCK_ROWS }, (_, i) => block * BLOCK_ROWS + i);
    await store.append(fresh, { values, times: null });
  }
});

afterAll(() => store?.close());

function depsWith(room: AnswerRoom) {
  const { db, root, codec } = store;
  return { db, searches: db, root, codec, files: eachOpened(root), room };
}

const NOBODY = { tokenId: '00000000-0000-0000-0000-000000000000', scopes: ['read'] as const, projects: null };

function asked(series: Series) {
  const { id } = series;
  return { principal: NOBODY, ref: { id }, channels: null, physical: false, signal: new AbortController().signal };
}

async function all(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of body) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

type Read = (room: AnswerRoom) => Promise<unknown>;

const samples =
  (format: 'npy' | 'json' | 'csv' | 'hdf5'): Read =>
  async (room) => {
    const request = { ...asked(disordered), selection: { by: 'time' }, limit: null, linkTo: () => '', format } as const;
    await all((await readSamples(depsWith(room), request)).body);
  };

const buckets =
  (series: () => Series): Read =>
  async (room) => {
    const { release } = await readBuckets(depsWith(room), {
      ...asked(series()),
      wanted: { by: 'points', points: 100 },
      format: 'json',
    });
    expect(room.bytes).toBeGreaterThan(0);
    release();
  };

const table =
  (wanted: Parameters<typeof querySeries>[1]['wanted']): Read =>
  async (room) => {
    const series = { by: 'ids', ids: [regular.id, disordered.id] } as const;
    await all((await querySeries(depsWith(room), { ...asked(regular), series, wanted, format: 'csv' })).body);
  };

const DAY = { kind: 'calendar', unit: 'day', count: 1 } as const;

suite('a read begins when there is room for it', () => {
  test.each<[string, Read]>([
    [
      'of rows, copied',
      async (room) => {
        const request = { ...asked(regular), selection: { by: 'rows' }, limit: null, linkTo: () => '' } as const;
        await all((await readSamples(depsWith(room), { ...request, format: 'octet' })).body);
      },
    ],
    ['of rows that are put in order', samples('npy')],
    ['as JSON', samples('json')],
    ['as CSV', samples('csv')],
    ['as an HDF5 file', samples('hdf5')],
    [
      'of the newest rows',
      async (room) => {
        await all((await readLatest(depsWith(room), { ...asked(disordered), rows: 10, format: 'json' })).body);
      },
    ],
    ['of an overview', buckets(() => regular)],
    ['of an overview in order of time', buckets(() => disordered)],
    ['of a table of rows', table({ by: 'rows', most: null })],
    [
      'of a table of buckets',
      table({ by: 'buckets', every: DAY, zone: 'UTC', aggregates: ['mean'], fill: 'none', isWide: true }),
    ],
    [
      'of a table as of a clock',
      table({ by: 'as-of', clock: { everyNs: 10_000_000n }, toleranceNs: 1n, direction: 'backward' }),
    ],
    [
      'of last values',
      async (room) => {
        expect(await lastValues(depsWith(room), NOBODY, [regular, disordered])).toHaveLength(2);
      },
    ],
    [
      'of a hash',
      async (room) => {
        const { db, root, codec, turns } = store;
        const state = stateService({ reads: db, writes: db, root, codec, turns, room });
        await state.seal(NOBODY, disordered.id, { signal: new AbortController().signal });
        await state.unseal(NOBODY, disordered.id, {});
      },
    ],
  ])('%s', async (_what, read) => {
    const room = new AnswerRoom({ waitMs: 50 });
    const { bytes } = await room.admit(1024 * MIB, async (claim) => claim);
    expect(bytes).toBe(1024 * MIB);
    await expect(read(room)).rejects.toMatchObject({ code: 'unavailable', slug: 'too-many-answers' });
    expect(room.bytes).toBe(bytes);
    const free = new AnswerRoom({ waitMs: 50 });
    await read(free);
    expect(free.bytes).toBe(0);
  });
});

suite('plans are bounded', () => {
  test('an irregular series with more chunks than are asked for says so, and gives no wrong answer', async () => {
    const wanted = { by: 'time', startNs: 0n, endNs: BigInt(ROWS) } as const;
    const cut = async (atMost: number): Promise<boolean> =>
      (await readSampleSnapshot(store.db, { id: disordered.id }, { ...wanted, atMost })).isCut;
    expect([await cut(3), await cut(4)]).toEqual([true, false]);
  });

  test('an overview with more chunks, or more fresh bytes, than are asked for says so', async () => {
    const read = (series: Series, chunks: number, heldBytes: number) =>
      withOverview(store.db, { id: series.id }, (reader) => {
        const wanted = { by: 'rows', stats: 'all', range: { from: 0, to: 1e9 }, summarized: [], parts: [] } as const;
        return reader.chunks(wanted, { chunks, heldBytes });
      });
    expect(await read(regular, 3, MIB)).toBeNull();
    expect(await read(regular, 4, MIB)).toHaveLength(4);
    expect(await read(fresh, 0, MIB)).toBeNull();
    expect((await read(fresh, 0, 8 * MIB))?.reduce((sum, { rows }) => sum + rows, 0)).toBe(BLOCKS * BLOCK_ROWS);
  });

  test('fresh rows of a regular series come page by page', async () => {
    const { completeTo, hasMoreHeld } = await readSampleSnapshot(
      store.db,
      { id: fresh.id },
      { by: 'rows', from: 0, to: 1e9, mostHeldBytes: MIB },
    );
    expect([completeTo, hasMoreHeld]).toEqual([{ row: 6 * BLOCK_ROWS }, true]);
    const request = { ...asked(fresh), selection: { by: 'rows' }, limit: null, linkTo: () => '' } as const;
    const bytes = await all((await readSamples(depsWith(store.room), { ...request, format: 'octet' })).body);
    const values = new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
    expect(values).toHaveLength(BLOCKS * BLOCK_ROWS);
    expect(values.every((value, i) => value === i)).toBe(true);
  });

  test('those of a table are counted before they are made', async () => {
    const sizes = await readPlanSizes(store.db, [regular.id, fresh.id, '00000000-0000-0000-0000-000000000000']);
    expect(Object.fromEntries(sizes)).toEqual({
      [regular.id]: { chunks: 4, heldBytes: 0 },
      [fresh.id]: { chunks: 0, heldBytes: BLOCKS * BLOCK_ROWS * 8 },
    });
  });

  test('times of a removal are counted window by window', async () => {
    const { db, root, codec } = store;
    const { removed } = await measureErasure({ db, root, codec }, disordered, 100n, 15_100n);
    expect(removed).toBe(15_000);
  });
});

suite('a hash', () => {
  test('of which a page needs more room than it has begins anew with it', async () => {
    const { db, root, codec } = store;
    class Anew extends Error {}
    const refuse = (): never => {
      throw new Anew('more room');
    };
    const claim = { bytes: MIB, need: refuse, refuse, keep() {}, release() {}, over: <T>(body: T): T => body };
    await expect(hashContent({ db, root, codec }, fresh.id, { claim })).rejects.toBeInstanceOf(Anew);
    const state = stateService({ reads: db, writes: db, root, codec, turns: store.turns, room: new AnswerRoom() });
    expect((await state.seal(NOBODY, fresh.id, { signal: new AbortController().signal })).contentHash).not.toBeNull();
  });
});

test('a plan that did not do is made anew with more room, up to the largest', () => {
  let bytes = 7 * MIB;
  const claim = {
    bytes,
    need() {},
    refuse(wanted: number): never {
      bytes = wanted;
      throw new Error('anew');
    },
  };
  const sizes: number[] = [];
  while (bytes < MOST_PLAN_BYTES) {
    expect(() => needLargerPlan({ ...claim, bytes })).toThrow('anew');
    sizes.push(planSizeOf({ bytes }).chunks);
  }
  expect(sizes).toEqual([...sizes].sort((a, b) => a - b));
  expect(planSizeOf({ bytes })).toEqual({ chunks: 131_072, heldBytes: 64 * MIB });
  const tooMany = expect.objectContaining({ code: 'limit-exceeded', slug: 'too-many-chunks' });
  expect(() => needLargerPlan({ ...claim, bytes })).toThrow(tooMany);
  expect(() => needLargerPlan(LARGEST_PLAN)).toThrow(tooMany);
});
