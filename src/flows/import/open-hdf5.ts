/** HDF5 files of any shape. */
import { open } from 'node:fs/promises';
import { basename } from 'node:path';
import { VarveError, invalidField, isVarveError } from '../../core/errors.ts';
import { parseRate } from '../../core/signal/rate.ts';
import { parseTime, TIME_FORMS } from '../../core/time.ts';
import { findHdf5, foreignName } from '../../formats/recordings/hdf5-signature.ts';
import { readHdf5Recording } from '../../formats/recordings/hdf5-recording.ts';
import type { Hdf5Options } from '../../formats/recordings/hdf5-series.ts';
import { Hdf5Reader } from '../../storage/survey/hdf5-reader.ts';
import { localZone } from './local-clock.ts';
import { openHdf5Tree } from './hdf5-tree.ts';
import { bytesOnDisk, tellLook, sha256Of, type RecordingOpener, type RecordingOptions } from './source-files.ts';

export const openHdf5: RecordingOpener = async (file, name, options, onLook) => {
  const wanted = optionsOf(name, options);
  await checkSignature(file);
  const reader = takeReader();
  const close = (): Promise<void> => giveBack(reader, file);
  try {
    const recording = await readHdf5Recording(await openHdf5Tree(reader, file), wanted);
    const sha256 = await sha256Of([file], tellLook(onLook, await bytesOnDisk([file])));
    return { recording, source: { file: basename(file), sha256 }, close };
  } catch (error) {
    await close();
    throw shortened(error);
  }
};

/** A thread that waits for the next file: each has a library of its own, which takes as long to load as a small file. */
let idle: { readonly reader: Hdf5Reader; readonly timer: NodeJS.Timeout } | null = null;
const IDLE_MS = 2_000;

function takeReader(): Hdf5Reader {
  const taken = idle;
  idle = null;
  clearTimeout(taken?.timer);
  return taken?.reader ?? new Hdf5Reader();
}

async function giveBack(reader: Hdf5Reader, file: string): Promise<void> {
  await reader.done(file).catch(() => reader.close());
  if (idle) return reader.close();
  reader.rest();
  const timer = setTimeout(() => {
    idle = null;
    void reader.close();
  }, IDLE_MS);
  timer.unref();
  idle = { reader, timer };
}

/** A name in a file may be as long as it likes; what is said of it may not. */
const MAX_MESSAGE_CHARS = 600;

function shortened(error: unknown): unknown {
  if (!isVarveError(error) || error.message.length <= MAX_MESSAGE_CHARS) return error;
  return new VarveError(error.code, `${error.message.slice(0, MAX_MESSAGE_CHARS)}…`, {
    slug: error.slug,
    cause: error,
  });
}

/** @throws invalid-input naming the option */
function optionsOf(
  name: string,
  { rate, start, tz, dataset, orient, timeColumn, epoch }: RecordingOptions,
): Hdf5Options {
  const parsed = rate === undefined ? undefined : parseRate(rate);
  if (rate !== undefined && !parsed) throw invalidField('--rate', `${rate} is not a sampling rate in Hz`);
  const startNs = start === undefined ? undefined : parseTime(start);
  if (start !== undefined && startNs === undefined) throw invalidField('--start', `${start} is not ${TIME_FORMS}`);
  return {
    name,
    ...(parsed && { rate: parsed }),
    ...(startNs !== undefined && { startNs }),
    ...(tz !== undefined && { zone: localZone(tz) }),
    ...(dataset && dataset.length > 0 && { datasets: dataset }),
    ...(orient !== undefined && { orient }),
    ...(timeColumn !== undefined && { timeColumn }),
    ...(epoch !== undefined && epoch !== 'excel' && { epoch }),
  };
}

/** @throws unprocessable for what is no HDF5 file, as what it is, and for one that is cut off */
async function checkSignature(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    const read = async (at: number, length: number): Promise<Uint8Array> => {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, at);
      return buffer.subarray(0, bytesRead);
    };
    const found = await findHdf5(read, size);
    if (found === null) {
      const what = size === 0 ? 'is empty: it has 0 bytes' : `is ${foreignName(await read(0, 512))}, not HDF5`;
      throw new VarveError('unprocessable', what, { slug: 'unsupported-recording' });
    }
    if (found.endsAt !== null && found.endsAt > size) {
      const message = `is cut off: it has ${size} of ${found.endsAt} bytes, and HDF5 reads nothing of such a file`;
      throw new VarveError('unprocessable', message, { slug: 'truncated-file' });
    }
  } finally {
    await handle.close();
  }
}
