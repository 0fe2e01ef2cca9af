/** Searches that a project keeps by name. */
import type { SavedQuestion, SavedSearch } from '../../catalog/search/saved-search-store.ts';
import type { Principal } from '../principal.ts';

export type { SavedQuestion, SavedSearch };

/** Searches of projects out of reach do not exist for the principal (not-found). */
export interface SavedSearchService {
  /** @throws invalid-input and unprocessable naming a place in the question; conflict; not-found for the project */
  save(principal: Principal, input: { project: string; name: string; question: SavedQuestion }): Promise<SavedSearch>;
  /** Lists those of one project, or of all within reach, by name. */
  saved(principal: Principal, project: string | undefined): Promise<SavedSearch[]>;
  /** @throws not-found */
  savedOne(principal: Principal, id: string): Promise<SavedSearch>;
  /** @throws as save */
  replaceSaved(
    principal: Principal,
    id: string,
    input: { name: string; question: SavedQuestion },
  ): Promise<SavedSearch>;
  /** @throws not-found */
  deleteSaved(principal: Principal, id: string): Promise<void>;
}
