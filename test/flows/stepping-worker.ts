/**
 * A worker that drains one lane and does something to itself at one step: `node stepping-worker.js <database> <data root> <lane> <step> <signal>`.
 * Steps: claimed, those of a commit (appended, synced, journaled, applied, done), committed, published.
 */
import { openDatabase } from '../../src/catalog/database.ts';
import { drainLane } from '../../src/flows/drain-lane.ts';
import { commitShard } from '../../src/storage/commit-shard.ts';
import { CodecPool } from '../../src/storage/codec-pool.ts';
import { DataRoot } from '../../src/storage/data-root.ts';
import { Hdf5Session } from '../../src/storage/hdf5-session.ts';
import { thisProcess } from '../../src/storage/process-identity.ts';
import type { CommitRequest, CommitResult } from '../../src/storage/shard-commit.ts';

const [databaseUrl, dataRoot, laneId, stepWanted, signal] = process.argv.slice(2);
let reached = false;
const reach = (step: string): void => {
  if (reached || step !== stepWanted) return;
  reached = true;
  process.kill(process.pid, signal);
};

/** Spooled payloads are removed after the publish, and only then does the drain ask for their paths. */
class StepRoot extends DataRoot {
  override spooled(writeId: string, part: 'values' | 'times'): string {
    reach('published');
    return super.spooled(writeId, part);
  }
}

const session = await Hdf5Session.start();
const { db, close } = openDatabase(databaseUrl, { poolSize: 2, onError: () => {} });
const codec = new CodecPool(new URL('../../src/flows/codec-thread.js', import.meta.url), 1);
const log = { info: () => {}, warn: () => {} };
const writer = {
  async commit(request: CommitRequest): Promise<CommitResult> {
    reach('claimed');
    const result = commitShard(session, request, reach);
    reach('committed');
    return result;
  },
};
try {
  await drainLane({ db, root: new StepRoot(dataRoot), writer, codec, holder: thisProcess(), log }, laneId);
  process.exitCode = 0;
} catch (error) {
  process.exitCode = (error as { slug?: string }).slug === 'lease-lost' ? 75 : 1;
} finally {
  await codec.close();
  await close();
}
