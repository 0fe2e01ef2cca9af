/**
 * One transaction that makes appends durable and visible. It has few statements, and their number does not depend on
 * how many appends there are. Each statement has a text of its own, so that a connection plans it once.
 */
import { randomUUID } from 'node:crypto';
import type { SampleChange, FreshRun, Head, KnownAppend } from '../../core/rows/place-append.ts';
import { appendKeyOf, type SegmentLook, type Placement, type Surroundings } from '../../core/rows/place-append.ts';
import type { NearSegment } from '../../core/signal/place-run.ts';
import { clampBound } from '../../core/time.ts';
import { COMMIT_CHANNEL } from '../commit-feed.ts';
import type { CommitSession } from './commit-session.ts';
import { fromSegmentRow, type SegmentRow } from '../chunks/segment-row.ts';
import type { Session } from '../session.ts';
import { oneRow } from '../one-row.ts';

/** A fresh chunk with its bytes where they are to lie. */
export interface FreshToInsert extends Pick<
  FreshRun,
  'head' | 'firstRow' | 'rows' | 'bytes' | 'firstNs' | 'lastNs' | 'sorted'
> {
  /** Number of the edit; 0 for appended rows. */
  readonly generation: number;
  readonly valuesCrc: number;
  readonly timesCrc: number | null;
  /** The bytes, if they lie in the row; null: they are in the spool. */
  readonly inline: { readonly values: Uint8Array; readonly times: Uint8Array | null } | null;
  readonly spool: { readonly id: string; readonly valuesOffset: number; readonly timesOffset: number | null } | null;
}

export interface CommitToMake extends Pick<Placement, 'closed' | 'gone' | 'marks'> {
  readonly fresh: readonly FreshToInsert[];
  readonly heads: readonly Head[];
  readonly changes: readonly CommittedChange[];
}

/** A change of samples, or a series that the same transaction has made. */
export type CommittedChange =
  | SampleChange
  | { readonly kind: 'create'; readonly seriesId: string; readonly projectId: string; readonly tokenId: string | null };

/** What Postgres is asked by where the answer to COMMIT is lost: is it still under way, and is it there? */
export interface CommitTrace {
  readonly xid: string;
  readonly marker: string;
  /** A commit that is known to be older. */
  readonly after: bigint;
}

interface HeadRow {
  series_id: string;
  lane_id: string;
  project_id: string;
  rows: bigint;
  first_ns: bigint | null;
  last_ns: bigint | null;
  edits: number;
  removed: bigint;
  expired_ns: bigint | null;
  sealed_at: Date | null;
  shape_version: number;
  segment_row: bigint | null;
  segment_ns: bigint | null;
  segment_rows: bigint | null;
  segment_skip: bigint | null;
  limit_ns: bigint | null;
  mark_row: bigint | null;
  mark_ns: bigint | null;
  marks: number;
}

const HEAD_COLUMNS = `series_id, lane_id, project_id, rows, first_ns, last_ns, edits, removed, expired_ns, sealed_at, shape_version,
  segment_row, segment_ns, segment_rows, segment_skip, limit_ns, mark_row, mark_ns, marks`;

/** Locks one head, waiting for whoever holds it. @returns null if the series is not there */
export async function lockHead(session: Session, seriesId: string): Promise<Head | null> {
  const { rows } = await session.query<HeadRow>(
    `select ${HEAD_COLUMNS} from heads where series_id = $1 and deleted_at is null for no key update`,
    [seriesId],
  );
  return rows[0] ? toHead(rows[0]) : null;
}

const LOCK_HEADS = `select ${HEAD_COLUMNS}, pg_current_xact_id()::text as xid from heads
  where series_id = any($1::uuid[]) and deleted_at is null order by series_id for no key update skip locked`;

/**
 * Locks the heads that nobody else holds, so that somebody who is paused keeps nobody waiting. @returns by series;
 * without those that are deleted or locked
 */
export async function lockHeads(session: Session, seriesIds: readonly string[]): Promise<Map<string, Head>> {
  const { rows } = await session.query<HeadRow>(LOCK_HEADS, [list(seriesIds, (id) => id)]);
  return toHeads(rows);
}

function toHeads(rows: readonly HeadRow[]): Map<string, Head> {
  return new Map(rows.map((row) => [row.series_id, toHead(row)]));
}

/** What a batch begins with, asked in one round trip. */
export interface Begun {
  readonly heads: Map<string, Head>;
  /** Empty if no head is locked. */
  readonly xid: string;
  readonly known: Map<string, KnownAppend>;
}

/** Begins a transaction as {@link lockHeads} and {@link knownAppends} say, in one round trip. */
export async function beginCommit(
  session: CommitSession,
  seriesIds: readonly string[],
  keys: readonly SeriesKey[],
): Promise<Begun> {
  const [, { rows }, known] = await allInTurn([
    session.query('begin'),
    session.query<HeadRow & { xid: string }>(LOCK_HEADS, [list(seriesIds, (id) => id)]),
    knownAppends(session, keys),
  ]);
  return { heads: toHeads(rows), xid: rows[0]?.xid ?? '', known };
}

/** Waits for all statements that were sent together. @throws what the first one was refused with: those behind it fail for it */
async function allInTurn<T extends readonly unknown[]>(asked: { readonly [K in keyof T]: Promise<T[K]> }): Promise<T> {
  await Promise.allSettled(asked);
  return Promise.all(asked);
}

function toHead(row: HeadRow): Head {
  return {
    seriesId: row.series_id,
    laneId: row.lane_id,
    projectId: row.project_id,
    rows: Number(row.rows),
    firstNs: row.first_ns,
    lastNs: row.last_ns,
    edits: row.edits,
    removed: Number(row.removed),
    expiredNs: row.expired_ns,
    sealedAt: row.sealed_at,
    shapeVersion: row.shape_version,
    segment:
      row.segment_row === null
        ? null
        : {
            firstRow: Number(row.segment_row),
            startNs: row.segment_ns!,
            rows: Number(row.segment_rows),
            skip: Number(row.segment_skip ?? 0),
          },
    limitNs: row.limit_ns,
    mark: row.mark_row === null ? null : { row: Number(row.mark_row), ns: row.mark_ns! },
    marks: row.marks,
  };
}

interface NearRow extends SegmentRow {
  series_id: string;
  holes: [number, number][] | null;
  marks: [number, string][] | null;
}

/**
 * Segments of each series: the newest, the last in time, and those around the times that are looked at. The next one
 * before and behind is among them.
 */
const NEAR = `
  with looks as (select * from unnest($1::uuid[], $2::bigint[], $3::bigint[]) as u(id, a, b)),
    near as (
      select g.* from looks l cross join lateral (
        (select * from closed_segments where series_id = l.id and start_ns < l.a order by start_ns desc limit 1)
        union all
        (select * from closed_segments where series_id = l.id and start_ns >= l.a and start_ns <= l.b)
        union all
        (select * from closed_segments where series_id = l.id and start_ns > l.b order by start_ns limit 1)) g
      union
      select g.* from (select distinct id from looks) l join heads h on h.series_id = l.id
        cross join lateral (select * from closed_segments where series_id = l.id and start_ns <= h.last_ns order by start_ns desc limit 1) g
      union
      select series_id, segment_row, segment_ns, segment_rows, coalesce(segment_skip, 0) from heads
      where series_id in (select id from looks) and segment_row is not null)
  select n.*, m.marks, (
      select json_agg(json_build_array(greatest(o.from_row, n.first_row), least(o.to_row, n.first_row + n.rows)) order by o.from_row)
      from holes o where o.series_id = n.series_id and o.from_row < n.first_row + n.rows and o.to_row > n.first_row) as holes
  from near n left join lateral (
    select json_agg(json_build_array(x.row, x.ns::text) order by x.row) as marks from (
      select distinct l.row, l.ns from (
        select n.first_row + n.rows as before
        union all
        select o.from_row from holes o where o.series_id = n.series_id and o.from_row > n.first_row and o.from_row < n.first_row + n.rows) e
      cross join lateral (
        select row, ns from clock_marks k where k.series_id = n.series_id and k.row >= n.first_row and k.row < e.before
        order by k.row desc limit 1) l) x) m on true
  order by n.series_id, n.start_ns`;

/** What lies around times of regular series whose heads are locked. */
export async function segmentsNear(session: Session, looks: readonly SegmentLook[]): Promise<Surroundings> {
  const { rows } = await session.query<NearRow>(NEAR, [
    list(looks, ({ seriesId }) => seriesId),
    list(looks, ({ fromNs }) => clampBound(fromNs)),
    list(looks, ({ toNs }) => clampBound(toNs)),
  ]);
  const near = new Map<string, NearSegment[]>();
  for (const row of rows) {
    const own = near.get(row.series_id) ?? [];
    near.set(row.series_id, own);
    own.push({
      segment: fromSegmentRow(row),
      holes: (row.holes ?? []).map(([from, to]) => ({ from, to })),
      marks: (row.marks ?? []).map(([at, ns]) => ({ row: at, ns: BigInt(ns) })),
    });
  }
  return near;
}

/** Those series that were not locked although they are there: somebody else holds them. */
export async function heldElsewhere(session: Session, seriesIds: readonly string[]): Promise<Set<string>> {
  const { rows } = await session.query<{ series_id: string }>(
    'select series_id from heads where series_id = any($1::uuid[]) and deleted_at is null',
    [seriesIds],
  );
  return new Set(rows.map((row) => row.series_id));
}

interface SeriesKey {
  readonly seriesId: string;
  readonly key: string;
}

/**
 * Looks up keys after the heads are locked: a key that committed with a head is seen together with it. @returns by
 * {@link appendKeyOf}
 */
export async function knownAppends(session: Session, keys: readonly SeriesKey[]): Promise<Map<string, KnownAppend>> {
  if (keys.length === 0) return new Map();
  const { rows } = await session.query<{
    series_id: string;
    key: string;
    hash: Buffer;
    commit: bigint;
    ordinal: number;
    rows: bigint;
    first_row: bigint | null;
  }>(
    `select series_id, key, hash, "commit", ordinal, rows, first_row from append_keys
     where (series_id, key) in (select * from unnest($1::uuid[], $2::text[]))`,
    [keys.map(({ seriesId }) => seriesId), keys.map(({ key }) => key)],
  );
  return new Map(
    rows.map((row) => [
      appendKeyOf(row.series_id, row.key),
      {
        hash: row.hash,
        commit: row.commit,
        ordinal: row.ordinal,
        rows: Number(row.rows),
        firstRow: row.first_row === null ? null : Number(row.first_row),
      },
    ]),
  );
}

/** Marks spool files as kept. @returns those that nobody has swept meanwhile */
export async function keepSpools(session: Session, ids: readonly string[]): Promise<Set<string>> {
  const { rows } = await session.query<{ id: string }>(
    `update spool_files set state = 'kept' where id = any($1::uuid[]) and state = 'receiving' returning id`,
    [ids],
  );
  return new Set(rows.map(({ id }) => id));
}

const INSERT_FRESH = `
  insert into fresh (lane_id, series_id, generation, first_row, rows, first_ns, last_ns, sorted, values_crc, times_crc, bytes,
    values, times, spool_id, values_offset, times_offset)
  select u.lane_id, u.series_id, u.generation, u.first_row, u.rows, u.first_ns, u.last_ns, u.sorted, u.values_crc, u.times_crc, u.bytes,
    case when u.spool_id is null then substr($15::bytea, u.values_at, u.values_length) end,
    case when u.spool_id is null and u.times_crc is not null then substr($15::bytea, u.values_at + u.values_length, u.times_length) end,
    u.spool_id, u.values_offset, u.times_offset
  from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::boolean[], $8::bigint[], $9::bigint[],
    $10::bigint[], $11::uuid[], $12::bigint[], $13::bigint[], $14::integer[], $16::integer[], $17::integer[], $18::integer[]) with ordinality
    as u(lane_id, series_id, first_row, rows, first_ns, last_ns, sorted, values_crc, times_crc, bytes, spool_id, values_offset,
      times_offset, values_at, values_length, times_length, generation, n)
  order by u.n`;

function insertFresh(fresh: readonly FreshToInsert[]): Statement {
  // One parameter has all bytes: an array of them would be sent as text, at twice the size.
  const pieces: Uint8Array[] = [];
  let at = 1;
  const places = fresh.map(({ inline }) => {
    if (!inline) return { at: 1, values: 0, times: 0 };
    const { values, times } = inline;
    const place = { at, values: values.length, times: times?.length ?? 0 };
    pieces.push(values, ...(times ? [times] : []));
    at += place.values + place.times;
    return place;
  });
  const values = [
    list(fresh, ({ head }) => head.laneId),
    list(fresh, ({ head }) => head.seriesId),
    list(fresh, (each) => each.firstRow),
    list(fresh, (each) => each.rows),
    list(fresh, (each) => each.firstNs),
    list(fresh, (each) => each.lastNs),
    list(fresh, (each) => each.sorted),
    list(fresh, (each) => each.valuesCrc),
    list(fresh, (each) => each.timesCrc),
    list(fresh, (each) => each.bytes),
    list(fresh, ({ spool }) => spool?.id),
    list(fresh, ({ spool }) => spool?.valuesOffset),
    list(fresh, ({ spool }) => spool?.timesOffset),
    list(places, (place) => place.at),
    Buffer.concat(pieces),
    list(places, ({ values }) => values),
    list(places, ({ times }) => times),
    list(fresh, ({ generation }) => generation),
  ];
  return { text: INSERT_FRESH, values };
}

type Plain = string | number | bigint | boolean | null | undefined;

/** An array as Postgres reads it, of numbers, ids and words: what needs no quotes. The driver looks at each element for longer than all else takes. */
function list<T>(items: readonly T[], of: (item: T) => Plain): string {
  return `{${items.map((item) => of(item) ?? 'NULL').join()}}`;
}

const FINISH = `
  with k as (update commit_counter set value = value + 1, accepted_bytes = accepted_bytes + $1 returning value),
    h as (
      update heads s set rows = u.rows, first_ns = u.first_ns, last_ns = u.last_ns, segment_row = u.segment_row,
        segment_ns = u.segment_ns, segment_rows = u.segment_rows, edits = u.edits, removed = u.removed, segment_skip = u.segment_skip,
        limit_ns = u.limit_ns, mark_row = u.mark_row, mark_ns = u.mark_ns, marks = u.marks, "commit" = k.value
      from k, unnest($2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $21::integer[], $22::bigint[],
          $24::bigint[], $25::bigint[], $26::bigint[], $27::bigint[], $28::integer[])
        as u(id, rows, first_ns, last_ns, segment_row, segment_ns, segment_rows, edits, removed, segment_skip, limit_ns, mark_row, mark_ns, marks)
      where s.series_id = u.id),
    m as (
      insert into clock_marks (series_id, row, ns) select u.series_id, u.row, u.ns from unnest($29::uuid[], $30::bigint[], $31::bigint[]) as u(series_id, row, ns)),
    a as (
      insert into append_keys (series_id, key, hash, "commit", ordinal, rows, first_row)
      select u.series_id, u.key, u.hash, k.value, u.ordinal, u.rows, u.first_row
      from k, unnest($9::uuid[], $10::text[], $11::bytea[], $12::integer[], $13::bigint[], $14::bigint[])
        as u(series_id, key, hash, ordinal, rows, first_row)),
    c as (
      insert into commits ("commit", project_ids, series, kinds, first_rows, rows, tokens, marker)
      select k.value, $15::uuid[], $16::uuid[], $17::text[], $18::bigint[], $19::bigint[], $20::uuid[], $23::uuid from k)
  select k.value as commit, pg_current_xact_id()::text as xid, pg_notify('${COMMIT_CHANNEL}', k.value::text) from k`;

interface Statement {
  readonly text: string;
  readonly values: readonly unknown[];
}

/**
 * All that a batch changes, but for COMMIT. The counter comes with the last statement, and is locked from there on. So
 * commits become visible in the order of their numbers. Nothing is waited for while it is locked.
 */
function statementsOf({ fresh, heads, closed, gone, marks, changes }: CommitToMake, marker: string): Statement[] {
  const statements: Statement[] = [];
  if (fresh.length > 0) statements.push(insertFresh(fresh));
  if (gone.length > 0) {
    statements.push({
      text: 'delete from closed_segments where (series_id, first_row) in (select * from unnest($1::uuid[], $2::bigint[]))',
      values: [list(gone, ({ seriesId }) => seriesId), list(gone, ({ firstRow }) => firstRow)],
    });
  }
  if (closed.length > 0) {
    statements.push({
      text: `insert into closed_segments (series_id, first_row, start_ns, rows, skip)
       select * from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
       on conflict (series_id, first_row) do update set rows = excluded.rows`,
      values: [
        list(closed, ({ seriesId }) => seriesId),
        list(closed, ({ firstRow }) => firstRow),
        list(closed, ({ startNs }) => startNs),
        list(closed, ({ rows }) => rows),
        list(closed, ({ skip }) => skip ?? 0),
      ],
    });
  }
  const keyed = changes.flatMap((change, ordinal) =>
    change.kind !== 'create' && change.key ? [{ ...change, ...change.key, ordinal }] : [],
  );
  const values = [
    fresh.reduce((sum, { bytes }) => sum + bytes, 0),
    list(heads, ({ seriesId }) => seriesId),
    list(heads, (head) => head.rows),
    list(heads, (head) => head.firstNs),
    list(heads, (head) => head.lastNs),
    list(heads, ({ segment }) => segment?.firstRow),
    list(heads, ({ segment }) => segment?.startNs),
    list(heads, ({ segment }) => segment?.rows),
    list(keyed, ({ seriesId }) => seriesId),
    keyed.map(({ key }) => key),
    keyed.map(({ hash }) => Buffer.from(hash)),
    list(keyed, ({ ordinal }) => ordinal),
    list(keyed, (change) => change.rows),
    list(keyed, ({ firstRow }) => firstRow),
    list(changes, ({ projectId }) => projectId),
    list(changes, ({ seriesId }) => seriesId),
    list(changes, ({ kind }) => kind),
    list(changes, (change) => (change.kind === 'create' ? null : change.firstRow)),
    list(changes, (change) => (change.kind === 'create' ? null : change.rows)),
    list(changes, ({ tokenId }) => tokenId),
    list(heads, ({ edits }) => edits),
    list(heads, ({ removed }) => removed),
    marker,
    list(heads, ({ segment }) => segment?.skip),
    list(heads, ({ limitNs }) => limitNs),
    list(heads, ({ mark }) => mark?.row),
    list(heads, ({ mark }) => mark?.ns),
    list(heads, (head) => head.marks),
    list(marks, ({ seriesId }) => seriesId),
    list(marks, ({ row }) => row),
    list(marks, ({ ns }) => ns),
  ];
  statements.push({ text: FINISH, values });
  return statements;
}

/**
 * Makes all changes of a transaction, which its owner commits. @returns the number of its commit, and how to ask for it
 */
export async function prepareCommit(
  session: Session,
  change: CommitToMake,
): Promise<{ readonly commit: bigint; readonly trace: CommitTrace }> {
  const marker = randomUUID();
  let told = { commit: 0n, xid: '' };
  for (const { text, values } of statementsOf(change, marker)) {
    const { rows } = await session.query<typeof told>(text, values);
    told = rows[0] ?? told;
  }
  return { commit: told.commit, trace: { xid: told.xid, marker, after: told.commit - 1n } };
}

/**
 * Makes all changes of a batch and commits, in one round trip. If a statement is refused, Postgres makes a rollback of
 * the COMMIT behind it.
 * @param marker a UUID that nothing else bears
 * @returns the number of the commit
 * @throws what Postgres refused, or that the connection was lost: then {@link findCommit} tells what became of it
 */
export async function commitBatch(session: CommitSession, change: CommitToMake, marker: string): Promise<bigint> {
  const asked = statementsOf(change, marker).map(({ text, values }) => session.query<{ commit: bigint }>(text, values));
  const answers = await allInTurn([...asked, session.query<never>('commit')]);
  return oneRow(oneRow(answers.slice(-1)).rows).commit;
}

/**
 * Tells what became of a transaction whose answer was lost. A Postgres that has crashed gives numbers of transactions,
 * and of commits, once more. So only the marker says that what is there is ours.
 * @returns its number; null: it was undone; undefined: it is under way
 */
export async function findCommit(
  session: Session,
  { xid, marker, after }: CommitTrace,
): Promise<bigint | null | undefined> {
  const { rows } = await session.query<{ status: string | null }>(
    // Our own number is greater than any that was given before it. Only numbers from before a crash are not, and these
    // commits were undone.
    `with own as materialized (select pg_current_xact_id() as xid)
     select case when $1::text::xid8 < own.xid then pg_xact_status($1::text::xid8) end as status from own`,
    [xid],
  );
  if (oneRow(rows).status === 'in progress') return undefined;
  // By a statement of its own: it sees what has ended before it.
  const { rows: found } = await session.query<{ commit: bigint }>(
    'select "commit" from commits where "commit" > $1 and marker = $2',
    [after, marker],
  );
  return found[0]?.commit ?? null;
}
