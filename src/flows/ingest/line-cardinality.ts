/** How many series lines may make: a tag that has another value on every line would fill the catalog. */
import type { Database } from '../../catalog/database.ts';
import { countSeries } from '../../catalog/series/series-store.ts';

export interface CardinalityLog {
  warn(fields: object, message: string): void;
}

/** Series of a project up to which lines make new ones, unless the configuration says otherwise. */
export const MAX_PROJECT_SERIES = 1_000_000;
/** From this part of the limit on there are warnings, of one project not more often than this. */
const WARN_PART = 0.8;
const WARN_EVERY_MS = 60 * 60_000;
/** A count is believed for so long, and for so many times as long as counting took. */
const TRUST_MS = 1_000;
const TRUST_TIMES = 20;

interface ProjectCount {
  readonly count: number;
  /** By lines, since they were counted. Some of them may have been counted as well. */
  made: number;
  readonly untilMs: number;
}

export class LineCardinality {
  readonly #db: Database;
  readonly #log: CardinalityLog;
  readonly #counts = new Map<string, ProjectCount>();
  readonly #warnedMs = new Map<string, number>();
  readonly #series = new Map<string, number>();
  /** Series of a project. */
  readonly most: number;

  constructor(db: Database, most: number, log: CardinalityLog) {
    this.#db = db;
    this.most = most;
    this.#log = log;
  }

  /** How many more series lines may make in a project, of those that are wanted. Nothing is refused for a count that may be too high. */
  async room(projectId: string, wanted: number): Promise<number> {
    const known = this.#counts.get(projectId);
    if (known && performance.now() < known.untilMs) {
      const room = this.most - known.count - known.made;
      if (room >= wanted || known.made === 0) return room;
    }
    const began = performance.now();
    const count = await countSeries(this.#db, projectId, this.most);
    const now = performance.now();
    this.#counts.set(projectId, { count, made: 0, untilMs: now + Math.max(TRUST_MS, (now - began) * TRUST_TIMES) });
    return this.most - count;
  }

  /** By the names of projects in which lines have made series since the start: all series that these have. */
  get series(): ReadonlyMap<string, number> {
    return this.#series;
  }

  /** Lines have made some. */
  made(projectId: string, project: string, count: number): void {
    const counted = this.#counts.get(projectId);
    if (!counted) return;
    counted.made += count;
    const series = counted.count + counted.made;
    this.#series.set(project, series);
    const now = performance.now();
    if (series < this.most * WARN_PART || now - (this.#warnedMs.get(projectId) ?? -Infinity) < WARN_EVERY_MS) return;
    this.#warnedMs.set(projectId, now);
    const message = 'lines will soon make no more series in a project: see VARVE_MAX_PROJECT_SERIES';
    this.#log.warn({ project, series, most: this.most }, message);
  }
}
