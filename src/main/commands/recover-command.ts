/** `varve recover`: makes rows and files agree, now, with or without a running service, and says what it did. */
import { readCatalogIdentity } from '../../catalog/catalog-identity.ts';
import { openDatabase } from '../../catalog/database.ts';
import type { Repair } from '../../core/upkeep/reconcile.ts';
import { diagnose, isLoss, recover, type RepairOutcome } from '../../flows/repair/recover.ts';
import { DataRoot } from '../../storage/folder/data-root.ts';
import { claimFolder } from '../../storage/folder/folder-owner.ts';
import type { Config } from '../process/config.ts';
import { openPostgres } from '../postgres/postgres-in-use.ts';
import { writeOut } from '../process/standard-output.ts';

const CONNECTIONS = 2;
const SILENT = { info: () => {}, warn: () => {}, error: () => {} };

export interface RecoverCommand {
  /** Only says what is wrong. */
  readonly dryRun?: boolean;
  /** Goes on with catalog and files of different days: nothing better is to be had. */
  readonly acceptLoss?: boolean;
}

/** @returns false if samples cannot be read, a repair failed, or catalog and files are of different days */
export async function recoverData(config: Config, { dryRun, acceptLoss }: RecoverCommand): Promise<boolean> {
  const postgres = await openPostgres(config);
  const { db, close } = openDatabase(postgres.url, { poolSize: CONNECTIONS, onError: () => {} });
  try {
    const root = new DataRoot(config.dataRoot);
    await claimFolder(root, await readCatalogIdentity(db));
    if (dryRun) {
      const { repairs, estranged } = await diagnose({ db, root }, acceptLoss);
      if (estranged !== null) await writeOut(`${estranged}\n`);
      for (const repair of repairs) await writeOut(`${needOf(repair)}\n`);
      await writeOut(
        repairs.length === 0 ? 'rows and files agree\n' : `${repairs.length} to be repaired; nothing was done\n`,
      );
      return estranged === null && !repairs.some(isLoss);
    }
    const { outcomes, estranged, trimmed, purgedSeries } = await recover({ db, root, log: SILENT }, acceptLoss);
    if (estranged !== null) await writeOut(`${estranged}\n`);
    for (const outcome of outcomes) await writeOut(`${needOf(outcome.repair)}: ${resultOf(outcome)}\n`);
    if (trimmed > 0) await writeOut(`forgot ${trimmed} commits and keys of long ago\n`);
    if (purgedSeries > 0) await writeOut(`purged ${purgedSeries} deleted series\n`);
    if (estranged === null) {
      await writeOut(outcomes.length === 0 ? 'rows and files agree\n' : `${outcomes.length} looked after\n`);
    }
    return (
      estranged === null && outcomes.every(({ repair, done, error }) => error === null && !(isLoss(repair) && done))
    );
  } finally {
    await close();
    await postgres.stop();
  }
}

const MARKS = { lost: 'missing', damaged: 'shorter than it was', live: 'was missing or too short, and is as it was' };

function needOf(repair: Repair): string {
  switch (repair.kind) {
    case 'mark':
      return `${repair.path}: ${MARKS[repair.as]}`;
    case 'mark-fresh':
      return `${repair.path}: ${repair.ids.length} fresh chunks ${repair.as === 'damaged' ? 'lie where it does not reach' : 'could not be read, and may be now'}`;
    case 'forget':
      return `${repair.path}: nobody makes it any more`;
    case 'drop-replaced':
      return `${repair.path}: its rows are in another shard`;
    case 'set-aside':
      return `${repair.path}: the catalog does not name it`;
    case 'remove':
      return `${repair.file.path}: ${repair.reason}`;
  }
}

function resultOf({ done, error }: RepairOutcome): string {
  if (error !== null) return `FAILED: ${error}`;
  return done ?? 'nothing to do any more';
}
