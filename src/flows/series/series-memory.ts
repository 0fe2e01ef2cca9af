/** Series that appends went to lately, remembered so that a small append costs no query beside its batch's. */
import type { Database } from '../../catalog/database.ts';
import { findSeries, type SeriesRef } from '../../catalog/series/series-store.ts';
import { nameKey } from '../../core/same-name.ts';
import type { Series } from '../../core/signal/series.ts';
import { requireReach } from './series-reach.ts';
import type { Principal } from '../principal.ts';

/** Most channels of remembered series. A series takes some 10 kB at most; a wide one counts once for each channel. */
const MAX_CHANNELS = 50_000;

/**
 * Series as they were last seen. What is remembered may be out of date, and nobody tells. So whoever relies on it has
 * the commit check it under the lock of the head (see `AppendItem.knownVersion`). If it was out of date, the series is
 * asked for anew. Nothing may be taken from here but what appends need: not a series' rows, nor its tags.
 */
export class SeriesMemory {
  readonly #db: Database;
  /** The one used last comes last. */
  readonly #series = new Map<string, Series>();
  readonly #names = new Map<string, string>();
  #channels = 0;

  constructor(db: Database) {
    this.#db = db;
  }

  /** @returns undefined where it is not remembered. @throws not-found if it is, and out of reach */
  remembered(principal: Principal, ref: SeriesRef): Series | undefined {
    const id = 'id' in ref ? ref.id : this.#names.get(keyOfName(ref));
    const series = id === undefined ? undefined : this.#series.get(id);
    if (!series) return undefined;
    this.#series.delete(series.id);
    this.#series.set(series.id, series);
    return requireReach(principal, ref, series);
  }

  /**
   * Asks for series as they are now. @returns in the order given; a not-found error in the place of a series that does
   * not exist, or is out of reach
   */
  async ask(principal: Principal, refs: readonly SeriesRef[]): Promise<(Series | Error)[]> {
    const found = await findSeries(this.#db, refs);
    return refs.map((ref, at) => {
      const series = found[at];
      if (!series) this.#forget(ref);
      else this.#remember(ref, series);
      try {
        return requireReach(principal, ref, series);
      } catch (error) {
        return error as Error;
      }
    });
  }

  /** @throws not-found */
  async askOne(principal: Principal, ref: SeriesRef): Promise<Series> {
    const [series] = await this.ask(principal, [ref]);
    if (series instanceof Error) throw series;
    return series;
  }

  #remember(ref: SeriesRef, series: Series): void {
    this.#drop(series.id);
    this.#series.set(series.id, series);
    this.#channels += series.channels.length;
    if ('name' in ref) this.#names.set(keyOfName(ref), series.id);
    for (const [id] of this.#series) {
      if (this.#channels <= MAX_CHANNELS) break;
      this.#drop(id);
    }
    if (this.#names.size > MAX_CHANNELS) this.#names.clear();
  }

  #forget(ref: SeriesRef): void {
    if ('id' in ref) this.#drop(ref.id);
    else this.#names.delete(keyOfName(ref));
  }

  #drop(id: string): void {
    const series = this.#series.get(id);
    if (!series) return;
    this.#series.delete(id);
    this.#channels -= series.channels.length;
  }
}

function keyOfName({ project, name }: { project: string; name: string }): string {
  return JSON.stringify([nameKey(project), nameKey(name)]);
}
