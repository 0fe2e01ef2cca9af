/** Series and their annotations, as a principal may see and change them. */
import { v7 as uuidv7 } from 'uuid';
import { insertAnnotations, listAnnotations } from '../catalog/annotation-store.ts';
import type { Database } from '../catalog/database.ts';
import { searchSeries } from '../catalog/series-search.ts';
import {
  createSeries,
  deleteSeries,
  getSeries,
  restoreSeries,
  seriesProject,
  updateSeries,
} from '../catalog/series-store.ts';
import { VarveError, notFound } from '../core/errors.ts';
import type { Series } from '../core/series.ts';
import type { Principal, SeriesRef, SeriesService } from './service.ts';

export function seriesService(db: Database): SeriesService {
  const visible = async (principal: Principal, ref: SeriesRef): Promise<Series> => {
    const series = await getSeries(db, ref);
    if (!mayUse(principal, series.project)) throw notFound('series', 'id' in ref ? ref.id : ref.name);
    return series;
  };
  return {
    async create(principal, input) {
      if (!mayUse(principal, input.project)) {
        throw new VarveError('forbidden', `project: the token does not reach ${JSON.stringify(input.project)}`, {
          errors: [{ field: 'project', message: 'is out of reach for this token' }],
        });
      }
      return createSeries(db, uuidv7(), uuidv7(), input);
    },
    get: visible,
    async update(principal, id, patch, ifVersion) {
      await visible(principal, { id });
      return updateSeries(db, id, patch, ifVersion);
    },
    async delete(principal, id) {
      await visible(principal, { id });
      await deleteSeries(db, id);
    },
    async restore(principal, id) {
      const project = await seriesProject(db, id);
      if (project === null || !mayUse(principal, project)) throw notFound('series', id);
      return restoreSeries(db, id);
    },
    search: (principal, filter, page) =>
      searchSeries(db, { ...filter, projectIds: principal.projects?.ids ?? null }, page),
    async annotate(principal, seriesId, annotations) {
      await visible(principal, { id: seriesId });
      const rows = annotations.map((annotation) => ({ ...annotation, id: uuidv7() }));
      await insertAnnotations(db, seriesId, principal.tokenId, rows);
      return rows.map((row) => row.id);
    },
    async annotations(principal, seriesId, filter, page) {
      await visible(principal, { id: seriesId });
      return listAnnotations(db, seriesId, filter, page);
    },
  };
}

export function mayUse(principal: Principal, project: string): boolean {
  return principal.projects === null || principal.projects.names.includes(project);
}
