/** Which series and projects a principal may see. */
import type { Database } from '../../catalog/database.ts';
import { getSeries, projectIds } from '../../catalog/series/series-store.ts';
import { notFound } from '../../core/errors.ts';
import { nameKey } from '../../core/same-name.ts';
import type { Series } from '../../core/signal/series.ts';
import type { Principal } from '../principal.ts';
import type { SeriesRef } from './series-service.ts';

/** Others do not exist for it. @throws not-found */
export function visibleSeries(db: Database): (principal: Principal, ref: SeriesRef) => Promise<Series> {
  return async (principal, ref) => {
    return requireReach(principal, ref, await getSeries(db, ref));
  };
}

/** @param series as `ref` calls it; null: it is not there. @throws not-found, also where it is out of reach */
export function requireReach<S extends Pick<Series, 'project'>>(
  principal: Principal,
  ref: SeriesRef,
  series: S | null,
): S {
  if (!series || !mayUse(principal, series.project)) throw notFound('series', 'id' in ref ? ref.id : ref.name);
  return series;
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
