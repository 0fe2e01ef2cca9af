/** What becomes of the rows of one cell of a summary. */
import type { SampleArray } from './dtype.ts';
import type { RowShape } from './missing-value.ts';
import { Moments } from './moments.ts';

/** By channel. */
export interface FoldedRows {
  /** Values that are neither NaN nor the missing value. */
  readonly counts: Uint32Array | Float64Array;
  readonly mins: SampleArray;
  readonly maxs: SampleArray;
  /** Irregular series: time of the first and of the last row. */
  readonly firstNs: bigint | null;
  readonly lastNs: bigint | null;
}

export class Fold extends Moments implements FoldedRows {
  firstNs: bigint | null = null;
  lastNs: bigint | null = null;
  readonly #channels: number;

  constructor(shape: RowShape) {
    super(shape, shape.channels, false);
    this.#channels = shape.channels;
  }

  override clear(): void {
    super.clear();
    this.firstNs = this.lastNs = null;
  }

  /** A finer cell. */
  addFold(cell: Fold): void {
    for (let c = 0; c < this.#channels; c++) this.addMoments(c, cell, c);
    this.#addTimes(cell);
  }

  /** A finer cell whose rows are gone. */
  addCell(cell: FoldedRows & { readonly means: SampleArray }): void {
    const { counts, means, mins, maxs } = cell;
    for (let c = 0; c < this.#channels; c++) {
      if (counts[c] > 0) this.addTold(c, counts[c], Number(means[c]) * counts[c], mins[c], maxs[c]);
    }
    this.#addTimes(cell);
  }

  #addTimes({ firstNs, lastNs }: FoldedRows): void {
    this.firstNs ??= firstNs;
    this.lastNs = lastNs;
  }
}
