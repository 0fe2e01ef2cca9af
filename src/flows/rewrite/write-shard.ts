/** Writes one shard out of fresh chunks, or of other shards. In a worker thread: what is in memory is what is sorted at once, and a few blocks. */
import { crc32 } from 'node:zlib';
import { DTYPES } from '../../core/numbers/dtype.ts';
import { isVarveError, VarveError } from '../../core/errors.ts';
import type { RowShape } from '../../core/numbers/missing-value.ts';
import type { Span } from '../../core/rows/read-plan.ts';
import { clipRows, withoutRows } from '../../core/signal/row-ranges.ts';
import { SUMMARY_FACTORS, eachCell, type SummaryCell } from '../../core/overview/summary.ts';
import { mergeCells } from '../../core/overview/summary-merge.ts';
import type { SummaryBlock } from '../../core/overview/summary-block.ts';
import { readPieces } from '../../storage/read/chunk-reader.ts';
import { DataRoot } from '../../storage/folder/data-root.ts';
import { Hdf5Session } from '../../storage/hdf5/hdf5-session.ts';
import type { SeriesWriter, WrittenChunk } from '../../storage/shard/series-writer.ts';
import { ShardBytes } from '../../storage/shard/shard-bytes.ts';
import { eachOpened } from '../../storage/read/shard-files.ts';
import { ShardWriter } from '../../storage/shard/shard-writer.ts';
import { readSummaries } from '../../storage/read/summary-reader.ts';
import type { RewriteInput, RewriteTask, SeriesTask } from './plan-rewrite.ts';
import { sortRun } from './sort-run.ts';

export interface WrittenShard {
  readonly kind: 'written';
  readonly bytes: number;
  /** In the order of the task. */
  readonly series: ReadonlyArray<{
    readonly chunks: readonly WrittenChunk[];
    readonly summaries: readonly SummaryBlock[];
  }>;
  /** Most memory that the process had meanwhile. */
  readonly peakRssBytes: number;
}

export type WriteOutcome =
  | WrittenShard
  /** Fresh chunks that cannot be read, by their keys. There is no file. */
  | { readonly kind: 'damaged'; readonly keys: readonly string[] };

/** @throws whatever the file system or HDF5 says, or corrupt if a chunk of a shard that is read is; the new file is gone then */
export async function writeShard(task: RewriteTask): Promise<WriteOutcome> {
  const root = new DataRoot(task.dataRoot);
  const writer = new ShardWriter(await Hdf5Session.start(), root, task.shard);
  let peakRssBytes = 0;
  try {
    const series: Array<WrittenShard['series'][number]> = [];
    for (const each of task.series) {
      await check(root, each.inputs);
      const target = writer.begin(each.write);
      await keepExpired(root, each, target);
      if (each.write.irregular) await writeInOrderOfTime(root, each, target);
      else await writeInOrderOfRows(root, each, target);
      series.push(target.finish());
      peakRssBytes = Math.max(peakRssBytes, process.memoryUsage.rss());
    }
    return { kind: 'written', bytes: writer.finish(), series, peakRssBytes };
  } catch (error) {
    writer.abort();
    if (!isVarveError(error) || error.code !== 'corrupt') throw error;
    const keys = await damagedKeys(root, task);
    if (keys.length === 0) throw error;
    return { kind: 'damaged', keys };
  }
}

/** Checks inputs that are not read as a whole. @throws corrupt `chunk-corrupt`, `shard-missing` */
async function check(root: DataRoot, inputs: readonly RewriteInput[]): Promise<void> {
  for (const input of inputs.filter(({ isChecked }) => isChecked)) {
    const [key] = await damagedRuns(root, input);
    if (key !== undefined) {
      throw new VarveError('corrupt', `the chunk ${key} does not match its checksum`, { slug: 'chunk-corrupt' });
    }
  }
}

/** Finds all fresh chunks of a task that cannot be read, so that the next attempt goes through. */
async function damagedKeys(root: DataRoot, task: RewriteTask): Promise<string[]> {
  const keys: string[] = [];
  for (const input of task.series.flatMap(({ inputs }) => inputs)) {
    if (input.runs[0].key.startsWith('f')) keys.push(...(await damagedRuns(root, input)));
  }
  return keys;
}

async function damagedRuns(root: DataRoot, { path, held, values, times, runs }: RewriteInput): Promise<string[]> {
  const bytes = held ?? (await readAll(root, path!, values, times));
  if (!bytes) return runs.map(({ key }) => key);
  let [valuesAt, timesAt] = [0, 0];
  return runs.flatMap(({ key, rows, valuesLength, valuesCrc, timesCrc }) => {
    const ownValues = bytes.values.subarray(valuesAt, (valuesAt += valuesLength));
    const ownTimes = bytes.times?.subarray(timesAt, (timesAt += rows * DTYPES.int64.bytes));
    const isSound = crc32(ownValues) === valuesCrc && (timesCrc === null || crc32(ownTimes!) === timesCrc);
    return isSound ? [] : [key];
  });
}

/** @returns null if the file is missing or too short */
async function readAll(
  root: DataRoot,
  path: string,
  values: Span,
  times: Span | null,
): Promise<{ values: Uint8Array; times: Uint8Array | null } | null> {
  const file = await ShardBytes.open(root, path);
  if (!file) return null;
  try {
    return { values: await file.read(values), times: times && (await file.read(times)) };
  } catch (error) {
    if (isVarveError(error) && error.code === 'corrupt') return null;
    throw error;
  } finally {
    await file.close();
  }
}

async function writeInOrderOfRows(root: DataRoot, { pieces }: SeriesTask, to: SeriesWriter): Promise<void> {
  for await (const { piece, values } of readPieces(eachOpened(root), pieces, 'values')) {
    to.append(piece.blocks[0].firstRow, values, null);
  }
}

async function writeInOrderOfTime(
  root: DataRoot,
  { write, runs, duplicates, erasures }: SeriesTask,
  to: SeriesWriter,
): Promise<void> {
  const rowBytes = write.channels * DTYPES[write.dtype].bytes;
  for (const { firstRow, chunks } of runs) {
    let row = firstRow;
    for await (const { times, values } of sortRun({ dataRoot: root.root, rowBytes, duplicates, erasures, chunks })) {
      to.append(row, values, times);
      row += times.length;
    }
  }
}

/** Cells that stand for rows that have expired are copied: what they were computed from is gone. */
async function keepExpired(root: DataRoot, task: SeriesTask, to: SeriesWriter): Promise<void> {
  const { kept, write } = task;
  if (kept.blocks.length === 0) return;
  for (const factor of SUMMARY_FACTORS) {
    // Irregular: a coarse cell may reach from rows that have expired into rows that have not, so coarse ones are made anew of the finest.
    const from = write.irregular ? SUMMARY_FACTORS[0] : factor;
    const blocks = kept.blocks.filter((block) => block.factor === from);
    const cells: SummaryCell[] = [];
    for await (const columns of readSummaries(root, blocks)) {
      for (const cell of eachCell(columns)) {
        if (write.irregular ? isKeptByTime(cell, task) : isKeptByRow(cell, factor, task)) cells.push(cell);
      }
    }
    cells.sort((a, b) => (write.irregular ? compare(a.firstNs!, b.firstNs!) : a.index - b.index));
    const shape = { ...write, missingValue: write.record.description.missingValue };
    to.keepCells(factor, write.irregular ? grouped(shape, cells, factor / from) : joinedByIndex(shape, cells));
  }
}

function isKeptByRow({ index }: SummaryCell, factor: number, { kept }: SeriesTask): boolean {
  const cell = { from: index * factor, to: (index + 1) * factor };
  const hasExpired = clipRows(kept.expiredRows, cell).length > 0;
  return hasExpired && withoutRows([cell], kept.summariesExpiredRows).length > 0;
}

function isKeptByTime({ lastNs }: SummaryCell, { kept }: SeriesTask): boolean {
  const hasExpired = kept.beforeNs !== null && lastNs! < kept.beforeNs;
  return hasExpired && (kept.summariesBeforeNs === null || lastNs! >= kept.summariesBeforeNs);
}

/** Two shards may each have a part of one cell. */
function joinedByIndex(shape: RowShape, cells: readonly SummaryCell[]): SummaryCell[] {
  const joined: SummaryCell[] = [];
  for (const cell of cells) {
    const last = joined.at(-1);
    if (last?.index === cell.index) joined[joined.length - 1] = mergeCells(shape, cell.index, [last, cell]);
    else joined.push(cell);
  }
  return joined;
}

function grouped(shape: RowShape, cells: readonly SummaryCell[], size: number): SummaryCell[] {
  return Array.from({ length: Math.ceil(cells.length / size) }, (_, i) =>
    mergeCells(shape, i, cells.slice(i * size, (i + 1) * size)),
  );
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
