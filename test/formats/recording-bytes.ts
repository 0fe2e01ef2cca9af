/** Files of recordings as tests lay them out by hand, and what a reader makes of them. */
import { createReadStream, existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { bytesOf } from '../../src/core/numbers/dtype.ts';
import type { RecordedSeries, Recording } from '../../src/core/signal/recording.ts';
import type { RecordingFiles } from '../../src/formats/recordings/recording-files.ts';
import { streamOf } from './streams.ts';

/** Files by name; in pieces of odd size, as a disk might give them. */
export function filesOf(contents: Record<string, Uint8Array | string>, pieceBytes = 8191): RecordingFiles {
  return {
    size: async (name) => (name in contents ? Buffer.from(contents[name]).length : null),
    open: (name, fromByte = 0, toByte = Infinity) =>
      streamOf(Buffer.from(contents[name]).subarray(fromByte, Math.min(toByte, Number.MAX_SAFE_INTEGER)), pieceBytes),
  };
}

export function filesIn(folder: string): RecordingFiles {
  return {
    size: async (name) => (existsSync(join(folder, name)) ? statSync(join(folder, name)).size : null),
    open: (name, start = 0, toByte = Infinity) => createReadStream(join(folder, name), { start, end: toByte - 1 }),
  };
}

export interface ReadSeries {
  readonly rows: number;
  /** Rows × channels. */
  readonly values: readonly (number | bigint)[];
  readonly bytes: Buffer;
  /** Empty of a regular series. */
  readonly times: readonly bigint[];
  /** Rows at which a later segment begins, with its start. */
  readonly segments: readonly (readonly [row: number, startNs: bigint])[];
}

export async function readRows(series: RecordedSeries): Promise<ReadSeries> {
  const values: (number | bigint)[] = [];
  const parts: Uint8Array[] = [];
  const times: bigint[] = [];
  const segments: [number, bigint][] = [];
  let rows = 0;
  for await (const batch of series.batches()) {
    if (batch.startNs !== undefined) segments.push([rows, batch.startNs]);
    if (batch.times) times.push(...batch.times);
    rows += batch.rows;
    parts.push(bytesOf(batch.values));
    for (const value of batch.values) values.push(value);
  }
  return { rows, values, bytes: Buffer.concat(parts), times, segments };
}

/** Text filled up with spaces. */
export function padded(text: string, length: number): Buffer {
  return Buffer.from(text.padEnd(length).slice(0, length), 'latin1');
}

/** All rows of all series, so that nothing is left untried. */
export async function readThrough(recording: Recording): Promise<ReadSeries[]> {
  const all: ReadSeries[] = [];
  for (const series of recording.series) all.push(await readRows(series));
  return all;
}
