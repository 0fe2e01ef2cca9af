/**
 * The summaries that compacted shards have of a series, found anew. Nothing else is left of samples that have expired.
 */
import { crc32 } from 'node:zlib';
import { viewAs } from '../../core/numbers/dtype.ts';
import type { RowShape } from '../../core/numbers/missing-value.ts';
import type { FileLayer } from '../../core/upkeep/rebuild-plan.ts';
import { countRows } from '../../core/signal/row-ranges.ts';
import { SUMMARY_FACTORS } from '../../core/overview/summary.ts';
import type { SummaryBlock } from '../../core/overview/summary-block.ts';
import { decodeBlock } from '../../storage/codec/block-codec.ts';
import type { DataRoot } from '../../storage/folder/data-root.ts';
import type { Hdf5Reader } from '../../storage/survey/hdf5-reader.ts';
import { ShardBytes } from '../../storage/shard/shard-bytes.ts';
import type { FoundSummary } from '../../storage/survey/shard-survey.ts';
import type { FoundTold } from './rebuild-survey.ts';

export interface RebuiltSummaries {
  readonly told: FoundTold;
  readonly blocks: readonly SummaryBlock[];
}

/**
 * Takes all summaries of a compacted shard, or none. If only a part of the shard counts, its cells stand for rows that
 * other shards have, too.
 * @param layers in the order of files
 * @returns those that hold, and shards with rows that have none
 * @throws what HDF5 says of a shard's summaries, or their bytes
 */
export async function summariesToRebuild(
  { root, hdf5 }: { readonly root: DataRoot; readonly hdf5: Pick<Hdf5Reader, 'findSummaries'> },
  layers: readonly FileLayer<FoundTold>[],
  shape: RowShape,
): Promise<{ found: RebuiltSummaries[]; without: FoundTold[] }> {
  const found: RebuiltSummaries[] = [];
  const without: FoundTold[] = [];
  for (const { told, claims } of [...layers].reverse()) {
    if (told.level === 0) continue;
    const isWhole = countRows(claims) === countRows(told.record.claims);
    const blocks = isWhole ? await blocksOf({ root, hdf5 }, told, shape) : [];
    // What was kept of expired rows was copied from shard to shard: the newest has it.
    if (isWhole && !found.some((other) => overlap(blocks, other.blocks))) found.push({ told, blocks });
    else without.push(told);
  }
  return { found: found.filter(({ blocks }) => blocks.length > 0), without };
}

/** Whether two shards have more than a cell at their border in common. */
function overlap(blocks: readonly SummaryBlock[], others: readonly SummaryBlock[]): boolean {
  const span = (of: readonly SummaryBlock[]): [number | bigint, number | bigint] | null => {
    const finest = of.filter(({ factor }) => factor === SUMMARY_FACTORS[0]);
    const [first, last] = [finest.at(0), finest.at(-1)];
    if (!first || !last) return null;
    return first.firstNs === null ? [first.firstCell, last.lastCell] : [first.firstNs, last.lastNs!];
  };
  const [a, b] = [span(blocks), span(others)];
  return a !== null && b !== null && a[0] < b[1] && b[0] < a[1];
}

async function blocksOf(
  { root, hdf5 }: { readonly root: DataRoot; readonly hdf5: Pick<Hdf5Reader, 'findSummaries'> },
  { path, seriesId }: FoundTold,
  shape: RowShape,
): Promise<SummaryBlock[]> {
  const found = await hdf5.findSummaries(root.resolve(path), seriesId);
  if (found.length === 0) return [];
  const file = await ShardBytes.open(root, path);
  if (!file) throw new Error(`${path} has gone`);
  try {
    const blocks: SummaryBlock[] = [];
    for (const each of found) blocks.push(await readBlock(file, each, shape));
    return blocks;
  } finally {
    await file.close();
  }
}

async function readBlock(
  file: ShardBytes,
  { factor, from, cells, parts: found }: FoundSummary,
  { dtype, channels }: RowShape,
): Promise<SummaryBlock> {
  let [firstCell, lastCell] = [from, from + cells - 1];
  let times: { firstNs: bigint; lastNs: bigint } | null = null;
  const parts: SummaryBlock['parts'][number][] = [];
  for (const part of found) {
    const stored = await file.read(part);
    parts.push({ ...part, crc: crc32(stored) });
    const decoded = await decodeBlock(part.codec, stored);
    if (part.name !== 'time' && part.name !== 'cell') continue;
    const column = viewAs('int64', decoded) as BigInt64Array;
    if (part.name === 'time') times = { firstNs: column[0], lastNs: column[cells * 2 - 1] };
    else [firstCell, lastCell] = [Number(column[0]), Number(column[cells - 1])];
  }
  return {
    factor,
    firstCell,
    lastCell,
    cells,
    firstRow: times ? null : firstCell * factor,
    lastRow: times ? null : (lastCell + 1) * factor - 1,
    firstNs: times && times.firstNs,
    lastNs: times && times.lastNs,
    dtype,
    channels,
    parts,
  };
}
