/**
 * What answers each bucket of an overview of an irregular series. When its rows are, only what stores them knows:
 * summary cells and chunks tell their first and last time. Each lies in one bucket, or its rows are read instead. Pure.
 */
import { erasuresOf, type ErasableChunk, type Erasure } from '../rows/erasure.ts';

/** Half-open range of time. */
export interface TimeInterval {
  readonly from: bigint;
  readonly to: bigint;
}

interface TimeSpanned {
  readonly firstNs: bigint;
  readonly lastNs: bigint;
}

const compare = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);

export function intervalOf({ firstNs, lastNs }: TimeSpanned): TimeInterval {
  return { from: firstNs, to: lastNs + 1n };
}

export function uniteTimes(ranges: readonly TimeInterval[]): TimeInterval[] {
  const united: TimeInterval[] = [];
  for (const range of [...ranges].sort((a, b) => compare(a.from, b.from))) {
    const last = united.at(-1);
    if (!last || range.from > last.to) united.push(range);
    else if (range.to > last.to) united[united.length - 1] = { from: last.from, to: range.to };
  }
  return united;
}

/** Both in order. */
export function withoutTimes(ranges: readonly TimeInterval[], holes: readonly TimeInterval[]): TimeInterval[] {
  const left: TimeInterval[] = [];
  let at = 0;
  for (const range of ranges) {
    let { from } = range;
    while (at < holes.length && holes[at].to <= from) at++;
    for (let i = at; i < holes.length && holes[i].from < range.to; i++) {
      if (holes[i].from > from) left.push({ from, to: holes[i].from });
      if (holes[i].to > from) from = holes[i].to;
    }
    if (from < range.to) left.push({ from, to: range.to });
  }
  return left;
}

/** Both in order. */
export function commonTimes(ranges: readonly TimeInterval[], others: readonly TimeInterval[]): TimeInterval[] {
  return withoutTimes(ranges, withoutTimes(ranges, others));
}

/** Times that at least two of these spans have. Only there can rows of one time be in two places. */
export function sharedIntervals(spans: readonly TimeInterval[]): TimeInterval[] {
  const zones: TimeInterval[] = [];
  let end: bigint | null = null;
  for (const { from, to } of [...spans].sort((a, b) => compare(a.from, b.from))) {
    if (end !== null && from < end) zones.push({ from, to: to < end ? to : end });
    if (end === null || to > end) end = to;
  }
  return uniteTimes(zones);
}

/** Times at which erasures take something out of chunks. */
export function erasedTimes(
  chunks: ReadonlyArray<ErasableChunk & TimeSpanned>,
  erasures: readonly Erasure[],
): TimeInterval[] {
  const zones = chunks.flatMap((chunk) =>
    erasuresOf(chunk, erasures).map(({ startNs, endNs }): TimeInterval => ({
      from: startNs > chunk.firstNs ? startNs : chunk.firstNs,
      to: endNs <= chunk.lastNs ? endNs : chunk.lastNs + 1n,
    })),
  );
  return uniteTimes(zones);
}

/**
 * True if chunks, in order of rows, are in order of time as well. Only then do the cells of their shard stand for
 * ranges of time.
 */
export function isInOrder(chunks: readonly TimeSpanned[]): boolean {
  return chunks.every(({ firstNs }, i) => i === 0 || firstNs >= chunks[i - 1].lastNs);
}

/**
 * Where borders may be placed. `fixed` and `kept` borders stay where they are, and no cell answers beside a `fixed`
 * one, unless samples have expired. `ends`: only the first and the last stay, others move back to where cells begin.
 */
export type BorderRule = 'fixed' | 'kept' | 'ends';

/** A border inside a chunk that has no summary moves back to where it begins, if the chunk is no longer than this many buckets. */
export const BUCKETS_A_CHUNK = 2;

/**
 * Finds the bucket of whatever has a span of time, and moves borders meanwhile. Two things that are placed must not
 * share times, so the order of placing does not matter.
 */
export class TimeCover {
  /**
   * Borders of the buckets. A border between the ends moves back when something that lies on both sides of it is placed
   * behind it.
   */
  readonly borders: BigInt64Array;
  readonly #nominal: BigInt64Array;
  readonly #rule: BorderRule;
  readonly #expiredNs: bigint | null;
  readonly #covered: { from: bigint; to: bigint }[] = [];

  /** @param expiredNs rows before are gone: what lies on both sides of an end is taken or left whole */
  constructor(borders: BigInt64Array, rule: BorderRule, expiredNs: bigint | null) {
    this.#nominal = borders;
    this.borders = borders.slice();
    this.#rule = rule;
    this.#expiredNs = expiredNs;
  }

  /**
   * @param mayMove borders that are not fixed
   * @param goesOn nothing lies between this and what was placed before it
   * @returns the bucket; null if the rows have to be looked at, or it lies outside
   */
  place({ firstNs, lastNs }: TimeSpanned, mayMove: boolean, goesOn: boolean): number | null {
    const last = this.#nominal.length - 1;
    const first = upperBound(this.#nominal, firstNs) - 1;
    let bucket = upperBound(this.#nominal, lastNs) - 1;
    if (bucket < 0 || first >= last) return null;
    const hasExpired = this.#expiredNs !== null && firstNs < this.#expiredNs;
    if (bucket !== first) {
      const isCut = first < 0 || bucket === last;
      if (isCut ? !hasExpired : !hasExpired && (this.#rule !== 'ends' || !mayMove)) return null;
      if (bucket === last) {
        if (firstNs < this.borders[last]) this.borders[last] = firstNs;
        return null;
      }
      for (let i = Math.max(0, first + 1); i <= bucket; i++) if (firstNs < this.borders[i]) this.borders[i] = firstNs;
    }
    bucket = Math.max(0, bucket);
    const open = goesOn ? this.#covered.at(-1) : undefined;
    if (open) open.to = lastNs + 1n;
    else this.#covered.push({ from: firstNs, to: lastNs + 1n });
    return bucket;
  }

  /**
   * Times whose rows have to be looked at.
   * @param chunks all of them, placed or not
   * @param shared times that more than one has
   */
  left(chunks: readonly TimeSpanned[], shared: readonly TimeInterval[]): TimeInterval[] {
    const [from, to] = [this.borders[0], this.borders[this.borders.length - 1]];
    const begin = this.#expiredNs !== null && this.#expiredNs > from ? this.#expiredNs : from;
    if (begin >= to) return [];
    const covered = withoutTimes(uniteTimes(this.#covered), shared);
    return commonTimes(withoutTimes(uniteTimes(chunks.map(intervalOf)), covered), [{ from: begin, to }]);
  }
}

/** First position whose value is beyond `value`; values in order. */
export function upperBound<T extends bigint | number>(values: ArrayLike<T>, value: T): number {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (values[middle] <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Whether a span has times in any of the ranges; both are to be asked for in order of time. */
export class RangeFinder {
  readonly #ranges: readonly TimeInterval[];
  #at = 0;

  constructor(ranges: readonly TimeInterval[]) {
    this.#ranges = ranges;
  }

  meets({ firstNs, lastNs }: TimeSpanned): boolean {
    while (this.#at > 0 && this.#ranges[this.#at - 1].to > firstNs) this.#at--;
    while (this.#at < this.#ranges.length && this.#ranges[this.#at].to <= firstNs) this.#at++;
    return this.#at < this.#ranges.length && this.#ranges[this.#at].from <= lastNs;
  }
}
