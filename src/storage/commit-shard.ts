/** Appends a batch of writes to a shard as one atomic commit. Runs in the writer thread. */
import { closeSync, fstatSync, mkdirSync, openSync, readSync } from 'node:fs';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import type { Dataset, Group } from 'h5wasm/node';
import { hotChunkRows, type ByteRange, type Chunk } from '../core/chunk.ts';
import { emptyStats, extendStats } from '../core/chunk-stats.ts';
import { DTYPES, viewAs, type Dtype } from '../core/dtype.ts';
import { extendSpan, type TimeSpan } from '../core/time-span.ts';
import { DataRoot } from './data-root.ts';
import { systemDisk, type Disk } from './disk.ts';
import type { Hdf5File, Hdf5Session, WriteObserver } from './hdf5-session.ts';
import { recoverShard } from './journal.ts';
import type { CommitPart, CommitRequest, CommitResult, SeriesAppend } from './shard-commit.ts';
import { ShardTransaction, type CommitStep } from './shard-transaction.ts';

/** h5wasm's names are Python struct codes. */
export const HDF5_DTYPE: Record<Dtype, string> = {
  int8: '<b',
  int16: '<h',
  int32: '<i',
  int64: '<q',
  uint8: '<B',
  uint16: '<H',
  uint32: '<I',
  uint64: '<Q',
  float32: '<f',
  float64: '<d',
};
const TIME_BYTES = 8;
const SEGMENT_CHUNK_ROWS = 64;
export const FORMAT_VERSION = 1;

/** A payload that does not hold what its write says. */
class BadPayload extends Error {
  readonly writeId: string;

  constructor(writeId: string, reason: string) {
    super(reason);
    this.writeId = writeId;
  }
}

/**
 * @param onStep told of every step of the commit as it is reached
 * @throws on any fault of the file system or of HDF5; the file is as before, the session must not be used again
 */
export function commitShard(
  session: Hdf5Session,
  request: CommitRequest,
  onStep?: (step: CommitStep) => void,
  disk: Disk = systemDisk,
): CommitResult {
  const root = new DataRoot(request.dataRoot);
  const path = root.resolve(request.path);
  if (!request.isNew) recoverShard(path, disk);
  else if (mkdirSync(dirname(path), { recursive: true })) disk.syncFolder(dirname(path));
  const transaction = new ShardTransaction(path, request.isNew, disk);
  let bad: BadPayload | null = null;
  let chunks: Chunk[] = [];
  try {
    session.use(transaction, request.isNew, (file, observe) => {
      try {
        chunks = appendAll(file, observe, root, request);
      } catch (error) {
        // Caught inside, so that HDF5 closes the file in good order; what it flushes is thrown away with the transaction.
        if (!(error instanceof BadPayload)) throw error;
        bad = error;
      }
    });
    if (bad === null) return { kind: 'committed', shardBytes: transaction.commit(onStep), chunks };
  } catch (error) {
    transaction.abort();
    throw error;
  }
  transaction.abort();
  const { writeId, message } = bad as BadPayload;
  return { kind: 'bad-payloads', writes: [{ id: writeId, reason: message }] };
}

function appendAll(
  file: Hdf5File,
  observe: (observer: WriteObserver | null) => void,
  root: DataRoot,
  request: CommitRequest,
): Chunk[] {
  if (request.isNew) {
    file.create_attribute('varve_format', Int32Array.of(FORMAT_VERSION), [], '<i');
    file.create_attribute('shard', request.shardId);
    file.create_attribute('lane', request.laneId);
    file.create_group('series');
  }
  const all = file.get('series') as Group;
  const chunks: Chunk[] = [];
  for (const append of request.appends) {
    const source = new RowSource(root, append);
    try {
      chunks.push(...appendSeries(all, observe, request.shardId, append, source));
    } finally {
      source.close();
    }
  }
  return chunks;
}

function appendSeries(
  all: Group,
  observe: (observer: WriteObserver | null) => void,
  shardId: string,
  append: SeriesAppend,
  source: RowSource,
): Chunk[] {
  const rowBytes = append.channels * DTYPES[append.dtype].bytes;
  const total = append.parts.reduce((rows, part) => rows + part.rows, 0);
  const begin = append.tail ? append.tail.datasetRow + append.tail.rows : 0;
  let group = all.get(append.seriesId) as Group | null;
  if (!group) {
    group = all.create_group(append.seriesId);
    describe(group, append, append.firstRow - begin);
    const chunkRows = append.chunkRows ?? hotChunkRows(rowBytes, total, append.rateHz);
    createDataset(group, 'values', append.dtype, [append.channels], chunkRows);
    if (append.irregular) createDataset(group, 'time', 'int64', [], chunkRows);
    else createDataset(group, 'segments', 'int64', [2], SEGMENT_CHUNK_ROWS);
  }
  const values = new BlockWriter(group.get('values') as Dataset, observe, append.dtype, append.channels);
  const times = append.irregular ? new BlockWriter(group.get('time') as Dataset, observe, 'int64', null) : null;
  const leftover = values.setRows(begin, begin + total);
  times?.setRows(begin, begin + total);
  if (!append.irregular && (begin === 0 || leftover || append.segmentStarts.length > 0)) {
    recordSegments(group.get('segments') as Dataset, append);
  }

  const chunks: Chunk[] = [];
  for (let row = begin; row < begin + total;) {
    const inChunk = row % values.chunkRows;
    const rows = Math.min(values.chunkRows - inChunk, begin + total - row);
    const before = inChunk > 0 ? append.tail : null; // only the first chunk can have rows already
    const block = source.next(rows);
    const chunkFirstRow = append.firstRow + (row - begin) - inChunk;
    const span = block.times && extendSpan(before && spanOf(before), block.times);
    chunks.push({
      seriesId: append.seriesId,
      shardId,
      firstRow: chunkFirstRow,
      rows: inChunk + rows,
      datasetRow: row - inChunk,
      firstNs: span && span.firstNs,
      lastNs: span && span.lastNs,
      sorted: span?.sorted ?? true,
      values: values.write(row, rows, block.values, before?.values ?? null),
      times: times && times.write(row, rows, block.timeBytes!, before?.times ?? null),
      codec: 'none',
      valuesCrc: crc32(block.values, before?.valuesCrc ?? 0),
      timesCrc: block.timeBytes && crc32(block.timeBytes, before?.timesCrc ?? 0),
      stats: extendStats(
        before?.stats ?? emptyStats(append.channels),
        append.dtype,
        viewAs(append.dtype, block.values),
        append.channels,
      ),
    });
    row += rows;
  }
  return chunks;
}

function spanOf({ firstNs, lastNs, sorted }: Chunk): TimeSpan {
  return { firstNs: firstNs!, lastNs: lastNs!, sorted };
}

/** Keeps `segments`, a list of (row, UTC ns) where the rows of this shard begin or begin anew, in step with the rows. */
function recordSegments(dataset: Dataset, append: SeriesAppend): void {
  const starts = [...append.segmentStarts];
  let kept = 0;
  if (dataset.shape![0] > 0) {
    const recorded = dataset.slice([]) as BigInt64Array;
    while (kept * 2 < recorded.length && recorded[kept * 2] < BigInt(append.firstRow)) kept++;
  }
  if (kept === 0 && !(starts.length > 0 && starts[0].row <= append.firstRow))
    starts.unshift({ row: append.firstRow, startNs: append.firstRowNs! });
  dataset.resize([kept + starts.length, 2]);
  if (starts.length === 0) return;
  const flat = BigInt64Array.from(starts.flatMap(({ row, startNs }) => [BigInt(row), startNs]));
  dataset.write_slice(
    [
      [kept, kept + starts.length],
      [0, 2],
    ],
    flat,
  );
}

function createDataset(group: Group, name: string, dtype: Dtype, rowShape: number[], chunkRows: number): void {
  group.create_dataset({
    name,
    data: new DTYPES[dtype].array(0),
    dtype: HDF5_DTYPE[dtype],
    shape: [0, ...rowShape],
    maxshape: [null, ...rowShape],
    chunks: [chunkRows, ...rowShape],
  });
}

function describe(group: Group, append: SeriesAppend, firstRow: number): void {
  const { description: d } = append;
  group.create_attribute('first_row', BigInt64Array.of(BigInt(firstRow)), [], '<q');
  for (const [name, value] of [
    ['name', d.name],
    ['project', d.project],
    ['unit', d.unit ?? ''],
    ['kind', append.irregular ? 'irregular' : 'regular'],
    ['time_reference', d.timeReference],
    ['duplicates', d.duplicates],
    ['codec', d.codec],
    ['channels', d.channels],
    ['tags', d.tags],
  ] as const) {
    group.create_attribute(name, value);
  }
  group.create_attribute('scale', Float64Array.of(d.scale), [], '<d');
  group.create_attribute('offset', Float64Array.of(d.offset), [], '<d');
  if (d.rate !== null) group.create_attribute('rate', d.rate);
}

/** Writes rows into one dataset, a chunk at a time, and learns from HDF5's own writes where each chunk lies. */
class BlockWriter {
  readonly chunkRows: number;
  readonly #dataset: Dataset;
  readonly #observe: (observer: WriteObserver | null) => void;
  readonly #dtype: Dtype;
  /** Null: a vector. */
  readonly #channels: number | null;
  readonly #rowBytes: number;

  constructor(dataset: Dataset, observe: (o: WriteObserver | null) => void, dtype: Dtype, channels: number | null) {
    this.#dataset = dataset;
    this.#observe = observe;
    this.#dtype = dtype;
    this.#channels = channels;
    this.#rowBytes = (channels ?? 1) * DTYPES[dtype].bytes;
    this.chunkRows = dataset.metadata.chunks![0];
  }

  /**
   * @param committed rows the catalog knows
   * @returns true if there were more: left by a commit that Postgres did not publish, and cut here
   */
  setRows(committed: number, rows: number): boolean {
    const row = this.#channels === null ? [] : [this.#channels];
    const leftover = this.#dataset.shape![0] > committed;
    if (leftover) this.#dataset.resize([committed, ...row]);
    this.#dataset.resize([rows, ...row]);
    return leftover;
  }

  /**
   * @param known where the chunk lies if it has rows already
   * @returns the whole block of the chunk
   * @throws if HDF5 did not write the chunk as one block: then its place is unknown and the commit must not go on
   */
  write(row: number, rows: number, bytes: Uint8Array, known: ByteRange | null): ByteRange {
    const length = this.chunkRows * this.#rowBytes;
    const at = (row % this.chunkRows) * this.#rowBytes;
    const found: number[] = [];
    this.#observe((offset, block) => {
      if (block.length === length && Buffer.compare(block.subarray(at, at + bytes.length), bytes) === 0)
        found.push(offset);
    });
    const ranges =
      this.#channels === null
        ? [[row, row + rows]]
        : [
            [row, row + rows],
            [0, this.#channels],
          ];
    this.#dataset.write_slice(ranges as [number, number][], viewAs(this.#dtype, bytes));
    this.#observe(null);
    if (found.length !== 1 || (known && known.offset !== found[0])) {
      throw new Error(
        `chunk of ${length} bytes of ${this.#dataset.path} found at [${found.join(', ')}], expected ${known?.offset ?? 'one place'}`,
      );
    }
    return { offset: found[0], length };
  }
}

/** The rows of several payloads as one sequence, in blocks of any size; checks each payload's length and checksum on the way. */
class RowSource {
  readonly #root: DataRoot;
  readonly #parts: readonly CommitPart[];
  readonly #rowBytes: number;
  readonly #irregular: boolean;
  #part = 0;
  #row = 0;
  #values: PayloadReader | null = null;
  #times: PayloadReader | null = null;

  constructor(root: DataRoot, append: SeriesAppend) {
    this.#root = root;
    this.#parts = append.parts;
    this.#rowBytes = append.channels * DTYPES[append.dtype].bytes;
    this.#irregular = append.irregular;
  }

  next(rows: number): { values: Uint8Array; timeBytes: Uint8Array | null; times: BigInt64Array | null } {
    const values = new Uint8Array(rows * this.#rowBytes);
    const timeBytes = this.#irregular ? new Uint8Array(rows * TIME_BYTES) : null;
    for (let done = 0; done < rows;) {
      const part = this.#parts[this.#part];
      if (!this.#values) this.#openPart(part);
      const take = Math.min(rows - done, part.rows - this.#row);
      this.#values!.read(values.subarray(done * this.#rowBytes, (done + take) * this.#rowBytes));
      if (timeBytes) this.#times!.read(timeBytes.subarray(done * TIME_BYTES, (done + take) * TIME_BYTES));
      done += take;
      this.#row += take;
      if (this.#row === part.rows) this.#closePart();
    }
    return { values, timeBytes, times: timeBytes && (viewAs('int64', timeBytes) as BigInt64Array) };
  }

  #openPart(part: CommitPart): void {
    const path = (name: 'values' | 'times'): string => this.#root.spooled(part.writeId, name);
    this.#values = new PayloadReader(
      part.writeId,
      part.values,
      path('values'),
      part.rows * this.#rowBytes,
      part.valuesCrc,
    );
    if (this.#irregular) {
      this.#times = new PayloadReader(
        part.writeId,
        part.times,
        path('times'),
        part.rows * TIME_BYTES,
        part.timesCrc ?? 0,
      );
    }
  }

  #closePart(): void {
    this.#values!.verify();
    this.#times?.verify();
    this.close();
    this.#part++;
    this.#row = 0;
  }

  close(): void {
    this.#values?.close();
    this.#times?.close();
    this.#values = this.#times = null;
  }
}

/** Bytes of one payload, from memory or from the spool, in order. */
class PayloadReader {
  readonly #writeId: string;
  readonly #inline: Uint8Array | null;
  readonly #fd: number | null = null;
  readonly #expectedCrc: number;
  #position = 0;
  #crc = 0;

  constructor(writeId: string, inline: Uint8Array | null, path: string, length: number, crc: number) {
    this.#writeId = writeId;
    this.#inline = inline;
    this.#expectedCrc = crc;
    if (!inline) {
      try {
        this.#fd = openSync(path, 'r');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT')
          throw new BadPayload(writeId, 'its spooled payload is missing');
        throw error;
      }
    }
    const found = inline ? inline.length : fstatSync(this.#fd!).size;
    if (found !== length) {
      this.close();
      throw new BadPayload(writeId, `its payload has ${found} bytes, not ${length}`);
    }
  }

  read(into: Uint8Array): void {
    if (this.#inline) into.set(this.#inline.subarray(this.#position, this.#position + into.length));
    else {
      for (let done = 0; done < into.length;) {
        const got = readSync(this.#fd!, into, done, into.length - done, this.#position + done);
        if (got === 0) throw new BadPayload(this.#writeId, 'its spooled payload is cut short');
        done += got;
      }
    }
    this.#position += into.length;
    this.#crc = crc32(into, this.#crc);
  }

  verify(): void {
    if (this.#crc !== this.#expectedCrc) throw new BadPayload(this.#writeId, 'its payload does not match its checksum');
  }

  close(): void {
    if (this.#fd !== null) closeSync(this.#fd);
  }
}
