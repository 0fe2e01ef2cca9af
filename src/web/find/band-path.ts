/** The outline of a band from minimum to maximum. */

export const BAND_HEIGHT = 28;
/** A line that is thinner than this cannot be seen. */
const MIN_BAND = 1;

export interface BandBuckets {
  readonly min: readonly (number | string | null)[];
  readonly max: readonly (number | string | null)[];
}

/** The outline of a band in a box of `min.length` × {@link BAND_HEIGHT}, broken where nothing was recorded. */
export function bandPath({ min, max }: BandBuckets): string {
  const low = min.map(numberOf);
  const high = max.map(numberOf);
  const known = [...low, ...high].filter((each) => each !== null);
  if (known.length === 0) return '';
  const bottom = known.reduce((a, b) => Math.min(a, b));
  const range = known.reduce((a, b) => Math.max(a, b)) - bottom || 1;
  const y = (value: number): number => (BAND_HEIGHT - 2) * (1 - (value - bottom) / range) + 1;
  return low
    .flatMap((from, i) => {
      const to = high[i];
      if (from === null || to === null || to === undefined) return [];
      // A column reaches to its neighbour, so that a steep flank is one line.
      const before = i > 0 ? high[i - 1] : null;
      const beforeLow = i > 0 ? low[i - 1] : null;
      const top = y(beforeLow !== null && beforeLow !== undefined && beforeLow > to ? beforeLow : to);
      const end = y(before !== null && before !== undefined && before < from ? before : from);
      return `M${i} ${top.toFixed(1)}h1V${Math.max(end, top + MIN_BAND).toFixed(1)}h-1z`;
    })
    .join('');
}

function numberOf(value: number | string | null): number | null {
  const number = value === null ? NaN : Number(value);
  return Number.isFinite(number) ? number : null;
}
