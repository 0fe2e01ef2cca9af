/** Before a test run: one embedded Postgres for all test files, with the template their databases are cloned from. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmbeddedPostgres } from '../../src/main/postgres/embedded-postgres.ts';
import { createTemplate, POSTGRES_URL_VARIABLE } from './postgres.ts';

/** The only way from jest's setup to its teardown. */
declare global {
  var varveTestPostgres: { stop(): Promise<void> } | undefined;
}

/**
 * Where Postgres does not start, for instance for want of binaries for the platform, the suites that need it skip
 * themselves, unless VARVE_TEST_NO_SKIP=1.
 */
export default async function globalSetup(): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), 'varve-test-postgres-'));
  const server = await startEmbeddedPostgres({ dataDir, fsync: false, log: () => {} }).catch((error: unknown) => {
    if (process.env.VARVE_TEST_NO_SKIP === '1') throw error;
    console.warn(`No Postgres for this test run, suites that need it are SKIPPED: ${String(error)}`);
  });
  if (!server) return;
  async function stop(): Promise<void> {
    await server?.stop();
    await rm(dataDir, { recursive: true });
  }
  try {
    await createTemplate(server.url);
  } catch (error) {
    await stop();
    throw error;
  }
  globalThis.varveTestPostgres = { stop };
  // Test files run in processes of their own, which inherit this one's environment.
  process.env[POSTGRES_URL_VARIABLE] = server.url;
}
