/** Flushing: the fresh chunks of a lane become a shard, or several side by side. What edits and expiry have changed is told by them, too. */
import type { Database } from '../../catalog/database.ts';
import { laneBacklogs, markDamaged } from '../../catalog/appends/fresh-store.ts';
import {
  readInOneInstant,
  type FreshOfSeries,
  type RewriteReader,
  type SeriesInput,
} from '../../catalog/shards/rewrite-reader.ts';
import { isUnderWay, tellFlushed } from '../../catalog/shards/swap-shard.ts';
import {
  flushReason,
  MOST_FLUSH_BYTES,
  MOST_FRESH_BYTES,
  planSides,
  type FlushLimits,
  type FlushSide,
} from '../../core/upkeep/flush-plan.ts';
import { planSeriesRewrite, type SeriesTask } from '../rewrite/plan-rewrite.ts';
import {
  rewriteShards,
  type RewriteDeps,
  type RewriteOptions,
  type RewritePlan,
  type RewriteReport,
} from '../rewrite/rewrite-shards.ts';

export type FlushOutcome =
  /** `more`: not all of the lane was taken at once. */
  | { readonly kind: 'flushed'; readonly reports: readonly RewriteReport[]; readonly more: boolean }
  | { readonly kind: 'nothing' }
  /** True if somebody else is at it. */
  | { readonly kind: 'busy' };

export interface FlushOptions extends RewriteOptions {
  /** Flush even if somebody else is at it. */
  readonly asked?: boolean;
  /** Bytes that are taken at once, but at least one chunk. */
  readonly most?: number;
  /** Shards that are written side by side, by a thread each, where there is enough. Default: 1. */
  readonly sides?: number;
  /** … which takes so many bytes for each. Default: however few. */
  readonly sidesFrom?: number;
}

/** Chunks that cannot be read are found together. So a failure after so many attempts is no accident. */
const ATTEMPTS = 4;

/** Lanes that are to be flushed now. */
export async function dueLanes(db: Database, limits: FlushLimits): Promise<string[]> {
  const lanes = await laneBacklogs(db);
  return lanes.filter((lane) => flushReason(lane, limits) !== null).map(({ laneId }) => laneId);
}

/** @throws what kept the shard from being made; nothing has changed for readers then */
export async function flushLane(deps: RewriteDeps, laneId: string, options: FlushOptions = {}): Promise<FlushOutcome> {
  if (!options.asked && (await isUnderWay(deps.db, laneId, 0))) return { kind: 'busy' };
  for (let attempt = 1; ; attempt++) {
    const flush = await readInOneInstant(deps.db, (reader) => planFlush(reader, laneId, options));
    if (!flush) return { kind: 'nothing' };
    const damaged: number[] = [];
    const reports: RewriteReport[] = [];
    // All sides come to an end: what one could not write is fresh still, and what another one has is in a shard.
    const results = await Promise.allSettled(flush.plans.map((plan) => rewriteShards(deps, plan, options)));
    for (const result of results) {
      if (result.status === 'rejected') throw result.reason;
      if ('damaged' in result.value) damaged.push(...result.value.damaged);
      else reports.push(result.value);
    }
    if (damaged.length === 0) {
      if (flush.toldCommit !== null) await tellFlushed(deps.db, laneId, flush.toldCommit);
      return { kind: 'flushed', reports, more: !flush.isAll };
    }
    deps.log.warn({ lane: laneId, chunks: damaged }, 'fresh chunks cannot be read: they are left out');
    await markDamaged(deps.db, damaged);
    if (attempt === ATTEMPTS) throw new Error(`fresh chunks of lane ${laneId} turn out damaged again and again`);
  }
}

interface FlushPlans {
  readonly plans: readonly RewritePlan[];
  /** Nothing fresh is left out. */
  readonly isAll: boolean;
  /**
   * The commit as of which shards tell all, once all plans are carried out. Null: a plan has to say it, or they do not.
   */
  readonly toldCommit: bigint | null;
}

/** @returns null if there is nothing to be flushed or told */
async function planFlush(
  reader: RewriteReader,
  laneId: string,
  { most = MOST_FLUSH_BYTES, sides: mostSides = 1, sidesFrom = 0 }: FlushOptions,
): Promise<FlushPlans | null> {
  const { newest, flushed } = await reader.commits(laneId);
  const { series: fresh, lastId, isAll } = await reader.fresh(laneId, most);
  const isFresh = new Set(fresh.map(({ seriesId }) => seriesId));
  const masked = (await reader.maskedSince(laneId, flushed)).filter((seriesId) => !isFresh.has(seriesId));
  if (fresh.length + masked.length === 0) return null;
  const bytes = fresh.reduce((sum, each) => sum + each.bytes, 0);
  const { sides, parts } = await shareOut(reader, fresh, bytes < sidesFrom ? 1 : mostSides);
  // A lane that is behind stays behind if its flush has to wait for all who ask. In the end these are refused for it.
  const priority = bytes >= MOST_FRESH_BYTES ? 'normal' : 'below';
  const plans: RewritePlan[] = [];
  for (const [i, { series, part }] of sides.entries()) {
    const whole = series.map((at) => fresh[at]);
    const own = parts ? [...whole, parts[part]] : whole;
    const told = i === 0 ? masked.map((seriesId) => ({ seriesId, range: { from: 0, to: 0 } })) : [];
    const tasks = await tasksOf(reader, [...whole, ...told], 0, lastId);
    if (parts) {
      const { ids } = parts[part];
      tasks.push(...(await tasksOf(reader, [parts[part]], ids[0] - 1, ids.at(-1)!)));
    }
    plans.push({
      laneId,
      level: 0,
      commit: newest,
      series: [...own, ...told].map(({ seriesId }) => seriesId),
      tasks,
      freshIds: own.flatMap(({ ids }) => ids),
      chunkIds: [],
      parents: [],
      bytesBefore: own.reduce((sum, each) => sum + each.bytes, 0),
      priority,
      tellsAll: isAll && sides.length === 1,
    });
  }
  return { plans, isAll, toldCommit: isAll && sides.length > 1 ? newest : null };
}

/** @returns the sides, and one part for each of the series that is cut; null: none is */
async function shareOut(
  reader: RewriteReader,
  fresh: readonly FreshOfSeries[],
  most: number,
): Promise<{ sides: readonly FlushSide[]; parts: readonly FreshOfSeries[] | null }> {
  const bytes = fresh.map((each) => each.bytes);
  const { sides, cut } = planSides(bytes, most);
  if (cut === null) return { sides, parts: null };
  const parts = await reader.parts(fresh[cut], sides.length);
  // A series that cannot be cut would be all of one side: the others wait for it anyway.
  return parts ? { sides, parts } : { sides: planSides(bytes, 1).sides, parts: null };
}

async function tasksOf(
  reader: RewriteReader,
  inputs: readonly SeriesInput[],
  afterId: number,
  lastId: number,
): Promise<SeriesTask[]> {
  const tasks: SeriesTask[] = [];
  for await (const known of reader.series(inputs, { kind: 'fresh', afterId, lastId })) {
    const task = planSeriesRewrite(known, 0);
    if (task) tasks.push(task);
  }
  return tasks;
}
