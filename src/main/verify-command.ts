/** `varve verify`: whether every byte the catalog names is on the disk and right, with or without a running service. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { openDatabase } from '../catalog/database.ts';
import { VarveError } from '../core/errors.ts';
import { verify, type Finding, type VerifyReport } from '../flows/verify.ts';
import { DataRoot } from '../storage/data-root.ts';
import { lockFolder } from '../storage/folder-lock.ts';
import { Hdf5Reader } from '../storage/hdf5-reader.ts';
import type { Config } from './config.ts';
import { findRunningPostgres, startEmbeddedPostgres } from './embedded-postgres.ts';
import { Progress } from './progress.ts';
import { print } from './standard-output.ts';
import { tableLines, type Column } from './text-table.ts';

const CONNECTIONS = 2;
const MB = 1e6;

const COLUMNS: readonly Column<Finding>[] = [
  { title: 'SERIES', text: ({ series }) => series ?? '–' },
  { title: 'ROW', right: true, text: ({ row }) => row?.toLocaleString('en') ?? '–' },
  { title: 'SHARD', text: ({ path }) => path },
  { title: 'PROBLEM', text: ({ problem }) => problem },
];

/** @returns whether all is well */
export async function verifyData(config: Config, { json }: { json?: boolean }): Promise<boolean> {
  const postgres = await openPostgres(config);
  const hdf5 = new Hdf5Reader();
  const { db, close } = openDatabase(postgres.url, { poolSize: CONNECTIONS, onError: () => {} });
  const begun = performance.now();
  try {
    const report = await withProgress((onProgress) =>
      verify({ db, root: new DataRoot(config.dataRoot), hdf5 }, onProgress),
    );
    const seconds = Math.round(performance.now() - begun) / 1000;
    if (json) await print(`${JSON.stringify({ ...report, seconds }, null, 2)}\n`);
    else await printReport(report, seconds);
    return report.findings.length === 0;
  } finally {
    await close();
    await hdf5.close();
    await postgres.stop();
  }
}

interface PostgresInUse {
  readonly url: string;
  /** Ends what was started for this command. */
  stop(): Promise<void>;
}

/** The server that is configured, or the embedded one: that of the running service, else one for as long as this takes. */
async function openPostgres({ database, dataRoot }: Config): Promise<PostgresInUse> {
  if (database.kind === 'server') return { url: database.url, stop: async () => {} };
  const dataDir = join(dataRoot, 'postgres');
  if (!existsSync(dataDir)) {
    throw new VarveError('not-found', `there are no data of Varve in ${dataRoot}: set VARVE_DATA to their folder`);
  }
  const running = await findRunningPostgres(dataDir);
  if (running !== null) return { url: running, stop: async () => {} };
  const lock = lockFolder(dataRoot);
  try {
    const log = (message: string): unknown => process.stderr.write(`${message}\n`);
    const { url, stop } = await startEmbeddedPostgres({ dataDir, port: database.port, log });
    return { url, stop: () => stop().finally(() => lock.release()) };
  } catch (error) {
    lock.release();
    throw error;
  }
}

async function withProgress<T>(work: (onProgress: (done: number, total: number) => void) => Promise<T>): Promise<T> {
  let progress: Progress | null = null;
  try {
    return await work((done, total) => {
      progress ??= new Progress('verifying', total, 'shards');
      progress.reach(done);
    });
  } finally {
    (progress as Progress | null)?.stop();
  }
}

async function printReport({ shards, chunks, bytes, findings }: VerifyReport, seconds: number): Promise<void> {
  for await (const line of tableLines(COLUMNS, findings)) await print(`${line}\n`);
  const count = findings.length === 0 ? 'all is well' : `${findings.length} ${findings.length === 1 ? 'finding' : 'findings'}`;
  const amount = `${shards} shards, ${chunks} chunks, ${(bytes / MB).toFixed(1)} MB in ${seconds} s`;
  await print(`${count}: ${amount}\n`);
}
