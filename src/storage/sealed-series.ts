/** One series on its way into a sealed shard: rows become blocks, chunks that describe them, and summaries. */
import { crc32 } from 'node:zlib';
import type { Dataset, Group } from 'h5wasm/node';
import type { ByteRange, ChunkStats } from '../core/chunk.ts';
import { emptyStats, extendStats } from '../core/chunk-stats.ts';
import type { Codec } from '../core/codec.ts';
import { bytesOf, DTYPES, viewAs, type Dtype } from '../core/dtype.ts';
import type { Erasure } from '../core/erasure.ts';
import type { RowRange } from '../core/segment.ts';
import {
  SUMMARY_FACTORS,
  SummaryBuilder,
  type SummaryCell,
  type SummaryCells,
  type SummaryShape,
} from '../core/summary.ts';
import { columnBytes, summaryColumns, type SummaryBlock } from '../core/summary-block.ts';
import { extendSpan } from '../core/time-span.ts';
import type { OpenHdf5 } from './hdf5-session.ts';
import { blockRows, SealedDataset, type StoredBlock } from './sealed-dataset.ts';
import type { SegmentStart, SeriesDescription } from './shard-commit.ts';
import { createDataset, describeSeries, SEGMENT_CHUNK_ROWS } from './shard-layout.ts';

export interface SealedSeries {
  readonly seriesId: string;
  readonly dtype: Dtype;
  readonly channels: number;
  readonly irregular: boolean;
  readonly codec: Codec;
  /** Row of the series that row 0 of the datasets is. */
  readonly firstRow: number;
  /** Rows from `firstRow` to the last one that will be written; an upper bound. */
  readonly extent: number;
  readonly description: SeriesDescription;
  readonly segmentStarts: readonly SegmentStart[];
  /** What a reader of the whole series must know beyond the rows of this shard. */
  readonly masks: SealedMasks;
}

/** Edits of a series as of its newest sealing: the catalog can be made again from them. */
export interface SealedMasks {
  /** The newest edit that the rows have taken in. */
  readonly generation: number;
  /** Rows of the series that were removed. */
  readonly removed: number;
  /** Regular: rows before have expired. */
  readonly expiredRow: number;
  /** Regular: rows after that which were removed, in order. */
  readonly holes: readonly RowRange[];
  /** Irregular: what was taken out, and may still be in other shards. */
  readonly erasures: readonly Erasure[];
}

/** Consecutive rows inside one block. Cut at blocks, and wherever rows were left out. */
export interface SealedChunk {
  /** Of the series. */
  readonly firstRow: number;
  readonly rows: number;
  /** Of the dataset: where the first of these rows is. */
  readonly datasetRow: number;
  /** Rows of the block before it. */
  readonly skip: number;
  /** The whole block as it is stored. */
  readonly values: ByteRange;
  readonly times: ByteRange | null;
  readonly codec: Codec;
  readonly timesCodec: Codec | null;
  /** CRC-32: of an uncompressed block, of this chunk's rows; of a compressed one, of the stored bytes. */
  readonly valuesCrc: number;
  readonly timesCrc: number | null;
  /** Irregular series: smallest and largest time. */
  readonly firstNs: bigint | null;
  readonly lastNs: bigint | null;
  /** Times strictly increase from row to row (always true for regular series). */
  readonly sorted: boolean;
  readonly stats: ChunkStats;
}

export interface SealedSeriesWriter {
  /**
   * Any number of rows, from `row` of the series on; in order. Rows may be left out: they read as zeros where others of their block are there, and have
   * no block where none is.
   * @param times of an irregular series
   */
  append(row: number, values: Uint8Array, times: BigInt64Array | null): void;
  /** See {@link SummaryBuilder.keepCells}. */
  keepCells(factor: number, cells: readonly SummaryCell[]): void;
  finish(): { chunks: SealedChunk[]; summaries: SummaryBlock[] };
}

/**
 * A summary with fewer cells is not stored: the next finer one, or the rows themselves, are read as quickly, and its five datasets would take 17 KB, more
 * than a short series has.
 */
const FEWEST_CELLS = 64;

/** Rows `[from, to)` of the datasets. */
interface Run {
  readonly from: number;
  to: number;
}

const TIME_BYTES = 8;

export class SeriesSealing implements SealedSeriesWriter {
  finished = false;
  readonly #hdf5: OpenHdf5;
  readonly #group: Group;
  readonly #series: SealedSeries;
  readonly #shape: SummaryShape;
  readonly #rowBytes: number;
  readonly #rowsOfBlock: number;
  readonly #values: SealedDataset;
  readonly #times: SealedDataset | null;
  /** The block that is being filled. */
  readonly #valueBytes: Uint8Array;
  readonly #timeBytes: Uint8Array | null;
  #block = -1;
  #runsOfBlock: Run[] = [];
  /** All rows that are there, joined where they touch. */
  readonly #runs: Run[] = [];
  readonly #chunks: SealedChunk[] = [];
  readonly #builder: SummaryBuilder;
  readonly #summaries = new Map<number, SummaryDatasets>();
  readonly #summaryBlocks: SummaryBlock[] = [];
  readonly #kept = new Map<number, number>();

  constructor(hdf5: OpenHdf5, all: Group, series: SealedSeries) {
    const { dtype, channels, irregular, codec } = series;
    this.#hdf5 = hdf5;
    this.#series = series;
    this.#shape = { dtype, channels, irregular, missingValue: series.description.missingValue };
    this.#group = all.create_group(series.seriesId);
    describeSeries(this.#group, series.description, irregular, series.firstRow);
    this.#rowBytes = channels * DTYPES[dtype].bytes;
    const rows = blockRows(this.#rowBytes, series.extent);
    this.#rowsOfBlock = rows;
    this.#values = new SealedDataset(hdf5, this.#group, { name: 'values', dtype, width: channels }, rows, codec);
    this.#valueBytes = new Uint8Array(rows * this.#rowBytes);
    this.#timeBytes = irregular ? new Uint8Array(rows * TIME_BYTES) : null;
    this.#times = irregular
      ? new SealedDataset(hdf5, this.#group, { name: 'time', dtype: 'int64', width: null }, rows, codec)
      : null;
    const { masks } = series;
    this.#group.create_attribute('generation', Int32Array.of(masks.generation), [], '<i');
    this.#group.create_attribute('removed', BigInt64Array.of(BigInt(masks.removed)), [], '<q');
    if (masks.expiredRow > 0) {
      this.#group.create_attribute('expired_row', BigInt64Array.of(BigInt(masks.expiredRow)), [], '<q');
    }
    if (irregular) {
      const erasures = masks.erasures.map((each) => [
        BigInt(each.generation),
        each.startNs,
        each.endNs,
        BigInt(each.beforeRow),
      ]);
      if (erasures.length > 0) writeTable(this.#group, 'erasures', 4, erasures);
    } else {
      const starts = series.segmentStarts.map(({ row, startNs }) => [BigInt(row), startNs]);
      writeTable(this.#group, 'segments', 2, starts);
      const holes = masks.holes.map(({ from, to }) => [BigInt(from), BigInt(to)]);
      if (holes.length > 0) writeTable(this.#group, 'holes', 2, holes);
    }
    this.#builder = new SummaryBuilder(
      this.#shape,
      (factor) => (this.#isStored(factor) ? this.#summary(factor).rowsOfBlock : FEWEST_CELLS),
      (factor, cells) => {
        if (this.#isStored(factor)) this.#summaryBlocks.push(this.#summary(factor).write(cells));
      },
    );
  }

  append(row: number, values: Uint8Array, times: BigInt64Array | null): void {
    const { firstRow, extent, dtype, irregular } = this.#series;
    const rows = values.length / this.#rowBytes;
    const begin = row - firstRow;
    if (!Number.isInteger(rows) || irregular !== (times !== null) || (times && times.length !== rows)) {
      throw new Error(`${values.length} bytes of values and ${times?.length ?? 'no'} times are not rows of the series`);
    }
    if (begin < (this.#runs.at(-1)?.to ?? 0) || begin + rows > extent) {
      throw new Error(`rows ${row} to ${row + rows} are out of order or beyond ${firstRow + extent}`);
    }
    const timeBytes = times && bytesOf(times);
    for (let done = 0; done < rows;) {
      const at = begin + done;
      const block = Math.floor(at / this.#rowsOfBlock);
      if (block !== this.#block) this.#startBlock(block);
      const inBlock = at % this.#rowsOfBlock;
      const take = Math.min(this.#rowsOfBlock - inBlock, rows - done);
      this.#valueBytes.set(
        values.subarray(done * this.#rowBytes, (done + take) * this.#rowBytes),
        inBlock * this.#rowBytes,
      );
      this.#timeBytes?.set(timeBytes!.subarray(done * TIME_BYTES, (done + take) * TIME_BYTES), inBlock * TIME_BYTES);
      addRun(this.#runsOfBlock, at, at + take);
      addRun(this.#runs, at, at + take);
      done += take;
    }
    this.#builder.append(row, viewAs(dtype, values), times);
  }

  keepCells(factor: number, cells: readonly SummaryCell[]): void {
    this.#builder.keepCells(factor, cells);
    this.#kept.set(factor, (this.#kept.get(factor) ?? 0) + cells.length);
  }

  finish(): { chunks: SealedChunk[]; summaries: SummaryBlock[] } {
    this.#endBlock(true);
    this.#builder.finish();
    if (this.#runs.length > 1 || (this.#runs[0]?.from ?? 0) > 0) {
      const { firstRow } = this.#series;
      writeTable(
        this.#group,
        'runs',
        2,
        this.#runs.map(({ from, to }) => [BigInt(firstRow + from), BigInt(firstRow + to)]),
      );
    }
    this.finished = true;
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
    const { firstRow, dtype, channels, codec } = this.#series;
    const before = this.#block * this.#rowsOfBlock;
    const rows = last ? this.#runsOfBlock.at(-1)!.to - before : this.#rowsOfBlock;
    const stored = this.#values.write(this.#block, this.#valueBytes.subarray(0, rows * this.#rowBytes));
    const storedTimes = this.#times?.write(this.#block, this.#timeBytes!.subarray(0, rows * TIME_BYTES)) ?? null;
    for (const { from, to } of this.#runsOfBlock) {
      const values = this.#valueBytes.subarray((from - before) * this.#rowBytes, (to - before) * this.#rowBytes);
      const times = this.#timeBytes?.subarray((from - before) * TIME_BYTES, (to - before) * TIME_BYTES);
      const span = times ? extendSpan(null, viewAs('int64', times) as BigInt64Array) : null;
      this.#chunks.push({
        firstRow: firstRow + from,
        rows: to - from,
        datasetRow: from,
        skip: from - before,
        values: { offset: stored.offset, length: stored.length },
        times: storedTimes && { offset: storedTimes.offset, length: storedTimes.length },
        codec,
        timesCodec: storedTimes && codec,
        valuesCrc: codec === 'none' ? crc32(values) : stored.crc,
        timesCrc: storedTimes && (codec === 'none' ? crc32(times!) : storedTimes.crc),
        firstNs: span && span.firstNs,
        lastNs: span && span.lastNs,
        sorted: span?.sorted ?? true,
        stats: extendStats(emptyStats(channels), this.#shape, viewAs(dtype, values)),
      });
    }
    this.#runsOfBlock = [];
    this.#block = -1;
  }

  #isStored(factor: number): boolean {
    const kept = this.#kept.get(factor) ?? 0;
    // The finest that was kept is all that is left of its rows.
    if (kept > 0 && factor === SUMMARY_FACTORS[0]) return true;
    return this.#series.extent / factor + kept >= FEWEST_CELLS;
  }

  /** Made when the first cells are there. */
  #summary(factor: number): SummaryDatasets {
    let datasets = this.#summaries.get(factor);
    if (!datasets) {
      const { firstRow, extent, irregular } = this.#series;
      const before = irregular ? 0 : Math.floor(firstRow / factor);
      const computed = Math.ceil(((irregular ? 0 : firstRow) + extent) / factor) - before;
      const most = computed + (this.#kept.get(factor) ?? 0);
      datasets = new SummaryDatasets(this.#hdf5, this.#group, this.#series, factor, most);
      this.#summaries.set(factor, datasets);
    }
    return datasets;
  }
}

/** The datasets of one factor; they share their rows of a block. */
class SummaryDatasets {
  readonly rowsOfBlock: number;
  readonly #series: SealedSeries;
  readonly #factor: number;
  readonly #columns: readonly {
    readonly name: SummaryBlock['parts'][number]['name'];
    readonly dataset: SealedDataset;
  }[];
  #blocks = 0;

  /** @param most cells that may come */
  constructor(hdf5: OpenHdf5, group: Group, series: SealedSeries, factor: number, most: number) {
    this.#series = series;
    this.#factor = factor;
    const columns = summaryColumns(series);
    const widest = Math.max(...columns.map(({ dtype, width }) => DTYPES[dtype].bytes * (width ?? 1)));
    this.rowsOfBlock = blockRows(widest, most);
    const summary = (group.get('summary') ?? group.create_group('summary')) as Group;
    const cells = summary.create_group(String(factor));
    this.#columns = columns.map((column) => ({
      name: column.name,
      dataset: new SealedDataset(hdf5, cells, column, this.rowsOfBlock, series.codec),
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

function addRun(runs: Run[], from: number, to: number): void {
  const last = runs.at(-1);
  if (last?.to === from) last.to = to;
  else runs.push({ from, to });
}

/** A dataset of n × 2 int64, as it is. */
function writeTable(group: Group, name: string, width: number, rows: readonly (readonly bigint[])[]): void {
  createDataset(group, name, 'int64', [width], SEGMENT_CHUNK_ROWS);
  if (rows.length === 0) return;
  const dataset = group.get(name) as Dataset;
  dataset.resize([rows.length, width]);
  dataset.write_slice(
    [
      [0, rows.length],
      [0, width],
    ],
    BigInt64Array.from(rows.flat()),
  );
}
