/** What plans of reads take in memory: what a read says it needs before it takes it. */
import type { SampleSnapshot } from '../../catalog/read/sample-snapshot.ts';
import type { ChunkLocation } from '../../catalog/chunks/chunk-location.ts';
import { VarveError } from '../../core/errors.ts';
import { DTYPES } from '../../core/numbers/dtype.ts';
import { groupByTime } from '../../core/rows/time-order.ts';
import { SMALL_READ_BYTES, STREAM_BYTES, type Claim } from './answer-room.ts';
import { orderedBytes } from './order-windows.ts';

/** A chunk of a plan: its row as text, as an object, and as a piece to read, on both sides of a thread. */
export const CHUNK_BYTES = 1536;
/** Chunks of the plan of one read that is not planned page by page; a range that has more is refused. */
export const MOST_CHUNKS = 131_072;
/** Bytes of fresh chunks in rows of Postgres that come with one plan … */
export const MOST_HELD_BYTES = 64 * 1024 * 1024;
/** … and are in memory as Postgres sends them, two digits a byte, and as they are. */
const HELD_COPIES = 3;
/** Rows that are put in order are in memory as they are read, joined, and in order. */
export const COPIES_IN_ORDERING = 3;
/** The largest plan of one read, and a stream. */
export const MOST_PLAN_BYTES = STREAM_BYTES + MOST_CHUNKS * CHUNK_BYTES + HELD_COPIES * MOST_HELD_BYTES;
/** A plan that did not do is made anew with room for so many times as much. */
const MORE_ROOM = 4;

/** How much of the catalog one statement may bring. */
export interface PlanSize {
  readonly chunks: number;
  readonly heldBytes: number;
}

/**
 * Half of the claim is for chunks in files, and half for those that come with their bytes.
 * @param besides bytes of the claim that are for something else
 */
export function planSizeOf({ bytes }: Pick<Claim, 'bytes'>, besides = 0): PlanSize {
  const half = Math.max(0, (Math.min(bytes - besides, MOST_PLAN_BYTES) - STREAM_BYTES) / 2);
  return { chunks: Math.floor(half / CHUNK_BYTES), heldBytes: Math.floor(half / HELD_COPIES) };
}

/**
 * Where a plan has found more than it may bring: begins the read anew with more room.
 * @throws limit-exceeded `too-many-chunks` where there may be no more
 */
export function needLargerPlan(claim: PlanClaim, besides = 0): never {
  const bytes = claim.bytes - besides;
  if (bytes >= MOST_PLAN_BYTES) throw planTooLarge();
  return claim.refuse(besides + Math.min(MOST_PLAN_BYTES, Math.max(SMALL_READ_BYTES, bytes * MORE_ROOM)));
}

export function planTooLarge(): VarveError {
  const message = `the range has more than ${MOST_CHUNKS} chunks, or ${MOST_HELD_BYTES} bytes in small appends that wait to be flushed`;
  return new VarveError('limit-exceeded', `${message}; ask for a shorter one`, { slug: 'too-many-chunks' });
}

/** What a plan asks of the claim that it must fit in. */
export type PlanClaim = Pick<Claim, 'bytes' | 'need' | 'refuse'>;

/** The claim of plans that are counted beforehand: they may be as large as there may be any. */
export const LARGEST_PLAN: PlanClaim = {
  bytes: MOST_PLAN_BYTES,
  need() {},
  refuse() {
    throw planTooLarge();
  },
};

/** A snapshot, and the rows of it that are put in order at once. @param orderBytes in which they are put in order */
export function snapshotBytes(snapshot: Pick<SampleSnapshot, 'series' | 'chunks'>, orderBytes: number): number {
  return chunksBytes(snapshot.chunks) + orderingOf(snapshot, orderBytes);
}

export function planBytes({ chunks, heldBytes }: PlanSize): number {
  return chunks * CHUNK_BYTES + heldBytes * HELD_COPIES;
}

export function chunksBytes(chunks: readonly Pick<ChunkLocation, 'held'>[]): number {
  return chunks.reduce(
    (sum, { held }) => sum + (held ? HELD_COPIES * heldBytes(held) : 0),
    chunks.length * CHUNK_BYTES,
  );
}

function heldBytes({ values, times }: NonNullable<ChunkLocation['held']>): number {
  return values.byteLength + (times?.byteLength ?? 0);
}

function orderingOf({ series, chunks }: Pick<SampleSnapshot, 'series' | 'chunks'>, orderBytes: number): number {
  if (series.sampling.kind === 'regular') return 0;
  const disordered = groupByTime(chunks).filter(({ ordered }) => !ordered);
  const rows = disordered.reduce((sum, group) => sum + group.chunks.reduce((n, chunk) => n + chunk.rows, 0), 0);
  const rowBytes = series.channels.length * DTYPES[series.dtype].bytes;
  return COPIES_IN_ORDERING * Math.min(orderBytes, orderedBytes(rows, rowBytes));
}
