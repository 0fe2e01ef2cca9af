/** After a test run: the shared Postgres ends and its folder goes. */
import type {} from './global-setup.ts';

export default async function globalTeardown(): Promise<void> {
  await globalThis.varveTestPostgres?.stop();
}
