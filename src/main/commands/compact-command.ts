/** `varve compact`: compacts shards, now; or says what it would do. */
import { readCatalogIdentity } from '../../catalog/catalog-identity.ts';
import { openDatabase } from '../../catalog/database.ts';
import type { CompactionReason, CompactionStep } from '../../core/upkeep/compaction-plan.ts';
import { compactLane, planCompaction, type CompactionReport } from '../../flows/compact/compact-lane.ts';
import { awaitTurn } from '../../flows/rewrite/await-turn.ts';
import { unlessOvertaken } from '../../flows/rewrite/rewrite-shards.ts';
import { DataRoot } from '../../storage/folder/data-root.ts';
import { claimFolder } from '../../storage/folder/folder-owner.ts';
import type { Config } from '../process/config.ts';
import { openPostgres } from '../postgres/postgres-in-use.ts';
import { writeOut } from '../process/standard-output.ts';

export interface CompactCommand {
  readonly plan?: boolean;
  readonly all?: boolean;
  readonly lane?: string;
  readonly json?: boolean;
}

const CONNECTIONS = 2;
const SILENT = { info: () => {}, warn: () => {} };

const WHY: Readonly<Record<CompactionReason, string>> = {
  asked: 'asked for',
  'dead-rows': 'much of it is no data any more',
  overlap: 'times lie between those of others',
  size: 'many of one size',
  summaries: 'has no summaries yet',
};

/** May run beside the service. */
export async function compactData(config: Config, command: CompactCommand): Promise<void> {
  const postgres = await openPostgres(config);
  const { db, close } = openDatabase(postgres.url, { poolSize: CONNECTIONS, onError: () => {} });
  try {
    const root = new DataRoot(config.dataRoot);
    await claimFolder(root, await readCatalogIdentity(db));
    const deps = { db, root, log: SILENT };
    const steps = await planCompaction(db, command.lane ?? null, command.all);
    if (command.plan) {
      if (command.json) return await writeOut(`${JSON.stringify(steps, null, 2)}\n`);
      for (const step of steps) await writeOut(`${describe(step)}\n`);
      return await writeOut(steps.length === 0 ? 'nothing to do\n' : `${steps.length} to be done; nothing was done\n`);
    }
    const reports: CompactionReport[] = [];
    for (const laneId of new Set(steps.map((step) => step.laneId))) {
      const done = await unlessOvertaken(async () => {
        await awaitTurn(db, laneId, 1);
        return compactLane(deps, laneId, { all: command.all, asked: true });
      });
      for (const report of done ?? []) {
        reports.push(report);
        if (!command.json) {
          const { bytesBefore, bytesAfter } = report;
          await writeOut(`${describe(report.step)}: ${mebibytes(bytesBefore)} -> ${mebibytes(bytesAfter)}\n`);
        }
      }
    }
    if (command.json) await writeOut(`${JSON.stringify(reports, null, 2)}\n`);
    else if (steps.length === 0) await writeOut('nothing to do\n');
  } finally {
    await close();
    await postgres.stop();
  }
}

function describe({ laneId, reason, shards }: CompactionStep): string {
  const bytes = shards.reduce((sum, shard) => sum + shard.bytes, 0);
  const count = shards.length === 1 ? '1 shard' : `${shards.length} shards`;
  return `lane ${laneId}: ${count}, ${mebibytes(bytes)} (${WHY[reason]})`;
}

function mebibytes(bytes: number): string {
  return `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
}
