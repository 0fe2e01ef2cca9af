/** The tables as kysely sees them: one interface for each table, column by column as in the migrations. */
import type { ColumnType, Generated } from 'kysely';
import type { HistoryAction } from '../core/tags/series-changes.ts';
import type { ShardState } from '../core/upkeep/shard-state.ts';
import type { FieldChange } from '../core/tags/tag-edit.ts';
import type { Tags } from '../core/signal/tag-value.ts';
import type { Vocabulary } from '../core/tags/vocabulary.ts';

/** int8 comes back as bigint (see database.ts) and may be given as bigint, number or decimal text. */
type Int8 = ColumnType<bigint, bigint | number | string, bigint | number | string>;
type NullableInt8 = ColumnType<
  bigint | null,
  bigint | number | string | null | undefined,
  bigint | number | string | null
>;
/** jsonb comes back parsed and is given as text, so that an array is not taken for a Postgres array. */
type Jsonb<T> = ColumnType<T, string, string>;

export interface ProjectsTable {
  id: string;
  name: string;
  created_at: Generated<Date>;
}

export interface TokensTable {
  id: string;
  name: string;
  hash: Buffer;
  scopes: string[];
  project_ids: string[] | null;
  created_at: Generated<Date>;
  revoked_at: Date | null;
  is_first: Generated<boolean>;
  replaced_at: Date | null;
}

export interface SessionsTable {
  hash: Buffer;
  token_id: string;
  created_at: Generated<Date>;
  ends_at: Date;
}

export interface SharesTable {
  id: string;
  hash: Buffer;
  token_id: string;
  series: string[] | null;
  recording: string | null;
  search: ColumnType<unknown, string | null, never>;
  note: string | null;
  created_at: Generated<Date>;
  ends_at: Date;
  revoked_at: ColumnType<Date | null, never, Date>;
}

export interface SavedSearchesTable {
  id: string;
  project_id: string;
  name: string;
  question: ColumnType<unknown, string, string>;
  token_id: string | null;
  created_at: Generated<Date>;
  updated_at: Generated<Date>;
}

export interface LanesTable {
  id: string;
  series_count: Generated<number>;
  failures: Generated<number>;
  resting_until: ColumnType<Date | null, Date | null | undefined, Date | null>;
  flushed_commit: Generated<bigint>;
}

/** As core's ContentHash, in JSON. */
export interface StoredHash {
  readonly values: string;
  readonly times: string | null;
  readonly rows: number;
  readonly commit: number;
}

export interface SeriesTable {
  id: string;
  project_id: string;
  name: string;
  description: string | null;
  kind: 'regular' | 'irregular';
  dtype: string;
  channels: Jsonb<unknown>;
  channel_count: number;
  unit: string | null;
  scale: number;
  offset: number;
  rate: string | null;
  rate_hz: number | null;
  start_ns: NullableInt8;
  start_tolerance: ColumnType<number | null, number | null | undefined, number | null>;
  time_reference: 'utc' | 'relative';
  duplicates: 'last' | 'error' | 'keep';
  codec: string;
  tags: Jsonb<Tags>;
  continuity: string | null;
  resolution: number | null;
  missing_value: string | null;
  time_zone: string | null;
  external_ids: Jsonb<Record<string, string>>;
  provenance: Jsonb<Record<string, unknown>>;
  recording_id: ColumnType<string | null, string | null | undefined, string | null>;
  /** Name of the recording. */
  recording: ColumnType<string | null, string | null | undefined, string | null>;
  content_hash: ColumnType<StoredHash | null, undefined, string | null>;
  version: Generated<number>;
  created_at: Generated<Date>;
  updated_at: Generated<Date>;
  deleted_at: Date | null;
}

/** What appends lock and advance. */
export interface HeadsTable {
  series_id: string;
  lane_id: string;
  project_id: string;
  rows: Generated<bigint>;
  first_ns: NullableInt8;
  last_ns: NullableInt8;
  commit: Generated<bigint>;
  edits: Generated<number>;
  removed: Generated<bigint>;
  masked_commit: Generated<bigint>;
  expired_ns: NullableInt8;
  summaries_expired_ns: NullableInt8;
  shape_version: ColumnType<number, number | undefined, number>;
  sealed_at: ColumnType<Date | null, Date | null | undefined, Date | null>;
  deleted_at: ColumnType<Date | null, Date | null | undefined, Date | null>;
  purged_at: ColumnType<Date | null, Date | null | undefined, Date | null>;
  /**
   * The newest segment of a regular series. The others are in `closed_segments`; the view `segments` has all of them.
   */
  segment_row: NullableInt8;
  segment_ns: NullableInt8;
  segment_rows: NullableInt8;
  segment_skip: NullableInt8;
  limit_ns: NullableInt8;
  mark_row: NullableInt8;
  mark_ns: NullableInt8;
  marks: Generated<number>;
}

/** What the units of quantities in tags mean. Derived from `series.tags` is `series_tags`, which only searches read. */
export interface UnitsTable {
  code: string;
  factor: string;
  shift: string;
  dimension: string;
}

export interface AnnotationsTable {
  id: string;
  series_id: string;
  start_ns: Int8;
  end_ns: Int8;
  label: string;
  payload: Jsonb<Record<string, unknown>>;
  token_id: string | null;
  channels: ColumnType<string[] | null, string | null | undefined, string | null>;
  author: ColumnType<string | null, string | null | undefined, string | null>;
  created_at: Generated<Date>;
}

export interface SeriesHistoryTable {
  series_id: string;
  id: string;
  action: HistoryAction;
  token_id: string | null;
  edit_id: string | null;
  /** Null for a creation, which is told from what the series is and what has changed since. */
  changes: ColumnType<FieldChange[] | null, string | null, string>;
  at: Generated<Date>;
}

export interface MetadataEditsTable {
  id: string;
  kind: 'edit' | 'rename' | 'undo';
  token_id: string | null;
  project_ids: string[];
  request: Jsonb<unknown>;
  series: number;
  undone_by: ColumnType<string | null, string | null | undefined, string | null>;
  created_at: Generated<Date>;
}

export interface VocabulariesTable {
  project_id: string;
  content: Jsonb<Vocabulary>;
  updated_at: Generated<Date>;
}

/** What is personal: see subject-store. */
export interface SubjectsTable {
  project_id: string;
  id: string;
  content: Jsonb<Record<string, unknown>>;
  updated_at: Generated<Date>;
}

export interface RequestKeysTable {
  token_id: string;
  key: string;
  content_hash: Buffer;
  answer: ColumnType<unknown, string | null | undefined, string | null>;
  created_at: Generated<Date>;
}

export interface SegmentsTable {
  series_id: string;
  first_row: Int8;
  start_ns: Int8;
  rows: Int8;
  skip: Generated<bigint>;
}

/** What a client said that the time of a row is. */
export interface ClockMarksTable {
  series_id: string;
  row: Int8;
  ns: Int8;
}

export interface ShardsTable {
  id: string;
  lane_id: string;
  state: ShardState;
  /** 0: made by a flush; 1: by compaction. */
  level: number;
  path: string;
  commit: Int8;
  first_commit: Int8;
  bytes: Int8;
  data_bytes: Generated<bigint>;
  made_at: Generated<Date>;
  replaced_at: ColumnType<Date | null, Date | null | undefined, Date | null>;
}

export interface ChunksTable {
  id: Generated<bigint>;
  series_id: string;
  generation: Generated<number>;
  first_row: Int8;
  rows: Int8;
  shard_id: string;
  dataset_row: Int8;
  skip: Generated<number>;
  first_ns: NullableInt8;
  last_ns: NullableInt8;
  sorted: boolean;
  values_offset: Int8;
  values_length: Int8;
  times_offset: NullableInt8;
  times_length: NullableInt8;
  codec: string;
  times_codec: ColumnType<string | null, string | null | undefined, string | null>;
  values_crc: Int8;
  times_crc: NullableInt8;
  stats: Buffer | null;
  damaged_at: ColumnType<Date | null, Date | null | undefined, Date | null>;
}

export interface SpoolFilesTable {
  id: string;
  bytes: Int8;
  state: 'receiving' | 'kept';
  made_at: Generated<Date>;
  freed_at: ColumnType<Date | null, Date | null | undefined, Date | null>;
}

/** A chunk whose bytes still lie where the append put them: in the row, or in a spool file. */
export interface FreshTable {
  id: Generated<bigint>;
  lane_id: string;
  series_id: string;
  generation: Generated<number>;
  first_row: Int8;
  rows: Int8;
  first_ns: NullableInt8;
  last_ns: NullableInt8;
  sorted: boolean;
  values_crc: Int8;
  times_crc: NullableInt8;
  bytes: Int8;
  at: Generated<Date>;
  damaged_at: ColumnType<Date | null, Date | null | undefined, Date | null>;
  values: Buffer | null;
  times: Buffer | null;
  spool_id: string | null;
  values_offset: NullableInt8;
  times_offset: NullableInt8;
}

export interface HolesTable {
  series_id: string;
  from_row: Int8;
  to_row: Int8;
}

export interface ErasuresTable {
  series_id: string;
  generation: number;
  start_ns: Int8;
  end_ns: Int8;
  before_row: Int8;
}

export interface SummariesTable {
  series_id: string;
  shard_id: string;
  factor: number;
  ordinal: number;
  first_cell: Int8;
  last_cell: Int8;
  cells: number;
  first_row: NullableInt8;
  last_row: NullableInt8;
  first_ns: NullableInt8;
  last_ns: NullableInt8;
  parts: Jsonb<unknown>;
}

export interface RetentionRulesTable {
  id: string;
  project_id: string;
  tags: Jsonb<Record<string, unknown>>;
  keep_days: number;
  keep_summaries_days: number | null;
  created_at: Generated<Date>;
}

export interface CatalogIdentityTable {
  singleton: Generated<boolean>;
  id: string;
  estranged: ColumnType<string | null, string | null | undefined, string | null>;
}

export interface CommitCounterTable {
  singleton: Generated<boolean>;
  value: Int8;
  accepted_bytes: Generated<bigint>;
}

export interface WrittenBytesTable {
  singleton: Generated<boolean>;
  spooled: Generated<bigint>;
  flushed: Generated<bigint>;
  compacted: Generated<bigint>;
}

/** What a commit changed: an element of each list a change. */
export interface CommitsTable {
  commit: Int8;
  at: Generated<Date>;
  project_ids: string[];
  series: string[];
  kinds: string[];
  first_rows: (bigint | null)[];
  rows: (bigint | null)[];
  tokens: (string | null)[];
  marker: ColumnType<string | null, string | null | undefined, never>;
}

export interface AppendKeysTable {
  series_id: string;
  key: string;
  hash: Buffer;
  commit: Int8;
  ordinal: number;
  rows: Int8;
  first_row: NullableInt8;
  at: Generated<Date>;
}

export interface ExportsTable {
  id: string;
  token_id: string;
  request: Jsonb<unknown>;
  state: 'waiting' | 'running' | 'done' | 'failed';
  series: number;
  written: ColumnType<bigint, undefined, number>;
  file_name: string | null;
  media_type: string | null;
  notes: ColumnType<string[], undefined, string>;
  error: ColumnType<{ code: string; slug: string; message: string } | null, undefined, string | null>;
  created_at: Generated<Date>;
  alive_at: Generated<Date>;
  finished_at: Date | null;
}

export interface Tables {
  projects: ProjectsTable;
  tokens: TokensTable;
  sessions: SessionsTable;
  shares: SharesTable;
  saved_searches: SavedSearchesTable;
  lanes: LanesTable;
  series: SeriesTable;
  heads: HeadsTable;
  annotations: AnnotationsTable;
  series_history: SeriesHistoryTable;
  metadata_edits: MetadataEditsTable;
  vocabularies: VocabulariesTable;
  subjects: SubjectsTable;
  request_keys: RequestKeysTable;
  units: UnitsTable;
  closed_segments: SegmentsTable;
  segments: SegmentsTable;
  clock_marks: ClockMarksTable;
  shards: ShardsTable;
  chunks: ChunksTable;
  spool_files: SpoolFilesTable;
  fresh: FreshTable;
  holes: HolesTable;
  erasures: ErasuresTable;
  summaries: SummariesTable;
  retention_rules: RetentionRulesTable;
  catalog_identity: CatalogIdentityTable;
  commit_counter: CommitCounterTable;
  written_bytes: WrittenBytesTable;
  commits: CommitsTable;
  append_keys: AppendKeysTable;
  exports: ExportsTable;
}
