/** What a rewriting reads, series by series, and as what it writes it. Pure. */
import type { RewriteChunk, RewriteSeries } from '../../catalog/shards/rewrite-reader.ts';
import { blockRows } from '../../core/rows/chunk.ts';
import { DTYPES } from '../../core/numbers/dtype.ts';
import { isWhollyErased, type Erasure } from '../../core/rows/erasure.ts';
import { planRead, type HeldBytes, type Piece, type Span } from '../../core/rows/read-plan.ts';
import { clipRows, uniteRows, withoutRows } from '../../core/signal/row-ranges.ts';
import { partOfSegment, type RowRange, type Segment } from '../../core/signal/segment.ts';
import { descriptionOf } from '../../core/upkeep/series-record.ts';
import type { DuplicateRule } from '../../core/signal/series.ts';
import { visibleSlices, type Slice } from '../../core/rows/visible-rows.ts';
import type { ThreadPriority } from '../../storage/threads/run-in-thread.ts';
import type { SeriesToWrite } from '../../storage/shard/series-writer.ts';
import type { NewShard } from '../../storage/codec/shard-layout.ts';
import type { StoredSummary } from '../../storage/read/summary-reader.ts';
import type { SortableChunk } from '../read/order-windows.ts';

export interface RewriteTask {
  readonly dataRoot: string;
  readonly shard: NewShard;
  readonly series: readonly SeriesTask[];
  readonly priority: ThreadPriority;
}

export interface SeriesTask {
  readonly write: SeriesToWrite;
  /** Regular: the pieces that read the rows, in order. */
  readonly pieces: readonly Piece[];
  /** Irregular: chunks whose rows are put in order of time, and where their numbers begin. */
  readonly runs: ReadonlyArray<{ readonly firstRow: number; readonly chunks: readonly SortableChunk[] }>;
  readonly duplicates: DuplicateRule;
  readonly erasures: readonly Erasure[];
  /** Cells that stand for rows that have expired. */
  readonly kept: {
    readonly blocks: readonly StoredSummary[];
    /** Regular: rows that have expired. */
    readonly expiredRows: readonly RowRange[];
    /** Irregular: times before have expired. */
    readonly beforeNs: bigint | null;
    /** Cells that end before have expired themselves. */
    readonly summariesBeforeNs: bigint | null;
    readonly summariesExpiredRows: readonly RowRange[];
  };
  /** What goes in and has a checksum of its own. */
  readonly inputs: readonly RewriteInput[];
}

/** Bytes that are to match their checksums: those of a chunk, or of the runs that a chunk was joined of. */
export interface RewriteInput {
  readonly path: string | null;
  readonly held: HeldBytes | null;
  readonly values: Span;
  readonly times: Span | null;
  readonly runs: ReadonlyArray<{
    readonly key: string;
    readonly rows: number;
    readonly valuesLength: number;
    readonly valuesCrc: number;
    readonly timesCrc: number | null;
  }>;
  /** It is not read as a whole, which would compare its checksums: they must be compared before. */
  readonly isChecked: boolean;
}

/** Raw bytes of a series in a flush, up to which its datasets are contiguous. */
export const CONTIGUOUS_BYTES = 64 * 1024;

/** @returns null if nothing is to be said of the series any more */
export function planSeriesRewrite(known: RewriteSeries, level: NewShard['level']): SeriesTask | null {
  if (known.purged) return null;
  const { series, chunks, holes, erasures } = known;
  const irregular = series.sampling.kind === 'irregular';
  const channels = series.channels.length;
  const rowBytes = channels * DTYPES[series.dtype].bytes;
  const slices = visibleSlices(chunks);
  const planned = slices.filter(({ chunk }) => chunk.isPlanned);
  const claims = claimsOf(known, slices);
  const runs = irregular ? runsOf(known, rowBytes) : [];
  const ranges = irregular ? [] : withoutRows(planned.map(rangeOf), holes);
  const first = (irregular ? runs[0]?.firstRow : ranges[0]?.from) ?? 0;
  const end = (irregular ? endOf(runs) : ranges.at(-1)?.to) ?? first;
  const rowsOfBlock = blockRows(Math.max(rowBytes, irregular ? DTYPES.int64.bytes : 0), channels, end - first);
  // In all compacted shards the blocks of a regular series lie in one grid.
  const firstRow = level === 1 && !irregular ? Math.floor(first / rowsOfBlock) * rowsOfBlock : first;
  const extent = end - firstRow;
  const isSmall = level === 0 && extent * rowBytes <= CONTIGUOUS_BYTES;
  // What has expired is gone from the rows; up to where, is said beside.
  const lasting = erasures.filter(({ generation }) => Number.isFinite(generation));
  return {
    write: {
      seriesId: series.id,
      dtype: series.dtype,
      channels,
      irregular,
      codec: series.codec,
      extent,
      layout: isSmall ? { kind: 'contiguous' } : { kind: 'chunked', blockRows: rowsOfBlock },
      compacted: level === 1,
      record: {
        firstRow,
        claims,
        generation: known.edits,
        rows: series.rows,
        removed: series.removed,
        expiredNs: known.expiredNs,
        summariesExpiredNs: known.summariesExpiredNs,
        expiredRows: known.expiredRows,
        holes: withoutRows(holes, known.expiredRows),
        erasures: lasting,
        segments: claims.flatMap((claim) => segmentsOf(known, claim)),
        marks: known.marks,
        sealedAt: series.sealedAt,
        contentHash: series.contentHash,
        deletedAt: known.deletedAt,
        description: descriptionOf(series),
      },
    },
    pieces: planRead(ranges, slices, rowBytes),
    runs,
    duplicates: series.duplicates,
    erasures,
    kept: {
      blocks: level === 0 || known.expiredNs === null ? [] : known.summaries,
      expiredRows: known.expiredRows,
      beforeNs: known.expiredNs,
      summariesBeforeNs: known.summariesExpiredNs,
      summariesExpiredRows: known.summariesExpiredRows,
    },
    inputs: inputsOf(chunks, slices, irregular ? null : ranges, rowBytes),
  };
}

/** The numbers of rows that the new shard tells the truth about: none that are read from elsewhere. */
function claimsOf({ series, chunks, reach }: RewriteSeries, slices: ReadonlyArray<Slice<RewriteChunk>>): RowRange[] {
  const planned = uniteRows(chunks.filter(({ isPlanned }) => isPlanned).map(rowsOf), []);
  if (series.sampling.kind === 'regular') {
    const elsewhere = slices.filter(({ chunk }) => !chunk.isPlanned).map(rangeOf);
    return withoutRows([reach], uniteRows(elsewhere, [])).filter((range) => clipRows(planned, range).length > 0);
  }
  // Rows in order of time are numbered anew from the first one on. So a claim reaches past its last row, up to the next
  // chunk.
  const claims: { from: number; to: number }[] = [];
  let isOpen = false;
  for (const [i, chunk] of chunks.entries()) {
    if (chunk.isPlanned && !isOpen) claims.push({ from: i === 0 ? reach.from : chunk.firstRow, to: reach.to });
    else if (!chunk.isPlanned && isOpen) claims[claims.length - 1].to = chunk.firstRow;
    isOpen = chunk.isPlanned;
  }
  return claims;
}

function rangeOf({ from, to }: Slice): RowRange {
  return { from, to };
}

function rowsOf({ firstRow, rows }: RewriteChunk): RowRange {
  return { from: firstRow, to: firstRow + rows };
}

/** Chunks with no row of another between them: sorting beyond would change which of two rows of one time came last. */
function runsOf(
  { chunks, erasures }: RewriteSeries,
  rowBytes: number,
): Array<{ firstRow: number; chunks: SortableChunk[] }> {
  const runs: Array<{ firstRow: number; chunks: SortableChunk[] }> = [];
  let isOpen = false;
  for (const chunk of chunks) {
    if (chunk.isPlanned) {
      if (!isOpen) runs.push({ firstRow: chunk.firstRow, chunks: [] });
      if (!isWhollyErased(chunk, erasures)) {
        const { firstRow, rows, generation, firstNs, lastNs, sorted } = chunk;
        const pieces = planRead([rowsOf(chunk)], visibleSlices([chunk]), rowBytes);
        runs.at(-1)!.chunks.push({ firstRow, rows, generation, firstNs, lastNs, sorted, pieces });
      }
    }
    isOpen = chunk.isPlanned;
  }
  return runs.filter((run) => run.chunks.length > 0);
}

function endOf(runs: ReadonlyArray<{ readonly chunks: readonly SortableChunk[] }>): number | undefined {
  const last = runs.at(-1)?.chunks.at(-1);
  return last && last.firstRow + last.rows;
}

/** The segments of the rows of a claim. */
function segmentsOf({ series, segments }: RewriteSeries, claim: RowRange): Segment[] {
  const { sampling } = series;
  if (sampling.kind === 'irregular') return [];
  return segments
    .filter(({ firstRow, rows }) => firstRow < claim.to && firstRow + rows > claim.from)
    .map((segment) => {
      const from = Math.max(segment.firstRow, claim.from);
      const to = Math.min(segment.firstRow + segment.rows, claim.to);
      return partOfSegment(segment, sampling.rate, { from, to });
    });
}

/** @param ranges rows that are read; null: all rows of every chunk that is read */
function inputsOf(
  chunks: readonly RewriteChunk[],
  slices: ReadonlyArray<Slice<RewriteChunk>>,
  ranges: readonly RowRange[] | null,
  rowBytes: number,
): RewriteInput[] {
  const seen = new Map<RewriteChunk, RowRange[]>();
  for (const slice of slices) seen.set(slice.chunk, [...(seen.get(slice.chunk) ?? []), rangeOf(slice)]);
  return chunks.flatMap((chunk): RewriteInput[] => {
    const { key, path, held, values, times, rows, skip, valuesCrc, timesCrc } = chunk;
    if (!chunk.isPlanned || chunk.codec !== 'none') return []; // compressed blocks are compared whenever they are read
    if (held) return [{ path, held, values, times, runs: chunk.runs, isChecked: true }];
    const read = ranges && (seen.get(chunk) ?? []).flatMap((range) => clipRows(ranges, range));
    const isPart = read !== null && read.length > 0 && (read.length > 1 || read[0].to - read[0].from < rows);
    const own = ({ offset }: Span, bytes: number): Span => ({ offset: offset + skip * bytes, length: rows * bytes });
    return [
      {
        path,
        held,
        values: own(values, rowBytes),
        times: times && own(times, DTYPES.int64.bytes),
        runs: [{ key, rows, valuesLength: rows * rowBytes, valuesCrc, timesCrc }],
        isChecked: isPart,
      },
    ];
  });
}
