/** The feed of changes as it is read: commits in their order, and whether one of them is forgotten. */
import { CompiledQuery, sql } from 'kysely';
import type { ChangeKind } from '../commit-feed.ts';
import type { Database } from '../database.ts';
import { oneRow } from '../one-row.ts';

/** A commit with its changes, list by list: an element a change. */
export interface FeedCommit {
  readonly commit: bigint;
  readonly at: Date;
  readonly projectIds: readonly string[];
  readonly series: readonly string[];
  readonly kinds: readonly ChangeKind[];
  readonly firstRows: readonly (bigint | null)[];
  readonly rows: readonly (bigint | null)[];
}

export interface FeedPage {
  /** The newest commit of all. */
  readonly newest: bigint;
  /** Those that follow, in their order. */
  readonly commits: readonly FeedCommit[];
  /** False: one that is asked for is forgotten. Numbers have no gaps, so that its absence tells. */
  readonly isWhole: boolean;
}

interface FeedRow {
  readonly newest: bigint;
  readonly commit: bigint | null;
  readonly at: Date;
  readonly project_ids: string[];
  readonly series: string[];
  readonly kinds: ChangeKind[];
  readonly first_rows: (bigint | null)[];
  readonly rows: (bigint | null)[];
}

/** A page ends before the commit that passes the limit of changes, but has one at least. */
const PAGE = `
  select k.value as newest, c.* from commit_counter k left join lateral (
    select "commit", at, project_ids, series, kinds, first_rows, rows from (
      select *, sum(cardinality(series)) over (order by "commit") - cardinality(series) as before from (
        select "commit", at, project_ids, series, kinds, first_rows, rows
        from commits where "commit" > $1 order by "commit" limit $2) c) c
    where before < $3) c on true
  order by c."commit"`;

/** @param limit of commits. @param most changes, which one commit alone may pass */
export async function readCommits(db: Database, after: bigint, limit: number, most: number): Promise<FeedPage> {
  const { rows } = await db.executeQuery<FeedRow>(CompiledQuery.raw(PAGE, [after, limit, most]));
  const commits = rows.flatMap((row): FeedCommit[] =>
    row.commit === null
      ? []
      : [
          {
            commit: row.commit,
            at: row.at,
            projectIds: row.project_ids,
            series: row.series,
            kinds: row.kinds,
            firstRows: row.first_rows,
            rows: row.rows,
          },
        ],
  );
  const { newest } = oneRow(rows);
  const isEmpty = commits.length === 0;
  const follow = commits.every(({ commit }, at) => commit === after + BigInt(at) + 1n);
  return { newest, commits, isWhole: follow && (isEmpty ? newest === after : newest > after) };
}

export async function newestCommit(db: Database): Promise<bigint> {
  const { value } = await db.selectFrom('commit_counter').select('value').executeTakeFirstOrThrow();
  return value;
}

/** The oldest commit that the feed has; null: none. */
export async function oldestCommit(db: Database): Promise<bigint | null> {
  const row = await db.selectFrom('commits').select('commit').orderBy('commit').limit(1).executeTakeFirst();
  return row?.commit ?? null;
}

/** What changed the samples of a series. */
export interface SeriesChange {
  readonly commit: bigint;
  readonly kind: ChangeKind;
  readonly firstRow: number | null;
  readonly rows: number;
}

/**
 * Changes of the samples of one series by the commits `(after, to]`, in their order.
 * @returns null if one of these is forgotten
 */
export async function changesOfSeries(
  db: Database,
  seriesId: string,
  after: bigint,
  to: bigint,
): Promise<SeriesChange[] | null> {
  const { rows } = await sql<{ kept: bigint; commit: bigint | null } & Omit<FeedRow, 'newest' | 'commit'>>`
    select n.kept, c.* from (select count(*) as kept from commits where "commit" > ${after} and "commit" <= ${to}) n
    left join lateral (
      select * from commits where "commit" > ${after} and "commit" <= ${to} and series @> array[${seriesId}::uuid]) c on true
    order by c."commit"`.execute(db);
  if (oneRow(rows).kept !== to - after) return null;
  return rows.flatMap(({ commit, series, kinds, first_rows: firstRows, rows: counts }) =>
    commit === null
      ? []
      : kinds.flatMap((kind, at): SeriesChange[] => {
          if (series[at] !== seriesId || !['append', 'replace', 'remove'].includes(kind)) return [];
          const firstRow = firstRows[at];
          return [
            { commit, kind, firstRow: firstRow === null ? null : Number(firstRow), rows: Number(counts[at] ?? 0) },
          ];
        }),
  );
}
