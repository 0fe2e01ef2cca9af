/** Which cells, statistics and rows answer the buckets of a series, and where they lie. Asks the catalog for no more chunks than that. */
import type {
  LocatedSummary,
  OverviewChunkLocation,
  OverviewReader,
  OverviewSnapshot,
} from '../catalog/overview-snapshot.ts';
import { DTYPES } from '../core/dtype.ts';
import type { RowDetails } from '../core/overview-fold.ts';
import {
  coverByCells,
  type CellRules,
  dirtyRows,
  factorFor,
  planRows,
  rowsAtBorders,
  seenSlices,
  snapBorders,
  timeOfRow,
  type CellRange,
  type SummarizedShard,
} from '../core/overview-plan.ts';
import type { BorderRule } from '../core/overview-times.ts';
import type { Rate } from '../core/rate.ts';
import { planRead, type Piece } from '../core/read-plan.ts';
import { clipRows, uniteRows } from '../core/row-ranges.ts';
import type { RowRange } from '../core/segment.ts';
import { SUMMARY_FACTORS } from '../core/summary.ts';
import { visibleSlices, type Slice } from '../core/visible-rows.ts';
import type { RowFoldTask, TimeFoldTask, TimedFoldChunk } from './overview-fold.ts';

export interface PlanRequest {
  readonly dataRoot: string;
  readonly selected: readonly number[] | null;
  readonly details: RowDetails;
  /** Of the buckets, in order; one more than buckets. */
  readonly borders: BigInt64Array;
  readonly rule: BorderRule;
  /** Borders that stay where they are, whatever the rule. */
  readonly fixed?: ReadonlySet<bigint>;
}

export interface FoldPlan {
  readonly fold: RowFoldTask | TimeFoldTask;
  /** Where the buckets begin, and where the last one ends; null: known when they are folded. */
  readonly begins: BigInt64Array | null;
}

const FINEST = SUMMARY_FACTORS[0];
/**
 * Up to so many rows borders of an irregular series stay where they are, and what lies on both sides of one is read. Of longer ones they move to where cells
 * begin, which a compaction changes: reading around each border would take seconds.
 */
const MOST_KEPT_ROWS = 2 ** 20;
/** Rows that take as many bytes are read as quickly as a block of finer cells. */
const ROWS_RATHER_THAN_CELLS_BYTES = 1024 * 1024;

export async function planRowFold(reader: OverviewReader, rate: Rate, request: PlanRequest): Promise<FoldPlan> {
  const { snapshot } = reader;
  const { series, segments, expiredNs } = snapshot;
  const rows = rowsAtBorders(segments, rate, request.borders);
  const buckets = rows.length - 1;
  const rowBytes = series.channels.length * DTYPES[series.dtype].bytes;
  const expiredRow = expiredNs === null ? 0 : rowsAtBorders(segments, rate, BigInt64Array.of(expiredNs))[0];
  const isExact = request.rule === 'fixed';
  const factor = isExact || buckets === 0 ? null : factorFor((rows[buckets] - rows[0]) / buckets);
  // What has expired is told by cells, whatever is asked for.
  const coarsest = expiredRow > rows[0] ? (factor ?? (isExact ? SUMMARY_FACTORS.at(-1)! : FINEST)) : factor;
  const known = coarsest === null || buckets === 0 ? [] : summarizedShards(snapshot, isExact ? expiredRow : null);

  const isSimple = snapshot.edits === 0 && snapshot.summarized.every((each) => each.to - each.from === each.rows);
  const cover = (shards: readonly SummarizedShard[], borders: Float64Array): Cover => {
    const rowsRatherThanCells = Math.floor(ROWS_RATHER_THAN_CELLS_BYTES / rowBytes);
    return coverAll(shards, borders, { coarsest, rowsRatherThanCells, expiredRow });
  };
  const fixed = new Set(rows.filter((_, i) => request.fixed?.has(request.borders[i])));
  const borders = buckets === 0 ? rows : snapBorders(rows, { segments, factor, expiredRow, fixed });
  const range = { from: Math.min(rows[0], floorTo(rows[0], FINEST)), to: rows[buckets] };
  const chunks =
    buckets === 0
      ? []
      : await reader.chunks({
          by: 'rows',
          stats: isExact ? 'all' : 'of others',
          range,
          summarized: known.map(({ id }) => id),
          parts: isSimple ? uniteRows([...cover(known, borders).left.values()].flat(), []) : [range],
        });

  const seen = seenSlices(chunks, snapshot.holes);
  const shards = isSimple
    ? known
    : known.map((shard) => ({ ...shard, dirty: uniteRows(shard.dirty, dirtyOf(shard.id, chunks, seen)) }));
  const { cells, left } = cover(shards, borders);
  const live = seen.flatMap((slice) =>
    clipRows([slice], { from: expiredRow, to: Infinity }).map((part) => ({ ...slice, ...part })),
  );
  const { stats, reads } = planRows(live, borders, left, ({ stats: told }) => told !== null && !needsRows(request));
  return {
    fold: {
      kind: 'regular',
      dataRoot: request.dataRoot,
      dtype: series.dtype,
      channels: series.channels.length,
      missingValue: series.missingValue,
      selected: request.selected,
      details: request.details,
      borders,
      cells: blocksOf(snapshot.summaries, cells, shards),
      stats: stats.map(({ bucket, chunk }) => ({ bucket, firstRow: chunk.firstRow, stats: chunk.stats! })),
      ...piecesOf(reads, rowBytes),
    },
    begins: BigInt64Array.from(borders, (row, i) =>
      row < rows[i] ? timeOfRow(segments, rate, row) : request.borders[i],
    ),
  };
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

/** @param beforeRow cells of later rows are not to be used; null: all are */
function summarizedShards(
  { summaries, summarized, expiredNs }: OverviewSnapshot,
  beforeRow: number | null,
): SummarizedShard[] {
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
  return [...shards].map(([id, { factors, rows }]) => {
    const from = beforeRow === null ? rows.to : Math.max(rows.from, floorTo(beforeRow, FINEST));
    return { id, factors: [...factors], rows, dirty: from < rows.to ? [{ from, to: rows.to }] : [] };
  });
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
  return summaries.flatMap((block) => {
    const ranges = cells
      .filter(({ shardId, factor }) => shardId === block.shardId && factor === block.factor)
      .filter(({ from, to }) => from <= block.lastCell && to > block.firstCell);
    return ranges.length > 0 ? [{ block, ranges, firstRow: firstRows.get(block.shardId)! }] : [];
  });
}

/** What only rows can tell. */
function needsRows({ details }: PlanRequest): boolean {
  return details.ends === true;
}

/** Of each chunk one read, from the first of its wanted rows to the last: a compressed one would be decoded for each otherwise. */
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

export async function planTimeFold(reader: OverviewReader, request: PlanRequest): Promise<TimeFoldTask> {
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

/** Of each shard the blocks of one level: the coarsest that it has, up to a factor. */
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
