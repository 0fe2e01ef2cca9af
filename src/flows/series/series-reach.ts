/** Which series and projects a principal may see. */
import type { Database } from '../../catalog/database.ts';
import { getSeries, projectIds } from '../../catalog/series/series-store.ts';
import { searchSeries } from '../../catalog/search/search-store.ts';
import { isVarveError, notFound, VarveError } from '../../core/errors.ts';
import { nameKey } from '../../core/same-name.ts';
import type { Series } from '../../core/signal/series.ts';
import type { Expression } from '../../core/tags/tag-expression.ts';
import type { Principal } from '../principal.ts';
import type { SeriesRef } from './series-service.ts';

/** Others do not exist for it. @throws not-found; forbidden for whoever came by a link */
export function visibleSeries(db: Database): (principal: Principal, ref: SeriesRef) => Promise<Series> {
  return async (principal, ref) => {
    const found = await getSeries(db, ref).catch((error: unknown) => {
      if (isVarveError(error) && error.code === 'not-found') return null;
      throw error;
    });
    const series = requireReach(principal, ref, found);
    if (!(await isShown(db, principal, series.id))) throw outOfReach(principal, ref);
    return series;
  };
}

/**
 * Looks at projects alone: a link that shows less was looked at before, by {@link visibleSeries}.
 * @param series as `ref` calls it; null: it is not there. @throws not-found, also where it is out of reach; forbidden for
 * whoever came by a link
 */
export function requireReach<S extends Pick<Series, 'project'>>(
  principal: Principal,
  ref: SeriesRef,
  series: S | null,
): S {
  if (!series || !mayUse(principal, series.project)) throw outOfReach(principal, ref);
  return series;
}

/** True of every series, unless the principal came by a link that shows others. */
async function isShown(db: Database, { share }: Principal, id: string): Promise<boolean> {
  if (!share) return true;
  const { within } = share;
  if (within.kind === 'ids') return within.ids.includes(id);
  const where = bothOf({ kind: 'ids', ids: [id] }, within);
  return (await searchSeries(db, { where, sort: [], limit: 1, after: null }, null)).items.length > 0;
}

/** What a search asks, as far as the principal may see. */
export function withinShare({ share }: Principal, where: Expression | null): Expression | null {
  if (!share) return where;
  return where ? bothOf(share.within, where) : share.within;
}

function bothOf(...of: [Expression, Expression]): Expression {
  return { kind: 'and', of };
}

/** A link shows what it shows: whether there is anything else is not told, and programs take a 404 for a hole. */
export function outOfReach({ share }: Principal, ref: SeriesRef): VarveError {
  const called = 'id' in ref ? ref.id : ref.name;
  if (!share) return notFound('series', called);
  return new VarveError('forbidden', `the link does not show a series ${called}`, { slug: 'not-shared' });
}

/** @throws not-found for a project that does not exist, or is out of reach */
export async function assertProject(db: Database, principal: Principal, project: string): Promise<void> {
  const known = mayUse(principal, project) && (await projectIds(db, [project])).has(nameKey(project));
  if (!known) throw notFound('project', project);
}

export function mayUse(principal: Principal, project: string): boolean {
  if (principal.projects === null) return true;
  const wanted = nameKey(project);
  return principal.projects.names.some((name) => nameKey(name) === wanted);
}
