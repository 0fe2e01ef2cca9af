/** How much of what the shards of a lane store is no data any more. */
import { maskedInShards } from '../../catalog/shards/compaction-store.ts';
import type { Database } from '../../catalog/database.ts';
import { readInOneInstant } from '../../catalog/shards/rewrite-reader.ts';
import { storedBytesOf } from '../../catalog/shards/space-store.ts';
import { deadBytes, deadSummaryBytes } from '../../core/rows/dead-rows.ts';

export interface DeadSpace {
  /** Share of the stored bytes, by shard; above 0 and at most 1. */
  readonly shares: ReadonlyMap<string, number>;
}

/** Only series are looked at that were edited, have expired or are gone: others have no dead bytes. */
export async function measureDead(db: Database, laneId: string): Promise<DeadSpace> {
  const masked = await maskedInShards(db, laneId);
  if (masked.series.length === 0) return { shares: new Map() };
  const ids = new Set(masked.shards);
  const dead = new Map<string, number>();
  await readInOneInstant(db, async (reader) => {
    const whole = masked.series.map((seriesId) => ({ seriesId, range: { from: 0, to: Number.MAX_SAFE_INTEGER } }));
    for await (const known of reader.series(whole, { kind: 'shards', ids })) {
      const found = [
        ...deadBytes(known.chunks, known.holes, known.erasures),
        ...deadSummaryBytes(known.summaries, known.summariesExpiredNs, known.summariesExpiredRows),
      ];
      for (const [shardId, bytes] of found) if (ids.has(shardId)) dead.set(shardId, (dead.get(shardId) ?? 0) + bytes);
    }
  });
  const stored = dead.size > 0 ? await storedBytesOf(db, [...dead.keys()]) : new Map<string, number>();
  return { shares: new Map([...dead].map(([id, bytes]) => [id, Math.min(1, bytes / (stored.get(id) ?? bytes))])) };
}
