/**
 * How a series is put together again from what files say of it, when nothing but the files is left. Pure.
 *
 * Each file tells the truth as of its commit about the numbers of rows that it claims. That holds whether it was ever
 * swapped in or not, and whether it was replaced since. So files lie over each other in the order of their commits. For
 * each number the highest file that claims it counts.
 */
import type { ClockMark } from '../signal/place-run.ts';
import { halfPeriodNs, nsOfRow, type Rate } from '../signal/rate.ts';
import { clipRows, countRows, hasRow, uniteRows, withoutRows } from '../signal/row-ranges.ts';
import {
  byTime,
  partOfSegment,
  rowsInTime,
  segmentEndNs,
  timeWithin,
  type RowRange,
  type Segment,
} from '../signal/segment.ts';
import type { Erasure } from '../rows/erasure.ts';
import type { SeriesRecord } from './series-record.ts';

/** What one file says of a series. */
export interface ToldSeries {
  readonly shardId: string;
  /** The commit as of which the file tells the truth. */
  readonly commit: bigint;
  /** 0: made by a flush; 1: by compaction. */
  readonly level: number;
  readonly record: SeriesRecord;
}

/** Rows of one file that count. */
export interface FileLayer<T extends ToldSeries> {
  readonly told: T;
  /** Those of its claims that no higher file claims. */
  readonly claims: readonly RowRange[];
  /** Those rows of the claims that the file has. */
  readonly rows: readonly RowRange[];
}

export interface Cut<T extends ToldSeries> {
  readonly told: T;
  readonly claim: RowRange;
}

export interface RebuiltRows<T extends ToldSeries> {
  /** In the order of files. */
  readonly layers: readonly FileLayer<T>[];
  /** Irregular: claims of which only a part would count. Their rows are in an order of time of their own, so nothing of them does. */
  readonly cut: readonly Cut<T>[];
  /** Row numbers given out. */
  readonly rows: number;
  /** Numbers that no file knows to be removed or expired, and has no rows of. */
  readonly missing: readonly RowRange[];
  /** Numbers beyond `rows` that were given out, too: the rows had not reached a file. */
  readonly unwritten: RowRange | null;
}

/** What is said of a series as a whole. */
export interface RebuiltMasks {
  /** Number of the newest edit. */
  readonly edits: number;
  readonly removed: number;
  readonly expiredNs: bigint | null;
  readonly summariesExpiredNs: bigint | null;
  readonly holes: readonly RowRange[];
  readonly erasures: readonly Erasure[];
}

/** @returns the lowest first */
export function lowestFirst<T extends ToldSeries>(told: readonly T[]): T[] {
  return [...told].sort(
    (a, b) =>
      Number(a.commit - b.commit) || a.level - b.level || (a.shardId < b.shardId ? -1 : a.shardId > b.shardId ? 1 : 0),
  );
}

/**
 * The file that describes the series: one with the highest version, and the last of those. @param told in order, at
 * least one
 */
export function describing<T extends ToldSeries>(told: readonly T[]): T {
  return told.reduce((best, each) =>
    each.record.description.version >= best.record.description.version ? each : best,
  );
}

/** @param told in order, at least one */
export function rebuildRows<T extends ToldSeries>(told: readonly T[]): RebuiltRows<T> {
  const isIrregular = told[0].record.description.rate === null;
  const { record: newest } = told.at(-1)!;
  const { claimed, cut } = isIrregular ? withoutCuts(told) : { claimed: told.map(claimsOf), cut: [] };
  const counted = countedClaims(claimed);
  const layers = counted.map(({ told: each, claims }) => ({
    told: each,
    claims,
    rows: claims.flatMap((claim) => clipRows(each.record.runs, claim)),
  }));
  const all = unite(counted.flatMap(({ claims }) => claims));
  const given = Math.max(...told.map(({ record }) => record.rows), all.at(-1)?.to ?? 0);
  if (isIrregular) {
    // What was removed or has expired, and was dropped long ago, no file claims any more.
    const unclaimed = withoutRows([{ from: 0, to: given }], all);
    const isExplained = told.some(({ record }) => record.expiredNs !== null) || countRows(unclaimed) <= newest.removed;
    return { layers, cut, rows: given, missing: isExplained ? [] : unclaimed, unwritten: null };
  }
  const absent = absentRows(told);
  // What is known to be absent may come after all that is claimed.
  const rows = [{ from: 0, to: all.at(-1)?.to ?? 0 }, ...absent].reduce(
    (end, { from, to }) => (from <= end ? Math.max(end, to) : end),
    0,
  );
  const there = unite(layers.flatMap((layer) => layer.rows));
  return {
    layers,
    cut,
    rows,
    missing: withoutRows([{ from: 0, to: rows }], unite([...there, ...absent])),
    unwritten: given > rows ? { from: rows, to: given } : null,
  };
}

/** @param told in order, at least one. @param rows that the series has */
export function rebuildMasks(told: readonly ToldSeries[], rows: number): RebuiltMasks {
  const { record: newest } = told.at(-1)!;
  const holes = clipRows(newest.holes, { from: 0, to: rows });
  return {
    edits: Math.max(
      ...told.flatMap(({ record }) => [record.generation, ...record.erasures.map((each) => each.generation)]),
    ),
    removed: newest.removed - (countRows(newest.holes) - countRows(holes)),
    expiredNs: latest(told.map(({ record }) => record.expiredNs)),
    summariesExpiredNs: latest(told.map(({ record }) => record.summariesExpiredNs)),
    holes,
    erasures: newest.erasures,
  };
}

/** Rows of a regular series that are known to be removed or expired, in order. @param told in order, at least one */
export function absentRows(told: readonly ToldSeries[]): RowRange[] {
  return unite([...told.flatMap(({ record }) => record.expiredRows), ...told.at(-1)!.record.holes]);
}

function latest(times: readonly (bigint | null)[]): bigint | null {
  return times.reduce((last, ns) => (last === null || (ns !== null && ns > last) ? ns : last), null);
}

/** A file with those of its claims that may count. */
interface Claimed<T extends ToldSeries> {
  readonly told: T;
  readonly claims: readonly RowRange[];
}

function claimsOf<T extends ToldSeries>(told: T): Claimed<T> {
  return { told, claims: told.record.claims };
}

/** For each file, the numbers that no higher one claims. */
function countedClaims<T extends ToldSeries>(files: readonly Claimed<T>[]): Claimed<T>[] {
  const counted: Claimed<T>[] = [];
  let above: RowRange[] = [];
  for (const { told, claims } of [...files].reverse()) {
    counted.push({ told, claims: withoutRows(claims, above) });
    above = uniteRows(above, claims);
  }
  return counted.reverse();
}

/**
 * Leaves out files that cut a claim of a lower one and whose claims the others cover wholly; the lowest goes first.
 * Where that does not help, the claim that is cut gives nothing.
 */
function withoutCuts<T extends ToldSeries>(told: readonly T[]): { claimed: Claimed<T>[]; cut: Cut<T>[] } {
  let claimed = told.map(claimsOf);
  const cut: Cut<T>[] = [];
  for (;;) {
    const victim = firstCut(claimed);
    if (!victim) return { claimed, cut };
    const superfluous = claimed.findIndex((_, at) => isCutting(claimed, at) && isCovered(claimed, at));
    if (superfluous >= 0) {
      claimed = claimed.filter((_, at) => at !== superfluous);
    } else {
      cut.push(victim);
      claimed = claimed.map((each) =>
        each.told === victim.told ? { ...each, claims: each.claims.filter((claim) => claim !== victim.claim) } : each,
      );
    }
  }
}

function firstCut<T extends ToldSeries>(files: readonly Claimed<T>[]): Cut<T> | null {
  const counted = countedClaims(files);
  for (const [at, { told, claims }] of files.entries()) {
    const claim = claims.find((each) => isPart(counted[at].claims, each));
    if (claim) return { told, claim };
  }
  return null;
}

/** Whether some of a claim are among these rows, and some are not. */
function isPart(rows: readonly RowRange[], claim: RowRange): boolean {
  const count = countRows(clipRows(rows, claim));
  return count > 0 && count < claim.to - claim.from;
}

function isCutting(files: readonly Claimed<ToldSeries>[], at: number): boolean {
  return files.slice(0, at).some((lower) => lower.claims.some((claim) => isPart(files[at].claims, claim)));
}

function isCovered(files: readonly Claimed<ToldSeries>[], at: number): boolean {
  const others = unite(files.flatMap(({ claims }, other) => (other === at ? [] : claims)));
  return withoutRows(files[at].claims, others).length === 0;
}

function unite(ranges: readonly RowRange[]): RowRange[] {
  return uniteRows(ranges, []);
}

/**
 * The segments of a regular series as its layers tell of them. Rows that none tells of were on the grid of those around them, unless others have taken that
 * time since.
 * @param rows of the series
 * @param holes of it
 */
export function rebuildSegments(
  layers: readonly FileLayer<ToldSeries>[],
  rate: Rate,
  rows: number,
  holes: readonly RowRange[],
): Segment[] {
  const told = layers
    .flatMap(({ told: { record }, claims }) => claims.flatMap((claim) => segmentsWithin(record.segments, claim, rate)))
    .filter(({ firstRow }) => firstRow < rows)
    .sort((a, b) => a.firstRow - b.firstRow);
  const starts = told.map(({ startNs }) => startNs).sort((a, b) => (a < b ? -1 : 1));
  const isFree = (fromNs: bigint, toNs: bigint): boolean => (starts[firstFrom(starts, fromNs)] ?? toNs) >= toNs;
  const joined: Segment[] = [];
  for (const segment of told) {
    const before = joined.at(-1);
    if (!before) {
      const first = sinceFirst(segment, rate);
      joined.push(isFree(first.startNs, segment.startNs) ? first : segment);
      continue;
    }
    const endNs = segmentEndNs(before, rate);
    const goesOn = isOneGrid(before, segment) && timeWithin(before, rate, segment.firstRow) === segment.startNs;
    const isWhole = before.firstRow + before.rows === segment.firstRow;
    if (goesOn && (isWhole || isFree(endNs, segment.startNs))) {
      joined[joined.length - 1] = { ...before, rows: segment.firstRow + segment.rows - before.firstRow };
      continue;
    }
    const missing = timeWithin(before, rate, segment.firstRow);
    if (!isWhole && isFree(endNs, missing)) {
      joined[joined.length - 1] = { ...before, rows: segment.firstRow - before.firstRow };
    }
    joined.push(segment);
  }
  const last = joined.at(-1);
  // The newest segment ends where the rows do.
  if (last) joined[joined.length - 1] = { ...last, rows: rows - last.firstRow };
  return withoutTaken(joined, holes, rate);
}

/** Removed rows whose time later rows have taken are in no segment, though an older file has them in one. */
function withoutTaken(segments: readonly Segment[], holes: readonly RowRange[], rate: Rate): Segment[] {
  const taken = new Map<Segment, RowRange[]>();
  const half = halfPeriodNs(rate);
  let open: Segment[] = [];
  for (const segment of byTime(segments)) {
    open = open.filter((each) => segmentEndNs(each, rate) > segment.startNs);
    for (const other of open) {
      const [older, later] = other.firstRow < segment.firstRow ? [other, segment] : [segment, other];
      const range = rowsInTime(older, rate, later.startNs - half, segmentEndNs(later, rate) - half);
      taken.set(older, [...(taken.get(older) ?? []), ...clipRows(holes, range)]);
    }
    open.push(segment);
  }
  return segments.flatMap((segment) => {
    const cut = taken.get(segment);
    if (!cut) return [segment];
    const own = { from: segment.firstRow, to: segment.firstRow + segment.rows };
    return withoutRows([own], unite(cut)).map((range) => partOfSegment(segment, rate, range));
  });
}

/** @param times in order. @returns the place of the first at or after `ns` */
function firstFrom(times: readonly bigint[], ns: bigint): number {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < ns) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The first segment as if all rows before it were on its grid. */
function sinceFirst({ firstRow, startNs, rows, skip = 0 }: Segment, rate: Rate): Segment {
  const begin = startNs - nsOfRow(rate, skip);
  if (skip >= firstRow) {
    return {
      firstRow: 0,
      startNs: begin + nsOfRow(rate, skip - firstRow),
      rows: firstRow + rows,
      skip: skip - firstRow,
    };
  }
  return { firstRow: 0, startNs: startNs - nsOfRow(rate, firstRow), rows: firstRow + rows };
}

function isOneGrid(before: Segment, segment: Segment): boolean {
  return (before.skip ?? 0) + segment.firstRow - before.firstRow === (segment.skip ?? 0);
}

/**
 * The clock marks of a series. The mark of a row that a layer claims is told by that layer. A row that was removed may
 * be claimed by nothing any more: then the newest file that has its mark tells it.
 * @param told in order
 * @param rows of the series
 */
export function rebuildMarks(
  told: readonly ToldSeries[],
  layers: readonly FileLayer<ToldSeries>[],
  rows: number,
): ClockMark[] {
  const claimed = unite(layers.flatMap(({ claims }) => claims));
  const marks = new Map<number, bigint>();
  for (const { record } of told) {
    for (const { row, ns } of record.marks) if (!hasRow(claimed, row)) marks.set(row, ns);
  }
  for (const { told: own, claims } of layers) {
    for (const { row, ns } of own.record.marks) if (hasRow(claims, row)) marks.set(row, ns);
  }
  return [...marks]
    .filter(([row]) => row < rows)
    .map(([row, ns]) => ({ row, ns }))
    .sort((a, b) => a.row - b.row);
}

/** The parts of segments that lie in a claim. */
function segmentsWithin(segments: readonly Segment[], claim: RowRange, rate: Rate): Segment[] {
  return segments.flatMap((segment) => {
    const [range] = clipRows([{ from: segment.firstRow, to: segment.firstRow + segment.rows }], claim);
    return range ? [partOfSegment(segment, rate, range)] : [];
  });
}
