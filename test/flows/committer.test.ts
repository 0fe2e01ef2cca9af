/** The committer against a real Postgres: one COMMIT makes appends durable, readable and told; what is refused leaves no trace. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { findCommit, lockHead, prepareCommit } from '../../src/catalog/appends/append-commit.ts';
import { openCommitSession, type CommitSession } from '../../src/catalog/appends/commit-session.ts';
import { openDatabase, type OpenDatabase } from '../../src/catalog/database.ts';
import { sessionOf } from '../../src/catalog/session.ts';
import { registerSpools } from '../../src/catalog/appends/spool-store.ts';
import type { AppendItem, AppendPart } from '../../src/core/rows/place-append.ts';
import {
  Committer,
  MOST_WAITING_BYTES,
  type AppendResult,
  type CommitStage,
} from '../../src/flows/append/committer.ts';
import { commitTold } from '../../src/flows/append/commit-told.ts';
import { Committers, MANY_SERIES } from '../../src/flows/append/committers.ts';
import { DataRoot } from '../../src/storage/folder/data-root.ts';
import { writeSpool } from '../../src/storage/folder/spool.ts';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { relayTo } from '../support/tcp-relay.ts';

let database: TestDatabase;
let open: OpenDatabase;
let folder: string;
let root: DataRoot;
let projectId: string;

beforeAll(async () => {
  database = await testDatabase();
  open = openDatabase(database.url, { poolSize: 4, onError: () => {} });
  folder = await mkdtemp(join(tmpdir(), 'varve-committer-'));
  root = new DataRoot(folder);
  root.prepare();
  projectId = uuidv7();
  await query('insert into projects (id, name) values ($1, $2)', [projectId, 'p']);
});

afterAll(async () => {
  await open.close();
  await database.drop();
  await rm(folder, { recursive: true });
});

async function query<R extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<R[]> {
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  try {
    return (await client.query<R>(text, values)).rows;
  } finally {
    await client.end();
  }
}

/** On the pool: there may be hundreds. */
async function sql(text: string, values: readonly unknown[]): Promise<void> {
  await sessionOf(open.db).query(text, values);
}

async function createSeries(): Promise<string> {
  const [id, lane] = [uuidv7(), uuidv7()];
  await sql('insert into lanes (id) values ($1)', [lane]);
  await sql(
    `insert into series (id, project_id, name, kind, dtype, channels, channel_count, time_reference, duplicates, codec)
     values ($1::uuid, $2, $1::uuid::text, 'irregular', 'float64', '[]', 1, 'utc', 'last', 'gzip')`,
    [id, projectId],
  );
  await sql('insert into heads (series_id, lane_id, project_id) values ($1, $2, $3)', [id, lane, projectId]);
  return id;
}

function makeCommitter(
  onStage?: (stage: CommitStage) => Promise<void> | void,
  connect: () => Promise<CommitSession> = () => openCommitSession(database.url),
  mostWaitingBytes?: number,
): Committer {
  return new Committer({
    connect,
    onStage,
    mostWaitingBytes,
    spool: async (pieces) => {
      const id = uuidv7();
      await registerSpools(open.db, [id]);
      return { id, offsets: await writeSpool(root, id, pieces) };
    },
  });
}

/** One row at a time. */
function item(seriesId: string, at: number, key: string | null = null, rows = 1): AppendItem {
  const values = new Uint8Array(Float64Array.from({ length: rows }, (_, i) => at + i).buffer);
  const times = new Uint8Array(BigInt64Array.from({ length: rows }, (_, i) => BigInt(at + i)).buffer);
  const part: AppendPart = {
    rows,
    bytes: values.length + times.length,
    firstNs: BigInt(at),
    lastNs: BigInt(at + rows - 1),
    sorted: true,
    valuesCrc: crc32(values),
    timesCrc: crc32(times),
    place: { kind: 'memory', values, times },
  };
  return {
    seriesId,
    rule: { kind: 'irregular', duplicates: 'last' },
    knownVersion: null,
    rows,
    runs: [],
    parts: [part],
    key: key === null ? null : { key, hash: Uint8Array.of(at % 256) },
    tokenId: null,
  };
}

interface Stored {
  readonly first_row: string;
  readonly rows: string;
  readonly values: Buffer | null;
}

async function storedRows(seriesId: string): Promise<number> {
  const [{ rows }] = await query<{ rows: string }>(
    'select coalesce(sum(rows), 0) as rows from fresh where series_id = $1',
    [seriesId],
  );
  const [head] = await query<{ rows: string }>('select rows from heads where series_id = $1', [seriesId]);
  expect(head.rows).toBe(rows);
  return Number(rows);
}

const isAppended = (result: AppendResult): boolean => result.kind === 'appended';

describe('the committer', () => {
  test('commits what waits together, numbers rows without gap, and tells of every append', async () => {
    const committer = makeCommitter();
    const series = await Promise.all([createSeries(), createSeries(), createSeries()]);
    const results = await Promise.all(
      Array.from({ length: 300 }, (_, i) => committer.submit({ items: [item(series[i % 3], i)], atomic: false })),
    );
    await committer.close();
    expect(results.flat().every(isAppended)).toBe(true);
    const commits = new Set(results.flat().map((each) => each.kind === 'appended' && each.commit));
    expect(commits.size).toBeLessThan(30);
    for (const id of series) {
      expect(await storedRows(id)).toBe(100);
      const rows = await query<Stored>('select first_row, rows, values from fresh where series_id = $1 order by id', [
        id,
      ]);
      const values = rows.flatMap((row) => [...new Float64Array(Uint8Array.from(row.values!).buffer)]);
      expect(values).toEqual(Array.from({ length: 300 }, (_, i) => i).filter((i) => series[i % 3] === id));
      const [{ told }] = await query<{ told: string }>(
        'select count(*) as told from commits, unnest(series) s where s = $1',
        [id],
      );
      expect(Number(told)).toBe(100);
    }
  });

  test('forgets no append that comes in the very moment when it runs out of work', async () => {
    const id = await createSeries();
    const committer = makeCommitter();
    const most = 24;
    for (let steps = 0; steps < most; steps++) {
      await committer.submit({ items: [item(id, steps)], atomic: false });
      for (let step = 0; step < steps; step++) await Promise.resolve();
      const late = sleep(5_000, 'late', { ref: false });
      const next = committer.submit({ items: [item(id, most + steps)], atomic: false });
      expect({ steps, next: await Promise.race([next, late]) }).toEqual({
        steps,
        next: [expect.objectContaining({ kind: 'appended' })],
      });
    }
    expect(await storedRows(id)).toBe(2 * most);
    await committer.close();
  });

  test('answers a key that comes again as it was answered, in the same batch and later, across two committers', async () => {
    const [one, other] = [makeCommitter(), makeCommitter()];
    const id = await createSeries();
    const send = (by: Committer): Promise<AppendResult[]> => by.submit({ items: [item(id, 7, 'k')], atomic: false });
    const results = (await Promise.all([send(one), send(one), send(other), send(other)])).flat();
    results.push(...(await send(other)));
    const answers = results.map((each) => each.kind === 'appended' && [each.commit, each.ordinal, each.rows]);
    expect(new Set(answers.map(String)).size).toBe(1);
    expect(results.filter((each) => each.kind === 'appended' && !each.replayed)).toHaveLength(1);
    expect(await storedRows(id)).toBe(1);
    await Promise.all([one.close(), other.close()]);
  });

  test('lets one item that Postgres refuses fail alone among 256', async () => {
    const committer = makeCommitter();
    const ids = await Promise.all(Array.from({ length: 4 }, createSeries));
    const outcomes = await Promise.allSettled(
      Array.from({ length: 256 }, (_, i) =>
        committer.submit({ items: [item(ids[i % 4], i, i === 100 ? 'a\u0000b' : null)], atomic: false }),
      ),
    );
    await committer.close();
    expect(outcomes.flatMap(({ status }, i) => (status === 'rejected' ? [i] : []))).toEqual([100]);
    const rows = await Promise.all(ids.map(storedRows));
    expect(rows.reduce((a, b) => a + b, 0)).toBe(255);
  });

  test('keeps nobody waiting for a series that somebody holds, and refuses its appends in bounded time', async () => {
    const committer = makeCommitter();
    const [held, free] = [await createSeries(), await createSeries()];
    const holder = new pg.Client({ connectionString: database.url });
    await holder.connect();
    await holder.query('begin');
    await holder.query('select from heads where series_id = $1 for update', [held]);
    const waiting = committer.submit({ items: [item(held, 1)], atomic: false });
    const refused = expect(waiting).rejects.toMatchObject({ code: 'unavailable', slug: 'series-busy' });
    const results = await committer.submit({ items: [item(free, 1)], atomic: false });
    expect(results.every(isAppended)).toBe(true);
    await refused;
    await holder.query('rollback');
    await holder.end();
    expect(await storedRows(held)).toBe(0);
    await committer.close();
  });

  test('keeps no sensor waiting for a body of many series', async () => {
    const signal = (): { done: Promise<void>; now: () => void } => {
      let now = (): void => {};
      const done = new Promise<void>((resolve) => (now = resolve));
      return { done, now };
    };
    const [held, goOn] = [signal(), signal()];
    let isFirst = true;
    const committers = new Committers({
      connect: () => openCommitSession(database.url),
      spool: () => Promise.reject(new Error('nothing here is large')),
      onStage: async (stage) => {
        if (stage !== 'locked' || !isFirst) return;
        isFirst = false;
        held.now();
        await goOn.done;
      },
    });
    const ids = await Promise.all(Array.from({ length: MANY_SERIES + 1 }, createSeries));
    const many = committers.submit({ items: ids.map((id) => item(id, 1)), atomic: false });
    await held.done;
    const [result] = await committers.submit({ items: [item(await createSeries(), 1)], atomic: false });
    expect(isAppended(result)).toBe(true);
    goOn.now();
    expect((await many).every(isAppended)).toBe(true);
    await committers.close();
  });

  /** A body that is under way, so that those submitted after it make one batch. */
  async function gate(onStage: (stage: CommitStage, batch: number) => Promise<void> | void = () => {}): Promise<{
    committer: Committer;
    open: () => void;
  }> {
    let open = (): void => {};
    const opened = new Promise<void>((resolve) => (open = resolve));
    let batch = 0;
    const committer = makeCommitter(async (stage) => {
      if (stage === 'opened') batch++;
      if (batch === 1 && stage === 'opened') await opened;
      await onStage(stage, batch);
    });
    void committer.submit({ items: [item(await createSeries(), 1)], atomic: false });
    return { committer, open };
  }

  /** Holds what a statement locks, until it is let go. */
  async function hold(statement: string): Promise<() => Promise<void>> {
    const holder = new pg.Client({ connectionString: database.url });
    await holder.connect();
    await holder.query('begin');
    await holder.query(statement);
    return async () => {
      await holder.query('rollback');
      await holder.end();
    };
  }

  test('stores once what was held elsewhere while the batch it came with failed', async () => {
    const [held, free] = [await createSeries(), await createSeries()];
    const letHead = await hold(`select from heads where series_id = '${held}' for update`);
    let letCounter: () => Promise<void> = async () => {};
    const { committer, open } = await gate(async (stage, batch) => {
      if (batch !== 2) return;
      if (stage === 'opened') letCounter = await hold('select from commit_counter for update');
      if (stage !== 'sent') return;
      // All is said, the counter is waited for: now the held series is free, and the attempt ends.
      await letHead();
      await query(
        `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'varve committer' and datname = current_database()`,
      );
      await letCounter();
    });
    const both = [held, free].map((id) => committer.submit({ items: [item(id, 1)], atomic: false }));
    open();
    expect((await Promise.all(both)).flat().every(isAppended)).toBe(true);
    await committer.submit({ items: [item(free, 2)], atomic: false });
    expect([await storedRows(held), await storedRows(free)]).toEqual([1, 2]);
    await committer.close();
  });

  test('stores a large body that was put off, whose spool file another one of its batch has kept', async () => {
    const [held, free] = [await createSeries(), await createSeries()];
    const letHead = await hold(`select from heads where series_id = '${held}' for update`);
    const { committer, open } = await gate();
    const [waiting, passing] = [held, free].map((id) =>
      committer.submit({ items: [item(id, 1, null, 12_000)], atomic: false }),
    );
    open();
    expect((await passing).every(isAppended)).toBe(true);
    await letHead();
    expect((await waiting).every(isAppended)).toBe(true);
    expect([await storedRows(held), await storedRows(free)]).toEqual([12_000, 12_000]);
    await committer.close();
  });

  test('leaves a server that has fallen silent, and stores once what it was asked', async () => {
    const relay = await relayTo(database.url);
    const committer = makeCommitter(
      (stage) => {
        if (stage === 'sent' && !isMute) relay.mute();
        isMute ||= stage === 'sent';
      },
      () => openCommitSession(relay.url, 500),
    );
    let isMute = false;
    const id = await createSeries();
    const [result] = await committer.submit({ items: [item(id, 1)], atomic: false });
    expect(isAppended(result)).toBe(true);
    expect(await storedRows(id)).toBe(1);
    await committer.close();
    await relay.cut();
  });

  test('waits for a transaction that is the newest of all and under way, before it says that it was undone', async () => {
    const [asked, other] = [await openCommitSession(database.url), await openCommitSession(database.url)];
    await other.query('begin');
    const { rows } = await other.query<{ xid: string }>('select pg_current_xact_id()::text as xid');
    const trace = { xid: rows[0].xid, marker: uuidv7(), after: 0n };
    expect(await findCommit(asked, trace)).toBeUndefined();
    await other.query('rollback');
    expect(await findCommit(asked, trace)).toBeNull();
    await Promise.all([asked.close(), other.close()]);
  });

  test.each([true, false])(
    'an edit whose answer to COMMIT is lost is told by what became of it (committed: %s)',
    async (did) => {
      const relay = await relayTo(database.url);
      const pool = openDatabase(relay.url, { poolSize: 1, onError: () => {} });
      const id = await createSeries();
      let breaking: Promise<void> = Promise.resolve();
      const edited = commitTold(pool.db, async (trx, told) => {
        const session = sessionOf(trx);
        const head = (await lockHead(session, id))!;
        const change = { fresh: [], closed: [], gone: [], marks: [], heads: [{ ...head, edits: 1 }], changes: [] };
        const { trace, commit } = await prepareCommit(session, change);
        told(trace);
        relay.mute();
        // Either the connection breaks before COMMIT has come, or after it.
        if (!did)
          await query(
            `select pg_terminate_backend(pid) from pg_stat_activity where xact_start is not null and pid <> pg_backend_pid() and datname = current_database()`,
          );
        breaking = sleep(200)
          .then(() => relay.cut())
          .then(() => relay.restore());
        return commit;
      });
      if (did) expect(typeof (await edited)).toBe('bigint');
      else await expect(edited).rejects.toThrow();
      const [head] = await query<{ edits: number }>('select edits from heads where series_id = $1', [id]);
      expect(head.edits).toBe(did ? 1 : 0);
      await breaking;
      await pool.close();
      await relay.cut();
    },
  );

  test('brings many bytes into one spool file, and keeps their place', async () => {
    const committer = makeCommitter();
    const ids = await Promise.all(Array.from({ length: 8 }, createSeries));
    await Promise.all(ids.map((id, i) => committer.submit({ items: [item(id, i, null, 4_000)], atomic: false })));
    await committer.close();
    const rows = await query<{ spool_id: string; values_offset: string; at: string }>(
      'select spool_id, values_offset, first_ns as at from fresh where series_id = any($1)',
      [ids],
    );
    const { readFile } = await import('node:fs/promises');
    for (const row of rows.filter(({ spool_id: id }) => id !== null)) {
      const file = await readFile(root.spooled(row.spool_id));
      expect(file.readDoubleLE(Number(row.values_offset))).toBe(Number(row.at));
    }
    expect(rows.some(({ spool_id: id }) => id !== null)).toBe(true);
    const states = await query<{ state: string }>('select distinct state from spool_files');
    expect(states).toEqual([{ state: 'kept' }]);
  });

  test.each<CommitStage>(['opened', 'locked', 'sent', 'committed'])(
    'stores every append exactly once when its connection is cut after "%s"',
    async (stage) => {
      let cuts = 1;
      const committer = makeCommitter(async (at) => {
        if (at !== stage || cuts-- <= 0) return;
        await query(
          `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'varve committer' and datname = current_database()`,
        );
      });
      const id = await createSeries();
      const results = await Promise.all(
        [1, 2, 3].map((at) => committer.submit({ items: [item(id, at)], atomic: false })),
      );
      expect(results.flat().every(isAppended)).toBe(true);
      await committer.submit({ items: [item(id, 4)], atomic: false });
      expect(await storedRows(id)).toBe(4);
      await committer.close();
    },
  );

  test.each([true, false])(
    'asks Postgres what became of a COMMIT whose answer is lost (committed: %s)',
    async (did) => {
      let cuts = 1;
      const connect = async (): Promise<CommitSession> => {
        const session = await openCommitSession(database.url);
        return {
          get isOpen() {
            return session.isOpen;
          },
          close: () => session.close(),
          async query(text, values) {
            if (text !== 'commit' || cuts-- <= 0) return session.query(text, values);
            await session.query(did ? 'commit' : 'rollback');
            await session.close();
            throw new Error('Connection terminated unexpectedly');
          },
        };
      };
      const committer = makeCommitter(undefined, connect);
      const id = await createSeries();
      const [result] = await committer.submit({ items: [item(id, 1)], atomic: false });
      expect(isAppended(result)).toBe(true);
      expect(await storedRows(id)).toBe(1);
      await committer.close();
    },
  );

  test('takes no other transaction for its own, though Postgres gave it the same numbers after a crash', async () => {
    const committer = makeCommitter();
    await committer.submit({ items: [item(await createSeries(), 1)], atomic: false });
    await committer.close();
    const [{ commit, marker }] = await query<{ commit: string; marker: string }>(
      'select "commit", marker from commits where marker is not null order by "commit" desc limit 1',
    );
    const [{ xid }] = await query<{ xid: string }>('select pg_current_xact_id()::text as xid');
    const session = await openCommitSession(database.url);
    const known = { xid, marker, after: BigInt(commit) - 1n };
    expect(await findCommit(session, known)).toBe(BigInt(commit));
    expect(await findCommit(session, { ...known, marker: uuidv7() })).toBeNull();
    // Of a transaction that the crash has undone, before its number is given again.
    expect(await findCommit(session, { ...known, marker: uuidv7(), xid: String(2n ** 40n) })).toBeNull();
    await session.close();
  });
});

test.each([undefined, MOST_WAITING_BYTES / 2])('rows that wait are bounded in bytes (%s)', async (limit) => {
  let release = (): void => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  const committer = makeCommitter((stage) => (stage === 'opened' ? held : undefined), undefined, limit);
  const series = await createSeries();
  // A row has 16 bytes with its time; two bodies fill the limit.
  const rows = (limit ?? MOST_WAITING_BYTES) / 32;
  const body = (at: number, count: number) => ({ items: [item(series, at, null, count)], atomic: false });
  const waiting = [committer.submit(body(0, rows)), committer.submit(body(rows, rows))];
  await expect(committer.submit(body(2 * rows, 1))).rejects.toMatchObject({
    code: 'unavailable',
    slug: 'backlog-full',
  });
  release();
  await Promise.all(waiting);
  await committer.submit(body(2 * rows, 1));
  expect(await storedRows(series)).toBe(2 * rows + 1);
  await committer.close();
});
