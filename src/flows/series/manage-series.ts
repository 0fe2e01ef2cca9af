/** Series and their annotations, as a principal may see and change them. */
import { v7 as uuidv7 } from 'uuid';
import { deleteAnnotation, insertAnnotations, listAnnotations } from '../../catalog/series/annotation-store.ts';
import { answerOnce } from '../../catalog/answer-once.ts';
import { commitChanges, type Change } from '../../catalog/commit-feed.ts';
import type { DatabasePools } from '../../catalog/database.ts';
import {
  createSeries,
  createSeriesWithin,
  deletedSeriesId,
  deleteSeries,
  getSeries,
  restoreSeries,
  seriesProject,
  updateSeries,
} from '../../catalog/series/series-store.ts';
import { readVocabulary } from '../../catalog/tags/vocabulary-store.ts';
import { notFound, unprocessableField } from '../../core/errors.ts';
import { nameKey } from '../../core/same-name.ts';
import type { Channel, NewAnnotation, SeriesPatch } from '../../core/signal/series.ts';
import { editTags, type TagEdit } from '../../core/tags/tag-edit.ts';
import type { TagValue } from '../../core/signal/tag-value.ts';
import { assertInVocabulary } from '../../core/tags/vocabulary.ts';
import { checkNew, createMany } from './create-many.ts';
import { searchService } from './search-series.ts';
import type { SeriesService } from './series-service.ts';
import { mayUse, visibleSeries } from './series-reach.ts';
import type { SeriesTurns } from './series-turns.ts';
import { readUnit, unitsNamingTags as unitsOf } from './tag-units.ts';

export function seriesService(
  { reads, writes: db, searches }: Pick<DatabasePools, 'reads' | 'writes' | 'searches'>,
  turns: SeriesTurns,
): SeriesService {
  const visible = visibleSeries(reads);
  return {
    async create(principal, input) {
      const units = await checkNew(reads, principal, input);
      return createSeries(db, uuidv7(), uuidv7(), input, units, principal.tokenId);
    },
    async createOnce(principal, input, once, print) {
      const units = await checkNew(reads, principal, input);
      const { tokenId } = principal;
      return db.transaction().execute(async (trx) => {
        let changes: readonly Change[] = [];
        const answered = await answerOnce(trx, tokenId, once, async () => {
          const id = uuidv7();
          changes = await createSeriesWithin(trx, { id, input, units, newLaneId: uuidv7, tokenId });
          return print(await getSeries(trx, { id }));
        });
        await commitChanges(trx, changes);
        return answered;
      });
    },
    createMany: (principal, inputs, once, print) => createMany({ reads, writes: db }, principal, inputs, once, print),
    get: visible,
    async update(principal, id, patch, ifVersion) {
      const { project, tags } = await visible(principal, { id });
      const units = unitsOf(patch.tags ?? {});
      if (patch.tags) {
        const touched = new Set(Object.keys(patch.tags));
        const wanted = editTags(tags, splitPatch(patch.tags));
        assertInVocabulary(await readVocabulary(reads, project), wanted, touched, readUnit);
      }
      const { tokenId } = principal;
      return turns.take(id, () => updateSeries(db, id, patch, { units, ifVersion, tokenId }));
    },
    async delete(principal, id) {
      await visible(principal, { id });
      await turns.take(id, () => deleteSeries(db, id, principal.tokenId));
    },
    async restore(principal, ref) {
      const id = 'id' in ref ? ref.id : await deletedSeriesId(reads, ref.project, ref.name);
      const project = id === null ? null : await seriesProject(reads, id);
      if (id === null || project === null || !mayUse(principal, project)) {
        throw notFound('series', 'id' in ref ? ref.id : ref.name);
      }
      return turns.take(id, () => restoreSeries(db, id, principal.tokenId));
    },
    ...searchService(reads, searches),
    async annotate(principal, seriesId, annotations) {
      const { channels } = await visible(principal, { id: seriesId });
      refuseUnknownChannels(annotations, channels);
      const rows = annotations.map((annotation) => ({ ...annotation, id: uuidv7() }));
      await insertAnnotations(db, seriesId, principal.tokenId, rows);
      return rows.map((row) => row.id);
    },
    async annotations(principal, seriesId, filter, page) {
      await visible(principal, { id: seriesId });
      return listAnnotations(reads, seriesId, filter, page);
    },
    async deleteAnnotation(principal, seriesId, id) {
      await visible(principal, { id: seriesId });
      await deleteAnnotation(db, seriesId, id);
    },
  };
}

/** A tag set to null is to be removed. */
function splitPatch(tags: NonNullable<SeriesPatch['tags']>): TagEdit {
  const entries = Object.entries(tags);
  return {
    set: Object.fromEntries(entries.filter((tag): tag is [string, TagValue] => tag[1] !== null)),
    remove: entries.filter(([, value]) => value === null).map(([key]) => key),
  };
}

/** @throws unprocessable naming the place */
function refuseUnknownChannels(annotations: readonly NewAnnotation[], channels: readonly Channel[]): void {
  const labels = new Set(channels.map(({ label }) => nameKey(label)));
  annotations.forEach(({ channels: meant = [] }, at) => {
    const wrong = meant.findIndex((label) => !labels.has(nameKey(label)));
    if (wrong === -1) return;
    const message = `the series has no channel ${JSON.stringify(meant[wrong])}`;
    throw unprocessableField(`items[${at}].channels[${wrong}]`, message, 'unknown-channel');
  });
}
