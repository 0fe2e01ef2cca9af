/**
 * Summaries of a series, so that an overview costs what it shows. Every 64, 4,096 and 262,144 rows they have count,
 * minimum, maximum, mean (for integers the sum) and deviation.
 */
import { isBigDtype, type SampleArray } from '../numbers/dtype.ts';
import { blankMissing, type RowShape } from '../numbers/missing-value.ts';
import { emptyCells, partOfCells, setCells, writeCells, type CellColumns } from './summary-cell.ts';
import { Fold, type CellTimes } from './summary-fold.ts';

/** Rows of a cell, finest level first; each is a multiple of the one before. */
export const SUMMARY_FACTORS = [64, 4096, 262144] as const;

/** Values that are widened to float64 at a time. */
const SLAB_VALUES = 16 * 1024;

export interface SummaryShape extends RowShape {
  readonly irregular: boolean;
}

/** Cells of one level, in order, as columns: cells × channels, row-major. */
export interface SummaryCells extends CellColumns {
  readonly cells: number;
  /**
   * Regular series: cell k of factor f covers rows [k·f, (k+1)·f) of the series, and cells without any row are absent. Irregular series: 0, 1, 2, …,
   * where the k-th cell that was computed covers the k-th f rows that were written.
   */
  readonly index: BigInt64Array;
  /** Irregular series: cells × 2, the time of the first and of the last row. */
  readonly times: BigInt64Array | null;
}

/** One cell; arrays are by channel. */
export interface SummaryCell extends CellColumns, CellTimes {
  readonly index: number;
}

/** The cells of columns one by one, as views. */
export function* eachCell(columns: SummaryCells): Generator<SummaryCell> {
  const channels = columns.counts.length / columns.cells;
  for (let i = 0; i < columns.cells; i++) {
    yield {
      index: Number(columns.index[i]),
      ...partOfCells(columns, i * channels, (i + 1) * channels),
      firstNs: columns.times && columns.times[i * 2],
      lastNs: columns.times && columns.times[i * 2 + 1],
    };
  }
}

/** One factor: the cell that is being filled, the cells to keep, and the columns that finished cells are written to. */
class FactorLevel {
  readonly fold: Fold;
  readonly #shape: SummaryShape;
  readonly #coarser: { readonly level: FactorLevel; readonly ratio: number } | null;
  readonly #emit: (columns: SummaryCells) => void;
  readonly #capacity: () => number;
  #kept: SummaryCell[] = [];
  #keptDone = 0;
  /** -1: none is being filled. */
  #cell = -1;
  #columns: SummaryCells | null = null;
  #filled = 0;

  constructor(
    shape: SummaryShape,
    capacity: () => number,
    emit: (columns: SummaryCells) => void,
    coarser: { readonly level: FactorLevel; readonly ratio: number } | null,
  ) {
    this.#shape = shape;
    this.#capacity = capacity;
    this.#emit = emit;
    this.#coarser = coarser;
    this.fold = new Fold(shape);
  }

  keep(cells: readonly SummaryCell[]): void {
    this.#kept.push(...cells);
    if (!this.#shape.irregular) this.#kept.sort((a, b) => a.index - b.index);
  }

  /** Opens a cell: what is added from now on belongs to it. */
  open(cell: number): void {
    if (cell === this.#cell) return;
    this.#close();
    this.#cell = cell;
  }

  finish(): void {
    this.#close();
    this.#putKept(Infinity);
    if (this.#filled > 0) this.#flush();
    this.#columns = null;
  }

  #close(): void {
    if (this.#cell < 0) return;
    const { fold } = this;
    const { irregular } = this.#shape;
    const replaced = this.#putKept(irregular ? Infinity : this.#cell);
    if (!replaced) {
      this.#put(irregular ? this.#kept.length + this.#cell : this.#cell, fold, (columns, at) =>
        writeCells(columns, at, fold, this.#shape),
      );
      this.#passOn(this.#cell)?.addFold(fold);
    }
    fold.clear();
    this.#cell = -1;
  }

  /** Writes kept cells up to this one. @returns true if it was among them */
  #putKept(upTo: number): boolean {
    let last = -1;
    for (; this.#keptDone < this.#kept.length && this.#kept[this.#keptDone].index <= upTo; this.#keptDone++) {
      const cell = this.#kept[this.#keptDone];
      last = cell.index;
      this.#put(this.#shape.irregular ? this.#keptDone : cell.index, cell, (columns, at) =>
        setCells(columns, at, cell),
      );
      if (this.#shape.irregular) continue; // cells of the coarser level are counted along the rows that are written now
      this.#passOn(cell.index)?.addCell(cell);
    }
    return last === upTo;
  }

  /** The coarser cell that a cell belongs to. */
  #passOn(index: number): Fold | null {
    if (!this.#coarser) return null;
    const { level, ratio } = this.#coarser;
    level.open(Math.floor(index / ratio));
    return level.fold;
  }

  #put(index: number, times: CellTimes, write: (columns: SummaryCells, at: number) => void): void {
    const columns = (this.#columns ??= columnsOf(this.#shape, this.#capacity()));
    const i = this.#filled++;
    columns.index[i] = BigInt(index);
    write(columns, i * this.#shape.channels);
    columns.times?.set([times.firstNs!, times.lastNs!], i * 2);
    if (this.#filled === columns.cells) this.#flush();
  }

  #flush(): void {
    const columns = this.#columns!;
    const cells = this.#filled;
    this.#emit({
      cells,
      index: columns.index.subarray(0, cells),
      ...partOfCells(columns, 0, cells * this.#shape.channels),
      times: columns.times && columns.times.subarray(0, cells * 2),
    });
    this.#filled = 0;
  }
}

function columnsOf({ dtype, channels, irregular }: SummaryShape, cells: number): SummaryCells {
  return {
    cells,
    index: new BigInt64Array(cells),
    ...emptyCells(dtype, cells * channels),
    times: irregular ? new BigInt64Array(cells * 2) : null,
  };
}

/**
 * Makes the cells of all levels from the rows of a series, which come once and in order. Rows come and cells go in
 * batches, so that neither are ever in memory as a whole. Coarser cells are made of finer ones.
 */
export class SummaryBuilder {
  readonly #shape: SummaryShape;
  readonly #levels: readonly FactorLevel[];
  readonly #slab: Float64Array;
  readonly #slabRows: number;
  #nextRow = 0;
  #rowsWritten = 0;

  /**
   * @param capacity cells that `emit` is to get at a time; the last time there may be fewer. It is asked once for each
   * level, when its first cell is done
   * @param emit the columns are only valid during the call
   */
  constructor(
    shape: SummaryShape,
    capacity: (factor: number) => number,
    emit: (factor: number, columns: SummaryCells) => void,
  ) {
    this.#shape = shape;
    const levels: FactorLevel[] = [];
    for (let i = SUMMARY_FACTORS.length - 1; i >= 0; i--) {
      const factor = SUMMARY_FACTORS[i];
      const coarser = levels.length > 0 ? { level: levels[0], ratio: SUMMARY_FACTORS[i + 1] / factor } : null;
      levels.unshift(
        new FactorLevel(
          shape,
          () => capacity(factor),
          (columns) => emit(factor, columns),
          coarser,
        ),
      );
    }
    this.#levels = levels;
    this.#slabRows = Math.max(1, Math.floor(SLAB_VALUES / shape.channels));
    this.#slab = new Float64Array(isBigDtype(shape.dtype) ? 0 : this.#slabRows * shape.channels);
  }

  /**
   * Keeps cells of rows whose samples are gone, from an older summary. In a regular series a kept cell replaces the
   * computed one of the same index, and counts in the coarser cells that are computed. In an irregular one kept cells
   * come first, in the order given, each level for itself. To be called before the first row.
   */
  keepCells(factor: number, cells: readonly SummaryCell[]): void {
    if (this.#rowsWritten > 0) throw new Error('cells are to be kept before rows are added');
    const level = this.#levels[SUMMARY_FACTORS.indexOf(factor as 64)];
    if (!level) throw new Error(`no summary has cells of ${factor} rows`);
    level.keep(cells);
  }

  /**
   * @param row of the series; not before the end of the rows that were added last
   * @param values rows × channels, row-major
   * @param times of an irregular series, in order
   */
  append(row: number, values: SampleArray, times: BigInt64Array | null): void {
    if (row < this.#nextRow) throw new Error(`row ${row} comes after row ${this.#nextRow - 1}`);
    const { dtype, channels, irregular, missingValue } = this.#shape;
    const rows = values.length / channels;
    const big = isBigDtype(dtype);
    const halves = big ? new Int32Array(values.buffer, values.byteOffset, values.length * 2) : null;
    const finest = this.#levels[0];
    for (let slabFrom = 0; slabFrom < rows; slabFrom += this.#slabRows) {
      const slabTo = Math.min(rows, slabFrom + this.#slabRows);
      // One type of array for the inner loop: over ten types it would be compiled for none.
      if (!big) {
        this.#slab.set((values as Float64Array).subarray(slabFrom * channels, slabTo * channels));
        if (missingValue !== null) blankMissing(this.#slab, missingValue as number);
      }
      for (let from = slabFrom; from < slabTo;) {
        const place = irregular ? this.#rowsWritten + from : row + from;
        const cell = Math.floor(place / SUMMARY_FACTORS[0]);
        const to = Math.min(slabTo, from + (cell + 1) * SUMMARY_FACTORS[0] - place);
        finest.open(cell);
        if (halves) finest.fold.addHalves(0, channels, halves, from * channels, to * channels);
        else finest.fold.addNumbers(0, channels, this.#slab, (from - slabFrom) * channels, (to - slabFrom) * channels);
        if (times) {
          finest.fold.firstNs ??= times[from];
          finest.fold.lastNs = times[to - 1];
        }
        from = to;
      }
    }
    this.#rowsWritten += rows;
    this.#nextRow = row + rows;
  }

  finish(): void {
    for (const level of this.#levels) level.finish();
  }
}
