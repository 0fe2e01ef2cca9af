/** Databases for test files: each suite has its own, a clone of one migrated template in the run's shared cluster. */
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { migrate } from '../../src/catalog/migrate.ts';

/** Where the global setup tells test files of the cluster. */
export const POSTGRES_URL_VARIABLE = 'VARVE_TEST_POSTGRES_URL';
const TEMPLATE = 'varve_template';

export interface TestDatabase {
  readonly url: string;
  /** Ends whatever is still connected. */
  drop(): Promise<void>;
}

/** True if the run's Postgres is up (it is not where no binaries exist for the platform). */
export function hasTestPostgres(): boolean {
  return process.env[POSTGRES_URL_VARIABLE] !== undefined;
}

/** A migrated database of the suite's own; a clone takes some 20 ms. */
export async function testDatabase(): Promise<TestDatabase> {
  const cluster = process.env[POSTGRES_URL_VARIABLE];
  if (cluster === undefined) throw new Error('no Postgres in this run: the global setup has not started one');
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  await execute(cluster, `CREATE DATABASE ${name} TEMPLATE ${TEMPLATE}`);
  return { url: databaseUrl(cluster, name), drop: () => execute(cluster, `DROP DATABASE ${name} WITH (FORCE)`) };
}

/** As a dump that is restored: another database with the same rows. Nobody may be connected to the first one. */
export async function copyDatabase({ url }: Pick<TestDatabase, 'url'>): Promise<TestDatabase> {
  const cluster = process.env[POSTGRES_URL_VARIABLE]!;
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  await execute(cluster, `CREATE DATABASE ${name} TEMPLATE ${new URL(url).pathname.slice(1)}`);
  return { url: databaseUrl(cluster, name), drop: () => execute(cluster, `DROP DATABASE ${name} WITH (FORCE)`) };
}

/** The database that all others are cloned from. Nobody may be connected to it afterwards. */
export async function createTemplate(cluster: string): Promise<void> {
  await execute(cluster, `CREATE DATABASE ${TEMPLATE}`);
  await migrate(databaseUrl(cluster, TEMPLATE));
}

function databaseUrl(cluster: string, name: string): string {
  const url = new URL(cluster);
  url.pathname = name;
  return url.href;
}

/** Runs one statement over a connection of its own. */
export async function execute(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
