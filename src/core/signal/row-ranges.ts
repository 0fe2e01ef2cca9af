/** Sets of rows as lists of ranges: in order where nothing else is said, not overlapping, not empty. */
import type { RowRange } from './segment.ts';

/** The rows of `ranges`, in whatever order they are, that are in none of `holes`. */
export function withoutRows(ranges: readonly RowRange[], holes: readonly RowRange[]): RowRange[] {
  if (holes.length === 0) return [...ranges];
  const left: RowRange[] = [];
  let at = 0;
  for (const range of ranges) {
    let { from } = range;
    if (at > 0 && holes[at - 1].to > from) at = firstEndingAfter(holes, from);
    while (at < holes.length && holes[at].to <= from) at++;
    for (let i = at; i < holes.length && holes[i].from < range.to; i++) {
      if (holes[i].from > from) left.push({ from, to: holes[i].from });
      from = Math.max(from, holes[i].to);
    }
    if (from < range.to) left.push({ from, to: range.to });
  }
  return left;
}

function firstEndingAfter(ranges: readonly RowRange[], row: number): number {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ranges[middle].to <= row) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Whether a row is in one of the ranges, which are in order. */
export function hasRow(ranges: readonly RowRange[], row: number): boolean {
  const at = firstEndingAfter(ranges, row);
  return at < ranges.length && ranges[at].from <= row;
}

/** The rows of `ranges` that are in `range`, too. */
export function clipRows(ranges: readonly RowRange[], range: RowRange): RowRange[] {
  return ranges
    .map(({ from, to }) => ({ from: Math.max(from, range.from), to: Math.min(to, range.to) }))
    .filter(({ from, to }) => from < to);
}

/** The rows of either, joined where they touch. */
export function uniteRows(ranges: readonly RowRange[], more: readonly RowRange[]): RowRange[] {
  const united: RowRange[] = [];
  for (const range of [...ranges, ...more].sort((a, b) => a.from - b.from)) {
    const last = united.at(-1);
    if (last && range.from <= last.to) united[united.length - 1] = { from: last.from, to: Math.max(last.to, range.to) };
    else if (range.from < range.to) united.push(range);
  }
  return united;
}

export function countRows(ranges: readonly RowRange[]): number {
  return ranges.reduce((sum, { from, to }) => sum + to - from, 0);
}
