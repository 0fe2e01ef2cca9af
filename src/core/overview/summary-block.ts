/** A block of summary cells: where its columns lie in a shard, and how they become cells again. */
import type { ByteRange } from '../rows/chunk.ts';
import type { Codec } from '../signal/codec.ts';
import { bytesOf, DTYPES, isBigDtype, viewAs, type Dtype } from '../numbers/dtype.ts';
import { halvesOfSums, sumsOfHalves } from './summary-cell.ts';
import type { SummaryCells, SummaryShape } from './summary.ts';

/**
 * The datasets of a summary. Floats have a `mean`, integers a `sum` (those of 64 bits a `sum_high`, too). Regular
 * series have a `cell`, irregular ones a `time`.
 */
export const SUMMARY_PARTS = ['min', 'max', 'mean', 'sum', 'sum_high', 'spread', 'count', 'time', 'cell'] as const;
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
  /** Numbers of each cell; null: one number, and the dataset is a vector. */
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
    ...totalsOf(dtype).map(([name, type]) => ({ name, dtype: type, width: channels })),
    { name: 'spread', dtype: 'float32', width: channels },
    { name: 'count', dtype: 'uint32', width: channels },
    irregular ? { name: 'time', dtype: 'int64', width: 2 } : { name: 'cell', dtype: 'int64', width: null },
  ];
}

function totalsOf(dtype: Dtype): readonly (readonly [SummaryPartName, Dtype])[] {
  if (DTYPES[dtype].kind === 'float') return [['mean', 'float64']];
  // The lower half of 128 bits has no sign.
  if (isBigDtype(dtype))
    return [
      ['sum', 'uint64'],
      ['sum_high', 'int64'],
    ];
  return [['sum', 'int64']];
}

const NO_SPREADS = new Float32Array(0);

/** The little-endian bytes of one column. */
export function columnBytes(cells: SummaryCells, name: SummaryPartName): Uint8Array {
  switch (name) {
    case 'min':
      return bytesOf(cells.mins);
    case 'max':
      return bytesOf(cells.maxs);
    case 'mean':
      return bytesOf(cells.means!);
    case 'sum':
      return bytesOf(halvesOfSums(cells).low);
    case 'sum_high':
      return bytesOf(halvesOfSums(cells).high);
    case 'spread':
      return bytesOf(cells.spreads);
    case 'count':
      return bytesOf(cells.counts);
    case 'time':
      return bytesOf(cells.times!);
    case 'cell':
      return bytesOf(cells.index);
  }
}

/** Reads whole numbers that follow each other, as int64, without making a bigint of each. */
function numbersFrom(first: number, count: number): BigInt64Array {
  const words = new Uint32Array(count * 2);
  for (let i = 0; i < count; i++) {
    words[2 * i] = first + i;
    words[2 * i + 1] = Math.floor((first + i) / 2 ** 32);
  }
  return new BigInt64Array(words.buffer);
}

/**
 * Whether the cells of a block follow each other without a gap, so that the first cell alone says which cells they are.
 */
export function isDense({ firstCell, lastCell, cells }: SummaryBlock): boolean {
  return lastCell - firstCell + 1 === cells;
}

/**
 * The cells of a block. They have no spreads if these were not asked for.
 * @param decoded the bytes of each of its parts, decoded; what follows the last cell does not count
 */
export function decodeSummary(block: SummaryBlock, decoded: ReadonlyMap<SummaryPartName, Uint8Array>): SummaryCells {
  const { cells, channels, dtype } = block;
  const column = (name: SummaryPartName, type: Dtype, width: number): never =>
    viewAs(type, decoded.get(name)!).subarray(0, cells * width) as never;
  const irregular = decoded.has('time');
  const isFloat = DTYPES[dtype].kind === 'float';
  return {
    cells,
    index: decoded.has('cell') ? column('cell', 'int64', 1) : numbersFrom(block.firstCell, cells),
    counts: column('count', 'uint32', channels),
    mins: column('min', dtype, channels),
    maxs: column('max', dtype, channels),
    means: isFloat ? column('mean', 'float64', channels) : null,
    ...(isFloat
      ? { sums: null, rests: null }
      : sumsOfHalves(
          column('sum', 'int64', channels),
          isBigDtype(dtype) ? column('sum_high', 'int64', channels) : null,
        )),
    spreads: decoded.has('spread') ? column('spread', 'float32', channels) : NO_SPREADS,
    times: irregular ? column('time', 'int64', 2) : null,
  };
}
