/** `varve verify`: whether every byte the catalog names is on the disk and right, with or without a running service. */
import { openDatabase } from '../../catalog/database.ts';
import { verify, type VerifyReport, type VerifyScope } from '../../flows/repair/verify.ts';
import { CodecPool } from '../../storage/threads/codec-pool.ts';
import { DataRoot } from '../../storage/folder/data-root.ts';
import { Hdf5Reader } from '../../storage/survey/hdf5-reader.ts';
import type { Config } from '../process/config.ts';
import { countedNoun, printFindings } from './findings-table.ts';
import { openPostgres } from '../postgres/postgres-in-use.ts';
import { showProgress } from './progress.ts';
import { writeOut } from '../process/standard-output.ts';

const CONNECTIONS = 2;
const MB = 1e6;

export interface VerifyCommand extends VerifyScope {
  readonly json?: boolean;
}

/** @returns whether all is well */
export async function verifyData(config: Config, { json, ...scope }: VerifyCommand): Promise<boolean> {
  const postgres = await openPostgres(config);
  const hdf5 = new Hdf5Reader();
  const codec = new CodecPool(new URL('../../flows/threads/codec-thread.js', import.meta.url), config.codecThreads);
  const { db, close } = openDatabase(postgres.url, { poolSize: CONNECTIONS, onError: () => {} });
  const begun = performance.now();
  try {
    const report = await showProgress('verifying', 'shards', (onProgress) =>
      verify({ db, root: new DataRoot(config.dataRoot), hdf5, codec }, onProgress, scope),
    );
    const seconds = Math.round(performance.now() - begun) / 1000;
    if (json) await writeOut(`${JSON.stringify({ ...report, seconds }, null, 2)}\n`);
    else await printReport(report, seconds);
    return report.findings.length === 0;
  } finally {
    await close();
    await Promise.all([hdf5.close(), codec.close()]);
    await postgres.stop();
  }
}

async function printReport({ shards, chunks, bytes, findings, notes }: VerifyReport, seconds: number): Promise<void> {
  await printFindings([...findings, ...notes]);
  const count = findings.length === 0 ? 'all is well' : countedNoun(findings.length, 'finding');
  const remarks = notes.length === 0 ? '' : `, ${countedNoun(notes.length, 'note')}`;
  const amount = `${shards} shards, ${chunks} chunks, ${(bytes / MB).toFixed(1)} MB in ${seconds} s`;
  await writeOut(`${count}${remarks}: ${amount}\n`);
}
