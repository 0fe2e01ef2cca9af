/**
 * The committers of a process: one for bodies with few series, one for bodies with many. So a sensor does not wait for
 * a thousand series.
 */
import type { AppendBody } from '../../core/rows/place-append.ts';
import { Committer, type AppendResult, type CommitterDeps } from './committer.ts';

/** A body of more series than this is committed beside the others: its commit takes tens of milliseconds. */
export const MANY_SERIES = 500;

export class Committers {
  readonly #few: Committer;
  readonly #many: Committer;

  constructor(deps: CommitterDeps) {
    this.#few = new Committer(deps);
    this.#many = new Committer(deps);
  }

  /** Does what {@link Committer.submit} does. */
  submit(body: AppendBody): Promise<AppendResult[]> {
    return (hasMany(body) ? this.#many : this.#few).submit(body);
  }

  /** How long the transaction of one has been under way, at most. */
  get stuckMs(): number {
    return Math.max(this.#few.stuckMs, this.#many.stuckMs);
  }

  async close(): Promise<void> {
    await Promise.all([this.#few.close(), this.#many.close()]);
  }
}

function hasMany({ items }: AppendBody): boolean {
  return items.length > MANY_SERIES && new Set(items.map(({ seriesId }) => seriesId)).size > MANY_SERIES;
}
