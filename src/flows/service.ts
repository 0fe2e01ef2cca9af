/**
 * What the doors (HTTP, CLI) may ask for, noun by noun. `main/assemble` binds each to its flow; a route gets the part it
 * needs. All of them throw VarveError.
 */
import type { AnnotationFilter, AnnotationPosition } from '../catalog/annotation-store.ts';
import type { Project, Scope, TokenRecord } from '../catalog/access-store.ts';
import type { SeriesRef } from '../catalog/series-store.ts';
import type { TagKeyCount, TagValueCount } from '../catalog/tag-values.ts';
import type { WriteStatus } from '../catalog/write-store.ts';
import type { FacetValue, SearchPosition, SearchRequest } from '../core/series-search.ts';
import type { Annotation, NewAnnotation, NewSeries, Series, SeriesPatch } from '../core/series.ts';
import type { AnswerFormatName, Spelling, WireFormatName } from '../formats/wire-formats.ts';

export type { Scope, SeriesRef, WriteStatus };

/** Who asks. */
export interface Principal {
  readonly tokenId: string;
  readonly scopes: readonly Scope[];
  /** Null: all projects. Names, for what a caller names; ids, for what the catalog filters. */
  readonly projects: { readonly ids: readonly string[]; readonly names: readonly string[] } | null;
}

export interface AccessService {
  /** @throws unauthorized */
  authenticate(token: string): Promise<Principal>;
  /** @returns the token's text, once */
  createToken(input: {
    name: string;
    scopes: readonly Scope[];
    projects: readonly string[] | null;
  }): Promise<{ token: string; record: TokenRecord }>;
  listTokens(): Promise<TokenRecord[]>;
  revokeToken(id: string): Promise<void>;
  createProject(name: string): Promise<Project>;
  listProjects(principal: Principal): Promise<Project[]>;
}

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
  /** Of the key, or of a value that is a text; empty: all. */
  readonly prefix: string;
  readonly limit: number;
  readonly after: string | null;
}

export interface TagPage<T> {
  readonly items: readonly T[];
  readonly after: string | null;
}

/** Only series of the principal's projects are found and counted. */
export interface SearchService {
  search(principal: Principal, request: SearchRequest): Promise<SearchResult>;
  tagKeys(principal: Principal, request: TagRequest): Promise<TagPage<TagKeyCount>>;
  tagValues(principal: Principal, key: string, request: TagRequest): Promise<TagPage<TagValueCount>>;
}

/** Series outside the principal's projects do not exist for it (not-found), except in create (forbidden). */
export interface SeriesService extends SearchService {
  create(principal: Principal, input: NewSeries): Promise<Series>;
  get(principal: Principal, ref: SeriesRef): Promise<Series>;
  update(principal: Principal, id: string, patch: SeriesPatch, ifVersion?: number): Promise<Series>;
  delete(principal: Principal, id: string): Promise<void>;
  restore(principal: Principal, id: string): Promise<Series>;
  annotate(principal: Principal, seriesId: string, annotations: readonly NewAnnotation[]): Promise<string[]>;
  annotations(
    principal: Principal,
    seriesId: string,
    filter: AnnotationFilter,
    page: { limit: number; after: AnnotationPosition | null },
  ): Promise<{ items: Annotation[]; after: AnnotationPosition | null }>;
}

export interface AppendRequest {
  readonly series: Series;
  readonly format: WireFormatName;
  /** The body, decompressed. Read with back-pressure; never held whole unless it is small. */
  readonly body: AsyncIterable<Uint8Array>;
  /** From `?start=`; a start inside the body must not contradict it. */
  readonly startNs: bigint | null;
  /** Length of the body as it is sent, where the request says it. */
  readonly declaredBytes: number | null;
  readonly idempotencyKey: string | null;
  /** How long to wait for the append to become visible; 0 answers as soon as it is durable. */
  readonly waitMs: number;
  /** The client has gone: stop waiting, stage nothing that is not complete. */
  readonly signal: AbortSignal;
}

export type AppendOutcome =
  | {
      readonly level: 'visible';
      readonly write: string;
      readonly rows: number;
      readonly firstRow: number;
      readonly lastRow: number;
      readonly commit: bigint;
      readonly replayed: boolean;
    }
  | { readonly level: 'durable'; readonly write: string; readonly rows: number; readonly replayed: boolean };

/** `[startNs, endNs)`; null: open. */
export interface EditRange {
  readonly startNs: bigint | null;
  readonly endNs: bigint | null;
}

/** The body's rows come in the place of those in the range. */
export interface ReplaceRequest extends AppendRequest, EditRange {}

export interface RemoveRequest extends Pick<AppendRequest, 'series' | 'idempotencyKey' | 'waitMs' | 'signal'>, EditRange {}

export type RemoveOutcome =
  | {
      readonly level: 'visible';
      readonly write: string;
      /** Rows that are there no more. */
      readonly removed: number;
      readonly commit: bigint;
      readonly replayed: boolean;
    }
  | { readonly level: 'durable'; readonly write: string; readonly replayed: boolean };

export type SampleSelection =
  /** Half-open; undefined ends are open. */
  | { readonly by: 'time'; readonly startNs?: bigint; readonly endNs?: bigint }
  /** As a Python slice: half-open, undefined ends are open, negative counts from the end. */
  | { readonly by: 'rows'; readonly from?: number; readonly to?: number };

export interface ReadRequest {
  readonly principal: Principal;
  readonly ref: SeriesRef;
  readonly selection: SampleSelection;
  readonly format: AnswerFormatName;
  readonly spelling?: Spelling;
  /** Labels or 0-based numbers; null: all. @throws invalid-input naming `channels` */
  readonly channels: readonly string[] | null;
  readonly physical: boolean;
  /** At most this many rows; the rest is behind `next`. */
  readonly limit: number | null;
  /** Makes the link to the rest. */
  readonly linkTo: (rest: SampleSelection) => string;
  readonly signal: AbortSignal;
}

export interface SampleStream {
  readonly mediaType: string;
  /** Known for files and packed formats. */
  readonly contentLength: number | null;
  readonly rows: number;
  readonly firstRow: number;
  readonly dtype: string;
  readonly channelLabels: readonly string[];
  readonly commit: bigint;
  /** Of the series' metadata. */
  readonly version: number;
  readonly next: string | null;
  readonly body: AsyncIterable<Uint8Array>;
  /** Bytes `[from, to)` of the body, instead of it; null where it cannot be had in part. */
  readonly slice: ((from: number, to: number) => AsyncIterable<Uint8Array>) | null;
}

export interface SampleService {
  append(request: AppendRequest): Promise<AppendOutcome>;
  replace(request: ReplaceRequest): Promise<AppendOutcome>;
  remove(request: RemoveRequest): Promise<RemoveOutcome>;
  /** @throws not-found for a series that is not, or is out of the principal's reach */
  read(request: ReadRequest): Promise<SampleStream>;
  /** @throws not-found, also for writes to series outside the principal's projects */
  write(principal: Principal, id: string): Promise<WriteStatus>;
}

export interface HealthService {
  /** Tries Postgres, queue and storage, each under a time limit. A part that is degraded serves, but not everything. */
  ready(): Promise<{ ok: boolean; checks: Record<string, { ok: boolean; degraded?: true; detail?: string }> }>;
  /** Prometheus text. */
  metrics(): Promise<{ contentType: string; body: string }>;
}

export interface Service {
  readonly access: AccessService;
  readonly series: SeriesService;
  readonly samples: SampleService;
  readonly health: HealthService;
}
