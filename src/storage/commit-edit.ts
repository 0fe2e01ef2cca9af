/**
 * Writes an edit into a shard, beside the rows that it masks: those never change. Runs in the writer thread.
 */
import type { Dataset, Group } from 'h5wasm/node';
import { hotChunkRows, type Chunk } from '../core/chunk.ts';
import { DTYPES } from '../core/dtype.ts';
import { BlockWriter, writeChunks } from './block-writer.ts';
import type { DataRoot } from './data-root.ts';
import type { WriteObserver } from './hdf5-session.ts';
import { RowSource } from './payload-rows.ts';
import { EDITS, type SeriesEdit } from './shard-commit.ts';
import { createDataset, describeSeries } from './shard-layout.ts';

/**
 * A group of that number is what a commit has left that Postgres did not publish: it is written over.
 * @returns the chunks of a replacement; none for what only removes
 */
export function commitEdit(
  all: Group,
  observe: (observer: WriteObserver | null) => void,
  root: DataRoot,
  shardId: string,
  edit: SeriesEdit,
): Chunk[] {
  let series = all.get(edit.seriesId) as Group | null;
  if (!series) {
    series = all.create_group(edit.seriesId);
    describeSeries(series, edit.description, edit.irregular, edit.seriesRows);
  }
  const group = groupIn(groupIn(series, EDITS), String(edit.generation));
  for (const name of Object.keys(group.attrs)) group.delete_attribute(name);
  const { change } = edit;
  // Whoever reads the shard needs the effect: an erasure is how an irregular series removes.
  group.create_attribute('kind', change.kind === 'replace' ? 'replace' : 'remove');
  for (const [name, value] of attributesOf(change)) createInt64Attribute(group, name, value);
  return change.kind === 'replace' ? writeReplacement(group, observe, root, shardId, edit, change) : [];
}

function createInt64Attribute(group: Group, name: string, value: bigint): void {
  group.create_attribute(name, BigInt64Array.of(value), [], '<q');
}

function attributesOf(change: SeriesEdit['change']): [string, bigint][] {
  switch (change.kind) {
    case 'replace':
      return [['first_row', BigInt(change.firstRow)]];
    case 'remove':
      return [
        ['from_row', BigInt(change.fromRow)],
        ['to_row', BigInt(change.toRow)],
      ];
    case 'erase':
      return [
        ['start_ns', change.startNs],
        ['end_ns', change.endNs],
        ['before_row', BigInt(change.beforeRow)],
        ['removed', BigInt(change.removed)],
      ];
  }
}

function writeReplacement(
  group: Group,
  observe: (observer: WriteObserver | null) => void,
  root: DataRoot,
  shardId: string,
  edit: SeriesEdit,
  { firstRow, part }: Extract<SeriesEdit['change'], { kind: 'replace' }>,
): Chunk[] {
  const { seriesId, dtype, channels, generation } = edit;
  if (!group.keys().includes('values')) {
    const chunkRows = hotChunkRows(channels * DTYPES[dtype].bytes, part.rows, null);
    createDataset(group, 'values', dtype, [channels], chunkRows);
  }
  const values = new BlockWriter(group.get('values') as Dataset, observe, dtype, channels);
  values.setRows(0, part.rows);
  const source = new RowSource(root, { ...edit, parts: [part] });
  const { missingValue } = edit.description;
  const shape = { dtype, channels, missingValue };
  try {
    const place = { ...shape, seriesId, shardId, generation, firstRow, begin: 0, total: part.rows, tail: null };
    return writeChunks(values, null, source, place);
  } finally {
    source.close();
  }
}

function groupIn(group: Group, name: string): Group {
  return group.keys().includes(name) ? (group.get(name) as Group) : group.create_group(name);
}
