/**
 * What the doors (HTTP, CLI) may ask for, noun by noun. `main/assemble` binds each to its flow; a route gets the part it
 * needs. All of them throw VarveError.
 */
import type { AnnotationFilter, AnnotationPosition } from '../catalog/series/annotation-store.ts';
import type { Answered, Once } from '../catalog/answer-once.ts';
import type { Project, Scope, TokenRecord } from '../catalog/people/access-store.ts';
import type { NewRetentionRule, RetentionRule } from '../catalog/shards/retention-store.ts';
import type { SeriesRef } from '../catalog/series/series-store.ts';
import type { SeriesStorage, StoredShard } from '../catalog/shards/space-store.ts';
import type { NotUndone } from '../catalog/tags/tag-edit-store.ts';
import type { Insist, StoredSubject } from '../catalog/series/subject-store.ts';
import type { TagKeyCount, TagValueCount } from '../catalog/search/tag-values.ts';
import type { StoredVocabulary } from '../catalog/tags/vocabulary-store.ts';
import type { WriteStatus } from '../catalog/appends/write-store.ts';
import type { Aggregate, Every, Fill } from '../core/overview/aggregate-span.ts';
import type { WantedChannel } from '../core/signal/choose-channels.ts';
import type { ClockMark, GapRule } from '../core/signal/place-run.ts';
import type { HistoryEntry } from '../core/tags/series-changes.ts';
import type { FacetValue, SearchPosition, SearchRequest, SortKey } from '../core/tags/search-request.ts';
import type { Annotation, LastValue, NewAnnotation, NewSeries, Series, SeriesPatch } from '../core/signal/series.ts';
import type { MetadataEdit, TagEdit } from '../core/tags/tag-edit.ts';
import type { Expression } from '../core/tags/tag-expression.ts';
import type { Vocabulary } from '../core/tags/vocabulary.ts';
import type { EpochUnit } from '../formats/text/epoch-text.ts';
import type { TableFormatName } from '../formats/tables/table-formats.ts';
import type { AnswerFormatName, Spelling } from '../formats/samples/wire-formats.ts';
import type { AppendManyOutcome, AppendManyRequest } from './append/append-many.ts';
import type { BucketFormat } from './overview/print-overview.ts';
import type { BodyRequest } from './append/receive-body.ts';

export type { Answered, Once, Scope, SeriesRef, StoredSubject, StoredVocabulary, WriteStatus };

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
  /**
   * As create, answered once for a key.
   * @param print makes the answer, as plain JSON
   * @throws unprocessable `key-reused`
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
  /** By name: the one that was deleted last under it. */
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

export interface MetadataService {
  /** How many series the expression finds, and the first of them. @throws unprocessable for a unit that is none */
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
  /** @throws not-found for a project that is not, is out of reach or has none */
  vocabulary(principal: Principal, project: string): Promise<StoredVocabulary>;
  /** Changes no series. */
  setVocabulary(
    principal: Principal,
    project: string,
    vocabulary: Vocabulary,
  ): Promise<{ vocabulary: StoredVocabulary; unfit: { series: number; sample: string[] } }>;
  deleteVocabulary(principal: Principal, project: string): Promise<void>;
}

/** What is personal. Projects out of the principal's reach do not exist for it (not-found). */
export interface SubjectService {
  /** @throws not-found */
  get(principal: Principal, project: string, id: string): Promise<StoredSubject>;
  /** By identifier. @param page after: identifier that the page before ended with */
  list(
    principal: Principal,
    project: string,
    page: { limit: number; after: string | null },
  ): Promise<{ items: StoredSubject[]; after: string | null }>;
  /** Takes the place of all that was there. @param insist throws where it must not */
  put(
    principal: Principal,
    project: string,
    subject: Pick<StoredSubject, 'id' | 'content'>,
    insist: Insist,
  ): Promise<{ subject: StoredSubject; isNew: boolean }>;
  /** At once and for good. @throws not-found */
  delete(principal: Principal, project: string, id: string, insist: Insist): Promise<void>;
}

/** Series that take no more samples. */
export interface StateService {
  /**
   * Refuses all writes from then on, and stores the hash of what there is. Sealed already and
   * hashed, the series is answered as it is; sealed and not hashed, it is hashed.
   * @throws not-found; precondition-failed; conflict `series-unsealed`, `content-changed`; corrupt; an abort
   */
  seal(
    principal: Principal,
    id: string,
    request: { readonly ifVersion?: number; readonly signal: AbortSignal },
  ): Promise<Series>;
  /** @throws not-found; precondition-failed */
  unseal(principal: Principal, id: string, request: { readonly ifVersion?: number }): Promise<Series>;
}

export interface AppliedEdit {
  readonly id: string;
  /** That were changed. */
  readonly series: number;
}

export interface TagRenaming {
  readonly project: string;
  readonly from: string;
  readonly to: string;
  readonly merge: boolean;
}

export interface UndoneEdit {
  /** Of the undo, which can be undone in turn. */
  readonly id: string;
  readonly undone: number;
  readonly kept: readonly NotUndone[];
}

export interface AppendRequest extends BodyRequest {
  readonly principal: Principal;
  readonly ref: SeriesRef;
  /** From `?start=`; a start inside the body must not contradict it. */
  readonly startNs: bigint | null;
  readonly gaps?: GapRule;
  readonly idempotencyKey: string | null;
}

/** Durable and readable. */
export interface AppendOutcome {
  readonly write: string;
  readonly rows: number;
  /** Null: rows of an irregular series are numbered in order of time. */
  readonly firstRow: number | null;
  readonly commit: bigint;
  readonly replayed: boolean;
}

/** `[startNs, endNs)`; null: open. */
export interface EditRange {
  readonly startNs: bigint | null;
  readonly endNs: bigint | null;
}

/** The body's rows come in the place of those in the range. */
export interface ReplaceRequest extends AppendRequest, EditRange {}

export interface RemoveRequest extends Pick<AppendRequest, 'principal' | 'ref' | 'idempotencyKey'>, EditRange {}

export interface RemoveOutcome {
  readonly write: string;
  /** Rows that are there no more. */
  readonly removed: number;
  readonly commit: bigint;
  readonly replayed: boolean;
}

export type SampleSelection =
  /** Half-open; undefined ends are open. */
  | {
      readonly by: 'time';
      readonly startNs?: bigint;
      readonly endNs?: bigint;
      /** Irregular series, of a selection that goes on: rows of `startNs` that came before. */
      readonly skip?: number;
      /** Irregular series: rows of the selection, at most; undefined: all. */
      readonly count?: number;
    }
  /** As a Python slice: half-open, undefined ends are open, negative counts from the end. */
  | { readonly by: 'rows'; readonly from?: number; readonly to?: number };

export interface ReadRequest {
  readonly principal: Principal;
  readonly ref: SeriesRef;
  readonly selection: SampleSelection;
  readonly format: AnswerFormatName;
  readonly spelling?: Spelling;
  /** Null: all. @throws invalid-input naming `channels` */
  readonly channels: readonly WantedChannel[] | null;
  readonly physical: boolean;
  /** Times of a regular series: on its grid, or as its clock told them. */
  readonly clock?: 'nominal' | 'marks';
  /** At most this many rows; the rest is behind `next`. */
  readonly limit: number | null;
  /** Makes the link to the rest. */
  readonly linkTo: (rest: SampleSelection) => string;
  /** Says which part of an answer to make, if it can be made in part; null: all of it. */
  readonly choosePart?: (answer: DivisibleAnswer) => ChosenPart;
  readonly signal: AbortSignal;
}

/** Bytes `[from, to)` of an answer. */
export interface BytePart {
  readonly from: number;
  readonly to: number;
}

/** What a part is chosen from: the length of the whole, and the state that it is of. */
export interface DivisibleAnswer extends Pick<Series, 'version' | 'commit'> {
  readonly bytes: number;
}

export type ChosenPart = BytePart | 'unsatisfiable' | null;

export interface SampleStream {
  readonly mediaType: string;
  /** Of the whole; known for files and packed formats, which can be had in part. */
  readonly contentLength: number | null;
  readonly rows: number;
  /** Null: of an irregular series, whose rows have no numbers that last. */
  readonly firstRow: number | null;
  readonly dtype: string;
  readonly channelLabels: readonly string[];
  readonly commit: bigint;
  /** Of the series' metadata. */
  readonly version: number;
  readonly next: string | null;
  /** A piece is valid until the next is asked for: its memory is used again. */
  readonly body: AsyncIterable<Uint8Array>;
  /** What `body` is of the whole, as it was chosen; null: all. If that cannot be, it is empty. */
  readonly part: ChosenPart;
}

/** What is answered instead of every row: buckets, each of which stands for the rows in a span of time. */
export type WantedBuckets =
  /** So many equal spans, or a line of so many points. */
  | { readonly by: 'points'; readonly points: number }
  | { readonly by: 'line'; readonly points: number }
  | {
      readonly by: 'every';
      readonly every: Every;
      /** IANA name of the zone whose calendar counts. */
      readonly zone: string;
      readonly aggregates: readonly Aggregate[];
      readonly fill: Fill;
    };

export interface BucketRequest extends Pick<ReadRequest, 'principal' | 'ref' | 'channels' | 'physical' | 'signal'> {
  /** Undefined: where the data begin and end. */
  readonly startNs?: bigint;
  readonly endNs?: bigint;
  readonly wanted: WantedBuckets;
  readonly format: BucketFormat;
}

export interface BucketStream {
  readonly mediaType: string;
  readonly commit: bigint;
  readonly version: number;
  readonly body: Uint8Array;
}

/** Which series a table is about. */
export type WantedSeries =
  | { readonly by: 'ids'; readonly ids: readonly string[] }
  | { readonly by: 'search'; readonly where: Expression | null; readonly sort: readonly SortKey[] };

export type AsOfDirection = 'backward' | 'forward' | 'nearest';

/** Of all series, in their order. */
export type WantedTable =
  /** A row a value: of each series all rows, or its first ones. */
  | { readonly by: 'rows'; readonly most: number | null }
  /** A row a value, of the newest rows of each series. */
  | { readonly by: 'newest'; readonly rows: number }
  /** A row a bucket and channel; or, wide, a row a bucket and a column a channel. */
  | (Omit<Extract<WantedBuckets, { by: 'every' }>, 'by'> & { readonly by: 'buckets'; readonly isWide: boolean })
  /** A row a time of a clock and a column a channel, whose values are those of the nearest row in a direction, if it is near enough. */
  | {
      readonly by: 'as-of';
      /** A series, whose times count, or ticks counted from 1970. */
      readonly clock: { readonly seriesId: string } | { readonly everyNs: bigint };
      readonly toleranceNs: bigint;
      readonly direction: AsOfDirection;
    };

export interface TableRequest extends Pick<
  BucketRequest,
  'principal' | 'startNs' | 'endNs' | 'channels' | 'physical' | 'signal'
> {
  readonly series: WantedSeries;
  readonly wanted: WantedTable;
  readonly format: TableFormatName;
  /** Of CSV: times as numbers of this unit. */
  readonly epoch?: EpochUnit;
}

export interface TableStream {
  readonly mediaType: string;
  /** That were found. */
  readonly series: number;
  readonly body: AsyncIterable<Uint8Array>;
}

/** The newest rows, in order of time. */
export interface LatestRequest extends Omit<ReadRequest, 'selection' | 'limit' | 'linkTo'> {
  readonly rows: number;
}

export interface SampleService {
  append(request: AppendRequest): Promise<AppendOutcome>;
  /** Rows of many series, by one commit. What is wrong with an item is in its outcome. */
  appendMany(request: AppendManyRequest): Promise<AppendManyOutcome>;
  replace(request: ReplaceRequest): Promise<AppendOutcome>;
  remove(request: RemoveRequest): Promise<RemoveOutcome>;
  /** @throws not-found for a series that is not, or is out of the principal's reach */
  read(request: ReadRequest): Promise<SampleStream>;
  /** @throws not-found for a series that is not, or is out of the principal's reach */
  buckets(request: BucketRequest): Promise<BucketStream>;
  /** @throws not-found for a series that is not, or is out of the principal's reach */
  latest(request: LatestRequest): Promise<SampleStream>;
  /** Of series that the principal was shown; null where there is no row. @throws corrupt */
  lastValues(principal: Principal, series: readonly Series[]): Promise<(LastValue | null)[]>;
  /**
   * Many series as one table. Each series is as of one instant, while the answer is made.
   * @throws invalid-input, not-found and unprocessable naming the field; limit-exceeded
   */
  table(request: TableRequest): Promise<TableStream>;
  /** @throws not-found, also for writes to series outside the principal's projects */
  write(principal: Principal, id: string): Promise<WriteStatus>;
}

/** Rows of a regular series that follow each other evenly. */
export interface DataSpan {
  readonly firstRow: number;
  readonly rows: number;
  readonly startNs: bigint;
  /** Of the row that would follow. */
  readonly endNs: bigint;
}

/** Of regular series. @throws not-found, also out of the principal's reach; unprocessable `not-regular` */
export interface TimeAxisService {
  /** In order of time, those that touch the range. @param page after: start of the one that the page before ended with */
  segments(
    principal: Principal,
    ref: SeriesRef,
    page: {
      readonly startNs?: bigint;
      readonly endNs?: bigint;
      readonly limit: number;
      readonly after: bigint | null;
    },
  ): Promise<{ items: DataSpan[]; after: bigint | null }>;
  /** In order of rows. @param page after: row of the one that the page before ended with */
  clockMarks(
    principal: Principal,
    ref: SeriesRef,
    page: { readonly limit: number; readonly after: number | null },
  ): Promise<{ items: ClockMark[]; after: number | null }>;
}

/** For administrators of the whole service. */
export interface RetentionService {
  /** @throws not-found for an unknown project */
  create(rule: NewRetentionRule): Promise<RetentionRule>;
  list(): Promise<RetentionRule[]>;
  /** What has expired stays so. @throws not-found */
  delete(id: string): Promise<void>;
}

export interface ShardSpace extends StoredShard {
  /** Of what it stores; the rest is no data any more, or HDF5's own structure. */
  readonly liveBytes: number;
}

export interface SpaceService {
  /** @throws not-found for a series that is not, or is out of the principal's reach */
  ofSeries(principal: Principal, ref: SeriesRef): Promise<{ series: Series; storage: SeriesStorage }>;
  /** For administrators of the whole service. @param after id of the shard at which the page before ended */
  shards(page: { limit: number; after: string | null }): Promise<{ items: ShardSpace[]; after: string | null }>;
}

/** `restarting`: a part that belongs to this process has ended and is being started again. `failing`: that did not succeed yet. */
export type Liveness = 'ok' | 'restarting' | 'failing';

export interface HealthCheck {
  readonly ok: boolean;
  readonly degraded?: true;
  /** For whoever asks. */
  readonly message?: string;
  /** For the log alone. */
  readonly detail?: string;
}

export interface HealthService {
  alive(): Liveness;
  /** Tries Postgres, queue and storage, each under a time limit. A part that is degraded serves, but not everything. */
  ready(): Promise<{ ok: boolean; checks: Record<string, HealthCheck> }>;
  /** Prometheus text. */
  metrics(): Promise<{ contentType: string; body: string }>;
}

export interface Service {
  readonly access: AccessService;
  readonly series: SeriesService;
  readonly metadata: MetadataService;
  readonly subjects: SubjectService;
  readonly state: StateService;
  readonly samples: SampleService;
  readonly timeAxis: TimeAxisService;
  readonly retention: RetentionService;
  readonly space: SpaceService;
  readonly health: HealthService;
}
