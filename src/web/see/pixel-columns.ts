/**
 * From blocks to pixel columns: the lowest and the highest value that is seen in each. Pure.
 *
 * A bucket is drawn in every column that it touches. So each value lies between the lowest and the highest of its own
 * column, at any zoom. Nothing is drawn in the columns of a gap.
 */
import type { ShownPart } from './block-cache.ts';
import type { DataGap } from './data-gaps.ts';
import type { ViewWindow } from './view-window.ts';

/** Times are doubles here, so a bucket reaches a trifle further than it says. */
const ROUNDING_COLUMNS = 1e-6;

/** Where in a view the buckets and samples of some parts lie. It is the same for all channels of a series. */
export interface ColumnMap {
  readonly columns: number;
  readonly parts: readonly ShownPart[];
  /** Entry by entry, in order of time: which part, which bucket of its block, first and last column. */
  readonly part: Int32Array;
  readonly bucket: Int32Array;
  readonly first: Int32Array;
  readonly last: Int32Array;
  /** 1: the signal goes on from the entry before. */
  readonly joins: Uint8Array;
  readonly size: number;
}

/** One channel of a view. */
export interface ColumnBand {
  /** NaN in columns without a value. */
  readonly lows: Float64Array;
  readonly highs: Float64Array;
  /** 1: the signal goes on from the last column before that has a value. */
  readonly joins: Uint8Array;
}

export interface ColumnQuestion {
  readonly view: ViewWindow;
  readonly columns: number;
  /** In order of time: where nothing may be drawn. */
  readonly gaps: readonly DataGap[];
  /** The signal goes on over at most so many nanoseconds without a value. */
  readonly joinNs: number;
}

/** @param shown parts that do not overlap */
export function mapColumns(shown: readonly ShownPart[], { view, columns, gaps, joinNs }: ColumnQuestion): ColumnMap {
  const parts = [...shown].sort((a, b) => (a.startNs < b.startNs ? -1 : 1));
  const room = parts.reduce((sum, { block }) => sum + block.begins.length, 0) + 2 * gaps.length;
  const map = {
    columns,
    parts,
    part: new Int32Array(room),
    bucket: new Int32Array(room),
    first: new Int32Array(room),
    last: new Int32Array(room),
    joins: new Uint8Array(room),
  };
  const scale = columns / Number(view.endNs - view.startNs);
  const holes = gaps.map(({ startNs, endNs }) => [Number(startNs - view.startNs), Number(endNs - view.startNs)]);
  let size = 0;
  let hole = 0;
  let lastEnd = Number.NEGATIVE_INFINITY;
  for (const [p, { block, startNs, endNs }] of parts.entries()) {
    const origin = Number(block.startNs - view.startNs);
    const [from, to] = [Number(startNs - view.startNs), Number(endNs - view.startNs)];
    const { begins, ends, counts } = block;
    for (let i = firstEndingPast(ends, from - origin, counts === null); i < begins.length; i++) {
      const begin = origin + begins[i];
      if (begin >= to) break;
      if (counts !== null && !(counts[i] > 0)) continue;
      const end = Math.min(origin + ends[i], to);
      let at = Math.max(begin, from);
      // What a bucket has lies on either side of a gap, and not in it.
      while (hole < holes.length && holes[hole][1] <= at) hole++;
      for (let h = hole; at <= end; h++) {
        const until = h < holes.length && holes[h][0] < end ? holes[h][0] : end;
        if (until > at || (until === at && at === end)) {
          const distance = at - lastEnd;
          const isParted = hole > 0 && holes[hole - 1][1] > lastEnd && holes[hole - 1][1] <= at;
          map.part[size] = p;
          map.bucket[size] = i;
          map.first[size] = clamp(Math.floor(at * scale - ROUNDING_COLUMNS), columns);
          map.last[size] = Math.max(map.first[size], clamp(Math.ceil(until * scale + ROUNDING_COLUMNS) - 1, columns));
          map.joins[size] = distance <= joinNs && !isParted && h === hole ? 1 : 0;
          size++;
          lastEnd = until;
        }
        if (until >= end) break;
        at = holes[h][1];
      }
    }
  }
  return { ...map, size };
}

/** The values of one channel in each column. @param channel its number in the series */
export function fillColumns(map: ColumnMap, channel: number): ColumnBand {
  const { columns, parts, part, bucket, first, last, size } = map;
  const lows = new Float64Array(columns).fill(Number.NaN);
  const highs = new Float64Array(columns).fill(Number.NaN);
  const joins = new Uint8Array(columns);
  const slots = parts.map(({ block }) => block.channels.indexOf(channel));
  let isOn = false;
  for (let k = 0; k < size; k++) {
    const slot = slots[part[k]];
    const { block } = parts[part[k]];
    const low = slot < 0 ? Number.NaN : block.lows[slot][bucket[k]];
    if (Number.isNaN(low)) {
      isOn = false;
      continue;
    }
    const high = block.highs[slot][bucket[k]];
    for (let c = first[k]; c <= last[k]; c++) {
      if (Number.isNaN(lows[c])) {
        lows[c] = low;
        highs[c] = high;
        joins[c] = c > first[k] || (isOn && map.joins[k] === 1) ? 1 : 0;
      } else {
        if (low < lows[c]) lows[c] = low;
        if (high > highs[c]) highs[c] = high;
      }
    }
    isOn = true;
  }
  return { lows, highs, joins };
}

/** The lowest and the highest value of a band; null: it has none that is finite. */
export function rangeOfBand({ lows, highs }: ColumnBand): { readonly low: number; readonly high: number } | null {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let c = 0; c < lows.length; c++) {
    if (lows[c] < low && lows[c] !== Number.NEGATIVE_INFINITY) low = lows[c];
    if (highs[c] > high && highs[c] !== Number.POSITIVE_INFINITY) high = highs[c];
  }
  return low <= high ? { low, high } : null;
}

/** The middle of what is seen, column by column: what removing the direct component takes away. */
export function levelOfBand({ lows, highs }: ColumnBand): number {
  let [sum, count] = [0, 0];
  for (let c = 0; c < lows.length; c++) {
    const middle = (lows[c] + highs[c]) / 2;
    if (!Number.isFinite(middle)) continue;
    sum += middle;
    count++;
  }
  return count === 0 ? 0 : sum / count;
}

/** The first place whose end lies past a time; a sample's own time counts, too. */
function firstEndingPast(ends: Float64Array, ns: number, isSamples: boolean): number {
  let [low, high] = [0, ends.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isSamples ? ends[middle] < ns : ends[middle] <= ns) low = middle + 1;
    else high = middle;
  }
  return low;
}

function clamp(column: number, columns: number): number {
  return column < 0 ? 0 : column >= columns ? columns - 1 : column;
}
