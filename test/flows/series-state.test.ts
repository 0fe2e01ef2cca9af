/** What sealing a series promises: nothing comes after it, and its hash is that of what readers see. */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readdirSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { getSeries } from '../../src/catalog/series/series-store.ts';
import { sealSeries, storeContentHash, unsealSeries } from '../../src/catalog/series/seal-store.ts';
import type { Batch } from '../../src/core/signal/batch.ts';
import { bytesOf, type Dtype } from '../../src/core/numbers/dtype.ts';
import { isVarveError } from '../../src/core/errors.ts';
import type { DuplicateRule, Sampling, Series } from '../../src/core/signal/series.ts';
import { hashContent } from '../../src/flows/close/hash-content.ts';
import { SeriesTurns } from '../../src/flows/series/series-turns.ts';
import { stateService } from '../../src/flows/close/seal-series.ts';
import type { StateService } from '../../src/flows/close/seal-service.ts';
import type { Principal } from '../../src/flows/principal.ts';
import { importedSpec } from '../../src/formats/recordings/imported-series.ts';
import { unpackRecords } from '../../src/formats/binary/packed-records.ts';
import { hasTestPostgres } from '../support/postgres.ts';
import { Store } from './store.ts';

const describeWithPostgres = hasTestPostgres() ? describe : describe.skip;

const SEC = 1_000_000_000n;
const REGULAR: Sampling = { kind: 'regular', rate: { num: 100n, den: 1n }, startNs: 0n };
const IRREGULAR: Sampling = { kind: 'irregular' };
const NOBODY: Principal = { tokenId: '0198c5e0-0000-7000-8000-000000000001', scopes: ['write'], projects: null };
const EMPTY = `sha256:${createHash('sha256').digest('hex')}`;

function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

describeWithPostgres('a sealed series', () => {
  let store: Store;
  let state: StateService;

  beforeAll(async () => {
    store = await Store.open();
    state = stateService({
      room: store.room,
      reads: store.db,
      writes: store.db,
      root: store.root,
      codec: store.codec,
      turns: new SeriesTurns(),
    });
  });

  afterAll(async () => {
    await store?.close();
  });

  let made = 0;
  function create(dtype: Dtype, sampling: Sampling, channels = 1, duplicates: DuplicateRule = 'last'): Promise<Series> {
    const spec = importedSpec({
      name: `s${made++}`,
      dtype,
      channels: Array.from({ length: channels }, (_, at) => ({ label: `c${at}` })),
      sampling,
      provenance: {},
    });
    return store.create({ ...spec, duplicates });
  }

  const seal = ({ id }: Series): Promise<Series> => state.seal(NOBODY, id, { signal: new AbortController().signal });
  const deps = () => ({ db: store.db, root: store.root, codec: store.codec });

  /** What a plain read says that the hash must be. */
  async function hashOfRead(series: Series): Promise<{ values: string; times: string | null; rows: number }> {
    const body = await store.read(series, { by: 'time' });
    const channels = series.channels.length;
    const { BYTES_PER_ELEMENT: bytes } = {
      int16: Int16Array,
      float64: Float64Array,
      int64: BigInt64Array,
      uint8: Uint8Array,
    }[series.dtype as 'int16' | 'float64' | 'int64' | 'uint8'];
    if (series.sampling.kind === 'regular')
      return { values: sha256(body), times: null, rows: body.length / (channels * bytes) };
    const { times, values } = unpackRecords(Uint8Array.from(body), series.dtype, channels);
    return { values: sha256(bytesOf(values)), times: sha256(bytesOf(times)), rows: times.length };
  }

  interface Case {
    readonly name: string;
    make(): Promise<Series>;
    /** Rows that are left. */
    readonly rows: number;
  }

  const stage = (series: Series, batch: Pick<Batch, 'values' | 'times'>, startNs: bigint | null = null) =>
    store.append(series, batch, startNs);

  const cases: Case[] = [
    { name: 'without rows, regular', rows: 0, make: () => create('int16', REGULAR) },
    { name: 'without rows, irregular', rows: 0, make: () => create('int16', IRREGULAR, 3) },
    {
      name: 'regular, three channels, with gaps and removed ranges',
      rows: 5000 - 30 - 100,
      async make() {
        const series = await create('int16', REGULAR, 3);
        const values = (n: number) => Int16Array.from({ length: 2500 * 3 }, (_, i) => i * n);
        await stage(series, { values: values(3), times: null });
        await store.flush();
        await stage(series, { values: values(5), times: null }, 100n * SEC);
        await store.remove(series, { startNs: 1n * SEC, endNs: 13n * (SEC / 10n) });
        await store.remove(series, { startNs: 24n * SEC + SEC / 2n, endNs: 100n * SEC + SEC / 2n });
        await store.flush();
        return series;
      },
    },
    {
      name: 'regular, int64',
      rows: 1000,
      async make() {
        const series = await create('int64', REGULAR);
        await stage(series, {
          values: BigInt64Array.from({ length: 1000 }, (_, i) => -(2n ** 60n) + BigInt(i)),
          times: null,
        });
        return series;
      },
    },
    ...(['last', 'keep'] as const).map((duplicates): Case => ({
      name: `irregular, out of order, with duplicates (${duplicates}) and NaN, and an erased range`,
      // 3 × 1000 rows at 2000 times from 0 to 1999, of which 100 are taken out: of 1000 to 1099, two rows each.
      rows: duplicates === 'last' ? 1900 : 2800,
      async make() {
        const series = await create('float64', IRREGULAR, 2, duplicates);
        for (let round = 0; round < 3; round++) {
          const times = BigInt64Array.from({ length: 1000 }, (_, i) =>
            BigInt((round % 2 === 0 ? 999 - i : i) + round * 500),
          );
          const values = Float64Array.from({ length: 2000 }, (_, i) => (i % 7 === 0 ? NaN : i * (round + 0.1)));
          await stage(series, { values, times });
          if (round === 1) await store.flush();
        }
        await store.remove(series, { startNs: 1000n, endNs: 1100n });
        await store.flush();
        return series;
      },
    })),
    {
      name: 'irregular, in order, int64',
      rows: 3000,
      async make() {
        const series = await create('int64', IRREGULAR);
        for (let round = 0; round < 3; round++) {
          const times = BigInt64Array.from({ length: 1000 }, (_, i) => BigInt(round * 1000 + i) * SEC);
          await stage(series, { values: times.map((ns) => -ns), times });
        }
        return series;
      },
    },
  ];

  test.each(cases)(
    '$name: has the hash of what a read gives, also when its shards have been compacted',
    async ({ make, rows }) => {
      const series = await make();
      const expected = await hashOfRead(series);
      expect(expected.rows).toBe(rows);
      const { contentHash, sealedAt, commit } = await seal(series);
      expect(sealedAt).toBeInstanceOf(Date);
      expect(contentHash).toEqual({ ...expected, commit });
      expect(expected.values === EMPTY).toBe(rows === 0);
      // In pages of a few rows; of rows that share a time at most three come together.
      expect(await hashContent(deps(), series.id, { pageBytes: 10 * 24 })).toEqual(contentHash);
      await store.flush();
      await store.compact(series.id);
      expect(await hashContent(deps(), series.id)).toEqual(contentHash);
      expect((await getSeries(store.db, { id: series.id })).contentHash).toEqual(contentHash);
      expect((await store.verify({ series: series.id })).findings).toEqual([]);
    },
  );

  test('has every acknowledged row of appends that race with the seal, and no other', async () => {
    const series = await create('int16', REGULAR);
    let acknowledged = 0;
    const refused: unknown[] = [];
    const writer = async (): Promise<void> => {
      for (let n = 0; n < 20; n++) {
        await store.append(series, { values: Int16Array.of(n, n), times: null }).then(
          () => acknowledged++,
          (error: unknown) => refused.push(isVarveError(error) ? `${error.code} ${error.slug}` : error),
        );
      }
    };
    let isSealed = false;
    const flusher = async (): Promise<void> => {
      while (!isSealed) {
        await store.flush();
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    };
    const writers = [writer(), writer(), writer()];
    const flushing = flusher();
    while (acknowledged < 10) await new Promise((resolve) => setTimeout(resolve, 1));
    const sealed = await seal(series).finally(() => (isSealed = true));
    await Promise.all([...writers, flushing]);
    await store.flush();
    expect(acknowledged + refused.length).toBe(60);
    expect(refused.length).toBeGreaterThan(0);
    expect(new Set(refused)).toEqual(new Set(['conflict series-sealed']));
    expect(sealed.contentHash).toMatchObject({ rows: 2 * acknowledged });
    expect(await hashContent(deps(), series.id)).toEqual(sealed.contentHash);
    const range = { startNs: 0n, endNs: SEC };
    await expect(store.remove(series, range)).rejects.toMatchObject({ slug: 'series-sealed' });
    expect(readdirSync(join(store.root.root, 'spool'))).toEqual([]);
  });

  test('is not hashed for nobody', async () => {
    const series = await create('int16', REGULAR);
    const pending = hashContent(deps(), series.id, { signal: AbortSignal.abort() });
    await expect(pending).rejects.toMatchObject({ name: 'AbortError' });
  });

  test('that lost its process between seal and hash is hashed when it is sealed again', async () => {
    const series = await create('int16', REGULAR);
    await stage(series, { values: Int16Array.of(1), times: null });
    const before = await sealSeries(store.db, series.id, { tokenId: null });
    expect(before.contentHash).toBeNull();
    await expect(store.append(series, { values: Int16Array.of(2), times: null })).rejects.toMatchObject({
      code: 'conflict',
      slug: 'series-sealed',
    });
    const after = await seal(series);
    expect(after.contentHash).toMatchObject({ values: sha256(Uint8Array.of(1, 0)), rows: 1 });
    expect(after.sealedAt).toEqual(before.sealedAt);
    // The representation has changed twice: who has seen it without its hash must be able to tell.
    expect([series.version, before.version, after.version]).toEqual([1, 2, 3]);
    expect((await seal(series)).version).toBe(3);
  });

  test('that was opened while it was hashed gets no hash', async () => {
    const series = await create('int16', REGULAR);
    const { sealedAt } = await sealSeries(store.db, series.id, { tokenId: null });
    const hash = await hashContent(deps(), series.id);
    await unsealSeries(store.db, series.id, { tokenId: null });
    const refusal = { code: 'conflict', slug: 'series-unsealed' };
    await expect(storeContentHash(store.db, series.id, sealedAt!, hash)).rejects.toMatchObject(refusal);
    await stage(series, { values: Int16Array.of(7), times: null });
    await new Promise((resolve) => setTimeout(resolve, 2));
    await sealSeries(store.db, series.id, { tokenId: null });
    await expect(storeContentHash(store.db, series.id, sealedAt!, hash)).rejects.toMatchObject(refusal);
    expect((await getSeries(store.db, { id: series.id })).contentHash).toBeNull();
  });

  test('is read again if its samples change between two pages, and not endlessly', async () => {
    const series = await create('int16', REGULAR);
    await stage(series, { values: Int16Array.from({ length: 10 }, (_, i) => i), times: null });
    let pages = 0;
    const moving = (changes: number) => {
      pages = 0;
      const { codec } = store;
      const pipe: typeof codec.pipe = (name, task, parts) => {
        const changing = async function* () {
          for await (const part of parts) {
            yield part;
            if (pages++ < changes) {
              await store.db
                .updateTable('heads')
                .set(({ eb }) => ({ commit: eb('commit', '+', 1n) }))
                .where('series_id', '=', series.id)
                .execute();
            }
          }
        };
        return codec.pipe(name, task, changing());
      };
      return { ...deps(), codec: Object.assign(Object.create(codec) as typeof codec, { pipe }) };
    };
    const { commit } = await getSeries(store.db, { id: series.id });
    const hash = await hashContent(moving(2), series.id, { pageBytes: 8 });
    expect(hash).toMatchObject({ rows: 10, commit: commit + 2n });
    await expect(hashContent(moving(Infinity), series.id, { pageBytes: 8 })).rejects.toMatchObject({
      slug: 'content-changed',
    });
  });

  test('whose bytes and checksums were changed together is found by verify', async () => {
    const spec = importedSpec({
      name: 'plain',
      dtype: 'int16',
      channels: [{ label: 'x' }],
      sampling: REGULAR,
      provenance: {},
    });
    const series = await store.create({ ...spec, codec: 'none' });
    await stage(series, { values: Int16Array.of(1, 2, 3, 4), times: null });
    await store.flush();
    await seal(series);
    const { path, offset } = await store.db
      .selectFrom('chunks as c')
      .innerJoin('shards as h', 'h.id', 'c.shard_id')
      .select(['h.path', 'c.values_offset as offset'])
      .where('c.series_id', '=', series.id)
      .executeTakeFirstOrThrow();
    const swapped = bytesOf(Int16Array.of(1, 3, 2, 4));
    const before = Buffer.alloc(swapped.length);
    const fd = openSync(store.root.resolve(path), 'r+');
    readSync(fd, before, 0, before.length, Number(offset));
    writeSync(fd, swapped, 0, swapped.length, Number(offset));
    try {
      await store.withRow('chunks', { series_id: series.id }, `values_crc = ${crc32(swapped)}`, async () => {
        const { findings } = await store.verify({ series: series.id });
        expect(findings).toMatchObject([
          { kind: 'content-hash', series: series.id, message: expect.stringContaining('values') },
        ]);
        // As if samples had expired since.
        const move = (by: bigint) =>
          store.db
            .updateTable('heads')
            .set(({ eb }) => ({ commit: eb('commit', '+', by) }))
            .where('series_id', '=', series.id)
            .execute();
        await move(1n);
        expect((await store.verify({ series: series.id })).findings).toEqual([]);
        await move(-1n);
      });
    } finally {
      writeSync(fd, before, 0, before.length, Number(offset));
      closeSync(fd);
    }
    expect((await store.verify()).findings).toEqual([]);
  });
});
