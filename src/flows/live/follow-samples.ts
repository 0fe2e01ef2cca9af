/** Rows of a series as they become readable, for as long as somebody reads. Nothing waits here for a slow reader: what it has not been told yet is read when it comes back. */
import { setTimeout as sleep } from 'node:timers/promises';
import { latestBefore, readArrivals } from '../../catalog/read/arrived-chunks.ts';
import { readSegments } from '../../catalog/appends/edit-store.ts';
import { changesOfSeries, newestCommit, type SeriesChange } from '../../catalog/read/commit-reader.ts';
import { readSampleSnapshot, type SampleSnapshot } from '../../catalog/read/sample-snapshot.ts';
import { sessionOf } from '../../catalog/session.ts';
import { chooseChannels } from '../../core/signal/choose-channels.ts';
import { invalidField, isVarveError, VarveError } from '../../core/errors.ts';
import { erasuresOf } from '../../core/rows/erasure.ts';
import {
  formatPosition,
  isExactly,
  later,
  parsePosition,
  placeWithin,
  type LivePosition,
} from '../../core/rows/live-position.ts';
import { partOfSegment, timeOfRow } from '../../core/signal/segment.ts';
import type { Series } from '../../core/signal/series.ts';
import { INT64_MAX, INT64_MIN } from '../../core/time.ts';
import { planSamples, type ReadPlan } from '../read/plan-samples.ts';
import type { SampleSelection } from '../read/read-service.ts';
import { onceMore, type ReadDeps } from '../read/read-samples.ts';
import { requireReach } from '../series/series-reach.ts';
import type { Principal } from '../principal.ts';
import { AWAY_PAUSE_MS, HEARTBEAT_MS, joinNews, type FollowDeps } from './follow-changes.ts';
import { reasonToEnd, isAway } from './live-error.ts';
import { rowEvents, type RowEvent, type RowsToTell } from './row-events.ts';
import type { LiveEvent, LiveRequest } from './live-service.ts';

export type LiveReadDeps = FollowDeps & Pick<ReadDeps, 'root' | 'codec' | 'files'>;

/** Values of one event: as many as are printed on the main thread. */
const MOST_VALUES = 8_192;
/** Commits between where a reader begins and now in which it is looked for changes of its series. */
const MOST_LOOKED_BACK = 200_000n;

/** @throws before the first event what {@link LiveService.followSamples} says */
export async function* followSamples(deps: LiveReadDeps, request: LiveRequest): AsyncGenerator<LiveEvent> {
  const { signal } = request;
  const giveBack = deps.places.take();
  const leave = await joinNews(deps, giveBack);
  try {
    const reader = await SeriesReader.begin(deps, request);
    yield reader.start();
    let saidMs = performance.now();
    for (let [seen, isNews] = [0n, true]; !signal.aborted;) {
      if (deps.news.isClosed) {
        yield { kind: 'end', reason: 'stopping', detail: 'the service is stopping', position: reader.position };
        return;
      }
      const { calls } = deps.news;
      try {
        const principal = await request.principal();
        if (isNews) {
          // What is looked at now has all of this.
          seen = deps.news.newest;
          for await (const event of reader.catchUp(principal)) {
            yield event;
            saidMs = performance.now();
            if (signal.aborted) return;
          }
          isNews = false;
        }
        reader.passOver(seen);
      } catch (error) {
        const end = reasonToEnd(error);
        if (end) {
          yield { kind: 'end', ...end, position: null };
          return;
        }
        if (!isAway(error)) throw error;
        await sleep(AWAY_PAUSE_MS);
      }
      const left = saidMs + HEARTBEAT_MS - performance.now();
      if (left <= 0) {
        yield { kind: 'heartbeat', position: reader.position };
        saidMs = performance.now();
      } else if (!isNews) {
        await deps.news.wait(seen, reader.seriesId, calls, left, signal);
        isNews = deps.news.isNews(seen, reader.seriesId);
        // Nobody asks the catalog because time has passed.
        if (!isNews) seen = deps.news.newest;
      }
    }
  } finally {
    leave();
    giveBack();
  }
}

class SeriesReader {
  readonly #deps: LiveReadDeps;
  readonly #request: LiveRequest;
  readonly #first: Series;
  #at: LivePosition;

  private constructor(deps: LiveReadDeps, request: LiveRequest, series: Series, at: LivePosition) {
    this.#deps = deps;
    this.#request = request;
    this.#first = series;
    this.#at = at;
  }

  /** @throws not-found; invalid-input; gone `position-gone` */
  static async begin(deps: LiveReadDeps, request: LiveRequest): Promise<SeriesReader> {
    const { ref, after, field } = request;
    const principal = await request.principal();
    const newest = await newestCommit(deps.db);
    const snapshot = await readSampleSnapshot(deps.db, ref, { by: 'rows', from: 0, to: 0 });
    const series = requireReach(principal, ref, snapshot.series);
    chooseChannels(series.channels, request.channels);
    return new SeriesReader(deps, request, series, await beginAt(deps, snapshot, newest, after, field));
  }

  get seriesId(): string {
    return this.#first.id;
  }

  get position(): string {
    return formatPosition(this.seriesId, this.#at);
  }

  start(): LiveEvent {
    const { id, dtype, channels, sampling } = this.#first;
    const selected = chooseChannels(channels, this.#request.channels);
    return {
      kind: 'start',
      seriesId: id,
      dtype: this.#request.physical ? 'float64' : dtype,
      channelLabels: (selected ? selected.map((at) => channels[at]) : channels).map(({ label }) => label),
      sampling: sampling.kind,
      commit: this.#at.commit,
      position: this.position,
    };
  }

  /** All that is there and has not been told. */
  async *catchUp(principal: Principal): AsyncGenerator<LiveEvent> {
    const isRegular = this.#first.sampling.kind === 'regular';
    for (let isMore = true; isMore;) {
      const { rows, within: place } = this.#at;
      isMore = yield* isRegular ? this.#tellNumbered(principal) : this.#tellArrived(principal);
      const isStill = this.#at.rows === rows && this.#at.within === place;
      if (isMore && isStill) throw new Error(`live reading of series ${this.seriesId} stands still at row ${rows}`);
    }
  }

  /** All of the commits up to one is told: those that followed the last one did not change the series. */
  passOver(commit: bigint): void {
    if (commit > this.#at.commit) this.#at = { ...this.#at, commit };
  }

  get #mostRows(): number {
    return Math.max(1, Math.floor(MOST_VALUES / this.#first.channels.length));
  }

  /** Regular series: rows are told by their numbers. @returns whether there are more */
  async *#tellNumbered(principal: Principal): AsyncGenerator<LiveEvent, boolean> {
    const from = this.#at.rows;
    const to = from + this.#mostRows;
    const { snapshot, events } = await this.#readNumbered(principal, from, to);
    const { rows, commit } = snapshot.series;
    const end = Math.min(rows, to);
    yield* this.#tellEdits(principal, snapshot);
    if (events === 'damaged') {
      const gap = { firstRow: from, rows: end - from, startNs: null, endNs: null };
      this.#at = { ...this.#at, rows: end };
      yield { kind: 'gap', reason: 'damaged', commit, ...gap, position: this.position };
    } else {
      yield* this.#tellRows(events, commit, { rows: end, within: null });
    }
    return end < rows;
  }

  /** @param to may lie beyond the end */
  async #readNumbered(principal: Principal, from: number, to: number): Promise<Read<SampleSnapshot>> {
    return this.#readOrDamaged(
      () => readSampleSnapshot(this.#deps.db, { id: this.seriesId }, { by: 'rows', from, to }),
      async (snapshot) => {
        this.#check(principal, snapshot);
        const end = Math.min(snapshot.series.rows, to);
        if (end <= from) return [];
        const plan = await planSamples(this.#deps, snapshot, { by: 'rows', from, to: end }, Infinity);
        return this.#print(snapshot, plan);
      },
    );
  }

  /** Irregular series: rows are told by the chunks in which they came. @returns whether there are more */
  async *#tellArrived(principal: Principal): AsyncGenerator<LiveEvent, boolean> {
    let told: ToldChunks | 'merged' = 'merged';
    const { snapshot: arrivals, events } = await this.#readOrDamaged(
      () => readArrivals(this.#deps.db, this.seriesId, this.#at.rows, this.#mostRows),
      async ({ snapshot, endRow }) => {
        this.#check(principal, snapshot);
        told = await this.#planArrived(snapshot, endRow);
        return told === 'merged' ? [] : this.#print(snapshot, told.plan);
      },
    );
    const { snapshot, endRow } = arrivals;
    const { commit, rows } = snapshot.series;
    yield* this.#tellEdits(principal, snapshot);
    if (events === 'damaged' || told === 'merged') {
      const { chunks } = snapshot;
      const startNs = chunks.reduce((least, { firstNs }) => (firstNs! < least ? firstNs! : least), INT64_MAX);
      const lastNs = chunks.reduce((latest, each) => later(latest, each.lastNs)!, INT64_MIN);
      this.#at = { ...this.#at, rows: endRow, latestNs: later(this.#at.latestNs, lastNs), within: null };
      const endNs = lastNs < INT64_MAX ? lastNs + 1n : null;
      const reason = events === 'damaged' ? 'damaged' : 'merged';
      yield { kind: 'gap', reason, commit, firstRow: null, rows: null, startNs, endNs, position: this.position };
    } else {
      yield* this.#tellRows(events, commit, (told as ToldChunks).next);
    }
    return this.#at.rows < rows || this.#at.within !== null;
  }

  /** Which rows of what has come are told next; `merged`: a rewriting has put them together with rows that have been told. */
  async #planArrived(snapshot: SampleSnapshot, endRow: number): Promise<ToldChunks | 'merged'> {
    const at = this.#at;
    const [first] = snapshot.chunks;
    const all = { by: 'time', startNs: INT64_MIN, endNs: undefined } as const;
    if (!first) return { plan: NOTHING, next: { rows: Math.max(endRow, at.rows), within: null } };
    const isBegun = first.firstRow < at.rows;
    let selection: Extract<SampleSelection, { by: 'time' }> = all;
    if (isBegun) {
      const place = placeWithin(at);
      const { startNs, skip } = place;
      selection = { by: 'time', startNs, ...(skip > 0 && { skip }) };
      const count = async (of: SampleSelection): Promise<number> =>
        (await planSamples(this.#deps, snapshot, of, Infinity)).rows;
      const seen = await count(all);
      const chunk = { firstRow: first.firstRow, rows: first.rows, endRow, before: seen - (await count(selection)) };
      const isEdited = snapshot.edits !== at.edits || erasuresOf(first, snapshot.erasures).length > 0;
      if (isEdited || !isExactly(at, place, chunk)) return 'merged';
    }
    const plan = await planSamples(this.#deps, snapshot, selection, this.#mostRows);
    const { rest } = plan;
    if (rest?.by === 'time') {
      const rows = (isBegun ? at.rows : first.firstRow) + plan.rows;
      return {
        plan,
        next: { rows, within: { fromRow: first.firstRow, startNs: rest.startNs!, skip: rest.skip ?? 0 } },
      };
    }
    return { plan, next: { rows: endRow, within: null } };
  }

  /** Gives the last one the position behind them all. */
  *#tellRows(
    events: readonly RowEvent[],
    commit: bigint,
    next: Pick<LivePosition, 'rows' | 'within'>,
  ): Generator<LiveEvent> {
    // What is late in a part of a chunk is measured by what was told before the chunk; its last part has its latest time.
    const isPart = next.within !== null;
    const latestNs = isPart ? null : events.reduce<bigint | null>((latest, each) => later(latest, each.latestNs), null);
    this.#at = { ...this.#at, ...next, latestNs: later(this.#at.latestNs, latestNs) };
    for (const [i, { rows, late, json }] of events.entries()) {
      const isLast = i === events.length - 1;
      yield { kind: 'rows', rows, late, commit, json, position: isLast ? this.position : null };
    }
  }

  /** Edits come before rows: what they have taken away is told no more. */
  async *#tellEdits(principal: Principal, snapshot: SampleSnapshot): AsyncGenerator<LiveEvent> {
    const count = snapshot.edits - this.#at.edits;
    if (count <= 0) return;
    const { db } = this.#deps;
    const { commit } = snapshot.series;
    const isNear = commit - this.#at.commit <= MOST_LOOKED_BACK;
    const found =
      isNear && commit > this.#at.commit ? await changesOfSeries(db, this.seriesId, this.#at.commit, commit) : null;
    const edits = (found ?? []).filter(({ kind }) => kind !== 'append').slice(-count);
    const isKnown = edits.length === count;
    const events: LiveEvent[] = [];
    for (let i = isKnown ? 0 : count - 1; i < count; i++) {
      const change = isKnown ? edits[i] : null;
      const event = this.#editEvent(snapshot, this.#at.edits + i + 1, change, commit);
      if (event.kind === 'edit' && event.edit === 'replace' && event.firstRow !== null) {
        yield event;
        yield* this.#tellReplaced(principal, event.firstRow, event.rows ?? 0);
      } else events.push(event);
    }
    yield* events;
    this.#at = { ...this.#at, edits: snapshot.edits };
    // With the position: an edit that was cut off in the middle is told again.
    yield { kind: 'heartbeat', position: this.position };
  }

  #editEvent(snapshot: SampleSnapshot, number: number, change: SeriesChange | null, commit: bigint): LiveEvent {
    const { sampling } = snapshot.series;
    const nothing = { firstRow: null, rows: null, startNs: null, endNs: null, position: null };
    if (!change) return { kind: 'edit', edit: null, commit, ...nothing };
    const edit = change.kind === 'replace' ? 'replace' : 'remove';
    const told = { kind: 'edit', edit, commit: change.commit, ...nothing, rows: change.rows } as const;
    if (sampling.kind === 'regular') return { ...told, firstRow: change.firstRow };
    const erasure = snapshot.erasures.find(({ generation }) => generation === number);
    if (!erasure) return told;
    const bound = (ns: bigint): bigint | null => (ns === INT64_MIN || ns === INT64_MAX ? null : ns);
    return { ...told, startNs: bound(erasure.startNs), endNs: bound(erasure.endNs) };
  }

  /** Regular series: rows keep their numbers, and are told once more. */
  async *#tellReplaced(principal: Principal, firstRow: number, rows: number): AsyncGenerator<LiveEvent> {
    // What comes after the position is told as new.
    const end = Math.min(firstRow + rows, this.#at.rows);
    for (let from = firstRow; from < end; from += this.#mostRows) {
      const { snapshot, events } = await this.#readNumbered(principal, from, Math.min(end, from + this.#mostRows));
      if (events === 'damaged') continue;
      for (const { rows: count, json } of events) {
        yield { kind: 'rows', rows: count, late: count, commit: snapshot.series.commit, json, position: null };
      }
    }
  }

  /** @throws not-found; gone `position-gone` if the series is not the one that was read */
  #check(principal: Principal, { series, edits }: SampleSnapshot): void {
    requireReach(principal, { id: this.seriesId }, series);
    if (series.rows < this.#at.rows || edits < this.#at.edits)
      throw positionGone(this.#request.field, 'the series has fewer rows');
  }

  #print(snapshot: SampleSnapshot, plan: ReadPlan): Promise<RowEvent[]> {
    const { channels, physical, unit, signal } = this.#request;
    const selected = chooseChannels(snapshot.series.channels, channels);
    const wanted: RowsToTell = { snapshot, plan, selected, physical, unit, latestNs: this.#at.latestNs, signal };
    return rowEvents(this.#deps, wanted);
  }

  /** Once more with other places, for a shard may have been replaced meanwhile. */
  async #readOrDamaged<S>(
    look: () => Promise<S>,
    read: (snapshot: S) => Promise<readonly RowEvent[]>,
  ): Promise<Read<S>> {
    const seen: S[] = [];
    const attempt = async (): Promise<Read<S>> => {
      const snapshot = await look();
      seen.push(snapshot);
      return { snapshot, events: await read(snapshot) };
    };
    try {
      return await onceMore(attempt);
    } catch (error) {
      const snapshot = seen.at(-1);
      if (snapshot && isVarveError(error) && error.code === 'corrupt') return { snapshot, events: 'damaged' };
      throw error;
    }
  }
}

/** What was read, as of one instant. */
interface Read<S> {
  readonly snapshot: S;
  readonly events: readonly RowEvent[] | 'damaged';
}

interface ToldChunks {
  readonly plan: ReadPlan;
  readonly next: Pick<LivePosition, 'rows' | 'within'>;
}

const NOTHING: ReadPlan = { sections: [], rows: 0, firstRow: null, rest: null, later: [], isCut: false };

/** @throws invalid-input naming the field; gone `position-gone` */
async function beginAt(
  deps: LiveReadDeps,
  snapshot: SampleSnapshot,
  newest: bigint,
  text: string | null,
  field: string,
): Promise<LivePosition> {
  const { series, edits } = snapshot;
  const now = { commit: newest, edits, rows: series.rows, latestNs: series.lastNs, within: null };
  if (text === null) return now;
  const given = parsePosition(series.id, text);
  if (given === undefined) throw invalidField(field, 'must be a position that was told, or the number of a commit');
  if (given === 'other') throw invalidField(field, 'is a position of another series');
  if (!('after' in given)) {
    if (given.rows > series.rows || given.edits > edits || given.commit > newest) {
      throw positionGone(field, 'is ahead of the series: the store is another one, or as it was before');
    }
    return given;
  }
  const { after } = given;
  if (after > newest) throw positionGone(field, `the newest commit is ${newest}`);
  if (after >= series.commit) return { ...now, commit: after };
  const isNear = series.commit - after <= MOST_LOOKED_BACK;
  const changes = isNear ? await changesOfSeries(deps.db, series.id, after, series.commit) : null;
  if (!changes) throw positionGone(field, `what came after commit ${after} is not known any more`);
  const isRegular = series.sampling.kind === 'regular';
  const came = changes.filter(({ kind }) => kind === 'append' || (kind === 'replace' && !isRegular));
  const rows = series.rows - came.reduce((sum, each) => sum + each.rows, 0);
  const edited = changes.filter(({ kind }) => kind !== 'append').length;
  if (rows < 0 || edited > edits) throw positionGone(field, `what came after commit ${after} is not known any more`);
  const latestNs = isRegular ? await latestNumbered(deps, series, rows) : await latestBefore(deps.db, series.id, rows);
  return { commit: after, edits: edits - edited, rows, latestNs, within: null };
}

/** The latest time of the rows of a regular series before one. */
async function latestNumbered(
  { db }: Pick<LiveReadDeps, 'db'>,
  { id, sampling }: Series,
  row: number,
): Promise<bigint | null> {
  if (sampling.kind !== 'regular') return null;
  let latest: bigint | null = null;
  for (const segment of await readSegments(sessionOf(db), id)) {
    if (segment.firstRow >= row) break;
    const part = partOfSegment(segment, sampling.rate, {
      from: segment.firstRow,
      to: Math.min(row, segment.firstRow + segment.rows),
    });
    latest = later(latest, timeOfRow([part], sampling.rate, part.firstRow + part.rows - 1));
  }
  return latest;
}

function positionGone(field: string, reason: string): VarveError {
  const remedy = 'read the series, and go on with after=<X-Varve-Commit of that answer>';
  return new VarveError('gone', `${field}: ${reason}. What to do: ${remedy}`, {
    slug: 'position-gone',
    errors: [{ field, message: `${reason}; ${remedy}` }],
  });
}
