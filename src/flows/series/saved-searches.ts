/** Saved searches: checked when they are kept, so that they can be asked as they are. */
import { v7 as uuidv7 } from 'uuid';
import {
  deleteSearch,
  listSearches,
  replaceSearch,
  savedSearch,
  storeSearch,
} from '../../catalog/search/saved-search-store.ts';
import type { ReadsAndWrites } from '../../catalog/database.ts';
import { notFound } from '../../core/errors.ts';
import { parseFacets, parseSort } from '../../core/tags/search-request.ts';
import { readExpression } from '../../core/tags/tag-tree.ts';
import type { Principal } from '../principal.ts';
import { mayUse } from './series-reach.ts';
import type { SavedQuestion, SavedSearchService } from './saved-search-service.ts';
import { readUnit } from './tag-units.ts';

export function savedSearchService({ reads, writes }: ReadsAndWrites): SavedSearchService {
  return {
    async save(principal, { project, name, question }) {
      if (!mayUse(principal, project)) throw notFound('project', project);
      assertAskable(question);
      const id = uuidv7();
      await storeSearch(writes, id, { project, name, question, tokenId: principal.tokenId });
      return savedSearch(writes, id, null);
    },
    saved: (principal, project) => listSearches(reads, projectsOf(principal), project),
    savedOne: (principal, id) => savedSearch(reads, id, projectsOf(principal)),
    async replaceSaved(principal, id, { name, question }) {
      await savedSearch(reads, id, projectsOf(principal));
      assertAskable(question);
      await replaceSearch(writes, id, { name, question, tokenId: principal.tokenId });
      return savedSearch(writes, id, null);
    },
    async deleteSaved(principal, id) {
      await savedSearch(reads, id, projectsOf(principal));
      await deleteSearch(writes, id);
    },
  };
}

function projectsOf({ projects }: Principal): readonly string[] | null {
  return projects?.ids ?? null;
}

/** @throws invalid-input, unprocessable */
function assertAskable({ where, sort, facets }: SavedQuestion): void {
  if (where !== null) readExpression(where, 'where', readUnit);
  parseSort(sort, (index) => `sort[${index}]`);
  parseFacets(facets, (index) => `facets[${index}]`);
}
