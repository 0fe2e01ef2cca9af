/** Tags of many series at once, their history, and the vocabulary of a project. */
import type { NotUndone } from '../../catalog/tags/tag-edit-store.ts';
import type { StoredVocabulary } from '../../catalog/tags/vocabulary-store.ts';
import type { HistoryEntry } from '../../core/tags/series-changes.ts';
import type { MetadataEdit, TagEdit } from '../../core/tags/tag-edit.ts';
import type { Expression } from '../../core/tags/tag-expression.ts';
import type { Vocabulary } from '../../core/tags/vocabulary.ts';
import type { Principal } from '../principal.ts';
import type { SeriesRef } from './series-service.ts';

export type { StoredVocabulary };

export interface MetadataService {
  /** How many series the expression finds, and the first of them. @throws unprocessable for a text that is no unit */
  previewEdit(principal: Principal, where: Expression, edit: TagEdit): Promise<{ series: number; sample: string[] }>;
  /**
   * Sets and removes tags of all series that the expression finds, in one transaction.
   * @throws limit-exceeded `too-many-series`; unprocessable naming the tag
   */
  editTags(principal: Principal, where: Expression, edit: TagEdit, request: unknown): Promise<AppliedEdit>;
  /** @throws conflict `key-in-use` if the project has the new key and they are not to be merged; not-found; as editTags */
  renameTag(principal: Principal, renaming: TagRenaming): Promise<AppliedEdit>;
  /** @throws not-found; conflict `already-undone` */
  undoEdit(principal: Principal, editId: string): Promise<UndoneEdit>;
  /** Newest first: edits of which the caller reaches every series, or that are its own. @param page as in {@link history} */
  listEdits(
    principal: Principal,
    page: { limit: number; after: string | null },
  ): Promise<{ items: MetadataEdit[]; after: string | null }>;
  /** Newest first. @param page after: id of the entry that the page before ended with */
  history(
    principal: Principal,
    ref: SeriesRef,
    page: { limit: number; after: string | null },
  ): Promise<{ items: HistoryEntry[]; after: string | null }>;
  /** @throws not-found for a project that does not exist, is out of reach or has no vocabulary */
  vocabulary(principal: Principal, project: string): Promise<StoredVocabulary>;
  /** Changes no series. */
  setVocabulary(
    principal: Principal,
    project: string,
    vocabulary: Vocabulary,
  ): Promise<{ vocabulary: StoredVocabulary; unfit: { series: number; sample: string[] } }>;
  deleteVocabulary(principal: Principal, project: string): Promise<void>;
}

export interface AppliedEdit {
  readonly id: string;
  /** Series that were changed. */
  readonly series: number;
}

export interface TagRenaming {
  readonly project: string;
  readonly from: string;
  readonly to: string;
  readonly merge: boolean;
}

export interface UndoneEdit {
  /** Id of the undo, which can be undone in turn. */
  readonly id: string;
  readonly undone: number;
  readonly kept: readonly NotUndone[];
}
