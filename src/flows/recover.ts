/** Recovery: makes rows and files agree again after whatever happened. The same flow at start, on a timer and by hand. */
import { trimFeed } from '../catalog/commit-feed.ts';
import type { Database } from '../catalog/database.ts';
import { markDamaged } from '../catalog/fresh-store.ts';
import { finishDeletions, purgeSeries } from '../catalog/purge-store.ts';
import { isNamed, readRecoveryRows, tellEstrangement } from '../catalog/recovery-reader.ts';
import { markShard } from '../catalog/shard-store.ts';
import { forgetSpools } from '../catalog/spool-store.ts';
import { forgetReplaced, forgetShard } from '../catalog/swap-shard.ts';
import { ORPHAN_GRACE_MS, reconcile, type Reconciliation, type Repair } from '../core/reconcile.ts';
import { spoolPath, type DataRoot } from '../storage/data-root.ts';
import { sweepExports } from '../storage/hdf5-export.ts';
import { fileBytes, listStoredFiles, removeFile, removeStale, setFileAside } from '../storage/stored-files.ts';

export interface RecoverDeps {
  readonly db: Database;
  readonly root: DataRoot;
  readonly log: Record<'info' | 'warn' | 'error', (fields: object, message: string) => void>;
}

export interface RepairOutcome {
  readonly repair: Repair;
  /** What was done; null: nothing, because it was no longer needed. */
  readonly done: string | null;
  /** Why it failed. */
  readonly error: string | null;
}

export interface RecoveryReport {
  readonly outcomes: readonly RepairOutcome[];
  /** What to say of catalog and files that are of different days; null: they are not. */
  readonly estranged: string | null;
  /** Commits and keys of long ago that were forgotten. */
  readonly trimmed: number;
  /** Series that were deleted, and of which nothing was left on the disk. */
  readonly purgedSeries: number;
}

/** Rows that one statement forgets: it must not hold its locks for long. */
const TRIM_BATCH = 5_000;
/** Statements of one round: twice as many rows as 5,000 a second bring in a minute. */
const TRIM_BATCHES = 120;
/** Series of one round: each takes a look at all chunks. */
const PURGE_SERIES = 100;

/** What a whole round would repair. */
export async function diagnose({ db, root }: Pick<RecoverDeps, 'db' | 'root'>): Promise<Reconciliation> {
  // Files first: what is made after this is in no list, and what is swapped in meanwhile is among the rows.
  const files = await listStoredFiles(root);
  const { spools, ...rows } = await readRecoveryRows(db);
  return reconcile({ ...rows, spools: spools.map((spool) => ({ ...spool, path: spoolPath(spool.id) })), files });
}

/** The whole of it. A repair that fails is reported and keeps no other from being made. */
export async function recover(deps: RecoverDeps): Promise<RecoveryReport> {
  const { db, root, log } = deps;
  const { repairs, estranged } = await diagnose(deps);
  await tellEstrangement(db, estranged);
  if (estranged !== null) log.error({}, estranged);
  const outcomes: RepairOutcome[] = [];
  for (const repair of repairs) outcomes.push(await attempt(deps, repair));
  await sweepExports(root, ORPHAN_GRACE_MS);
  await finishDeletions(db, PURGE_SERIES);
  return { outcomes, estranged, trimmed: await trim(db), purgedSeries: await purgeSeries(db, PURGE_SERIES) };
}

async function attempt(deps: RecoverDeps, repair: Repair): Promise<RepairOutcome> {
  const { log } = deps;
  const subject = { path: pathOf(repair) };
  try {
    const done = await make(deps, repair);
    if (done !== null) log[levelOf(repair)](subject, `recovery: ${done}`);
    return { repair, done, error: null };
  } catch (error) {
    log.error({ ...subject, err: error }, `recovery: ${repair.kind} failed`);
    return { repair, done: null, error: (error as Error).message };
  }
}

/** @returns the file that it is about */
export function pathOf(repair: Repair): string {
  return repair.kind === 'remove' ? repair.file.path : repair.path;
}

/** Whether samples cannot be read that were acknowledged. */
export function isLoss(repair: Repair): boolean {
  return repair.kind === 'mark-fresh' || (repair.kind === 'mark' && repair.as !== 'live');
}

function levelOf(repair: Repair): 'info' | 'warn' | 'error' {
  return isLoss(repair) ? 'error' : repair.kind === 'drop-replaced' ? 'info' : 'warn';
}

const MARKED = {
  lost: 'a shard is lost: its file is missing',
  damaged: 'a shard is damaged: its file is too short',
  live: 'the file of a shard is back',
} as const;

/** Looks once more before it acts: between the diagnosis and now the world went on. @returns what was done, or null */
async function make({ db, root }: RecoverDeps, repair: Repair): Promise<string | null> {
  switch (repair.kind) {
    case 'mark': {
      const bytes = await fileBytes(root, repair.path);
      return (await markShard(db, repair.shardId, bytes, repair.as)) ? MARKED[repair.as] : null;
    }
    case 'mark-fresh':
      await markDamaged(db, repair.ids);
      return `${repair.ids.length} fresh chunks are damaged: bytes of their spool file are missing`;
    case 'forget':
      if (repair.of === 'shard' && !(await forgetShard(db, repair.id))) return null;
      if (repair.of === 'spool' && (await forgetSpools(db, [repair.id])).length === 0) return null;
      await removeFile(root, `${repair.path}.tmp`);
      await removeFile(root, repair.path);
      return `forgotten: nobody makes this ${repair.of === 'shard' ? 'shard' : 'spool file'} any more`;
    case 'drop-replaced':
      await removeFile(root, repair.path);
      await forgetReplaced(db, repair.shardId);
      return 'removed: its rows are in another shard';
    case 'set-aside':
      if (await isNamed(db, repair.path)) return null;
      return `a file that the catalog does not name is kept as ${await setFileAside(root, repair.path)}`;
    case 'remove':
      return (await removeStale(root, repair.file)) ? `removed: ${repair.reason}` : null;
  }
}

async function trim(db: Database): Promise<number> {
  let trimmed = 0;
  for (let batch = 0; batch < TRIM_BATCHES; batch++) {
    const { commits, keys } = await trimFeed(db, TRIM_BATCH);
    trimmed += commits + keys;
    if (Math.max(commits, keys) < TRIM_BATCH) break;
  }
  return trimmed;
}
