/** Blocks that were fetched of one series: what of them shows a view, and what is missing. Pure. */
import { SAMPLE_LEVEL, type WantedSpan } from './bucket-level.ts';
import { blockBytes, type SignalBlock } from './signal-block.ts';
import type { ViewWindow } from './view-window.ts';

/** Bytes of blocks that a series keeps, beyond those that are seen. */
export const MAX_CACHE_BYTES = 64 * 1024 * 1024;
/** So many blocks at most: each is looked at when something is drawn. */
const MAX_BLOCKS = 64;

/** A block, and the part of a view that it shows. */
export interface ShownPart extends ViewWindow {
  readonly block: SignalBlock;
}

export class BlockCache {
  readonly #limitBytes: number;
  /** The one that was used last stands last. */
  #blocks: SignalBlock[] = [];
  /** Blocks that know less than this are shown until others have come, and no longer. */
  #commit = 0;

  constructor(limitBytes = MAX_CACHE_BYTES) {
    this.#limitBytes = limitBytes;
  }

  get size(): number {
    return this.#blocks.length;
  }

  /** Takes note of a change of the series: what is older is out of date. */
  heardOf(commit: number): void {
    if (commit > this.#commit) this.#commit = commit;
  }

  put(block: SignalBlock): void {
    this.heardOf(block.commit);
    // What is out of date and lies under the new one will not be shown any more.
    this.#blocks = this.#blocks.filter(
      (each) => !(this.#isStale(each) && each.level === block.level && holds(block, each)),
    );
    this.#blocks.push(block);
    let bytes = this.#blocks.reduce((sum, each) => sum + blockBytes(each), 0);
    while (this.#blocks.length > 1 && (bytes > this.#limitBytes || this.#blocks.length > MAX_BLOCKS)) {
      bytes -= blockBytes(this.#blocks.shift()!);
    }
  }

  /** The smallest span that holds all that is missing of the wanted one; null: nothing is. */
  missing(wanted: WantedSpan, channels: readonly number[]): ViewWindow | null {
    let left: ViewWindow[] = [wanted];
    for (const block of this.#blocks) {
      if (block.level !== wanted.level || this.#isStale(block) || !hasAll(block, channels)) continue;
      left = without(left, block);
    }
    return left.length === 0 ? null : { startNs: left[0].startNs, endNs: left[left.length - 1].endNs };
  }

  /**
   * What shows a view: blocks of the level first, then of those next to it, each for a part that no better one has.
   * @returns none overlaps another
   */
  shown(view: ViewWindow, level: number, channel: number): ShownPart[] {
    const found = this.#blocks
      .filter((each) => each.startNs < view.endNs && each.endNs > view.startNs && each.channels.includes(channel))
      .map((block) => ({ block, cost: this.#cost(block, level) }))
      .sort((a, b) => a.cost - b.cost);
    let left: ViewWindow[] = [view];
    const parts: ShownPart[] = [];
    for (const { block } of found) {
      if (left.length === 0) break;
      const before = left;
      left = without(left, block);
      if (left === before) continue;
      this.#use(block);
      for (const piece of before) {
        const startNs = piece.startNs > block.startNs ? piece.startNs : block.startNs;
        const endNs = piece.endNs < block.endNs ? piece.endNs : block.endNs;
        if (startNs < endNs) parts.push({ block, startNs, endNs });
      }
    }
    return parts;
  }

  /** Values in a span, as far as buckets or samples tell; null: a part of it is not known. */
  valuesIn(span: ViewWindow): number | null {
    let left: ViewWindow[] = [span];
    let values = 0;
    for (const block of this.#blocks) {
      if (this.#isStale(block)) continue;
      const before = left;
      left = without(left, block);
      for (const piece of before) values += countIn(block, piece);
      if (left.length === 0) return values;
    }
    return null;
  }

  #isStale({ commit }: SignalBlock): boolean {
    return commit < this.#commit;
  }

  /** How unlike what is wanted a block is. A coarser one has all extremes, and so has a finer one. */
  #cost(block: SignalBlock, level: number): number {
    const away =
      block.level === level
        ? 0
        : level === SAMPLE_LEVEL || block.level === SAMPLE_LEVEL
          ? 8
          : Math.abs(block.level - level);
    return away * 2 + (this.#isStale(block) ? 1 : 0);
  }

  #use(block: SignalBlock): void {
    const at = this.#blocks.indexOf(block);
    this.#blocks.push(...this.#blocks.splice(at, 1));
  }
}

function holds(outer: ViewWindow, inner: ViewWindow): boolean {
  return outer.startNs <= inner.startNs && outer.endNs >= inner.endNs;
}

function hasAll(block: SignalBlock, channels: readonly number[]): boolean {
  if (block.channels === channels) return true;
  const has = new Set(block.channels);
  return channels.every((each) => has.has(each));
}

/** What a span leaves of others. @returns the same list, if it touches none */
function without(spans: ViewWindow[], { startNs, endNs }: ViewWindow): ViewWindow[] {
  if (!spans.some((each) => each.startNs < endNs && each.endNs > startNs)) return spans;
  return spans.flatMap((each) => {
    if (each.startNs >= endNs || each.endNs <= startNs) return [each];
    const parts: ViewWindow[] = [];
    if (each.startNs < startNs) parts.push({ startNs: each.startNs, endNs: startNs });
    if (each.endNs > endNs) parts.push({ startNs: endNs, endNs: each.endNs });
    return parts;
  });
}

function countIn({ startNs: originNs, begins, ends, counts }: SignalBlock, { startNs, endNs }: ViewWindow): number {
  const [from, to] = [Number(startNs - originNs), Number(endNs - originNs)];
  let values = 0;
  for (let i = 0; i < begins.length; i++) {
    if (begins[i] >= to) break;
    if (ends[i] > from || (counts === null && begins[i] >= from)) values += counts === null ? 1 : counts[i];
  }
  return values;
}
