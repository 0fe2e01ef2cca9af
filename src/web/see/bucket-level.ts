/** Which buckets a view needs: their length, and where they begin. Pure. */
import type { ViewWindow } from './view-window.ts';

/** Level of single samples. Others are the exponents of bucket lengths: a bucket of level k is 2^k ns long. */
export const SAMPLE_LEVEL = -1;
/** Values of single samples that are fetched for one view. Beyond that buckets are drawn. */
export const MAX_SAMPLE_VALUES = 250_000;
/** Samples a pixel column below which they are drawn singly. */
const SAMPLES_A_COLUMN = 4;
/** Lanes from which on a bucket is up to two columns wide, for the sake of time. */
const MANY_LANES = 64;
/** The service answers at most so many buckets. */
const MAX_BUCKETS = 20_000;

/** What a view asks of a series. */
export interface WantedSpan extends ViewWindow {
  readonly level: number;
  /** Buckets; 0: single samples. */
  readonly points: number;
}

export interface LevelQuestion {
  readonly view: ViewWindow;
  /** Pixel columns. */
  readonly columns: number;
  readonly lanes: number;
  /** Rows in the view, if that is known. */
  readonly rows: number | null;
}

/** The level at which a view is fetched. */
export function bucketLevel({ view, columns, lanes, rows }: LevelQuestion): number {
  if (rows !== null && rows * lanes <= MAX_SAMPLE_VALUES && rows <= SAMPLES_A_COLUMN * columns) return SAMPLE_LEVEL;
  const wide = Math.max(1, Math.ceil(columns / (lanes > MANY_LANES ? 2 : 1)));
  const ns = (view.endNs - view.startNs) / BigInt(wide);
  return ns < 2n ? 0 : ns.toString(2).length - 1;
}

/**
 * The span of whole buckets that holds a view, or a part of it. Its borders are multiples of the bucket, so that
 * what was fetched for one view joins what is fetched for the next.
 */
export function wantedSpan({ startNs, endNs }: ViewWindow, level: number): WantedSpan {
  if (level === SAMPLE_LEVEL) return { startNs, endNs, level, points: 0 };
  const bits = BigInt(level);
  const from = startNs >> bits;
  const to = ((endNs - 1n) >> bits) + 1n;
  const points = Math.min(MAX_BUCKETS, Number(to - from));
  return { startNs: from << bits, endNs: to << bits, level, points };
}

/** The question to the service. Times are integers, so none is rounded. */
export function spanQuery({ startNs, endNs, points }: WantedSpan): Record<string, string> {
  const range = { start: String(startNs), end: String(endNs) };
  return points === 0
    ? { ...range, orient: 'channels', format: 'json' }
    : { ...range, points: String(points), format: 'npy', physical: 'true' };
}
