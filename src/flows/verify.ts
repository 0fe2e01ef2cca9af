/** Verification: every byte the catalog names is there and matches its checksum, and HDF5 agrees with the catalog about extents. */
import type { Database } from '../catalog/database.ts';
import { listShards, shardChunks } from '../catalog/shard-store.ts';
import type { Chunk } from '../core/chunk.ts';
import { DTYPES } from '../core/dtype.ts';
import { planRead } from '../core/read-plan.ts';
import { readPieces } from '../storage/chunk-reader.ts';
import type { DataRoot } from '../storage/data-root.ts';
import type { Hdf5Reader } from '../storage/hdf5-reader.ts';

export interface VerifyDeps {
  readonly db: Database;
  readonly root: DataRoot;
  readonly hdf5: Pick<Hdf5Reader, 'extents'>;
}

export interface Finding {
  readonly shard: string;
  readonly path: string;
  readonly series: string | null;
  readonly row: number | null;
  readonly problem: string;
}

export interface VerifyReport {
  readonly shards: number;
  readonly chunks: number;
  readonly bytes: number;
  readonly findings: readonly Finding[];
}

/**
 * @param onProgress after every shard
 */
export async function verify(
  deps: VerifyDeps,
  onProgress: (done: number, total: number) => void,
): Promise<VerifyReport> {
  const shards = await listShards(deps.db);
  const findings: Finding[] = [];
  let chunkCount = 0;
  let bytes = 0;
  for (const [done, shard] of shards.entries()) {
    onProgress(done, shards.length);
    const chunks = await shardChunks(deps.db, shard.id);
    const found = (series: string | null, row: number | null, problem: string): void => {
      findings.push({ shard: shard.id, path: shard.path, series, row, problem });
    };
    for (const { chunk, rowBytes } of chunks) {
      chunkCount++;
      bytes += chunk.rows * (rowBytes + (chunk.times ? DTYPES.int64.bytes : 0));
      const problem = await checkBytes(deps.root, shard.path, chunk, rowBytes);
      if (problem) found(chunk.seriesId, chunk.firstRow, problem);
    }
    const committed = new Map<string, number>();
    for (const { chunk } of chunks) {
      committed.set(chunk.seriesId, Math.max(committed.get(chunk.seriesId) ?? 0, chunk.datasetRow + chunk.rows));
    }
    let extents: ReadonlyMap<string, number>;
    try {
      extents = await deps.hdf5.extents(deps.root.resolve(shard.path));
    } catch (error) {
      found(null, null, `HDF5 cannot open it: ${(error as Error).message}`);
      continue;
    }
    for (const [series, rows] of committed) {
      const extent = extents.get(series) ?? 0;
      // More rows than the catalog knows are what an unpublished commit leaves; the next append cuts them.
      if (extent < rows) found(series, null, `the dataset has ${extent} rows, the catalog ${rows}`);
    }
  }
  onProgress(shards.length, shards.length);
  return { shards: shards.length, chunks: chunkCount, bytes, findings };
}

async function checkBytes(root: DataRoot, path: string, chunk: Chunk, rowBytes: number): Promise<string | null> {
  const location = {
    shardId: chunk.shardId,
    path,
    firstRow: chunk.firstRow,
    rows: chunk.rows,
    valuesOffset: chunk.values.offset,
    valuesCrc: chunk.valuesCrc,
    timesOffset: chunk.times?.offset ?? null,
    timesCrc: chunk.timesCrc,
  };
  const plan = planRead([{ from: chunk.firstRow, to: chunk.firstRow + chunk.rows }], [location], rowBytes);
  try {
    for await (const _ of readPieces(root, plan));
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}
