/** Appends a batch of writes to a shard as one atomic commit. Runs in the writer thread. */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Dataset, Group } from 'h5wasm/node';
import { hotChunkRows, type Chunk } from '../core/chunk.ts';
import { DTYPES } from '../core/dtype.ts';
import { BlockWriter, writeChunks } from './block-writer.ts';
import { commitEdit } from './commit-edit.ts';
import { DataRoot } from './data-root.ts';
import { systemDisk, type Disk } from './disk.ts';
import type { Hdf5File, Hdf5Session, WriteObserver } from './hdf5-session.ts';
import { recoverShard } from './journal.ts';
import { BadPayload, RowSource } from './payload-rows.ts';
import { createDataset, describeSeries, describeShard, SEGMENT_CHUNK_ROWS } from './shard-layout.ts';
import type { CommitRequest, CommitResult, SeriesAppend } from './shard-commit.ts';
import { ShardTransaction, type CommitStep } from './shard-transaction.ts';

/**
 * @param onStep told of every step of the commit as it is reached
 * @throws on any fault of the file system or of HDF5; the file is as before, the session must not be used again
 */
export function commitShard(
  session: Hdf5Session,
  request: CommitRequest,
  onStep?: (step: CommitStep) => void,
  disk: Disk = systemDisk,
): CommitResult {
  const root = new DataRoot(request.dataRoot);
  const path = root.resolve(request.path);
  if (!request.isNew) recoverShard(path, disk);
  else if (mkdirSync(dirname(path), { recursive: true })) disk.syncFolder(dirname(path));
  const transaction = new ShardTransaction(path, request.isNew, disk);
  let bad: BadPayload | null = null;
  let chunks: Chunk[] = [];
  try {
    session.use(transaction, request.isNew, (file, observe) => {
      try {
        chunks = appendAll(file, observe, root, request);
      } catch (error) {
        // Caught inside, so that HDF5 closes the file in good order; what it flushes is thrown away with the transaction.
        if (!(error instanceof BadPayload)) throw error;
        bad = error;
      }
    });
    if (bad === null) {
      const shardBytes = transaction.commit(onStep);
      return { kind: 'committed', shardBytes, rewrittenBytes: transaction.rewrittenBytes, chunks };
    }
  } catch (error) {
    transaction.abort();
    throw error;
  }
  transaction.abort();
  const { writeId, message } = bad as BadPayload;
  return { kind: 'bad-payloads', writes: [{ id: writeId, reason: message }] };
}

function appendAll(
  file: Hdf5File,
  observe: (observer: WriteObserver | null) => void,
  root: DataRoot,
  request: CommitRequest,
): Chunk[] {
  if (request.isNew) {
    describeShard(file, request.shardId, request.laneId);
  }
  const all = file.get('series') as Group;
  const chunks: Chunk[] = [];
  for (const append of request.appends) {
    const source = new RowSource(root, append);
    try {
      chunks.push(...appendSeries(all, observe, request.shardId, append, source));
    } finally {
      source.close();
    }
  }
  for (const edit of request.edits ?? []) chunks.push(...commitEdit(all, observe, root, request.shardId, edit));
  return chunks;
}

function appendSeries(
  all: Group,
  observe: (observer: WriteObserver | null) => void,
  shardId: string,
  append: SeriesAppend,
  source: RowSource,
): Chunk[] {
  const rowBytes = append.channels * DTYPES[append.dtype].bytes;
  const total = append.parts.reduce((rows, part) => rows + part.rows, 0);
  const begin = append.tail ? append.tail.datasetRow + append.tail.rows : 0;
  let group = all.get(append.seriesId) as Group | null;
  if (!group) {
    group = all.create_group(append.seriesId);
    describeSeries(group, append.description, append.irregular, append.firstRow - begin);
  }
  // An edit may have made the group: with the row that is appended next, which is this one.
  if (!group.keys().includes('values')) {
    const chunkRows = append.chunkRows ?? hotChunkRows(rowBytes, total, append.rateHz);
    createDataset(group, 'values', append.dtype, [append.channels], chunkRows);
    if (append.irregular) createDataset(group, 'time', 'int64', [], chunkRows);
    else createDataset(group, 'segments', 'int64', [2], SEGMENT_CHUNK_ROWS);
  }
  const values = new BlockWriter(group.get('values') as Dataset, observe, append.dtype, append.channels);
  const times = append.irregular ? new BlockWriter(group.get('time') as Dataset, observe, 'int64', null) : null;
  const leftover = values.setRows(begin, begin + total);
  times?.setRows(begin, begin + total);
  if (!append.irregular && (begin === 0 || leftover || append.segmentStarts.length > 0)) {
    recordSegments(group.get('segments') as Dataset, append);
  }

  const { missingValue } = append.description;
  const place = { ...append, missingValue, shardId, generation: 0, begin, total };
  return writeChunks(values, times, source, place);
}

/** Keeps `segments`, a list of (row, UTC ns) where the rows of this shard begin or begin anew, in step with the rows. */
function recordSegments(dataset: Dataset, append: SeriesAppend): void {
  const starts = [...append.segmentStarts];
  let kept = 0;
  if (dataset.shape![0] > 0) {
    const recorded = dataset.slice([]) as BigInt64Array;
    while (kept * 2 < recorded.length && recorded[kept * 2] < BigInt(append.firstRow)) kept++;
  }
  if (kept === 0 && !(starts.length > 0 && starts[0].row <= append.firstRow))
    starts.unshift({ row: append.firstRow, startNs: append.firstRowNs! });
  dataset.resize([kept + starts.length, 2]);
  if (starts.length === 0) return;
  const flat = BigInt64Array.from(starts.flatMap(({ row, startNs }) => [BigInt(row), startNs]));
  dataset.write_slice(
    [
      [kept, kept + starts.length],
      [0, 2],
    ],
    flat,
  );
}
