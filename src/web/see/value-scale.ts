/** From values to heights on the screen, lane by lane. Pure. */

/** What a lane shows: `low` at its bottom, `high` at its top. */
export interface ValueRange {
  readonly low: number;
  readonly high: number;
}

/** A lane has so much room above and below its signal: a part of its height. */
const ROOM_PART = 0.06;

/** The range of values of a lane. */
export interface ScaleQuestion {
  /** What is seen; null: nothing. */
  readonly seen: ValueRange | null;
  /** What the user has chosen; null: whatever is seen. */
  readonly fixed: ValueRange | null;
  /** How many times larger than that it is drawn. */
  readonly gain: number;
}

/** The range from the bottom to the top of a lane. */
export function laneRange({ seen, fixed, gain }: ScaleQuestion): ValueRange {
  const range = fixed ?? seen ?? { low: -1, high: 1 };
  const middle = range.low / 2 + range.high / 2;
  const flat = range.high - range.low > 0 ? 0 : Math.abs(middle) * 1e-3 || 1;
  const half = ((range.high - range.low) / 2 + flat) / gain;
  return { low: middle - half, high: middle + half };
}

/** One range for lanes that are compared with each other: all are drawn as high as the one that needs most. */
export function sharedRanges(ranges: readonly ValueRange[]): ValueRange[] {
  const half = Math.max(0, ...ranges.map(({ low, high }) => (high - low) / 2));
  return ranges.map(({ low, high }) => ({ low: low / 2 + high / 2 - half, high: low / 2 + high / 2 + half }));
}

/** One range that holds them all, for lanes that lie over each other. */
export function jointRange(ranges: readonly ValueRange[]): ValueRange {
  if (ranges.length === 0) return { low: -1, high: 1 };
  return { low: Math.min(...ranges.map(({ low }) => low)), high: Math.max(...ranges.map(({ high }) => high)) };
}

/** Slope and intercept of the height of a value: y = slope × value + intercept. Lanes that are low reach over their neighbours. */
export function heightsOf(
  { low, high }: ValueRange,
  top: number,
  height: number,
): { slope: number; intercept: number } {
  const room = height * ROOM_PART;
  const slope = -(height - 2 * room) / (high - low);
  return { slope, intercept: top + height - room - slope * low };
}

/** A number with as many digits as tell it from another one a pixel away. @param step the difference of two values a pixel apart */
export function valueText(value: number, step: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? '' : String(value);
  if (value === 0) return '0';
  const digits = step > 0 ? Math.ceil(Math.log10(Math.abs(value)) - Math.log10(step)) + 1 : 6;
  const text = value.toPrecision(Math.min(17, Math.max(2, digits)));
  return text.includes('e') ? String(Number(text)) : text.replace(/\.?0+$/, (end) => (text.includes('.') ? '' : end));
}
