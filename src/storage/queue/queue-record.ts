/**
 * A record of a disk queue, as bytes. It is believed by its checksum alone, and found again behind damage by its marker.
 *
 * Its numbers are little-endian, at the places below. The checksum is of all that follows it.
 */
import { crc32 } from 'node:zlib';

export interface QueueEntry {
  /** What the payload is, to whoever reads it: 1 to 255. */
  readonly kind: number;
  readonly payload: Uint8Array;
  /** A hash by which one that comes again is known; 0n: it has none. */
  readonly origin?: bigint;
}

export interface QueueRecord extends Required<QueueEntry> {
  readonly sequence: bigint;
  readonly atMs: number;
}

/** A record, and what only the queue knows of it. */
export interface QueuedRecord extends QueueRecord {
  /** True of all records of an append but its last: without the last, none of them counts. */
  readonly isContinued: boolean;
  /** Where the next one begins. */
  readonly end: number;
}

/** The kind of records that are no data: what the queue keeps for whoever fills it. They have the number of the record before. */
export const MARK_KIND = 0;
export const RECORD_HEADER_BYTES = 40;
export const MAX_PAYLOAD_BYTES = 1024 * 1024;

const MARKER = Buffer.from('VqR1');
const CRC_AT = 4;
const LENGTH_AT = 8;
const KIND_AT = 12;
const FLAGS_AT = 13;
const SEQUENCE_AT = 16;
const TIME_AT = 24;
const ORIGIN_AT = 32;
const CONTINUED = 1;

export function encodeRecord(record: Omit<QueuedRecord, 'end'>): Buffer {
  const { kind, payload, sequence, atMs, origin, isContinued } = record;
  const bytes = Buffer.alloc(RECORD_HEADER_BYTES + payload.length);
  bytes.set(MARKER);
  bytes.writeUInt32LE(payload.length, LENGTH_AT);
  bytes[KIND_AT] = kind;
  bytes[FLAGS_AT] = isContinued ? CONTINUED : 0;
  bytes.writeBigUInt64LE(sequence, SEQUENCE_AT);
  bytes.writeBigUInt64LE(BigInt(atMs), TIME_AT);
  bytes.writeBigUInt64LE(origin, ORIGIN_AT);
  bytes.set(payload, RECORD_HEADER_BYTES);
  bytes.writeUInt32LE(crc32(bytes.subarray(LENGTH_AT)), CRC_AT);
  return bytes;
}

/** @returns null: there is no whole record, or one that does not match its checksum */
export function decodeRecord(bytes: Buffer, at: number): QueuedRecord | null {
  if (bytes.length - at < RECORD_HEADER_BYTES) return null;
  if (bytes.compare(MARKER, 0, MARKER.length, at, at + MARKER.length) !== 0) return null;
  const length = bytes.readUInt32LE(at + LENGTH_AT);
  const end = at + RECORD_HEADER_BYTES + length;
  if (length > MAX_PAYLOAD_BYTES || end > bytes.length) return null;
  if (crc32(bytes.subarray(at + LENGTH_AT, end)) !== bytes.readUInt32LE(at + CRC_AT)) return null;
  return {
    kind: bytes[at + KIND_AT],
    sequence: bytes.readBigUInt64LE(at + SEQUENCE_AT),
    atMs: Number(bytes.readBigUInt64LE(at + TIME_AT)),
    origin: bytes.readBigUInt64LE(at + ORIGIN_AT),
    payload: bytes.subarray(at + RECORD_HEADER_BYTES, end),
    isContinued: (bytes[at + FLAGS_AT] & CONTINUED) !== 0,
    end,
  };
}

/** Where the next record is that can be believed. @returns -1: nowhere */
export function nextRecord(bytes: Buffer, from: number): number {
  for (let at = bytes.indexOf(MARKER, from); at >= 0; at = bytes.indexOf(MARKER, at + 1)) {
    if (decodeRecord(bytes, at)) return at;
  }
  return -1;
}
