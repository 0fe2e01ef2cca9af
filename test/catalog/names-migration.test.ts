/** A catalog of before names were one in all their spellings. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Migrator } from 'kysely';
import { migrations } from '../../migrations/index.ts';
import { openDatabase, type OpenDatabase } from '../../src/catalog/database.ts';
import { getSeries } from '../../src/catalog/series/series-store.ts';
import { inSearchSnapshot } from '../../src/catalog/search/search-snapshot.ts';
import { searchSeries } from '../../src/catalog/search/search-store.ts';
import { execute, testDatabase, type TestDatabase } from '../support/postgres.ts';

const NFC = 'Zo\u00eb';
const NFD = 'Zoe\u0308';
const BEFORE = '0009_subjects';

let database: TestDatabase;
let open: OpenDatabase;

beforeAll(async () => {
  database = await testDatabase();
  await execute(database.url, 'drop schema public cascade; create schema public');
  open = openDatabase(database.url, { poolSize: 2, onError: () => {} });
});

afterAll(async () => {
  await open?.close();
  await database?.drop();
});

test('two names that are now one stay two, and what has a tag is found by either spelling of it', async () => {
  const migrator = new Migrator({ db: open.db, provider: { getMigrations: () => Promise.resolve(migrations) } });
  expect((await migrator.migrateTo(BEFORE)).error).toBeUndefined();
  const series = (n: number, project: number, name: string, tags: string): string =>
    `insert into series (id, project_id, lane_id, name, kind, dtype, channels, channel_count, time_reference, duplicates, codec, tags, created_at)
     values ('0198c5e0-0000-7000-8000-00000000000${n}', '0198c5e0-0000-7000-8000-00000000010${project}', '0198c5e0-0000-7000-8000-000000000000',
       '${name}', 'irregular', 'int8', '[{"label": "value"}]', 1, 'utc', 'last', 'none', '${tags}', to_timestamp(${n}))`;
  await execute(
    database.url,
    [
      `insert into projects (id, name, created_at) values ('0198c5e0-0000-7000-8000-000000000101', '${NFC}', to_timestamp(1)),
         ('0198c5e0-0000-7000-8000-000000000102', '${NFD}', to_timestamp(2))`,
      `insert into lanes (id) values ('0198c5e0-0000-7000-8000-000000000000')`,
      series(1, 1, NFD, `{"${NFD}": "${NFC}", "n": 12345678901234567890}`),
      series(2, 1, NFC, `{"${NFC}": "${NFD}"}`),
      series(3, 1, `${NFC} (2)`, '{}'),
      series(4, 2, NFC, `{"plain": ["${NFD}", "x"]}`),
      `insert into subjects (project_id, id, content, updated_at) values
         ('0198c5e0-0000-7000-8000-000000000101', '${NFC}', '{}', to_timestamp(1)),
         ('0198c5e0-0000-7000-8000-000000000101', '${NFD}', '{}', to_timestamp(2))`,
    ].join(';\n'),
  );
  expect((await migrator.migrateToLatest()).error).toBeUndefined();
  await execute(
    database.url,
    `insert into heads (series_id, lane_id, project_id) select id, '0198c5e0-0000-7000-8000-000000000000', project_id from series`,
  );

  const search = (asked: Parameters<typeof searchSeries>[1], scope: null): ReturnType<typeof searchSeries> =>
    inSearchSnapshot(open.db, (trx) => searchSeries(trx, asked, scope));
  const all = { where: null, sort: [], limit: 10, after: null };
  const { items } = await search(all, null);
  expect(items.map(({ project, name }) => [project, name])).toEqual([
    [NFC, NFD],
    [NFC, `${NFC} (3)`],
    [NFC, `${NFC} (2)`],
    [`${NFD} (2)`, NFC],
  ]);
  expect(items[0].tags[NFD]).toBe(NFC);
  for (const name of [NFC, NFD]) {
    expect((await getSeries(open.db, { project: name, name })).id).toBe(items[0].id);
    const where = { kind: 'tag', key: name, test: { op: 'any', values: [{ type: 'text', text: name }] } } as const;
    const found = await search({ ...all, where }, null);
    expect(found.items.map(({ id }) => id)).toEqual([items[0].id, items[1].id]);
    const listed = { ...where, key: 'plain' } as const;
    expect((await search({ ...all, where: listed }, null)).items).toHaveLength(1);
  }
});
