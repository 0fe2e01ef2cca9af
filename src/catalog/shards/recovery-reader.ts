/** What recovery must know of the catalog, as of one instant. */
import { sql } from 'kysely';
import { VarveError } from '../../core/errors.ts';
import type { ShardFacts, Situation, SpoolFacts } from '../../core/upkeep/reconcile.ts';
import type { ShardState } from '../../core/upkeep/shard-state.ts';
import type { Database } from '../database.ts';
import { oneRow } from '../one-row.ts';

export interface RecoveryRows extends Pick<Situation, 'shards' | 'newestCommit'> {
  readonly spools: readonly Omit<SpoolFacts, 'path'>[];
}

/**
 * Reads the rows that recovery compares, in one snapshot. A rewriting that has swapped its shard in has it among these
 * rows.
 */
export async function readRecoveryRows(db: Database): Promise<RecoveryRows> {
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .setAccessMode('read only')
    .execute(async (trx) => {
      const { rows: shards } = await sql<{
        id: string;
        lane_id: string;
        path: string;
        state: ShardState;
        bytes: bigint;
        age_ms: number;
        replaced_ms: number | null;
      }>`
        select id, lane_id, path, state, bytes, (extract(epoch from now() - made_at) * 1000)::float8 as age_ms,
          (extract(epoch from now() - replaced_at) * 1000)::float8 as replaced_ms
        from shards order by id`.execute(trx);
      const { rows: spools } = await sql<{
        id: string;
        state: SpoolFacts['state'];
        age_ms: number;
        ids: number[] | null;
        ends: number[] | null;
        damaged_ms: (number | null)[] | null;
      }>`
        select s.id, s.state, (extract(epoch from now() - s.made_at) * 1000)::float8 as age_ms, f.ids, f.ends, f.damaged_ms
        from spool_files s left join lateral (
          select array_agg(id::float8) as ids, array_agg(greatest(
            values_offset + bytes - case when times_offset is null then 0 else rows * 8 end, times_offset + rows * 8)::float8) as ends,
            array_agg((extract(epoch from now() - damaged_at) * 1000)::float8) as damaged_ms
          from fresh where spool_id = s.id) f on true
        where s.freed_at is null order by s.id`.execute(trx);
      const { rows: counter } = await sql<{ value: bigint }>`select value from commit_counter`.execute(trx);
      return {
        newestCommit: oneRow(counter).value,
        shards: shards.map((row): ShardFacts => ({
          id: row.id,
          laneId: row.lane_id,
          path: row.path,
          state: row.state,
          bytes: Number(row.bytes),
          ageMs: row.age_ms,
          replacedMs: row.replaced_ms,
        })),
        spools: spools.map(({ id, state, age_ms: ageMs, ids, ends, damaged_ms: damagedMs }) => ({
          id,
          state,
          ageMs,
          chunks: (ids ?? []).map((chunk, i) => ({
            id: chunk,
            end: ends?.[i] ?? 0,
            damagedMs: damagedMs?.[i] ?? null,
          })),
        })),
      };
    });
}

/** @returns whether a file without a row has one now */
export async function isNamed(db: Database, path: string): Promise<boolean> {
  const { rows } = await sql<{ found: boolean }>`
    select exists (select from shards where path = ${path}) or exists (select from spool_files where 'spool/' || id = ${path}) as found`.execute(
    db,
  );
  return oneRow(rows).found;
}

/** Whatever is committed from now on is newer than what a file tells. */
export async function coverCommit(db: Database, newest: bigint): Promise<void> {
  await sql`update commit_counter set value = ${newest} where value < ${newest}`.execute(db);
}

/** Tells those who ask whether the service is ready. @param sentence null: catalog and files are of one day */
export async function tellEstrangement(db: Database, sentence: string | null): Promise<void> {
  await sql`update catalog_identity set estranged = ${sentence} where estranged is distinct from ${sentence}`.execute(
    db,
  );
}

export async function readEstrangement(db: Database): Promise<string | null> {
  const { rows } = await sql<{ estranged: string | null }>`select estranged from catalog_identity`.execute(db);
  return oneRow(rows).estranged;
}

/** @throws unavailable `store-estranged` while catalog and files are of different days: what is written now would be lost when the right ones come */
export async function refuseEstranged(db: Database): Promise<void> {
  const sentence = await readEstrangement(db);
  if (sentence !== null) throw new VarveError('unavailable', sentence, { slug: 'store-estranged' });
}
