/** Recovery: makes rows and files agree again after whatever happened. The same flow at start, on a timer and by hand. */
import type { Database } from '../catalog/database.ts';
import { claimLease, releaseLease } from '../catalog/lane-store.ts';
import { readBusyLanes, readRecoveryRows, readWriteStates, type BusyLane } from '../catalog/recovery-reader.ts';
import { markShardFound, markShardLost } from '../catalog/shard-store.ts';
import { maskPurgeable, purgeSeries } from '../catalog/purge-store.ts';
import { forgetReplaced } from '../catalog/swap-shards.ts';
import { purgeAppliedWrites } from '../catalog/write-store.ts';
import { ORPHAN_GRACE_MS, reconcile, type LaneFacts, type Repair, type StoredFile } from '../core/reconcile.ts';
import { fileExists, listStoredFiles, removeFile, removeStale, setShardAside } from '../storage/stored-files.ts';
import type { DataRoot } from '../storage/data-root.ts';
import { sweepExports } from '../storage/hdf5-export.ts';
import { journalPath } from '../storage/journal.ts';
import { isGone, type ProcessIdentity } from '../storage/process-identity.ts';
import { settleShard } from '../storage/settle-shard.ts';

export interface RecoverDeps {
  readonly db: Database;
  readonly root: DataRoot;
  /** This process, as the holder of leases it takes. */
  readonly holder: ProcessIdentity;
  readonly log: Record<'info' | 'warn' | 'error', (fields: object, message: string) => void>;
}

export interface RepairOutcome {
  readonly repair: Repair;
  /** What was done; null: nothing, because it was no longer needed or somebody else is at it. */
  readonly done: string | null;
  /** Why it failed. */
  readonly error: string | null;
}

export interface RecoveryReport {
  /** Of all repairs but rings. */
  readonly outcomes: readonly RepairOutcome[];
  /** For whoever has the bell. */
  readonly lanesToRing: readonly string[];
  /** Writes of long ago that were forgotten. */
  readonly purgedWrites: number;
  /** Series that were deleted, and of which nothing was left on the disk. */
  readonly purgedSeries: number;
}

/** What is not worth a warning, or more than one. */
const LEVELS: Partial<Record<Repair['kind'], 'info' | 'error'>> = { 'mark-lost': 'error', 'drop-replaced': 'info' };
/** Rows that one statement forgets: it must not hold its locks for long. */
const PURGE_BATCH = 5_000;
/** Statements of one round: twice as many writes as 5,000 a second bring in a minute. */
const PURGE_BATCHES = 120;

/** Series of one round: each takes a look at all writes. */
const PURGE_SERIES = 100;

/** The quick part, for every other second: frees leases of processes that are gone. @returns the lanes to ring */
export async function recoverLanes(deps: RecoverDeps): Promise<string[]> {
  const lanes = (await readBusyLanes(deps.db)).map(laneFacts);
  const repairs = reconcile({ lanes, shards: [], writeStates: new Map(), files: [] });
  return (await repairAll(deps, repairs)).lanesToRing;
}

/** What a whole round would repair. */
export async function diagnose({ db, root }: Pick<RecoverDeps, 'db' | 'root'>): Promise<Repair[]> {
  // Files first: what is made after this is in no list, and what a drain publishes meanwhile is among the rows.
  const files = await listStoredFiles(root);
  const writeIds = new Set(files.flatMap((file) => (file.kind === 'payload' ? [file.writeId] : [])));
  const { lanes, shards, writeStates } = await readRecoveryRows(db, [...writeIds]);
  return reconcile({
    lanes: lanes.map(laneFacts),
    shards: shards.map(({ abandonedBy, ...shard }) => ({
      ...shard,
      mayBeOpen: abandonedBy !== null && !isGone(abandonedBy),
    })),
    writeStates,
    files,
  });
}

/** The whole of it. A repair that fails is reported and keeps no other from being made. */
export async function recover(deps: RecoverDeps): Promise<RecoveryReport> {
  const report = await repairAll(deps, await diagnose(deps));
  await sweepExports(deps.root, ORPHAN_GRACE_MS);
  await maskPurgeable(deps.db);
  return { ...report, purgedWrites: await purge(deps), purgedSeries: await purgeSeries(deps.db, PURGE_SERIES) };
}

function laneFacts({ id, token, holder, claimable, hasPending, resting }: BusyLane): LaneFacts {
  const lease = holder === null ? 'free' : isGone(holder) ? 'dead' : claimable ? 'expired' : 'live';
  return { id, token, lease, hasPending, resting };
}

async function repairAll(
  deps: RecoverDeps,
  repairs: readonly Repair[],
): Promise<{ outcomes: RepairOutcome[]; lanesToRing: string[] }> {
  const outcomes: RepairOutcome[] = [];
  const lanesToRing: string[] = [];
  for (const repair of repairs) {
    if (repair.kind === 'ring') {
      lanesToRing.push(repair.laneId);
      continue;
    }
    try {
      const done = await make(deps, repair);
      outcomes.push({ repair, done, error: null });
      if (done !== null) deps.log[LEVELS[repair.kind] ?? 'warn'](subjectOf(repair), `recovery: ${done}`);
    } catch (error) {
      outcomes.push({ repair, done: null, error: (error as Error).message });
      deps.log.error({ ...subjectOf(repair), err: error }, `recovery: ${repair.kind} failed`);
    }
  }
  return { outcomes, lanesToRing };
}

function subjectOf(repair: Repair): { lane: string } | { path: string } {
  if (repair.kind === 'free-lease' || repair.kind === 'ring') return { lane: repair.laneId };
  return { path: repair.kind === 'remove' ? repair.file.path : repair.path };
}

/** Looks once more before it acts: between the diagnosis and now the world went on. @returns what was done, or null */
async function make(deps: RecoverDeps, repair: Exclude<Repair, { kind: 'ring' }>): Promise<string | null> {
  const { db, root } = deps;
  switch (repair.kind) {
    case 'free-lease':
      await releaseLease(db, repair, false);
      return 'freed the lease of a process that is gone';
    case 'mark-lost':
      if (await fileExists(root, repair.path)) return null;
      return (await markShardLost(db, repair.shardId)) ? 'a shard is lost: its file is missing' : null;
    case 'mark-found':
      if (!(await fileExists(root, repair.path))) return null;
      await markShardFound(db, repair.shardId);
      return 'a lost shard is back';
    case 'settle':
      return settle(deps, repair);
    case 'drop-replaced':
      await removeFile(root, journalPath(repair.path));
      await removeFile(root, repair.path);
      await forgetReplaced(db, repair.shardId);
      return 'removed: its rows are in another shard';
    case 'set-aside':
      return `a shard that was never published is kept as ${await setShardAside(root, repair.path)}`;
    case 'remove':
      return (await isStillOrphan(db, repair.file)) && (await removeStale(root, repair.file))
        ? `removed: ${repair.reason}`
        : null;
  }
}

async function isStillOrphan(db: Database, file: StoredFile): Promise<boolean> {
  if (file.kind !== 'payload') return true;
  const state = (await readWriteStates(db, [file.writeId])).get(file.writeId);
  return state === undefined || state === 'applied';
}

/** Under the lane's lease, so that no drain opens the shard meanwhile. */
async function settle(
  { db, root, holder }: RecoverDeps,
  { laneId, path }: Extract<Repair, { kind: 'settle' }>,
): Promise<string | null> {
  if (!(await fileExists(root, journalPath(path)))) return null;
  const lease = await claimLease(db, laneId, holder, isGone);
  if (!lease) return null;
  try {
    // Claimed and left since the diagnosis, by somebody who may come back.
    if (lease.abandonedShard !== null) return null;
    return `settled a journal: ${await settleShard(root, path)}`;
  } finally {
    await releaseLease(db, lease, false);
  }
}

async function purge({ db }: RecoverDeps): Promise<number> {
  let purged = 0;
  for (let batch = 0; batch < PURGE_BATCHES; batch++) {
    const gone = await purgeAppliedWrites(db, PURGE_BATCH);
    purged += gone;
    if (gone < PURGE_BATCH) break;
  }
  return purged;
}
