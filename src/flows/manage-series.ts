/** Series and their annotations, as a principal may see and change them. */
import { v7 as uuidv7 } from 'uuid';
import { insertAnnotations, listAnnotations } from '../catalog/annotation-store.ts';
import type { Database } from '../catalog/database.ts';
import {
  createSeries,
  deleteSeries,
  getSeries,
  restoreSeries,
  seriesProject,
  updateSeries,
} from '../catalog/series-store.ts';
import { VarveError, notFound, unprocessableField } from '../core/errors.ts';
import type { Series, SeriesPatch } from '../core/series.ts';
import { unitCodesOf, type TagUnit } from '../core/tag-value.ts';
import { searchService } from './search-series.ts';
import type { Principal, SeriesRef, SeriesService } from './service.ts';
import { readUnit } from './tag-units.ts';

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
      return createSeries(db, uuidv7(), uuidv7(), input, unitsOf(input.tags));
    },
    get: visible,
    async update(principal, id, patch, ifVersion) {
      await visible(principal, { id });
      return updateSeries(db, id, patch, unitsOf(patch.tags ?? {}), ifVersion);
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
    ...searchService(db),
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

/** What the units of quantities mean. @throws unprocessable naming the tag for what is no unit */
function unitsOf(tags: NonNullable<SeriesPatch['tags']>): TagUnit[] {
  return Object.entries(tags).flatMap(([key, value]) =>
    unitCodesOf({ [key]: value }).map((code) => {
      const unit = readUnit(code);
      if (!unit) throw unprocessableField(`tags.${key}`, `${JSON.stringify(code)} is no UCUM unit`, 'unknown-unit');
      return unit;
    }),
  );
}

export function mayUse(principal: Principal, project: string): boolean {
  return principal.projects === null || principal.projects.names.includes(project);
}
