/**
 * Writes a shard anew from the chunks that the catalog knows, where the HDF5 structure of a file is damaged while its
 * samples are not. It is a rewriting like any other: the same rows in a new file, and one transaction that says that
 * they lie there.
 */
import type { Database } from '../../catalog/database.ts';
import { getShard, markChunks, shardSeries } from '../../catalog/shards/shard-store.ts';
import { VarveError } from '../../core/errors.ts';
import type { DataRoot } from '../../storage/folder/data-root.ts';
import { rewriteShard } from '../compact/compact-lane.ts';
import { corruptChunks, type CorruptChunk } from '../rewrite/corrupt-chunks.ts';
import type { Finding } from '../finding.ts';

export interface RebuildShardDeps {
  readonly db: Database;
  readonly root: DataRoot;
}

export interface RebuildShardReport {
  readonly oldShard: string;
  readonly newShard: { readonly id: string; readonly path: string; readonly bytes: number };
  readonly series: number;
  readonly chunks: number;
  /**
   * Where the old file stays, with chunks that cannot be read. Null: it is removed when nobody can be reading it any
   * more.
   */
  readonly oldPath: string | null;
  /** Chunks that stay in the old file. */
  readonly corrupt: readonly Finding[];
}

const SILENT = { info: () => {}, warn: () => {} };

/**
 * Writes a shard anew from what is sound of it. It may run beside the service. The shard is as before if it throws.
 * @param skipCorrupt leave chunks whose bytes are damaged where they are, instead of refusing
 * @param onProgress told of the chunks looked at so far, and of all
 * @throws not-found
 * @throws corrupt `shard-missing` without its file, `nothing-sound`, or `chunks-corrupt` naming the damaged chunks,
 * unless they are to be skipped
 * @throws conflict `shard-state`, or a change by somebody else meanwhile
 */
export async function rebuildShard(
  { db, root }: RebuildShardDeps,
  shardId: string,
  skipCorrupt: boolean,
  onProgress: (done: number, total: number) => void = () => {},
): Promise<RebuildShardReport> {
  const shard = await getShard(db, shardId);
  if (shard.state !== 'live' && shard.state !== 'damaged' && shard.state !== 'lost') {
    const message = `shard ${shardId} is ${shard.state}: no reader needs it`;
    throw new VarveError('conflict', message, { slug: 'shard-state' });
  }
  const { sound, corrupt } = await corruptChunks({ db, root }, shard, onProgress);
  if (corrupt.length > 0 && !skipCorrupt) throw refusal(corrupt);
  if (sound === 0) {
    throw new VarveError('corrupt', `shard ${shard.id} has no rows that could be rebuilt`, { slug: 'nothing-sound' });
  }
  await markChunks(
    db,
    shardId,
    corrupt.map(({ id }) => id),
  );
  const report = await rewriteShard({ db, root, log: SILENT }, shard.laneId, shardId);
  if (!report || report.shard === null || report.path === null) {
    throw new VarveError('conflict', 'the shard holds no rows any more', { slug: 'shard-empty' });
  }
  return {
    oldShard: shard.id,
    newShard: { id: report.shard, path: report.path, bytes: report.bytesAfter },
    series: (await shardSeries(db, report.shard)).length,
    chunks: report.chunks,
    oldPath: corrupt.length > 0 ? shard.path : null,
    corrupt: corrupt.map(({ finding }) => finding),
  };
}

function refusal(corrupt: readonly CorruptChunk[]): VarveError {
  return new VarveError(
    'corrupt',
    `${corrupt.length} chunks do not match their checksum and nothing was changed; --skip-corrupt leaves them in the old file`,
    {
      slug: 'chunks-corrupt',
      errors: corrupt.map(({ finding: { series, message } }) => ({ field: `series ${series}`, message })),
    },
  );
}
