/** The feed of changes: a row a commit, in the order of visibility. */
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { sql } from 'kysely';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { createProject } from '../../src/catalog/people/access-store.ts';
import {
  commitChanges,
  commitEdit,
  COMMIT_CHANNEL,
  FEED_DAYS,
  KEY_DAYS,
  MAX_CHANGES,
  trimFeed,
  type Change,
} from '../../src/catalog/commit-feed.ts';
import { openDatabase, type Database, type OpenDatabase } from '../../src/catalog/database.ts';
import { createSeries, deleteSeries, restoreSeries, updateSeries } from '../../src/catalog/series/series-store.ts';
import { importedSpec } from '../../src/formats/recordings/imported-series.ts';
import { seriesService } from '../../src/flows/series/manage-series.ts';
import { SeriesTurns } from '../../src/flows/series/series-turns.ts';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';

const PROJECT = 'lab';
const projectId = uuidv7();
const token = uuidv7();

let database: TestDatabase;
let open: OpenDatabase;
let db: Database;

beforeAll(async () => {
  database = await testDatabase();
  open = openDatabase(database.url, { poolSize: 8, onError: () => {} });
  ({ db } = open);
  await createProject(db, projectId, PROJECT);
});

afterAll(async () => {
  await open?.close();
  await database?.drop();
});

beforeEach(async () => {
  for (const table of ['commits', 'append_keys', 'heads', 'series', 'metadata_edits'] as const)
    await db.deleteFrom(table).execute();
});

const spec = (name: string) => ({
  ...importedSpec({
    name,
    dtype: 'int16',
    channels: [{ label: 'x' }],
    sampling: { kind: 'irregular' },
    provenance: {},
  }),
  project: PROJECT,
});
const create = async (name: string): Promise<string> =>
  (await createSeries(db, uuidv7(), uuidv7(), spec(name), [], token)).id;
const feed = () => db.selectFrom('commits').selectAll().orderBy('commit').execute();
const counter = async (): Promise<bigint> =>
  (await db.selectFrom('commit_counter').select('value').executeTakeFirstOrThrow()).value;

const change = (kind: Change['kind'], more: Partial<Change> = {}): Change => ({
  seriesId: uuidv7(),
  projectId,
  kind,
  tokenId: token,
  ...more,
});

test('every change of metadata is a commit of its own, with who asked for it', async () => {
  const before = await counter();
  const id = await create('one');
  await updateSeries(db, id, { unit: 'mV' }, { tokenId: token });
  await deleteSeries(db, id, token);
  await restoreSeries(db, id);
  const rows = await feed();
  expect(rows.map(({ commit }) => commit - before)).toEqual([1n, 2n, 3n, 4n]);
  expect(rows.map((row) => [row.kinds, row.series, row.project_ids, row.tokens])).toEqual(
    ['create', 'update', 'delete', 'restore'].map((kind) => [
      [kind],
      [id],
      [projectId],
      [kind === 'restore' ? null : token],
    ]),
  );
});

test('changes of one commit keep their order, which is their ordinal', async () => {
  const changes = [
    change('append', { firstRow: 2 ** 40, rows: 3 }),
    change('remove', { rows: 7 }),
    change('create', { tokenId: null }),
  ];
  const commit = await db.transaction().execute((trx) => commitChanges(trx, changes, { acceptedBytes: 12 }));
  expect(await feed()).toMatchObject([
    {
      commit,
      series: changes.map(({ seriesId }) => seriesId),
      kinds: ['append', 'remove', 'create'],
      first_rows: [BigInt(2 ** 40), null, null],
      rows: [3n, 7n, null],
      tokens: [token, token, null],
    },
  ]);
  expect(await db.transaction().execute((trx) => commitChanges(trx, []))).toBeNull();
  expect(await counter()).toBe(commit);
});

test('what goes along with a commit knows its number', async () => {
  const id = await create('along');
  const also = [sql`update heads set "commit" = k.value from k where series_id = ${id}`];
  const commit = await db
    .transaction()
    .execute((trx) => commitChanges(trx, [change('append', { seriesId: id })], { also }));
  expect(await db.selectFrom('heads').select('commit').where('series_id', '=', id).execute()).toEqual([{ commit }]);
});

test('numbers become visible in their order, however many commit at once', async () => {
  const before = await counter();
  let isDone = false;
  let seen = before;
  const follow = async (): Promise<void> => {
    while (!isDone) {
      const rows = await db
        .selectFrom('commits')
        .select('commit')
        .where('commit', '>', seen)
        .orderBy('commit')
        .execute();
      for (const { commit } of rows) expect(commit).toBe(++seen);
    }
  };
  const following = follow();
  await Promise.all(Array.from({ length: 60 }, (_, i) => create(`at once/${i}`)));
  isDone = true;
  await following;
  expect((await feed()).map(({ commit }) => commit - before)).toEqual(
    Array.from({ length: 60 }, (_, i) => BigInt(i + 1)),
  );
});

test('every commit is announced with its number', async () => {
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  const heard: string[] = [];
  client.on('notification', ({ payload }) => heard.push(payload!));
  await client.query(`listen ${COMMIT_CHANNEL}`);
  await create('announced');
  const commit = await db.transaction().execute((trx) => commitChanges(trx, [change('append')]));
  await client.query('select 1');
  expect(heard).toEqual([String(commit! - 1n), String(commit)]);
  await client.end();
});

test('a creation that is answered again is told once', async () => {
  const { createOnce } = seriesService({ reads: db, writes: db, searches: db }, new SeriesTurns());
  const principal = { tokenId: token, scopes: ['admin' as const], projects: null };
  const once = { key: 'k', contentHash: Buffer.alloc(32) };
  const first = await createOnce(principal, spec('once'), once, ({ id }) => id);
  expect(await createOnce(principal, spec('once'), once, ({ id }) => id)).toEqual({
    answer: first.answer,
    replayed: true,
  });
  expect(await feed()).toMatchObject([{ series: [first.answer], kinds: ['create'] }]);
});

test('an edit of many series is told in commits of a bounded size, one after the other', async () => {
  const edit = uuidv7();
  const count = 2 * MAX_CHANGES + 1;
  await sql`insert into metadata_edits (id, kind, token_id, project_ids, request, series) values (${edit}, 'edit', ${token}, '{}', '{}', 0)`.execute(
    db,
  );
  await sql`
    insert into series (id, project_id, name, kind, dtype, channels, channel_count, time_reference, duplicates, codec)
    select gen_random_uuid(), ${projectId}, 'edited/' || i, 'irregular', 'int16', '[]', 1, 'utc', 'last', 'gzip'
    from generate_series(1, ${count}) i`.execute(db);
  await sql`
    insert into series_history (series_id, id, action, token_id, edit_id, changes)
    select id, gen_random_uuid(), 'edit', ${token}, ${edit}, '[]' from series`.execute(db);
  const before = await counter();
  await db.transaction().execute((trx) => commitEdit(trx, edit));
  const rows = await feed();
  expect(rows.map((row) => [row.commit - before, row.series.length])).toEqual([
    [1n, MAX_CHANGES],
    [2n, MAX_CHANGES],
    [3n, 1],
  ]);
  expect(await counter()).toBe(before + 3n);
  expect(new Set(rows.flatMap((row) => row.series)).size).toBe(count);
  for (const row of rows) {
    const lists = [row.project_ids, row.kinds, row.first_rows, row.rows, row.tokens];
    expect(lists.map(({ length }) => length)).toEqual(lists.map(() => row.series.length));
    expect(new Set(row.tokens)).toEqual(new Set([token]));
  }
});

test('what is too old is forgotten, at most so much at a time', async () => {
  await sql`
    insert into commits ("commit", at, project_ids, series, kinds, first_rows, rows, tokens)
    select -i, now() - make_interval(days => ${FEED_DAYS}, secs => i), '{}', '{}', '{}', '{}', '{}', '{}' from generate_series(-2, 5) i
    where i <> 0`.execute(db);
  await sql`
    insert into append_keys (series_id, key, hash, "commit", ordinal, rows, at)
    select ${projectId}, 'k' || i, '', 1, 0, 1, now() - make_interval(days => ${KEY_DAYS}, secs => 60 * i) from generate_series(-1, 4) i
    where i <> 0`.execute(db);
  await sql`update commits set at = at + interval '1 hour' where "commit" > 0`.execute(db);
  expect(await trimFeed(db, 3)).toEqual({ commits: 3, keys: 3 });
  expect((await feed()).map(({ commit }) => commit)).toEqual([-2n, -1n, 1n, 2n]); // the oldest are gone
  expect(await trimFeed(db, 3)).toEqual({ commits: 2, keys: 1 });
  expect(await trimFeed(db, 3)).toEqual({ commits: 0, keys: 0 });
  expect((await feed()).map(({ commit }) => commit)).toEqual([1n, 2n]);
  expect(await db.selectFrom('append_keys').select('key').execute()).toEqual([{ key: 'k-1' }]);
});
