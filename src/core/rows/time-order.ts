/** The order in which the rows of an irregular series are answered: by time, whatever the order in which they came. */
import type { DuplicateRule } from '../signal/series.ts';

export interface TimedChunk {
  readonly firstRow: number;
  readonly rows: number;
  readonly firstNs: bigint | null;
  readonly lastNs: bigint | null;
  readonly sorted: boolean;
}

/** Chunks that follow each other in time. `ordered`: one chunk whose rows can be streamed as they are. */
export interface TimeGroup<C extends TimedChunk> {
  readonly ordered: boolean;
  readonly chunks: readonly C[];
}

/**
 * Splits chunks into groups, so that everything in one group is before everything in the next. A group of several
 * chunks must be read whole and put in order. So must a chunk whose rows are out of order or share a time.
 */
export function groupByTime<C extends TimedChunk>(chunks: readonly C[]): TimeGroup<C>[] {
  const byStart = [...chunks].sort((a, b) => compare(a.firstNs!, b.firstNs!) || a.firstRow - b.firstRow);
  const groups: TimeGroup<C>[] = [];
  let open: C[] = [];
  let end = 0n;
  const close = (): void => {
    if (open.length === 0) return;
    open.sort((a, b) => a.firstRow - b.firstRow);
    groups.push({ ordered: open.length === 1 && open[0].sorted, chunks: open });
  };
  for (const chunk of byStart) {
    if (open.length > 0 && chunk.firstNs! <= end) {
      open.push(chunk);
      if (chunk.lastNs! > end) end = chunk.lastNs!;
    } else {
      close();
      open = [chunk];
      end = chunk.lastNs!;
    }
  }
  close();
  return groups;
}

/**
 * Positions of rows in order of time, rows of equal time in the order they came.
 * @param times int64 ns
 * @param positions of the rows in `times`, in the order they came
 * @param rule `keep` answers every row; otherwise the last that came wins its time
 */
export function orderRows(times: BigInt64Array, positions: Uint32Array, rule: DuplicateRule): Uint32Array {
  if (isAscending(times, positions)) return positions;
  const order = sortByTime(times, positions);
  if (rule === 'keep') return order;
  let kept = 0;
  for (let i = 0; i < order.length; i++) {
    if (i + 1 < order.length && times[order[i + 1]] === times[order[i]]) continue;
    order[kept++] = order[i];
  }
  return order.subarray(0, kept);
}

const DIGITS = 8;
const DIGIT_VALUES = 256;

/**
 * Sorts byte by byte, the lowest first. Each pass leaves what is equal as it was, which is about twice as quick as
 * comparing. Bytes that all have in common are passed over.
 */
function sortByTime(times: BigInt64Array, positions: Uint32Array): Uint32Array {
  const bytes = new Uint8Array(times.buffer, times.byteOffset, times.byteLength); // little-endian, as all that is stored
  let from = positions.every((at, i) => i === 0 || at > positions[i - 1])
    ? new Uint32Array(positions)
    : new Uint32Array(positions).sort();
  let to = new Uint32Array(from.length);
  for (let digit = 0; digit < DIGITS; digit++) {
    const sign = digit === DIGITS - 1 ? 0x80 : 0; // so that negative ones come first
    const places = new Uint32Array(DIGIT_VALUES);
    for (let i = 0; i < from.length; i++) places[bytes[from[i] * DIGITS + digit] ^ sign]++;
    if (places.includes(from.length)) continue;
    let sum = 0;
    for (let value = 0; value < DIGIT_VALUES; value++) {
      const count = places[value];
      places[value] = sum;
      sum += count;
    }
    for (let i = 0; i < from.length; i++) to[places[bytes[from[i] * DIGITS + digit] ^ sign]++] = from[i];
    [from, to] = [to, from];
  }
  return from;
}

function isAscending(times: BigInt64Array, positions: Uint32Array): boolean {
  for (let i = 1; i < positions.length; i++) {
    if (positions[i - 1] > positions[i] || times[positions[i - 1]] >= times[positions[i]]) return false;
  }
  return true;
}

/** First position in sorted times that is at or after `ns`. */
export function lowerBound(times: BigInt64Array, ns: bigint): number {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (times[middle] < ns) low = middle + 1;
    else high = middle;
  }
  return low;
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
