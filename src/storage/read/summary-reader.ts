/** Reads blocks of summary cells: positional reads, each column checked against its checksum and decoded. */
import { open, type FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { VarveError } from '../../core/errors.ts';
import type { SummaryCells } from '../../core/overview/summary.ts';
import { decodeSummary, type SummaryBlock, type SummaryPart } from '../../core/overview/summary-block.ts';
import { decodeBlock } from '../codec/block-codec.ts';
import type { DataRoot } from '../folder/data-root.ts';

/** A block, and the shard it is in. */
export type StoredSummary = SummaryBlock & { readonly path: string };

/**
 * @yields the cells of each block, in the order of the blocks
 * @throws corrupt `chunk-corrupt`; corrupt `shard-missing` if a file is gone
 */
export async function* readSummaries(root: DataRoot, blocks: readonly StoredSummary[]): AsyncGenerator<SummaryCells> {
  const files = new Map<string, FileHandle>();
  try {
    for (const block of blocks) {
      let file = files.get(block.path);
      if (!file) files.set(block.path, (file = await openFile(root, block.path)));
      const handle = file;
      const columns = await Promise.all(
        block.parts.map(async (part) => [part.name, await readPart(handle, block.path, part)] as const),
      );
      yield decodeSummary(block, new Map(columns));
    }
  } finally {
    for (const file of files.values()) await file.close().catch(() => {});
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
