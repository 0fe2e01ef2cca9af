/** Merges several summary cells into one. */
import type { RowShape } from '../numbers/missing-value.ts';
import { Moments } from '../numbers/moments.ts';
import { emptyCells, toldOfCell, writeCells } from './summary-cell.ts';
import type { SummaryCell } from './summary.ts';

/** @param cells in their order, at least one */
export function mergeCells(shape: RowShape, index: number, cells: readonly SummaryCell[]): SummaryCell {
  const moments = new Moments(shape, shape.channels, true);
  for (const cell of cells) {
    for (let c = 0; c < shape.channels; c++) {
      const told = toldOfCell(cell, c);
      if (told) moments.addTold(c, told);
    }
  }
  const merged = emptyCells(shape.dtype, shape.channels);
  writeCells(merged, 0, moments, shape);
  return { index, ...merged, firstNs: cells[0].firstNs, lastNs: cells.at(-1)!.lastNs };
}
