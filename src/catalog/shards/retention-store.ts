/** Retention: the rules of projects, and up to where series have expired. */
import { sql } from 'kysely';
import { notFound } from '../../core/errors.ts';
import type { Expiry, ExpiryFacts, RetentionTerms } from '../../core/upkeep/retention.ts';
import { clipRows, withoutRows } from '../../core/signal/row-ranges.ts';
import { endsOf, segmentAt, selectRows, timeOfRow, type RowRange, type Segment } from '../../core/signal/segment.ts';
import type { Rate } from '../../core/signal/rate.ts';
import type { Series } from '../../core/signal/series.ts';
import { INT64_MAX } from '../../core/time.ts';
import type { Tags } from '../../core/signal/tag-value.ts';
import { nameKey } from '../../core/same-name.ts';
import { commitChanges } from '../commit-feed.ts';
import type { Database, DatabaseTransaction } from '../database.ts';
import { holesOf, readSegments } from '../appends/edit-store.ts';
import { SERIES_COLUMNS, toSeries } from '../series/series-row.ts';
import { lockHeadAfterSeries } from '../series/series-store.ts';
import { sessionOf } from '../session.ts';
import { oneRow } from '../one-row.ts';

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

/** Lists rules by project, the oldest first. */
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
 * Series that rules mean and in which something may have become old enough. This is a coarse choice, with one look at
 * each series of a project that has rules.
 */
export async function seriesToExpire(db: Database): Promise<Array<{ id: string; terms: RetentionTerms[] }>> {
  const { rows } = await sql<{ id: string; terms: [number, number | null][] }>`
    select s.id, json_agg(json_build_array(r.keep_days, r.keep_summaries_days)) as terms
    from retention_rules r join series s on s.project_id = r.project_id and s.tags @> r.tags join heads h on h.series_id = s.id
    where s.deleted_at is null and h.first_ns is not null
    group by s.id, h.series_id
    having h.first_ns < least(h.last_ns, ${NOW_NS}) - max(r.keep_days) * 86400e9
      or (h.expired_ns is not null and bool_and(r.keep_summaries_days is not null)
        and coalesce(h.summaries_expired_ns < least(h.last_ns, ${NOW_NS}) - max(r.keep_summaries_days) * 86400e9, true))
    order by s.id`.execute(db);
  return rows.map(({ id, terms }) => ({
    id,
    terms: terms.map(([keepDays, keepSummariesDays]) => ({ keepDays, keepSummariesDays })),
  }));
}

/** Postgres has microseconds. */
const NOW_NS = sql<bigint>`(extract(epoch from now()) * 1000000)::bigint * 1000`;

export interface ExpirableSeries {
  readonly series: Series;
  /** Edits so far. */
  readonly edits: number;
  /** Null: it has no samples. */
  readonly facts: ExpiryFacts | null;
}

/** May change as soon as it is read: {@link expireSeries} looks again. @returns null if the series is deleted */
export async function readExpirable(db: Database, seriesId: string): Promise<ExpirableSeries | null> {
  const row = await db
    .selectFrom('series as s')
    .innerJoin('heads as h', 'h.series_id', 's.id')
    .innerJoin('projects as p', 'p.id', 's.project_id')
    .select([...SERIES_COLUMNS, 'h.edits', 'h.expired_ns', 'h.summaries_expired_ns', NOW_NS.as('now_ns')])
    .where('s.id', '=', seriesId)
    .where('s.deleted_at', 'is', null)
    .executeTakeFirst();
  if (!row) return null;
  const series = toSeries(row);
  const { firstNs, lastNs } = series;
  const facts = firstNs !== null &&
    lastNs !== null && {
      nowNs: row.now_ns,
      firstNs,
      lastNs,
      unsummarisedNs: await oldestUnsummarised(db, series),
      expiredNs: row.expired_ns,
      summariesExpiredNs: row.summaries_expired_ns,
    };
  return { series, edits: row.edits, facts: facts || null };
}

/**
 * Time of the oldest row that has no summary yet: it is in a fresh chunk, or in a shard that a flush has made. What cannot be read never will have
 * one, and does not count.
 */
async function oldestUnsummarised(
  db: Database | DatabaseTransaction,
  { id, sampling }: Pick<Series, 'id' | 'sampling'>,
): Promise<bigint | null> {
  const { rows } = await sql<{ ranges: [number, number][] | null; ns: bigint | null }>`
    select (select json_agg(json_build_array(lower(r), upper(r))) from unnest(range_agg(int8range(first_row, first_row + rows))) r) as ranges,
      min(first_ns) as ns
    from (
      select first_row, rows, first_ns from fresh where series_id = ${id} and damaged_at is null
      union all
      select c.first_row, c.rows, c.first_ns from chunks c join shards d on d.id = c.shard_id
      where c.series_id = ${id} and d.level = 0 and d.state = 'live') c`.execute(db);
  const { ranges, ns } = oneRow(rows);
  if (sampling.kind === 'irregular' || ranges === null) return ns;
  const segments = await readSegments(sessionOf(db), id);
  const firsts = ranges.flatMap(([from, to]) => firstTimes(segments, sampling.rate, { from, to }));
  return firsts.length === 0 ? null : firsts.reduce((a, b) => (b < a ? b : a));
}

/** The first time of the rows of each segment that lie in a range. @param segments in order of rows */
function firstTimes(segments: readonly Segment[], rate: Rate, range: RowRange): bigint[] {
  const firsts: bigint[] = [];
  for (const { firstRow, rows } of segments.slice(Math.max(0, segmentAt(segments, range.from)))) {
    if (firstRow >= range.to) break;
    const [own] = clipRows([{ from: firstRow, to: firstRow + rows }], range);
    if (own) firsts.push(timeOfRow(segments, rate, own.from));
  }
  return firsts;
}

/** Time of the first sample of a regular series that is left. */
async function firstLeft(trx: DatabaseTransaction, id: string, rate: Rate, expiredNs: bigint): Promise<bigint | null> {
  const session = sessionOf(trx);
  const segments = await readSegments(session, id);
  const left = withoutRows(selectRows(segments, rate, expiredNs, INT64_MAX), await holesOf(session, id));
  return endsOf(left, segments, rate).firstNs;
}

/**
 * Samples and summaries before these times expire: readers see them no more, and compaction drops them.
 * @param known what `expiry` was decided by
 * @param firstNs of the first sample that is left of what is known of an irregular series; null: none is
 * @returns the commit number; null if it was not to be: the series was deleted or edited meanwhile, or rows have come that change the decision
 */
export async function expireSeries(
  db: Database,
  known: ExpirableSeries,
  { expiredNs, summariesExpiredNs }: Expiry,
  firstNs: bigint | null,
): Promise<bigint | null> {
  const { series } = known;
  const { sampling } = series;
  return db.transaction().execute(async (trx) => {
    const row = await trx
      .selectFrom('series')
      .select('project_id')
      .where('id', '=', series.id)
      .where('deleted_at', 'is', null)
      .forNoKeyUpdate()
      .executeTakeFirst();
    if (!row) return null;
    const head = await lockHeadAfterSeries(trx, series.id);
    if (head.edits !== known.edits || head.expired_ns !== (known.facts?.expiredNs ?? null)) return null;
    let leftNs = firstNs;
    if (expiredNs !== null) {
      const unsummarisedNs = await oldestUnsummarised(trx, series);
      if (unsummarisedNs !== null && unsummarisedNs < expiredNs) return null;
      if (sampling.kind === 'regular') leftNs = await firstLeft(trx, series.id, sampling.rate, expiredNs);
      else {
        const appended = await appendedSince(trx, series, Number(head.rows));
        if (!appended) return null;
        if (appended.firstNs !== null && (leftNs === null || appended.firstNs < leftNs)) leftNs = appended.firstNs;
        if (appended.rows > 0 && leftNs === null) return null;
      }
    }
    const expired = sql`
      update heads set "commit" = k.value,
        expired_ns = coalesce(${expiredNs}::bigint, expired_ns),
        first_ns = ${expiredNs === null ? sql`first_ns` : sql`${leftNs}::bigint`},
        summaries_expired_ns = coalesce(${summariesExpiredNs}::bigint, summaries_expired_ns)
      from k where series_id = ${series.id}`;
    return commitChanges(trx, [{ seriesId: series.id, projectId: row.project_id, kind: 'expire', tokenId: null }], {
      also: [expired],
    });
  });
}

/** Rows beyond those that are known, as long as all of them are fresh. @returns null if they are not: they cannot be told from others any more */
async function appendedSince(
  trx: DatabaseTransaction,
  series: Series,
  rows: number,
): Promise<{ rows: number; firstNs: bigint | null } | null> {
  if (rows === series.rows) return { rows: 0, firstNs: null };
  const { rows: found } = await sql<{ rows: bigint; ns: bigint | null }>`
    select coalesce(sum(rows), 0)::bigint as rows, min(first_ns) as ns from fresh
    where series_id = ${series.id} and first_row >= ${series.rows}`.execute(trx);
  const { rows: fresh, ns } = oneRow(found);
  return Number(fresh) === rows - series.rows ? { rows: rows - series.rows, firstNs: ns } : null;
}
