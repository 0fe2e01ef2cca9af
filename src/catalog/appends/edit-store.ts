/** Edits: what must be known to replace or remove a range, and what they leave behind beside chunks. */
import { crc32 } from 'node:zlib';
import { sql } from 'kysely';
import { expiry, type Erasure } from '../../core/rows/erasure.ts';
import type { LaterChunk, RegularEdit } from '../../core/rows/plan-edit.ts';
import type { RowRange, Segment } from '../../core/signal/segment.ts';
import type { Database, DatabaseTransaction } from '../database.ts';
import { LOCATION_COLUMNS, toLocation, type ChunkArray, type ChunkLocation } from '../chunks/chunk-location.ts';
import { fromSegmentRow, type SegmentRow } from '../chunks/segment-row.ts';
import type { Session } from '../session.ts';

/** Reads all segments of a series, in order of rows. */
export async function readSegments(session: Session, seriesId: string): Promise<Segment[]> {
  const { rows } = await session.query<SegmentRow>(
    'select first_row, start_ns, rows, skip from segments where series_id = $1 order by first_row',
    [seriesId],
  );
  return rows.map(fromSegmentRow);
}

/** The rows of a regular series that were removed, in order. */
export async function holesOf(session: Session, seriesId: string): Promise<RowRange[]> {
  const { rows } = await session.query<{ from_row: bigint; to_row: bigint }>(
    'select from_row, to_row from holes where series_id = $1 order by from_row',
    [seriesId],
  );
  return rows.map((row) => ({ from: Number(row.from_row), to: Number(row.to_row) }));
}

export async function changeHoles(
  session: Session,
  seriesId: string,
  { holesGone, holesNew }: Pick<RegularEdit, 'holesGone' | 'holesNew'>,
): Promise<void> {
  if (holesGone.length > 0) {
    const gone = holesGone.map(({ from }) => from);
    await session.query('delete from holes where series_id = $1 and from_row = any($2::bigint[])', [seriesId, gone]);
  }
  if (holesNew.length > 0) {
    await session.query(
      'insert into holes (series_id, from_row, to_row) select $1, * from unnest($2::bigint[], $3::bigint[])',
      [seriesId, holesNew.map(({ from }) => from), holesNew.map(({ to }) => to)],
    );
  }
}

export async function addErasure(
  session: Session,
  seriesId: string,
  { generation, startNs, endNs, beforeRow }: Erasure,
): Promise<void> {
  await session.query(
    'insert into erasures (series_id, generation, start_ns, end_ns, before_row) values ($1, $2, $3, $4, $5)',
    [seriesId, generation, startNs, endNs, beforeRow],
  );
}

/** Fresh chunks of an irregular series with rows from `row` on: a flush may have taken some, and given their rows other numbers. */
export async function chunksSince(session: Session, seriesId: string, row: number): Promise<LaterChunk[]> {
  const { rows } = await session.query<{ first_ns: bigint; last_ns: bigint; rows: bigint }>(
    'select first_ns, last_ns, rows from fresh where series_id = $1 and first_row >= $2::bigint',
    [seriesId, row],
  );
  return rows.map((chunk) => ({ firstNs: chunk.first_ns, lastNs: chunk.last_ns, rows: Number(chunk.rows) }));
}

/** A chunk of an irregular series whose times can be read; values that are held do not come along. */
export type ErasureChunk = ChunkLocation;

/** What takes part in an erasure, as of one instant. */
export interface ErasureView {
  readonly rows: number;
  readonly edits: number;
  readonly expiredNs: bigint | null;
  /** Chunks with times in the range, and those that tell the first and the last time before or after it. */
  readonly chunks: readonly ErasureChunk[];
  readonly erasures: readonly Erasure[];
  readonly firstNs: bigint | null;
  readonly lastNs: bigint | null;
}

export async function readErasureView(
  db: Database,
  seriesId: string,
  startNs: bigint,
  endNs: bigint,
): Promise<ErasureView> {
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .setAccessMode('read only')
    .execute(async (trx) => {
      const head = await trx
        .selectFrom('heads')
        .select(['rows', 'edits', 'first_ns', 'last_ns', 'expired_ns'])
        .where('series_id', '=', seriesId)
        .executeTakeFirstOrThrow();
      const erasures = await readErasures(trx, seriesId);
      if (head.expired_ns !== null) erasures.push(expiry(head.expired_ns));
      // A chunk that nothing was taken out of bounds the search for the first time after the range, and for the last one before.
      const sound = sql`(select * from located_chunks d where d.series_id = ${seriesId}
        and d.first_ns >= coalesce(${head.expired_ns}::bigint, d.first_ns) and not exists (
          select from erasures e where e.series_id = d.series_id and d.generation < e.generation and d.first_row < e.before_row
            and d.first_ns < e.end_ns and d.last_ns >= e.start_ns))`;
      const { rows } = await sql<{ place: ChunkArray; held: Buffer | null }>`
        select json_build_array(${sql.raw(LOCATION_COLUMNS)}) as place, case when c.values is not null then c.times end as held
        from located_chunks c where c.series_id = ${seriesId} and ((c.first_ns < ${endNs} and c.last_ns >= ${startNs})
          or (c.last_ns >= ${endNs} and c.first_ns <= coalesce((select min(first_ns) from ${sound} s where first_ns >= ${endNs}), c.first_ns))
          or (c.first_ns < ${startNs} and c.last_ns >= coalesce((select max(last_ns) from ${sound} s where last_ns < ${startNs}), c.last_ns)))
        order by c.first_row`.execute(trx);
      return {
        rows: Number(head.rows),
        edits: head.edits,
        expiredNs: head.expired_ns,
        chunks: rows.map(({ place, held }) => (held ? withTimes(toLocation(place), held) : toLocation(place))),
        erasures,
        firstNs: head.first_ns,
        lastNs: head.last_ns,
      };
    });
}

function withTimes(chunk: ChunkLocation, times: Buffer): ChunkLocation {
  return {
    ...chunk,
    path: null,
    held: { values: new Uint8Array(), times, isSound: crc32(times) === chunk.timesCrc },
    times: { offset: 0, length: times.length },
  };
}

async function readErasures(trx: DatabaseTransaction, seriesId: string): Promise<Erasure[]> {
  const stored = await trx.selectFrom('erasures').selectAll().where('series_id', '=', seriesId).execute();
  return stored.map((row) => ({
    generation: row.generation,
    startNs: row.start_ns,
    endNs: row.end_ns,
    beforeRow: Number(row.before_row),
  }));
}
