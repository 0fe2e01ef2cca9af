/**
 * Sealing, and compaction, which is the same: the rows of some shards of a lane, as a reader sees them now, become one new shard, immutable and
 * compressed, with summaries. One transaction swaps the chunks; the old files stay for readers that have just asked, and are swept after a grace time.
 */
import { v7 as uuidv7 } from 'uuid';
import type { Database } from '../catalog/database.ts';
import { claimLease, LEASE_SECONDS, releaseLease, retireHotShard } from '../catalog/lane-store.ts';
import { claimSealLease, releaseSealLease, renewSealLease, type SealLease } from '../catalog/seal-lease.ts';
import {
  clearMasked,
  lanesWithShards,
  maskedSeries,
  overlappingShards,
  readSealSeries,
  seriesInShards,
  type LaneShard,
  type SealSeries,
} from '../catalog/seal-reader.ts';
import { swapShards } from '../catalog/swap-shards.ts';
import type { Chunk } from '../core/chunk.ts';
import { isVarveError } from '../core/errors.ts';
import { isRefusedByPostgres } from '../core/fault.ts';
import { planSeals, type SealLimits, type SealStep } from '../core/seal-plan.ts';
import { shardPath, type DataRoot } from '../storage/data-root.ts';
import { isGone, type ProcessIdentity } from '../storage/process-identity.ts';
import { runInThread } from '../storage/run-in-thread.ts';
import { removeFile } from '../storage/stored-files.ts';
import { measureDead } from './measure-dead.ts';
import { planSeriesSeal, type SealTask, type SeriesSealTask } from './plan-seal.ts';
import type { SealOutcome } from './seal-series.ts';

export interface SealDeps {
  readonly db: Database;
  readonly root: DataRoot;
  /** This process, as the leases' holder. */
  readonly holder: ProcessIdentity;
  readonly limits: SealLimits;
  readonly log: Record<'info' | 'warn', (fields: object, message: string) => void>;
}

export interface SealReport {
  readonly step: SealStep;
  /** Null: nothing was left of the old ones. */
  readonly shard: string | null;
  readonly path: string | null;
  readonly tookMs: number;
  readonly bytesBefore: number;
  readonly bytesAfter: number;
  readonly chunks: number;
  readonly peakRssBytes: number;
}

/** Where a sealing stands, for tests that stop it there. */
export type SealStage = 'planned' | 'written' | 'swapped';

const THREAD = new URL('./seal-thread.js', import.meta.url);

/** What there is to do, of all lanes or one. @param all whatever its age and size */
export async function planSealing(
  { db, limits }: Pick<SealDeps, 'db' | 'limits'>,
  laneId: string | null = null,
  all = false,
): Promise<SealStep[]> {
  const steps: SealStep[] = [];
  for (const [id, shards] of await lanesWithShards(db, laneId)) {
    const isAlone = shards.length === 1 && shards[0].state === 'hot';
    const known = isAlone
      ? shards.map((shard) => ({ ...shard, deadBytes: 0, overlaps: [] }))
      : await judge(db, id, shards);
    steps.push(...planSeals(id, known, limits, all));
  }
  return steps;
}

/** Adds what takes a look at chunks: of series that were masked since, and of times between times. */
async function judge(db: Database, laneId: string, shards: readonly LaneShard[]): Promise<SealStep['shards']> {
  const sealed = shards.filter(({ state }) => state === 'sealed').map(({ id }) => id);
  const { shares, clean } =
    sealed.length > 0 ? await measureDead(db, laneId) : { shares: new Map<string, number>(), clean: [] };
  await clearMasked(db, clean);
  const overlaps = sealed.length > 1 ? await overlappingShards(db, sealed) : new Map<string, string[]>();
  return shards.map((shard) => ({
    ...shard,
    deadBytes: shard.bytes * (shares.get(shard.id) ?? 0),
    overlaps: overlaps.get(shard.id) ?? [],
  }));
}

/**
 * Seals what is due in a lane.
 * @param signal stops at the next safe place, or ends the thread that writes
 * @param onStage told where each step stands
 * @returns what was done; null if somebody else is at it
 * @throws what kept a step from being made; nothing has changed for readers then
 */
export async function sealLane(
  deps: SealDeps,
  laneId: string,
  options: {
    readonly all?: boolean;
    readonly signal?: AbortSignal;
    readonly onStage?: (stage: SealStage) => void;
  } = {},
): Promise<SealReport[] | null> {
  const reports: SealReport[] = [];
  for (const step of await planSealing(deps, laneId, options.all)) {
    options.signal?.throwIfAborted();
    const report = await sealStep(deps, step, options);
    if (!report) return reports.length > 0 ? reports : null;
    reports.push(report);
  }
  return reports;
}

/**
 * Writes one sealed shard anew, from the chunks that the catalog knows: HDF5's structure around them is not looked at.
 * @returns null if somebody else seals the lane
 */
export async function resealShard(deps: SealDeps, laneId: string, shardId: string): Promise<SealReport | null> {
  const shards = (await lanesWithShards(deps.db, laneId)).get(laneId) ?? [];
  const shard = shards.find(({ id, state }) => id === shardId && state === 'sealed');
  if (!shard) throw new Error(`shard ${shardId} is not sealed`);
  const input = { ...shard, deadBytes: 0, overlaps: [] };
  return sealStep(deps, { laneId, reason: 'asked', shards: [input], retire: null }, {});
}

async function sealStep(
  deps: SealDeps,
  step: SealStep,
  { signal, onStage = () => {} }: { signal?: AbortSignal; onStage?: (stage: SealStage) => void },
): Promise<SealReport | null> {
  const { db, holder, log } = deps;
  const lease = await claimSealLease(db, step.laneId, holder, isGone);
  if (!lease) return null;
  const heartbeat = setInterval(
    () => {
      renewSealLease(db, lease).catch(() => {}); // the swap decides whether the lease still holds
    },
    (LEASE_SECONDS * 1000) / 3,
  );
  try {
    if (step.retire !== null && !(await retire(deps, step.laneId, step.retire))) return null;
    const report = await rewrite(deps, lease, step, signal, onStage);
    log.info({ lane: step.laneId, ...summaryOf(report) }, 'sealed');
    return report;
  } finally {
    clearInterval(heartbeat);
    await releaseSealLease(db, lease).catch(() => {}); // it expires
  }
}

/** Under the drain's lease, so that no append is under way. @returns false if the lane is being drained: the next round finds it again */
async function retire({ db, holder }: SealDeps, laneId: string, shardId: string): Promise<boolean> {
  const lease = await claimLease(db, laneId, holder, isGone);
  if (!lease) return false;
  try {
    // A claim of an expired lease retires the shard itself.
    if (lease.hotShard?.id === shardId) await retireHotShard(db, lease, null);
    return true;
  } finally {
    await releaseLease(db, lease, false);
  }
}

async function rewrite(
  deps: SealDeps,
  lease: SealLease,
  step: SealStep,
  signal: AbortSignal | undefined,
  onStage: (stage: SealStage) => void,
): Promise<SealReport> {
  const { db, root } = deps;
  const begun = performance.now();
  const parents = step.shards.map(({ id }) => id);
  const id = uuidv7();
  const path = shardPath(id, lease.token);
  const shardIds = new Set(parents);
  let parentChunks = 0;
  const planned: Array<{ known: SealSeries; task: SeriesSealTask }> = [];
  // Those with masks, too, though they have no rows here: where the masks were told may be one of the parents.
  const seriesIds = new Set([...(await seriesInShards(db, parents)), ...(await maskedSeries(db, step.laneId))]);
  for (const seriesId of seriesIds) {
    const known = await readSealSeries(db, seriesId, parents);
    parentChunks += known.chunks.filter(({ shardId }) => shardIds.has(shardId)).length;
    const task = planSeriesSeal(known, shardIds);
    if (task) planned.push({ known, task });
  }
  onStage('planned');
  const task: SealTask = {
    dataRoot: root.root,
    shard: { shardId: id, laneId: step.laneId, path, parents },
    series: planned.map((each) => each.task),
  };
  const outcome =
    planned.length === 0
      ? { bytes: 0, series: [], peakRssBytes: 0 }
      : await runInThread<SealOutcome>(THREAD, task, signal);
  onStage('written');
  const chunks = outcome.series.flatMap((written, i) =>
    written.chunks.map((chunk) => toChunk(chunk, id, planned[i].known)),
  );
  const summaries = outcome.series.flatMap((written, i) =>
    written.summaries.map((block) => ({ ...block, seriesId: planned[i].known.series.id })),
  );
  const tellsMasks = planned.some(
    ({ task: { sealed } }) => sealed.masks.holes.length + sealed.masks.erasures.length > 0,
  );
  const isEmpty = chunks.length === 0 && summaries.length === 0 && !tellsMasks;
  try {
    await swapShards(db, {
      lease,
      shard: isEmpty ? null : { id, path, bytes: outcome.bytes },
      parents,
      parentChunks,
      chunks,
      summaries,
    });
  } catch (error) {
    // Certainly not published: it must not stay and fill the disk. Otherwise recovery finds out.
    if (isVarveError(error) || isRefusedByPostgres(error)) await removeFile(root, path).catch(() => {});
    throw error;
  }
  if (isEmpty) await removeFile(root, path);
  onStage('swapped');
  return {
    step,
    shard: isEmpty ? null : id,
    path: isEmpty ? null : path,
    tookMs: performance.now() - begun,
    bytesBefore: step.shards.reduce((sum, shard) => sum + shard.bytes, 0),
    bytesAfter: isEmpty ? 0 : outcome.bytes,
    chunks: chunks.length,
    peakRssBytes: outcome.peakRssBytes,
  };
}

function toChunk(
  chunk: SealOutcome['series'][number]['chunks'][number],
  shardId: string,
  { series, generation }: SealSeries,
): Chunk {
  return { ...chunk, seriesId: series.id, shardId, generation };
}

function summaryOf({ step, shard, bytesBefore, bytesAfter }: SealReport): object {
  return { reason: step.reason, shards: step.shards.length, shard, bytesBefore, bytesAfter };
}
