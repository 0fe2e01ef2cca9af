/** Reads blocks of summary cells: positional reads, each column checked against its checksum and decoded. */
import { open, type FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { VarveError } from '../../core/errors.ts';
import type { SummaryCells } from '../../core/overview/summary.ts';
import {
  decodeSummary,
  isDense,
  type SummaryBlock,
  type SummaryPart,
  type SummaryPartName,
} from '../../core/overview/summary-block.ts';
import { decodeBlock } from '../codec/block-codec.ts';
import type { DataRoot } from '../folder/data-root.ts';

/** A block, and the shard it is in. */
export type StoredSummary = SummaryBlock & { readonly path: string };

/** Blocks that are read while the one before them is worked off: a block takes six reads and as many inflations, side by side. */
const BLOCKS_AHEAD = 3;

/**
 * @param without columns that nobody looks at: they are not read
 * @yields the cells of each block, in the order of the blocks
 * @throws corrupt `chunk-corrupt`; corrupt `shard-missing` if a file is gone
 */
export async function* readSummaries(
  root: DataRoot,
  blocks: readonly StoredSummary[],
  without: readonly SummaryPartName[] = [],
): AsyncGenerator<SummaryCells> {
  const files = new Map<string, Promise<FileHandle>>();
  const read = async (block: StoredSummary): Promise<SummaryCells> => {
    let file = files.get(block.path);
    if (!file) files.set(block.path, (file = openFile(root, block.path)));
    const handle = await file;
    const wanted = block.parts.filter(({ name }) => !without.includes(name) && !(name === 'cell' && isDense(block)));
    const columns = await Promise.all(
      wanted.map(async (part) => [part.name, await readPart(handle, block.path, part)] as const),
    );
    return decodeSummary(block, new Map(columns));
  };
  const waiting: Promise<SummaryCells>[] = [];
  try {
    for (let next = 0; next < blocks.length || waiting.length > 0;) {
      for (; next < blocks.length && waiting.length <= BLOCKS_AHEAD; next++) {
        const reading = read(blocks[next]);
        reading.catch(() => {}); // told when its turn comes
        waiting.push(reading);
      }
      yield await waiting.shift()!;
    }
  } finally {
    await Promise.allSettled(waiting);
    for (const file of files.values()) await file.then((handle) => handle.close()).catch(() => {});
  }
}

async function openFile(root: DataRoot, path: string): Promise<FileHandle> {
  try {
    return await open(root.resolve(path), 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new VarveError('corrupt', `shard ${path} is missing`, { slug: 'shard-missing', cause: error });
  }
}

async function readPart(file: FileHandle, path: string, part: SummaryPart): Promise<Uint8Array> {
  const stored = Buffer.allocUnsafe(part.length);
  for (let done = 0; done < part.length;) {
    const { bytesRead } = await file.read(stored, done, part.length - done, part.offset + done);
    if (bytesRead === 0) throw corrupt(path, part, 'the file is shorter than the catalog says');
    done += bytesRead;
  }
  if (crc32(stored) !== part.crc) throw corrupt(path, part, 'does not match its checksum');
  return decodeBlock(part.codec, stored);
}

function corrupt(path: string, part: SummaryPart, what: string): VarveError {
  const message = `shard ${path}, summary ${part.name} at ${part.offset}: ${what}`;
  return new VarveError('corrupt', message, { slug: 'chunk-corrupt' });
}
