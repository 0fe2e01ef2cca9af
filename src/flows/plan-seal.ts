/** What a rewriting of shards reads, series by series, and as what it writes it. Pure. */
import type { SealSeries } from '../catalog/seal-reader.ts';
import { DTYPES } from '../core/dtype.ts';
import { isWhollyErased, type Erasure } from '../core/erasure.ts';
import { nsOfRow } from '../core/rate.ts';
import { planRead, type Piece } from '../core/read-plan.ts';
import { withoutRows } from '../core/row-ranges.ts';
import type { RowRange } from '../core/segment.ts';
import type { DuplicateRule } from '../core/series.ts';
import { visibleSlices } from '../core/visible-rows.ts';
import type { SealedSeries } from '../storage/sealed-series.ts';
import type { SealedShard } from '../storage/sealed-writer.ts';
import type { SegmentStart } from '../storage/shard-commit.ts';
import type { StoredSummary } from '../storage/summary-reader.ts';
import { describeSeries } from './describe-series.ts';
import type { SortableChunk } from './sort-run.ts';

export interface SealTask {
  readonly dataRoot: string;
  readonly shard: SealedShard;
  readonly series: readonly SeriesSealTask[];
}

export interface SeriesSealTask {
  readonly sealed: SealedSeries;
  /** Regular: the pieces that read the rows, in order. */
  readonly pieces: readonly Piece[];
  /** Irregular: chunks whose rows are put in order of time, and where their numbers begin. */
  readonly runs: ReadonlyArray<{ readonly firstRow: number; readonly chunks: readonly SortableChunk[] }>;
  readonly duplicates: DuplicateRule;
  readonly erasures: readonly Erasure[];
  /** Cells that stand for rows that have expired. */
  readonly kept: {
    readonly blocks: readonly StoredSummary[];
    /** Regular: rows before have expired. */
    readonly beforeRow: number;
    /** Irregular: times before have expired. */
    readonly beforeNs: bigint | null;
    /** Cells that end before have expired themselves. */
    readonly summariesBeforeNs: bigint | null;
    readonly summariesBeforeRow: number;
  };
}

/** @returns null if nothing of the series is left in the shards */
export function planSeriesSeal(known: SealSeries, shardIds: ReadonlySet<string>): SeriesSealTask | null {
  if (known.purged) return null;
  const { series, chunks, holes, erasures } = known;
  // What has expired is gone from the rows, and needs no telling: the next rebuilding finds no row of it.
  const lasting = erasures.filter(({ generation }) => Number.isFinite(generation));
  const removed = withoutRows(holes, [{ from: 0, to: known.expiredRow }]);
  const isMasked = !known.purged && removed.length + lasting.length > 0;
  const rowBytes = series.channels.length * DTYPES[series.dtype].bytes;
  const irregular = series.sampling.kind === 'irregular';
  const slices = visibleSlices(chunks);
  const runs = irregular ? runsOf(known, shardIds, rowBytes) : [];
  const ranges = irregular
    ? []
    : withoutRows(
        slices.filter(({ chunk }) => shardIds.has(chunk.shardId)),
        holes,
      );
  const first = irregular ? runs[0]?.firstRow : ranges[0]?.from;
  const end = irregular ? endOf(runs) : ranges.at(-1)?.to;
  const kept = known.expiredNs === null ? [] : known.summaries;
  if (first === undefined && kept.length === 0 && !isMasked) return null;
  const firstRow = first ?? 0;
  const extent = (end ?? firstRow) - firstRow;
  return {
    sealed: {
      seriesId: series.id,
      dtype: series.dtype,
      channels: series.channels.length,
      irregular,
      codec: series.codec,
      firstRow,
      extent,
      description: describeSeries(series),
      segmentStarts: segmentStarts(known, { from: firstRow, to: firstRow + extent }),
      masks: {
        generation: known.generation,
        removed: series.removed,
        expiredRow: known.expiredRow,
        holes: removed,
        erasures: lasting,
      },
    },
    pieces: planRead(ranges, slices, rowBytes),
    runs,
    duplicates: series.duplicates,
    erasures,
    kept: {
      blocks: kept,
      beforeRow: known.expiredRow,
      beforeNs: known.expiredNs,
      summariesBeforeNs: known.summariesExpiredNs,
      summariesBeforeRow: known.summariesExpiredRow,
    },
  };
}

/** Chunks of the shards with no row of another shard between them: sorting beyond would change which of two rows of one time came last. */
function runsOf(
  { chunks, erasures }: SealSeries,
  shardIds: ReadonlySet<string>,
  rowBytes: number,
): Array<{ firstRow: number; chunks: SortableChunk[] }> {
  const runs: Array<{ firstRow: number; chunks: SortableChunk[] }> = [];
  let isOpen = false;
  for (const chunk of chunks) {
    if (!shardIds.has(chunk.shardId)) {
      isOpen = false;
      continue;
    }
    if (isWhollyErased(chunk, erasures)) continue;
    if (!isOpen) runs.push({ firstRow: chunk.firstRow, chunks: [] });
    isOpen = true;
    const range = { from: chunk.firstRow, to: chunk.firstRow + chunk.rows };
    const { firstRow, rows, generation, firstNs, lastNs, sorted } = chunk;
    const pieces = planRead([range], visibleSlices([chunk]), rowBytes);
    runs.at(-1)!.chunks.push({ firstRow, rows, generation, firstNs, lastNs, sorted, pieces });
  }
  return runs;
}

function endOf(runs: ReadonlyArray<{ readonly chunks: readonly SortableChunk[] }>): number | undefined {
  const last = runs.at(-1)?.chunks.at(-1);
  return last && last.firstRow + last.rows;
}

/** Where the rows begin, and begin anew after gaps. */
function segmentStarts({ series, segments }: SealSeries, range: RowRange): SegmentStart[] {
  const { sampling } = series;
  if (sampling.kind === 'irregular') return [];
  return segments
    .filter(({ firstRow, rows }) => firstRow < range.to && firstRow + rows > range.from)
    .map(({ firstRow, startNs }) => {
      const row = Math.max(firstRow, range.from);
      return { row, startNs: startNs + nsOfRow(sampling.rate, row - firstRow) };
    });
}
