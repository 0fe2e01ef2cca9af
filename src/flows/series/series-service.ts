/** Series: made, found, shown, changed and deleted. */
import type { DeletedSeries, TrashPosition } from '../../catalog/series/trash-store.ts';
import type { Expression } from '../../core/tags/tag-expression.ts';
import type { Answered, Once } from '../../catalog/answer-once.ts';
import type { TagKeyCount, TagValueCount } from '../../catalog/search/tag-values.ts';
import type { AnnotationFilter, AnnotationPosition } from '../../catalog/series/annotation-store.ts';
import type { SeriesRef } from '../../catalog/series/series-store.ts';
import type { Annotation, NewAnnotation, NewSeries, Series, SeriesPatch } from '../../core/signal/series.ts';
import type { FacetValue, SearchPosition, SearchRequest, SortKey } from '../../core/tags/search-request.ts';
import type { Principal } from '../principal.ts';

export type { Answered, Once, SeriesRef };

export interface SearchResult {
  readonly items: Series[];
  /** Null on the last page. */
  readonly after: SearchPosition | null;
  /** By name of the facet; null if none was asked for. */
  readonly facets: Readonly<Record<string, readonly FacetValue[]>> | null;
  readonly explain: { readonly plan: readonly string[]; readonly hints: readonly string[] } | null;
}

export interface TagRequest {
  readonly project?: string;
  /** What the key begins with, or a value that is a text; empty: all. */
  readonly prefix: string;
  readonly limit: number;
  readonly after: string | null;
}

export interface TagPage<T> {
  readonly items: readonly T[];
  readonly after: string | null;
}

export type { DeletedSeries };

/** Only series of the principal's projects are found and counted. */
export interface SearchService {
  search(principal: Principal, request: SearchRequest): Promise<SearchResult>;
  tagKeys(principal: Principal, request: TagRequest): Promise<TagPage<TagKeyCount>>;
  tagValues(principal: Principal, key: string, request: TagRequest): Promise<TagPage<TagValueCount>>;
  /** Lists series that can be restored, those that were deleted last first. */
  deleted(
    principal: Principal,
    page: { project: string | undefined; limit: number; after: TrashPosition | null },
  ): Promise<{ items: DeletedSeries[]; after: TrashPosition | null }>;
}

/** Series outside the principal's projects do not exist for it (not-found), except in create (forbidden). */
export interface SeriesService extends SearchService {
  create(principal: Principal, input: NewSeries): Promise<Series>;
  /**
   * Creates a series, answered once for a key. @param print makes the answer, as plain JSON @throws unprocessable
   * `key-reused`
   */
  createOnce<A>(
    principal: Principal,
    input: NewSeries,
    once: Once,
    print: (created: Series) => A,
  ): Promise<Answered<A>>;
  /** Creates all that can be; in the order given says what became of each. @param print makes the answer, as plain JSON */
  createMany<A>(
    principal: Principal,
    inputs: readonly NewSeries[],
    once: Once | null,
    print: (outcomes: readonly CreateOutcome[]) => A,
  ): Promise<Answered<A>>;
  get(principal: Principal, ref: SeriesRef): Promise<Series>;
  update(principal: Principal, id: string, patch: SeriesPatch, ifVersion?: number): Promise<Series>;
  delete(principal: Principal, id: string): Promise<void>;
  /** Restores a deleted series. By name it is the one that was deleted last under it. */
  restore(principal: Principal, ref: SeriesRef): Promise<Series>;
  annotate(principal: Principal, seriesId: string, annotations: readonly NewAnnotation[]): Promise<string[]>;
  annotations(
    principal: Principal,
    seriesId: string,
    filter: AnnotationFilter,
    page: { limit: number; after: AnnotationPosition | null },
  ): Promise<{ items: Annotation[]; after: AnnotationPosition | null }>;
  deleteAnnotation(principal: Principal, seriesId: string, id: string): Promise<void>;
}

export type CreateOutcome = { readonly id: string } | { readonly error: unknown };

/** Which series a question is about. */
export type WantedSeries =
  | { readonly by: 'ids'; readonly ids: readonly string[] }
  | { readonly by: 'search'; readonly where: Expression | null; readonly sort: readonly SortKey[] };
