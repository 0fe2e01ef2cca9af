/** Retention: the rules of projects, and up to where series have expired. */
import { sql } from 'kysely';
import { notFound } from '../core/errors.ts';
import type { Expiry, ExpiryFacts, RetentionTerms } from '../core/retention.ts';
import { timesOfRows, type Segment } from '../core/segment.ts';
import type { Series } from '../core/series.ts';
import type { Tags } from '../core/tag-value.ts';
import { nameKey } from '../core/same-name.ts';
import { nextCommit } from './commit-number.ts';
import type { Database, DatabaseTransaction } from './database.ts';
import { holesOf } from './edit-store.ts';
import type { Lease } from './lane-store.ts';
import { COMMIT_CHANNEL } from './publish.ts';
import { SERIES_COLUMNS, toSeries } from './series-row.ts';
import { segmentsOf } from './shard-store.ts';

export interface NewRetentionRule extends RetentionTerms {
  readonly project: string;
  /** Only series that have all of these; none: all of the project. */
  readonly tags: Tags;
}

export interface RetentionRule extends NewRetentionRule {
  readonly id: string;
  readonly createdAt: Date;
}

/** @throws not-found for an unknown project */
export async function createRetentionRule(db: Database, id: string, rule: NewRetentionRule): Promise<RetentionRule> {
  const { project, tags, keepDays, keepSummariesDays } = rule;
  const row = await db
    .insertInto('retention_rules')
    .columns(['id', 'project_id', 'tags', 'keep_days', 'keep_summaries_days'])
    .expression((eb) =>
      eb
        .selectFrom('projects')
        .select([
          sql<string>`${id}::uuid`.as('id'),
          'projects.id as project_id',
          sql<string>`${JSON.stringify(tags)}::jsonb`.as('tags'),
          sql<number>`${keepDays}::float8`.as('keep_days'),
          sql<number | null>`${keepSummariesDays}::float8`.as('keep_summaries_days'),
        ])
        .where(sql`varve_nfc(projects.name)`, '=', nameKey(project)),
    )
    .returning('created_at')
    .executeTakeFirst();
  if (!row) throw notFound('project', project);
  return { ...rule, id, createdAt: row.created_at };
}

/** By project, the oldest first. */
export async function listRetentionRules(db: Database): Promise<RetentionRule[]> {
  const rows = await db
    .selectFrom('retention_rules as r')
    .innerJoin('projects as p', 'p.id', 'r.project_id')
    .selectAll('r')
    .select('p.name as project')
    .orderBy('p.name')
    .orderBy('r.created_at')
    .orderBy('r.id')
    .execute();
  return rows.map((row) => ({
    id: row.id,
    project: row.project,
    tags: row.tags as Tags,
    keepDays: row.keep_days,
    keepSummariesDays: row.keep_summaries_days,
    createdAt: row.created_at,
  }));
}

/** What has expired stays so. @throws not-found */
export async function deleteRetentionRule(db: Database, id: string): Promise<void> {
  const row = await db.deleteFrom('retention_rules').where('id', '=', id).returning('id').executeTakeFirst();
  if (!row) throw notFound('retention rule', id);
}

/**
 * Series that rules mean and in which something may have become old enough, by lane: a coarse choice, with one look at each series of a project
 * that has rules.
 */
export async function seriesToExpire(
  db: Database,
): Promise<Map<string, Array<{ id: string; terms: RetentionTerms[] }>>> {
  const { rows } = await sql<{ lane_id: string; id: string; terms: [number, number | null][] }>`
    select s.lane_id, s.id, json_agg(json_build_array(r.keep_days, r.keep_summaries_days)) as terms
    from retention_rules r join series s on s.project_id = r.project_id and s.tags @> r.tags
    where s.deleted_at is null and s.first_ns is not null
    group by s.lane_id, s.id
    having s.first_ns < least(s.last_ns, ${NOW_NS}) - max(r.keep_days) * 86400e9
      or (s.expired_ns is not null and bool_and(r.keep_summaries_days is not null)
        and coalesce(s.summaries_expired_ns < least(s.last_ns, ${NOW_NS}) - max(r.keep_summaries_days) * 86400e9, true))
    order by s.lane_id, s.id`.execute(db);
  const lanes = new Map<string, Array<{ id: string; terms: RetentionTerms[] }>>();
  for (const { lane_id: laneId, id, terms } of rows) {
    const due = lanes.get(laneId) ?? [];
    lanes.set(laneId, due);
    due.push({ id, terms: terms.map(([keepDays, keepSummariesDays]) => ({ keepDays, keepSummariesDays })) });
  }
  return lanes;
}

/** Postgres has microseconds. */
const NOW_NS = sql<bigint>`(extract(epoch from now()) * 1000000)::bigint * 1000`;

export interface ExpirableSeries {
  readonly series: Series;
  /** Null: it has no samples. */
  readonly facts: ExpiryFacts | null;
  /** Of a regular series; empty of an irregular one. */
  readonly segments: readonly Segment[];
  readonly holes: ReadonlyArray<{ readonly from: number; readonly to: number }>;
}

/** Under the lane's lease no drain moves what is read here. @returns null if the series is deleted */
export async function readExpirable(db: Database, seriesId: string): Promise<ExpirableSeries | null> {
  const row = await db
    .selectFrom('series as s')
    .innerJoin('projects as p', 'p.id', 's.project_id')
    .select([...SERIES_COLUMNS, 's.expired_ns', 's.summaries_expired_ns', NOW_NS.as('now_ns')])
    .where('s.id', '=', seriesId)
    .where('s.deleted_at', 'is', null)
    .executeTakeFirst();
  if (!row) return null;
  const series = toSeries(row);
  const { sampling } = series;
  const segments = sampling.kind === 'regular' ? await segmentsOf(db, seriesId) : [];
  const holes = sampling.kind === 'regular' ? await holesOf(db, seriesId) : [];
  const timeOf = (firstRow: bigint | null, ns: bigint | null): bigint | null => {
    if (sampling.kind === 'irregular' || firstRow === null) return ns;
    const from = Math.max(0, Number(firstRow));
    return timesOfRows(segments, sampling.rate, { from, to: from + 1 })[0];
  };
  const unsealed = await db
    .selectFrom('chunks as c')
    .innerJoin('shards as h', 'h.id', 'c.shard_id')
    .select(({ fn }) => [fn.min('c.first_row').as('row'), fn.min('c.first_ns').as('ns')])
    .where('c.series_id', '=', seriesId)
    .where('h.state', 'in', ['hot', 'retired'])
    .executeTakeFirstOrThrow();
  const pendingNs = await oldestPending(db, seriesId);
  const chunkNs = timeOf(unsealed.row, unsealed.ns);
  return {
    series,
    segments,
    holes,
    facts:
      series.firstNs === null || series.lastNs === null
        ? null
        : {
            nowNs: row.now_ns,
            firstNs: series.firstNs,
            lastNs: series.lastNs,
            unsealedNs: chunkNs === null || (pendingNs !== null && pendingNs < chunkNs) ? pendingNs : chunkNs,
            expiredNs: row.expired_ns,
            summariesExpiredNs: row.summaries_expired_ns,
          },
  };
}

/** Earliest time that an acknowledged write will bring. */
async function oldestPending(db: Database | DatabaseTransaction, seriesId: string): Promise<bigint | null> {
  const { rows } = await sql<{ ns: bigint | null }>`
    select min(least(w.start_ns, w.first_ns, case when w.kind = 'replace' then w.range_start_ns end)) as ns
    from writes w join series s on s.id = w.series_id and s.lane_id = w.lane_id
    where w.series_id = ${seriesId} and w.state = 'pending'`.execute(db);
  return rows[0].ns;
}

/**
 * Samples and summaries before these times expire: readers see them no more, and sealing drops them.
 * @param lease of the series' lane
 * @param firstNs of the first sample that is left
 * @returns the commit number; null if it was not to be: the series was deleted, its lane taken over, or something older acknowledged meanwhile
 */
export async function expireSeries(
  db: Database,
  lease: Pick<Lease, 'laneId' | 'token'>,
  seriesId: string,
  { expiredNs, summariesExpiredNs }: Expiry,
  firstNs: bigint | null,
): Promise<bigint | null> {
  return db.transaction().execute(async (trx) => {
    const lane = await trx
      .selectFrom('lanes')
      .select('id')
      .where('id', '=', lease.laneId)
      .where('lease_token', '=', lease.token)
      .forNoKeyUpdate()
      .executeTakeFirst();
    const series = await trx
      .selectFrom('series')
      .select('project_id')
      .where('id', '=', seriesId)
      .where('deleted_at', 'is', null)
      .forNoKeyUpdate()
      .executeTakeFirst();
    if (!lane || !series) return null;
    const pendingNs = await oldestPending(trx, seriesId);
    if (expiredNs !== null && pendingNs !== null && pendingNs < expiredNs) return null;
    const commit = await nextCommit(trx);
    await trx
      .updateTable('series')
      .set({
        ...(expiredNs !== null && { expired_ns: expiredNs, first_ns: firstNs }),
        ...(summariesExpiredNs !== null && { summaries_expired_ns: summariesExpiredNs }),
        masked: true,
        commit,
        updated_at: sql<Date>`now()`,
      })
      .where('id', '=', seriesId)
      .execute();
    await trx
      .insertInto('changes')
      .values({ commit, ordinal: 0, project_id: series.project_id, series_id: seriesId, kind: 'expire' })
      .execute();
    await sql`select pg_notify(${COMMIT_CHANNEL}, ${commit.toString()})`.execute(trx);
    return commit;
  });
}
