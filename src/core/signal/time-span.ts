/** Ranges of time, and what a chunk of an irregular series says of its times: the smallest, the largest, and whether they can be searched. */

/** The half-open range `[startNs, endNs)`. */
export interface TimeRange {
  readonly startNs: bigint;
  readonly endNs: bigint;
}

export interface TimeSpan {
  readonly firstNs: bigint;
  readonly lastNs: bigint;
  /** Times strictly increase from row to row. */
  readonly sorted: boolean;
}

/**
 * @param times at least one
 * @param before span of the rows just before these, which then counts too; null if there are none
 */
export function extendSpan(before: TimeSpan | null, times: BigInt64Array): TimeSpan {
  let firstNs = before?.firstNs ?? times[0];
  let lastNs = before?.lastNs ?? times[0];
  // Of sorted rows the last is the largest, so it is the one to go on from.
  let sorted = before === null || (before.sorted && times[0] > before.lastNs);
  for (let i = 0; i < times.length; i++) {
    const time = times[i];
    if (i > 0 && time <= times[i - 1]) sorted = false;
    if (time < firstNs) firstNs = time;
    if (time > lastNs) lastNs = time;
  }
  return { firstNs, lastNs, sorted };
}
