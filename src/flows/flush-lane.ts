/** Flushing: the fresh chunks of a lane become a shard. What edits and expiry have changed is told by it, too. */
import type { Database } from '../catalog/database.ts';
import { laneBacklogs, markDamaged } from '../catalog/fresh-store.ts';
import { readInOneInstant, type RewriteReader } from '../catalog/rewrite-reader.ts';
import { isUnderWay } from '../catalog/swap-shard.ts';
import { flushReason, MOST_FLUSH_BYTES, type FlushLimits } from '../core/flush-plan.ts';
import { planSeries, type SeriesTask } from './plan-rewrite.ts';
import {
  rewriteShards,
  type RewriteDeps,
  type RewriteOptions,
  type RewritePlan,
  type RewriteReport,
} from './rewrite-shards.ts';

export type FlushOutcome =
  /** `more`: not all of the lane was taken at once. */
  | { readonly kind: 'flushed'; readonly report: RewriteReport; readonly more: boolean }
  | { readonly kind: 'nothing' }
  /** Somebody else is at it. */
  | { readonly kind: 'busy' };

export interface FlushOptions extends RewriteOptions {
  /** Also if somebody else is at it. */
  readonly asked?: boolean;
  /** Bytes that are taken at once, but at least one chunk. */
  readonly most?: number;
}

/** Chunks that cannot be read are found together; what comes after so many attempts is no accident. */
const ATTEMPTS = 4;

/** Lanes that are to be flushed now. */
export async function dueLanes(db: Database, limits: FlushLimits): Promise<string[]> {
  const lanes = await laneBacklogs(db);
  return lanes.filter((lane) => flushReason(lane, limits) !== null).map(({ laneId }) => laneId);
}

/** @throws what kept it from being made; nothing has changed for readers then */
export async function flushLane(deps: RewriteDeps, laneId: string, options: FlushOptions = {}): Promise<FlushOutcome> {
  if (!options.asked && (await isUnderWay(deps.db, laneId, 0))) return { kind: 'busy' };
  for (let attempt = 1; ; attempt++) {
    const plan = await readInOneInstant(deps.db, (reader) =>
      planFlush(reader, laneId, options.most ?? MOST_FLUSH_BYTES),
    );
    if (!plan) return { kind: 'nothing' };
    const result = await rewriteShards(deps, plan, options);
    if (!('damaged' in result)) return { kind: 'flushed', report: result, more: !plan.tellsAll };
    deps.log.warn({ lane: laneId, chunks: result.damaged }, 'fresh chunks cannot be read: they are left out');
    await markDamaged(deps.db, result.damaged);
    if (attempt === ATTEMPTS) throw new Error(`fresh chunks of lane ${laneId} turn out damaged again and again`);
  }
}

/** @returns null if there is nothing to be flushed or told */
async function planFlush(reader: RewriteReader, laneId: string, most: number): Promise<RewritePlan | null> {
  const { newest, flushed } = await reader.commits(laneId);
  const fresh = await reader.fresh(laneId, most);
  const isFresh = new Set(fresh.series.map(({ seriesId }) => seriesId));
  const masked = (await reader.maskedSince(laneId, flushed)).filter((seriesId) => !isFresh.has(seriesId));
  const inputs = [...fresh.series, ...masked.map((seriesId) => ({ seriesId, range: { from: 0, to: 0 } }))];
  if (inputs.length === 0) return null;
  const tasks: SeriesTask[] = [];
  for await (const known of reader.series(inputs, { kind: 'fresh', lastId: fresh.lastId })) {
    const task = planSeries(known, 0);
    if (task) tasks.push(task);
  }
  return {
    laneId,
    level: 0,
    commit: newest,
    series: inputs.map(({ seriesId }) => seriesId),
    tasks,
    freshIds: fresh.series.flatMap(({ ids }) => ids),
    chunkIds: [],
    parents: [],
    bytesBefore: fresh.series.reduce((sum, { bytes }) => sum + bytes, 0),
    tellsAll: fresh.isAll,
  };
}
