/**
 * What a shard says of one series, beside its samples: the attribute `varve` of the series' group, as JSON. All of it is as of the shard's commit; a catalog
 * that is lost is made again from it.
 */
import type { Codec } from '../signal/codec.ts';
import { parseNumber, type Dtype } from '../numbers/dtype.ts';
import type { Erasure } from '../rows/erasure.ts';
import { formatRate } from '../signal/rate.ts';
import type { ClockMark } from '../signal/place-run.ts';
import type { RowRange, Segment } from '../signal/segment.ts';
import type { Channel, Continuity, DuplicateRule, RecordingLabel, Series, TimeReference } from '../signal/series.ts';
import type { Tags } from '../signal/tag-value.ts';

export interface SeriesDescription {
  readonly name: string;
  readonly project: string;
  readonly unit: string | null;
  readonly dtype: Dtype;
  readonly channels: readonly Channel[];
  readonly scale: number;
  readonly offset: number;
  /** Exact, `num/den` in Hz; null: the series is irregular. */
  readonly rate: string | null;
  /** As the sampling has it; null: nobody has said it. */
  readonly startNs: bigint | null;
  /** As the sampling has it; null: the default. */
  readonly startTolerance: number | null;
  readonly timeReference: TimeReference;
  readonly duplicates: DuplicateRule;
  readonly codec: Codec;
  readonly continuity: Continuity | null;
  readonly resolution: number | null;
  readonly missingValue: number | bigint | null;
  readonly timeZone: string | null;
  readonly tags: Tags;
  readonly recording: RecordingLabel | null;
  /** Version of the metadata: the highest is the newest. */
  readonly version: number;
}

export interface SeriesRecord {
  /** Row of the series that row 0 of the datasets is. */
  readonly firstRow: number;
  /** Numbers of rows that the shard tells the truth about, in order: those in no run are not there. */
  readonly claims: readonly RowRange[];
  /** Rows that are there, in order. */
  readonly runs: readonly RowRange[];
  /** The newest edit that the rows have taken in. */
  readonly generation: number;
  /** Row numbers given out, and rows that were removed. */
  readonly rows: number;
  readonly removed: number;
  /** Samples before have expired, and summaries before; regular: these rows, too. */
  readonly expiredNs: bigint | null;
  readonly summariesExpiredNs: bigint | null;
  readonly expiredRows: readonly RowRange[];
  /** Regular: rows of the whole series that were removed, but for those that have expired. */
  readonly holes: readonly RowRange[];
  /** Irregular: what was taken out of the whole series, and may still be in other shards. */
  readonly erasures: readonly Erasure[];
  /** Regular: segments of the claims. */
  readonly segments: readonly Segment[];
  /** Regular: times that a client said rows of the claims have. */
  readonly marks: readonly ClockMark[];
  readonly sealedAt: Date | null;
  readonly contentHash: Series['contentHash'];
  readonly deletedAt: Date | null;
  readonly description: SeriesDescription;
}

export function descriptionOf(series: Series): SeriesDescription {
  const { name, project, unit, dtype, channels, scale, offset, timeReference, duplicates, codec, sampling } = series;
  const { continuity, resolution, missingValue, timeZone, tags, recording, version } = series;
  const rate = sampling.kind === 'regular' ? formatRate(sampling.rate) : null;
  const startNs = sampling.kind === 'regular' ? sampling.startNs : null;
  const startTolerance = (sampling.kind === 'regular' ? sampling.startTolerance : null) ?? null;
  return {
    name,
    project,
    unit,
    dtype,
    channels,
    scale,
    offset,
    rate,
    startNs,
    startTolerance,
    timeReference,
    duplicates,
    codec,
    continuity,
    resolution,
    missingValue,
    timeZone,
    tags,
    recording,
    version,
  };
}

/** As it is in the file. Integers beyond 2^53 and times are texts. */
interface StoredRecord {
  first_row: number;
  claims: [number, number][];
  runs: [number, number][];
  generation: number;
  rows: number;
  removed: number;
  expired_ns?: string;
  summaries_expired_ns?: string;
  expired_rows?: [number, number][];
  holes?: [number, number][];
  erasures?: [number, string, string, number][];
  segments?: [number, string, number, number][];
  clock_marks?: [number, string][];
  sealed_at?: string;
  content_hash?: { values: string; times: string | null; rows: number; commit: string };
  deleted_at?: string;
  series: {
    name: string;
    project: string;
    unit: string | null;
    kind: 'regular' | 'irregular';
    dtype: Dtype;
    channels: Channel[];
    scale: number;
    offset: number;
    rate?: string;
    start?: string;
    start_tolerance?: number;
    time_reference: TimeReference;
    duplicates: DuplicateRule;
    codec: Codec;
    continuity?: Continuity;
    resolution?: number;
    missing_value?: string;
    time_zone?: string;
    tags: Tags;
    recording?: RecordingLabel;
    version: number;
  };
}

export function recordText(record: SeriesRecord): string {
  const { description: d, contentHash } = record;
  const stored: StoredRecord = {
    first_row: record.firstRow,
    claims: pairs(record.claims),
    runs: pairs(record.runs),
    generation: record.generation,
    rows: record.rows,
    removed: record.removed,
    expired_ns: record.expiredNs?.toString(),
    summaries_expired_ns: record.summariesExpiredNs?.toString(),
    expired_rows: unlessEmpty(pairs(record.expiredRows)),
    holes: unlessEmpty(pairs(record.holes)),
    erasures: unlessEmpty(
      record.erasures.map((each) => [each.generation, String(each.startNs), String(each.endNs), each.beforeRow]),
    ),
    segments: unlessEmpty(
      record.segments.map(({ firstRow, startNs, rows, skip = 0 }) => [firstRow, String(startNs), rows, skip]),
    ),
    clock_marks: unlessEmpty(record.marks.map(({ row, ns }) => [row, String(ns)])),
    sealed_at: record.sealedAt?.toISOString(),
    content_hash: contentHash ? { ...contentHash, commit: String(contentHash.commit) } : undefined,
    deleted_at: record.deletedAt?.toISOString(),
    series: {
      name: d.name,
      project: d.project,
      unit: d.unit,
      kind: d.rate === null ? 'irregular' : 'regular',
      dtype: d.dtype,
      channels: [...d.channels],
      scale: d.scale,
      offset: d.offset,
      rate: d.rate ?? undefined,
      start: d.startNs?.toString(),
      start_tolerance: d.startTolerance ?? undefined,
      time_reference: d.timeReference,
      duplicates: d.duplicates,
      codec: d.codec,
      continuity: d.continuity ?? undefined,
      resolution: d.resolution ?? undefined,
      missing_value: d.missingValue === null ? undefined : String(d.missingValue),
      time_zone: d.timeZone ?? undefined,
      tags: d.tags,
      recording: d.recording ?? undefined,
      version: d.version,
    },
  };
  return JSON.stringify(stored);
}

/** @throws where the text is no record */
export function parseRecord(text: string): SeriesRecord {
  const stored = JSON.parse(text) as StoredRecord;
  const { series } = stored;
  const ns = (value: string | undefined): bigint | null => (value === undefined ? null : BigInt(value));
  const date = (value: string | undefined): Date | null => (value === undefined ? null : new Date(value));
  return {
    firstRow: stored.first_row,
    claims: ranges(stored.claims),
    runs: ranges(stored.runs),
    generation: stored.generation,
    rows: stored.rows,
    removed: stored.removed,
    expiredNs: ns(stored.expired_ns),
    summariesExpiredNs: ns(stored.summaries_expired_ns),
    expiredRows: ranges(stored.expired_rows ?? []),
    holes: ranges(stored.holes ?? []),
    erasures: (stored.erasures ?? []).map(([generation, startNs, endNs, beforeRow]) => ({
      generation,
      startNs: BigInt(startNs),
      endNs: BigInt(endNs),
      beforeRow,
    })),
    segments: (stored.segments ?? []).map(([firstRow, startNs, rows, skip]) => ({
      firstRow,
      startNs: BigInt(startNs),
      rows,
      skip,
    })),
    marks: (stored.clock_marks ?? []).map(([row, at]) => ({ row, ns: BigInt(at) })),
    sealedAt: date(stored.sealed_at),
    contentHash: stored.content_hash ? { ...stored.content_hash, commit: BigInt(stored.content_hash.commit) } : null,
    deletedAt: date(stored.deleted_at),
    description: {
      name: series.name,
      project: series.project,
      unit: series.unit,
      dtype: series.dtype,
      channels: series.channels,
      scale: series.scale,
      offset: series.offset,
      rate: series.rate ?? null,
      startNs: series.start === undefined ? null : BigInt(series.start),
      startTolerance: series.start_tolerance ?? null,
      timeReference: series.time_reference,
      duplicates: series.duplicates,
      codec: series.codec,
      continuity: series.continuity ?? null,
      resolution: series.resolution ?? null,
      missingValue: series.missing_value === undefined ? null : parseNumber(series.dtype, series.missing_value),
      timeZone: series.time_zone ?? null,
      tags: series.tags,
      recording: series.recording ?? null,
      version: series.version,
    },
  };
}

function pairs(list: readonly RowRange[]): [number, number][] {
  return list.map(({ from, to }) => [from, to]);
}

function ranges(list: readonly [number, number][]): RowRange[] {
  return list.map(([from, to]) => ({ from, to }));
}

function unlessEmpty<T>(list: T[]): T[] | undefined {
  return list.length > 0 ? list : undefined;
}
