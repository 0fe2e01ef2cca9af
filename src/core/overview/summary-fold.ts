/** What becomes of the rows of one cell of a summary. */
import type { RowShape } from '../numbers/missing-value.ts';
import { Moments } from '../numbers/moments.ts';
import { toldOfCell, type CellColumns } from './summary-cell.ts';

/** Irregular series: time of the first and of the last row. */
export interface CellTimes {
  readonly firstNs: bigint | null;
  readonly lastNs: bigint | null;
}

export class Fold extends Moments implements CellTimes {
  firstNs: bigint | null = null;
  lastNs: bigint | null = null;
  readonly #channels: number;

  constructor(shape: RowShape) {
    super(shape, shape.channels, true);
    this.#channels = shape.channels;
  }

  override clear(): void {
    super.clear();
    this.firstNs = this.lastNs = null;
  }

  /** Adds a finer cell. */
  addFold(cell: Fold): void {
    for (let c = 0; c < this.#channels; c++) this.addMoments(c, cell, c);
    this.#addTimes(cell);
  }

  /** Adds a finer cell whose rows are gone. */
  addCell(cell: CellColumns & CellTimes): void {
    for (let c = 0; c < this.#channels; c++) {
      const told = toldOfCell(cell, c);
      if (told) this.addTold(c, told);
    }
    this.#addTimes(cell);
  }

  #addTimes({ firstNs, lastNs }: CellTimes): void {
    this.firstNs ??= firstNs;
    this.lastNs = lastNs;
  }
}
