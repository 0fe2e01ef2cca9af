/**
 * Writes a shard anew from the chunks the catalog knows: for a file whose HDF5 structure is damaged while the samples in it are not. The same
 * rows, in the same chunks, in a new file; then one transaction says that they lie there.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { v7 as uuidv7 } from 'uuid';
import type { Database } from '../catalog/database.ts';
import { readDrainSeries } from '../catalog/drain-reader.ts';
import { claimLease, LEASE_SECONDS, releaseLease, renewLease, type Lease } from '../catalog/lane-store.ts';
import {
  getShard,
  moveChunks,
  segmentsOf,
  shardChunks,
  shardSeries,
  type MovedChunk,
  type ShardRecord,
  type ShardSeries,
} from '../catalog/shard-store.ts';
import type { Chunk } from '../core/chunk.ts';
import { DTYPES } from '../core/dtype.ts';
import { VarveError } from '../core/errors.ts';
import { nsOfRow, rateHz } from '../core/rate.ts';
import { DEFAULT_SEAL_LIMITS } from '../core/seal-plan.ts';
import type { Segment } from '../core/segment.ts';
import { renameDurably } from '../storage/data-files.ts';
import { shardPath, type DataRoot } from '../storage/data-root.ts';
import { journalPath } from '../storage/journal.ts';
import { isGone, type ProcessIdentity } from '../storage/process-identity.ts';
import { ShardBytes } from '../storage/shard-bytes.ts';
import type { SeriesAppend, SeriesDescription } from '../storage/shard-commit.ts';
import type { ShardWriter } from '../storage/shard-writer.ts';
import { removeFile } from '../storage/stored-files.ts';
import { resealShard } from './seal-lane.ts';
import { describeSeries } from './describe-series.ts';
import { finding, type Finding } from './finding.ts';

export interface RebuildShardDeps {
  readonly db: Database;
  readonly root: DataRoot;
  readonly writer: Pick<ShardWriter, 'commit'>;
  /** This process, as the lease's holder. */
  readonly holder: ProcessIdentity;
}

export interface RebuildShardOptions {
  /** Leave chunks whose bytes are damaged where they are, instead of refusing. */
  readonly skipCorrupt: boolean;
  /** Remove the old file, instead of keeping it beside. */
  readonly remove: boolean;
  /** How long to wait for the lane: a drain is short. */
  readonly waitMs?: number;
}

export interface RebuildShardReport {
  readonly oldShard: string;
  readonly newShard: { readonly id: string; readonly path: string; readonly bytes: number };
  readonly series: number;
  readonly chunks: number;
  /** Where the old file is now; null: removed. */
  readonly oldPath: string | null;
  /** Chunks that stay in the old file. */
  readonly corrupt: readonly Finding[];
}

const CLAIM_LIMIT_MS = 15_000;
const CLAIM_PAUSE_MS = 250;
/** Samples of one commit to the new file, unless a single chunk has more. */
const COMMIT_BYTES = 32 * 1024 * 1024;
const NS_BYTES = DTYPES.int64.bytes;

/**
 * May run beside the service: the lane waits meanwhile.
 * @param onProgress told of the chunks written so far, and of all
 * @throws not-found; corrupt `shard-missing` without its file; corrupt `chunks-corrupt` naming the damaged chunks, unless they are to be skipped;
 *   unavailable `lane-busy`; conflict `lease-lost`. The shard is as before then
 */
export async function rebuildShard(
  deps: RebuildShardDeps,
  shardId: string,
  options: RebuildShardOptions,
  onProgress: (done: number, total: number) => void = () => {},
): Promise<RebuildShardReport> {
  const shard = await getShard(deps.db, shardId);
  if (shard.state === 'sealed') return resealed(deps, shard);
  const lease = await claimLane(deps, shard.laneId, options.waitMs ?? CLAIM_LIMIT_MS);
  const heartbeat = setInterval(
    () => {
      renewLease(deps.db, lease).catch(() => {}); // the swap decides whether the lease still holds
    },
    (LEASE_SECONDS * 1000) / 3,
  );
  try {
    return await rebuildUnderLease(deps, shard, lease, options, onProgress);
  } catch (error) {
    await releaseLease(deps.db, lease, false).catch(() => {}); // it expires
    throw error;
  } finally {
    clearInterval(heartbeat);
  }
}

/** A sealed shard is sealed once more: the old file is swept when nobody can be reading it any more. */
async function resealed({ db, root, holder }: RebuildShardDeps, shard: ShardRecord): Promise<RebuildShardReport> {
  const deps = { db, root, holder, limits: DEFAULT_SEAL_LIMITS, log: { info: () => {}, warn: () => {} } };
  const report = await resealShard(deps, shard.laneId, shard.id);
  if (!report)
    throw new VarveError('unavailable', 'the lane of the shard is being sealed; try again', { slug: 'lane-busy' });
  const { shard: id, path, bytesAfter: bytes, chunks } = report;
  if (id === null || path === null)
    throw new VarveError('conflict', 'the shard holds no rows any more', { slug: 'shard-empty' });
  const series = (await shardSeries(db, id)).length;
  return { oldShard: shard.id, newShard: { id, path, bytes }, series, chunks, oldPath: shard.path, corrupt: [] };
}

async function claimLane({ db, holder }: RebuildShardDeps, laneId: string, limitMs: number): Promise<Lease> {
  for (const begun = performance.now(); ; await sleep(CLAIM_PAUSE_MS)) {
    const lease = await claimLease(db, laneId, holder, isGone);
    if (lease) return lease;
    if (performance.now() - begun > limitMs) {
      throw new VarveError('unavailable', 'the lane of the shard is being drained; try again', { slug: 'lane-busy' });
    }
  }
}

async function rebuildUnderLease(
  deps: RebuildShardDeps,
  shard: ShardRecord,
  lease: Lease,
  options: RebuildShardOptions,
  onProgress: (done: number, total: number) => void,
): Promise<RebuildShardReport> {
  const { db, root } = deps;
  const series = await shardSeries(db, shard.id);
  const file = await ShardBytes.open(root, shard.path);
  if (!file) throw new VarveError('corrupt', `the file of shard ${shard.id} is missing`, { slug: 'shard-missing' });
  const id = uuidv7();
  const path = shardPath(id, lease.token);
  const temporary = `${path}.tmp`;
  const writing = new NewShard(deps, { id, laneId: shard.laneId, path: temporary });
  try {
    const checked = await checkChunks(db, shard, series, file);
    if (checked.corrupt.length > 0 && !options.skipCorrupt) throw refusal(checked.corrupt);
    if (checked.sound === 0) {
      throw new VarveError('corrupt', `shard ${shard.id} has no rows that could be rebuilt`, { slug: 'nothing-sound' });
    }
    const damaged = new Set(checked.corrupt.map(({ series: of, row }) => keyOf(of!, row!)));
    const ids = series.map((one) => one.id);
    const described = await readDrainSeries(db, ids, null);
    for (const one of series) {
      const segments = one.rate ? await segmentsOf(db, one.id) : [];
      writing.begin(one, describeSeries(described.get(one.id)!.series), segments);
      for await (const chunks of shardChunks(db, shard.id, one.id)) {
        for (const chunk of chunks) {
          if (damaged.has(keyOf(chunk.seriesId, chunk.firstRow))) writing.leaveOut(chunk);
          else await writing.add(chunk, await readChunk(file, one, chunk));
        }
        onProgress(writing.chunks, checked.sound);
      }
    }
    await writing.flush();
    await renameDurably(root, temporary, path);
    const newShard = { id, path, bytes: writing.bytes };
    const isStillNeeded = await moveChunks(db, lease, shard.id, newShard, writing.moved);
    return {
      oldShard: shard.id,
      newShard,
      series: new Set(writing.moved.map(({ seriesId }) => seriesId)).size,
      chunks: writing.moved.length,
      oldPath: isStillNeeded ? shard.path : await retireFile(root, shard.path, options.remove),
      corrupt: checked.corrupt,
    };
  } finally {
    await file.close();
    // Only while it has its temporary name: once renamed it may be what the catalog names, even if the answer to the swap was lost.
    for (const name of [temporary, journalPath(temporary)]) await removeFile(root, name);
  }
}

const keyOf = (seriesId: string, row: number): string => `${seriesId} ${row}`;

/** Reads everything once before anything is written: a refusal should cost nothing. */
async function checkChunks(
  db: Database,
  shard: ShardRecord,
  series: readonly ShardSeries[],
  file: ShardBytes,
): Promise<{ sound: number; corrupt: Finding[] }> {
  const corrupt: Finding[] = [];
  let sound = 0;
  for (const one of series) {
    for await (const chunks of shardChunks(db, shard.id, one.id)) {
      for (const chunk of chunks) {
        const problem = await chunkProblem(file, one, chunk);
        const place = { shard: shard.id, path: shard.path, series: one.id, row: chunk.firstRow };
        const rows = `rows ${chunk.firstRow} to ${chunk.firstRow + chunk.rows - 1}`;
        if (problem === null) sound++;
        else corrupt.push(finding('chunk-corrupt', `${rows}: ${problem}`, place));
      }
    }
  }
  return { sound, corrupt };
}

async function chunkProblem(file: ShardBytes, series: ShardSeries, chunk: Chunk): Promise<string | null> {
  try {
    const { values, times } = await readChunk(file, series, chunk);
    const isSound = crc32(values) === chunk.valuesCrc && (!times || crc32(times) === chunk.timesCrc);
    return isSound ? null : 'they do not match their checksum';
  } catch (error) {
    return `they cannot be read: ${(error as Error).message}`;
  }
}

interface ChunkBytes {
  readonly values: Buffer;
  readonly times: Buffer | null;
}

async function readChunk(file: ShardBytes, { dtype, channels }: ShardSeries, chunk: Chunk): Promise<ChunkBytes> {
  return {
    values: await file.read({ offset: chunk.values.offset, length: chunk.rows * channels * DTYPES[dtype].bytes }),
    times: chunk.times && (await file.read({ offset: chunk.times.offset, length: chunk.rows * NS_BYTES })),
  };
}

function refusal(corrupt: readonly Finding[]): VarveError {
  return new VarveError(
    'corrupt',
    `${corrupt.length} chunks do not match their checksum and nothing was changed; --skip-corrupt leaves them in the old file`,
    {
      slug: 'chunks-corrupt',
      errors: corrupt.map(({ series, message }) => ({ field: `series ${series}`, message })),
    },
  );
}

/** The file that is being written: takes chunks in order, series after series, and commits them many at a time. */
class NewShard {
  readonly #deps: RebuildShardDeps;
  readonly #shard: { readonly id: string; readonly laneId: string; readonly path: string };
  #series: SeriesCopy | null = null;
  #appends: SeriesAppend[] = [];
  #pendingBytes = 0;
  readonly moved: MovedChunk[] = [];
  chunks = 0;
  /** Of the file, as of the last commit. */
  bytes = 0;

  constructor(deps: RebuildShardDeps, shard: { id: string; laneId: string; path: string }) {
    this.#deps = deps;
    this.#shard = shard;
  }

  begin(series: ShardSeries, description: SeriesDescription, segments: readonly Segment[]): void {
    this.#closeRun();
    this.#series = new SeriesCopy(series, description, segments);
  }

  /** What comes after the chunk begins a run of its own; the chunk's rows stay a hole. */
  leaveOut(chunk: Chunk): void {
    this.#closeRun();
    this.#series!.pass(chunk);
  }

  async add(chunk: Chunk, bytes: ChunkBytes): Promise<void> {
    this.#series!.add(chunk, bytes);
    this.chunks++;
    this.#pendingBytes += bytes.values.length + (bytes.times?.length ?? 0);
    if (this.#pendingBytes >= COMMIT_BYTES) await this.flush();
  }

  async flush(): Promise<void> {
    this.#closeRun();
    if (this.#appends.length === 0) return;
    const { id: shardId, laneId, path } = this.#shard;
    const result = await this.#deps.writer.commit({
      dataRoot: this.#deps.root.root,
      shardId,
      laneId,
      path,
      isNew: this.moved.length === 0,
      appends: this.#appends,
    });
    if (result.kind === 'bad-payloads') {
      const [{ id, reason }] = result.writes;
      throw new VarveError('corrupt', `${id} changed while it was copied: ${reason}`, { slug: 'chunks-corrupt' });
    }
    this.moved.push(...result.chunks);
    this.bytes = result.shardBytes;
    this.#appends = [];
    this.#pendingBytes = 0;
  }

  #closeRun(): void {
    const append = this.#series?.takeRun();
    if (append) this.#appends.push(append);
  }
}

/** Turns the chunks of one series into appends: one for each run of chunks that follow each other. */
class SeriesCopy {
  readonly #series: ShardSeries;
  readonly #description: SeriesDescription;
  readonly #segments: readonly Segment[];
  /** Chunks that are to follow each other. */
  #run: { readonly chunk: Chunk; readonly bytes: ChunkBytes }[] = [];
  /** The series' first chunk in the old shard: with it the new datasets begin, even if it is left out. */
  #first: Chunk | null = null;
  /** Row of the series up to which segments have been written. */
  #recordedTo: number | null = null;

  constructor(series: ShardSeries, description: SeriesDescription, segments: readonly Segment[]) {
    this.#series = series;
    this.#description = description;
    this.#segments = segments;
  }

  pass(chunk: Chunk): void {
    this.#first ??= chunk;
  }

  add(chunk: Chunk, bytes: ChunkBytes): void {
    this.#first ??= chunk;
    this.#run.push({ chunk, bytes });
  }

  takeRun(): SeriesAppend | null {
    if (this.#run.length === 0) return null;
    const { id: seriesId, dtype, channels, rate } = this.#series;
    const run = this.#run;
    const [{ chunk }] = run;
    const datasetRow = chunk.datasetRow - this.#first!.datasetRow;
    const end = run.reduce((row, { chunk: { rows } }) => row + rows, chunk.firstRow);
    this.#run = [];
    return {
      seriesId,
      dtype,
      channels,
      irregular: rate === null,
      rateHz: rate && rateHz(rate),
      firstRow: chunk.firstRow,
      tail: datasetRow === 0 ? null : { ...chunk, datasetRow, rows: 0 },
      // The same grid, so that one chunk of the catalog stays one chunk.
      chunkRows: chunk.values.length / (channels * DTYPES[dtype].bytes),
      description: this.#description,
      firstRowNs: rate && this.#timeOf(chunk.firstRow),
      segmentStarts: rate ? this.#startsUpTo(end) : [],
      parts: run.map(({ chunk: { firstRow, rows, valuesCrc, timesCrc }, bytes: { values, times } }) => ({
        writeId: `row ${firstRow} of series ${seriesId}`,
        rows,
        values,
        times,
        valuesCrc,
        timesCrc,
      })),
    };
  }

  /** Those that begin after what was written before, in a hole too; for the first rows of the datasets in any case one. */
  #startsUpTo(end: number): { row: number; startNs: bigint }[] {
    const from = this.#recordedTo ?? this.#first!.firstRow;
    const starts = this.#segments
      .filter(({ firstRow }) => firstRow >= from && firstRow < end)
      .map(({ firstRow, startNs }) => ({ row: firstRow, startNs }));
    if (this.#recordedTo === null && starts[0]?.row !== from)
      starts.unshift({ row: from, startNs: this.#timeOf(from) });
    this.#recordedTo = end;
    return starts;
  }

  #timeOf(row: number): bigint {
    const segment = this.#segments.find(({ firstRow, rows }) => row >= firstRow && row < firstRow + rows);
    if (!segment) throw new VarveError('corrupt', `row ${row} is in no segment`, { slug: 'segments-missing' });
    return segment.startNs + nsOfRow(this.#series.rate!, row - segment.firstRow);
  }
}

/** @returns where the file is now; null if it is gone */
async function retireFile(root: DataRoot, path: string, remove: boolean): Promise<string | null> {
  // The journal has what was never published, or is in the file already.
  await removeFile(root, journalPath(path));
  if (remove) {
    await removeFile(root, path);
    return null;
  }
  await renameDurably(root, path, `${path}.damaged`);
  return `${path}.damaged`;
}
