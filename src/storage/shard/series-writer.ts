/** One series on its way into a new shard: rows become blocks, chunks that describe them, and summaries. */
import { crc32 } from 'node:zlib';
import type { Group } from 'h5wasm/node';
import { blockRows } from '../../core/rows/chunk.ts';
import type { ByteRange } from '../../core/rows/chunk.ts';
import { statsOf } from '../../core/rows/chunk-stats.ts';
import type { Codec } from '../../core/signal/codec.ts';
import { bytesOf, DTYPES, viewAs, type Dtype } from '../../core/numbers/dtype.ts';
import type { SeriesRecord } from '../../core/upkeep/series-record.ts';
import {
  SUMMARY_FACTORS,
  SummaryBuilder,
  type SummaryCell,
  type SummaryCells,
  type SummaryShape,
} from '../../core/overview/summary.ts';
import { columnBytes, summaryColumns, type SummaryBlock } from '../../core/overview/summary-block.ts';
import { extendSpan } from '../../core/signal/time-span.ts';
import type { OpenHdf5 } from '../hdf5/hdf5-session.ts';
import { ShardDataset, type StoredBlock } from './shard-dataset.ts';
import { createContiguous, describeSeries, writeRecord } from '../codec/shard-layout.ts';

export interface SeriesToWrite {
  readonly seriesId: string;
  readonly dtype: Dtype;
  readonly channels: number;
  readonly irregular: boolean;
  readonly codec: Codec;
  /** Rows from the record's first row to the last one that will be written; an upper bound. */
  readonly extent: number;
  /**
   * `contiguous`: each dataset is one run of bytes, uncompressed. That is for small series: the index of a chunked
   * dataset would take more than the rows. `chunked`: in blocks of so many rows, compressed.
   */
  readonly layout: { readonly kind: 'contiguous' } | { readonly kind: 'chunked'; readonly blockRows: number };
  /** Compacted shards have summaries, and say in attributes what people ask first. */
  readonly compacted: boolean;
  /** Describes the series; which rows are there is known when they have been written. */
  readonly record: Omit<SeriesRecord, 'runs'>;
}

/** Consecutive rows inside one block. Cut at blocks, and wherever rows were left out. */
export interface WrittenChunk {
  /** Number of the first row in the series. */
  readonly firstRow: number;
  readonly rows: number;
  /** Where the first of these rows is in the dataset. */
  readonly datasetRow: number;
  /** Rows of the block before it. */
  readonly skip: number;
  /** The whole block as it is stored. */
  readonly values: ByteRange;
  readonly times: ByteRange | null;
  readonly codec: Codec;
  readonly timesCodec: Codec | null;
  /** CRC-32 of this chunk's rows if its block is not compressed; else of the stored bytes. */
  readonly valuesCrc: number;
  readonly timesCrc: number | null;
  /** Irregular series: smallest and largest time. */
  readonly firstNs: bigint | null;
  readonly lastNs: bigint | null;
  /** Times strictly increase from row to row (always true for regular series). */
  readonly sorted: boolean;
  readonly stats: Uint8Array | null;
}

export interface SeriesWriter {
  /**
   * Writes any number of rows, from `row` of the series on, in order. Rows may be left out. They read as zeros where
   * others of their block are there, and have no block where none is.
   * @param times of an irregular series
   */
  append(row: number, values: Uint8Array, times: BigInt64Array | null): void;
  /** Does what {@link SummaryBuilder.keepCells} does. */
  keepCells(factor: number, cells: readonly SummaryCell[]): void;
  finish(): { chunks: WrittenChunk[]; summaries: SummaryBlock[] };
}

/**
 * A summary with fewer cells is not stored. The next finer one, or the rows themselves, are read as quickly. Its
 * datasets would take some 20 KB, which is more than a short series has.
 */
const FEWEST_CELLS = 64;

/** Rows `[from, to)` of the datasets. */
interface DatasetRun {
  readonly from: number;
  to: number;
}

const TIME_BYTES = 8;

type Written = ReturnType<SeriesWriter['finish']>;

/** @param all the group of all series */
export function beginSeries(hdf5: OpenHdf5, all: Group, series: SeriesToWrite): SeriesWriter {
  const group = all.create_group(series.seriesId);
  return series.layout.kind === 'contiguous'
    ? new ContiguousSeries(hdf5, group, series)
    : new ChunkedSeries(hdf5, group, series, series.layout.blockRows);
}

/** Takes rows in order, and knows which are there. */
class RowRuns {
  readonly #series: SeriesToWrite;
  readonly rowBytes: number;
  /** Runs are joined where they touch. */
  readonly runs: DatasetRun[] = [];

  constructor(series: SeriesToWrite) {
    this.#series = series;
    this.rowBytes = series.channels * DTYPES[series.dtype].bytes;
  }

  /** @returns where they are in the datasets */
  add(row: number, values: Uint8Array, times: BigInt64Array | null): DatasetRun {
    const { extent, irregular, record } = this.#series;
    const rows = values.length / this.rowBytes;
    const from = row - record.firstRow;
    if (!Number.isInteger(rows) || irregular !== (times !== null) || (times && times.length !== rows)) {
      throw new Error(`${values.length} bytes of values and ${times?.length ?? 'no'} times are not rows of the series`);
    }
    if (from < (this.runs.at(-1)?.to ?? 0) || from + rows > extent) {
      throw new Error(`rows ${row} to ${row + rows} are out of order or beyond ${record.firstRow + extent}`);
    }
    addRun(this.runs, from, from + rows);
    return { from, to: from + rows };
  }

  /** Writes what is to be said of the series, now that its rows are known. */
  describe(group: Group): void {
    const { record, compacted } = this.#series;
    const { firstRow } = record;
    const runs = this.runs.map(({ from, to }) => ({ from: firstRow + from, to: firstRow + to }));
    writeRecord(group, { ...record, runs });
    if (compacted) describeSeries(group, { ...record, runs });
  }
}

/** All rows are in memory until the end: they are few. */
class ContiguousSeries implements SeriesWriter {
  readonly #hdf5: OpenHdf5;
  readonly #group: Group;
  readonly #series: SeriesToWrite;
  readonly #runs: RowRuns;
  readonly #values: Uint8Array;
  readonly #times: Uint8Array | null;

  constructor(hdf5: OpenHdf5, group: Group, series: SeriesToWrite) {
    this.#hdf5 = hdf5;
    this.#group = group;
    this.#series = series;
    this.#runs = new RowRuns(series);
    this.#values = new Uint8Array(series.extent * this.#runs.rowBytes);
    this.#times = series.irregular ? new Uint8Array(series.extent * TIME_BYTES) : null;
  }

  append(row: number, values: Uint8Array, times: BigInt64Array | null): void {
    const { from } = this.#runs.add(row, values, times);
    this.#values.set(values, from * this.#runs.rowBytes);
    if (times) this.#times!.set(bytesOf(times), from * TIME_BYTES);
  }

  keepCells(): void {
    throw new Error('summaries are kept in chunked series');
  }

  finish(): Written {
    const { dtype, channels } = this.#series;
    const { runs, rowBytes } = this.#runs;
    const rows = runs.at(-1)?.to ?? 0;
    const chunks: WrittenChunk[] = [];
    if (rows > 0) {
      const values = this.#write('values', dtype, [channels], this.#values.subarray(0, rows * rowBytes));
      const times = this.#times && this.#write('time', 'int64', [], this.#times.subarray(0, rows * TIME_BYTES));
      for (const { from, to } of runs) {
        const content = {
          values: this.#values.subarray(from * rowBytes, to * rowBytes),
          times: this.#times && this.#times.subarray(from * TIME_BYTES, to * TIME_BYTES),
        };
        chunks.push(
          chunkOf(
            this.#series,
            from,
            from,
            content,
            'none',
            { ...values, crc: null },
            times && { ...times, crc: null },
          ),
        );
      }
    }
    this.#runs.describe(this.#group);
    return { chunks, summaries: [] };
  }

  /** Writes a contiguous dataset. HDF5 writes its bytes by one call, as they are, which tells where they lie. */
  #write(name: string, dtype: Dtype, rowShape: number[], bytes: Uint8Array): ByteRange {
    const found: number[] = [];
    this.#hdf5.observe((offset, written) => {
      if (written.length === bytes.length && Buffer.compare(written, bytes) === 0) found.push(offset);
    });
    createContiguous(this.#group, name, dtype, rowShape, viewAs(dtype, bytes));
    this.#hdf5.observe(null);
    if (found.length !== 1) {
      throw new Error(`${name} of ${this.#series.seriesId} was found at ${found.length} places, not one`);
    }
    return { offset: found[0], length: bytes.length };
  }
}

class ChunkedSeries implements SeriesWriter {
  readonly #hdf5: OpenHdf5;
  readonly #group: Group;
  readonly #series: SeriesToWrite;
  readonly #runs: RowRuns;
  readonly #rowsOfBlock: number;
  readonly #values: ShardDataset | null;
  readonly #times: ShardDataset | null;
  /** The block that is being filled. */
  readonly #valueBytes: Uint8Array;
  readonly #timeBytes: Uint8Array | null;
  #block = -1;
  #runsOfBlock: DatasetRun[] = [];
  readonly #chunks: WrittenChunk[] = [];
  readonly #builder: SummaryBuilder | null;
  readonly #summaries = new Map<number, SummaryDatasets>();
  readonly #summaryBlocks: SummaryBlock[] = [];
  readonly #kept = new Map<number, number>();

  constructor(hdf5: OpenHdf5, group: Group, series: SeriesToWrite, rowsOfBlock: number) {
    const { dtype, channels, irregular, codec } = series;
    this.#hdf5 = hdf5;
    this.#series = series;
    this.#group = group;
    this.#runs = new RowRuns(series);
    this.#rowsOfBlock = rowsOfBlock;
    // A series of which nothing is left has no datasets.
    const isThere = series.extent > 0;
    this.#valueBytes = new Uint8Array(isThere ? rowsOfBlock * this.#runs.rowBytes : 0);
    this.#timeBytes = irregular && isThere ? new Uint8Array(rowsOfBlock * TIME_BYTES) : null;
    this.#values = isThere
      ? new ShardDataset(hdf5, group, { name: 'values', dtype, width: channels }, rowsOfBlock, codec)
      : null;
    this.#times = this.#timeBytes
      ? new ShardDataset(hdf5, group, { name: 'time', dtype: 'int64', width: null }, rowsOfBlock, codec)
      : null;
    this.#builder = series.compacted
      ? new SummaryBuilder(
          summaryShapeOf(series),
          (factor) => (this.#isStored(factor) ? this.#summary(factor).rowsOfBlock : FEWEST_CELLS),
          (factor, cells) => {
            if (this.#isStored(factor)) this.#summaryBlocks.push(this.#summary(factor).write(cells));
          },
        )
      : null;
  }

  append(row: number, values: Uint8Array, times: BigInt64Array | null): void {
    const { from: begin, to } = this.#runs.add(row, values, times);
    const { rowBytes } = this.#runs;
    const rows = to - begin;
    const timeBytes = times && bytesOf(times);
    for (let done = 0; done < rows;) {
      const at = begin + done;
      const block = Math.floor(at / this.#rowsOfBlock);
      if (block !== this.#block) this.#startBlock(block);
      const inBlock = at % this.#rowsOfBlock;
      const take = Math.min(this.#rowsOfBlock - inBlock, rows - done);
      this.#valueBytes.set(values.subarray(done * rowBytes, (done + take) * rowBytes), inBlock * rowBytes);
      this.#timeBytes?.set(timeBytes!.subarray(done * TIME_BYTES, (done + take) * TIME_BYTES), inBlock * TIME_BYTES);
      addRun(this.#runsOfBlock, at, at + take);
      done += take;
    }
    this.#builder?.append(row, viewAs(this.#series.dtype, values), times);
  }

  keepCells(factor: number, cells: readonly SummaryCell[]): void {
    this.#builder!.keepCells(factor, cells);
    this.#kept.set(factor, (this.#kept.get(factor) ?? 0) + cells.length);
  }

  finish(): Written {
    this.#endBlock(true);
    this.#builder?.finish();
    this.#runs.describe(this.#group);
    return { chunks: this.#chunks, summaries: this.#summaryBlocks };
  }

  #startBlock(block: number): void {
    this.#endBlock(false);
    this.#block = block;
    this.#valueBytes.fill(0);
    this.#timeBytes?.fill(0);
  }

  #endBlock(last: boolean): void {
    if (this.#block < 0) return;
    const { rowBytes } = this.#runs;
    const before = this.#block * this.#rowsOfBlock;
    const rows = last ? this.#runsOfBlock.at(-1)!.to - before : this.#rowsOfBlock;
    const stored = this.#values!.write(this.#block, this.#valueBytes.subarray(0, rows * rowBytes));
    const storedTimes = this.#times?.write(this.#block, this.#timeBytes!.subarray(0, rows * TIME_BYTES)) ?? null;
    for (const { from, to } of this.#runsOfBlock) {
      const content = {
        values: this.#valueBytes.subarray((from - before) * rowBytes, (to - before) * rowBytes),
        times: this.#timeBytes?.subarray((from - before) * TIME_BYTES, (to - before) * TIME_BYTES) ?? null,
      };
      this.#chunks.push(chunkOf(this.#series, from, from - before, content, this.#series.codec, stored, storedTimes));
    }
    this.#runsOfBlock = [];
    this.#block = -1;
  }

  #isStored(factor: number): boolean {
    const kept = this.#kept.get(factor) ?? 0;
    // The finest cells that were kept are all that is left of their rows.
    if (kept > 0 && factor === SUMMARY_FACTORS[0]) return true;
    return this.#series.extent / factor + kept >= FEWEST_CELLS;
  }

  /** Made when the first cells are there. */
  #summary(factor: number): SummaryDatasets {
    let datasets = this.#summaries.get(factor);
    if (!datasets) {
      const { extent, irregular, record } = this.#series;
      const before = irregular ? 0 : Math.floor(record.firstRow / factor);
      const computed = Math.ceil(((irregular ? 0 : record.firstRow) + extent) / factor) - before;
      const most = computed + (this.#kept.get(factor) ?? 0);
      datasets = new SummaryDatasets(this.#hdf5, this.#group, this.#series, factor, most);
      this.#summaries.set(factor, datasets);
    }
    return datasets;
  }
}

interface DatasetContent {
  readonly values: Uint8Array;
  readonly times: Uint8Array | null;
}

type Stored = ByteRange & {
  /** Checksum of the stored bytes; null: they are the rows themselves. */ readonly crc: number | null;
};

/** What the catalog is to know of a run of rows. @param from of the dataset. @param skip rows of its block before */
function chunkOf(
  series: SeriesToWrite,
  from: number,
  skip: number,
  { values, times }: DatasetContent,
  codec: Codec,
  storedValues: Stored,
  storedTimes: Stored | null,
): WrittenChunk {
  const { dtype, channels, record } = series;
  const span = times ? extendSpan(null, viewAs('int64', times) as BigInt64Array) : null;
  const crcOf = ({ crc }: Stored, rows: Uint8Array): number => (codec === 'none' || crc === null ? crc32(rows) : crc);
  return {
    firstRow: record.firstRow + from,
    rows: values.length / (channels * DTYPES[dtype].bytes),
    datasetRow: from,
    skip,
    values: { offset: storedValues.offset, length: storedValues.length },
    times: storedTimes && { offset: storedTimes.offset, length: storedTimes.length },
    codec,
    timesCodec: storedTimes && codec,
    valuesCrc: crcOf(storedValues, values),
    timesCrc: storedTimes && crcOf(storedTimes, times!),
    firstNs: span && span.firstNs,
    lastNs: span && span.lastNs,
    sorted: span?.sorted ?? true,
    stats: statsOf(summaryShapeOf(series), viewAs(dtype, values)),
  };
}

function summaryShapeOf({ dtype, channels, irregular, record }: SeriesToWrite): SummaryShape {
  return { dtype, channels, irregular, missingValue: record.description.missingValue };
}

/** The datasets of one factor; they share their rows of a block. */
class SummaryDatasets {
  readonly rowsOfBlock: number;
  readonly #series: SeriesToWrite;
  readonly #factor: number;
  readonly #columns: readonly {
    readonly name: SummaryBlock['parts'][number]['name'];
    readonly dataset: ShardDataset;
  }[];
  #blocks = 0;

  /** @param most cells that may come */
  constructor(hdf5: OpenHdf5, group: Group, series: SeriesToWrite, factor: number, most: number) {
    this.#series = series;
    this.#factor = factor;
    const columns = summaryColumns(series);
    const widest = Math.max(...columns.map(({ dtype, width }) => DTYPES[dtype].bytes * (width ?? 1)));
    this.rowsOfBlock = blockRows(widest, series.channels, most);
    const summary = (group.get('summary') ?? group.create_group('summary')) as Group;
    const cells = summary.create_group(String(factor));
    this.#columns = columns.map((column) => ({
      name: column.name,
      dataset: new ShardDataset(hdf5, cells, column, this.rowsOfBlock, series.codec),
    }));
  }

  /** All batches but the last one fill a block. */
  write(cells: SummaryCells): SummaryBlock {
    const { dtype, channels, codec } = this.#series;
    const number = this.#blocks++;
    const firstCell = Number(cells.index[0]);
    const lastCell = Number(cells.index[cells.cells - 1]);
    const { times } = cells;
    return {
      factor: this.#factor,
      firstCell,
      lastCell,
      cells: cells.cells,
      firstRow: times ? null : firstCell * this.#factor,
      lastRow: times ? null : (lastCell + 1) * this.#factor - 1,
      firstNs: times && times[0],
      lastNs: times && times[times.length - 1],
      dtype,
      channels,
      parts: this.#columns.map(({ name, dataset }) => {
        const { offset, length, crc }: StoredBlock = dataset.write(number, columnBytes(cells, name));
        return { name, offset, length, codec, crc };
      }),
    };
  }
}

function addRun(runs: DatasetRun[], from: number, to: number): void {
  const last = runs.at(-1);
  if (last?.to === from) last.to = to;
  else runs.push({ from, to });
}
