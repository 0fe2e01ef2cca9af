/** A block of summary cells: where its columns lie in a shard, and how they become cells again. */
import type { ByteRange } from './chunk.ts';
import type { Codec } from './codec.ts';
import { bytesOf, viewAs, type Dtype } from './dtype.ts';
import { meanDtype, type SummaryCells, type SummaryShape } from './summary.ts';

/** The datasets of a summary: `cell` is there for regular series, `time` for irregular ones. */
export const SUMMARY_PARTS = ['min', 'max', 'mean', 'count', 'time', 'cell'] as const;
export type SummaryPartName = (typeof SUMMARY_PARTS)[number];

/** One column of a block, as it is stored. */
export interface SummaryPart extends ByteRange {
  readonly name: SummaryPartName;
  readonly codec: Codec;
  /** CRC-32 of the stored bytes. */
  readonly crc: number;
}

export interface SummaryBlock {
  readonly factor: number;
  /** {@link SummaryCells.index} of the first and the last cell. */
  readonly firstCell: number;
  readonly lastCell: number;
  readonly cells: number;
  /** Regular series: the first and the last row that the cells stand for. */
  readonly firstRow: number | null;
  readonly lastRow: number | null;
  /** Irregular series: the time of the first row of the first cell and of the last row of the last one. */
  readonly firstNs: bigint | null;
  readonly lastNs: bigint | null;
  readonly dtype: Dtype;
  readonly channels: number;
  readonly parts: readonly SummaryPart[];
}

export interface SummaryColumn {
  readonly name: SummaryPartName;
  readonly dtype: Dtype;
  /** Numbers a cell; null: one, and the dataset is a vector. */
  readonly width: number | null;
}

/** The datasets that the summary of a series has. */
export function summaryColumns({
  dtype,
  channels,
  irregular,
}: Omit<SummaryShape, 'missingValue'>): readonly SummaryColumn[] {
  return [
    { name: 'min', dtype, width: channels },
    { name: 'max', dtype, width: channels },
    { name: 'mean', dtype: meanDtype(dtype), width: channels },
    { name: 'count', dtype: 'uint32', width: channels },
    irregular ? { name: 'time', dtype: 'int64', width: 2 } : { name: 'cell', dtype: 'int64', width: null },
  ];
}

/** The little-endian bytes of one column. */
export function columnBytes(
  { mins, maxs, means, counts, times, index }: SummaryCells,
  name: SummaryPartName,
): Uint8Array {
  return bytesOf({ min: mins, max: maxs, mean: means, count: counts, time: times!, cell: index }[name]);
}

/**
 * The cells of a block.
 * @param decoded the bytes of each of its parts, decoded; what follows the last cell does not count
 */
export function decodeSummary(block: SummaryBlock, decoded: ReadonlyMap<SummaryPartName, Uint8Array>): SummaryCells {
  const { cells, channels, dtype } = block;
  const column = (name: SummaryPartName, type: Dtype, width: number): never =>
    viewAs(type, decoded.get(name)!).subarray(0, cells * width) as never;
  const irregular = decoded.has('time');
  return {
    cells,
    index: irregular
      ? BigInt64Array.from({ length: cells }, (_, i) => BigInt(block.firstCell + i))
      : column('cell', 'int64', 1),
    counts: column('count', 'uint32', channels),
    mins: column('min', dtype, channels),
    maxs: column('max', dtype, channels),
    means: column('mean', meanDtype(dtype), channels),
    times: irregular ? column('time', 'int64', 2) : null,
  };
}
