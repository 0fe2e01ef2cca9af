/**
 * Folds rows, chunks and summary cells of each bucket into one result: count, minimum, maximum and sum of each
 * channel, and other details on request.
 */
import { StatsReader } from '../rows/chunk-stats.ts';
import { DTYPES, isBigDtype, type SampleArray } from '../numbers/dtype.ts';
import { blankMissing, type RowShape } from '../numbers/missing-value.ts';
import { Moments, type Extremes, type KnownNumbers } from '../numbers/moments.ts';
import { toldOfCell } from './summary-cell.ts';
import type { SummaryCells } from './summary.ts';

/** Which details are to be known of a bucket besides. */
export interface RowDetails {
  /** First and last value, in order of time: only rows tell. */
  readonly ends?: boolean;
  /** How far values lie from the mean. */
  readonly spread?: boolean;
  /** Where the extremes are. */
  readonly places?: boolean;
}

/** A series whose rows are folded. */
export interface FoldedSeries extends RowShape {
  /** Channels that count, in the order to answer; null: all. */
  readonly selected: readonly number[] | null;
  readonly details: RowDetails;
}

/** Values that are widened to float64 at a time. */
const SLAB_VALUES = 16 * 1024;

/** Moments of buckets × channels; so are all arrays. */
export class BucketFold extends Moments {
  readonly buckets: number;
  readonly channels: number;
  /** With `ends`: the first and the last value that counts, and where they are. */
  readonly firsts: Extremes | null;
  readonly lasts: Extremes | null;
  readonly firstAt: BigInt64Array | null;
  readonly lastAt: BigInt64Array | null;
  /** 1 where statistics took part: `firsts` and `lasts` say nothing then. */
  readonly told: Uint8Array;
  /** With `places`: 1 where there are rows, with values or without. */
  readonly seen: Uint8Array;
  /** With `places`: row (regular) or time of the extremes. An extreme of a summary cell lies where the cell begins. */
  readonly minAt: BigInt64Array | null;
  readonly maxAt: BigInt64Array | null;

  /** The series whose rows are added. */
  readonly #series: FoldedSeries;
  readonly #stats: StatsReader;
  readonly #run: Moments;
  readonly #runSlab: Float64Array;

  constructor(series: FoldedSeries, buckets: number) {
    const { dtype, selected, details } = series;
    const channels = selected?.length ?? series.channels;
    const size = buckets * channels;
    super(series, size, details.spread ?? false);
    this.buckets = buckets;
    this.channels = channels;
    this.#series = series;
    const extremes = (): Extremes =>
      new (isBigDtype(dtype) ? DTYPES[dtype].array : Float64Array)(size) as unknown as Extremes;
    this.told = new Uint8Array(size);
    this.seen = new Uint8Array(details.places ? size : 0);
    this.firsts = details.ends ? extremes() : null;
    this.lasts = details.ends ? extremes() : null;
    this.firstAt = details.ends ? new BigInt64Array(size) : null;
    this.lastAt = details.ends ? new BigInt64Array(size) : null;
    this.minAt = details.places ? new BigInt64Array(size) : null;
    this.maxAt = details.places ? new BigInt64Array(size) : null;
    this.#stats = new StatsReader(series);
    this.#run = new Moments(series, channels, details.spread ?? false);
    this.#runSlab = new Float64Array(isBigDtype(dtype) ? 0 : Math.max(SLAB_VALUES, this.channels));
  }

  /**
   * Adds rows that lie in one bucket.
   * @param values rows × stored channels, row-major
   * @param placeOf place of row i of `values`: its number, or its time
   */
  addBucketRows(bucket: number, values: SampleArray, from: number, to: number, placeOf: (row: number) => bigint): void {
    const chosen = this.#choose(values, from, to);
    const { channels } = this;
    const rows = to - from;
    const { dtype, missingValue } = this.#series;
    if (isBigDtype(dtype)) {
      const halves = new Int32Array(chosen.buffer, chosen.byteOffset, chosen.length * 2);
      this.#fold(bucket, () => this.#run.addHalves(0, channels, halves, 0, chosen.length), chosen, from, placeOf);
      return;
    }
    const step = Math.max(1, Math.floor(SLAB_VALUES / channels));
    for (let at = 0; at < rows; at += step) {
      const count = Math.min(step, rows - at) * channels;
      const slab = this.#runSlab.subarray(0, count);
      slab.set((chosen as Float64Array).subarray(at * channels, at * channels + count));
      if (missingValue !== null) blankMissing(slab, missingValue as number);
      this.#fold(bucket, () => this.#run.addNumbers(0, channels, slab, 0, count), slab, from + at, placeOf);
    }
  }

  /** The wanted channels of rows. */
  #choose(values: SampleArray, from: number, to: number): SampleArray {
    const { dtype, channels: stored, selected } = this.#series;
    if (!selected) return values.subarray(from * stored, to * stored);
    const { channels } = this;
    const chosen = new DTYPES[dtype].array((to - from) * channels);
    for (let s = 0; s < channels; s++) {
      let at = from * stored + selected[s];
      for (let i = s; i < chosen.length; i += channels, at += stored) chosen[i] = values[at];
    }
    return chosen;
  }

  /**
   * @param values as float64 with NaN for the missing value; 64-bit integers as themselves
   * @param first position of the first of these rows, for `placeOf`
   */
  #fold(bucket: number, add: () => void, values: SampleArray, first: number, placeOf: (row: number) => bigint): void {
    const run = this.#run;
    const { channels } = this;
    run.clear();
    add();
    for (let c = 0; c < channels; c++) {
      const at = bucket * channels + c;
      if (this.minAt) this.seen[at] = 1;
      if (run.counts[c] === 0) continue;
      if (this.minAt) {
        const had = this.counts[at] > 0;
        if (!had || run.mins[c] < this.mins[at])
          this.minAt[at] = placeOf(first + rowOf(values, run.mins[c], c, channels));
        if (!had || run.maxs[c] > this.maxs[at])
          this.maxAt![at] = placeOf(first + rowOf(values, run.maxs[c], c, channels));
      }
      if (this.firsts) this.#addEnds(at, values, c, first, placeOf);
      this.addMoments(at, run, c);
    }
  }

  #addEnds(at: number, values: SampleArray, c: number, first: number, placeOf: (row: number) => bigint): void {
    const { channels } = this;
    const { missingValue } = this.#series;
    const isMissing = (i: number): boolean => values[i] !== values[i] || values[i] === missingValue;
    let low = c;
    while (isMissing(low)) low += channels;
    let high = values.length - channels + c;
    while (isMissing(high)) high -= channels;
    const [lowAt, highAt] = [low, high].map((i) => placeOf(first + (i - c) / channels));
    const isNew = this.counts[at] === 0;
    if (isNew || lowAt < this.firstAt![at]) {
      this.firstAt![at] = lowAt;
      this.firsts![at] = values[low];
    }
    if (isNew || highAt >= this.lastAt![at]) {
      this.lastAt![at] = highAt;
      this.lasts![at] = values[high];
    }
  }

  /** Adds the i-th cell of a summary. @param place where it begins */
  addCell(bucket: number, cells: SummaryCells, i: number, place: number | bigint): void {
    const { channels } = this;
    const { channels: stored, selected } = this.#series;
    for (let s = 0; s < channels; s++) {
      const told = toldOfCell(cells, i * stored + (selected ? selected[s] : s));
      this.#addWhole(bucket * channels + s, told, place);
    }
  }

  /** Adds a chunk that lies whole in one bucket. @param place where it begins */
  addStats(bucket: number, stats: Uint8Array, place: number | bigint): void {
    const { channels } = this;
    const { selected } = this.#series;
    for (let s = 0; s < channels; s++) {
      const told = this.#stats.told(stats, selected ? selected[s] : s);
      this.#addWhole(bucket * channels + s, told, place);
    }
  }

  #addWhole(at: number, told: KnownNumbers | null, place: number | bigint): void {
    if (this.minAt) this.seen[at] = 1;
    if (!told) return;
    if (this.minAt) {
      const had = this.counts[at] > 0;
      if (!had || told.min < this.mins[at]) this.minAt[at] = BigInt(place);
      if (!had || told.max > this.maxs[at]) this.maxAt![at] = BigInt(place);
    }
    this.told[at] = 1;
    this.addTold(at, told);
  }
}

function rowOf(values: SampleArray, value: number | bigint, channel: number, channels: number): number {
  let i = channel;
  while (values[i] !== value) i += channels;
  return (i - channel) / channels;
}
