/**
 * The journal of a shard: what a commit changes below the file's committed end, written down and fsynced before the file is touched.
 *
 * Guarantee: whatever instant the machine stops, {@link recoverShard} leaves the shard as the previous or as the new commit,
 * never in between. It holds because (1) bytes past the committed end are referred to by nothing until the journal is
 * complete, (2) a journal counts only if its checksum holds, (3) applying it twice is the same as once.
 *
 * Layout (little-endian): magic `VARVEJ01`, u64 length of the file after the commit, u32 number of runs; per run u64 offset,
 * u32 length, the bytes; last a CRC-32 of everything before it.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  ftruncateSync,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { crc32 } from 'node:zlib';
import { syncFolderOf } from './sync-folder.ts';

const MAGIC = Buffer.from('VARVEJ01', 'latin1');

/** Bytes to be put at an offset. */
export interface Run {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export interface Journal {
  /** Length of the file once the commit is applied. */
  readonly fileLength: number;
  readonly runs: readonly Run[];
}

export function journalPath(shard: string): string {
  return `${shard}.journal`;
}

export function encodeJournal(journal: Journal): Buffer {
  const head = Buffer.alloc(20);
  MAGIC.copy(head);
  head.writeBigUInt64LE(BigInt(journal.fileLength), 8);
  head.writeUInt32LE(journal.runs.length, 16);
  const parts: Uint8Array[] = [head];
  for (const run of journal.runs) {
    const header = Buffer.alloc(12);
    header.writeBigUInt64LE(BigInt(run.offset), 0);
    header.writeUInt32LE(run.bytes.length, 8);
    parts.push(header, run.bytes);
  }
  const body = Buffer.concat(parts);
  const tail = Buffer.alloc(4);
  tail.writeUInt32LE(crc32(body));
  return Buffer.concat([body, tail]);
}

/** @returns null for anything that is not one whole journal: torn, empty or damaged */
export function decodeJournal(bytes: Buffer): Journal | null {
  if (bytes.length < 24 || !bytes.subarray(0, 8).equals(MAGIC)) return null;
  const end = bytes.length - 4;
  if (crc32(bytes.subarray(0, end)) !== bytes.readUInt32LE(end)) return null;
  const runs: Run[] = [];
  let at = 20;
  for (let i = bytes.readUInt32LE(16); i > 0; i--) {
    const offset = Number(bytes.readBigUInt64LE(at));
    const length = bytes.readUInt32LE(at + 8);
    runs.push({ offset, bytes: bytes.subarray(at + 12, at + 12 + length) });
    at += 12 + length;
  }
  return at === end ? { fileLength: Number(bytes.readBigUInt64LE(8)), runs } : null;
}

/** Writes the journal beside the shard, durably: its bytes and its name. */
export function writeJournal(shard: string, journal: Journal): void {
  const path = journalPath(shard);
  const bytes = encodeJournal(journal);
  const fd = openSync(path, 'w', 0o644);
  try {
    writeFully(fd, bytes, 0);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  syncFolderOf(path);
}

/** Puts a journal's runs into the file and makes them durable. Idempotent. */
export function applyJournal(fd: number, journal: Journal): void {
  for (const run of journal.runs) writeFully(fd, run.bytes, run.offset);
  if (fstatSync(fd).size !== journal.fileLength) ftruncateSync(fd, journal.fileLength);
  fsyncSync(fd);
}

export type Recovery = 'clean' | 'applied' | 'discarded' | 'cut';

/**
 * Brings a shard that nobody writes to its newest whole commit: applies a whole journal, discards a torn one, and cuts what lies
 * past the committed end.
 * @param shard absolute path
 */
export function recoverShard(shard: string): Recovery {
  let result: Recovery = 'clean';
  const fd = openSync(shard, 'r+');
  try {
    const path = journalPath(shard);
    if (existsSync(path)) {
      const journal = decodeJournal(readFileSync(path));
      if (journal) applyJournal(fd, journal);
      unlinkSync(path);
      result = journal ? 'applied' : 'discarded';
    }
    const committed = committedLength(fd);
    if (committed !== null && fstatSync(fd).size > committed) {
      ftruncateSync(fd, committed);
      fsyncSync(fd);
      if (result === 'clean') result = 'cut';
    }
  } finally {
    closeSync(fd);
  }
  return result;
}

/** The end-of-file address in the HDF5 superblock (format spec, III.A, versions 2 and 3); null if there is none to be read. */
export function committedLength(fd: number): number | null {
  const head = Buffer.alloc(48);
  if (readSync(fd, head, 0, 48, 0) < 48) return null;
  return endOfFileAddress(head);
}

const HDF5_SIGNATURE = Buffer.from('\x89HDF\r\n\x1a\n', 'latin1');

export function endOfFileAddress(superblock: Buffer): number | null {
  const version = superblock[8];
  if (!superblock.subarray(0, 8).equals(HDF5_SIGNATURE) || (version !== 2 && version !== 3) || superblock[9] !== 8)
    return null;
  return Number(superblock.readBigUInt64LE(28));
}

export function writeFully(fd: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length;) {
    done += writeSync(fd, bytes, done, bytes.length - done, position + done);
  }
}
