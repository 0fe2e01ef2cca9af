/** What a shard says of itself, through the HDF5 library. Runs in the HDF5 thread. */
import { Dataset, Group, type File } from 'h5wasm/node';
import type { ByteRange } from '../core/chunk.ts';
import { CODECS, type Codec } from '../core/codec.ts';
import type { Dtype } from '../core/dtype.ts';
import { VarveError } from '../core/errors.ts';
import type { RowRange } from '../core/segment.ts';
import { FORMAT_VERSION, HDF5_DTYPE } from './shard-layout.ts';
import { decodeBlockNow, FILTERS } from './block-codec.ts';
import { nowhere, type ChunkPlace } from './chunk-place.ts';
import type { SealedMasks } from './sealed-series.ts';
import { EDITS, type SegmentStart, type SeriesDescription } from './shard-commit.ts';

export interface ShardSurvey {
  readonly shardId: string;
  readonly laneId: string;
  /** A sealed shard: those whose rows it took over; null: it is none. */
  readonly parents: readonly string[] | null;
  readonly series: readonly SurveyedSeries[];
  /** Series whose groups cannot be understood. */
  readonly damaged: readonly { readonly seriesId: string; readonly reason: string }[];
}

export interface SurveyedSeries {
  readonly seriesId: string;
  readonly description: Omit<SeriesDescription, 'dtype'>;
  /** Null, both: nothing but removals are in this shard. */
  readonly dtype: Dtype | null;
  readonly channels: number | null;
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
  /** In order of their numbers. */
  readonly edits: readonly SurveyedEdit[];
  /** In a sealed shard: which rows are there, and what was known of edits. */
  readonly sealed: SurveyedSeal | null;
}

export interface SurveyedSeal extends SealedMasks {
  /** Rows that are there, in order. */
  readonly runs: readonly RowRange[];
}

/** What an edit did, and the rows that a replacement brought. */
export type SurveyedEdit = { readonly generation: number } & (
  | { readonly kind: 'replace'; readonly firstRow: number; readonly rows: number; readonly chunkRows: number }
  | { readonly kind: 'remove'; readonly fromRow: number; readonly toRow: number }
  | {
      readonly kind: 'erase';
      readonly startNs: bigint;
      readonly endNs: bigint;
      readonly beforeRow: number;
      readonly removed: number;
    }
);

/** Told of every read of the library, while it is set. The bytes are only valid during the call. */
export type ReadObserver = (offset: number, bytes: Uint8Array) => void;

const DTYPE_OF = new Map(Object.entries(HDF5_DTYPE).map(([dtype, code]) => [code, dtype as Dtype]));

/** @throws what HDF5 says where the file is damaged; unprocessable `not-a-shard` where it is something else */
export function surveyShard(file: File): ShardSurvey {
  const { varve_format: format, shard, lane, state, parents: parentIds } = attributes(file);
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
  const parents = state === 'sealed' ? (JSON.parse(String(parentIds)) as string[]) : null;
  return { shardId: String(shard), laneId: String(lane), parents, series, damaged };
}

function surveySeries(seriesId: string, of: Group): SurveyedSeries {
  const attrs = attributes(of);
  const text = (name: string): string => {
    if (typeof attrs[name] === 'string') return attrs[name];
    throw new Error(`the attribute ${name} is missing`);
  };
  const optionalText = (name: string): string | null => (attrs[name] === undefined ? null : text(name));
  const irregular = text('kind') === 'irregular';
  const edits = of.keys().includes(EDITS) ? surveyEdits(group(of.get(EDITS), EDITS)) : [];
  // A group that only edits have made has no rows of its own: those of a replacement say what the series' rows are.
  const replacement = edits.find(({ kind }) => kind === 'replace');
  const hasRows = of.keys().includes('values');
  const values = hasRows
    ? dataset(of, 'values')
    : replacement && dataset(of, `${EDITS}/${replacement.generation}/values`);
  const dtype = values && DTYPE_OF.get(values.dtype as string);
  if (values && !dtype) throw new Error(`the values have the type ${JSON.stringify(values.dtype)}`);
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
      continuity: optionalText('continuity'),
      timeZone: optionalText('time_zone'),
      resolution: attrs.resolution === undefined ? null : Number(attrs.resolution),
      missingValue: attrs.missing_value === undefined ? null : (attrs.missing_value as number | bigint),
    },
    dtype: dtype ?? null,
    channels: values?.shape![1] ?? null,
    firstRow: Number(attrs.first_row),
    rows: hasRows ? values!.shape![0] : 0,
    timeRows: !irregular ? null : hasRows ? dataset(of, 'time').shape![0] : 0,
    chunkRows: values?.metadata.chunks![0] ?? 1,
    segments: irregular || !hasRows ? [] : segmentStarts(dataset(of, 'segments')),
    edits,
    sealed: 'generation' in attrs ? surveySeal(of, attrs, hasRows ? values!.shape![0] : 0) : null,
  };
}

function surveySeal(of: Group, attrs: Record<string, unknown>, rows: number): SurveyedSeal {
  const table = (name: string, width: number): bigint[][] => {
    if (!of.keys().includes(name)) return [];
    const flat = dataset(of, name).slice([]) as BigInt64Array;
    return Array.from({ length: flat.length / width }, (_, i) => [...flat.subarray(i * width, (i + 1) * width)]);
  };
  const ranges = (name: string): RowRange[] =>
    table(name, 2).map(([from, to]) => ({ from: Number(from), to: Number(to) }));
  const firstRow = Number(attrs.first_row);
  const all = rows > 0 ? [{ from: firstRow, to: firstRow + rows }] : [];
  return {
    generation: Number(attrs.generation),
    removed: Number(attrs.removed),
    expiredRow: Number(attrs.expired_row ?? 0),
    runs: of.keys().includes('runs') ? ranges('runs') : all,
    holes: ranges('holes'),
    erasures: table('erasures', 4).map(([generation, startNs, endNs, beforeRow]) => ({
      generation: Number(generation),
      startNs,
      endNs,
      beforeRow: Number(beforeRow),
    })),
  };
}

function surveyEdits(edits: Group): SurveyedEdit[] {
  const found = edits.keys().map((name): SurveyedEdit => {
    const of = group(edits.get(name), `${EDITS}/${name}`);
    const attrs = attributes(of);
    const generation = Number(name);
    const row = (attribute: string): number => Number(attrs[attribute]);
    if (attrs.kind === 'replace') {
      const values = dataset(of, 'values');
      const [rows] = values.shape!;
      return { generation, kind: 'replace', firstRow: row('first_row'), rows, chunkRows: values.metadata.chunks![0] };
    }
    if ('from_row' in attrs) return { generation, kind: 'remove', fromRow: row('from_row'), toRow: row('to_row') };
    const [startNs, endNs] = [attrs.start_ns, attrs.end_ns];
    if (typeof startNs !== 'bigint' || typeof endNs !== 'bigint') throw new Error(`the edit ${name} has no range`);
    return { generation, kind: 'erase', startNs, endNs, beforeRow: row('before_row'), removed: row('removed') };
  });
  return found.sort((a, b) => a.generation - b.generation);
}

function segmentStarts(segments: Dataset): SegmentStart[] {
  if (segments.shape![0] === 0) return [];
  const flat = segments.slice([]) as BigInt64Array;
  return Array.from({ length: flat.length / 2 }, (_, i) => ({ row: Number(flat[2 * i]), startNs: flat[2 * i + 1] }));
}

/**
 * Finds chunks by what the library reads to answer for them: the library has no call that says where one lies.
 * @param seriesId or {@link editGroup}, for the rows of a replacement
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
      const found = findChunk(values, observe, row);
      const foundTimes = times && findChunk(times, observe, row);
      return {
        valuesOffset: found && found.offset,
        valuesLength: found && found.length,
        timesOffset: foundTimes && foundTimes.offset,
        timesLength: foundTimes && foundTimes.length,
        problem: null,
      };
    } catch (error) {
      return nowhere(reasonOf(error));
    }
  });
}

function findChunk(of: Dataset, observe: (observer: ReadObserver | null) => void, row: number): ByteRange | null {
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
  const codec = codecOf(of);
  if (codec !== 'none') {
    const packed = reads.filter(({ bytes }) => decodesTo(codec, bytes, wanted));
    if (packed.length === 1) return { offset: packed[0].offset, length: packed[0].bytes.length };
    if (packed.length === 0 && wanted.every((byte) => byte === 0)) return null;
    throw new Error(`${of.path}: the chunk of row ${row} was read from ${packed.length} places`);
  }
  const chunkBytes = (wanted.length / (to - row)) * chunkRows;
  const whole = reads.filter(({ bytes }) => bytes.length === chunkBytes || bytes.length === wanted.length);
  const found = whole.filter(({ bytes }) => bytes.subarray(0, wanted.length).equals(wanted));
  if (found.length === 1) return { offset: found[0].offset, length: chunkBytes };
  if (whole.length === 0 && wanted.every((byte) => byte === 0)) return null;
  throw new Error(`${of.path}: the chunk of row ${row} was read from ${found.length} places`);
}

function codecOf(of: Dataset): Codec {
  const ids = (of.filters as unknown as { id: number }[]).map(({ id }) => id);
  if (ids.length === 0) return 'none';
  const codec = CODECS.find((name) => ids.length === 1 && FILTERS[name]?.id === ids[0]);
  if (!codec) throw new Error(`${of.path} is compressed by filters ${ids.join(', ')}`);
  return codec;
}

/** What the library read of its index is no block: it does not decode, or to something else. */
function decodesTo(codec: Codec, bytes: Buffer, wanted: Buffer): boolean {
  try {
    const decoded = decodeBlockNow(codec, bytes);
    return Buffer.compare(decoded.subarray(0, wanted.length), wanted) === 0;
  } catch {
    return false;
  }
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
