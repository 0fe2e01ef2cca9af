/** What one frame shows of each lane: its band, its range of values, where it lies. Pure but for what sources have. */
import type { ShownPart } from './block-cache.ts';
import type { DataGap } from './data-gaps.ts';
import { fillColumns, levelOfBand, mapColumns, rangeOfBand, type ColumnBand, type ColumnMap } from './pixel-columns.ts';
import type { SeeState } from './see-state.ts';
import type { SeriesSource } from './series-source.ts';
import { heightsOf, jointRange, laneRange, sharedRanges, type ValueRange } from './value-scale.ts';
import type { ViewWindow } from './view-window.ts';

/** A channel that can be seen. */
export interface Lane {
  /** As the address has it. */
  readonly name: string;
  readonly source: SeriesSource;
  readonly channel: number;
  readonly label: string;
  readonly unit: string;
  readonly isBad: boolean;
  /** Place among the colours. */
  readonly hue: number;
}

/** A lane as it is drawn. */
export interface FramedLane {
  readonly lane: Lane;
  /** Pixels of the canvas. */
  readonly top: number;
  readonly height: number;
  readonly map: ColumnMap;
  readonly band: ColumnBand;
  readonly range: ValueRange;
  /** What is taken away from each value. */
  readonly level: number;
  readonly slope: number;
  readonly intercept: number;
  readonly gaps: readonly DataGap[];
}

export interface FrameQuestion {
  readonly lanes: readonly Lane[];
  readonly state: SeeState;
  readonly view: ViewWindow;
  /** Pixels of the canvas. */
  readonly columns: number;
  readonly height: number;
  /** Pixels of a lane at least; lanes above `scroll` are not seen. */
  readonly laneHeight: number;
  readonly scroll: number;
  /** A signal is drawn at least so high, whatever the height of its lane. */
  readonly leastHeight: number;
}

/** A range is kept while the signal fills so much of it, so that lanes do not breathe while they are moved. */
const KEPT_PART = 0.5;

/** Makes frames, and remembers from one to the next what need not be computed again. */
export class LaneFrames {
  readonly #ranges = new Map<string, ValueRange>();

  /** Forgets ranges: what is seen then fills its lanes. */
  autoscale(): void {
    this.#ranges.clear();
  }

  frame(question: FrameQuestion): FramedLane[] {
    const { lanes, state, view, columns, height, laneHeight, scroll } = question;
    const isOver = state.layout === 'butterfly';
    const first = isOver ? 0 : Math.max(0, Math.floor(scroll / laneHeight));
    const last = isOver ? lanes.length : Math.min(lanes.length, Math.ceil((scroll + height) / laneHeight));
    const seen = lanes.slice(first, last);
    const maps = new Map<SeriesSource, { parts: readonly ShownPart[]; map: ColumnMap }>();
    const measured = seen.map((lane) => {
      const { source, channel } = lane;
      const parts = source.shown({ view, columns, lanes: lanes.length }, channel);
      const known = maps.get(source);
      const gaps = source.gapsWithin(view);
      // Channels of a series have their buckets at the same times.
      const map =
        known && hasSameParts(known.parts, parts)
          ? known.map
          : mapColumns(parts, { view, columns, gaps, joinNs: source.joinNs });
      maps.set(source, { parts, map });
      const band = fillColumns(map, channel);
      const level = state.withoutLevel ? levelOfBand(band) : 0;
      return { lane, gaps, map, band, level, range: this.#rangeOf(lane, band, level, state) };
    });
    const ranges = measured.map(({ range }) => range);
    const scaled =
      state.scale === 'shared' ? (isOver ? ranges.map(() => jointRange(ranges)) : sharedRanges(ranges)) : ranges;
    return measured.map((each, i) => {
      const top = isOver ? 0 : (first + i) * laneHeight - scroll;
      const tall = isOver ? height : laneHeight;
      const drawn = Math.max(tall, question.leastHeight);
      const { slope, intercept } = heightsOf(scaled[i], top - (drawn - tall) / 2, drawn);
      return { ...each, range: scaled[i], top, height: tall, slope, intercept: intercept - slope * each.level };
    });
  }

  #rangeOf({ name }: Lane, band: ColumnBand, level: number, { gains }: SeeState): ValueRange {
    const range = rangeOfBand(band);
    const key = `${name}${level === 0 ? '' : '-'}`;
    let kept = this.#ranges.get(key);
    if (range) {
      const now = { low: range.low - level, high: range.high - level };
      const isWithin = kept !== undefined && now.low >= kept.low && now.high <= kept.high;
      if (!kept || !isWithin || now.high - now.low < KEPT_PART * (kept.high - kept.low)) kept = now;
      this.#ranges.set(key, kept);
    }
    return laneRange({ seen: kept ?? null, fixed: null, gain: gains.get(name) ?? 1 });
  }
}

function hasSameParts(a: readonly ShownPart[], b: readonly ShownPart[]): boolean {
  return (
    a.length === b.length &&
    a.every((each, i) => each.block === b[i].block && each.startNs === b[i].startNs && each.endNs === b[i].endNs)
  );
}

/** What a lane shows at a time. */
export interface LaneReading {
  /** When the sample was, or the bucket begins. */
  readonly ns: bigint;
  /** With all digits; the second one is the largest of a bucket. */
  readonly texts: readonly string[];
  /** Values that the bucket stands for; 1: it is the sample. */
  readonly count: number;
}

/** The sample nearest to a time, or the bucket that holds it. @returns null: there is none within `reachNs` */
export function valueAt(parts: readonly ShownPart[], channel: number, ns: bigint, reachNs: bigint): LaneReading | null {
  let best: LaneReading | null = null;
  let bestDistance = reachNs + 1n;
  for (const { block, startNs, endNs } of parts) {
    const slot = block.channels.indexOf(channel);
    if (slot < 0 || ns + reachNs < startNs || ns - reachNs >= endNs) continue;
    const at = Number(ns - block.startNs);
    const { begins, ends, counts } = block;
    let [low, high] = [0, begins.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (begins[middle] > at) high = middle;
      else low = middle + 1;
    }
    for (const i of [low - 1, low]) {
      const value = block.lows[slot][i];
      if (i < 0 || i >= begins.length || Number.isNaN(value)) continue;
      const begin = block.startNs + BigInt(begins[i]);
      const end = block.startNs + BigInt(ends[i]);
      const distance = begin > ns ? begin - ns : end <= ns ? ns - end : 0n;
      if (distance >= bestDistance) continue;
      bestDistance = distance;
      const highest = block.highs[slot][i];
      const digits = block.digits?.get(`${slot}:${i}`);
      const texts = counts === null || value === highest ? [digits ?? String(value)] : [String(value), String(highest)];
      best = { ns: begin, texts, count: counts === null ? 1 : counts[i] };
    }
  }
  return best;
}
