/** Sources that number what they send: the last number of each that was stored. */
import { sql, type RawBuilder } from 'kysely';
import type { Database } from '../database.ts';

/** As the index of the migration has them: a key that is a sequence number, a space and a source. */
const IS_PAIR = sql<boolean>`k.key ~ '^-?[0-9]{1,19} '`;
const SOURCE = sql<string>`substr(k.key, strpos(k.key, ' ') + 1)`;
const SEQUENCE: RawBuilder<bigint> = sql`substr(k.key, 1, strpos(k.key, ' ') - 1)::bigint`;

/**
 * The largest sequence number that a source has stored, of the keys that are still known.
 * @param projectIds in which it is looked; null: in all
 * @returns null: none is known
 */
export async function lastSequence(
  db: Database,
  source: string,
  projectIds: readonly string[] | null,
): Promise<bigint | null> {
  const reach = projectIds && [...projectIds];
  const { rows } = await sql<{ sequence: bigint }>`
    select ${SEQUENCE} as sequence from append_keys k
    where ${IS_PAIR} and ${SOURCE} = ${source}::text and (${reach}::uuid[] is null or exists (
      select from heads h where h.series_id = k.series_id and h.project_id = any(${reach}::uuid[])))
    order by ${SEQUENCE} desc limit 1`.execute(db);
  return rows.at(0)?.sequence ?? null;
}
