/** Compaction: some shards of a lane become one, sorted, compressed, with summaries, without what was removed. */
import { lanesWithShards, overlappingShards, type LaneShard } from '../../catalog/shards/compaction-store.ts';
import type { Database } from '../../catalog/database.ts';
import { readInOneInstant, type RewriteReader } from '../../catalog/shards/rewrite-reader.ts';
import { getShard, markChunks } from '../../catalog/shards/shard-store.ts';
import { isUnderWay } from '../../catalog/shards/swap-shard.ts';
import { planCompactions, type CompactableShard, type CompactionStep } from '../../core/upkeep/compaction-plan.ts';
import { isVarveError, VarveError } from '../../core/errors.ts';
import { corruptChunks } from '../rewrite/corrupt-chunks.ts';
import { flushLane, type FlushOptions } from '../flush/flush-lane.ts';
import { measureDead } from './measure-dead.ts';
import { planSeriesRewrite, type SeriesTask } from '../rewrite/plan-rewrite.ts';
import { rewriteShards, type RewriteDeps, type RewritePlan, type RewriteReport } from '../rewrite/rewrite-shards.ts';

export interface CompactionReport extends RewriteReport {
  readonly step: CompactionStep;
}

/** What there is to do for all lanes, or for one. @param all whatever the sizes and ages */
export async function planCompaction(
  db: Database,
  laneId: string | null = null,
  all = false,
): Promise<CompactionStep[]> {
  const steps: CompactionStep[] = [];
  for (const [id, shards] of await lanesWithShards(db, laneId)) {
    steps.push(...planCompactions(id, await judge(db, id, shards), all));
  }
  return steps;
}

/** Adds what takes a look at chunks: how much was masked since, and which times lie between others. */
async function judge(db: Database, laneId: string, shards: readonly LaneShard[]): Promise<CompactableShard[]> {
  const { shares } = await measureDead(db, laneId);
  const overlaps =
    shards.length > 1
      ? await overlappingShards(
          db,
          shards.map(({ id }) => id),
        )
      : null;
  return shards.map((shard) => ({
    ...shard,
    deadBytes: shard.dataBytes * (shares.get(shard.id) ?? 0),
    overlap: overlaps?.get(shard.id) ?? null,
  }));
}

/**
 * Compacts what is due in a lane.
 * @returns what was done; null if somebody else is at it
 * @throws what kept a step from being made; nothing has changed for readers then
 */
export async function compactLane(
  deps: RewriteDeps,
  laneId: string,
  options: FlushOptions & { readonly all?: boolean } = {},
): Promise<CompactionReport[] | null> {
  if (!options.asked && (await isUnderWay(deps.db, laneId, 1))) return null;
  const reports: CompactionReport[] = [];
  for (const step of await planCompaction(deps.db, laneId, options.all)) {
    options.signal?.throwIfAborted();
    const report = await compact(deps, step, options);
    if (report) reports.push({ ...report, step });
  }
  return reports;
}

/** Writes one shard anew, from the chunks that the catalog knows. HDF5's structure around them is not looked at. */
export async function rewriteShard(deps: RewriteDeps, laneId: string, shardId: string): Promise<RewriteReport | null> {
  let [shard] = (await lanesWithShards(deps.db, laneId, shardId)).get(laneId) ?? [];
  if (!shard) {
    // Whether the shard may tell of what the other shards of its lane do not tell yet.
    await flushLane(deps, laneId, { asked: true });
    [shard] = (await lanesWithShards(deps.db, laneId, shardId)).get(laneId) ?? [];
  }
  if (!shard) throw new VarveError('conflict', `shard ${shardId} has changed meanwhile`, { slug: 'shard-state' });
  return compact(deps, { laneId, reason: 'asked', shards: [{ ...shard, deadBytes: 0, overlap: null }] }, {});
}

/** Chunks that cannot be read are left where they are. */
async function compact(deps: RewriteDeps, step: CompactionStep, options: FlushOptions): Promise<RewriteReport | null> {
  try {
    return await compactSound(deps, step, options);
  } catch (error) {
    if (!isVarveError(error) || error.code !== 'corrupt') throw error;
    if (!(await markCorrupt(deps, step))) throw error;
    return compactSound(deps, step, options);
  }
}

/** @returns whether there are damaged chunks that nobody knew of */
async function markCorrupt({ db, root, log }: RewriteDeps, { shards }: CompactionStep): Promise<boolean> {
  let isAny = false;
  for (const { id } of shards) {
    const shard = await getShard(db, id);
    const { corrupt } = await corruptChunks({ db, root }, shard);
    if (corrupt.length === 0) continue;
    isAny = true;
    log.warn({ shard: id, path: shard.path, chunks: corrupt.length }, 'chunks cannot be read: they are left out');
    await markChunks(
      db,
      id,
      corrupt.map((chunk) => chunk.id),
    );
  }
  return isAny;
}

async function compactSound(
  deps: RewriteDeps,
  step: CompactionStep,
  options: FlushOptions,
): Promise<RewriteReport | null> {
  let plan = await readInOneInstant(deps.db, (reader) => planStep(reader, step));
  // A flush must have told all edits that a compaction takes in. Otherwise a catalog that is made anew from shards
  // would miss rows without knowing why.
  if (plan.isHeldUp) {
    await flushLane(deps, step.laneId, { signal: options.signal });
    plan = await readInOneInstant(deps.db, (reader) => planStep(reader, step));
  }
  if (plan.chunkIds.length === 0 && plan.series.length === 0) return null;
  const report = await rewriteShards(deps, plan, options);
  if ('damaged' in report) throw new Error(`shards of lane ${step.laneId} cannot be read`);
  return report;
}

/** `isHeldUp`: series are left out, because they have edits that no flush has told. */
async function planStep(
  reader: RewriteReader,
  { laneId, shards }: CompactionStep,
): Promise<RewritePlan & { isHeldUp: boolean }> {
  const { flushed } = await reader.commits(laneId);
  const parents = shards.map(({ id }) => id);
  const found = await reader.inShards(parents);
  const untold = new Set(await reader.maskedSince(laneId, flushed));
  const inputs = found.series.filter(({ seriesId }) => !untold.has(seriesId));
  const isInput = new Set(found.series.map(({ seriesId }) => seriesId));
  // Series with masks are taken, too, though they have no rows here: the file that tells the masks may be one of the
  // parents.
  const masked = (await reader.maskedSince(laneId, 0n)).filter((id) => !untold.has(id) && !isInput.has(id));
  const tasks: SeriesTask[] = [];
  const looked = [...inputs, ...masked.map((seriesId) => ({ seriesId, range: { from: 0, to: 0 } }))];
  for await (const known of reader.series(looked, { kind: 'shards', ids: new Set(parents) })) {
    const task = planSeriesRewrite(known, 1);
    if (task) tasks.push(task);
  }
  return {
    laneId,
    level: 1,
    commit: flushed,
    series: inputs.map(({ seriesId }) => seriesId),
    tasks,
    freshIds: [],
    chunkIds: inputs.flatMap(({ seriesId }) => found.chunkIds.get(seriesId)!),
    parents,
    bytesBefore: shards.reduce((sum, { bytes }) => sum + bytes, 0),
    // A compaction only improves what works already.
    priority: 'low',
    tellsAll: false,
    isHeldUp: inputs.length < found.series.length,
  };
}
