/** Finds chunks of a shard that cannot be read as they were written. */
import type { Database } from '../../catalog/database.ts';
import { shardChunks, shardSeries, type ShardRecord } from '../../catalog/shards/shard-store.ts';
import type { Chunk } from '../../core/rows/chunk.ts';
import { DTYPES } from '../../core/numbers/dtype.ts';
import { VarveError, messageOf } from '../../core/errors.ts';
import type { DataRoot } from '../../storage/folder/data-root.ts';
import { ShardBytes } from '../../storage/shard/shard-bytes.ts';
import { readStoredPart } from '../../storage/read/stored-chunk.ts';
import { finding, type Finding } from '../finding.ts';

export interface CorruptChunk {
  /** Id of its row in the catalog. */
  readonly id: number;
  readonly finding: Finding;
}

const NS_BYTES = DTYPES.int64.bytes;

/**
 * Reads all of a shard. @param onProgress told of the chunks looked at so far, and of all
 * @throws corrupt `shard-missing`
 */
export async function corruptChunks(
  { db, root }: { readonly db: Database; readonly root: DataRoot },
  shard: Pick<ShardRecord, 'id' | 'path'>,
  onProgress: (done: number, total: number) => void = () => {},
): Promise<{ sound: number; corrupt: CorruptChunk[] }> {
  const file = await ShardBytes.open(root, shard.path);
  if (!file) throw new VarveError('corrupt', `the file of shard ${shard.id} is missing`, { slug: 'shard-missing' });
  const corrupt: CorruptChunk[] = [];
  let sound = 0;
  try {
    const all = await shardSeries(db, shard.id);
    const total = all.reduce((sum, { chunks }) => sum + chunks, 0);
    for (const series of all) {
      const rowBytes = series.channels * DTYPES[series.dtype].bytes;
      for await (const page of shardChunks(db, shard.id, series.id)) {
        for (const chunk of page) {
          const problem = await problemOf(file, chunk, rowBytes);
          if (problem === null) sound++;
          else {
            const place = { shard: shard.id, path: shard.path, series: series.id, row: chunk.firstRow };
            const rows = `rows ${chunk.firstRow} to ${chunk.firstRow + chunk.rows - 1}`;
            corrupt.push({ id: chunk.id, finding: finding('chunk-corrupt', `${rows}: ${problem}`, place) });
          }
          onProgress(sound + corrupt.length, total);
        }
      }
    }
    return { sound, corrupt };
  } finally {
    await file.close();
  }
}

/** @returns null if values and times match their checksums */
async function problemOf(file: ShardBytes, chunk: Chunk, rowBytes: number): Promise<string | null> {
  const { rows, skip, values, times, codec, timesCodec, valuesCrc, timesCrc } = chunk;
  const parts = [
    { name: 'values', crc: valuesCrc, part: { block: values, codec, skip, rows, rowBytes } },
    ...(times
      ? [{ name: 'times', crc: timesCrc!, part: { block: times, codec: timesCodec!, skip, rows, rowBytes: NS_BYTES } }]
      : []),
  ];
  for (const { name, crc, part } of parts) {
    try {
      if ((await readStoredPart(file, part)).crc !== crc) return `${name} do not match their checksum`;
    } catch (error) {
      return `${name} cannot be read: ${messageOf(error)}`;
    }
  }
  return null;
}
