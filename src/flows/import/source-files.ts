/** The files that a recording is made of: their bytes, their sizes, and what tells them from any other. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Recording } from '../../core/signal/recording.ts';
import type { RecordingSource } from '../../core/signal/series.ts';

/** Files are read in pieces of this size. */
export const READ_BYTES = 1024 * 1024;

export const RECORDING_FORMATS = [
  'wfdb',
  'csv',
  'npy',
  'opensignals',
  'hdf5',
  'edf',
  'abf',
  'brainvision',
  'spikeglx',
  'openephys',
  'xdf',
  'biopac',
] as const;
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
  /** IANA name of the zone of times that state none; by default UTC. */
  readonly tz?: string;
  /** Datasets of an HDF5 file that are meant. */
  readonly dataset?: readonly string[];
  /** Whether rows follow each other along the first axis, or each row is a channel. */
  readonly orient?: 'rows' | 'channels';
  /** What one is, in times that do not say it. */
  readonly epoch?: 's' | 'ms' | 'us' | 'ns';
}

export type { RecordingSource };

export interface OpenRecording {
  readonly recording: Recording;
  readonly source: RecordingSource;
  /** Once its samples have been read. */
  close(): Promise<void>;
}

/** Told of the bytes that looking through a file has read so far, and of all that it will read. */
export type OnLook = (bytes: number, total: number) => void;

/** Opens the files of one format; `name` is the recording's. */
export type RecordingOpener = (
  file: string,
  name: string,
  options: RecordingOptions,
  onLook: OnLook,
) => Promise<OpenRecording>;

export function bytesIn(path: string): AsyncIterable<Uint8Array> {
  return createReadStream(path, { highWaterMark: READ_BYTES });
}

export async function bytesOnDisk(paths: readonly string[]): Promise<number> {
  const sizes = await Promise.all(paths.map(async (path) => (await stat(path)).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

export function tellLook(onLook: OnLook, total: number): (bytes: number) => void {
  let seen = 0;
  return (bytes) => onLook((seen += bytes), total);
}

export async function* countBytes(
  source: AsyncIterable<Uint8Array>,
  onBytes: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  for await (const piece of source) {
    onBytes(piece.length);
    yield piece;
  }
}

export async function sha256Of(paths: readonly string[], onBytes: (bytes: number) => void): Promise<string> {
  const hash = createHash('sha256');
  for (const path of paths) {
    for await (const piece of countBytes(bytesIn(path), onBytes)) hash.update(piece);
  }
  return hash.digest('hex');
}
