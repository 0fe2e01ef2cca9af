/** One series as the view has it: what was fetched of it, what is missing, and what went wrong. */
import { isAbort, sentenceOf, type Api, type SeriesItem } from '../api.ts';
import { BlockCache, type ShownPart } from './block-cache.ts';
import { bucketLevel, SAMPLE_LEVEL, spanQuery, wantedSpan, type WantedSpan } from './bucket-level.ts';
import { gapsOf, gapsWithin, type DataGap, type DataRun, type RowsKnown } from './data-gaps.ts';
import { NewestWaiting } from './newest-waiting.ts';
import { bucketsOfNpy, samplesOfJson, type RowsAnswer, type SignalBlock } from './signal-block.ts';
import { nsOfInstant } from './time-ticks.ts';
import type { ViewWindow } from './view-window.ts';

/** A page of segments; a series that has more is drawn without them. */
const MAX_RUNS = 10_000;
/** What has failed is asked for again after so long, in ms. */
const RETRY_AFTER_MS = 3_000;
/** Samples are fetched a little beyond the view, so that lines reach its borders: a part of its length. */
const MARGIN_PARTS = 16n;
/** Views whose buckets differ by more than this are not worth waiting for. */
const USEFUL_LEVELS = 2;

/** What a view needs. */
export interface SourceQuestion {
  readonly view: ViewWindow;
  readonly columns: number;
  /** Lanes of the whole view. */
  readonly lanes: number;
  /** Numbers of the channels that are shown. */
  readonly channels: readonly number[];
}

interface PlannedQuestion extends SourceQuestion {
  readonly level: number;
}

export class SeriesSource {
  readonly #api: Api;
  readonly #changed: () => void;
  readonly #cache = new BlockCache();
  readonly #slot: NewestWaiting<PlannedQuestion>;
  #series: SeriesItem;
  #runs: DataRun[] | null = null;
  #gaps: readonly DataGap[] = [];
  /** The axis is that of this commit; -1: nothing is known. */
  #axisCommit = -1;
  #heard: number;
  #failure: { readonly sentence: string; readonly retryAt: number } | null = null;
  #retry: ReturnType<typeof setTimeout> | undefined;

  /** @param changed there is something new to be drawn */
  constructor(api: Api, series: SeriesItem, changed: () => void) {
    this.#api = api;
    this.#series = series;
    this.#heard = series.commit;
    this.#changed = changed;
    this.#slot = new NewestWaiting(
      (question, signal) => this.#answer(question, signal),
      (a, b) =>
        Math.abs(a.level - b.level) <= USEFUL_LEVELS && a.view.startNs < b.view.endNs && a.view.endNs > b.view.startNs,
    );
    this.#gaps = gapsOf(this.#known());
  }

  get series(): SeriesItem {
    return this.#series;
  }

  /** What went wrong last, as a sentence; null: nothing. */
  get failure(): string | null {
    return this.#failure?.sentence ?? null;
  }

  /** The newest commit that it has heard of. */
  get heardCommit(): number {
    return this.#heard;
  }

  get isBusy(): boolean {
    return this.#slot.isBusy;
  }

  /** Rows a second; null: the series is irregular. */
  get rateHz(): number | null {
    return this.#series.sampling.kind === 'regular' ? this.#series.sampling.rate_hz : null;
  }

  get firstNs(): bigint | null {
    return this.#series.first_time === null ? null : nsOfInstant(this.#series.first_time);
  }

  get lastNs(): bigint | null {
    return this.#series.last_time === null ? null : nsOfInstant(this.#series.last_time);
  }

  /** How far the signal goes on without a value. Where nobody has said so, it does not between irregular rows. */
  get joinNs(): number {
    const { continuity } = this.#series;
    if (continuity === 'instantaneous') return 0;
    if (this.rateHz !== null) return 1.5e9 / this.rateHz;
    return continuity === null ? 0 : Number.POSITIVE_INFINITY;
  }

  gapsWithin(view: ViewWindow): readonly DataGap[] {
    return gapsWithin(this.#gaps, view);
  }

  shown({ view, columns, lanes }: Omit<SourceQuestion, 'channels'>, channel: number): ShownPart[] {
    return this.#cache.shown(view, this.#levelOf({ view, columns, lanes }), channel);
  }

  /** Asks for what a view is missing, if anything. */
  want(question: SourceQuestion): void {
    const level = this.#levelOf(question);
    const isKnown = this.#axisCommit >= this.#heard && !this.#missing({ ...question, level });
    if (isKnown || question.channels.length === 0) return;
    if (this.#failure && this.#failure.retryAt > Date.now()) return;
    this.#slot.ask({ ...question, level });
  }

  /** Takes note of a commit that has changed samples. */
  heardOf(commit: number): void {
    this.#heard = Math.max(this.#heard, commit);
    this.#cache.heardOf(commit);
    this.#failure = null;
    this.#changed();
  }

  /** Takes over what is known of the series now. */
  renew(series: SeriesItem): void {
    this.#series = series;
    this.#gaps = gapsOf(this.#known());
    this.#changed();
  }

  close(): void {
    clearTimeout(this.#retry);
    this.#slot.close();
  }

  #levelOf({ view, columns, lanes }: Omit<SourceQuestion, 'channels'>): number {
    const rows = this.#rowsIn(view);
    return bucketLevel({ view, columns, lanes, rows });
  }

  /** At most so many rows lie in a view; null: nobody knows yet. */
  #rowsIn(view: ViewWindow): number | null {
    const { firstNs, lastNs, rateHz } = this;
    if (firstNs === null || lastNs === null) return null;
    const startNs = view.startNs > firstNs ? view.startNs : firstNs;
    const endNs = view.endNs <= lastNs ? view.endNs : lastNs + 1n;
    if (endNs <= startNs) return 0;
    return rateHz === null ? this.#cache.valuesIn(view) : (Number(endNs - startNs) / 1e9) * rateHz + 1;
  }

  #missing({ view, level, channels }: PlannedQuestion): WantedSpan | null {
    const margin = level === SAMPLE_LEVEL ? (view.endNs - view.startNs) / MARGIN_PARTS + 1n : 0n;
    const isThere = this.#cache.missing(wantedSpan(view, level), channels) === null;
    if (isThere) return null;
    const missing = this.#cache.missing(
      wantedSpan({ startNs: view.startNs - margin, endNs: view.endNs + margin }, level),
      channels,
    );
    return missing && wantedSpan(missing, level);
  }

  async #answer(question: PlannedQuestion, signal: AbortSignal): Promise<void> {
    try {
      if (this.#axisCommit < this.#heard) await this.#readAxis(signal);
      // What the axis tells may change the level.
      const planned = { ...question, level: this.#levelOf(question) };
      const span = this.#missing(planned);
      if (span) this.#cache.put(await this.#read(span, question.channels, signal));
      this.#failure = null;
    } catch (error) {
      if (isAbort(error)) return;
      this.#failure = { sentence: sentenceOf(error), retryAt: Date.now() + RETRY_AFTER_MS };
      clearTimeout(this.#retry);
      this.#retry = setTimeout(() => this.#changed(), RETRY_AFTER_MS + 1);
    }
    this.#changed();
  }

  async #read(span: WantedSpan, channels: readonly number[], signal: AbortSignal): Promise<SignalBlock> {
    const { id } = this.#series;
    const heard = this.#heard;
    const query = new URLSearchParams(spanQuery(span));
    const isWhole = channels.length === this.#series.channels.length;
    if (!isWhole) for (const each of channels) query.append('channels[]', this.#series.channels[each].label);
    const isSamples = span.level === SAMPLE_LEVEL;
    const isStored = isSamples && this.#hasExactIntegers();
    if (isSamples && !isStored) query.set('physical', 'true');
    const response = await this.#api.raw(`/v1/series/${id}/samples?${query.toString()}`, { signal });
    const commit = Math.max(heard, Number(response.headers.get('x-varve-commit') ?? 0));
    if (!isSamples) return bucketsOfNpy(await response.arrayBuffer(), span, commit, channels);
    const rows = (await response.json()) as RowsAnswer & { readonly next: string | null };
    const values =
      this.#series.channels.length === 1 && !Array.isArray(rows.values[0]) ? [rows.values as never] : rows.values;
    const missing = this.#series.missing_value;
    const lastTime = rows.times.at(-1);
    // An answer that was cut off at a limit is as long as its rows.
    const endNs = rows.next !== null && lastTime !== undefined ? BigInt(lastTime) + 1n : span.endNs;
    return samplesOfJson(
      { times: rows.times, values },
      { ...span, endNs },
      commit,
      channels,
      isStored && missing !== null ? String(missing) : null,
    );
  }

  /** Values past 2^53 are shown as they are stored, if that is what they are in their unit. */
  #hasExactIntegers(): boolean {
    const { dtype, scale, offset, channels } = this.#series;
    const isPlain = channels.every(
      (each) =>
        each.scale === undefined &&
        each.offset === undefined &&
        each.gain === undefined &&
        each.physical_min === undefined,
    );
    return (dtype === 'int64' || dtype === 'uint64') && scale === 1 && offset === 0 && isPlain;
  }

  async #readAxis(signal: AbortSignal): Promise<void> {
    const { id, sampling, commit } = this.#series;
    const heard = this.#heard;
    if (heard > commit) {
      this.#series = (await (await this.#api.raw(`/v1/series/${id}`, { signal })).json()) as SeriesItem;
    }
    if (sampling.kind === 'regular') {
      const response = await this.#api.raw(`/v1/series/${id}/segments?limit=${MAX_RUNS}`, { signal });
      const { items, next } = (await response.json()) as {
        items: { start: string; end: string; first_row: number; rows: number }[];
        next: string | null;
      };
      const runs = items.map(({ start, end, first_row: firstRow, rows }) => ({
        startNs: BigInt(start),
        endNs: BigInt(end),
        firstRow,
        rows,
      }));
      this.#runs = next === null ? runs : null;
    }
    this.#gaps = gapsOf(this.#known());
    this.#axisCommit = heard;
  }

  #known(): RowsKnown {
    const { rows, removed } = this.#series;
    return { runs: this.#runs, rows, removed, firstNs: this.firstNs, lastNs: this.lastNs };
  }
}
