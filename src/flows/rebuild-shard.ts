/**
 * Writes a shard anew from the chunks the catalog knows: for a file whose HDF5 structure is damaged while the samples in it are not, or of which some
 * chunks are. It is a compaction of one shard: the same rows in a new file, and one transaction says that they lie there.
 */
import { flushedCommit, retireShard } from '../catalog/rebuild.ts';
import type { RewriteSeries } from '../catalog/rewrite-reader.ts';
import { getShard, shardChunks, shardSeries, type ShardRecord, type ShardSeries } from '../catalog/shard-store.ts';
import { shardSummaries } from '../catalog/summary-row.ts';
import type { Chunk } from '../core/chunk.ts';
import { DTYPES } from '../core/dtype.ts';
import { isVarveError, VarveError } from '../core/errors.ts';
import { keepFile, parseShardName } from '../storage/data-files.ts';
import { ShardBytes } from '../storage/shard-bytes.ts';
import { readStoredPart, type StoredPart } from '../storage/stored-chunk.ts';
import { readSummaries } from '../storage/summary-reader.ts';
import { rewriteShard } from './compact-lane.ts';
import { finding, type Finding } from './finding.ts';
import { flushLane } from './flush-lane.ts';
import type { RewriteDeps } from './rewrite-shards.ts';

export interface RebuildShardOptions {
  /** Leave chunks whose bytes are damaged where they are, instead of refusing. */
  readonly skipCorrupt: boolean;
  /** Let the old file go, instead of keeping it beside. */
  readonly remove: boolean;
}

export interface RebuildShardReport {
  readonly oldShard: string;
  readonly newShard: { readonly id: string; readonly path: string; readonly bytes: number };
  readonly series: number;
  readonly chunks: number;
  /** Where the old file is kept; null: it goes in a minute, when readers have let go of it. */
  readonly oldPath: string | null;
  /** Chunks that stay in the old file, and summaries that are lost. */
  readonly corrupt: readonly Finding[];
}

/**
 * May run beside the service.
 * @param onProgress told of the chunks checked so far, and of all
 * @throws not-found; corrupt `shard-missing` without its file; corrupt `chunks-corrupt` naming the damaged chunks, unless they are to be skipped; corrupt
 *   `nothing-sound`; conflict `shard-empty`, `chunks-changed` if it is being replaced. The shard is as before then
 */
export async function rebuildShard(
  deps: RewriteDeps,
  shardId: string,
  { skipCorrupt, remove }: RebuildShardOptions,
  onProgress: (done: number, total: number) => void = () => {},
): Promise<RebuildShardReport> {
  const { db, root } = deps;
  const shard = await getShard(db, shardId);
  if (shard.state === 'writing' || shard.state === 'replaced') throw isEmpty(shard);
  const { damage, chunks } = await findDamage(deps, shard, onProgress);
  if (damage.findings.length > 0 && !skipCorrupt) throw refusal(damage.findings);
  if (chunks === 0) throw isEmpty(shard);
  if (damage.chunks.size === chunks) {
    throw new VarveError('corrupt', `shard ${shardId} has no rows that could be rebuilt`, { slug: 'nothing-sound' });
  }
  await tellAll(deps, shard);
  const report = await rewriteShard(deps, shard.laneId, shard, (known) => withoutDamage(known, damage));
  if (!report || report.shard === null) throw isEmpty(shard);
  const isStillNeeded = await retireShard(db, shardId);
  return {
    oldShard: shard.id,
    newShard: { id: report.shard, path: report.path!, bytes: report.bytesAfter },
    series: report.series,
    chunks: report.chunks,
    oldPath: isStillNeeded ? shard.path : remove ? null : await keepFile(root, shard.path),
    corrupt: damage.findings,
  };
}

function isEmpty({ id }: ShardRecord): VarveError {
  return new VarveError('conflict', `shard ${id} holds no rows`, { slug: 'shard-empty' });
}

/** A compaction takes in only what flushes have told. */
async function tellAll(deps: RewriteDeps, { laneId, path }: ShardRecord): Promise<void> {
  const commit = parseShardName(path)?.commit ?? 0n;
  while ((await flushedCommit(deps.db, laneId)) < commit) {
    const outcome = await flushLane(deps, laneId, { asked: true });
    if (outcome.kind !== 'flushed') return;
  }
}

interface Damage {
  /** {@link keyOf} of chunks that cannot be read. */
  readonly chunks: ReadonlySet<string>;
  /** Series whose summaries cannot be. */
  readonly summaries: ReadonlySet<string>;
  readonly findings: readonly Finding[];
}

/** Of the chunks of one shard. */
function keyOf(seriesId: string, { firstRow, generation }: Pick<Chunk, 'firstRow' | 'generation'>): string {
  return `${seriesId} ${firstRow} ${generation}`;
}

function withoutDamage(known: RewriteSeries, damage: Damage): RewriteSeries {
  const { id } = known.series;
  return {
    ...known,
    chunks: known.chunks.map((chunk) =>
      chunk.isPlanned && damage.chunks.has(keyOf(id, chunk)) ? { ...chunk, isPlanned: false } : chunk,
    ),
    summaries: damage.summaries.has(id) ? [] : known.summaries,
  };
}

/** Reads everything once before anything is written: a refusal should cost nothing. @throws corrupt `shard-missing` */
async function findDamage(
  { db, root }: RewriteDeps,
  shard: ShardRecord,
  onProgress: (done: number, total: number) => void,
): Promise<{ damage: Damage; chunks: number }> {
  const file = await ShardBytes.open(root, shard.path);
  if (!file) throw new VarveError('corrupt', `the file of shard ${shard.id} is missing`, { slug: 'shard-missing' });
  const place = { shard: shard.id, path: shard.path };
  const damaged = { chunks: new Set<string>(), summaries: new Set<string>() };
  const findings: Finding[] = [];
  let chunks = 0;
  try {
    const allSeries = await shardSeries(db, shard.id);
    for (const [done, series] of allSeries.entries()) {
      onProgress(done, allSeries.length);
      for await (const page of shardChunks(db, shard.id, series.id)) {
        chunks += page.length;
        for (const chunk of page) {
          const problem = await problemOf(file, series, chunk);
          if (problem === null) continue;
          damaged.chunks.add(keyOf(series.id, chunk));
          const rows = `rows ${chunk.firstRow} to ${chunk.firstRow + chunk.rows - 1}`;
          findings.push(
            finding('chunk-corrupt', `${rows}: ${problem}`, { ...place, series: series.id, row: chunk.firstRow }),
          );
        }
      }
    }
    for (const { seriesId, ...block } of await shardSummaries(db, shard.id, null)) {
      if (damaged.summaries.has(seriesId) || (await isReadable({ ...block, path: shard.path }))) continue;
      damaged.summaries.add(seriesId);
      const message = 'its summaries cannot be read; those of rows that have expired are lost';
      findings.push(finding('summary-corrupt', message, { ...place, series: seriesId }));
    }
    onProgress(allSeries.length, allSeries.length);
  } finally {
    await file.close();
  }
  return { damage: { ...damaged, findings }, chunks };

  async function isReadable(block: Parameters<typeof readSummaries>[1][number]): Promise<boolean> {
    try {
      for await (const _ of readSummaries(root, [block]));
      return true;
    } catch {
      return false;
    }
  }
}

/** @returns what keeps a chunk from being read; null if nothing does */
async function problemOf(file: ShardBytes, { dtype, channels }: ShardSeries, chunk: Chunk): Promise<string | null> {
  const { skip, rows, values, times, codec, timesCodec, valuesCrc, timesCrc } = chunk;
  const isSound = async (part: StoredPart, crc: number): Promise<boolean> => {
    const stored = await readStoredPart(file, part);
    if (stored.crc !== crc) return false;
    await stored.rows();
    return true;
  };
  try {
    const ofValues = { block: values, codec, skip, rows, rowBytes: channels * DTYPES[dtype].bytes };
    if (!(await isSound(ofValues, valuesCrc))) return 'they do not match their checksum';
    if (!times) return null;
    const ofTimes = { block: times, codec: timesCodec ?? 'none', skip, rows, rowBytes: DTYPES.int64.bytes };
    return (await isSound(ofTimes, timesCrc!)) ? null : 'their times do not match their checksum';
  } catch (error) {
    if (!isVarveError(error)) throw error;
    return `they cannot be read: ${error.message}`;
  }
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
