/** The span of time that is seen: zoomed, moved and kept within bounds, exact to the nanosecond. Pure. */

/** Half-open span of time, at least {@link MIN_VIEW_NS} long. */
export interface ViewWindow {
  readonly startNs: bigint;
  readonly endNs: bigint;
}

/** Shortest view. Nothing is sampled faster than a row a nanosecond. */
export const MIN_VIEW_NS = 16n;
/** Times are int64. */
const FIRST_NS = -(2n ** 63n);
const LAST_NS = 2n ** 63n - 1n;
/** Zooms are fractions of this, so that they are computed in whole numbers. */
const ZOOM_SCALE = 1_000_000;
/** A data range shown whole has so much room at either end: a part of its length. */
const ROOM_PARTS = 50n;

export function viewLength({ startNs, endNs }: ViewWindow): bigint {
  return endNs - startNs;
}

/** The time at a place between 0 (the start) and 1 (the end). */
export function timeAtPart({ startNs, endNs }: ViewWindow, part: number): bigint {
  return startNs + scaled(endNs - startNs, part);
}

/** Where a time lies: 0 at the start, 1 at the end, outside beyond them. */
export function partOfTime({ startNs, endNs }: ViewWindow, ns: bigint): number {
  return Number(ns - startNs) / Number(endNs - startNs);
}

/** Makes the view `factor` times as long; the time at `part` stays where it is on the screen. */
export function zoomAbout(view: ViewWindow, part: number, factor: number): ViewWindow {
  const length = scaled(viewLength(view), factor);
  const long = length > MIN_VIEW_NS ? length : MIN_VIEW_NS;
  const startNs = timeAtPart(view, part) - scaled(long, part);
  return boundedView({ startNs, endNs: startNs + long });
}

/** Moves the view by a part of its own length; a positive one is later. */
export function panBy(view: ViewWindow, part: number): ViewWindow {
  return movedBy(view, scaled(viewLength(view), part));
}

export function movedBy({ startNs, endNs }: ViewWindow, ns: bigint): ViewWindow {
  return boundedView({ startNs: startNs + ns, endNs: endNs + ns });
}

/** The view of the same length whose middle is this time. */
export function centredOn(view: ViewWindow, ns: bigint): ViewWindow {
  return movedBy(view, ns - timeAtPart(view, 0.5));
}

/** The view of the same length that ends a little after a time, as a live one does. */
export function endingAt(view: ViewWindow, ns: bigint): ViewWindow {
  return movedBy(view, ns + viewLength(view) / ROOM_PARTS - view.endNs);
}

/** A view of all of a range, with a little room at either end. */
export function viewOfAll(startNs: bigint, endNs: bigint): ViewWindow {
  const length = endNs > startNs ? endNs - startNs : MIN_VIEW_NS;
  const room = length / ROOM_PARTS + 1n;
  return boundedView({ startNs: startNs - room, endNs: startNs + length + room });
}

/** The same view within int64, and neither empty nor backwards. */
export function boundedView({ startNs, endNs }: ViewWindow): ViewWindow {
  const most = LAST_NS - FIRST_NS;
  let length = endNs - startNs;
  if (length < MIN_VIEW_NS) length = MIN_VIEW_NS;
  if (length > most) length = most;
  let start = startNs < FIRST_NS ? FIRST_NS : startNs;
  if (start + length > LAST_NS) start = LAST_NS - length;
  return { startNs: start, endNs: start + length };
}

/** @returns null: no two whole numbers in order */
export function viewOfText(from: string | null, to: string | null): ViewWindow | null {
  if (from === null || to === null || !/^-?\d{1,19}$/.test(from) || !/^-?\d{1,19}$/.test(to)) return null;
  const [startNs, endNs] = [BigInt(from), BigInt(to)];
  return startNs < endNs ? boundedView({ startNs, endNs }) : null;
}

/** A length times a number, in whole nanoseconds: exact where the length has less than 53 bits, and near where it has more. */
function scaled(length: bigint, factor: number): bigint {
  if (length < BigInt(Number.MAX_SAFE_INTEGER)) return BigInt(Math.round(Number(length) * factor));
  return (length * BigInt(Math.round(factor * ZOOM_SCALE))) / BigInt(ZOOM_SCALE);
}
