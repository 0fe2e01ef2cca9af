/**
 * What a rewriting must know: the fresh chunks or shards of a lane, and for each series what decides which rows are
 * read from where.
 */
import { CompiledQuery, sql } from 'kysely';
import { mostBlockRows } from '../../core/rows/chunk.ts';
import type { StoredCells, StoredChunk } from '../../core/rows/dead-rows.ts';
import { DTYPES } from '../../core/numbers/dtype.ts';
import { expiry, type Erasure } from '../../core/rows/erasure.ts';
import type { ClockMark } from '../../core/signal/place-run.ts';
import { uniteRows } from '../../core/signal/row-ranges.ts';
import { rowsBefore, type RowRange, type Segment } from '../../core/signal/segment.ts';
import type { Series } from '../../core/signal/series.ts';
import { INT64_MAX } from '../../core/time.ts';
import type { SummaryBlock } from '../../core/overview/summary-block.ts';
import type { Database, DatabaseTransaction } from '../database.ts';
import { HELD_COLUMNS, heldChunks, toHeldRuns, type HeldRow, type HeldRun } from '../read/held-chunks.ts';
import { isPurgeable } from '../series/purge-store.ts';
import { LOCATION_COLUMNS, toLocation, type ChunkArray, type ChunkLocation } from '../chunks/chunk-location.ts';
import { fromSegmentRow, type SegmentRow } from '../chunks/segment-row.ts';
import { SERIES_COLUMNS, toSeries } from '../series/series-row.ts';
import { toSummaryBlock } from '../chunks/summary-row.ts';
import { oneRow } from '../one-row.ts';

/** A chunk, fresh or in a shard. */
export interface RewriteChunk extends ChunkLocation, StoredChunk {
  /** For a fresh chunk whose bytes are held: the rows that have checksums of their own. */
  readonly runs: readonly HeldRun[];
  /** Its rows go into the new shard, or are dead. */
  readonly isPlanned: boolean;
}

/** Everything that decides from where the rows of a series are read, and what is to be said of it. */
export interface RewriteSeries {
  readonly series: Series;
  readonly deletedAt: Date | null;
  /** Its newest edit. */
  readonly edits: number;
  /** Regular: those of the rows that are looked at, or all where something has expired. */
  readonly segments: readonly Segment[];
  /**
   * Regular: clock marks of the rows from the chunk before to the chunk after, and the next on either side, in order of
   * rows.
   */
  readonly marks: readonly ClockMark[];
  /** All with rows between the first and the last planned one, in order of rows. */
  readonly chunks: readonly RewriteChunk[];
  /**
   * Rows that may be claimed: from the first to the last planned one. In an irregular series in shards they reach up to
   * the chunk after, and begin at 0 if no chunk is before.
   */
  readonly reach: RowRange;
  /** Regular: rows that were removed or have expired. */
  readonly holes: readonly RowRange[];
  /** Irregular: what was taken out or has expired. */
  readonly erasures: readonly Erasure[];
  /** Raw samples before have expired, and summaries before. */
  readonly expiredNs: bigint | null;
  readonly summariesExpiredNs: bigint | null;
  /** Regular: the same as rows; none for irregular ones. */
  readonly expiredRows: readonly RowRange[];
  readonly summariesExpiredRows: readonly RowRange[];
  /** Summaries in the shards that are rewritten. */
  readonly summaries: ReadonlyArray<SummaryBlock & StoredCells & { readonly path: string }>;
  /** It was deleted, and cannot be restored any more: all of it is dead. */
  readonly purged: boolean;
}

/** What a rewriting takes of one series. */
export interface SeriesInput {
  readonly seriesId: string;
  /** From the first to the last row of what is planned. */
  readonly range: RowRange;
}

/** The fresh chunks of a series, up to where a flush goes. */
export interface FreshOfSeries extends SeriesInput {
  /** In the order they came. */
  readonly ids: readonly number[];
  readonly bytes: number;
}

export interface FlushInput {
  readonly series: readonly FreshOfSeries[];
  /** Id of the newest fresh chunk that is taken. */
  readonly lastId: number;
  /** Nothing is left but what cannot be read. */
  readonly isAll: boolean;
}

export interface CompactionInput {
  /** Rows that the shards have, by series. The range is empty for a series of which they have summaries alone. */
  readonly series: readonly SeriesInput[];
  /** Chunks that go, by series. */
  readonly chunkIds: ReadonlyMap<string, readonly number[]>;
}

/** Which chunks a rewriting takes away. */
export type ChunksToTake =
  /** Fresh chunks with greater ids than the first, up to the last. */
  | { readonly kind: 'fresh'; readonly afterId: number; readonly lastId: number }
  | { readonly kind: 'shards'; readonly ids: ReadonlySet<string> };

/** Runs `work` over one instant of the catalog. */
export function readInOneInstant<T>(db: Database, work: (reader: RewriteReader) => Promise<T>): Promise<T> {
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .setAccessMode('read only')
    .execute((trx) => work(new RewriteReader(trx)));
}

/** Series that are asked for by one statement: their held bytes, and the places of their chunks, are in memory at a time. */
const PAGE_SERIES = 100;

export class RewriteReader {
  readonly #trx: DatabaseTransaction;

  constructor(trx: DatabaseTransaction) {
    this.#trx = trx;
  }

  /** The newest commit, and the one as of which shards tell all of the lane. */
  async commits(laneId: string): Promise<{ newest: bigint; flushed: bigint }> {
    const { rows } = await sql<{ newest: bigint; flushed: bigint }>`
      select k.value as newest, l.flushed_commit as flushed from commit_counter k, lanes l where l.id = ${laneId}`.execute(
      this.#trx,
    );
    return rows[0] ?? { newest: 0n, flushed: 0n };
  }

  /** The fresh chunks of a lane in the order they came, up to `most` bytes but at least one; without those that cannot be read. */
  async fresh(laneId: string, most: number): Promise<FlushInput> {
    const sound = sql`lane_id = ${laneId} and damaged_at is null`;
    const { rows: totals } = await sql<{ bytes: number; last_id: number | null }>`
      select coalesce(sum(bytes), 0)::float8 as bytes, max(id)::float8 as last_id from fresh where ${sound}`.execute(
      this.#trx,
    );
    const { bytes, last_id: newest } = oneRow(totals);
    if (newest === null) return { series: [], lastId: 0, isAll: true };
    const lastId = bytes <= most ? newest : await this.#lastWithin(laneId, most);
    const { rows } = await sql<{ series_id: string; ids: number[]; from: number; to: number; bytes: number }>`
      select series_id, json_agg(id order by id) as ids, min(first_row)::float8 as "from", max(first_row + rows)::float8 as "to",
        sum(bytes)::float8 as bytes
      from fresh where ${sound} and id <= ${lastId} group by series_id order by series_id`.execute(this.#trx);
    const series = rows.map(({ series_id: seriesId, from, to, ...row }) => ({ ...row, seriesId, range: { from, to } }));
    return { series, lastId, isAll: lastId === newest };
  }

  /**
   * Divides what is fresh of a series into parts of about the same bytes, in the order it came. @returns null if that
   * is not the order of its rows, too: rows that share a time, or were edited, must stay together
   */
  async parts(of: FreshOfSeries, count: number): Promise<FreshOfSeries[] | null> {
    const { rows } = await sql<{ id: number; from: number; to: number; bytes: number; has_times: boolean }>`
      select id::float8 as id, first_row::float8 as "from", (first_row + rows)::float8 as "to", bytes::float8 as bytes, times_crc is not null as has_times
      from fresh where series_id = ${of.seriesId} and id = any(${[...of.ids]}::bigint[]) order by id`.execute(
      this.#trx,
    );
    const isInOrder = rows.every(({ from, has_times: hasTimes }, i) => !hasTimes && from >= (rows[i - 1]?.to ?? from));
    if (!isInOrder || rows.length < count) return null;
    const parts: (typeof rows)[] = Array.from({ length: count }, () => []);
    let before = 0;
    for (const row of rows) {
      parts[Math.min(count - 1, Math.floor((before / of.bytes) * count))]?.push(row);
      before += row.bytes;
    }
    if (parts.some((part) => part.length === 0)) return null;
    return parts.map((part) => ({
      seriesId: of.seriesId,
      range: { from: oneRow(part).from, to: oneRow(part.slice(-1)).to },
      ids: part.map(({ id }) => id),
      bytes: part.reduce((sum, { bytes }) => sum + bytes, 0),
    }));
  }

  async #lastWithin(laneId: string, most: number): Promise<number> {
    const { rows } = await sql<{ id: number }>`
      select id::float8 as id from (
        select id, sum(bytes) over (order by id) as until, row_number() over (order by id) as n
        from fresh where lane_id = ${laneId} and damaged_at is null) f
      where until <= ${most} or n = 1 order by id desc limit 1`.execute(this.#trx);
    return oneRow(rows).id;
  }

  /** Series of a lane whose masks no shard has told. @param since a commit as of which all were told */
  async maskedSince(laneId: string, since: bigint): Promise<string[]> {
    const rows = await this.#trx
      .selectFrom('heads')
      .select('series_id')
      .where('lane_id', '=', laneId)
      .where('masked_commit', '>', since)
      .where('purged_at', 'is', null)
      .orderBy('series_id')
      .execute();
    return rows.map((row) => row.series_id);
  }

  async inShards(shardIds: readonly string[]): Promise<CompactionInput> {
    const ids = sql`any(${[...shardIds]}::uuid[])`;
    const { rows } = await sql<{ series_id: string; ids: number[] | null; from: number | null; to: number | null }>`
      select series_id, c.ids, c.from, c.to
      from (select series_id, json_agg(id order by id) as ids, min(first_row)::float8 as "from", max(first_row + rows)::float8 as "to"
        from chunks where shard_id = ${ids} and damaged_at is null group by series_id) c
      full join (select distinct series_id from summaries where shard_id = ${ids}) y using (series_id)
      order by series_id`.execute(this.#trx);
    return {
      series: rows.map((row) => ({ seriesId: row.series_id, range: { from: row.from ?? 0, to: row.to ?? 0 } })),
      chunkIds: new Map(rows.map((row) => [row.series_id, row.ids ?? []])),
    };
  }

  /** Reads {@link RewriteSeries} of each input, page by page, in no order. */
  async *series(inputs: readonly SeriesInput[], planned: ChunksToTake): AsyncGenerator<RewriteSeries> {
    for (let at = 0; at < inputs.length; at += PAGE_SERIES) {
      yield* await this.#page(inputs.slice(at, at + PAGE_SERIES), planned);
    }
  }

  async #page(inputs: readonly SeriesInput[], planned: ChunksToTake): Promise<RewriteSeries[]> {
    const ids = inputs.map(({ seriesId }) => seriesId);
    const chosen = sql<string>`any(${ids}::uuid[])`;
    const rows = await this.#trx
      .selectFrom('series as s')
      .innerJoin('heads as h', 'h.series_id', 's.id')
      .innerJoin('projects as p', 'p.id', 's.project_id')
      .select([
        ...SERIES_COLUMNS,
        'h.edits',
        'h.expired_ns',
        'h.summaries_expired_ns',
        's.deleted_at',
        isPurgeable('h').as('purged'),
      ])
      .where('s.id', '=', chosen)
      .execute();
    const known = new Map(rows.map((row) => [row.id, { row, series: toSeries(row) }]));
    const edited = rows.filter(({ edits }) => edits > 0).map(({ id }) => id);
    const looks = inputs.flatMap(({ seriesId, range }) => {
      const found = known.get(seriesId);
      return found ? [{ seriesId, range, ...found }] : []; // a series that is gone has taken its chunks along
    });
    const chunks = await this.#chunks(looks, planned);
    const segments = await this.#segments(looks);
    const marks = await this.#marks(looks, chunks);
    const holes = grouped(
      await this.#trx
        .selectFrom('holes')
        .selectAll()
        .where('series_id', '=', sql<string>`any(${edited}::uuid[])`)
        .orderBy('from_row')
        .execute(),
    );
    const erasures = grouped(
      await this.#trx
        .selectFrom('erasures')
        .selectAll()
        .where('series_id', '=', sql<string>`any(${edited}::uuid[])`)
        .orderBy('generation')
        .execute(),
    );
    const summaries = planned.kind === 'shards' ? await this.#summaries(ids, planned.ids) : new Map<string, never[]>();
    return looks.map(({ seriesId, row, series }) => {
      const own = segments.get(seriesId) ?? [];
      const { sampling } = series;
      const rowsOf = (ns: bigint | null): RowRange[] =>
        ns === null || sampling.kind === 'irregular' ? [] : rowsBefore(own, sampling.rate, series.rows, ns);
      const { purged, expired_ns: expired } = row;
      const expiredRows = purged ? uniteRows([{ from: 0, to: series.rows }], []) : rowsOf(expired);
      const { chunks: located, reach } = chunks.get(seriesId)!;
      return {
        series,
        deletedAt: row.deleted_at,
        edits: row.edits,
        segments: own,
        marks: marks.get(seriesId) ?? [],
        chunks: located,
        reach,
        holes: uniteRows(
          expiredRows,
          (holes.get(seriesId) ?? []).map((hole) => ({ from: Number(hole.from_row), to: Number(hole.to_row) })),
        ),
        erasures: [
          ...(erasures.get(seriesId) ?? []).map((each): Erasure => ({
            generation: each.generation,
            startNs: each.start_ns,
            endNs: each.end_ns,
            beforeRow: Number(each.before_row),
          })),
          ...(expired !== null && sampling.kind === 'irregular' ? [expiry(expired)] : []),
          ...(purged && sampling.kind === 'irregular' ? [expiry(INT64_MAX + 1n)] : []),
        ],
        expiredNs: expired,
        summariesExpiredNs: purged ? INT64_MAX + 1n : row.summaries_expired_ns,
        expiredRows,
        summariesExpiredRows: purged ? [{ from: 0, to: Infinity }] : rowsOf(row.summaries_expired_ns),
        summaries: (summaries.get(seriesId) ?? []).map((each) => {
          const block = toSummaryBlock(each, series);
          const storedBytes = block.parts.reduce((sum, { length }) => sum + length, 0);
          return { ...block, shardId: each.shard_id, path: each.path, storedBytes };
        }),
        purged,
      };
    });
  }

  /** Chunks that touch the range of each series. Planned fresh chunks that Postgres holds come with their bytes. */
  async #chunks(looks: readonly SeriesToJoin[], planned: ChunksToTake): Promise<Map<string, LocatedChunks>> {
    const ids = looks.map(({ seriesId }) => seriesId);
    // Chunks that begin before the range may reach into it: by no more than the rows of a block, or of the longest fresh one.
    const longest = await this.#trx
      .selectFrom('fresh')
      .select(['series_id', ({ fn }) => fn.max('rows').as('rows')])
      .where('series_id', '=', sql<string>`any(${ids}::uuid[])`)
      .groupBy('series_id')
      .execute();
    const longestOf = new Map(longest.map((row) => [row.series_id, Number(row.rows)]));
    const reaches = looks.map(({ seriesId, series: { channels, dtype } }) => {
      const rowBytes = channels.length * DTYPES[dtype].bytes;
      return Math.max(mostBlockRows(rowBytes, channels.length), longestOf.get(seriesId) ?? 0);
    });
    const ranges = [ids, looks.map(({ range }) => range.from), looks.map(({ range }) => range.to), reaches];
    const { rows } = await this.#trx.executeQuery<LookRow>(
      CompiledQuery.raw(
        `select u.id, coalesce((
             select json_agg(json_build_array(${LOCATION_COLUMNS}) order by c.first_row) from located_chunks c
             where c.series_id = u.id and c.first_row > u.a - u.reach and c.first_row < u.b and c.first_row + c.rows > u.a), '[]') as chunks,
           (select c.first_row + c.rows from located_chunks c where c.series_id = u.id and c.first_row < u.a order by c.first_row desc limit 1)::float8
             as before,
           (select c.first_row from located_chunks c where c.series_id = u.id and c.first_row >= u.b order by c.first_row limit 1)::float8 as after
         from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[]) as u(id, a, b, reach)`,
        ranges,
      ),
    );
    const held = planned.kind === 'fresh' ? await this.#held(ids, planned) : new Map<string, RewriteChunk[]>();
    const damaged = await this.#damaged(ids);
    const isPlanned = (chunk: ChunkLocation): boolean =>
      planned.kind === 'shards'
        ? planned.ids.has(chunk.shardId) && chunk.key.startsWith('c') && !damaged.has(chunk.key)
        : isFreshBetween(chunk.key, planned) && !damaged.has(chunk.key);
    const looksOf = new Map(looks.map((look) => [look.seriesId, look]));
    return new Map(
      rows.map(({ id, chunks, before, after }) => {
        const { range, series } = looksOf.get(id)!;
        const located = chunks.map(toLocation);
        const shares = new Shares(located);
        const all: RewriteChunk[] = [...(held.get(id) ?? [])];
        for (const chunk of located) {
          if (isPlanned(chunk) && chunk.path === null) continue; // among those that are held
          all.push({ ...chunk, runs: [], isPlanned: isPlanned(chunk), storedBytes: shares.of(chunk) });
        }
        // Numbers that no chunk has any more are told by the shard that has those before them.
        const isWhole = planned.kind === 'shards' && series.sampling.kind === 'irregular';
        const reach = isWhole
          ? { from: before === null ? 0 : range.from, to: after ?? Math.max(series.rows, range.to) }
          : range;
        return [id, { chunks: all.sort((a, b) => a.firstRow - b.firstRow), reach, before, after }];
      }),
    );
  }

  async #held(ids: readonly string[], { afterId, lastId }: FreshIds): Promise<Map<string, RewriteChunk[]>> {
    const { rows } = await this.#trx.executeQuery<HeldRow & { id: string }>(
      CompiledQuery.raw(
        `select s.id, ${HELD_COLUMNS} from series s ${heldChunks('c.id > $2::bigint and c.id <= $3::bigint and c.damaged_at is null', { withIds: true })} where s.id = any($1::uuid[])`,
        [ids, afterId, lastId],
      ),
    );
    return new Map(
      rows.map(({ id, ...row }) => [
        id,
        toHeldRuns(row).map((chunk) => ({ ...chunk, isPlanned: true, storedBytes: 0 })),
      ]),
    );
  }

  async #damaged(ids: readonly string[]): Promise<Set<string>> {
    const { rows } = await sql<{ key: string }>`
      select 'f' || id as key from fresh where series_id = any(${[...ids]}::uuid[]) and damaged_at is not null
      union all
      select 'c' || id from chunks where series_id = any(${[...ids]}::uuid[]) and damaged_at is not null`.execute(
      this.#trx,
    );
    return new Set(rows.map(({ key }) => key));
  }

  async #segments(looks: readonly SeriesToJoin[]): Promise<Map<string, Segment[]>> {
    const regular = looks.filter(({ series }) => series.sampling.kind === 'regular');
    // Up to which row something has expired, only all segments tell.
    const whole = (row: SeriesToJoin['row']): boolean => row.expired_ns !== null || row.summaries_expired_ns !== null;
    const { rows } = await sql<SegmentRow & { id: string }>`
      select u.id, g.first_row, g.start_ns, g.rows, g.skip
      from unnest(${regular.map(({ seriesId }) => seriesId)}::uuid[],
          ${regular.map(({ range, row }) => (whole(row) ? 0 : range.from))}::bigint[],
          ${regular.map(({ range, row }) => (whole(row) ? Number.MAX_SAFE_INTEGER : range.to))}::bigint[]) as u(id, a, b)
        join segments g on g.series_id = u.id and g.first_row < u.b and g.first_row + g.rows > u.a
      order by u.id, g.first_row`.execute(this.#trx);
    const segments = new Map<string, Segment[]>();
    for (const row of rows) {
      const segment = fromSegmentRow(row);
      const own = segments.get(row.id);
      if (own) own.push(segment);
      else segments.set(row.id, [segment]);
    }
    return segments;
  }

  /** Marks of removed rows between the chunks are kept, for times of later rows lie between marks. */
  async #marks(
    looks: readonly SeriesToJoin[],
    located: ReadonlyMap<string, LocatedChunks>,
  ): Promise<Map<string, ClockMark[]>> {
    const regular = looks.filter(({ series }) => series.sampling.kind === 'regular');
    const around = regular.map(({ seriesId, range }) => {
      const { before, after } = located.get(seriesId)!;
      return { from: Math.min(before ?? 0, range.from), to: Math.max(after ?? Number.MAX_SAFE_INTEGER, range.to) };
    });
    const { rows } = await sql<{ id: string; row: bigint; ns: bigint }>`
      select u.id, k.row, k.ns
      from unnest(${regular.map(({ seriesId }) => seriesId)}::uuid[], ${regular.map(({ range }) => range.from)}::bigint[],
          ${regular.map(({ range }) => range.to)}::bigint[], ${around.map(({ from }) => from)}::bigint[],
          ${around.map(({ to }) => to)}::bigint[]) as u(id, a, b, "from", "to")
        join clock_marks k on k.series_id = u.id
          and k.row >= least(u.from, (select max(m.row) from clock_marks m where m.series_id = u.id and m.row < u.a))
          and k.row <= greatest(u.to - 1, (select min(m.row) from clock_marks m where m.series_id = u.id and m.row >= u.b))
      order by u.id, k.row`.execute(this.#trx);
    const marks = new Map<string, ClockMark[]>();
    for (const { id, row, ns } of rows) {
      const own = marks.get(id);
      const mark = { row: Number(row), ns };
      if (own) own.push(mark);
      else marks.set(id, [mark]);
    }
    return marks;
  }

  async #summaries(ids: readonly string[], shardIds: ReadonlySet<string>) {
    const rows = await this.#trx
      .selectFrom('summaries as y')
      .innerJoin('shards as h', 'h.id', 'y.shard_id')
      .selectAll('y')
      .select('h.path')
      .where('y.series_id', '=', sql<string>`any(${[...ids]}::uuid[])`)
      .where('y.shard_id', '=', sql<string>`any(${[...shardIds]}::uuid[])`)
      .orderBy('y.factor')
      .orderBy('y.shard_id')
      .orderBy('y.ordinal')
      .execute();
    return grouped(rows);
  }
}

type FreshIds = Pick<Extract<ChunksToTake, { kind: 'fresh' }>, 'afterId' | 'lastId'>;

function isFreshBetween(key: string, { afterId, lastId }: FreshIds): boolean {
  const id = key.startsWith('f') ? Number(key.slice(1)) : NaN;
  return id > afterId && id <= lastId;
}

interface SeriesToJoin extends SeriesInput {
  readonly row: { readonly expired_ns: bigint | null; readonly summaries_expired_ns: bigint | null };
  readonly series: Series;
}

type LocatedChunks = Pick<RewriteSeries, 'chunks' | 'reach'> & {
  /** Rows: the end of the chunk before the range, and the first of the one after. */
  readonly before: number | null;
  readonly after: number | null;
};

interface LookRow {
  readonly id: string;
  readonly chunks: ChunkArray[];
  readonly before: number | null;
  readonly after: number | null;
}

/** Stored bytes of chunks. If several chunks are runs of one compressed block, each has its share. */
class Shares {
  readonly #rows = new Map<string, number>();

  constructor(chunks: readonly ChunkLocation[]) {
    for (const chunk of chunks) {
      const block = blockOf(chunk);
      this.#rows.set(block, (this.#rows.get(block) ?? 0) + chunk.rows);
    }
  }

  of(chunk: ChunkLocation): number {
    return ((chunk.values.length + (chunk.times?.length ?? 0)) * chunk.rows) / this.#rows.get(blockOf(chunk))!;
  }
}

function blockOf({ path, values }: ChunkLocation): string {
  return `${path} ${values.offset}`;
}

function grouped<R extends { readonly series_id: string }>(rows: readonly R[]): Map<string, R[]> {
  const groups = new Map<string, R[]>();
  for (const row of rows) {
    const group = groups.get(row.series_id);
    if (group) group.push(row);
    else groups.set(row.series_id, [row]);
  }
  return groups;
}
