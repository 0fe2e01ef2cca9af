/** What series and shards take on the disk, for those who ask. */
import type { Database } from '../../catalog/database.ts';
import { namingFaults } from '../../catalog/search/search-snapshot.ts';
import { listChunks } from '../../catalog/shards/chunk-listing.ts';
import { listStoredShards, readSeriesStorage } from '../../catalog/shards/space-store.ts';
import { visibleSeries } from '../series/series-reach.ts';
import { measureDead } from './measure-dead.ts';
import type { SpaceService } from './space-service.ts';

export function spaceService(db: Database): SpaceService {
  return {
    async ofSeries(principal, ref) {
      const series = await visibleSeries(db)(principal, ref);
      return { series, storage: await readSeriesStorage(db, series.id) };
    },
    async chunks(principal, ref, page) {
      const { id } = await visibleSeries(db)(principal, ref);
      return namingFaults(() => listChunks(db, id, page));
    },
    async shards({ limit, after }) {
      const found = await listStoredShards(db, { limit: limit + 1, after });
      const page = found.slice(0, limit);
      const dead = new Map<string, number>();
      for (const laneId of new Set(page.filter(({ storedBytes }) => storedBytes > 0).map((shard) => shard.laneId))) {
        for (const [shardId, share] of (await measureDead(db, laneId)).shares) dead.set(shardId, share);
      }
      return {
        items: page.map((shard) => ({
          ...shard,
          liveBytes: Math.round(shard.storedBytes * (1 - (dead.get(shard.id) ?? 0))),
        })),
        after: found.length > limit ? page.at(-1)!.id : null,
      };
    },
  };
}
