/** Which cells, statistics and rows answer the buckets of a series, and where they lie. Asks the catalog for no more chunks than that. */
import type {
  LocatedSummary,
  OverviewChunkLocation,
  OverviewChunks,
  OverviewSnapshot,
} from '../../catalog/read/overview-snapshot.ts';
import { DTYPES } from '../../core/numbers/dtype.ts';
import type { RowDetails } from '../../core/overview/bucket-fold.ts';
import {
  coverByCells,
  type CellRules,
  dirtyRows,
  factorFor,
  planBucketRows,
  bordersIn,
  ranksOf,
  rowsAtBorders,
  seenSlices,
  snapBorders,
  strandsOf,
  type CellRange,
  type StrandBorders,
  type SummarizedShard,
} from '../../core/overview/row-buckets.ts';
import type { BorderRule } from '../../core/overview/time-buckets.ts';
import type { Rate } from '../../core/signal/rate.ts';
import { planRead, type Piece } from '../../core/rows/read-plan.ts';
import { clipRows, uniteRows } from '../../core/signal/row-ranges.ts';
import { timeOfRow, type RowRange } from '../../core/signal/segment.ts';
import { SUMMARY_FACTORS } from '../../core/overview/summary.ts';
import { visibleSlices, type Slice } from '../../core/rows/visible-rows.ts';
import type { RowFoldTask, TimeFoldTask, TimedFoldChunk } from './fold-overview.ts';

export interface PlanRequest {
  readonly dataRoot: string;
  readonly selected: readonly number[] | null;
  readonly details: RowDetails;
  /** Borders of the buckets, in order; there is one more than buckets. */
  readonly borders: BigInt64Array;
  readonly rule: BorderRule;
  /** Borders that stay where they are, whatever the rule. */
  readonly fixed?: ReadonlySet<bigint>;
}

/** Tells what a plan needs to know, as of one instant. */
export interface FoldReader {
  readonly snapshot: OverviewSnapshot;
  /** In order of rows. */
  chunks(wanted: OverviewChunks): Promise<OverviewChunkLocation[]>;
}

export interface FoldPlan {
  readonly fold: RowFoldTask | TimeFoldTask;
  /** Where the buckets begin, and where the last one ends; null: known when they are folded. */
  readonly begins: BigInt64Array | null;
}

const FINEST = SUMMARY_FACTORS[0];
/**
 * Up to so many rows, borders of an irregular series stay where they are, and what lies on both sides of one is read.
 * In longer series they move to where cells begin, which a compaction changes. Reading around each border would take
 * seconds there.
 */
const MOST_KEPT_ROWS = 2 ** 20;
/** Rows that take no more bytes than this are read as quickly as a block of finer cells. */
const ROWS_RATHER_THAN_CELLS_BYTES = 1024 * 1024;

export async function planRowFold(reader: FoldReader, rate: Rate, request: PlanRequest): Promise<FoldPlan> {
  const { snapshot } = reader;
  const { series, segments, expiredNs } = snapshot;
  const buckets = request.borders.length - 1;
  const strands = strandsOf(segments);
  const parts = buckets === 0 ? [] : bordersIn(strands, rate, request.borders);
  const rowBytes = series.channels.length * DTYPES[series.dtype].bytes;
  const isExact = request.rule === 'fixed';
  const inRange = parts.reduce((sum, { rows }) => sum + rows[rows.length - 1] - rows[0], 0);
  const factor = isExact || buckets === 0 ? null : factorFor(inRange / buckets);
  const expiredRows = parts.map(({ strand }) =>
    expiredNs === null ? 0 : rowsAtBorders(strand.segments, rate, BigInt64Array.of(expiredNs))[0],
  );
  // What has expired is told by cells, whatever is asked for.
  const hasExpired = parts.some(({ rows }, p) => expiredRows[p] > rows[0]);
  const coarsest = hasExpired ? (factor ?? (isExact ? SUMMARY_FACTORS.at(-1)! : FINEST)) : factor;
  const known = coarsest === null || buckets === 0 ? [] : summarizedShards(snapshot);

  const isSimple = snapshot.edits === 0 && snapshot.summarized.every((each) => each.to - each.from === each.rows);
  const rowsRatherThanCells = Math.floor(ROWS_RATHER_THAN_CELLS_BYTES / rowBytes);
  const snapped = parts.map(({ strand, bucket, rows, floors }, p) => {
    const fixed = new Set(rows.filter((_, i) => request.fixed?.has(request.borders[bucket + i])));
    return snapBorders(rows, { segments: strand.segments, factor, expiredRow: expiredRows[p], fixed, floors });
  });
  const cover = (shards: readonly SummarizedShard[]): Cover => {
    const covers = snapped.map((borders, p) => {
      const expiredRow = expiredRows[p];
      const own = shards.filter(({ rows }) => rows.from < borders[borders.length - 1] && rows.to > borders[0]);
      const usable = isExact ? own.map((shard) => withoutCellsFrom(shard, expiredRow)) : own;
      return coverAll(usable, borders, { coarsest, rowsRatherThanCells, expiredRow });
    });
    return joinCovers(covers, shards);
  };
  const range = hullOf(parts);
  const chunks =
    buckets === 0
      ? []
      : await reader.chunks({
          by: 'rows',
          stats: isExact ? 'all' : 'of others',
          range,
          summarized: known.map(({ id }) => id),
          parts: isSimple ? uniteRows([...cover(known).left.values()].flat(), []) : [range],
        });

  const seen = seenSlices(chunks, snapshot.holes);
  const shards = isSimple
    ? known
    : known.map((shard) => ({ ...shard, dirty: uniteRows(shard.dirty, dirtyOf(shard.id, chunks, seen)) }));
  const { cells, left } = cover(shards);
  const stats: { bucket: number; chunk: OverviewChunkLocation }[] = [];
  const reads: Slice<OverviewChunkLocation>[] = [];
  for (const [p, borders] of snapped.entries()) {
    const live = slicesIn(seen, { from: Math.max(borders[0], expiredRows[p]), to: borders[borders.length - 1] });
    const plan = planBucketRows(live, borders, left, ({ stats: told }) => told !== null && !needsRows(request));
    stats.push(...plan.stats.map(({ bucket, chunk }) => ({ bucket: parts[p].bucket + bucket, chunk })));
    reads.push(...plan.reads);
  }
  return {
    fold: {
      kind: 'regular',
      dataRoot: request.dataRoot,
      dtype: series.dtype,
      channels: series.channels.length,
      missingValue: series.missingValue,
      selected: request.selected,
      details: request.details,
      buckets,
      strands: snapped.map((borders, p) => ({ bucket: parts[p].bucket, borders })),
      ranks: strands.length > 1 ? ranksOf(segments) : null,
      cells: blocksOf(snapshot.summaries, cells, shards),
      stats: stats.map(({ bucket, chunk }) => ({ bucket, firstRow: chunk.firstRow, stats: chunk.stats! })),
      ...piecesOf(reads, rowBytes),
    },
    begins: beginsOf(request.borders, parts, snapped, (row) => timeOfRow(segments, rate, row)),
  };
}

/** Where the buckets begin: a border that was moved takes the time of its row. */
function beginsOf(
  borders: BigInt64Array,
  parts: readonly StrandBorders[],
  snapped: readonly Float64Array[],
  timeOf: (row: number) => bigint,
): BigInt64Array {
  const begins = borders.slice();
  for (const [p, { bucket, rows }] of parts.entries()) {
    for (const [i, row] of snapped[p].entries()) {
      if (row >= rows[i]) continue;
      const ns = timeOf(row);
      if (ns < begins[bucket + i]) begins[bucket + i] = ns;
    }
  }
  return begins;
}

/** The rows from the first to the last one that may be asked for. */
function hullOf(parts: readonly StrandBorders[]): RowRange {
  const from = Math.min(...parts.map(({ rows }) => floorTo(rows[0], FINEST)));
  const to = Math.max(...parts.map(({ rows }) => rows[rows.length - 1]));
  return parts.length === 0 ? { from: 0, to: 0 } : { from, to };
}

/** The parts of slices in a range of rows. @param slices in order of rows */
function slicesIn<C extends Slice>(slices: readonly C[], range: RowRange): C[] {
  let low = 0;
  let high = slices.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (slices[middle].to <= range.from) low = middle + 1;
    else high = middle;
  }
  const found: C[] = [];
  for (let at = low; at < slices.length && slices[at].from < range.to; at++) {
    for (const part of clipRows([slices[at]], range)) found.push({ ...slices[at], ...part });
  }
  return found;
}

interface Cover {
  readonly cells: readonly CellRange[];
  readonly left: Map<string, readonly RowRange[]>;
}

function coverAll(shards: readonly SummarizedShard[], borders: Float64Array, rules: CellRules): Cover {
  const cells: CellRange[] = [];
  const left = new Map<string, readonly RowRange[]>();
  for (const shard of shards) {
    const covered = coverByCells(shard, borders, rules);
    cells.push(...covered.cells);
    left.set(shard.id, covered.left);
  }
  return { cells, left };
}

/** Joins the covers of the strands of a series, in order of rows. */
function joinCovers(covers: readonly Cover[], shards: readonly SummarizedShard[]): Cover {
  const left = new Map<string, RowRange[]>(shards.map(({ id }) => [id, []]));
  for (const cover of covers) for (const [id, ranges] of cover.left) left.get(id)!.push(...ranges);
  return { cells: covers.flatMap(({ cells }) => cells), left };
}

function summarizedShards({ summaries, summarized, expiredNs }: OverviewSnapshot): SummarizedShard[] {
  const shards = new Map<string, { factors: Set<number>; rows: RowRange }>();
  const stored = new Map(summarized.map((each) => [each.shardId, each]));
  for (const { shardId, factor, firstRow, lastRow } of summaries) {
    const chunks = stored.get(shardId);
    // Cells of rows that have expired stay when the rows are gone.
    const ofCells = expiredNs === null && chunks ? chunks : { from: firstRow!, to: lastRow! + 1 };
    const own = shards.get(shardId) ?? { factors: new Set<number>(), rows: chunks ?? ofCells };
    own.factors.add(factor);
    const from = factor === FINEST ? Math.min(own.rows.from, ofCells.from) : own.rows.from;
    const to = factor === FINEST && !chunks ? Math.max(own.rows.to, ofCells.to) : own.rows.to;
    own.rows = { from, to };
    shards.set(shardId, own);
  }
  return [...shards].map(([id, { factors, rows }]) => ({ id, factors: [...factors], rows, dirty: [] }));
}

/** A shard whose cells of later rows are not to be used. */
function withoutCellsFrom(shard: SummarizedShard, row: number): SummarizedShard {
  const { from, to } = shard.rows;
  const first = Math.max(from, floorTo(row, FINEST));
  return first < to ? { ...shard, dirty: uniteRows(shard.dirty, [{ from: first, to }]) } : shard;
}

function dirtyOf(
  shardId: string,
  chunks: readonly OverviewChunkLocation[],
  seen: readonly Slice<OverviewChunkLocation>[],
): RowRange[] {
  const own = chunks.filter((chunk) => chunk.shardId === shardId);
  return dirtyRows(
    own,
    seen.filter(({ chunk }) => chunk.shardId === shardId),
  );
}

function blocksOf(
  summaries: readonly LocatedSummary[],
  cells: readonly CellRange[],
  shards: readonly SummarizedShard[],
): RowFoldTask['cells'] {
  const firstRows = new Map(shards.map(({ id, rows }) => [id, rows.from]));
  const ofLevel = new Map<string, CellRange[]>();
  for (const range of cells) {
    const level = `${range.shardId} ${range.factor}`;
    const own = ofLevel.get(level);
    if (own) own.push(range);
    else ofLevel.set(level, [range]);
  }
  return summaries.flatMap((block) => {
    const own = ofLevel.get(`${block.shardId} ${block.factor}`) ?? [];
    const ranges = own.filter(({ from, to }) => from <= block.lastCell && to > block.firstCell);
    return ranges.length > 0 ? [{ block, ranges, firstRow: firstRows.get(block.shardId)! }] : [];
  });
}

/** What only rows can tell. */
function needsRows({ details }: PlanRequest): boolean {
  return details.ends === true;
}

/**
 * One read for each chunk, from the first of its wanted rows to the last. Several reads would decode a compressed chunk
 * several times.
 */
function piecesOf(
  reads: readonly Slice<OverviewChunkLocation>[],
  rowBytes: number,
): Pick<RowFoldTask, 'pieces' | 'wanted'> {
  const wanted = new Map<OverviewChunkLocation, RowRange[]>();
  for (const { chunk, from, to } of reads) {
    const ranges = wanted.get(chunk);
    if (ranges) ranges.push({ from, to });
    else wanted.set(chunk, [{ from, to }]);
  }
  const pieces: Piece[] = [];
  for (const [chunk, ranges] of wanted) {
    const span = { from: ranges[0].from, to: ranges.at(-1)!.to };
    pieces.push(...planRead([span], [{ chunk, ...span }], rowBytes));
  }
  return { pieces, wanted: [...wanted.values()] };
}

const floorTo = (row: number, factor: number): number => Math.floor(row / factor) * factor;

export async function planTimeFold(reader: FoldReader, request: PlanRequest): Promise<TimeFoldTask> {
  const { snapshot } = reader;
  const { series, summaries, expiredNs } = snapshot;
  const { borders, details } = request;
  const buckets = borders.length - 1;
  const [startNs, endNs] = [borders[0], borders[buckets]];
  const rowBytes = series.channels.length * DTYPES[series.dtype].bytes;
  const isExact = request.rule === 'fixed';
  const inRange = summaries.filter(({ firstNs, lastNs }) => buckets > 0 && firstNs! < endNs && lastNs! >= startNs);
  const chunks =
    buckets === 0
      ? []
      : await reader.chunks({
          by: 'time',
          stats: isExact ? 'all' : 'of others',
          startNs,
          endNs,
          summarized: [...new Set(inRange.map(({ shardId }) => shardId))],
        });
  const rows =
    chunks.reduce((sum, chunk) => sum + chunk.rows * shareOf(chunk, startNs, endNs), 0) +
    expiredRows(inRange, expiredNs);
  const factor = isExact ? null : factorFor(rows / buckets);
  const hasExpired = expiredNs !== null && startNs < expiredNs;
  const coarsest = factor ?? (hasExpired ? FINEST : null);
  return {
    kind: 'irregular',
    dataRoot: request.dataRoot,
    dtype: series.dtype,
    channels: series.channels.length,
    missingValue: series.missingValue,
    selected: request.selected,
    details,
    borders,
    rule: request.rule === 'ends' && series.rows <= MOST_KEPT_ROWS ? 'kept' : request.rule,
    chunks: chunks.map((chunk): TimedFoldChunk => ({
      shardId: chunk.shardId,
      firstRow: chunk.firstRow,
      rows: chunk.rows,
      generation: chunk.generation,
      firstNs: chunk.firstNs!,
      lastNs: chunk.lastNs!,
      sorted: chunk.sorted,
      stats: needsRows(request) ? null : chunk.stats,
      pieces: planRead([{ from: chunk.firstRow, to: chunk.firstRow + chunk.rows }], visibleSlices([chunk]), rowBytes),
    })),
    shards: coarsest === null ? [] : levelOf(inRange, coarsest),
    duplicates: series.duplicates,
    erasures: snapshot.erasures,
    expiry: snapshot.expiry,
  };
}

/** The blocks of one level of each shard: the coarsest level that it has, up to a factor. */
function levelOf(summaries: readonly LocatedSummary[], coarsest: number): TimeFoldTask['shards'] {
  const ids = [...new Set(summaries.map(({ shardId }) => shardId))];
  return ids.flatMap((shardId) => {
    const own = summaries.filter((block) => block.shardId === shardId && block.factor <= coarsest);
    const factor = Math.max(...own.map((block) => block.factor));
    return own.length === 0 ? [] : [{ shardId, blocks: own.filter((block) => block.factor === factor) }];
  });
}

function shareOf({ firstNs, lastNs }: OverviewChunkLocation, startNs: bigint, endNs: bigint): number {
  const from = firstNs! > startNs ? firstNs! : startNs;
  const to = lastNs! < endNs ? lastNs! + 1n : endNs;
  return Number(to - from) / Number(lastNs! + 1n - firstNs!);
}

/** Rows that only cells tell of, as many as there may be. */
function expiredRows(summaries: readonly LocatedSummary[], expiredNs: bigint | null): number {
  if (expiredNs === null) return 0;
  return summaries
    .filter(({ factor, firstNs }) => factor === FINEST && firstNs! < expiredNs)
    .reduce((sum, { cells }) => sum + cells * FINEST, 0);
}
