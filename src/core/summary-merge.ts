/** Several summary cells as one. */
import type { SampleArray } from './dtype.ts';
import type { SummaryCell } from './summary.ts';

/** @param cells in their order, at least one; the first gives the index */
export function mergeCells(index: number, cells: readonly SummaryCell[]): SummaryCell {
  const [first] = cells;
  const merged = {
    index,
    counts: first.counts.slice(),
    mins: first.mins.slice(),
    maxs: first.maxs.slice(),
    means: first.means.slice(),
    firstNs: first.firstNs,
    lastNs: cells.at(-1)!.lastNs,
  };
  for (const cell of cells.slice(1)) {
    for (let c = 0; c < merged.counts.length; c++) {
      if (cell.counts[c] === 0) continue;
      const had = merged.counts[c];
      const all = had + cell.counts[c];
      const mean = had === 0 ? 0 : Number(merged.means[c]);
      merged.means[c] = mean + (Number(cell.means[c]) - mean) * (cell.counts[c] / all);
      if (had === 0 || less(cell.mins, merged.mins, c)) merged.mins[c] = cell.mins[c];
      if (had === 0 || less(merged.maxs, cell.maxs, c)) merged.maxs[c] = cell.maxs[c];
      merged.counts[c] = all;
    }
  }
  return merged;
}

function less(a: SampleArray, b: SampleArray, channel: number): boolean {
  return a[channel] < b[channel];
}
