/** From a file on disk to a recording: finds the format's reader, and what tells this very file from any other. */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { VarveError, invalidField } from '../../core/errors.ts';
import type { Recording } from '../../core/signal/recording.ts';
import { parseTime } from '../../core/time.ts';
import { readCsvRecording } from '../../formats/recordings/csv-recording.ts';
import { readNpyRecording } from '../../formats/recordings/npy-recording.ts';
import { readOpenSignals } from '../../formats/recordings/opensignals.ts';
import { readWfdb } from '../../formats/recordings/wfdb.ts';
import { Hdf5Reader } from '../../storage/survey/hdf5-reader.ts';
import { openHdf5Tree } from './hdf5-tree.ts';

export const RECORDING_FORMATS = ['wfdb', 'csv', 'npy', 'opensignals'] as const;
export type RecordingFormat = (typeof RECORDING_FORMATS)[number];

export interface RecordingOptions {
  /** Name of the recording; by default the file's, without its extension. */
  readonly name?: string;
  readonly format?: RecordingFormat;
  readonly rate?: string;
  readonly start?: string;
  readonly timeColumn?: string;
  readonly valueColumn?: readonly string[];
  readonly by?: readonly string[];
  readonly delimiter?: string;
}

/** What a recording was made from. */
export interface RecordingSource {
  readonly file: string;
  /**
   * Checksum of the file. If a recording has several files, it is that of all of them one after the other, as `cat … |
   * sha256sum` prints it.
   */
  readonly sha256: string;
  /** Those several, in that order. */
  readonly files?: readonly string[];
}

export interface OpenRecording {
  readonly recording: Recording;
  readonly source: RecordingSource;
  /** Once its samples have been read. */
  close(): Promise<void>;
}

const EXTENSIONS: Readonly<Record<string, RecordingFormat>> = {
  '.hea': 'wfdb',
  '.csv': 'csv',
  '.tsv': 'csv',
  '.txt': 'csv',
  '.npy': 'npy',
  '.h5': 'opensignals',
  '.hdf5': 'opensignals',
};

/** Options that mean something to one format only. */
const OWNERS: Readonly<Record<string, RecordingFormat>> = {
  rate: 'npy',
  start: 'npy',
  timeColumn: 'csv',
  valueColumn: 'csv',
  by: 'csv',
  delimiter: 'csv',
};

const READ_BYTES = 1024 * 1024;
const ANNOTATOR = '.atr';

/** Told of the bytes that looking through a file has read so far, and of all that it will read. */
export type OnLook = (bytes: number, total: number) => void;

/**
 * @param path of a file; a WFDB record may go without its `.hea`
 * @throws not-found; invalid-input naming the option; what the format's reader throws
 */
export async function openRecording(path: string, options: RecordingOptions, onLook: OnLook): Promise<OpenRecording> {
  const { file, format } = await identify(path, options.format);
  for (const [option, owner] of Object.entries(OWNERS)) {
    if (owner !== format && options[option as keyof RecordingOptions] !== undefined) {
      throw invalidField(`--${dashed(option)}`, `is for ${owner} files; ${basename(file)} is read as ${format}`);
    }
  }
  return OPENERS[format](file, options.name ?? basename(file, extname(file)), options, onLook);
}

function dashed(option: string): string {
  return option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

async function identify(
  path: string,
  forced: RecordingFormat | undefined,
): Promise<{ file: string; format: RecordingFormat }> {
  if (!existsSync(path) && existsSync(`${path}.hea`)) return { file: `${path}.hea`, format: 'wfdb' };
  const found = await stat(path).catch(() => null);
  if (!found?.isFile()) throw new VarveError('not-found', found ? 'is no file' : 'there is no such file');
  const format = forced ?? EXTENSIONS[extname(path).toLowerCase()];
  if (format) return { file: path, format };
  const header = `${path.slice(0, path.length - extname(path).length)}.hea`;
  if (existsSync(header)) throw new VarveError('invalid-input', `is a part of a WFDB record: import ${header}`);
  throw new VarveError(
    'invalid-input',
    `its name does not say its format (${Object.keys(EXTENSIONS).join(', ')}): add --format ${RECORDING_FORMATS.join('|')}`,
  );
}

type Opener = (file: string, name: string, options: RecordingOptions, onLook: OnLook) => Promise<OpenRecording>;

const OPENERS: Readonly<Record<RecordingFormat, Opener>> = {
  async wfdb(file, name, _options, onLook) {
    const folder = dirname(file);
    const header = basename(file);
    const names = await readdir(folder);
    const files = { names, open: (each: string) => bytesIn(join(folder, each)) };
    const recording = await readWfdb(files, header, { name });
    const signals = recording.series.flatMap(({ spec }) => spec.provenance.files as string[]);
    const marks = `${basename(header, extname(header))}${ANNOTATOR}`;
    const parts = names.includes(marks) ? [...signals, marks] : signals;
    const paths = parts.map((each) => join(folder, each));
    const sha256 = await sha256Of(paths, look(onLook, await bytesOnDisk(paths)));
    return { recording, source: { file: header, sha256, files: parts }, close: async () => {} };
  },

  async csv(file, name, options, onLook) {
    const { timeColumn, valueColumn, by } = options;
    const size = await bytesOnDisk([file]);
    const looked = look(onLook, 2 * size);
    const source = { file: basename(file), sha256: await sha256Of([file], looked) };
    let looking = true;
    const open = (): AsyncIterable<Uint8Array> => (looking ? counted(bytesIn(file), looked) : bytesIn(file));
    const recording = await readCsvRecording(open, {
      name,
      ...(timeColumn !== undefined && { timeColumn }),
      ...(valueColumn !== undefined && { valueColumns: valueColumn }),
      ...(by !== undefined && { by }),
      delimiter: options.delimiter ?? (extname(file).toLowerCase() === '.tsv' ? '\t' : ','),
    });
    looking = false;
    return { recording, source, close: async () => {} };
  },

  async npy(file, name, { rate, start }, onLook) {
    const startNs = start === undefined ? undefined : parseTime(start);
    if (start !== undefined && startNs === undefined) {
      throw invalidField('--start', `${start} is neither an RFC 3339 time nor integer nanoseconds`);
    }
    const recording = await readNpyRecording(() => bytesIn(file), {
      name,
      ...(rate !== undefined && { rate }),
      ...(startNs !== undefined && { startNs }),
    });
    const sha256 = await sha256Of([file], look(onLook, await bytesOnDisk([file])));
    return { recording, source: { file: basename(file), sha256 }, close: async () => {} };
  },

  async opensignals(file, name, _options, onLook) {
    const reader = new Hdf5Reader();
    const close = (): Promise<void> => reader.close();
    try {
      const recording = await readOpenSignals(await openHdf5Tree(reader, file), { name });
      const sha256 = await sha256Of([file], look(onLook, await bytesOnDisk([file])));
      return { recording, source: { file: basename(file), sha256 }, close };
    } catch (error) {
      await close();
      throw error;
    }
  },
};

function bytesIn(path: string): AsyncIterable<Uint8Array> {
  return createReadStream(path, { highWaterMark: READ_BYTES });
}

async function bytesOnDisk(paths: readonly string[]): Promise<number> {
  const sizes = await Promise.all(paths.map(async (path) => (await stat(path)).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

function look(onLook: OnLook, total: number): (bytes: number) => void {
  let seen = 0;
  return (bytes) => onLook((seen += bytes), total);
}

async function* counted(
  source: AsyncIterable<Uint8Array>,
  onBytes: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  for await (const piece of source) {
    onBytes(piece.length);
    yield piece;
  }
}

async function sha256Of(paths: readonly string[], onBytes: (bytes: number) => void): Promise<string> {
  const hash = createHash('sha256');
  for (const path of paths) {
    for await (const piece of counted(bytesIn(path), onBytes)) hash.update(piece);
  }
  return hash.digest('hex');
}
