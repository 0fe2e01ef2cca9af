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
import { crc32 } from 'node:zlib';
import { systemDisk, type Disk } from './disk.ts';
import { SUPERBLOCK_BYTES, endOfFileAddress } from './superblock.ts';

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

/** Writes the journal beside the shard, durably: its bytes and its name. @returns its length */
export function writeJournal(shard: string, journal: Journal, disk: Disk = systemDisk): number {
  const path = journalPath(shard);
  const fd = disk.open(path, 'replace');
  const encoded = encodeJournal(journal);
  try {
    disk.write(fd, encoded, 0);
    disk.sync(fd);
  } finally {
    disk.close(fd);
  }
  disk.syncFolder(path);
  return encoded.length;
}

/** Puts a journal's runs into the file and makes them durable. Idempotent. */
export function applyJournal(fd: number, journal: Journal, disk: Disk = systemDisk): void {
  for (const run of journal.runs) disk.write(fd, run.bytes, run.offset);
  if (disk.length(fd) !== journal.fileLength) disk.truncate(fd, journal.fileLength);
  disk.sync(fd);
}

export type Recovery = 'clean' | 'applied' | 'discarded' | 'cut';

/**
 * Brings a shard that nobody writes to its newest whole commit: applies a whole journal, discards a torn one, and cuts what lies
 * past the committed end.
 * @param shard absolute path
 */
export function recoverShard(shard: string, disk: Disk = systemDisk): Recovery {
  let result: Recovery = 'clean';
  const fd = disk.open(shard, 'edit');
  try {
    const path = journalPath(shard);
    if (disk.exists(path)) {
      const journal = decodeJournal(disk.readFile(path));
      if (journal) applyJournal(fd, journal, disk);
      disk.remove(path);
      disk.syncFolder(path);
      result = journal ? 'applied' : 'discarded';
    }
    const committed = committedLength(fd, disk);
    if (committed !== null && disk.length(fd) > committed) {
      disk.truncate(fd, committed);
      disk.sync(fd);
      if (result === 'clean') result = 'cut';
    }
  } finally {
    disk.close(fd);
  }
  return result;
}

/** Where the newest commit ends, from the superblock; null if that cannot be trusted. */
export function committedLength(fd: number, disk: Disk = systemDisk): number | null {
  const head = Buffer.alloc(SUPERBLOCK_BYTES);
  return disk.read(fd, head, 0) < SUPERBLOCK_BYTES ? null : endOfFileAddress(head);
}
