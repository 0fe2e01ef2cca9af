/** What describes a series, and what appends advance of it: two rows that say the same. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { sql } from 'kysely';
import { v7 as uuidv7 } from 'uuid';
import { createProject } from '../../src/catalog/people/access-store.ts';
import { catalogNumbers } from '../../src/catalog/catalog-health.ts';
import { openDatabase, type Database, type OpenDatabase } from '../../src/catalog/database.ts';
import { finishDeletions, purgeSeries } from '../../src/catalog/series/purge-store.ts';
import {
  createRetentionRule,
  expireSeries,
  readExpirable,
  seriesToExpire,
} from '../../src/catalog/shards/retention-store.ts';
import { hashedSeries, sealSeries, storeContentHash, unsealSeries } from '../../src/catalog/series/seal-store.ts';
import { createSeries, deleteSeries, getSeries, restoreSeries } from '../../src/catalog/series/series-store.ts';
import { readSeriesStorage } from '../../src/catalog/shards/space-store.ts';
import { segmentOverlaps, tilingBreaks } from '../../src/catalog/appends/tiling.ts';
import { parseRate } from '../../src/core/signal/rate.ts';
import type { Sampling } from '../../src/core/signal/series.ts';
import { createMany } from '../../src/flows/series/create-many.ts';
import { importedSpec } from '../../src/formats/recordings/imported-series.ts';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';

const PROJECT = 'lab';
const SECOND = 1_000_000_000n;
const REGULAR: Sampling = { kind: 'regular', rate: parseRate('1')!, startNs: 0n };
const IRREGULAR: Sampling = { kind: 'irregular' };
const NOBODY = { tokenId: null };
const TOKEN = uuidv7();

let database: TestDatabase;
let open: OpenDatabase;
let db: Database;

beforeAll(async () => {
  database = await testDatabase();
  open = openDatabase(database.url, { poolSize: 4, onError: () => {} });
  ({ db } = open);
  await createProject(db, uuidv7(), PROJECT);
});

afterAll(async () => {
  await open?.close();
  await database?.drop();
});

beforeEach(async () => {
  for (const table of [
    'chunks',
    'fresh',
    'shards',
    'closed_segments',
    'heads',
    'retention_rules',
    'commits',
  ] as const) {
    await db.deleteFrom(table).execute();
  }
  await db.deleteFrom('series').execute();
});

function spec(name: string, sampling: Sampling = IRREGULAR) {
  const recorded = importedSpec({ name, dtype: 'int16', channels: [{ label: 'x' }], sampling, provenance: {} });
  return { ...recorded, project: PROJECT };
}

async function create(name: string, sampling: Sampling = IRREGULAR): Promise<string> {
  return (await createSeries(db, uuidv7(), uuidv7(), spec(name, sampling))).id;
}

interface Rows {
  readonly firstRow: number;
  readonly rows: number;
  readonly firstNs?: bigint;
  readonly lastNs?: bigint;
  readonly generation?: number;
}

/** A fresh chunk, which does not advance the head. */
async function addFresh(id: string, { firstRow, rows, firstNs, lastNs, generation = 0 }: Rows): Promise<void> {
  await sql`
    insert into fresh (lane_id, series_id, generation, first_row, rows, first_ns, last_ns, sorted, values_crc, bytes, values)
    select lane_id, series_id, ${generation}, ${firstRow}, ${rows}, ${firstNs ?? null}::bigint, ${lastNs ?? null}::bigint, true, 0, ${rows * 2}, '\\x00'
    from heads where series_id = ${id}`.execute(db);
}

async function addShard(id: string, level: number, { firstRow, rows, firstNs, lastNs }: Rows): Promise<string> {
  const shard = uuidv7();
  await sql`
    insert into shards (id, lane_id, state, level, path, first_commit, "commit", bytes, data_bytes)
    select ${shard}, lane_id, 'live', ${level}, ${shard}, 1, 1, 1000, 900 from heads where series_id = ${id}`.execute(
    db,
  );
  await sql`
    insert into chunks (series_id, first_row, rows, first_ns, last_ns, shard_id, dataset_row, sorted, values_offset, values_length, codec, values_crc)
    values (${id}, ${firstRow}, ${rows}, ${firstNs ?? null}::bigint, ${lastNs ?? null}::bigint, ${shard}, 0, true, 0, ${rows}, 'gzip', 0)`.execute(
    db,
  );
  return shard;
}

async function advance(id: string, head: { rows: number; firstNs: bigint; lastNs: bigint }): Promise<void> {
  await db
    .updateTable('heads')
    .set({ rows: BigInt(head.rows), first_ns: head.firstNs, last_ns: head.lastNs, commit: 1n })
    .where('series_id', '=', id)
    .execute();
}

const headOf = (id: string) => db.selectFrom('heads').selectAll().where('series_id', '=', id).executeTakeFirstOrThrow();

/** Series without a head, heads without a series, and those that do not say the same. */
async function unequal(): Promise<unknown[]> {
  const { rows } = await sql`
    select s.id, h.series_id from series s full join heads h on h.series_id = s.id
    where s.id is null or h.series_id is null or s.project_id <> h.project_id or s.deleted_at is distinct from h.deleted_at`.execute(
    db,
  );
  return rows;
}

const kinds = async (): Promise<string[]> =>
  (await db.selectFrom('commits').select('kinds').orderBy('commit').execute()).flatMap((row) => row.kinds);

/** Makes the deletion of a series look so old. */
async function age(id: string, interval: string): Promise<void> {
  for (const [table, key] of [
    ['series', 'id'],
    ['heads', 'series_id'],
  ]) {
    await sql`update ${sql.table(table)} set deleted_at = deleted_at - ${interval}::interval where ${sql.ref(key)} = ${id}`.execute(
      db,
    );
  }
}

describe('series and heads stay equal', () => {
  test('through creation, also of many, deletion and restoring', async () => {
    const id = await create('one');
    const inputs = Array.from({ length: 1500 }, (_, i) => spec(i % 100 === 7 ? 'twice' : `many/${i}`));
    const principal = { tokenId: TOKEN, scopes: ['admin' as const], projects: null };
    const { answer } = await createMany({ reads: db, writes: db }, principal, inputs, null, (outcomes) =>
      outcomes.map((each) => 'id' in each),
    );
    expect(answer.filter((isStored) => isStored)).toHaveLength(1486);
    expect(await unequal()).toEqual([]);
    const { rows } = await sql<{ wrong: number }>`
      select count(*)::int as wrong from lanes l
      where series_count <> (select count(*) from heads h where h.lane_id = l.id)`.execute(db);
    expect(rows[0].wrong).toBe(0);
    await deleteSeries(db, id);
    expect((await headOf(id)).deleted_at).toBeInstanceOf(Date);
    expect(await unequal()).toEqual([]);
    await restoreSeries(db, id);
    expect((await headOf(id)).deleted_at).toBeNull();
    expect(await unequal()).toEqual([]);
    expect(await kinds()).toEqual([...Array.from({ length: 1487 }, () => 'create'), 'delete', 'restore']);
  });

  test('where deletions and restorings of one series meet', async () => {
    const id = await create('contested');
    const turns = Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? deleteSeries(db, id) : restoreSeries(db, id)));
    await Promise.allSettled(turns);
    expect(await unequal()).toEqual([]);
  });

  test('a creation that is refused leaves neither', async () => {
    await create('taken');
    await expect(create('taken')).rejects.toMatchObject({ slug: 'name-taken' });
    expect(await unequal()).toEqual([]);
    expect(await db.selectFrom('heads').select('series_id').execute()).toHaveLength(1);
  });
});

describe('a deletion', () => {
  test('becomes final once, after its deadline, and is told; a restore is refused from then on', async () => {
    const [id, young] = [await create('old'), await create('young')];
    for (const each of [id, young]) await deleteSeries(db, each);
    expect(await finishDeletions(db, 10)).toBe(0);
    await age(id, '7 days');
    expect(await finishDeletions(db, 10)).toBe(1);
    expect(await finishDeletions(db, 10)).toBe(0);
    expect((await headOf(id)).purged_at).toBeInstanceOf(Date);
    expect((await headOf(young)).purged_at).toBeNull();
    expect((await kinds()).at(-1)).toBe('purge');
    // Also by a clock that was set back.
    await age(id, '-6 days');
    await expect(restoreSeries(db, id)).rejects.toMatchObject({ code: 'gone', slug: 'deadline-passed' });
    await restoreSeries(db, young);
  });

  test('that is being restored does not become final', async () => {
    const id = await create('saved');
    await deleteSeries(db, id);
    await age(id, '7 days');
    await db.transaction().execute(async (trx) => {
      await sql`update series set deleted_at = null where id = ${id}`.execute(trx);
      await sql`update heads set deleted_at = null where series_id = ${id}`.execute(trx);
      expect(await finishDeletions(db, 10)).toBe(0);
    });
    expect((await headOf(id)).purged_at).toBeNull();
  });

  test('takes the series away when nothing of it is left but what cannot be read', async () => {
    const [id, kept] = [await create('gone'), await create('kept', REGULAR)];
    await addFresh(id, { firstRow: 0, rows: 1, firstNs: 0n, lastNs: 0n });
    await deleteSeries(db, id);
    expect(await purgeSeries(db, 10)).toBe(0);
    await age(id, '8 days');
    await finishDeletions(db, 10);
    expect(await purgeSeries(db, 10)).toBe(0);
    await db.updateTable('fresh').set({ damaged_at: new Date() }).where('series_id', '=', id).execute();
    expect(await purgeSeries(db, 10)).toBe(1);
    for (const table of ['heads', 'fresh'] as const) {
      expect(await db.selectFrom(table).select('series_id').where('series_id', '=', id).execute()).toEqual([]);
    }
    expect(await unequal()).toEqual([]);
    await getSeries(db, { id: kept });
  });
});

describe('a sealed series', () => {
  test('says so in its head, keeps its hash while nothing changes, and is told', async () => {
    const id = await create('sealed');
    const sealed = await sealSeries(db, id, NOBODY);
    expect((await headOf(id)).sealed_at).toEqual(sealed.sealedAt);
    expect(await sealSeries(db, id, NOBODY)).toEqual(sealed);
    const hash = { values: 'sha256:00', times: 'sha256:00', rows: 0, commit: sealed.commit };
    expect(await storeContentHash(db, id, sealed.sealedAt!, hash)).toMatchObject({ contentHash: hash, version: 3 });
    expect(await hashedSeries(db, null)).toEqual([{ id, hash }]);
    await advance(id, { rows: 0, firstNs: 0n, lastNs: 0n });
    expect(await hashedSeries(db, [id])).toEqual([]);
    expect(await unsealSeries(db, id, NOBODY)).toMatchObject({ sealedAt: null, contentHash: null });
    expect((await headOf(id)).sealed_at).toBeNull();
    await expect(storeContentHash(db, id, sealed.sealedAt!, hash)).rejects.toMatchObject({ slug: 'series-unsealed' });
    expect(await kinds()).toEqual(['create', 'seal', 'update', 'unseal']);
  });

  test('waits for whoever holds its head', async () => {
    const id = await create('busy');
    let isSealed = false;
    let sealing: Promise<void> | undefined;
    await db.transaction().execute(async (trx) => {
      await sql`select from heads where series_id = ${id} for no key update`.execute(trx);
      sealing = sealSeries(db, id, NOBODY).then(() => void (isSealed = true));
      for (let waiting = false; !waiting;) {
        const { rows } = await sql<{ waits: boolean }>`
          select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock') as waits`.execute(
          db,
        );
        waiting = rows[0].waits;
      }
      expect(isSealed).toBe(false);
    });
    await sealing;
    expect(isSealed).toBe(true);
  });
});

describe('expiry', () => {
  const DAY_NS = 86_400n * SECOND;
  const expiry = { expiredNs: 10n * DAY_NS, summariesExpiredNs: null };

  /** Rows a day apart, from day 0 on, in a compacted shard. */
  async function withRows(name: string, rows: number): Promise<string> {
    const id = await create(name);
    const last = BigInt(rows - 1) * DAY_NS;
    await addShard(id, 1, { firstRow: 0, rows, firstNs: 0n, lastNs: last });
    await advance(id, { rows, firstNs: 0n, lastNs: last });
    return id;
  }

  test('is due by the rule that keeps longest', async () => {
    const id = await withRows('due', 20);
    await createRetentionRule(db, uuidv7(), { project: PROJECT, tags: {}, keepDays: 5, keepSummariesDays: null });
    await createRetentionRule(db, uuidv7(), { project: PROJECT, tags: {}, keepDays: 9, keepSummariesDays: null });
    expect((await seriesToExpire(db)).map((each) => each.id)).toEqual([id]);
    await createRetentionRule(db, uuidv7(), { project: PROJECT, tags: {}, keepDays: 30, keepSummariesDays: null });
    expect(await seriesToExpire(db)).toEqual([]);
  });

  test('raises the head with a commit of its own', async () => {
    const id = await withRows('plain', 20);
    const known = (await readExpirable(db, id))!;
    expect(known.facts).toMatchObject({ firstNs: 0n, lastNs: 19n * DAY_NS, unsummarisedNs: null, expiredNs: null });
    const commit = await expireSeries(db, known, expiry, 10n * DAY_NS);
    expect(await headOf(id)).toMatchObject({ expired_ns: 10n * DAY_NS, first_ns: 10n * DAY_NS, commit });
    const told = await db.selectFrom('commits').selectAll().where('commit', '=', commit!).executeTakeFirstOrThrow();
    expect(told).toMatchObject({ series: [id], kinds: ['expire'], rows: [null], tokens: [null] });
    // What was known is not so any more.
    expect(await expireSeries(db, known, expiry, 10n * DAY_NS)).toBeNull();
  });

  test.each([
    ['a fresh chunk', (id: string, rows: Rows) => addFresh(id, rows)],
    ['a shard that a flush has made', async (id: string, rows: Rows) => void (await addShard(id, 0, rows))],
  ])('does not go beyond a row in %s, which has no summary', async (_, add) => {
    const id = await withRows('bounded', 20);
    const before = (await readExpirable(db, id))!;
    await add(id, { firstRow: 20, rows: 1, firstNs: 4n * DAY_NS, lastNs: 4n * DAY_NS });
    await advance(id, { rows: 21, firstNs: 0n, lastNs: 19n * DAY_NS });
    expect((await readExpirable(db, id))!.facts!.unsummarisedNs).toBe(4n * DAY_NS);
    expect(await expireSeries(db, before, expiry, 10n * DAY_NS)).toBeNull();
    const known = (await readExpirable(db, id))!;
    const sooner = { expiredNs: 4n * DAY_NS, summariesExpiredNs: null };
    expect(await expireSeries(db, known, sooner, 4n * DAY_NS)).not.toBeNull();
  });

  test('of a regular series stops at the time of the row', async () => {
    const id = await create('regular', REGULAR);
    await addShard(id, 1, { firstRow: 0, rows: 100 });
    await addFresh(id, { firstRow: 100, rows: 10 });
    await advance(id, { rows: 110, firstNs: 0n, lastNs: 109n * SECOND });
    await sql`update heads set segment_row = 0, segment_ns = 0, segment_rows = 110 where series_id = ${id}`.execute(db);
    expect((await readExpirable(db, id))!.facts!.unsummarisedNs).toBe(100n * SECOND);
  });

  test('goes on past a chunk that cannot be read', async () => {
    const id = await withRows('damaged', 20);
    await addFresh(id, { firstRow: 20, rows: 1, firstNs: DAY_NS, lastNs: DAY_NS });
    await db.updateTable('fresh').set({ damaged_at: new Date() }).where('series_id', '=', id).execute();
    expect((await readExpirable(db, id))!.facts!.unsummarisedNs).toBeNull();
  });

  test('counts rows that came since it was measured, and measures again where it cannot', async () => {
    const id = await withRows('moving', 20);
    const known = (await readExpirable(db, id))!;
    await addFresh(id, { firstRow: 20, rows: 1, firstNs: 11n * DAY_NS, lastNs: 11n * DAY_NS });
    await advance(id, { rows: 21, firstNs: 0n, lastNs: 19n * DAY_NS });
    expect(await expireSeries(db, known, expiry, 12n * DAY_NS)).not.toBeNull();
    expect((await headOf(id)).first_ns).toBe(11n * DAY_NS);

    const flushed = await withRows('flushed', 20);
    const measured = (await readExpirable(db, flushed))!;
    await addShard(flushed, 0, { firstRow: 20, rows: 1, firstNs: 11n * DAY_NS, lastNs: 11n * DAY_NS });
    await advance(flushed, { rows: 21, firstNs: 0n, lastNs: 19n * DAY_NS });
    expect(await expireSeries(db, measured, expiry, 12n * DAY_NS)).toBeNull();
    await sql`update heads set edits = 1, rows = 20 where series_id = ${flushed}`.execute(db);
    expect(await expireSeries(db, measured, expiry, 12n * DAY_NS)).toBeNull();
    await deleteSeries(db, flushed);
    expect(await expireSeries(db, measured, expiry, 12n * DAY_NS)).toBeNull();
  });
});

describe('what is stored', () => {
  test('counts fresh chunks as well as those in shards', async () => {
    const id = await create('stored', REGULAR);
    const shard = await addShard(id, 1, { firstRow: 0, rows: 100 });
    await addFresh(id, { firstRow: 100, rows: 10 });
    await addFresh(id, { firstRow: 110, rows: 5 });
    expect(await readSeriesStorage(db, id)).toEqual({
      rows: 115,
      chunks: 3,
      storedBytes: 130,
      freshBytes: 30,
      shards: [{ id: shard, state: 'live', bytes: 100 }],
    });
    await sql`update written_bytes set spooled = 3, flushed = 4, compacted = 5`.execute(db);
    await sql`update fresh set at = now() - interval '90 seconds' where first_row = 100`.execute(db);
    await sql`update lanes set resting_until = now() + interval '1 minute'`.execute(db);
    const numbers = await catalogNumbers(db);
    expect(numbers).toMatchObject({
      freshChunks: 2,
      freshBytes: 30,
      spooledBytes: 3,
      flushedBytes: 4,
      compactedBytes: 5,
    });
    expect(numbers.freshSeconds).toBeGreaterThanOrEqual(90);
    expect(numbers.restingLanes).toBeGreaterThan(0);
    expect(numbers.shards).toEqual(new Map([['live', { count: 1, bytes: 1000 }]]));
  });

  test('covers the rows of a series by chunks of both kinds, and by its closed and its newest segment', async () => {
    const id = await create('tiled', REGULAR);
    await addShard(id, 0, { firstRow: 0, rows: 60 });
    await addFresh(id, { firstRow: 60, rows: 40 });
    await addFresh(id, { firstRow: 50, rows: 20, generation: 1 });
    await advance(id, { rows: 100, firstNs: 0n, lastNs: 1000n * SECOND });
    await db.insertInto('closed_segments').values({ series_id: id, first_row: 0, start_ns: 0, rows: 30 }).execute();
    const newest = (row: number, ns: bigint, rows: number) =>
      sql`update heads set segment_row = ${row}, segment_ns = ${ns}, segment_rows = ${rows} where series_id = ${id}`.execute(
        db,
      );
    await newest(30, 100n * SECOND, 70);
    expect(await tilingBreaks(db, null)).toEqual([]);
    expect(await segmentOverlaps(db, null)).toEqual([]);
    await newest(30, 29n * SECOND, 69);
    expect(await tilingBreaks(db, [id])).toEqual([{ seriesId: id, what: 'segments', from: 99, to: 100 }]);
    expect(await segmentOverlaps(db, [id])).toEqual([{ seriesId: id, firstRow: 30 }]);
    await sql`delete from fresh where generation = 0`.execute(db);
    const [chunks] = await tilingBreaks(db, null);
    expect(chunks).toEqual({ seriesId: id, what: 'chunks', from: 70, to: 100 });
    await addFresh(id, { firstRow: 55, rows: 45 });
    expect((await tilingBreaks(db, null))[0]).toEqual({ seriesId: id, what: 'chunks', from: 60, to: 55 });
  });
});
