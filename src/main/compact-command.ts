/** `varve compact`: seals and compacts shards, now; or says what it would do. */
import { readCatalogIdentity } from '../catalog/catalog-identity.ts';
import { openDatabase } from '../catalog/database.ts';
import type { SealReason, SealStep } from '../core/seal-plan.ts';
import { planSealing, sealLane, type SealReport } from '../flows/seal-lane.ts';
import { DataRoot } from '../storage/data-root.ts';
import { claimFolder } from '../storage/folder-owner.ts';
import { thisProcess } from '../storage/process-identity.ts';
import type { Config } from './config.ts';
import { openPostgres } from './postgres-in-use.ts';
import { print } from './standard-output.ts';

export interface CompactCommand {
  readonly plan?: boolean;
  readonly all?: boolean;
  readonly lane?: string;
  readonly json?: boolean;
}

const CONNECTIONS = 2;
const SILENT = { info: () => {}, warn: () => {} };

const WHY: Readonly<Record<SealReason, string>> = {
  retired: 'takes no more appends',
  old: 'has been appended to long enough',
  asked: 'asked for',
  'dead-rows': 'much of it is no data any more',
  overlap: 'times lie between those of another',
  small: 'many small ones',
};

/** May run beside the service. */
export async function compactData(config: Config, command: CompactCommand): Promise<void> {
  const postgres = await openPostgres(config);
  const { db, close } = openDatabase(postgres.url, { poolSize: CONNECTIONS, onError: () => {} });
  try {
    const root = new DataRoot(config.dataRoot);
    await claimFolder(root, await readCatalogIdentity(db));
    const deps = { db, root, holder: thisProcess(), limits: config.sealing, log: SILENT };
    const steps = await planSealing(deps, command.lane ?? null, command.all);
    if (command.plan) {
      if (command.json) return await print(`${JSON.stringify(steps, null, 2)}\n`);
      for (const step of steps) await print(`${describe(step)}\n`);
      return await print(steps.length === 0 ? 'nothing to do\n' : `${steps.length} to be done; nothing was done\n`);
    }
    const reports: SealReport[] = [];
    for (const laneId of new Set(steps.map((step) => step.laneId))) {
      const done = await sealLane(deps, laneId, { all: command.all });
      if (!done && !command.json) await print(`lane ${laneId}: somebody else is at it\n`);
      for (const report of done ?? []) {
        reports.push(report);
        if (!command.json) {
          const { bytesBefore, bytesAfter } = report;
          await print(`${describe(report.step)}: ${mebibytes(bytesBefore)} -> ${mebibytes(bytesAfter)}\n`);
        }
      }
    }
    if (command.json) await print(`${JSON.stringify(reports, null, 2)}\n`);
    else if (steps.length === 0) await print('nothing to do\n');
  } finally {
    await close();
    await postgres.stop();
  }
}

function describe({ laneId, reason, shards }: SealStep): string {
  const bytes = shards.reduce((sum, shard) => sum + shard.bytes, 0);
  const count = shards.length === 1 ? '1 shard' : `${shards.length} shards`;
  return `lane ${laneId}: ${count}, ${mebibytes(bytes)} (${WHY[reason]})`;
}

function mebibytes(bytes: number): string {
  return `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
}
