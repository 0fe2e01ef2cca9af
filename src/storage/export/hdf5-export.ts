/** An HDF5 file of rows, written in a thread of its own and kept only until it has been sent. */
import { randomUUID } from 'node:crypto';
import { open, readdir, rm, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { MessageChannel, Worker, type MessagePort } from 'node:worker_threads';
import { DTYPES } from '../../core/numbers/dtype.ts';
import { VarveError } from '../../core/errors.ts';
import type { RowShape } from '../../core/numbers/missing-value.ts';
import type { DataRoot } from '../folder/data-root.ts';
import { freeBytes } from '../folder/disk-space.ts';
import { unwrap, type Outcome } from '../threads/outcome.ts';
import { sendStream } from '../threads/port-stream.ts';

/** Numbers are float64. */
export type Hdf5Attributes = Readonly<Record<string, string | number>>;

/** What is to be written besides the rows. The missing value is an attribute, too. */
export interface Hdf5Layout extends RowShape {
  /** Groups within each other, from the root; none: the rows are in the root itself. */
  readonly groups: readonly string[];
  /** Attributes of the innermost group. */
  readonly attributes: Hdf5Attributes;
  /** Attributes of the dataset `values`, and of `time`. */
  readonly valueAttributes: Hdf5Attributes;
  readonly timeAttributes: Hdf5Attributes;
  /** What readers of netCDF take for missing in `values`, in their dtype; null: nothing. */
  readonly fillValue: RowShape['missingValue'];
  /** One label for each channel. */
  readonly channelLabels: readonly string[];
  readonly rows: number;
  /** Regular series have a dataset `segments`, and `clock_marks` where there are any. */
  readonly regular: boolean;
}

/** What the thread is given. */
export interface Hdf5ExportJob {
  readonly path: string;
  readonly layout: Hdf5Layout;
  readonly port: MessagePort;
}

/** A file without a name: its bytes are gone once it is closed, or its process ends. */
export interface ExportedFile {
  readonly bytes: number;
  /** Bytes `[from, to)`; closes the file at the end, or when it is left. */
  read(from: number, to: number): AsyncGenerator<Uint8Array>;
}

/** Each has a thread, with an HDF5 library of its own. */
export const MAX_EXPORTS = 4;
const RETRY_AFTER_S = 5;
/** An export leaves at least this much of the disk to the samples. */
const RESERVED_BYTES = 512 * 1024 * 1024;
const READ_BYTES = 256 * 1024;
const TIME_BYTES = 8;

let running = 0;

/**
 * @param blocks in turn int64 times and values of consecutive rows, in the end the segments and the clock marks of a regular series; see {@link Hdf5Layout}
 * @param signal aborts the writing; nothing is left behind then
 * @param maxRunning files that one process writes at the same time
 * @throws storage-full before anything is written where there is no room, unavailable while too many others are being written;
 * whatever `blocks` throws
 */
export async function exportHdf5(
  root: DataRoot,
  layout: Hdf5Layout,
  blocks: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
  maxRunning = MAX_EXPORTS,
): Promise<ExportedFile> {
  if (running >= maxRunning) {
    throw new VarveError('unavailable', `${maxRunning} HDF5 files are being written already; try again`, {
      slug: 'too-many-exports',
      retryAfterS: RETRY_AFTER_S,
    });
  }
  running++;
  const path = root.exported(randomUUID());
  try {
    await checkRoom(root, layout);
    await writeInThread({ path, layout }, blocks, signal);
    return await openUnnamed(path);
  } finally {
    running--;
    await rm(path, { force: true });
  }
}

async function checkRoom(root: DataRoot, { rows, channels, dtype }: Hdf5Layout): Promise<void> {
  const needed = rows * (channels * DTYPES[dtype].bytes + TIME_BYTES);
  const free = await freeBytes(root);
  if (needed + RESERVED_BYTES > free) {
    throw new VarveError('storage-full', `the file would have ${needed} bytes, and the data disk has ${free} left`, {
      slug: 'no-room-to-export',
    });
  }
}

async function writeInThread(
  job: Omit<Hdf5ExportJob, 'port'>,
  blocks: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const { port1, port2 } = new MessageChannel();
  const thread = new Worker(new URL('./hdf5-export-thread.js', import.meta.url), {
    workerData: { ...job, port: port2 } satisfies Hdf5ExportJob,
    transferList: [port2],
  });
  const stop = (): void => void thread.terminate();
  signal.addEventListener('abort', stop);
  void sendStream(port1, blocks); // reports its errors to the thread; stops when the port is closed
  try {
    const written = await new Promise<Outcome<null>>((resolve, reject) => {
      thread.once('message', resolve);
      thread.once('error', reject);
      thread.once('exit', (code) =>
        reject(signal.aborted ? (signal.reason as Error) : new Error(`the thread that exports ended with ${code}`)),
      );
    });
    unwrap(written);
  } finally {
    signal.removeEventListener('abort', stop);
    port1.close();
    await thread.terminate();
  }
}

/** Opens a file and takes its name away, so that no crash can leave it behind. */
async function openUnnamed(path: string): Promise<ExportedFile> {
  const handle = await open(path, 'r');
  await rm(path);
  const { size } = await handle.stat();
  return { bytes: size, read: (from, to) => readPart(handle, from, to) };
}

async function* readPart(handle: FileHandle, from: number, to: number): AsyncGenerator<Uint8Array> {
  try {
    for (let at = from; at < to;) {
      const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, to - at));
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, at);
      if (bytesRead === 0) throw new Error('the exported file is shorter than it was');
      yield buffer.subarray(0, bytesRead);
      at += bytesRead;
    }
  } finally {
    await handle.close();
  }
}

/**
 * Removes what a crash in the middle of writing has left.
 * @param olderThanMs files that were written to since are somebody's
 * @returns the names of what was removed
 */
export async function sweepExports(root: DataRoot, olderThanMs: number): Promise<string[]> {
  const removed: string[] = [];
  for (const name of await readdir(root.exportFolder).catch(() => [])) {
    const path = join(root.exportFolder, name);
    const found = await stat(path).catch(() => null);
    if (!found?.isFile() || Date.now() - found.mtimeMs < olderThanMs) continue;
    await rm(path, { force: true });
    removed.push(name);
  }
  return removed;
}
