/** Annotations in order of time, by the hundred thousand: what touches a view is found without looking at all. Pure. */
import type { ViewWindow } from './view-window.ts';

/** A point or an interval on the time line of a series, in a layer. */
export interface LaneMark {
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
/** From so many on it is cheaper to sort all again than to find the place of each. */
const MANY = 64;
/** Beyond so many in a view, they are drawn as columns that are fuller or emptier. */
export const MAX_SINGLE_MARKS = 2_000;

export class MarkSet {
  readonly #byKey = new Map<string, LaneMark>();
  /** In order of their start; null: to be made again. */
  #sorted: LaneMark[] | null = [];
  /** Doubles, so that a hundred thousand are gone through in a millisecond: ns after the first start. */
  #starts = new Float64Array(0);
  #ends = new Float64Array(0);
  /** The latest end of all up to here. Where it lies before a view, all of them do. */
  #reach = new Float64Array(0);
  #origin = 0n;
  #version = 0;
  /** Names of layers, and the starts for which they are true: each change makes other starts. */
  #layers: { readonly of: Float64Array; readonly names: readonly string[] } | null = null;

  /** Another one after each change. */
  get version(): number {
    return this.#version;
  }

  get size(): number {
    return this.#byKey.size;
  }

  get(key: string): LaneMark | undefined {
    return this.#byKey.get(key);
  }

  /** Takes in one mark, in place of the one with its key. Its place is found; the others stay in order. */
  put(mark: LaneMark): void {
    this.remove(mark.key);
    this.#byKey.set(mark.key, mark);
    this.#version++;
    const marks = this.#sorted;
    if (!marks) return;
    const start = Number(mark.startNs - this.#origin);
    const at = firstPast(
      marks.length,
      (i) => this.#starts[i] > start || (this.#starts[i] === start && marks[i].key > mark.key),
    );
    marks.splice(at, 0, mark);
    this.#starts = inserted(this.#starts, at, start);
    this.#ends = inserted(this.#ends, at, Number(mark.endNs - this.#origin));
    this.#reachFrom(at);
  }

  /** Puts some in the place of others. Of many, the order is made anew when somebody asks. */
  swap(from: readonly LaneMark[], to: readonly LaneMark[]): void {
    if (from.length + to.length > MANY) this.#sorted = null;
    for (const { key } of from) this.remove(key);
    for (const mark of to) this.put(mark);
  }

  remove(key: string): void {
    const mark = this.#byKey.get(key);
    if (!mark) return;
    this.#byKey.delete(key);
    this.#version++;
    const marks = this.#sorted;
    if (!marks) return;
    const start = Number(mark.startNs - this.#origin);
    const first = firstPast(marks.length, (i) => this.#starts[i] >= start);
    const at = marks.indexOf(mark, first);
    marks.splice(at, 1);
    this.#starts = without(this.#starts, at);
    this.#ends = without(this.#ends, at);
    this.#reachFrom(at);
  }

  /** Every mark, in order. */
  all(): readonly LaneMark[] {
    return (this.#sorted ??= this.#sort());
  }

  /** Marks that touch a view, in order of their start. */
  within(view: ViewWindow): LaneMark[] {
    const marks = this.all();
    const found: LaneMark[] = [];
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
  nearest(ns: bigint, reachNs: bigint, layer: string | null): LaneMark | null {
    let best: LaneMark | null = null;
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
  beside(ns: bigint, direction: 1 | -1): LaneMark | null {
    const marks = this.all();
    const at = firstPast(marks.length, (i) => (direction === 1 ? marks[i].startNs > ns : marks[i].startNs >= ns));
    return marks[direction === 1 ? at : at - 1] ?? null;
  }

  /** Names of the layers that there are, in order. */
  layers(): readonly string[] {
    const marks = this.all();
    if (this.#layers?.of !== this.#starts) {
      this.#layers = { of: this.#starts, names: [...new Set(marks.map(({ layer }) => layer))].sort() };
    }
    return this.#layers.names;
  }

  #sort(): LaneMark[] {
    const marks = [...this.#byKey.values()];
    this.#origin = marks.reduce((least, { startNs }) => (startNs < least ? startNs : least), marks[0]?.startNs ?? 0n);
    const starts = Float64Array.from(marks, ({ startNs }) => Number(startNs - this.#origin));
    const order = Array.from(starts.keys()).sort(
      (a, b) => starts[a] - starts[b] || (marks[a].key < marks[b].key ? -1 : 1),
    );
    const sorted = order.map((i) => marks[i]);
    this.#starts = Float64Array.from(order, (i) => starts[i]);
    this.#ends = Float64Array.from(sorted, ({ endNs }) => Number(endNs - this.#origin));
    this.#reachFrom(0);
    return sorted;
  }

  /** Computes the latest ends again, from a place on. */
  #reachFrom(at: number): void {
    if (this.#reach.length !== this.#ends.length) {
      const reach = new Float64Array(this.#ends.length);
      reach.set(this.#reach.subarray(0, Math.min(at, reach.length)));
      this.#reach = reach;
    }
    let latest = at === 0 ? Number.NEGATIVE_INFINITY : this.#reach[at - 1];
    for (let i = at; i < this.#ends.length; i++) {
      latest = Math.max(latest, this.#ends[i]);
      this.#reach[i] = latest;
    }
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

function inserted(values: Float64Array, at: number, value: number): Float64Array<ArrayBuffer> {
  const longer = new Float64Array(values.length + 1);
  longer.set(values.subarray(0, at));
  longer[at] = value;
  longer.set(values.subarray(at), at + 1);
  return longer;
}

function without(values: Float64Array, at: number): Float64Array<ArrayBuffer> {
  const shorter = new Float64Array(values.length - 1);
  shorter.set(values.subarray(0, at));
  shorter.set(values.subarray(at + 1), at);
  return shorter;
}
