/** What a shard says of itself, through the HDF5 library. Runs in the HDF5 thread. */
import { Dataset, Group, type File } from 'h5wasm/node';
import type { Dtype } from '../core/dtype.ts';
import { VarveError } from '../core/errors.ts';
import { FORMAT_VERSION, HDF5_DTYPE } from './shard-layout.ts';
import type { SegmentStart, SeriesDescription } from './shard-commit.ts';

export interface ShardSurvey {
  readonly shardId: string;
  readonly laneId: string;
  readonly series: readonly SurveyedSeries[];
  /** Series whose groups cannot be understood. */
  readonly damaged: readonly { readonly seriesId: string; readonly reason: string }[];
}

export interface SurveyedSeries {
  readonly seriesId: string;
  readonly description: SeriesDescription;
  readonly dtype: Dtype;
  readonly channels: number;
  /** Row of the series that row 0 of the datasets is. */
  readonly firstRow: number;
  /** Of `values`. */
  readonly rows: number;
  /** Of `time`; null for regular series. */
  readonly timeRows: number | null;
  /** Rows of an HDF5 chunk. */
  readonly chunkRows: number;
  /** Regular series: the entries of `segments`. */
  readonly segments: readonly SegmentStart[];
}

/** Where HDF5 has the chunk that begins at a row of the datasets; null: nowhere, its rows were never written. */
export interface ChunkPlace {
  readonly valuesOffset: number | null;
  /** Null also for regular series. */
  readonly timesOffset: number | null;
  /** What HDF5 says if it cannot read the chunk. */
  readonly problem: string | null;
}

/** Told of every read of the library, while it is set. The bytes are only valid during the call. */
export type ReadObserver = (offset: number, bytes: Uint8Array) => void;

const DTYPE_OF = new Map(Object.entries(HDF5_DTYPE).map(([dtype, code]) => [code, dtype as Dtype]));

/** @throws what HDF5 says where the file is damaged; unprocessable `not-a-shard` where it is something else */
export function surveyShard(file: File): ShardSurvey {
  const { varve_format: format, shard, lane } = attributes(file);
  if (format !== FORMAT_VERSION) {
    throw new VarveError('unprocessable', `is no shard of format ${FORMAT_VERSION}`, { slug: 'not-a-shard' });
  }
  const all = group(file.get('series'), '/series');
  const series: SurveyedSeries[] = [];
  const damaged: { seriesId: string; reason: string }[] = [];
  for (const seriesId of all.keys()) {
    try {
      series.push(surveySeries(seriesId, group(all.get(seriesId), seriesId)));
    } catch (error) {
      damaged.push({ seriesId, reason: reasonOf(error) });
    }
  }
  return { shardId: String(shard), laneId: String(lane), series, damaged };
}

function surveySeries(seriesId: string, of: Group): SurveyedSeries {
  const attrs = attributes(of);
  const text = (name: string): string => {
    if (typeof attrs[name] === 'string') return attrs[name];
    throw new Error(`the attribute ${name} is missing`);
  };
  const values = dataset(of, 'values');
  const dtype = DTYPE_OF.get(values.dtype as string);
  if (!dtype) throw new Error(`the values have the type ${JSON.stringify(values.dtype)}`);
  const [rows, channels] = values.shape!;
  const irregular = text('kind') === 'irregular';
  return {
    seriesId,
    description: {
      name: text('name'),
      project: text('project'),
      unit: text('unit') || null,
      scale: Number(attrs.scale),
      offset: Number(attrs.offset),
      rate: irregular ? null : text('rate'),
      timeReference: text('time_reference'),
      duplicates: text('duplicates'),
      codec: text('codec'),
      channels: text('channels'),
      tags: text('tags'),
    },
    dtype,
    channels,
    firstRow: Number(attrs.first_row),
    rows,
    timeRows: irregular ? dataset(of, 'time').shape![0] : null,
    chunkRows: values.metadata.chunks![0],
    segments: irregular ? [] : segmentStarts(dataset(of, 'segments')),
  };
}

function segmentStarts(segments: Dataset): SegmentStart[] {
  if (segments.shape![0] === 0) return [];
  const flat = segments.slice([]) as BigInt64Array;
  return Array.from({ length: flat.length / 2 }, (_, i) => ({ row: Number(flat[2 * i]), startNs: flat[2 * i + 1] }));
}

/**
 * Finds chunks by what the library reads to answer for them: the library has no call that says where one lies.
 * @param rows of the datasets, at which chunks begin
 * @throws what HDF5 says of the series' group; of single chunks it is in their places
 */
export function findChunks(
  file: File,
  observe: (observer: ReadObserver | null) => void,
  seriesId: string,
  rows: readonly number[],
): ChunkPlace[] {
  const of = group(file.get(`series/${seriesId}`), seriesId);
  const values = dataset(of, 'values');
  const times = of.keys().includes('time') ? dataset(of, 'time') : null;
  return rows.map((row) => {
    try {
      const valuesOffset = findChunk(values, observe, row);
      return { valuesOffset, timesOffset: times && findChunk(times, observe, row), problem: null };
    } catch (error) {
      return { valuesOffset: null, timesOffset: null, problem: reasonOf(error) };
    }
  });
}

function findChunk(of: Dataset, observe: (observer: ReadObserver | null) => void, row: number): number | null {
  const [extent, ...rowShape] = of.shape!;
  const [chunkRows] = of.metadata.chunks!;
  const to = Math.min(extent, row + chunkRows);
  if (row >= to) return null;
  // Reads of the library: its index, and the chunk, as a whole or (if it is too large to be kept) the rows that are asked for.
  const reads: { offset: number; bytes: Buffer }[] = [];
  observe((offset, bytes) => reads.push({ offset, bytes: Buffer.from(bytes) }));
  let data: { buffer: ArrayBufferLike; byteOffset: number; byteLength: number };
  try {
    data = of.slice([[row, to], ...rowShape.map((size): [number, number] => [0, size])]) as Uint8Array;
  } finally {
    observe(null);
  }
  const wanted = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const chunkBytes = (wanted.length / (to - row)) * chunkRows;
  const whole = reads.filter(({ bytes }) => bytes.length === chunkBytes || bytes.length === wanted.length);
  const found = whole.filter(({ bytes }) => bytes.subarray(0, wanted.length).equals(wanted));
  if (found.length === 1) return found[0].offset;
  if (whole.length === 0 && wanted.every((byte) => byte === 0)) return null;
  throw new Error(`${of.path}: the chunk of row ${row} was read from ${found.length} places`);
}

/** What went wrong, of the whole stack of errors that the library reports: its innermost line. */
export function reasonOf(error: unknown): string {
  const { message } = error as Error;
  return [...message.matchAll(/^ *#\d+: .* in \w+\(\): (.+)$/gm)].at(-1)?.[1] ?? message;
}

function attributes(of: File | Group): Record<string, unknown> {
  return Object.fromEntries(Object.entries(of.attrs).map(([name, attribute]) => [name, attribute.value]));
}

function group(item: unknown, name: string): Group {
  if (item instanceof Group) return item;
  throw new Error(`${name} is no group`);
}

function dataset(of: Group, name: string): Dataset {
  const item = of.get(name);
  if (item instanceof Dataset && item.shape && item.metadata.chunks) return item;
  throw new Error(`${name} is no dataset in chunks`);
}
