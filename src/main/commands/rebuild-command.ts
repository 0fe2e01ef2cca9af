/** `varve rebuild-catalog` and `varve rebuild-shard`: what is left to do when Postgres, or the structure of a shard, is lost. */
import { readCatalogIdentity } from '../../catalog/catalog-identity.ts';
import { openDatabase, type Database } from '../../catalog/database.ts';
import { migrate } from '../../catalog/migrate.ts';
import { isVarveError } from '../../core/errors.ts';
import { rebuildCatalog, type RebuildCatalogReport } from '../../flows/repair/rebuild-catalog.ts';
import { rebuildShard, type RebuildShardReport } from '../../flows/repair/rebuild-shard.ts';
import { DataRoot } from '../../storage/folder/data-root.ts';
import { claimFolder } from '../../storage/folder/folder-owner.ts';
import { Hdf5Reader } from '../../storage/survey/hdf5-reader.ts';
import { CodecPool } from '../../storage/threads/codec-pool.ts';
import type { Config } from '../process/config.ts';
import { countedNoun, printFindings } from './findings-table.ts';
import { openPostgres } from '../postgres/postgres-in-use.ts';
import { Progress, showProgress } from './progress.ts';
import { writeOut } from '../process/standard-output.ts';

/** One for the transaction, one for what is asked beside it. */
const CONNECTIONS = 2;
const MB = 1e6;

/** @returns whether nothing was found that is lost or has to be looked at */
export async function rebuildCatalogOf(config: Config, { json }: { json?: boolean }): Promise<boolean> {
  const root = new DataRoot(config.dataRoot);
  const postgres = await openPostgres(config, 'create');
  const hdf5 = new Hdf5Reader();
  const codec = new CodecPool(new URL('../../flows/threads/codec-thread.js', import.meta.url), 1);
  try {
    await migrate(postgres.url);
    const report = await withDatabase(postgres.url, (db) =>
      withPhases((onProgress) => rebuildCatalog({ db, root, hdf5, codec }, onProgress)),
    );
    if (json) await writeOut(`${JSON.stringify(report, null, 2)}\n`);
    else await printCatalogReport(report);
    return report.findings.length === 0;
  } finally {
    await Promise.all([hdf5.close(), codec.close()]);
    await postgres.stop();
  }
}

export interface RebuildShardCommand {
  readonly skipCorrupt?: boolean;
  readonly json?: boolean;
}

/** @returns whether the new file has all rows of the old one */
export async function rebuildShardOf(
  config: Config,
  shardId: string,
  { skipCorrupt = false, json }: RebuildShardCommand,
): Promise<boolean> {
  const root = new DataRoot(config.dataRoot);
  const postgres = await openPostgres(config);
  try {
    const report = await withDatabase(postgres.url, async (db) => {
      await claimFolder(root, await readCatalogIdentity(db));
      return showProgress('looking at', 'chunks', (onProgress) =>
        rebuildShard({ db, root }, shardId, skipCorrupt, onProgress),
      );
    });
    if (json) await writeOut(`${JSON.stringify(report, null, 2)}\n`);
    else await printShardReport(report);
    return report.corrupt.length === 0;
  } catch (error) {
    if (isVarveError(error))
      for (const { field, message } of error.errors) process.stderr.write(`${field}: ${message}\n`);
    throw error;
  } finally {
    await postgres.stop();
  }
}

async function withDatabase<T>(url: string, work: (db: Database) => Promise<T>): Promise<T> {
  const { db, close } = openDatabase(url, { poolSize: CONNECTIONS, onError: () => {} });
  try {
    return await work(db);
  } finally {
    await close();
  }
}

async function withPhases<T>(
  work: (onProgress: (phase: 'shards' | 'series', done: number, total: number) => void) => Promise<T>,
): Promise<T> {
  const bars = new Map<string, Progress>();
  try {
    return await work((phase, done, total) => {
      let bar = bars.get(phase);
      if (!bar) bars.set(phase, (bar = new Progress(phase === 'shards' ? 'looking at' : 'restoring', total, phase)));
      bar.reach(done);
      if (done === total) bar.stop();
    });
  } finally {
    for (const bar of bars.values()) bar.stop();
  }
}

async function printCatalogReport(report: RebuildCatalogReport): Promise<void> {
  await printFindings([...report.findings, ...report.notes]);
  await writeOut('Not in the shards, and so not in the catalog any more:\n');
  for (const line of report.notInShards) await writeOut(`  ${line}\n`);
  const amount = `${report.chunks} chunks, ${report.rows.toLocaleString('en')} rows, ${(report.bytes / MB).toFixed(1)} MB`;
  const findings = report.findings.length === 0 ? 'nothing is missing' : countedNoun(report.findings.length, 'finding');
  await writeOut(`${findings}: ${report.series} series in ${report.shards} shards, ${amount}\n`);
}

async function printShardReport({ newShard, series, chunks, oldPath, corrupt }: RebuildShardReport): Promise<void> {
  await printFindings(corrupt);
  const old = oldPath === null ? 'the old file goes in a minute' : `the old file stays: ${oldPath}`;
  const left = corrupt.length === 0 ? '' : `, with ${countedNoun(corrupt.length, 'chunk')} that cannot be read`;
  await writeOut(`${newShard.path} has ${countedNoun(chunks, 'chunk')} of ${series} series; ${old}${left}\n`);
}
