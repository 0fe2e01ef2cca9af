/** How much of what the shards of a lane store is no data any more. */
import type { Database } from '../catalog/database.ts';
import { maskedSeries, readSealSeries } from '../catalog/seal-reader.ts';
import { storedBytesOf } from '../catalog/space-store.ts';
import { deadBytes, deadSummaryBytes } from '../core/dead-rows.ts';
import type { Series } from '../core/series.ts';

export interface DeadSpace {
  /** Share of the stored bytes, by shard; above 0 and at most 1. */
  readonly shares: ReadonlyMap<string, number>;
  /** Masked series of which nothing is dead. */
  readonly clean: ReadonlyArray<Pick<Series, 'id' | 'commit'>>;
}

/** Only of series that were masked: nothing of others is dead. */
export async function measureDead(db: Database, laneId: string): Promise<DeadSpace> {
  const dead = new Map<string, number>();
  const clean: Series[] = [];
  for (const seriesId of await maskedSeries(db, laneId)) {
    const known = await readSealSeries(db, seriesId, null);
    const found = [
      ...deadBytes(known.chunks, known.holes, known.erasures),
      ...deadSummaryBytes(known.summaries, known.summariesExpiredNs, known.summariesExpiredRow),
    ];
    if (found.length === 0) clean.push(known.series);
    for (const [shardId, bytes] of found) dead.set(shardId, (dead.get(shardId) ?? 0) + bytes);
  }
  const stored = dead.size > 0 ? await storedBytesOf(db, [...dead.keys()]) : new Map<string, number>();
  const shares = new Map([...dead].map(([id, bytes]) => [id, Math.min(1, bytes / (stored.get(id) ?? bytes))]));
  return { shares, clean };
}
