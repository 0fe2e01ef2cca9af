/** Recovery: makes rows and files agree again after whatever happened. The same flow at start, on a timer and by hand. */
import { trimFeed } from '../../catalog/commit-feed.ts';
import type { Database } from '../../catalog/database.ts';
import { markDamaged, markSound } from '../../catalog/appends/fresh-store.ts';
import { finishDeletions, purgeSeries } from '../../catalog/series/purge-store.ts';
import { coverCommit, isNamed, readRecoveryRows, tellEstrangement } from '../../catalog/shards/recovery-reader.ts';
import { markShard } from '../../catalog/shards/shard-store.ts';
import { forgetSpools } from '../../catalog/appends/spool-store.ts';
import { forgetReplaced, forgetShard } from '../../catalog/shards/swap-shard.ts';
import {
  ORPHAN_GRACE_MS,
  reconcile,
  type Reconciliation,
  type Repair,
  type Situation,
} from '../../core/upkeep/reconcile.ts';
import { spoolPath, type DataRoot } from '../../storage/folder/data-root.ts';
import { sweepExports } from '../../storage/export/hdf5-export.ts';
import { KEEP_EXPORTS_MS, removeKept, sweepKept } from '../../storage/export/kept-files.ts';
import { expireExports } from '../../catalog/export-store.ts';
import {
  fileBytes,
  listStoredFiles,
  lookAtStored,
  removeFile,
  removeStale,
  setFileAside,
} from '../../storage/folder/stored-files.ts';
import { messageOf } from '../../core/errors.ts';

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

/** Most rows that one statement forgets: it must not hold its locks for long. */
const TRIM_BATCH = 5_000;
/** Most statements of one round: they forget twice as many rows as 5,000 a second bring in a minute. */
const TRIM_BATCHES = 120;
/** Most series of one round: each takes a look at all chunks. */
const PURGE_SERIES = 100;

/** What a whole round would repair. @param isAccepted see {@link reconcile} */
export async function diagnose(
  { db, root }: Pick<RecoverDeps, 'db' | 'root'>,
  isAccepted = false,
): Promise<Reconciliation> {
  return reconcile(await compare(db, root), isAccepted);
}

async function compare(db: Database, root: DataRoot): Promise<Situation> {
  // Files first: what is made after this is in no list, and what is swapped in meanwhile is among the rows.
  const listed = await listStoredFiles(root);
  const rows = await readRecoveryRows(db);
  const spools = rows.spools.map((spool) => ({ ...spool, path: spoolPath(spool.id) }));
  const paths = new Set([...rows.shards, ...spools].map(({ path }) => path));
  const isListed = new Set(listed.map(({ path }) => path));
  // Whatever only one of the two has may have come, or gone, between the list and the rows.
  const agreed = listed.filter(({ path, kind }) => kind !== 'shard' || paths.has(path));
  const others = listed.filter(({ path, kind }) => kind === 'shard' && !paths.has(path)).map(({ path }) => path);
  const unlisted = [...paths].filter((path) => !isListed.has(path));
  return { ...rows, spools, files: [...agreed, ...(await lookAtStored(root, [...others, ...unlisted]))] };
}

/**
 * Makes all repairs of a round. A repair that fails is reported and keeps no other from being made.
 * @param isAccepted see {@link reconcile}
 */
export async function recover(deps: RecoverDeps, isAccepted = false): Promise<RecoveryReport> {
  const { db, root, log } = deps;
  const situation = await compare(db, root);
  const { repairs, estranged } = reconcile(situation, isAccepted);
  if (isAccepted) await coverCommit(db, newestOf(situation));
  await tellEstrangement(db, estranged);
  if (estranged !== null) log.error({}, estranged);
  const outcomes: RepairOutcome[] = [];
  for (const repair of repairs) outcomes.push(await attempt(deps, repair));
  await sweepExports(root, ORPHAN_GRACE_MS);
  await removeKept(root, await expireExports(db, KEEP_EXPORTS_MS));
  // A file whose row is gone.
  await sweepKept(root, 2 * KEEP_EXPORTS_MS);
  if (estranged !== null) return { outcomes, estranged, trimmed: 0, purgedSeries: 0 };
  await finishDeletions(db, PURGE_SERIES);
  return { outcomes, estranged, trimmed: await trim(db), purgedSeries: await purgeSeries(db, PURGE_SERIES) };
}

/** The highest commit that a file of a shard bears. */
function newestOf({ files }: Situation): bigint {
  return files.reduce((most, file) => (file.kind === 'shard' && file.commit > most ? file.commit : most), 0n);
}

async function attempt(deps: RecoverDeps, repair: Repair): Promise<RepairOutcome> {
  const { log } = deps;
  const subject = { path: pathOfRepair(repair) };
  try {
    const done = await make(deps, repair);
    if (done !== null) log[levelOf(repair)](subject, `recovery: ${done}`);
    return { repair, done, error: null };
  } catch (error) {
    log.error({ ...subject, err: error }, `recovery: ${repair.kind} failed`);
    return { repair, done: null, error: messageOf(error) };
  }
}

/** @returns the file that it is about */
export function pathOfRepair(repair: Repair): string {
  return repair.kind === 'remove' ? repair.file.path : repair.path;
}

/** Whether samples cannot be read that were acknowledged. */
export function isLoss(repair: Repair): boolean {
  if (repair.kind === 'mark-fresh') return repair.as === 'damaged';
  return repair.kind === 'mark' && repair.as !== 'live';
}

function levelOf(repair: Repair): 'info' | 'warn' | 'error' {
  return isLoss(repair) ? 'error' : repair.kind === 'drop-replaced' ? 'info' : 'warn';
}

const MARKED = {
  lost: 'a shard is lost: its file is missing',
  damaged: 'a shard is damaged: its file is too short',
  live: 'the file of a shard is back',
} as const;

const FRESH_MARKED = {
  damaged: 'are damaged: bytes of their spool file are missing',
  sound: 'are read again: their spool file is back',
} as const;

/** Looks once more before it acts: between the diagnosis and now the world went on. @returns what was done, or null */
async function make({ db, root }: RecoverDeps, repair: Repair): Promise<string | null> {
  switch (repair.kind) {
    case 'mark': {
      const bytes = await fileBytes(root, repair.path);
      return (await markShard(db, repair.shardId, bytes, repair.as)) ? MARKED[repair.as] : null;
    }
    case 'mark-fresh':
      await (repair.as === 'damaged' ? markDamaged : markSound)(db, repair.ids);
      return `${repair.ids.length} fresh chunks ${FRESH_MARKED[repair.as]}`;
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
