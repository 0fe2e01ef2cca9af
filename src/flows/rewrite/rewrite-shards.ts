/**
 * Rewriting: whole chunks, fresh or of shards, become one new shard, and readers see the same. The row of the shard
 * comes before its file. One transaction puts the new chunks in the place of exactly those that were planned, or
 * changes nothing. It does not matter who else is at work, or for how long.
 */
import { v7 as uuidv7 } from 'uuid';
import type { Database } from '../../catalog/database.ts';
import { refuseEstranged } from '../../catalog/shards/recovery-reader.ts';
import { forgetShard, registerShard, swapShard, type WritingShard } from '../../catalog/shards/swap-shard.ts';
import { isVarveError } from '../../core/errors.ts';
import { isRefusedByPostgres } from '../../core/fault.ts';
import { shardPath, type DataRoot } from '../../storage/folder/data-root.ts';
import { runInThread, type ThreadPriority } from '../../storage/threads/run-in-thread.ts';
import { removeFile } from '../../storage/folder/stored-files.ts';
import type { RewriteTask, SeriesTask } from './plan-rewrite.ts';
import type { WriteOutcome, WrittenShard } from './write-shard.ts';

export interface RewriteDeps {
  readonly db: Database;
  readonly root: DataRoot;
  readonly log: Record<'info' | 'warn', (fields: object, message: string) => void>;
}

export interface RewriteOptions {
  /** Ends the thread that writes. */
  readonly signal?: AbortSignal;
  /** Told, and waited for, where the rewriting stands: for tests that stop it there. */
  readonly onStage?: (stage: RewriteStage) => Promise<void> | void;
}

export type RewriteStage = 'planned' | 'registered' | 'written' | 'swapped';

/** All that is decided, as of one instant. */
export interface RewritePlan {
  readonly laneId: string;
  readonly level: 0 | 1;
  /** The new shard tells what was so as of it. */
  readonly commit: bigint;
  /** Series that were looked at; there may be nothing to be said of some any more. */
  readonly series: readonly string[];
  readonly tasks: readonly SeriesTask[];
  readonly freshIds: readonly number[];
  readonly chunkIds: readonly number[];
  readonly parents: readonly string[];
  readonly bytesBefore: number;
  /** Priority of the thread that writes. */
  readonly priority: ThreadPriority;
  /** Shards tell all of the lane afterwards, as of the commit. */
  readonly tellsAll: boolean;
}

export interface RewriteReport {
  readonly laneId: string;
  /** Null: nothing was left to be said. */
  readonly shard: string | null;
  readonly path: string | null;
  readonly tookMs: number;
  /** Bytes of the inputs, and of the new file. */
  readonly bytesBefore: number;
  readonly bytesAfter: number;
  readonly chunks: number;
  readonly series: number;
  readonly peakRssBytes: number;
}

/** Fresh chunks that cannot be read, by their ids: they are to be left out. Nothing was changed. */
export interface DamagedInputs {
  readonly damaged: readonly number[];
}

const THREAD = new URL('./rewrite-thread.js', import.meta.url);
const NOTHING: WrittenShard = { kind: 'written', bytes: 0, series: [], peakRssBytes: 0 };

/** @throws what kept it from being made, conflict where somebody else has changed the inputs; nothing has changed for readers then */
export async function rewriteShards(
  { db, root, log }: RewriteDeps,
  plan: RewritePlan,
  { signal, onStage = () => {} }: RewriteOptions,
): Promise<RewriteReport | DamagedInputs> {
  const begun = performance.now();
  await refuseEstranged(db);
  const { laneId, level, commit, tasks } = plan;
  const id = uuidv7();
  const shard: WritingShard = { id, laneId, level, commit, path: shardPath(id, commit) };
  await onStage('planned');
  signal?.throwIfAborted();
  const firstCommit = await registerShard(db, shard, plan.parents);
  let isSwapping = false;
  try {
    await onStage('registered');
    const written = { ...shard, shardId: id, firstCommit };
    const task: RewriteTask = { dataRoot: root.root, shard: written, series: tasks, priority: plan.priority };
    const outcome = tasks.length === 0 ? NOTHING : await runInThread<WriteOutcome>(THREAD, task, signal);
    if (outcome.kind === 'damaged') {
      await giveUp(db, root, shard);
      return { damaged: outcome.keys.map((key) => Number(key.slice(1))) };
    }
    await onStage('written');
    const isEmpty = tasks.length === 0;
    const chunks = outcome.series.flatMap((written, i) => {
      const { seriesId, record } = tasks[i].write;
      return written.chunks.map((chunk) => ({ ...chunk, seriesId, shardId: id, generation: record.generation }));
    });
    const summaries = outcome.series.flatMap((written, i) =>
      written.summaries.map((block) => ({ ...block, seriesId: tasks[i].write.seriesId })),
    );
    isSwapping = true;
    await swapShard(db, { ...plan, shard, bytes: isEmpty ? null : outcome.bytes, chunks, summaries });
    await onStage('swapped');
    const report = {
      laneId,
      shard: isEmpty ? null : id,
      path: isEmpty ? null : shard.path,
      tookMs: performance.now() - begun,
      bytesBefore: plan.bytesBefore,
      bytesAfter: outcome.bytes,
      chunks: chunks.length,
      series: tasks.length,
      peakRssBytes: outcome.peakRssBytes,
    };
    log.info({ lane: laneId, ...report }, level === 0 ? 'flushed' : 'compacted');
    return report;
  } catch (error) {
    // Where the answer to COMMIT was lost, the row says what became of it, and the sweep goes by that.
    if (!isSwapping || isCertain(error, signal)) await giveUp(db, root, shard).catch(() => {});
    throw error;
  }
}

/** Tries of {@link unlessOvertaken}. */
const TRIES = 10;
const OVERTAKEN: readonly string[] = ['chunks-changed', 'shard-swept'];

/** Once more where somebody else has rewritten the same chunks meanwhile: nothing was changed then. @throws what the last try did */
export async function unlessOvertaken<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (tries === TRIES || !isVarveError(error) || !OVERTAKEN.includes(error.slug)) throw error;
    }
  }
}

function isCertain(error: unknown, signal?: AbortSignal): boolean {
  return isVarveError(error) || isRefusedByPostgres(error) || signal?.aborted === true;
}

/** Row, then file: it must not stay and fill the disk. */
async function giveUp(db: Database, root: DataRoot, { id, path }: WritingShard): Promise<void> {
  if (!(await forgetShard(db, id))) return;
  await removeFile(root, `${path}.tmp`);
  await removeFile(root, path);
}
