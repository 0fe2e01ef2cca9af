/** The feed of changes: pages of it, and what comes next, within the reach of a token. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Database } from '../../catalog/database.ts';
import { listProjects } from '../../catalog/people/access-store.ts';
import { newestCommit, oldestCommit, readCommits, type FeedCommit } from '../../catalog/read/commit-reader.ts';
import { projectIds } from '../../catalog/series/series-store.ts';
import { VarveError } from '../../core/errors.ts';
import { nameKey } from '../../core/same-name.ts';
import type { Principal } from '../principal.ts';
import { assertProject } from '../series/series-reach.ts';
import type { CommitNews } from './commit-news.ts';
import { reasonToEnd, isAway } from './live-error.ts';
import type { LivePlaces } from './live-places.ts';
import type {
  ChangeEvent,
  ChangesPage,
  ChangesPageRequest,
  ChangesRequest,
  ToldChange,
  ToldCommit,
} from './live-service.ts';

export interface FollowDeps {
  readonly db: Database;
  readonly news: CommitNews;
  readonly places: LivePlaces;
}

/** A stream says at least so often that it is there. */
export const HEARTBEAT_MS = 10_000;
/** Before what was away is asked again. */
export const AWAY_PAUSE_MS = 1_000;
/** Commits that one statement reads. */
const MOST_COMMITS = 1_000;
/** Changes of one page, which one commit alone may pass. */
const PAGE_CHANGES = 10_000;
/** Commits that one page looks at, if most are out of reach. */
const MOST_SCANNED = 20_000;

/** @throws gone `changes-gone`; not-found */
export async function changesPage(deps: FollowDeps, request: ChangesPageRequest): Promise<ChangesPage> {
  const { limit, waitMs, signal } = request;
  const giveBack = waitMs > 0 ? deps.places.take() : () => {};
  const leave = waitMs > 0 ? await joinNews(deps, giveBack) : () => {};
  try {
    let { calls } = deps.news;
    const feed = new Feed(deps, request, await request.principal());
    let after = request.after ?? (await newestCommit(deps.db));
    const told: ToldCommit[] = [];
    const until = performance.now() + waitMs;
    for (let changes = 0, scanned = 0, isHeard = false; ; isHeard = true) {
      // What was acknowledged before the page was asked for may not have been heard of.
      const commits = await feed.next(after, isHeard);
      for (const commit of commits) {
        const own = await feed.tell(commit);
        if (own) {
          if (told.length === limit || (changes > 0 && changes + own.changes.length > PAGE_CHANGES)) {
            return { commits: told, after, hasMore: true };
          }
          told.push(own);
          changes += own.changes.length;
        }
        after = commit.commit;
      }
      scanned += commits.length;
      if (scanned >= MOST_SCANNED) return { commits: told, after, hasMore: true };
      if (commits.length > 0) continue;
      const left = until - performance.now();
      if (told.length > 0 || left <= 0 || signal.aborted || deps.news.isClosed) {
        return { commits: told, after, hasMore: false };
      }
      await deps.news.wait(after, null, calls, left, signal);
      calls = deps.news.calls;
      feed.principal = await request.principal();
      scanned = 0;
    }
  } finally {
    leave();
    giveBack();
  }
}

/** Every commit in reach, from one on, for as long as somebody reads. */
export async function* followChanges(deps: FollowDeps, request: ChangesRequest): AsyncGenerator<ChangeEvent> {
  const { signal } = request;
  const giveBack = deps.places.take();
  const leave = await joinNews(deps, giveBack);
  try {
    const feed = new Feed(deps, request, await request.principal());
    let after = request.after ?? (await newestCommit(deps.db));
    let commits = await feed.next(after);
    let saidMs = performance.now();
    yield { kind: 'heartbeat', after };
    while (!signal.aborted) {
      if (deps.news.isClosed) {
        yield { kind: 'end', reason: 'stopping', detail: 'the service is stopping' };
        return;
      }
      const { calls } = deps.news;
      try {
        feed.principal = await request.principal();
        commits = await feed.next(after);
      } catch (error) {
        const end = reasonToEnd(error);
        if (end) {
          yield { kind: 'end', ...end };
          return;
        }
        if (!isAway(error)) throw error;
        await sleep(AWAY_PAUSE_MS);
        commits = [];
      }
      for (const commit of commits) {
        const own = await feed.tell(commit);
        after = commit.commit;
        if (!own) continue;
        yield { kind: 'commit', commit: own };
        saidMs = performance.now();
        if (signal.aborted) return;
      }
      const left = saidMs + HEARTBEAT_MS - performance.now();
      if (left <= 0) {
        yield { kind: 'heartbeat', after };
        saidMs = performance.now();
      } else if (commits.length === 0) await deps.news.wait(after, null, calls, left, signal);
    }
  } finally {
    leave();
    giveBack();
  }
}

/** @returns how to leave. @throws what keeps out; the place is given back then */
export async function joinNews({ news }: Pick<FollowDeps, 'news'>, giveBack: () => void): Promise<() => void> {
  try {
    return await news.join();
  } catch (error) {
    giveBack();
    throw error;
  }
}

class Feed {
  readonly #deps: FollowDeps;
  readonly #request: Pick<ChangesRequest, 'project' | 'field'>;
  readonly #names = new Map<string, string>();
  principal: Principal;
  #onlyId: string | null = null;

  constructor(deps: FollowDeps, request: Pick<ChangesRequest, 'project' | 'field'>, principal: Principal) {
    this.#deps = deps;
    this.#request = request;
    this.principal = principal;
  }

  /** @param isHeard what news has is enough. @throws gone `changes-gone` */
  async next(after: bigint, isHeard = true): Promise<readonly FeedCommit[]> {
    const { db, news } = this.#deps;
    const { project, field } = this.#request;
    if (project !== null && this.#onlyId === null) {
      await assertProject(db, this.principal, project);
      this.#onlyId = (await projectIds(db, [project])).get(nameKey(project)) ?? null;
    }
    const recent = isHeard ? news.recent(after) : null;
    if (recent) return recent;
    const { commits, newest, isWhole } = await readCommits(db, after, MOST_COMMITS, PAGE_CHANGES);
    if (isWhole) return commits;
    throw await forgotten(db, field, after, newest);
  }

  /** What is in reach of a commit; null: nothing is. */
  async tell({
    commit,
    at,
    series,
    projectIds: projects,
    kinds,
    firstRows,
    rows,
  }: FeedCommit): Promise<ToldCommit | null> {
    const reach = this.principal.projects?.ids ?? null;
    const isOwn = (id: string): boolean =>
      (reach === null || reach.includes(id)) && (this.#onlyId === null || id === this.#onlyId);
    const own = projects.flatMap((id, i) => (isOwn(id) ? [i] : []));
    if (own.length === 0) return null;
    await this.#learn(own.map((i) => projects[i]));
    const changes = own.map((i): ToldChange => {
      const [firstRow, count] = [firstRows[i], rows[i]];
      return {
        seriesId: series[i],
        project: this.#names.get(projects[i]) ?? projects[i],
        kind: kinds[i],
        firstRow: firstRow === null ? null : Number(firstRow),
        rows: count === null ? null : Number(count),
      };
    });
    return { commit, at, changes };
  }

  /** Projects have one name for ever. */
  async #learn(ids: readonly string[]): Promise<void> {
    const unknown = [...new Set(ids)].filter((id) => !this.#names.has(id));
    if (unknown.length === 0) return;
    for (const { id, name } of await listProjects(this.#deps.db, unknown)) this.#names.set(id, name);
  }
}

async function forgotten(db: Database, field: string, after: bigint, newest: bigint): Promise<VarveError> {
  const oldest = await oldestCommit(db);
  const reason =
    after > newest
      ? `the newest commit is ${newest}: the store is another one, or as it was before`
      : `not all commits after ${after} are kept; the oldest is ${oldest ?? 'none'}`;
  const remedy = `read anew what you follow, and go on with after=${newest}`;
  return new VarveError('gone', `${field}: ${reason}. Ask without it, or ${remedy}`, {
    slug: 'changes-gone',
    errors: [{ field, message: `${reason}; ${remedy}` }],
  });
}
