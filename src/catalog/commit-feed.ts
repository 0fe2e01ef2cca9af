/** Commit numbers and the feed of changes: whatever readers see changes by a commit, and every commit has its place in one order. */
import { sql, type RawBuilder } from 'kysely';
import type { Database, DatabaseTransaction } from './database.ts';
import { oneRow } from './one-row.ts';

/** Postgres channel on which every commit is announced (to wake those who wait; the rows are the truth). */
export const COMMIT_CHANNEL = 'varve_commits';

export type ChangeKind =
  'append' | 'replace' | 'remove' | 'create' | 'update' | 'delete' | 'restore' | 'purge' | 'expire' | 'seal' | 'unseal';

/** An element of the lists of a commit; its place there is its ordinal. */
export interface Change {
  readonly seriesId: string;
  readonly projectId: string;
  readonly kind: ChangeKind;
  /** Null: the rows have no numbers of their own. */
  readonly firstRow?: number | null;
  readonly rows?: number | null;
  /** The token that asked; null: nobody did. */
  readonly tokenId: string | null;
}

/** What the statement that takes a number does beside that. */
export interface AlongWith {
  /** Statements that change rows and may use the number, as `k.value` of a table `k`. Their rows are locked already. */
  readonly also?: readonly RawBuilder<unknown>[];
  /** Payload of appends and edits, to be counted. */
  readonly acceptedBytes?: number;
}

/**
 * The last statement of a transaction: takes the next commit number, tells the feed of the changes, and announces it.
 * The counter's row stays locked until the transaction ends, so that numbers become visible in their order. A sequence
 * would not do that, because a later number can commit first. Hence it is one statement, and nothing but the end of the
 * transaction may follow.
 */
export function commitStatement(
  changes: readonly Change[],
  { also = [], acceptedBytes = 0 }: AlongWith = {},
): RawBuilder<{ commit: bigint }> {
  const list = (of: (change: Change) => unknown, type: string): RawBuilder<unknown> =>
    sql`${changes.map(of)}::${sql.raw(type)}[]`;
  const work = also.map((statement, at) => sql`, ${sql.ref(`also_${at}`)} as (${statement})`);
  return sql`
    with k as (
      update commit_counter set value = value + 1, accepted_bytes = accepted_bytes + ${acceptedBytes}::bigint returning value),
    told as (
      insert into commits ("commit", project_ids, series, kinds, first_rows, rows, tokens)
      select k.value, ${list((each) => each.projectId, 'uuid')}, ${list((each) => each.seriesId, 'uuid')},
        ${list((each) => each.kind, 'text')}, ${list((each) => each.firstRow ?? null, 'bigint')},
        ${list((each) => each.rows ?? null, 'bigint')}, ${list((each) => each.tokenId, 'uuid')} from k)
    ${sql.join(work, sql` `)}
    select k.value as "commit", pg_notify(${COMMIT_CHANNEL}, k.value::text) from k`;
}

/**
 * Makes all changes of one commit: see {@link commitStatement}. Without changes nothing is done.
 * @returns the commit number; null: nothing has changed
 */
export async function commitChanges(
  trx: DatabaseTransaction,
  changes: readonly Change[],
  alongWith?: AlongWith,
): Promise<bigint | null> {
  if (changes.length === 0) return null;
  const { rows } = await commitStatement(changes, alongWith).execute(trx);
  return oneRow(rows).commit;
}

/** Most changes of one commit. An edit that has changed more series takes as many numbers as it needs. */
export const MAX_CHANGES = 10_000;

/**
 * Does what {@link commitChanges} does for an edit of many series: an update of each series that the edit has changed,
 * as their history says. What is told is gathered before the counter is locked.
 */
export async function commitEdit(trx: DatabaseTransaction, editId: string): Promise<void> {
  await sql`
    with changed as (
      select h.series_id, s.project_id, h.token_id, (row_number() over (order by h.series_id) - 1) / ${MAX_CHANGES} as part
      from series_history h join series s on s.id = h.series_id where h.edit_id = ${editId}),
    parts as materialized (
      select part, array_agg(project_id order by series_id) as project_ids, array_agg(series_id order by series_id) as series,
        array_agg(token_id order by series_id) as tokens, count(*)::integer as n from changed group by part),
    k as (
      update commit_counter set value = value + (select count(*) from parts) returning value),
    told as (
      insert into commits ("commit", project_ids, series, kinds, first_rows, rows, tokens)
      select k.value - (select count(*) from parts) + 1 + part, project_ids, series,
        array_fill('update'::text, array[n]), array_fill(null::bigint, array[n]), array_fill(null::bigint, array[n]), tokens
      from k, parts)
    select pg_notify(${COMMIT_CHANNEL}, k.value::text) from k`.execute(trx);
}

/** Whoever has not followed the feed for so long must begin anew. */
export const FEED_DAYS = 30;
/** A repeated append is recognized by its key for so long. */
export const KEY_DAYS = 7;

/**
 * Forgets what is too old, the oldest first.
 * @param limit most commits, and most keys
 * @returns how many commits and keys; as many as `limit`: there may be more
 */
export async function trimFeed(db: Database, limit: number): Promise<{ commits: number; keys: number }> {
  const old = (days: number): RawBuilder<boolean> => sql<boolean>`at < now() - make_interval(days => ${days})`;
  const commits = await sql`
    delete from commits where "commit" in (
      select "commit" from commits where ${old(FEED_DAYS)} order by at limit ${limit} for update skip locked)`.execute(
    db,
  );
  const keys = await sql`
    delete from append_keys where (series_id, key) in (
      select series_id, key from append_keys where ${old(KEY_DAYS)} order by at limit ${limit} for update skip locked)`.execute(
    db,
  );
  return { commits: Number(commits.numAffectedRows), keys: Number(keys.numAffectedRows) };
}
