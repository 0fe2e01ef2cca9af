/** What is stored: ten series of float64 at 1 kHz, the same values in every run. */

/** `grid`: what a 16-bit converter gives, scaled to volts. `noise`: every bit of the mantissa is random, nothing compresses it. */
export type ValueKind = 'grid' | 'noise';

export interface Workload {
  readonly kind: ValueKind;
  /** Rows of each series. */
  readonly rows: number;
  /** One a series: its little-endian values. */
  readonly series: readonly Buffer[];
}

export const RATE_HZ = 1000;
/** Time of the first row: 2026-05-01T09:00:00Z. At the rate above, row `n` is `n` milliseconds later. */
export const START_MS = 1_777_626_000_000;
export const ROW_BYTES = 8;
const SERIES = 10;
/** Volts of one step of the converter; a power of two, so that every value is exact. */
const VOLTS_PER_STEP = 2 ** -12;
const SEED = 20_260_501;

export function createWorkload(kind: ValueKind, rows: number): Workload {
  const random = mulberry32(SEED);
  const next = kind === 'grid' ? gridWalk(random) : () => fullMantissa(random) * 2 - 1;
  const series = Array.from({ length: SERIES }, () => {
    const values = new Float64Array(rows);
    for (let row = 0; row < rows; row++) values[row] = next();
    return Buffer.from(values.buffer);
  });
  return { kind, rows, series };
}

export function workloadBytes(workload: Workload): number {
  return workload.series.length * workload.rows * ROW_BYTES;
}

/** A random walk over the steps of a 16-bit converter, that stays inside its range. */
function gridWalk(random: () => number): () => number {
  let step = 0;
  return () => {
    step = Math.max(-32_768, Math.min(32_767, step + Math.round((random() - 0.5) * 40)));
    return step * VOLTS_PER_STEP;
  };
}

/** `[0, 1)` with 53 random bits, from two draws of 32. */
function fullMantissa(random: () => number): number {
  const high = Math.floor(random() * 2 ** 27);
  const low = Math.floor(random() * 2 ** 26);
  return (high * 2 ** 26 + low) / 2 ** 53;
}

/** A small generator with a seed, uniform in `[0, 1)`: Math.random would store other values in every run. */
export function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
