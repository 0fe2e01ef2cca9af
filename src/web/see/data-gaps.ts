/** Where a series has no samples, and why. Pure. */
import type { ViewWindow } from './view-window.ts';

/** Why there is nothing. `ended`: nothing has come yet, or nothing has come any more. */
export type GapReason =
  'never-written' | 'removed' | 'removed-or-never-written' | 'expired' | 'before' | 'ended' | 'failed';

export interface DataGap extends ViewWindow {
  readonly reason: GapReason;
}

/** Evenly spaced rows without a gap. */
export interface DataRun extends ViewWindow {
  readonly firstRow: number;
  readonly rows: number;
}

/** What is known of the rows of a series. */
export interface RowsKnown {
  /** In order of time; null: the series is irregular, or has too many of them. */
  readonly runs: readonly DataRun[] | null;
  /** Row numbers given out. */
  readonly rows: number;
  /** How many of them were removed. */
  readonly removed: number;
  /** Null: there is no row. */
  readonly firstNs: bigint | null;
  /** When the newest row is. */
  readonly lastNs: bigint | null;
}

/** What is said of a gap. */
export const GAP_TEXT: Readonly<Record<GapReason, string>> = {
  'never-written': 'never written',
  removed: 'removed',
  'removed-or-never-written': 'removed, or never written',
  expired: 'expired: summaries alone are kept',
  before: 'before the first sample',
  ended: 'nothing after the last sample',
  failed: 'could not be read',
};

/**
 * Gaps of a series, in order of time; the first and the last one are open to their side.
 * A gap beside which row numbers are missing was removed; where none is missing, nothing was written.
 */
export function gapsOf(known: RowsKnown): DataGap[] {
  const { runs, firstNs, lastNs } = known;
  if (firstNs === null || lastNs === null) {
    const reason = known.rows === 0 ? 'never-written' : known.rows > known.removed ? 'expired' : 'removed';
    return [{ startNs: -(2n ** 63n), endNs: 2n ** 63n, reason }];
  }
  const begin = runs?.[0]?.startNs ?? firstNs;
  const end = runs?.at(-1)?.endNs ?? lastNs + 1n;
  const before: DataGap = { startNs: -(2n ** 63n), endNs: begin, reason: hasExpired(known) ? 'expired' : 'before' };
  const after: DataGap = { startNs: end, endNs: 2n ** 63n, reason: 'ended' };
  return [before, ...innerGaps(runs ?? [], known.rows), after];
}

/** More rows are missing than were removed. */
function hasExpired({ runs, rows, removed }: RowsKnown): boolean {
  if (!runs) return false;
  const kept = runs.reduce((sum, run) => sum + run.rows, 0);
  return rows - kept > removed;
}

function innerGaps(runs: readonly DataRun[], givenOut: number): DataGap[] {
  // Rows that came late are numbered elsewhere. A number that no run has was removed.
  const starts = new Set([...runs.map(({ firstRow }) => firstRow), givenOut]);
  const ends = new Set([...runs.map(({ firstRow, rows }) => firstRow + rows), 0]);
  const gaps: DataGap[] = [];
  for (let i = 1; i < runs.length; i++) {
    const [before, after] = [runs[i - 1], runs[i]];
    if (after.startNs <= before.endNs) continue;
    const isNumbered = starts.has(before.firstRow + before.rows) && ends.has(after.firstRow);
    const reason = isNumbered ? 'never-written' : 'removed';
    gaps.push({ startNs: before.endNs, endNs: after.startNs, reason });
  }
  return gaps;
}

/** Gaps that touch a view, in order. @param gaps in order, without overlap */
export function gapsWithin(gaps: readonly DataGap[], { startNs, endNs }: ViewWindow): readonly DataGap[] {
  return gaps.slice(firstEndingAfter(gaps, startNs), firstStartingAt(gaps, endNs));
}

/** The gap at a time; null: there are data, as far as is known. */
export function gapAt(gaps: readonly DataGap[], ns: bigint): DataGap | null {
  const gap = gaps[firstEndingAfter(gaps, ns)];
  return gap !== undefined && gap.startNs <= ns ? gap : null;
}

function firstEndingAfter(gaps: readonly DataGap[], ns: bigint): number {
  let [low, high] = [0, gaps.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (gaps[middle].endNs <= ns) low = middle + 1;
    else high = middle;
  }
  return low;
}

function firstStartingAt(gaps: readonly DataGap[], ns: bigint): number {
  let [low, high] = [0, gaps.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (gaps[middle].startNs < ns) low = middle + 1;
    else high = middle;
  }
  return low;
}
