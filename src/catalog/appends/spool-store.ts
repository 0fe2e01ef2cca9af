/**
 * Rows of spool files. A row is made before its file and removed before it, so that nobody sweeps a file that a commit
 * is about to name.
 */
import { sql } from 'kysely';
import type { Database } from '../database.ts';

export async function registerSpools(db: Database, ids: readonly string[]): Promise<void> {
  await sql`insert into spool_files (id, state) select id, 'receiving' from unnest(${[...ids]}::uuid[]) as id`.execute(
    db,
  );
}

/** Takes back rows of files that no commit names. @returns those whose files may be removed */
export async function forgetSpools(db: Database, ids: readonly string[]): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    delete from spool_files where id = any(${[...ids]}::uuid[]) and state = 'receiving' returning id`.execute(db);
  return rows.map(({ id }) => id);
}

/** Marks files in which no fresh chunk lies any more: readers that have just asked may still open them. */
export async function freeSpools(db: Database): Promise<void> {
  await sql`
    update spool_files s set freed_at = now()
    where state = 'kept' and freed_at is null and not exists (select from fresh f where f.spool_id = s.id)`.execute(db);
}

/**
 * Forgets files that were freed so long ago that nobody opens them any more. It forgets none while the shard that has
 * their rows may be of another day. @returns those that are to be removed
 */
export async function forgetFreed(db: Database, graceMs: number): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    delete from spool_files where freed_at < now() - make_interval(secs => ${graceMs / 1000})
      and not exists (select from catalog_identity where estranged is not null) returning id`.execute(db);
  return rows.map(({ id }) => id);
}
