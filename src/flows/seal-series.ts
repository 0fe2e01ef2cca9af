/** Writes a sealed shard out of others. In a worker thread: what is in memory is what is sorted at once, and a few blocks. */
import { SUMMARY_FACTORS, eachCell, type SummaryCell } from '../core/summary.ts';
import { mergeCells } from '../core/summary-merge.ts';
import type { SummaryBlock } from '../core/summary-block.ts';
import { DTYPES } from '../core/dtype.ts';
import { readPieces } from '../storage/chunk-reader.ts';
import { DataRoot } from '../storage/data-root.ts';
import { Hdf5Session } from '../storage/hdf5-session.ts';
import type { SealedChunk, SealedSeriesWriter } from '../storage/sealed-series.ts';
import { eachOpened } from '../storage/shard-files.ts';
import { SealedWriter } from '../storage/sealed-writer.ts';
import { readSummaries } from '../storage/summary-reader.ts';
import type { SealTask, SeriesSealTask } from './plan-seal.ts';
import { sortRun } from './sort-run.ts';

export interface SealOutcome {
  /** Of the new shard. */
  readonly bytes: number;
  /** In the order of the task. */
  readonly series: ReadonlyArray<{
    readonly chunks: readonly SealedChunk[];
    readonly summaries: readonly SummaryBlock[];
  }>;
  /** Most memory that the process had meanwhile. */
  readonly peakRssBytes: number;
}

/** @throws whatever the file system or HDF5 says, or corrupt if a chunk that is read is; the new file is gone then */
export async function writeSealedShard(task: SealTask): Promise<SealOutcome> {
  const root = new DataRoot(task.dataRoot);
  const writer = SealedWriter.create(await Hdf5Session.start(), root, task.shard);
  let peakRssBytes = 0;
  try {
    const series: Array<SealOutcome['series'][number]> = [];
    for (const each of task.series) {
      const target = writer.begin(each.sealed);
      await keepExpired(root, each, target);
      if (each.sealed.irregular) await writeInOrderOfTime(root, each, target);
      else await writeInOrderOfRows(root, each, target);
      series.push(target.finish());
      peakRssBytes = Math.max(peakRssBytes, process.memoryUsage.rss());
    }
    return { bytes: writer.finish(), series, peakRssBytes };
  } catch (error) {
    writer.abort();
    throw error;
  }
}

async function writeInOrderOfRows(root: DataRoot, { pieces }: SeriesSealTask, to: SealedSeriesWriter): Promise<void> {
  for await (const { piece, values } of readPieces(eachOpened(root), pieces, 'values')) {
    to.append(piece.blocks[0].firstRow, values, null);
  }
}

async function writeInOrderOfTime(
  root: DataRoot,
  { sealed, runs, duplicates, erasures }: SeriesSealTask,
  to: SealedSeriesWriter,
): Promise<void> {
  const rowBytes = sealed.channels * DTYPES[sealed.dtype].bytes;
  for (const { firstRow, chunks } of runs) {
    let row = firstRow;
    for await (const { times, values } of sortRun({ dataRoot: root.root, rowBytes, duplicates, erasures, chunks })) {
      to.append(row, values, times);
      row += times.length;
    }
  }
}

/** Cells that stand for rows that have expired are copied: what they were computed from is gone. */
async function keepExpired(root: DataRoot, task: SeriesSealTask, to: SealedSeriesWriter): Promise<void> {
  const { kept, sealed } = task;
  if (kept.blocks.length === 0) return;
  for (const factor of SUMMARY_FACTORS) {
    // Irregular: a coarse cell may reach from rows that have expired into rows that have not, so coarse ones are made anew of the finest.
    const from = sealed.irregular ? SUMMARY_FACTORS[0] : factor;
    const blocks = kept.blocks.filter((block) => block.factor === from);
    const cells: SummaryCell[] = [];
    for await (const columns of readSummaries(root, blocks)) {
      for (const cell of eachCell(columns)) {
        if (sealed.irregular ? isKeptByTime(cell, task) : isKeptByRow(cell, factor, task)) cells.push(cell);
      }
    }
    cells.sort((a, b) => (sealed.irregular ? compare(a.firstNs!, b.firstNs!) : a.index - b.index));
    to.keepCells(factor, sealed.irregular ? grouped(cells, factor / from) : joinedByIndex(cells));
  }
}

function isKeptByRow({ index }: SummaryCell, factor: number, { kept }: SeriesSealTask): boolean {
  return index * factor < kept.beforeRow && (index + 1) * factor > kept.summariesBeforeRow;
}

function isKeptByTime({ lastNs }: SummaryCell, { kept }: SeriesSealTask): boolean {
  const hasExpired = kept.beforeNs !== null && lastNs! < kept.beforeNs;
  return hasExpired && (kept.summariesBeforeNs === null || lastNs! >= kept.summariesBeforeNs);
}

/** Two shards may each have a part of one cell. */
function joinedByIndex(cells: readonly SummaryCell[]): SummaryCell[] {
  const joined: SummaryCell[] = [];
  for (const cell of cells) {
    const last = joined.at(-1);
    if (last?.index === cell.index) joined[joined.length - 1] = mergeCells(cell.index, [last, cell]);
    else joined.push(cell);
  }
  return joined;
}

function grouped(cells: readonly SummaryCell[], size: number): SummaryCell[] {
  return Array.from({ length: Math.ceil(cells.length / size) }, (_, i) =>
    mergeCells(i, cells.slice(i * size, (i + 1) * size)),
  );
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
