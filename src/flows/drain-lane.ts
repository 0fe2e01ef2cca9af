/** A drain: takes a lane's oldest pending writes, writes them to its hot shard, and publishes them in one commit. */
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
import { readEditedSeries } from '../catalog/edit-store.ts';
import { publish } from '../catalog/publish.ts';
import { countAttempt, failWrite, pendingWrites, type PendingWrite } from '../catalog/write-store.ts';
import { DTYPES } from '../core/dtype.ts';
import { isVarveError } from '../core/errors.ts';
import { faultOf, isRefusedByPostgres } from '../core/fault.ts';
import type { CodecPool } from '../storage/codec-pool.ts';
import { shardPath, type DataRoot } from '../storage/data-root.ts';
import { isGone, type ProcessIdentity } from '../storage/process-identity.ts';
import type { ShardWriter } from '../storage/shard-writer.ts';
import { removeSpooled } from '../storage/spool.ts';
import { removeFile } from '../storage/stored-files.ts';
import { measureErasure } from './measure-erasure.ts';
import { planSeries, type EditContext, type SeriesPlan } from './plan-drain.ts';

export interface DrainDeps {
  readonly db: Database;
  readonly root: DataRoot;
  readonly writer: Pick<ShardWriter, 'commit'>;
  /** To look into times that an edit takes away. */
  readonly codec: Pick<CodecPool, 'run'>;
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
  const batch = upToEdit(withinBytes(pending, known), known);
  const plans: SeriesPlan[] = [];
  for (const [seriesId, writes] of bySeries(batch)) {
    const series = known.get(seriesId)!;
    plans.push(planSeries(series, writes, await editContext(deps, series, writes)));
  }
  const refused = plans.flatMap((plan) => plan.refused);
  if (refused.length > 0) return putAllAside(deps, lease, refused);
  const shard = lease.hotShard ?? newShard(lease);
  const result = await deps.writer.commit({
    dataRoot: deps.root.root,
    shardId: shard.id,
    laneId: lease.laneId,
    path: shard.path,
    isNew: lease.hotShard === null,
    appends: plans.flatMap((plan) => plan.append ?? []),
    edits: plans.flatMap((plan) => plan.edits),
  });
  if (result.kind === 'bad-payloads') return putAllAside(deps, lease, result.writes);
  const chunks = bySeries(result.chunks);
  try {
    await publish(deps.db, {
      laneId: lease.laneId,
      token: lease.token,
      shard: { ...shard, bytes: result.shardBytes },
      writtenBytes: Math.max(0, result.shardBytes - (lease.hotShard?.bytes ?? 0)) + result.rewrittenBytes,
      retire: result.shardBytes >= SHARD_BYTES,
      series: plans.map(({ published }) => ({ ...published, chunks: chunks.get(published.seriesId) ?? [] })),
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

/** Without them, the rest of the batch can be applied: by the next drain. */
async function putAllAside(
  deps: DrainDeps,
  lease: Lease,
  writes: readonly { readonly id: string; readonly reason: string }[],
): Promise<DrainResult> {
  for (const { id, reason } of writes) await putAside(deps, lease, id, reason);
  await releaseLease(deps.db, lease, false);
  return { kind: 'drained', more: true };
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

/** The beginning of a batch in which an edit of an irregular series is the first write of its series: what it takes away is read from what is visible. */
function upToEdit(batch: readonly PendingWrite[], known: Map<string, DrainSeries>): readonly PendingWrite[] {
  const written = new Set<string>();
  for (const [i, { seriesId, kind }] of batch.entries()) {
    const isErasure = kind !== 'append' && known.get(seriesId)!.series.sampling.kind === 'irregular';
    if (isErasure && written.has(seriesId)) return batch.slice(0, i);
    written.add(seriesId);
  }
  return batch;
}

async function editContext(
  deps: DrainDeps,
  { series }: DrainSeries,
  writes: readonly PendingWrite[],
): Promise<EditContext> {
  const edit = writes.find(({ kind }) => kind !== 'append');
  if (!edit) return { edited: null, measured: null };
  if (series.sampling.kind === 'regular') return { edited: await readEditedSeries(deps.db, series.id), measured: null };
  return { edited: null, measured: await measureErasure(deps, series, edit.rangeStartNs!, edit.rangeEndNs!) };
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
