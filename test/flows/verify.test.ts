import {
  closeSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { sql } from 'kysely';
import { shardChunks } from '../../src/catalog/shards/shard-store.ts';
import type { Chunk } from '../../src/core/rows/chunk.ts';
import { DTYPES } from '../../src/core/numbers/dtype.ts';
import type { Series } from '../../src/core/signal/series.ts';
import type { VerifyReport } from '../../src/flows/repair/verify.ts';
import { importedSpec } from '../../src/formats/recordings/imported-series.ts';
import { hasTestPostgres } from '../support/postgres.ts';
import { Store } from './store.ts';

const START_NS = 1_777_593_600_000_000_000n;
const describeWithPostgres = hasTestPostgres() ? describe : describe.skip;

describeWithPostgres('verify', () => {
  let store: Store;
  let regular: Series;
  let irregular: Series;
  let chunks: { chunk: Chunk; series: Series; path: string }[];

  beforeAll(async () => {
    store = await Store.open();
    regular = await store.create(
      importedSpec({
        name: 'regular',
        dtype: 'int16',
        channels: [{ label: 'a' }, { label: 'b' }],
        sampling: { kind: 'regular', rate: { num: 30_000n, den: 1001n }, startNs: START_NS },
        provenance: {},
      }),
    );
    irregular = await store.create(
      importedSpec({
        name: 'irregular',
        dtype: 'float64',
        channels: [{ label: 'x' }],
        sampling: { kind: 'irregular' },
        provenance: {},
      }),
    );
    for (let round = 0; round < 3; round++) {
      const values = Int16Array.from({ length: 20_000 }, (_, i) => i * (round + 3));
      const later = round === 1 ? START_NS + 900_000_000_000n : null;
      await store.append(regular, { values, times: null }, later);
      const times = BigInt64Array.from({ length: 3000 }, (_, i) => START_NS + BigInt(round * 3000 + i) * 1_000_003n);
      const numbers = Float64Array.from(times, (_, i) => (i % 7 === 0 ? NaN : Math.sin(i) / 3));
      await store.append(irregular, { values: numbers, times });
      await store.flush();
    }
    chunks = [];
    for (const { id, path } of await store.db.selectFrom('shards').selectAll().orderBy('id').execute()) {
      for (const series of [regular, irregular]) {
        for await (const page of shardChunks(store.db, id, series.id)) {
          chunks.push(...page.map((chunk) => ({ chunk, series, path })));
        }
      }
    }
  });

  afterAll(() => store?.close());
  // Whatever a test breaks it mends; this holds it to that.
  afterEach(async () => expect((await store.verify()).findings).toEqual([]));

  const kinds = ({ findings }: VerifyReport): string[] => findings.map(({ kind }) => kind);

  /** Runs with bytes of a file changed, and puts them back. */
  async function withBytes<T>(path: string, offset: number, bytes: Uint8Array, work: () => Promise<T>): Promise<T> {
    const fd = openSync(store.root.resolve(path), 'r+');
    const before = Buffer.alloc(bytes.length);
    readSync(fd, before, 0, before.length, offset);
    writeSync(fd, bytes, 0, bytes.length, offset);
    try {
      return await work();
    } finally {
      writeSync(fd, before, 0, before.length, offset);
      closeSync(fd);
    }
  }

  test('finds nothing in healthy data, and says how much it has read', async () => {
    const report = await store.verify();
    expect(report).toMatchObject({ findings: [], notes: [], chunks: chunks.length });
    expect(report.shards).toBeGreaterThan(1);
    expect(report.bytes).toBe(3 * 20_000 * 2 + 3 * 3000 * 16);
  });

  test('names the chunk of any flipped bit, and rows of other chunks are still served', async () => {
    const places = chunks.flatMap(({ chunk, series, path }) => {
      const rowBytes = series.channels.length * DTYPES[series.dtype].bytes;
      const values = { kind: 'values-corrupt', offset: chunk.values.offset, length: chunk.rows * rowBytes };
      const times = chunk.times && { kind: 'times-corrupt', offset: chunk.times.offset, length: chunk.rows * 8 };
      return [values, ...(times ? [times] : [])].map((part) => ({ ...part, chunk, path, series }));
    });
    const property = fc.asyncProperty(
      fc.nat({ max: places.length - 1 }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      fc.nat({ max: 7 }),
      async (which, fraction, bit) => {
        const { kind, offset, length, chunk, path, series } = places[which];
        const at = offset + Math.floor(fraction * length);
        const byte = readFileSync(store.root.resolve(path))[at];
        await withBytes(path, at, Uint8Array.of(byte ^ (1 << bit)), async () => {
          const { findings } = await store.verify({ series: series.id });
          expect(findings).toEqual([
            { kind, shard: chunk.shardId, path, series: series.id, row: chunk.firstRow, message: expect.any(String) },
          ]);
          const range = { from: chunk.firstRow, to: chunk.firstRow + chunk.rows };
          await expect(store.read(series, { by: 'rows', ...range })).rejects.toMatchObject({ code: 'corrupt' });
          const others = chunks.filter((other) => other.series === series && other.chunk !== chunk);
          for (const { chunk: other } of others) {
            const bytes = await store.read(series, {
              by: 'rows',
              from: other.firstRow,
              to: other.firstRow + other.rows,
            });
            expect(bytes.length).toBeGreaterThan(0);
          }
        });
      },
    );
    await fc.assert(property, { numRuns: 25, seed: 20_260_501 });
  });

  test('a missing shard is named, and one that no row names is noted with its age', async () => {
    const [{ path }] = chunks;
    const stray = path.replace(/[0-9a-f]{8}-/, '00000000-');
    renameSync(store.root.resolve(path), store.root.resolve(stray));
    const { findings, notes } = await store.verify();
    renameSync(store.root.resolve(stray), store.root.resolve(path));
    expect(findings).toMatchObject([{ kind: 'shard-missing', path }]);
    expect(notes).toMatchObject([{ kind: 'orphan-file', path: stray }]);
    expect(notes[0].message).toMatch(/ of \d+ bytes, last written \d+ s ago$/);
  });

  test('a shard that was cut short is named, and so is every chunk past its end', async () => {
    const path = chunks[chunks.length - 1].path;
    const whole = readFileSync(store.root.resolve(path));
    const lost = chunks.filter((each) => each.path === path);
    const end = Math.min(...lost.map(({ chunk }) => chunk.values.offset));
    truncateSync(store.root.resolve(path), end);
    const report = await store.verify({ shard: lost[0].chunk.shardId });
    writeFileSync(store.root.resolve(path), whole);
    expect(kinds(report)).toEqual(expect.arrayContaining(['shard-short', 'hdf5-unreadable']));
    expect(kinds(report).filter((kind) => /^(values|times)-unreadable$/.test(kind)).length).toBeGreaterThanOrEqual(
      lost.length,
    );
  });

  test('a destroyed superblock is named while all bytes are right', async () => {
    const [{ path, chunk }] = chunks;
    await withBytes(path, 0, Buffer.alloc(48), async () => {
      const report = await store.verify();
      expect(report.findings).toMatchObject([{ kind: 'hdf5-unreadable', shard: chunk.shardId, path }]);
      expect(report.findings[0].message).toBe('HDF5 cannot open it: file signature not found');
    });
  });

  test('an index that leads HDF5 elsewhere is named', async () => {
    const [{ path, chunk, series }] = chunks;
    const file = readFileSync(store.root.resolve(path));
    const address = Buffer.alloc(8);
    address.writeBigUInt64LE(BigInt(chunk.values.offset));
    const at = file.indexOf(address, 48);
    expect(at).toBeGreaterThan(0);
    address.writeBigUInt64LE(BigInt(chunk.values.offset + 8));
    await withBytes(path, at, address, async () => {
      // The index of a small series is in its header, which has a checksum of its own.
      const { findings } = await store.verify();
      expect(findings).toMatchObject([{ path, series: series.id }]);
      expect(findings[0].kind).toMatch(/^hdf5-(index|series)$/);
    });
  });

  test('a time of a segment that HDF5 has otherwise is named', async () => {
    const start = String(START_NS + 900_000_000_000n);
    const { path } = chunks.find(({ series, chunk }) => series === regular && chunk.firstRow === 10_000)!;
    const at = readFileSync(store.root.resolve(path)).indexOf(`[10000,"${start}",`);
    expect(at).toBeGreaterThan(0);
    // One digit of it.
    await withBytes(path, at + '[10000,"1'.length, Buffer.from('0'), async () => {
      expect((await store.verify()).findings).toMatchObject([
        { kind: 'segments-differ', series: regular.id, row: 10_000 },
      ]);
    });
  });

  test.each([
    // Of one channel of float64: FORMAT.md draws them.
    ['stats = set_byte(stats, 0, get_byte(stats, 0) # 1)', 'chunk-statistics', 'count of channel 0'],
    ['stats = set_byte(stats, 10, get_byte(stats, 10) # 1)', 'chunk-statistics', 'min of channel 0'],
    ['stats = set_byte(stats, 18, get_byte(stats, 18) # 1)', 'chunk-statistics', 'max of channel 0'],
    ['stats = set_byte(stats, 25, get_byte(stats, 25) # 1)', 'chunk-statistics', 'sum of channel 0'],
    ['stats = set_byte(stats, 42, get_byte(stats, 42) # 1)', 'chunk-statistics', 'squares of channel 0'],
    ['stats = substring(stats, 2)', 'chunk-statistics', 'length of statistics'],
    ['last_ns = last_ns + 1', 'chunk-statistics', 'last time'],
    ['sorted = not sorted', 'chunk-statistics', 'order of times'],
    ['values_crc = values_crc # 1', 'values-corrupt', 'checksum'],
    ['times_offset = times_offset - 8', 'times-corrupt', 'checksum'],
  ])('a row of the catalog that lies is named: %s', async (change, kind, what) => {
    const { chunk } = chunks.find(({ series }) => series === irregular)!;
    await store.withRow('chunks', { series_id: irregular.id, first_row: String(chunk.firstRow) }, change, async () => {
      const { findings } = await store.verify({ series: 'irregular' });
      expect(findings[0]).toMatchObject({ kind, series: irregular.id, row: chunk.firstRow });
      expect(findings[0].message).toContain(what);
    });
  });

  test('rows that no chunk covers, or two do, are named; so are those of segments', async () => {
    const of = chunks.filter(({ series }) => series === regular);
    const second = of[1].chunk;
    const key = { series_id: regular.id, first_row: String(second.firstRow) };
    await store.withRow('chunks', key, 'rows = rows - 1', async () => {
      expect((await store.verify({ series: regular.id })).findings).toContainEqual(
        expect.objectContaining({ kind: 'chunks-missing', row: second.firstRow + second.rows - 1 }),
      );
    });
    await store.withRow('heads', { series_id: regular.id }, 'rows = rows - 1', async () => {
      expect(kinds(await store.verify({ series: regular.id }))).toEqual(['chunks-overlap', 'segments-overlap']);
    });
    await store.withRow('closed_segments', { series_id: regular.id, first_row: '0' }, 'rows = rows + 5', async () => {
      expect(kinds(await store.verify({ series: regular.id }))).toEqual(['segments-overlap']);
    });
    const first = { series_id: regular.id, first_row: '0' };
    await store.withRow('closed_segments', first, `start_ns = ${START_NS + 900_000_000_000n}`, async () => {
      expect(kinds(await store.verify({ series: regular.id }))).toEqual(expect.arrayContaining(['segments-time']));
    });
  });

  test('a fresh chunk whose bytes are not what was appended is named, in Postgres and in the spool', async () => {
    const values = Float64Array.from({ length: 40_000 }, (_, i) => i);
    const later = START_NS + 1_000_000_000_000n;
    await store.append(irregular, { values, times: BigInt64Array.from(values, (v) => later + BigInt(v)) });
    await store.append(irregular, { values: Float64Array.of(1), times: BigInt64Array.of(later + 50_000n) });
    expect((await store.verify()).findings).toEqual([]);
    const [{ spool_id: spoolId }] = await store.db
      .selectFrom('fresh')
      .select('spool_id')
      .where('spool_id', 'is not', null)
      .execute();
    const path = store.root.spooled(spoolId!);
    const whole = readFileSync(path);
    writeFileSync(
      path,
      Uint8Array.from(whole, (byte, at) => (at === 7 ? byte ^ 1 : byte)),
    );
    const another = sql<bigint>`values_crc # 1`;
    const changeHeld = (): Promise<unknown> =>
      store.db.updateTable('fresh').set({ values_crc: another }).where('spool_id', 'is', null).execute();
    await changeHeld();
    const { findings } = await store.verify({ series: irregular.id });
    await changeHeld();
    writeFileSync(path, whole);
    expect(findings.map(({ kind, row, path: at }) => [kind, row, at])).toEqual([
      ['fresh-corrupt', 9000, `spool/${spoolId}`],
      ['fresh-corrupt', 49_000, null],
    ]);
  });

  test('a scope that names nothing is refused', async () => {
    await expect(store.verify({ series: 'unknown' })).rejects.toMatchObject({ code: 'not-found' });
    await expect(store.verify({ shard: 'unknown' })).rejects.toMatchObject({ code: 'not-found' });
  });
});
