/** `varve recover`: makes rows and files agree, now, with or without a running service, and says what it did. */
import { readCatalogIdentity } from '../catalog/catalog-identity.ts';
import { openDatabase } from '../catalog/database.ts';
import type { Repair } from '../core/reconcile.ts';
import { diagnose, recover, type RepairOutcome } from '../flows/recover.ts';
import { LaneQueue } from '../jobs/lane-queue.ts';
import { openQueueBackend } from '../jobs/queue-backend.ts';
import { DataRoot } from '../storage/data-root.ts';
import { claimFolder } from '../storage/folder-owner.ts';
import { thisProcess } from '../storage/process-identity.ts';
import type { Config } from './config.ts';
import { openLog } from './log.ts';
import { openPostgres } from './postgres-in-use.ts';
import { print } from './standard-output.ts';

const CONNECTIONS = 2;
const SILENT = { info: () => {}, warn: () => {}, error: () => {} };

/**
 * @param dryRun only says what is wrong
 * @returns false if a shard is lost or a repair failed
 */
export async function recoverData(config: Config, { dryRun }: { dryRun?: boolean }): Promise<boolean> {
  const postgres = await openPostgres(config);
  const { db, close } = openDatabase(postgres.url, { poolSize: CONNECTIONS, onError: () => {} });
  try {
    const root = new DataRoot(config.dataRoot);
    await claimFolder(root, await readCatalogIdentity(db));
    if (dryRun) {
      const repairs = await diagnose({ db, root });
      for (const repair of repairs) await print(`${needOf(repair)}\n`);
      await print(
        repairs.length === 0 ? 'rows and files agree\n' : `${repairs.length} to be repaired; nothing was done\n`,
      );
      return !repairs.some(({ kind }) => kind === 'mark-lost');
    }
    const report = await recover({ db, root, holder: thisProcess(), log: SILENT });
    for (const outcome of report.outcomes) await print(`${needOf(outcome.repair)}: ${resultOf(outcome)}\n`);
    await ring(config, postgres.url, report.lanesToRing);
    for (const laneId of report.lanesToRing) await print(`${needOf({ kind: 'ring', laneId })}: rang\n`);
    if (report.purgedWrites > 0) await print(`forgot ${report.purgedWrites} writes that were applied long ago\n`);
    if (report.purgedSeries > 0) await print(`purged ${report.purgedSeries} deleted series\n`);
    const count = report.outcomes.length + report.lanesToRing.length;
    await print(count === 0 ? 'rows and files agree\n' : `${count} looked after\n`);
    return report.outcomes.every(({ repair, done, error }) => error === null && !(repair.kind === 'mark-lost' && done));
  } finally {
    await close();
    await postgres.stop();
  }
}

/** A worker that runs, here or elsewhere, hears it; without one the next that starts does. */
async function ring(config: Config, databaseUrl: string, laneIds: readonly string[]): Promise<void> {
  if (laneIds.length === 0) return;
  const log = openLog(config.logLevel);
  const backend = await openQueueBackend(
    config.queue.kind === 'redis' ? config.queue : { kind: 'postgres', url: databaseUrl },
    log,
  );
  const queue = new LaneQueue(backend, 'drain', log);
  for (const laneId of laneIds) await queue.ringAgain(laneId);
  await queue.close();
  await backend.close();
}

function needOf(repair: Repair): string {
  switch (repair.kind) {
    case 'free-lease':
      return `lane ${repair.laneId}: its lease is held by a process that is gone`;
    case 'mark-lost':
      return `${repair.path}: missing`;
    case 'mark-found':
      return `${repair.path}: was missing, is there`;
    case 'settle':
      return `${repair.path}: has a journal that nobody settles`;
    case 'ring':
      return `lane ${repair.laneId}: has pending writes that nobody drains`;
    case 'drop-replaced':
      return `${repair.path}: its rows are in another shard`;
    case 'set-aside':
      return `${repair.path}: a shard that was never published`;
    case 'remove':
      return `${repair.file.path}: ${repair.reason}`;
  }
}

function resultOf({ done, error }: RepairOutcome): string {
  if (error !== null) return `FAILED: ${error}`;
  return done ?? 'nothing to do any more';
}
