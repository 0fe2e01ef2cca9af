/** Searching: from what a principal asks to pages of series, counts, and the keys and values of tags. */
import { listProjects } from '../../catalog/people/access-store.ts';
import type { Database } from '../../catalog/database.ts';
import { inSearchSnapshot, namingFaults } from '../../catalog/search/search-snapshot.ts';
import { hasOnePlan, pageStatement, searchSeries, type ProjectScope } from '../../catalog/search/search-store.ts';
import { countFacets } from '../../catalog/search/tag-facets.ts';
import { describePlan } from '../../catalog/search/explain-search.ts';
import { listDeleted } from '../../catalog/series/trash-store.ts';
import { tagKeys, tagValues, type TagQuestion } from '../../catalog/search/tag-values.ts';
import { nameKey } from '../../core/same-name.ts';
import type { SearchRequest } from '../../core/tags/search-request.ts';
import { searchHints } from '../../core/tags/search-hints.ts';
import type { Principal } from '../principal.ts';
import { withinShare } from './series-reach.ts';
import type { SearchResult, SearchService, TagPage, TagRequest } from './series-service.ts';

/** @param searches where they run, but for those that need no plan of their own: see DatabasePools */
export function searchService(db: Database, searches: Database): SearchService {
  return {
    search: (principal, asked) => {
      const request = { ...asked, where: withinShare(principal, asked.where) };
      const scope = principal.projects?.ids ?? null;
      if (request.facets.length === 0 && !request.explain)
        return namingFaults(() => onlyPage(hasOnePlan(request) ? db : searches, request, scope));
      return inSearchSnapshot(searches, async (trx) => {
        const page = await searchSeries(trx, request, scope);
        const facets = request.facets.length === 0 ? null : await countFacets(trx, request, scope);
        const plan = request.explain
          ? await describePlan(trx, pageStatement(request, scope), scope === null && !principal.share)
          : null;
        return { ...page, facets, explain: plan && { plan, hints: searchHints(request) } };
      });
    },
    tagKeys: (principal, request) =>
      inReach(
        searches,
        principal,
        request,
        ({ key }) => key,
        (question) => inSearchSnapshot(searches, (trx) => tagKeys(trx, question)),
      ),
    tagValues: (principal, key, request) =>
      inReach(
        searches,
        principal,
        request,
        ({ entry }) => entry,
        (question) => inSearchSnapshot(searches, (trx) => tagValues(trx, key, question)),
      ),
    deleted: (principal, { project, limit, after }) =>
      namingFaults(async () => listDeleted(db, { projectIds: await scopeOf(db, principal, project), limit, after })),
  };
}

/** One statement is a snapshot in itself. */
async function onlyPage(db: Database, request: SearchRequest, scope: ProjectScope): Promise<SearchResult> {
  return { ...(await searchSeries(db, request, scope)), facets: null, explain: null };
}

/** A page of one more than was asked for has a next one. */
async function inReach<T>(
  db: Database,
  principal: Principal,
  { project, ...rest }: TagRequest,
  placeOf: (item: T) => string,
  ask: (question: TagQuestion) => Promise<T[]>,
): Promise<TagPage<T>> {
  const found = await ask({ ...rest, scope: await scopeOf(db, principal, project) });
  const items = found.slice(0, rest.limit);
  const last = found.length > rest.limit ? items.at(-1) : undefined;
  return { items, after: last === undefined ? null : placeOf(last) };
}

/** A project that does not exist, or is out of reach, has no tags. */
async function scopeOf(db: Database, principal: Principal, project: string | undefined): Promise<ProjectScope> {
  const ids = principal.projects?.ids ?? null;
  if (project === undefined) return ids;
  return (await listProjects(db, ids)).filter(({ name }) => nameKey(name) === nameKey(project)).map(({ id }) => id);
}
