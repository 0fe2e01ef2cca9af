/** What an erasure takes away from an irregular series, and where the times of what is left begin and end. Reads times, no values. */
import { readErasureView, type ErasureView, type ErasureChunk } from '../../catalog/appends/edit-store.ts';
import type { Database } from '../../catalog/database.ts';
import { erasuresOf } from '../../core/rows/erasure.ts';
import type { MeasuredRange } from '../../core/rows/plan-edit.ts';
import type { Series } from '../../core/signal/series.ts';
import { INT64_MAX, INT64_MIN } from '../../core/time.ts';
import { groupByTime } from '../../core/rows/time-order.ts';
import type { CodecPool } from '../../storage/threads/codec-pool.ts';
import type { DataRoot } from '../../storage/folder/data-root.ts';
import { seenRows, seenTimes } from '../read/order-here.ts';

export interface MeasureDeps {
  readonly db: Database;
  readonly root: DataRoot;
  readonly codec: Pick<CodecPool, 'run'>;
}

/**
 * @param startNs the range is `[startNs, endNs)`
 * @throws corrupt if a shard does not hold what the catalog says
 */
export async function measureErasure(
  deps: MeasureDeps,
  series: Pick<Series, 'id' | 'duplicates'>,
  startNs: bigint,
  endNs: bigint,
): Promise<MeasuredRange> {
  const { duplicates } = series;
  const view = await readErasureView(deps.db, series.id, startNs, endNs);
  const times = (chunks: readonly ErasureChunk[], from: bigint, to: bigint): Promise<BigInt64Array> =>
    seenTimes(deps, { chunks, duplicates, erasures: view.erasures, startNs: from, endNs: to });
  let removed = 0;
  const touched = view.chunks.filter((chunk) => chunk.firstNs! < endNs && chunk.lastNs! >= startNs);
  for (const { ordered, chunks } of groupByTime(touched)) {
    const [chunk] = chunks;
    const isWhole = ordered && chunk.firstNs! >= startNs && chunk.lastNs! < endNs && isSound(view, chunk);
    removed += isWhole
      ? chunk.rows
      : await seenRows(deps, { chunks, duplicates, erasures: view.erasures, startNs, endNs });
  }
  const inRange = (ns: bigint | null): boolean => ns !== null && ns >= startNs && ns < endNs;
  return {
    rows: view.rows,
    edits: view.edits,
    expiredNs: view.expiredNs,
    removed,
    firstNs: inRange(view.firstNs) ? await firstFrom(view, endNs, times) : view.firstNs,
    lastNs: inRange(view.lastNs) ? await lastBefore(view, startNs, times) : view.lastNs,
  };
}

type ReadTimes = (chunks: readonly ErasureChunk[], from: bigint, to: bigint) => Promise<BigInt64Array>;

/** It is told chunk by chunk: whether a time is there does not depend on duplicates of it elsewhere. */
async function firstFrom(view: ErasureView, fromNs: bigint, times: ReadTimes): Promise<bigint | null> {
  let first: bigint | null = null;
  const later = view.chunks.filter(({ lastNs }) => lastNs! >= fromNs);
  for (const chunk of later.sort((a, b) => (a.firstNs! < b.firstNs! ? -1 : 1))) {
    if (first !== null && chunk.firstNs! >= first) break;
    const isTold = chunk.firstNs! >= fromNs && isSound(view, chunk);
    const found = isTold ? chunk.firstNs : ((await times([chunk], fromNs, INT64_MAX)).at(0) ?? null);
    if (found !== null && (first === null || found < first)) first = found;
  }
  return first;
}

async function lastBefore(view: ErasureView, beforeNs: bigint, times: ReadTimes): Promise<bigint | null> {
  let last: bigint | null = null;
  const earlier = view.chunks.filter(({ firstNs }) => firstNs! < beforeNs);
  for (const chunk of earlier.sort((a, b) => (a.lastNs! > b.lastNs! ? -1 : 1))) {
    if (last !== null && chunk.lastNs! <= last) break;
    const isTold = chunk.lastNs! < beforeNs && isSound(view, chunk);
    const found = isTold ? chunk.lastNs : ((await times([chunk], INT64_MIN, beforeNs)).at(-1) ?? null);
    if (found !== null && (last === null || found > last)) last = found;
  }
  return last;
}

/** Nothing was taken out of it so far. */
function isSound({ erasures }: ErasureView, chunk: ErasureChunk): boolean {
  return erasuresOf(chunk, erasures).length === 0;
}
