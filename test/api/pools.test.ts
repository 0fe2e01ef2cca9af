/** Postgres that keeps the service waiting, in part: what is answered meanwhile, and in the end everything. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import pg from 'pg';
import { openDatabasePools } from '../../src/catalog/database.ts';
import { hasTestPostgres, testDatabase, type TestDatabase } from '../support/postgres.ts';
import { startService, type RunningService } from '../support/service.ts';
import { ApiClient, expecting, pause, tally, type Answer, type Problem } from './client.ts';

const suite = hasTestPostgres() ? describe : describe.skip;

let database: TestDatabase;
let service: RunningService;
let api: ApiClient;
let other: pg.Client;

beforeAll(async () => {
  if (!hasTestPostgres()) return;
  database = await testDatabase();
  service = await startService({ env: { DATABASE_URL: database.url } });
  api = new ApiClient(service);
  other = new pg.Client({ connectionString: database.url });
  await other.connect();
});

afterAll(async () => {
  await other?.end();
  await service?.drop();
  await database?.drop();
});

async function newSeries(): Promise<{ id: string; samples: string }> {
  const sampling = { kind: 'regular', rate_hz: 100 };
  const { id } = await api.createSeries({ name: randomUUID(), dtype: 'int32', sampling });
  return { id, samples: `/v1/series/${id}/samples` };
}

/** A transaction of somebody who has stopped in the middle of it. */
async function holding<T>(ids: readonly string[], work: () => Promise<T>): Promise<T> {
  await other.query('begin');
  await other.query('select from series where id = any($1) for update', [ids]);
  await other.query('select from heads where series_id = any($1) for update', [ids]);
  try {
    return await work();
  } finally {
    await other.query('rollback');
  }
}

function expectToldToRetry({ status, headers, json }: Answer): void {
  expect(status).toBe(503);
  expect(Number(headers['retry-after'])).toBeGreaterThan(0);
  expect(json<Problem>().type).toMatch(/unavailable|series-busy/);
}

suite('a session that stops while it holds a series', () => {
  test('keeps nobody waiting but who changes that series, and those are told', async () => {
    const held = await newSeries();
    const free = await newSeries();
    await api.append(free.id, { values: [1] });
    const append = ({ samples }: { samples: string }) => api.post(samples, { values: [1, 2] });
    await holding([held.id], async () => {
      const waiting = Array.from({ length: 60 }, () => append(held));
      for (let i = 0; i < 30; i++) waiting.push(api.patch(`/v1/series/${held.id}`, { unit: 'mV' }));
      const others: Promise<Answer>[] = [];
      for (let i = 0; i < 20; i++) {
        others.push(append(free), api.get(free.samples), api.get(held.samples), api.get('/v1/series?unit=mV'));
        others.push(api.post('/v1/series', { name: randomUUID(), dtype: 'int8', sampling: { kind: 'irregular' } }));
        others.push(api.get('/readyz'));
      }
      expect(tally(await Promise.all(others))).toEqual({ 200: 80, 201: 40 });
      for (const answer of await Promise.all(waiting)) expectToldToRetry(answer);
    });
    expecting(201, await append(held));
  });

  test('stops no append to other series, however many it holds', async () => {
    const held = await Promise.all(Array.from({ length: 30 }, newSeries));
    const free = await newSeries();
    await holding(
      held.map(({ id }) => id),
      async () => {
        const waiting = held.map(({ samples }) => api.post(samples, { values: [1] }));
        for (let row = 0; row < 50; row++) {
          expect(expecting(201, await api.post(free.samples, { values: [row] })).json()).toMatchObject({
            first_row: row,
          });
        }
        expecting(200, await api.get('/readyz'));
        for (const each of await Promise.all(waiting)) expectToldToRetry(each);
      },
    );
    for (const { samples } of held) expecting(201, await api.post(samples, { values: [1] }));
  });

  test('is told by /readyz where it stops all changes of series, and appends go on', async () => {
    const held = await Promise.all(Array.from({ length: 30 }, newSeries));
    const free = await newSeries();
    await holding(
      held.map(({ id }) => id),
      async () => {
        const waiting = held.map(({ id }) => api.patch(`/v1/series/${id}`, { unit: 'mV' }));
        let answer = await api.get('/readyz');
        for (; answer.status === 200; answer = await api.get('/readyz')) await pause(20);
        expect(answer.json()).toMatchObject({ status: 'not ready', checks: { postgres: { ok: false } } });
        expect((await api.get('/v1/series?limit=1')).status).toBe(200);
        expecting(201, await api.post(free.samples, { values: [1] }));
        for (const each of await Promise.all(waiting)) expectToldToRetry(each);
      },
    );
    while ((await api.get('/readyz')).status !== 200) await pause(20);
    expecting(201, await api.post(held[0].samples, { values: [1] }));
  });
});

suite('a process of Postgres that is stopped', () => {
  test('keeps those waiting who asked it, for a time; all others are answered', async () => {
    const { samples } = await newSeries();
    await Promise.all(Array.from({ length: 8 }, () => api.get(samples)));
    const { rows } = await other.query<{ pid: number }>(
      `select pid from pg_stat_activity where datname = current_database() and application_name = 'varve' and state = 'idle' and pid <> pg_backend_pid()
       order by query_start desc limit 3`,
    );
    expect(rows.length).toBeGreaterThan(0);
    for (const { pid } of rows) process.kill(pid, 'SIGSTOP');
    try {
      let answered = 0;
      const asked = Array.from({ length: 40 }, async () => {
        const answer = await api.get(samples);
        answered++;
        return answer;
      });
      while (answered < 40 - rows.length) await pause(20);
      const counts = tally(await Promise.all(asked));
      expect(counts[200]).toBeGreaterThanOrEqual(40 - rows.length);
      expect(Object.keys(counts).filter((status) => !['200', '503'].includes(status))).toEqual([]);
      expecting(200, await api.get(samples));
    } finally {
      for (const { pid } of rows) process.kill(pid, 'SIGCONT');
    }
  });
});

suite('the sessions of every pool', () => {
  test('have limits of time, those of jobs and edits larger ones', async () => {
    const pools = openDatabasePools(database.url, { jobs: 2, onError: () => {} });
    const { close, ...each } = pools;
    try {
      for (const pool of Object.values(each)) {
        const { rows } = await sql<{ name: string; ms: number }>`
          select name, setting::int as ms from pg_settings where name in
            ('lock_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')`.execute(
          pool,
        );
        const version = await sql<{ n: number }>`select current_setting('server_version_num')::int as n`.execute(pool);
        expect(rows).toHaveLength(version.rows[0].n >= 170_000 ? 4 : 3);
        for (const { ms } of rows) expect(ms).toBeGreaterThan(0);
        const of = (name: string): number => rows.find((row) => row.name === name)?.ms ?? Infinity;
        const isLong = pool === each.jobs || pool === each.edits;
        expect(of('transaction_timeout') > 60_000).toBe(isLong || version.rows[0].n < 170_000);
      }
    } finally {
      await close();
    }
  });

  test('end a transaction that has been left, and what waits for a lock', async () => {
    const { id } = await newSeries();
    const pools = openDatabasePools(database.url, { jobs: 2, onError: () => {} });
    try {
      await holding([id], async () => {
        const change = pools.writes.updateTable('series').set({ unit: 'V' }).where('id', '=', id).execute();
        await expect(change).rejects.toMatchObject({ code: '55P03' });
      });
    } finally {
      await pools.close();
    }
  });
});
