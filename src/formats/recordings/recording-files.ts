/** The files of a recording, as its decoder asks for them: by name, within one folder. */
import { VarveError } from '../../core/errors.ts';
import { joinBytes } from '../binary/block-cutter.ts';
import type { LocalZone } from './local-start.ts';

export interface RecordingFiles {
  /**
   * Bytes of a file. Null where there is none of that name, or its name leads out of the folder.
   * @param name may have folders below, with slashes
   */
  size(name: string): Promise<number | null>;
  /**
   * Bytes `[fromByte, toByte)` of a file, up to its end by default.
   * @throws `not-found` if no file has that name
   */
  open(name: string, fromByte?: number, toByte?: number): AsyncIterable<Uint8Array>;
}

/** What a user says of a recording, whatever its format. */
export interface FileOptions {
  /** Name of the recording. Where it becomes several series, what tells one from the others follows after a slash. */
  readonly name: string;
  /** Zone of the clock on the wall that the file has its start from. */
  readonly zone?: LocalZone;
  /** UTC ns of the first sample, in place of what the file says. */
  readonly startNs?: bigint;
}

/** Files that are read whole, such as headers and annotations: real ones are far smaller. */
const MAX_SIDE_FILE_BYTES = 64 * 1024 * 1024;

/** @throws `not-found` saying which file needs it */
export async function neededSize(files: RecordingFiles, name: string, neededBy: string): Promise<number> {
  const size = await files.size(name);
  if (size === null) throw new VarveError('not-found', `${neededBy} needs the file ${name}, which is not beside it`);
  return size;
}

/** Bytes `[from, from + length)` of a file, or fewer where it ends before. */
export async function readPart(files: RecordingFiles, name: string, from: number, length: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let left = length;
  if (left === 0) return new Uint8Array(0);
  for await (const piece of files.open(name, from, from + length)) {
    pieces.push(piece.subarray(0, left));
    left -= Math.min(left, piece.length);
    if (left === 0) break;
  }
  return joinBytes(pieces);
}

/** A file that must be whole before it can be read. @throws `limit-exceeded` over 64 MiB; `not-found` */
export async function readWhole(files: RecordingFiles, name: string, neededBy = name): Promise<Uint8Array> {
  const size = await neededSize(files, name, neededBy);
  if (size > MAX_SIDE_FILE_BYTES) {
    throw new VarveError('limit-exceeded', `${name} has ${size} bytes; at most ${MAX_SIDE_FILE_BYTES} are read`);
  }
  return readPart(files, name, 0, size);
}
