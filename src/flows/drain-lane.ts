/** A drain: takes a lane's oldest pending writes, appends them to its hot shard, and publishes them in one commit. */
import { setTimeout as sleep } from 'node:timers/promises';
import { v7 as uuidv7 } from 'uuid';
import type { Database } from '../catalog/database.ts';
import { readDrainSeries, type DrainSeries } from '../catalog/drain-reader.ts';
import {
  claimLease,
  releaseLease,
  renewLease,
  restLane,
  retireHotShard,
  LEASE_SECONDS,
  type Lease,
} from '../catalog/lane-store.ts';
import { publish, type PublishedSeries } from '../catalog/publish.ts';
import { countAttempt, failWrite, pendingWrites, type PendingWrite } from '../catalog/write-store.ts';
import type { Chunk } from '../core/chunk.ts';
import { DTYPES } from '../core/dtype.ts';
import { isVarveError } from '../core/errors.ts';
import { faultOf, isRefusedByPostgres } from '../core/fault.ts';
import { nsOfRow, rateHz } from '../core/rate.ts';
import { extendSegments, type Segment } from '../core/segment.ts';
import { shardPath, type DataRoot } from '../storage/data-root.ts';
import { isGone, type ProcessIdentity } from '../storage/process-identity.ts';
import type { SeriesAppend } from '../storage/shard-commit.ts';
import type { ShardWriter } from '../storage/shard-writer.ts';
import { removeSpooled } from '../storage/spool.ts';
import { removeFile } from '../storage/stored-files.ts';
import { describeSeries } from './describe-series.ts';

export interface DrainDeps {
  readonly db: Database;
  readonly root: DataRoot;
  readonly writer: Pick<ShardWriter, 'commit'>;
  /** This process, as the leases' holder. */
  readonly holder: ProcessIdentity;
  readonly log: { warn(fields: object, message: string): void; info(fields: object, message: string): void };
}

export type DrainResult =
  | { readonly kind: 'drained'; readonly more: boolean }
  /** Somebody else is draining the lane, or it rests after an outage of the system. */
  | { readonly kind: 'busy'; readonly retryInMs: number }
  | { readonly kind: 'nothing' };

/** Writes of one commit: many small ones become one, and their rows of Postgres stay a bounded query. */
const BATCH_WRITES = 2_000;
/** Samples of one commit, unless a single write has more. */
const BATCH_BYTES = 128 * 1024 * 1024;
/** A hot shard of this size takes no more appends. */
const SHARD_BYTES = 1024 * 1024 * 1024;
/** After this many failed drains in a row the lane's writes are tried one by one, to find the one to blame … */
const SUSPECT_AFTER_FAILURES = 2;
/** … which is put aside after this many attempts of its own. */
const MAX_ATTEMPTS = 5;
const BUSY_RETRY_MS = 250;
/** A lease is given back once Postgres answers again, if that is soon: one left to expire costs its lane half a minute and a new shard. */
const RELEASE_TRIES = 10;
const RELEASE_PAUSE_MS = 500;

/**
 * @throws whatever kept the batch from being committed, unless it is an outage of the system, after which the lane rests; nothing is published then,
 *   and the lease is given back
 */
export async function drainLane(deps: DrainDeps, laneId: string): Promise<DrainResult> {
  const lease = await claimLease(deps.db, laneId, deps.holder, isGone);
  if (!lease) return { kind: 'busy', retryInMs: BUSY_RETRY_MS };
  if (lease.abandonedShard !== null) {
    const lane = { lane: laneId, shard: lease.abandonedShard };
    deps.log.warn(lane, 'starting a new shard: the lease expired, its holder may live');
  }
  const heartbeat = setInterval(
    () => {
      renewLease(deps.db, lease).catch(() => {}); // the publish decides whether the lease still holds
    },
    (LEASE_SECONDS * 1000) / 3,
  );
  try {
    return await drainUnderLease(deps, lease);
  } catch (error) {
    if (isLeaseLost(error)) throw error;
    return await giveBack(deps, lease, error);
  } finally {
    clearInterval(heartbeat);
  }
}

function isLeaseLost(error: unknown): boolean {
  return isVarveError(error) && error.slug === 'lease-lost';
}

/** No write is to blame for a full disk or a lost connection, so such a failure brings none of them nearer to being put aside. */
async function giveBack({ db, log }: DrainDeps, lease: Lease, error: unknown): Promise<DrainResult> {
  const fault = faultOf(error);
  if (fault === null) {
    await patiently(() => releaseLease(db, lease, true));
    throw error;
  }
  const restMs = await patiently(() => restLane(db, lease));
  if (restMs === null) throw error;
  const reason = (error as Error).message;
  log.warn({ lane: lease.laneId, fault, reason, restMs }, 'a drain was kept from committing: the lane rests');
  return { kind: 'busy', retryInMs: restMs };
}

/** @returns null if Postgres stays away: the lease will expire */
async function patiently<T>(operation: () => Promise<T>): Promise<T | null> {
  for (let tries = 1; ; tries++) {
    try {
      return await operation();
    } catch {
      if (tries === RELEASE_TRIES) return null;
      await sleep(RELEASE_PAUSE_MS);
    }
  }
}

async function drainUnderLease(deps: DrainDeps, lease: Lease): Promise<DrainResult> {
  const suspicious = lease.failures >= SUSPECT_AFTER_FAILURES;
  const limit = suspicious ? 1 : BATCH_WRITES;
  const pending = await pendingWrites(deps.db, lease.laneId, limit);
  if (pending.length === 0) {
    await releaseLease(deps.db, lease, false);
    return { kind: 'nothing' };
  }
  if (!suspicious) return applyWrites(deps, lease, pending, limit);
  try {
    // A shard that is damaged or missing fails every drain. What fails in a new one, too, has the write to blame.
    return await applyWrites(deps, await leaveHotShard(deps, lease), pending, limit);
  } catch (error) {
    if (isLeaseLost(error) || faultOf(error) !== null) throw error;
    const [{ id }] = pending;
    if ((await countAttempt(deps.db, id)) < MAX_ATTEMPTS) throw error;
    await putAside(deps, lease, id, `could not be applied in ${MAX_ATTEMPTS} attempts: ${(error as Error).message}`);
    await releaseLease(deps.db, lease, false);
    return { kind: 'drained', more: true };
  }
}

async function leaveHotShard(deps: DrainDeps, lease: Lease): Promise<Lease> {
  if (!lease.hotShard) return lease;
  const subject = { lane: lease.laneId, shard: lease.hotShard.id };
  deps.log.warn(subject, 'starting a new shard: drains fail, and the old one may be the cause');
  await retireHotShard(deps.db, lease, null);
  return { ...lease, hotShard: null };
}

async function applyWrites(
  deps: DrainDeps,
  lease: Lease,
  pending: readonly PendingWrite[],
  limit: number,
): Promise<DrainResult> {
  const known = await readDrainSeries(
    deps.db,
    [...new Set(pending.map((write) => write.seriesId))],
    lease.hotShard?.id ?? null,
  );
  const batch = withinBytes(pending, known);
  const plans = planAppends(batch, known);
  const shard = lease.hotShard ?? newShard(lease);
  const result = await deps.writer.commit({
    dataRoot: deps.root.root,
    shardId: shard.id,
    laneId: lease.laneId,
    path: shard.path,
    isNew: lease.hotShard === null,
    appends: plans.map((plan) => plan.append),
  });
  if (result.kind === 'bad-payloads') {
    for (const { id, reason } of result.writes) await putAside(deps, lease, id, reason);
    await releaseLease(deps.db, lease, false);
    return { kind: 'drained', more: true };
  }
  const chunks = bySeries(result.chunks);
  try {
    await publish(deps.db, {
      laneId: lease.laneId,
      token: lease.token,
      shard: { ...shard, bytes: result.shardBytes },
      retire: result.shardBytes >= SHARD_BYTES,
      series: plans.map((plan) => published(plan, chunks)),
      writes: plans.flatMap((plan) => plan.writes),
    });
  } catch (error) {
    // The next try makes another file: one that was certainly not published must not stay and fill the disk.
    const isRefused = isLeaseLost(error) || isRefusedByPostgres(error);
    if (lease.hotShard === null && isRefused) await removeFile(deps.root, shard.path).catch(() => {});
    throw error;
  }
  for (const write of batch) {
    // It is published, whatever becomes of the copy; recovery looks for such.
    if (write.spooled) await removeSpooled(deps.root, write.id).catch(() => {});
  }
  return { kind: 'drained', more: pending.length === limit || batch.length < pending.length };
}

async function putAside(deps: DrainDeps, lease: Lease, writeId: string, reason: string): Promise<void> {
  deps.log.warn({ write: writeId, reason }, 'write put aside');
  await failWrite(deps.db, lease, writeId, { code: 'poison', message: reason });
}

function newShard(lease: Lease): { id: string; path: string } {
  const id = uuidv7();
  return { id, path: shardPath(id, lease.token) };
}

function withinBytes(pending: readonly PendingWrite[], known: Map<string, DrainSeries>): PendingWrite[] {
  const batch: PendingWrite[] = [];
  let bytes = 0;
  for (const write of pending) {
    const { series } = known.get(write.seriesId)!;
    bytes += write.rows * series.channels.length * DTYPES[series.dtype].bytes;
    if (batch.length > 0 && bytes > BATCH_BYTES) break;
    batch.push(write);
  }
  return batch;
}

/** What one series gets in this commit. */
interface AppendPlan {
  readonly append: SeriesAppend;
  readonly writes: { id: string; firstRow: number }[];
  readonly segments: readonly Segment[];
  readonly fromRow: number;
  readonly toRow: number;
  readonly firstNs: bigint | null;
  readonly lastNs: bigint | null;
}

function planAppends(batch: readonly PendingWrite[], known: Map<string, DrainSeries>): AppendPlan[] {
  return [...bySeries(batch)].map(([seriesId, writes]) => planAppend(known.get(seriesId)!, writes));
}

function bySeries<T extends { readonly seriesId: string }>(items: readonly T[]): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(item.seriesId);
    if (group) group.push(item);
    else groups.set(item.seriesId, [item]);
  }
  return groups;
}

function planAppend({ series, lastSegment, tail }: DrainSeries, writes: readonly PendingWrite[]): AppendPlan {
  const rate = series.sampling.kind === 'regular' ? series.sampling.rate : null;
  const placed: { id: string; firstRow: number }[] = [];
  let toRow = series.rows;
  let { firstNs, lastNs } = series;
  for (const write of writes) {
    placed.push({ id: write.id, firstRow: toRow });
    toRow += write.rows;
    if (write.firstNs !== null && (firstNs === null || write.firstNs < firstNs)) firstNs = write.firstNs;
    if (write.lastNs !== null && (lastNs === null || write.lastNs > lastNs)) lastNs = write.lastNs;
  }
  const runs = writes.map((write) => ({ startNs: write.startNs!, rows: write.rows }));
  const segments = rate ? extendSegments(lastSegment, rate, series.rows, runs) : [];
  const newest = segments.at(-1);
  if (rate && newest) {
    firstNs ??= segments[0].startNs;
    lastNs = newest.startNs + nsOfRow(rate, newest.rows - 1);
  }
  return {
    append: {
      seriesId: series.id,
      dtype: series.dtype,
      channels: series.channels.length,
      irregular: rate === null,
      rateHz: rate && rateHz(rate),
      firstRow: series.rows,
      tail,
      description: describeSeries(series),
      firstRowNs: rate && writes[0].startNs,
      segmentStarts: segments
        .filter((segment) => segment.firstRow >= series.rows)
        .map(({ firstRow, startNs }) => ({ row: firstRow, startNs })),
      parts: writes.map((write) => ({
        writeId: write.id,
        rows: write.rows,
        values: write.values,
        times: write.times,
        valuesCrc: write.valuesCrc,
        timesCrc: write.timesCrc,
      })),
    },
    writes: placed,
    segments,
    fromRow: series.rows,
    toRow,
    firstNs,
    lastNs,
  };
}

function published(plan: AppendPlan, chunks: ReadonlyMap<string, Chunk[]>): PublishedSeries {
  return {
    seriesId: plan.append.seriesId,
    chunks: chunks.get(plan.append.seriesId) ?? [],
    segments: plan.segments,
    fromRow: plan.fromRow,
    toRow: plan.toRow,
    firstNs: plan.firstNs,
    lastNs: plan.lastNs,
  };
}
