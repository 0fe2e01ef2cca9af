/** What series and shards take on the disk. */
import type { SeriesStorage, StoredShard } from '../../catalog/shards/space-store.ts';
import type { ChunkPosition, ListedChunk } from '../../catalog/shards/chunk-listing.ts';
import type { Series } from '../../core/signal/series.ts';
import type { Principal } from '../principal.ts';
import type { SeriesRef } from '../series/series-service.ts';

export type { ListedChunk };

export interface ShardSpace extends StoredShard {
  /** Bytes of what it stores that are still data; the rest is no data any more, or HDF5's own structure. */
  readonly liveBytes: number;
}

export interface SpaceService {
  /** @throws not-found for a series that does not exist, or is out of the principal's reach */
  ofSeries(principal: Principal, ref: SeriesRef): Promise<{ series: Series; storage: SeriesStorage }>;
  /** Lists the chunks of a series in the order of rows. @throws as ofSeries */
  chunks(
    principal: Principal,
    ref: SeriesRef,
    page: { limit: number; after: ChunkPosition | null },
  ): Promise<{ items: ListedChunk[]; after: ChunkPosition | null }>;
  /**
   * Lists shards for administrators of the whole service. @param after id of the shard at which the page before ended
   */
  shards(page: { limit: number; after: string | null }): Promise<{ items: ShardSpace[]; after: string | null }>;
}
