/** The tables as kysely sees them: one interface a table, column by column as in the migrations. */
import type { ColumnType, Generated } from 'kysely';
import type { HistoryAction } from '../core/series-history.ts';
import type { ShardState } from '../core/shard-state.ts';
import type { FieldChange } from '../core/tag-edit.ts';
import type { Tags } from '../core/tag-value.ts';
import type { Vocabulary } from '../core/vocabulary.ts';

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

export interface LanesTable {
  id: string;
  series_count: Generated<number>;
  hot_shard_id: string | null;
  lease_token: Generated<bigint>;
  lease_holder: ColumnType<unknown, string | null, string | null>;
  lease_expires_at: Date | null;
  failures: Generated<number>;
  outages: Generated<number>;
  resting_until: Date | null;
  seal_token: Generated<bigint>;
  seal_holder: ColumnType<unknown, string | null | undefined, string | null>;
  seal_expires_at: ColumnType<Date | null, Date | null | undefined, Date | null>;
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
  lane_id: string;
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
  sealed_at: ColumnType<Date | null, undefined, Date | null>;
  content_hash: ColumnType<StoredHash | null, undefined, string | null>;
  version: Generated<number>;
  created_at: Generated<Date>;
  updated_at: Generated<Date>;
  deleted_at: Date | null;
  rows: Generated<bigint>;
  first_ns: NullableInt8;
  last_ns: NullableInt8;
  commit: Generated<bigint>;
  staged_rows: Generated<bigint>;
  staged_last_ns: NullableInt8;
  staged_segment_start_ns: NullableInt8;
  staged_segment_rows: Generated<bigint>;
  edits: Generated<number>;
  removed: Generated<bigint>;
  masked: Generated<boolean>;
  expired_ns: NullableInt8;
  summaries_expired_ns: NullableInt8;
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
  /** Null: of a creation, which is told from what the series is and what has changed since. */
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
}

export interface ShardsTable {
  id: string;
  lane_id: string;
  state: ShardState;
  path: string;
  bytes: Int8;
  lease_token: Int8;
  abandoned_by: ColumnType<unknown, string | null | undefined, string | null>;
  created_at: Generated<Date>;
  parents: Generated<string[]>;
  replaced_at: ColumnType<Date | null, Date | null | undefined, Date | null>;
}

export interface ChunksTable {
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
  counts: bigint[];
  mins: number[];
  maxs: number[];
  sums: number[];
}

export type WriteKind = 'append' | 'replace' | 'remove';

export interface WritesTable {
  id: string;
  seq: Generated<bigint>;
  lane_id: string;
  series_id: string;
  state: 'pending' | 'applied' | 'failed';
  rows: Int8;
  bytes: Int8;
  start_ns: NullableInt8;
  first_ns: NullableInt8;
  last_ns: NullableInt8;
  value_bytes: Buffer | null;
  time_bytes: Buffer | null;
  spooled: boolean;
  values_crc: Int8;
  times_crc: NullableInt8;
  idempotency_key: string | null;
  content_hash: Buffer | null;
  attempts: Generated<number>;
  error: ColumnType<unknown, string | null | undefined, string | null>;
  created_at: Generated<Date>;
  applied_at: Date | null;
  first_row: NullableInt8;
  commit: NullableInt8;
  kind: ColumnType<WriteKind, WriteKind | undefined, WriteKind>;
  generation: ColumnType<number | null, number | null | undefined, number | null>;
  from_row: NullableInt8;
  to_row: NullableInt8;
  range_start_ns: NullableInt8;
  range_end_ns: NullableInt8;
  removed: NullableInt8;
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
}

export interface CommitCounterTable {
  singleton: Generated<boolean>;
  value: Int8;
  accepted_bytes: Generated<bigint>;
  appended_bytes: Generated<bigint>;
  sealed_bytes: Generated<bigint>;
}

export interface ChangesTable {
  commit: Int8;
  ordinal: number;
  project_id: string;
  series_id: string;
  kind: string;
  first_row: NullableInt8;
  rows: NullableInt8;
  at: Generated<Date>;
}

export interface Tables {
  projects: ProjectsTable;
  tokens: TokensTable;
  lanes: LanesTable;
  series: SeriesTable;
  annotations: AnnotationsTable;
  series_history: SeriesHistoryTable;
  metadata_edits: MetadataEditsTable;
  vocabularies: VocabulariesTable;
  subjects: SubjectsTable;
  request_keys: RequestKeysTable;
  units: UnitsTable;
  segments: SegmentsTable;
  shards: ShardsTable;
  chunks: ChunksTable;
  writes: WritesTable;
  holes: HolesTable;
  erasures: ErasuresTable;
  summaries: SummariesTable;
  retention_rules: RetentionRulesTable;
  catalog_identity: CatalogIdentityTable;
  commit_counter: CommitCounterTable;
  changes: ChangesTable;
}
