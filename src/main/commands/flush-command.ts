/** `varve flush`: moves what is fresh into shards, now. */
import { readCatalogIdentity } from '../../catalog/catalog-identity.ts';
import { openDatabase } from '../../catalog/database.ts';
import { laneBacklogs } from '../../catalog/appends/fresh-store.ts';
import { dueLanes, flushLane } from '../../flows/flush/flush-lane.ts';
import { awaitTurn } from '../../flows/rewrite/await-turn.ts';
import { unlessOvertaken, type RewriteReport } from '../../flows/rewrite/rewrite-shards.ts';
import { FreshSweep } from '../../flows/flush/sweep-fresh.ts';
import { DataRoot } from '../../storage/folder/data-root.ts';
import { claimFolder } from '../../storage/folder/folder-owner.ts';
import type { Config } from '../process/config.ts';
import { openPostgres } from '../postgres/postgres-in-use.ts';
import { writeOut } from '../process/standard-output.ts';

export interface FlushCommand {
  readonly all?: boolean;
  readonly lane?: string;
  readonly json?: boolean;
}

const CONNECTIONS = 2;

/** May run beside the service. */
export async function flushData(config: Config, command: FlushCommand): Promise<void> {
  const postgres = await openPostgres(config);
  const { db, close } = openDatabase(postgres.url, { poolSize: CONNECTIONS, onError: () => {} });
  try {
    const root = new DataRoot(config.dataRoot);
    await claimFolder(root, await readCatalogIdentity(db));
    const warn = (fields: object, message: string): void =>
      void process.stderr.write(`${message}: ${JSON.stringify(fields)}\n`);
    const deps = { db, root, log: { info: () => {}, warn } };
    const reports: RewriteReport[] = [];
    for (const laneId of await lanesToFlush()) {
      for (let more = true; more;) {
        const outcome = await unlessOvertaken(async () => {
          await awaitTurn(db, laneId, 0);
          return flushLane(deps, laneId, { asked: true, sides: config.writerThreads });
        });
        more = outcome.kind === 'flushed' && outcome.more;
        if (outcome.kind !== 'flushed') continue;
        reports.push(...outcome.reports);
        if (!command.json) for (const report of outcome.reports) await writeOut(`${describe(report)}\n`);
      }
    }
    await new FreshSweep(deps).run();
    if (command.json) await writeOut(`${JSON.stringify(reports, null, 2)}\n`);
    else if (reports.length === 0) await writeOut('nothing to do\n');

    async function lanesToFlush(): Promise<string[]> {
      if (command.lane !== undefined) return [command.lane];
      if (!command.all) return dueLanes(db, config.flushing);
      return (await laneBacklogs(db)).map(({ laneId }) => laneId);
    }
  } finally {
    await close();
    await postgres.stop();
  }
}

function describe({ laneId, series, bytesBefore, bytesAfter }: RewriteReport): string {
  return `lane ${laneId}: ${series} series, ${mebibytes(bytesBefore)} -> ${mebibytes(bytesAfter)}`;
}

function mebibytes(bytes: number): string {
  return `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
}
