/**
 * What has been committed, for all who wait for it in this process. One connection listens, and one statement reads what is new, however many wait.
 * Nobody listens while nobody waits.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Listener } from '../../catalog/commit-listener.ts';
import type { Database } from '../../catalog/database.ts';
import { newestCommit, readCommits, type FeedCommit } from '../../catalog/read/commit-reader.ts';
import { messageOf } from '../../core/errors.ts';

export interface NewsDeps {
  readonly db: Database;
  readonly listen: (onNews: () => void) => Listener;
  readonly log: { warn(fields: object, message: string): void };
}

/** While the connection that listens is lost, it is looked so often. */
export const UNHEARD_POLL_MS = 500;
/** And so often while it seems to be there: one that a firewall has dropped says nothing. */
const HEARD_POLL_MS = 10_000;
/** Between two looks, so that a thousand commits a second cost a hundred. */
const LOOK_PAUSE_MS = 10;
/** Listening goes on for so long after the last reader has left. */
const LINGER_MS = 30_000;
/** What one look reads, at most. */
const LOOK_COMMITS = 1_000;
const LOOK_CHANGES = 10_000;
/** Kept for those who have nearly caught up: some five megabytes. */
const KEPT_CHANGES = 20_000;

interface WaitingReader {
  /** Null: whatever it is. */
  readonly seriesId: string | null;
  readonly wake: () => void;
}

export class CommitNews {
  readonly #deps: NewsDeps;
  #readers = 0;
  #listener: Listener | null = null;
  #linger: NodeJS.Timeout | undefined;
  #poll: NodeJS.Timeout | undefined;
  /** The newest commit that has been looked at; null: nobody follows. */
  #newest: bigint | null = null;
  #starting: Promise<void> | null = null;
  /** The last ones, without gaps up to the newest. */
  #kept: FeedCommit[] = [];
  #keptChanges = 0;
  readonly #waiting = new Set<WaitingReader>();
  #looking: Promise<void> | null = null;
  #isTold = false;
  #hasFailed = false;
  #isClosed = false;
  #calls = 0;

  constructor(deps: NewsDeps) {
    this.#deps = deps;
  }

  /** True: whoever follows is to end. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Commits up to this one are readable. */
  get newest(): bigint {
    return this.#newest ?? 0n;
  }

  /** Begins to follow, from the commit that is the newest now. @returns how to leave */
  async join(): Promise<() => void> {
    this.#readers++;
    clearTimeout(this.#linger);
    let isIn = true;
    const leave = (): void => {
      if (!isIn) return;
      isIn = false;
      if (--this.#readers === 0 && !this.#isClosed) this.#linger = setTimeout(() => this.#stop(), LINGER_MS).unref();
    };
    try {
      await (this.#starting ??= this.#start());
    } catch (error) {
      this.#starting = null;
      leave();
      throw error;
    }
    return leave;
  }

  /** Commits after one, if they are still kept here; null: they are to be read. */
  recent(after: bigint): readonly FeedCommit[] | null {
    if (this.#newest === null || after > this.#newest) return null;
    if (after === this.#newest) return [];
    const [first] = this.#kept;
    return first && first.commit <= after + 1n ? this.#kept.slice(Number(after + 1n - first.commit)) : null;
  }

  /** Raised by {@link wakeAll}. */
  get calls(): number {
    return this.#calls;
  }

  /**
   * Waits for a commit after one, of a series or of any; or for so long. Ends at once if the signal has been given, and for {@link wakeAll}.
   * @param calls as they were before it was looked at what they concern
   */
  async wait(after: bigint, seriesId: string | null, calls: number, ms: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#isClosed || this.#calls > calls || ms <= 0 || this.isNews(after, seriesId)) return;
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(waiting);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      const waiting = { seriesId, wake };
      this.#waiting.add(waiting);
      signal.addEventListener('abort', wake, { once: true });
    });
  }

  /** For what concerns all: a token that was revoked, an end. */
  wakeAll(): void {
    this.#calls++;
    for (const { wake } of this.#waiting) wake();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.wakeAll();
    clearTimeout(this.#linger);
    this.#stop();
    await this.#looking;
  }

  /** Whether a commit after one is known that changed a series, or any; also where it is not known any more whether one did. */
  isNews(after: bigint, seriesId: string | null): boolean {
    if (this.newest <= after) return false;
    const commits = seriesId === null ? null : this.recent(after);
    return commits === null || commits.some(({ series }) => series.includes(seriesId!));
  }

  async #start(): Promise<void> {
    this.#listener ??= this.#deps.listen(() => this.#onNews());
    this.#newest = await newestCommit(this.#deps.db);
    this.#schedule();
  }

  #stop(): void {
    if (this.#readers > 0 && !this.#isClosed) return;
    clearTimeout(this.#poll);
    void this.#listener?.close();
    this.#listener = null;
    this.#starting = null;
    this.#newest = null;
    this.#kept = [];
    this.#keptChanges = 0;
  }

  #schedule(): void {
    clearTimeout(this.#poll);
    if (!this.#listener) return;
    const ms = this.#listener.isListening && !this.#hasFailed ? HEARD_POLL_MS : UNHEARD_POLL_MS;
    this.#poll = setTimeout(() => this.#onNews(), ms).unref();
  }

  #onNews(): void {
    this.#isTold = true;
    this.#looking ??= this.#look().finally(() => {
      this.#looking = null;
      this.#schedule();
    });
  }

  /** Until nothing was told meanwhile. */
  async #look(): Promise<void> {
    while (this.#isTold && this.#newest !== null) {
      this.#isTold = false;
      this.#hasFailed = false;
      try {
        const after = this.#newest;
        const page = await readCommits(this.#deps.db, after, LOOK_COMMITS, LOOK_CHANGES);
        if (this.#newest !== after) continue;
        if (!page.isWhole) this.#forget(page.newest);
        else if (page.commits.length > 0) this.#add(page.commits);
        if (this.newest < page.newest) this.#isTold = true;
      } catch (error) {
        this.#hasFailed = true; // so that the next look comes soon
        this.#deps.log.warn({ reason: messageOf(error), fault: 'away' }, 'looking for commits failed');
        return;
      }
      await sleep(LOOK_PAUSE_MS);
    }
  }

  /** The feed has gone on without us, or is another one: whoever follows has to look. */
  #forget(newest: bigint): void {
    this.#newest = newest;
    this.#kept = [];
    this.#keptChanges = 0;
    this.wakeAll();
  }

  #add(commits: readonly FeedCommit[]): void {
    this.#newest = commits.at(-1)!.commit;
    const touched = new Set<string>();
    for (const commit of commits) {
      this.#kept.push(commit);
      this.#keptChanges += commit.series.length;
      for (const id of commit.series) touched.add(id);
    }
    let drop = 0;
    while (this.#keptChanges > KEPT_CHANGES) this.#keptChanges -= this.#kept[drop++].series.length;
    if (drop > 0) this.#kept.splice(0, drop);
    for (const { seriesId, wake } of this.#waiting) if (seriesId === null || touched.has(seriesId)) wake();
  }
}
