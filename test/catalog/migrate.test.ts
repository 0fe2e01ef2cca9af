import { afterEach, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { Migrator, sql } from 'kysely';
import { migrations } from '../../migrations/index.ts';
import { openDatabase, type OpenDatabase } from '../../src/catalog/database.ts';
import { migrate } from '../../src/catalog/migrate.ts';
import { execute, POSTGRES_URL_VARIABLE } from '../support/postgres.ts';

const cluster = process.env[POSTGRES_URL_VARIABLE]!;
const name = `test_${randomUUID().replaceAll('-', '')}`;
const url = Object.assign(new URL(cluster), { pathname: name }).href;
let open: OpenDatabase;

afterEach(async () => {
  await open?.close();
  await execute(cluster, `DROP DATABASE ${name} WITH (FORCE)`);
});

/** An empty database, brought to the schema of some former version. */
async function former(last: string): Promise<void> {
  await execute(cluster, `CREATE DATABASE ${name}`);
  open = openDatabase(url, { poolSize: 1, onError: () => {} });
  const known = Object.fromEntries(Object.entries(migrations).filter(([each]) => each <= last));
  const migrator = new Migrator({ db: open.db, provider: { getMigrations: () => Promise.resolve(known) } });
  expect((await migrator.migrateToLatest()).error).toBeUndefined();
}

test.each(['0004_metadata', '0009_subjects'])(
  'a store that a former version has left at %s is refused and not touched',
  async (last) => {
    await former(last);
    await sql`insert into lanes (id) values (gen_random_uuid())`.execute(open.db);
    const schema = () =>
      sql`select table_name, column_name from information_schema.columns where table_schema = 'public' order by 1, 2`.execute(
        open.db,
      );
    const before = await schema();
    await expect(migrate(url)).rejects.toMatchObject({
      code: 'conflict',
      slug: 'former-layout',
      message: expect.stringMatching(/empty database and an empty VARVE_DATA.*export/),
    });
    expect((await schema()).rows).toEqual(before.rows);
    expect((await sql`select hot_shard_id from lanes`.execute(open.db)).rows).toHaveLength(1);
  },
);

test('an empty database is brought up to date, and again without a change', async () => {
  await execute(cluster, `CREATE DATABASE ${name}`);
  open = openDatabase(url, { poolSize: 1, onError: () => {} });
  await migrate(url);
  await migrate(url);
  expect((await sql`select * from written_bytes`.execute(open.db)).rows).toHaveLength(1);
});
