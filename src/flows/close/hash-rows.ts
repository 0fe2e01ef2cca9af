/** The SHA-256 of planned rows, page after page. Runs in a codec thread. */
import { createHash } from 'node:crypto';
import { bytesOf } from '../../core/numbers/dtype.ts';
import { DataRoot } from '../../storage/folder/data-root.ts';
import { eachOpened } from '../../storage/read/shard-files.ts';
import { rowBatches, type RowsTask } from '../read/print-samples.ts';

export const SHA256_BYTES = 32;

/** Yields the digest of the values and, for an irregular series, that of the times. */
export async function* hashRows(pages: AsyncIterable<RowsTask>): AsyncGenerator<Uint8Array> {
  const values = createHash('sha256');
  const times = createHash('sha256');
  let isIrregular = false;
  for await (const page of pages) {
    isIrregular = page.shape.kind === 'irregular';
    for await (const batch of rowBatches(page, eachOpened(new DataRoot(page.dataRoot)), false)) {
      values.update(bytesOf(batch.values));
      if (batch.times) times.update(bytesOf(batch.times));
    }
  }
  yield values.digest();
  if (isIrregular) yield times.digest();
}
