/** Files that were asked for, and are kept until they have been fetched: one alone, or several in a zip. */
import { createWriteStream } from 'node:fs';
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable, type Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ZipFile } from 'yazl';
import { VarveError } from '../../core/errors.ts';
import type { DataRoot } from '../folder/data-root.ts';
import { freeBytes } from '../folder/disk-space.ts';

/** So long after it was asked for a file is gone. */
export const KEEP_EXPORTS_MS = 24 * 3_600_000;

/** A file leaves at least this much of the disk to the samples. */
const RESERVED_BYTES = 512 * 1024 * 1024;
/** Room is looked for again after so much. */
const LOOK_EVERY_BYTES = 64 * 1024 * 1024;
/** Dates of a zip's entries: the same rows are to be the same bytes. */
const ZIP_DATE = new Date(Date.UTC(1980, 0, 1));

export interface PartOfFile {
  readonly name: string;
  /** Worth compressing in a zip. */
  readonly isText: boolean;
  write(): AsyncIterable<Uint8Array>;
}

/**
 * Writes parts, one after the other.
 * @param parts one: the file itself; more: a zip of them
 * @param onBytes told of what the parts have given; may throw to give up
 * @returns bytes of the file
 * @throws storage-full; what the parts throw; an abort. Nothing is left behind then
 */
export async function keepFile(
  root: DataRoot,
  id: string,
  parts: readonly PartOfFile[],
  signal: AbortSignal,
  onBytes: (bytes: number) => void,
): Promise<number> {
  const path = root.kept(id);
  const half = `${path}.tmp`;
  await mkdir(dirname(path), { recursive: true });
  let looked = -Infinity;
  let written = 0;
  async function* watched(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const piece of source) {
      if (written - looked >= LOOK_EVERY_BYTES) {
        await refuseFull(root);
        looked = written;
      }
      written += piece.length;
      onBytes(piece.length);
      yield piece;
    }
  }
  try {
    const source = parts.length === 1 ? watched(parts[0].write()) : zipped(parts, watched);
    await pipeline(source, createWriteStream(half), { signal });
    const { size } = await stat(half);
    await rename(half, path);
    return size;
  } finally {
    await rm(half, { force: true });
  }
}

async function refuseFull(root: DataRoot): Promise<void> {
  if ((await freeBytes(root)) > RESERVED_BYTES) return;
  throw new VarveError('storage-full', 'the data disk has no room for the file', { slug: 'no-room-to-export' });
}

/** A zip, part by part: none is opened before the one in front of it has ended. */
async function* zipped(
  parts: readonly PartOfFile[],
  watched: (source: AsyncIterable<Uint8Array>) => AsyncGenerator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const zip = new ZipFile();
  const output = zip.outputStream as Transform;
  let open: Readable | null = null;
  for (const { name, isText, write } of parts) {
    zip.addReadStreamLazy(name, { compress: isText, mtime: ZIP_DATE, mode: 0o100644 }, (done) => {
      const stream = Readable.from(copies(watched(write())), { objectMode: false });
      open = stream;
      stream.once('error', (error) => output.destroy(error));
      done(null, stream);
    });
  }
  zip.end();
  try {
    yield* output as AsyncIterable<Uint8Array>;
  } finally {
    // A zip that is given up lets go of what it reads: files are open behind it.
    (open as Readable | null)?.destroy();
  }
}

/** The memory of a piece is used again by whoever gave it; a zip keeps pieces for longer. */
async function* copies(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const piece of source) yield Buffer.from(piece);
}

export async function removeKept(root: DataRoot, ids: readonly string[]): Promise<void> {
  await Promise.all(ids.map((id) => rm(root.kept(id), { force: true })));
}

/** Removes files of which nobody knows any more. @param olderThanMs younger ones are somebody's */
export async function sweepKept(root: DataRoot, olderThanMs: number): Promise<void> {
  const folder = dirname(root.kept('any'));
  for (const name of await readdir(folder).catch(() => [])) {
    const found = await stat(join(folder, name)).catch(() => null);
    if (found && Date.now() - found.mtimeMs >= olderThanMs) await rm(join(folder, name), { force: true });
  }
}
