/** What a drain must know before it appends: the series of a batch, where each ends, and its growing tail chunk. */
import { sql } from 'kysely';
import type { Chunk } from '../core/chunk.ts';
import type { Segment } from '../core/segment.ts';
import type { Series } from '../core/series.ts';
import { toChunk } from './chunk-row.ts';
import type { Database } from './database.ts';
import { SERIES_COLUMNS, toSeries } from './series-row.ts';

export interface DrainSeries {
  readonly series: Series;
  /** Regular: the newest visible segment. */
  readonly lastSegment: Segment | null;
  /** The newest chunk of appended rows of this series in the hot shard; null if it has none there. */
  readonly tail: Chunk | null;
}

/** Deleted series are included: what was acknowledged before the delete is applied, and a restore finds it. */
export async function readDrainSeries(
  db: Database,
  seriesIds: readonly string[],
  hotShardId: string | null,
): Promise<Map<string, DrainSeries>> {
  const ids = sql<string>`any(${[...seriesIds]}::uuid[])`;
  const rows = await db
    .selectFrom('series as s')
    .innerJoin('projects as p', 'p.id', 's.project_id')
    .select(SERIES_COLUMNS)
    .where('s.id', '=', ids)
    .execute();
  const segments = await db
    .selectFrom('segments')
    .distinctOn('series_id')
    .selectAll()
    .where('series_id', '=', ids)
    .orderBy('series_id')
    .orderBy('first_row', 'desc')
    .execute();
  const tails = hotShardId
    ? await db
        .selectFrom('chunks')
        .distinctOn('series_id')
        .selectAll()
        .where('shard_id', '=', hotShardId)
        .where('series_id', '=', ids)
        .where('generation', '=', 0) // those of an edit lie beside, in datasets of their own
        .orderBy('series_id')
        .orderBy('first_row', 'desc')
        .execute()
    : [];
  const segmentOf = new Map(segments.map((row) => [row.series_id, row]));
  const tailOf = new Map(tails.map((row) => [row.series_id, toChunk(row)]));
  return new Map(
    rows.map((row) => {
      const segment = segmentOf.get(row.id);
      return [
        row.id,
        {
          series: toSeries(row),
          lastSegment: segment
            ? { firstRow: Number(segment.first_row), startNs: segment.start_ns, rows: Number(segment.rows) }
            : null,
          tail: tailOf.get(row.id) ?? null,
        },
      ];
    }),
  );
}
