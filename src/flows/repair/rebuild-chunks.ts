/** The chunks of rows of a shard, found anew through HDF5's index and from the bytes themselves. */
import type { Chunk } from '../../core/rows/chunk.ts';
import { DTYPES } from '../../core/numbers/dtype.ts';
import type { RowShape } from '../../core/numbers/missing-value.ts';
import type { RowRange } from '../../core/signal/segment.ts';
import { nowhere, type ChunkPlace } from '../../storage/survey/chunk-place.ts';
import { contentOf } from '../../storage/read/chunk-content.ts';
import type { DataRoot } from '../../storage/folder/data-root.ts';
import type { Hdf5Reader } from '../../storage/survey/hdf5-reader.ts';
import { ShardBytes } from '../../storage/shard/shard-bytes.ts';
import { readStoredPart } from '../../storage/read/stored-chunk.ts';
import type { FoundTold } from './rebuild-survey.ts';
import { messageOf } from '../../core/errors.ts';

export interface ChunkFinding {
  readonly chunk: Chunk;
  /** Times of the rows of an irregular series. */
  readonly times: Buffer | null;
}

/** Rows that cannot be had. */
export interface MissingRows {
  readonly rows: RowRange;
  readonly why: string;
}

/** Chunks that are looked for and read at once. Their blocks have at most 2 MiB, unless rows are larger. */
const PAGE_CHUNKS = 64;
const NS_BYTES = DTYPES.int64.bytes;

interface BlockPart {
  /** Rows of the series, all of one block. */
  readonly rows: RowRange;
  /** Where the block begins in the datasets. */
  readonly blockRow: number;
}

/**
 * @param ranges rows of the series that are in the shard, in order
 * @yields a page of chunks at a time
 */
export async function* chunksToRebuild(
  { root, hdf5 }: { readonly root: DataRoot; readonly hdf5: Pick<Hdf5Reader, 'findChunks'> },
  told: FoundTold,
  shape: RowShape,
  ranges: readonly RowRange[],
): AsyncGenerator<{ found: ChunkFinding[]; missing: MissingRows[] }> {
  const parts = partsOf(told, ranges);
  if (parts.length === 0) return;
  const file = await ShardBytes.open(root, told.path);
  if (!file) throw new Error(`${told.path} has gone`);
  try {
    for (let at = 0; at < parts.length; at += PAGE_CHUNKS) {
      const page = parts.slice(at, at + PAGE_CHUNKS);
      const blockRows = [...new Set(page.map(({ blockRow }) => blockRow))];
      const places = await hdf5
        .findChunks(root.resolve(told.path), told.seriesId, blockRows)
        .catch(({ message }: Error) => blockRows.map(() => nowhere(message)));
      const placeAt = new Map(blockRows.map((row, i) => [row, places[i]]));
      const found: ChunkFinding[] = [];
      const missing: MissingRows[] = [];
      for (const part of page) {
        try {
          found.push(await readChunk(file, told, shape, part, placeAt.get(part.blockRow)!));
        } catch (error) {
          missing.push({ rows: part.rows, why: messageOf(error) });
        }
      }
      yield { found, missing };
    }
  } finally {
    await file.close();
  }
}

/** Cuts ranges of rows at the blocks that hold them. */
function partsOf({ record, chunkRows }: FoundTold, ranges: readonly RowRange[]): BlockPart[] {
  return ranges.flatMap((range) => {
    const parts: BlockPart[] = [];
    for (let from = range.from; from < range.to;) {
      const blockRow = Math.floor((from - record.firstRow) / chunkRows) * chunkRows;
      const to = Math.min(range.to, record.firstRow + blockRow + chunkRows);
      parts.push({ rows: { from, to }, blockRow });
      from = to;
    }
    return parts;
  });
}

/** @throws what is wrong with the bytes */
async function readChunk(
  file: ShardBytes,
  { seriesId, shardId, record, codec }: FoundTold,
  shape: RowShape,
  { rows: { from, to }, blockRow }: BlockPart,
  { valuesOffset, valuesLength, timesOffset, timesLength, problem }: ChunkPlace,
): Promise<ChunkFinding> {
  const isIrregular = record.description.rate === null;
  if (valuesOffset === null || (isIrregular && timesOffset === null)) {
    throw new Error(problem ?? 'they were never written');
  }
  const datasetRow = from - record.firstRow;
  const place = { codec, skip: datasetRow - blockRow, rows: to - from };
  const block = { offset: valuesOffset, length: valuesLength! };
  const timesBlock = isIrregular ? { offset: timesOffset!, length: timesLength! } : null;
  const rowBytes = shape.channels * DTYPES[shape.dtype].bytes;
  const stored = await readStoredPart(file, { ...place, block, rowBytes });
  const storedTimes = timesBlock && (await readStoredPart(file, { ...place, block: timesBlock, rowBytes: NS_BYTES }));
  const [values, times] = [await stored.rows(), storedTimes && (await storedTimes.rows())];
  const chunk: Chunk = {
    seriesId,
    shardId,
    firstRow: from,
    rows: place.rows,
    datasetRow,
    skip: place.skip,
    generation: record.generation,
    values: block,
    times: timesBlock,
    codec,
    timesCodec: timesBlock && codec,
    ...contentOf(shape, values, times),
    valuesCrc: stored.crc,
    timesCrc: storedTimes && storedTimes.crc,
  };
  return { chunk, times };
}
