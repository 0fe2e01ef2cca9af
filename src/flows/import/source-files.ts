/** The files that a recording is made of: their bytes, their sizes, and what tells them from any other. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Recording } from '../../core/signal/recording.ts';
import type { RecordingSource } from '../../core/signal/series.ts';
import type { RecordingOptions } from './recording-options.ts';

/** Files are read in pieces of this size. */
export const PIECE_BYTES = 1024 * 1024;

export type { RecordingOptions, RecordingSource };

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

/** @param from the first byte @param to one past the last; by default the file's end */
export function bytesIn(path: string, from = 0, to = Infinity): AsyncIterable<Uint8Array> {
  return createReadStream(path, { highWaterMark: PIECE_BYTES, start: from, end: to - 1 });
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
