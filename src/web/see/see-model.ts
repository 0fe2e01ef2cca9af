/** The state of a view of lanes, and what can be done to it: the middle between the page and what is drawn. */
import { batch, computed, effect, signal, type ReadonlySignal, type Signal } from '@preact/signals';
import { isAbort, sentenceOf, type Api, type SeriesItem } from '../api.ts';
import type { UrlState } from '../url-state.ts';
import { changesNow, pollChanges } from './changes-poll.ts';
import { LaneFrames, valueAt, type Lane, type LaneReading } from './lane-frame.ts';
import { DEFAULT_LAYER, type LaneMark } from './mark-set.ts';
import { MarkStore } from './mark-store.ts';
import { laneName, parametersOf, seeStateOf, timeStyleOf, type SeeState } from './see-state.ts';
import { SeriesSource } from './series-source.ts';
import type { TimeStyle } from './time-ticks.ts';
import { endingAt, viewOfAll, type ViewWindow } from './view-window.ts';

/** Series that are loaded at once: browsers open six connections. */
const LOADED_AT_ONCE = 6;
/** Changes of samples. Others change what is known of the series. */
const SAMPLE_KINDS = new Set(['append', 'replace', 'remove', 'expire', 'purge']);
/** A reading is of a sample within so many pixels. */
const REACH_COLUMNS = 8n;

export type SeeTool = 'move' | 'mark';

export interface Selection extends ViewWindow {
  readonly lane: string | null;
}

export class SeeModel {
  readonly api: Api;
  readonly seriesIds: readonly string[];
  readonly frames = new LaneFrames();
  readonly state: Signal<SeeState>;
  readonly lanes = signal<readonly Lane[]>([]);
  readonly isLoading = signal(true);
  /** What went wrong, as a sentence; null: nothing. */
  readonly problem = signal<string | null>(null);
  readonly tool = signal<SeeTool>('move');
  /** The lane that keys and readings are about. */
  readonly active = signal(0);
  readonly cursorNs = signal<bigint | null>(null);
  readonly selection = signal<Selection | null>(null);
  readonly selectedMark = signal<string | null>(null);
  readonly layer = signal(DEFAULT_LAYER);
  readonly hiddenLayers = signal<ReadonlySet<string>>(new Set());
  /** Counts what is to be drawn anew. */
  readonly revision = signal(0);
  readonly marks: MarkStore;
  /** Pixel columns of the lanes, as the board has told. */
  columns = 1000;
  readonly shownLanes: ReadonlySignal<readonly Lane[]>;
  readonly view: ReadonlySignal<ViewWindow>;
  readonly timeStyle: ReadonlySignal<TimeStyle>;

  readonly #url: UrlState;
  readonly #sources = new Map<string, SeriesSource>();
  readonly #stop = new AbortController();
  readonly #unfollow: () => void;
  /** As all of the data lie; the view where the address names none. */
  readonly #whole = signal<ViewWindow>({ startNs: 0n, endNs: 1_000_000_000n });
  #isOwnChange = false;

  constructor(api: Api, url: UrlState, seriesIds: readonly string[]) {
    this.api = api;
    this.seriesIds = seriesIds;
    this.#url = url;
    this.state = signal(seeStateOf((name) => url.params.peek().get(name)));
    this.marks = new MarkStore(api, seriesIds, () => this.#redraw());
    this.shownLanes = computed(() => this.lanes.value.filter(({ name }) => !this.state.value.hidden.has(name)));
    this.view = computed(() => this.state.value.view ?? this.#whole.value);
    this.timeStyle = computed(() => timeStyleOf(this.state.value, this.originNs));
    // Back and forward change the address; what the view itself writes there it knows.
    this.#unfollow = effect(() => {
      const params = url.params.value;
      if (!this.#isOwnChange) this.state.value = seeStateOf((name) => params.get(name));
    });
    void this.#load();
  }

  get sources(): IterableIterator<SeriesSource> {
    return this.#sources.values();
  }

  sourceOf(seriesId: string): SeriesSource | undefined {
    return this.#sources.get(seriesId);
  }

  /** When the first of the series begins. */
  get originNs(): bigint {
    const starts = [...this.#sources.values()].flatMap(({ firstNs }) => firstNs ?? []);
    return starts.reduce((least, each) => (each < least ? each : least), starts[0] ?? 0n);
  }

  get activeLane(): Lane | undefined {
    return this.shownLanes.value[Math.min(this.active.value, this.shownLanes.value.length - 1)];
  }

  close(): void {
    this.#unfollow();
    this.#stop.abort();
    for (const source of this.#sources.values()) source.close();
  }

  /** Changes the state, and the address with it. @param isStep back comes here again */
  change(changes: Partial<SeeState>, isStep = false): void {
    this.#isOwnChange = true;
    try {
      batch(() => {
        this.state.value = { ...this.state.peek(), ...changes };
        this.#url.set(parametersOf(this.state.peek()), { replace: !isStep });
      });
    } finally {
      this.#isOwnChange = false;
    }
  }

  /** Shows a span of time. Whoever moves by hand does not follow any more. */
  show(view: ViewWindow): void {
    this.change({ view, isLive: false });
  }

  showAll(): void {
    this.change({ view: null });
  }

  hide(name: string, isHidden: boolean): void {
    const hidden = new Set(this.state.peek().hidden);
    if (isHidden) hidden.add(name);
    else hidden.delete(name);
    this.change({ hidden });
  }

  /** Draws a lane so many times larger than it is drawn now; null: as it fits. */
  amplify(name: string, factor: number | null): void {
    const gains = new Map(this.state.peek().gains);
    if (factor === null) gains.delete(name);
    else gains.set(name, (gains.get(name) ?? 1) * factor);
    this.change({ gains });
  }

  autoscale(): void {
    this.frames.autoscale();
    this.change({ gains: new Map() });
    this.#redraw();
  }

  setLive(isLive: boolean): void {
    this.change({ isLive });
    if (isLive) this.#follow();
  }

  /** What a lane shows at a time. */
  readAt(lane: Lane, ns: bigint): LaneReading | null {
    const view = this.view.peek();
    const question = { view, columns: this.columns, lanes: this.shownLanes.peek().length };
    const reach = ((view.endNs - view.startNs) * REACH_COLUMNS) / BigInt(this.columns) + 1n;
    return valueAt(lane.source.shown(question, lane.channel), lane.channel, ns, reach);
  }

  /** Says of a channel that it is not to be used, or is again. The series keeps the history of it. */
  async markBad(lane: Lane, isBad: boolean): Promise<void> {
    const { series } = lane.source;
    const channels = series.channels.map(({ bad, ...channel }, i) => {
      const is = i === lane.channel ? isBad : bad;
      return is === true ? { ...channel, bad: true } : channel;
    });
    await this.#try(async () => {
      const response = await this.api.raw(`/v1/series/${series.id}`, {
        method: 'PATCH',
        headers: { 'content-type': 'application/json', 'if-match': `"${series.version}-${series.commit}"` },
        body: JSON.stringify({ channels }),
      });
      lane.source.renew((await response.json()) as SeriesItem);
      this.#listLanes();
    });
  }

  /** Adds a mark to the series of the active lane, and chooses it. */
  addMark(span: ViewWindow, label: string): void {
    const lane = this.activeLane;
    if (!lane) return;
    const mark: LaneMark = {
      key: crypto.randomUUID(),
      seriesId: lane.source.series.id,
      startNs: span.startNs,
      endNs: span.endNs,
      label,
      layer: this.layer.peek(),
      channels: null,
      author: null,
      payload: {},
    };
    this.marks.edit((book) => book.add(mark));
    this.selectedMark.value = mark.key;
  }

  changeMark(key: string, changes: Partial<LaneMark>): void {
    const before = this.marks.book.marks.get(key);
    if (before) this.marks.edit((book) => book.replace(before, { ...before, ...changes }));
  }

  removeMark(key: string): void {
    const mark = this.marks.book.marks.get(key);
    if (mark) this.marks.edit((book) => book.remove([mark]));
    this.selectedMark.value = null;
  }

  async saveMarks(): Promise<void> {
    this.problem.value = await this.marks.save();
  }

  async #load(): Promise<void> {
    await this.#try(async () => {
      const { signal: stop } = this.#stop;
      const after = await changesNow(this.api, stop);
      const waiting = [...this.seriesIds];
      const loadNext = async (): Promise<void> => {
        for (let id = waiting.shift(); id !== undefined; id = waiting.shift()) {
          const series = (await (await this.api.raw(`/v1/series/${id}`, { signal: stop })).json()) as SeriesItem;
          this.#sources.set(id, new SeriesSource(this.api, series, () => this.#hasChanged()));
        }
      };
      await Promise.all(Array.from({ length: LOADED_AT_ONCE }, loadNext));
      batch(() => {
        this.#listLanes();
        this.#measure();
        this.isLoading.value = false;
      });
      if (this.state.peek().isLive) this.#follow();
      if (after !== null)
        void pollChanges(this.api, after, stop, { heard: (changes) => this.#heard(changes), lost: () => this.#lost() });
      this.problem.value = await this.marks.load(this.seriesIds, stop);
    });
    this.isLoading.value = false;
  }

  async #try(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!isAbort(error)) this.problem.value = sentenceOf(error);
    }
  }

  #listLanes(): void {
    let hue = 0;
    this.lanes.value = this.seriesIds.flatMap((id, series) => {
      const source = this.#sources.get(id);
      if (!source) return [];
      const { name, channels, unit } = source.series;
      return channels.map((channel, i): Lane => ({
        name: laneName({ series, channel: i }),
        source,
        channel: i,
        label: channels.length === 1 ? name : `${this.seriesIds.length === 1 ? '' : `${name} `}${channel.label}`,
        unit: channel.unit ?? unit ?? '',
        isBad: channel.bad === true,
        hue: hue++,
      }));
    });
  }

  #measure(): void {
    const spans = [...this.#sources.values()].flatMap(({ firstNs, lastNs }) =>
      firstNs === null || lastNs === null ? [] : [{ firstNs, lastNs }],
    );
    if (spans.length === 0) return;
    const first = spans.reduce((least, { firstNs }) => (firstNs < least ? firstNs : least), spans[0].firstNs);
    const last = spans.reduce((most, { lastNs }) => (lastNs > most ? lastNs : most), spans[0].lastNs);
    this.#whole.value = viewOfAll(first, last);
  }

  /** All data, from the first to the last. */
  get whole(): ViewWindow {
    return this.#whole.value;
  }

  #heard(changes: readonly { readonly series: string; readonly kind: string; readonly commit: number }[]): void {
    for (const { series, kind, commit } of changes) {
      if (SAMPLE_KINDS.has(kind)) this.#sources.get(series)?.heardOf(commit);
    }
    // What is out of sight is not asked for, but its end is known all the same.
    if (this.state.peek().isLive) this.#redraw();
  }

  #lost(): void {
    for (const source of this.#sources.values()) source.heardOf(source.series.commit + 1);
  }

  #hasChanged(): void {
    if (this.state.peek().isLive) this.#follow();
    const before = this.#whole.peek();
    if (this.state.peek().view === null && before.endNs > 0n) this.#measure();
    this.#redraw();
  }

  #follow(): void {
    this.#measure();
    const ends = [...this.#sources.values()].flatMap(({ lastNs }) => lastNs ?? []);
    if (ends.length === 0) return;
    const last = ends.reduce((most, each) => (each > most ? each : most), ends[0]);
    this.change({ view: endingAt(this.view.peek(), last) });
  }

  #redraw(): void {
    this.revision.value = this.revision.peek() + 1;
  }
}
