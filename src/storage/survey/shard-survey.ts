/** What a shard says of itself, through the HDF5 library. Runs in the HDF5 thread. */
import { Dataset, Group, type File } from 'h5wasm/node';
import type { ByteRange } from '../../core/rows/chunk.ts';
import { CODECS, type Codec } from '../../core/signal/codec.ts';
import type { Dtype } from '../../core/numbers/dtype.ts';
import { VarveError } from '../../core/errors.ts';
import { SUMMARY_PARTS, type SummaryPartName } from '../../core/overview/summary-block.ts';
import { parseRecord, type SeriesRecord } from '../../core/upkeep/series-record.ts';
import { FORMAT_VERSION, HDF5_DTYPE, RECORD_ATTRIBUTE } from '../codec/shard-layout.ts';
import { decodeBlockNow, FILTERS } from '../codec/block-codec.ts';
import { nowhere, type ChunkPlace } from './chunk-place.ts';

export interface ShardSurvey {
  readonly shardId: string;
  readonly laneId: string;
  /** The commit as of which the shard tells what was so. */
  readonly commit: bigint;
  /** Commit of the oldest flush whose rows it has. */
  readonly firstCommit: bigint;
  /** 0: made by a flush; 1: by compaction. */
  readonly level: number;
  readonly series: readonly SurveyedSeries[];
  /** Series whose groups cannot be understood. */
  readonly damaged: readonly { readonly seriesId: string; readonly reason: string }[];
}

export interface SurveyedSeries {
  readonly seriesId: string;
  readonly record: SeriesRecord;
  /** Type and channels of `values`; null, both: there are no rows of it, only what is said of it. */
  readonly dtype: Dtype | null;
  readonly channels: number | null;
  readonly rows: number;
  /** Codec of `values` and `time`. */
  readonly codec: Codec;
  /** Rows of a chunk of HDF5; for a contiguous dataset all its rows. */
  readonly chunkRows: number;
  /** Rows of `time`; null for regular series. */
  readonly timeRows: number | null;
}

/** Told of every read of the library, while it is set. The bytes are only valid during the call. */
export type ReadObserver = (offset: number, bytes: Uint8Array) => void;

const DTYPE_OF = new Map(Object.entries(HDF5_DTYPE).map(([dtype, code]) => [code, dtype as Dtype]));

/** @throws what HDF5 says where the file is damaged; unprocessable `not-a-shard` where it is something else */
export function surveyShard(file: File): ShardSurvey {
  const { varve_format: format, shard, lane, commit, first_commit: firstCommit, level } = attributes(file);
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
  return {
    shardId: String(shard),
    laneId: String(lane),
    commit: commit as bigint,
    firstCommit: firstCommit as bigint,
    level: Number(level),
    series,
    damaged,
  };
}

function surveySeries(seriesId: string, of: Group): SurveyedSeries {
  const record = parseRecord(String(attributes(of)[RECORD_ATTRIBUTE]));
  const irregular = record.description.rate === null;
  if (!of.keys().includes('values')) {
    const none = { dtype: null, channels: null, rows: 0, chunkRows: 1, codec: 'none' } as const;
    return { seriesId, record, ...none, timeRows: irregular ? 0 : null };
  }
  const values = dataset(of, 'values');
  const dtype = DTYPE_OF.get(values.dtype as string);
  if (!dtype) throw new Error(`the values have the type ${JSON.stringify(values.dtype)}`);
  return {
    seriesId,
    record,
    dtype,
    channels: values.shape![1],
    rows: values.shape![0],
    codec: codecOf(values),
    chunkRows: chunkRowsOf(values),
    timeRows: irregular ? dataset(of, 'time').shape![0] : null,
  };
}

function chunkRowsOf({ metadata, shape }: Dataset): number {
  return metadata.chunks?.[0] ?? shape![0];
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

/** Cells of a summary that lie together, and where their columns are. */
export interface FoundSummary {
  readonly factor: number;
  /** First cell of the datasets in it, and how many. */
  readonly from: number;
  readonly cells: number;
  readonly parts: ReadonlyArray<ByteRange & { readonly name: SummaryPartName; readonly codec: Codec }>;
}

/** The summaries of a series, in order. @throws what HDF5 says if one cannot be read */
export function findSummaries(
  file: File,
  observe: (observer: ReadObserver | null) => void,
  seriesId: string,
): FoundSummary[] {
  const of = group(file.get(`series/${seriesId}`), seriesId);
  if (!of.keys().includes('summary')) return [];
  const all = group(of.get('summary'), 'summary');
  const factors = all
    .keys()
    .map(Number)
    .sort((a, b) => a - b);
  return factors.flatMap((factor) => {
    const columns = group(all.get(String(factor)), `summary of ${factor}`);
    const names = SUMMARY_PARTS.filter((name) => columns.keys().includes(name));
    const datasets = names.map((name) => ({ name, data: dataset(columns, name) }));
    const [{ data: first }] = datasets;
    const [extent, blockCells] = [first.shape![0], chunkRowsOf(first)];
    return Array.from({ length: Math.ceil(extent / blockCells) }, (_, i): FoundSummary => {
      const from = i * blockCells;
      const parts = datasets.map(({ name, data }) => {
        const found = findChunk(data, observe, from);
        if (!found) throw new Error(`${data.path}: the chunk of cell ${from} was never written`);
        return { ...found, name, codec: codecOf(data) };
      });
      return { factor, from, cells: Math.min(extent - from, blockCells), parts };
    });
  });
}

function findChunk(of: Dataset, observe: (observer: ReadObserver | null) => void, row: number): ByteRange | null {
  const [extent, ...rowShape] = of.shape!;
  const chunkRows = chunkRowsOf(of);
  const to = Math.min(extent, row + chunkRows);
  if (row >= to) return null;
  // The library reads its index, and the chunk as a whole. Of a chunk that is too large to be kept, it reads the rows
  // that are asked for.
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

/** What the library read of its index is no block: it does not decode, or decodes to something else. */
function decodesTo(codec: Codec, bytes: Buffer, wanted: Buffer): boolean {
  try {
    const decoded = decodeBlockNow(codec, bytes);
    return Buffer.compare(decoded.subarray(0, wanted.length), wanted) === 0;
  } catch {
    return false;
  }
}

/** What went wrong: the innermost line of the whole stack of errors that the library reports. */
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
  if (item instanceof Dataset && item.shape) return item;
  throw new Error(`${name} is no dataset`);
}
