/** Ranges of time that were taken out of irregular series, and that chunks written before do not know of. */
import { INT64_MIN } from '../time.ts';

export interface Erasure {
  /** The edit: chunks of this generation or a later one have taken it in. */
  readonly generation: number;
  /** `[startNs, endNs)` … */
  readonly startNs: bigint;
  readonly endNs: bigint;
  /** … of rows before this one. Rows that came later are not meant. */
  readonly beforeRow: number;
}

export interface ErasableChunk {
  readonly generation: number;
  readonly firstRow: number;
  readonly rows: number;
  readonly firstNs: bigint | null;
  readonly lastNs: bigint | null;
}

/** What has expired, as an erasure of every row, whenever the row came. */
export function expiry(expiredNs: bigint): Erasure {
  return { generation: Infinity, startNs: INT64_MIN, endNs: expiredNs, beforeRow: Infinity };
}

/** Those erasures that may concern rows of a chunk. */
export function erasuresOf(chunk: ErasableChunk, erasures: readonly Erasure[]): Erasure[] {
  return erasures.filter(
    ({ generation, startNs, endNs, beforeRow }) =>
      chunk.generation < generation && chunk.firstRow < beforeRow && chunk.firstNs! < endNs && chunk.lastNs! >= startNs,
  );
}

/** One erasure takes all rows of the chunk. */
export function isWhollyErased(chunk: ErasableChunk, erasures: readonly Erasure[]): boolean {
  const [end, firstNs, lastNs] = [chunk.firstRow + chunk.rows, chunk.firstNs!, chunk.lastNs!];
  return erasuresOf(chunk, erasures).some(
    ({ startNs, endNs, beforeRow }) => end <= beforeRow && startNs <= firstNs && lastNs < endNs,
  );
}

/** @param erasures of the row's chunk: {@link erasuresOf} */
export function isErased(row: number, ns: bigint, erasures: readonly Erasure[]): boolean {
  return erasures.some(({ startNs, endNs, beforeRow }) => row < beforeRow && ns >= startNs && ns < endNs);
}
