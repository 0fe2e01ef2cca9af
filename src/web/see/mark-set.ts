/** Annotations in order of time, by the hundred thousand: what touches a view is found without looking at all. Pure. */
import type { ViewWindow } from './view-window.ts';

/** A point or an interval on the time line of a series, in a layer. */
export interface Mark {
  /** Stays the same through edits, also where the service gives a new id. */
  readonly key: string;
  readonly seriesId: string;
  readonly startNs: bigint;
  /** A point ends at its start. */
  readonly endNs: bigint;
  readonly label: string;
  readonly layer: string;
  /** Labels of the channels that are meant; null: all. */
  readonly channels: readonly string[] | null;
  readonly author: string | null;
  /** Anything else, as the service has it. */
  readonly payload: Readonly<Record<string, unknown>>;
}

/** Marks that say no layer. */
export const DEFAULT_LAYER = 'marks';
/** Beyond so many in a view, they are drawn as columns that are fuller or emptier. */
export const MAX_SINGLE_MARKS = 2_000;

export class MarkSet {
  readonly #byKey = new Map<string, Mark>();
  /** In order of their start; null: to be made again. */
  #sorted: Mark[] | null = [];
  /** Doubles, so that a hundred thousand are gone through in a millisecond: ns after the first start. */
  #starts = new Float64Array(0);
  #ends = new Float64Array(0);
  /** The latest end of all up to here. Where it lies before a view, all of them do. */
  #reach = new Float64Array(0);
  #origin = 0n;

  get size(): number {
    return this.#byKey.size;
  }

  get(key: string): Mark | undefined {
    return this.#byKey.get(key);
  }

  put(mark: Mark): void {
    this.#byKey.set(mark.key, mark);
    this.#sorted = null;
  }

  remove(key: string): void {
    if (this.#byKey.delete(key)) this.#sorted = null;
  }

  /** Every mark, in order. */
  all(): readonly Mark[] {
    return (this.#sorted ??= this.#sort());
  }

  /** Marks that touch a view, in order of their start. */
  within(view: ViewWindow): Mark[] {
    const marks = this.all();
    const found: Mark[] = [];
    this.#each(view, (i) => found.push(marks[i]));
    return found;
  }

  /** How many marks touch a view. */
  countWithin(view: ViewWindow): number {
    let count = 0;
    this.all();
    this.#each(view, () => count++);
    return count;
  }

  /** How many marks of a layer touch each pixel column; an interval touches all from its start to its end. */
  density(view: ViewWindow, columns: number, layer: string): Uint32Array {
    const marks = this.all();
    const counts = new Uint32Array(columns);
    const scale = columns / Number(view.endNs - view.startNs);
    const origin = Number(this.#origin - view.startNs);
    this.#each(view, (i) => {
      if (marks[i].layer !== layer) return;
      const first = Math.max(0, Math.floor((origin + this.#starts[i]) * scale));
      const last = Math.min(columns - 1, Math.max(first, Math.ceil((origin + this.#ends[i]) * scale) - 1));
      for (let c = first; c <= last; c++) counts[c]++;
    });
    return counts;
  }

  /** The mark of a layer that lies nearest to a time; the shortest one of those that hold it. @returns null: none within reach */
  nearest(ns: bigint, reachNs: bigint, layer: string | null): Mark | null {
    let best: Mark | null = null;
    let bestDistance = 0n;
    for (const mark of this.within({ startNs: ns - reachNs, endNs: ns + reachNs + 1n })) {
      if (layer !== null && mark.layer !== layer) continue;
      const distance = mark.startNs > ns ? mark.startNs - ns : mark.endNs < ns ? ns - mark.endNs : 0n;
      const isShorter = best !== null && mark.endNs - mark.startNs < best.endNs - best.startNs;
      if (best === null || distance < bestDistance || (distance === bestDistance && isShorter)) {
        best = mark;
        bestDistance = distance;
      }
    }
    return best;
  }

  /** The first mark that begins after a time, or the last one that begins before it. */
  beside(ns: bigint, direction: 1 | -1): Mark | null {
    const marks = this.all();
    const at = firstPast(marks.length, (i) => (direction === 1 ? marks[i].startNs > ns : marks[i].startNs >= ns));
    return marks[direction === 1 ? at : at - 1] ?? null;
  }

  /** Names of the layers that there are, in order. */
  layers(): string[] {
    return [...new Set(this.all().map(({ layer }) => layer))].sort();
  }

  #sort(): Mark[] {
    const marks = [...this.#byKey.values()];
    this.#origin = marks.reduce((least, { startNs }) => (startNs < least ? startNs : least), marks[0]?.startNs ?? 0n);
    const starts = Float64Array.from(marks, ({ startNs }) => Number(startNs - this.#origin));
    const order = Array.from(starts.keys()).sort(
      (a, b) => starts[a] - starts[b] || (marks[a].key < marks[b].key ? -1 : 1),
    );
    const sorted = order.map((i) => marks[i]);
    this.#starts = Float64Array.from(order, (i) => starts[i]);
    this.#ends = Float64Array.from(sorted, ({ endNs }) => Number(endNs - this.#origin));
    let reach = Number.NEGATIVE_INFINITY;
    this.#reach = this.#ends.map((end) => (reach = Math.max(reach, end)));
    return sorted;
  }

  #each(view: ViewWindow, visit: (index: number) => void): void {
    const [from, to] = [Number(view.startNs - this.#origin), Number(view.endNs - this.#origin)];
    const { length } = this.#starts;
    for (let i = firstPast(length, (at) => this.#reach[at] >= from); i < length && this.#starts[i] < to; i++) {
      if (this.#ends[i] > from || this.#starts[i] >= from) visit(i);
    }
  }
}

/** The first place of which this is true; it is true of all after it. */
function firstPast(length: number, isPast: (index: number) => boolean): number {
  let [low, high] = [0, length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isPast(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
