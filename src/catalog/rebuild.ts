/** Fills an empty catalog from outside: all of it in one transaction, or none of it. */
import { sql } from 'kysely';
import type { Chunk } from '../core/chunk.ts';
import type { Erasure } from '../core/erasure.ts';
import { VarveError } from '../core/errors.ts';
import { formatRate, rateHz } from '../core/rate.ts';
import type { RowRange, Segment } from '../core/segment.ts';
import { nameKey } from '../core/same-name.ts';
import type { ContentHash, NewSeries } from '../core/series.ts';
import type { TagUnit } from '../core/tag-value.ts';
import { fromChunk } from './chunk-row.ts';
import type { Database, DatabaseTransaction } from './database.ts';
import { storeUnits } from './tag-unit-store.ts';

export interface RebuiltSeries extends NewSeries {
  readonly id: string;
  readonly laneId: string;
  readonly createdAt: Date | null;
  readonly version: number;
  readonly rows: number;
  readonly removed: number;
  /** The newest edit: the next one has a higher number. */
  readonly edits: number;
  readonly expiredNs: bigint | null;
  readonly summariesExpiredNs: bigint | null;
  readonly sealedAt: Date | null;
  readonly contentHash: ContentHash | null;
  readonly deletedAt: Date | null;
  /** Regular series: in order of rows. */
  readonly segments: readonly Segment[];
  readonly holes: readonly RowRange[];
  readonly erasures: readonly Erasure[];
}

export interface RebuiltShard {
  readonly id: string;
  readonly laneId: string;
  readonly path: string;
  readonly bytes: number;
  readonly commit: bigint;
  readonly firstCommit: bigint;
  readonly level: number;
  readonly createdAt: Date | null;
}

const ROWS_AT_ONCE = 1000;

/**
 * @param work gets the catalog to fill, and says what the newest commit was; if it throws, nothing is kept
 * @throws conflict `catalog-not-empty` if the catalog knows a series, a lane, a shard or a sample. Projects and tokens may be there
 */
export async function fillEmptyCatalog<T extends { readonly newestCommit: bigint }>(
  db: Database,
  work: (catalog: EmptyCatalog) => Promise<T>,
): Promise<T> {
  return db.transaction().execute(async (trx) => {
    // Nobody creates a series or appends until all is in place.
    await sql`lock table series, heads, lanes, shards, fresh in share row exclusive mode`.execute(trx);
    for (const table of ['series', 'lanes', 'shards', 'fresh'] as const) {
      const { rows } = await sql`select from ${sql.table(table)} limit 1`.execute(trx);
      if (rows.length > 0) {
        throw new VarveError('conflict', `the catalog is not empty: it knows ${table}. Nothing was changed`, {
          slug: 'catalog-not-empty',
        });
      }
    }
    const result = await work(new EmptyCatalog(trx));
    const { newestCommit } = result;
    await sql`
      update shards h set data_bytes = coalesce((
        select sum(bytes) from (
          select distinct series_id, values_offset, values_length + coalesce(times_length, 0) as bytes
          from chunks where shard_id = h.id) blocks), 0)`.execute(trx);
    await sql`update lanes set flushed_commit = ${newestCommit}`.execute(trx);
    await sql`update commit_counter set value = greatest(value, ${newestCommit})`.execute(trx);
    return result;
  });
}

class EmptyCatalog {
  readonly #trx: DatabaseTransaction;
  readonly #projects = new Map<string, string>();

  constructor(trx: DatabaseTransaction) {
    this.#trx = trx;
  }

  /** @param newId for a project that is not there yet */
  async addProject(name: string, newId: string): Promise<void> {
    await this.#trx
      .insertInto('projects')
      .values({ id: newId, name })
      .onConflict((conflict) => conflict.expression(sql`varve_nfc(name)`).doNothing())
      .execute();
    const { id } = await this.#trx
      .selectFrom('projects')
      .select('id')
      .where(sql`varve_nfc(name)`, '=', nameKey(name))
      .executeTakeFirstOrThrow();
    this.#projects.set(name, id);
  }

  async addLane(id: string, seriesCount: number): Promise<void> {
    await this.#trx.insertInto('lanes').values({ id, series_count: seriesCount }).execute();
  }

  async addShard({ id, laneId, path, bytes, commit, firstCommit, level, createdAt }: RebuiltShard): Promise<void> {
    await this.#trx
      .insertInto('shards')
      .values({
        id,
        lane_id: laneId,
        state: 'live',
        level,
        path,
        bytes,
        commit,
        first_commit: firstCommit,
        ...(createdAt && { made_at: createdAt }),
      })
      .execute();
  }

  /** Its project must have been added. @param commit as of which it is told. @param units of the quantities among its tags */
  async addSeries(series: RebuiltSeries, commit: bigint, units: readonly TagUnit[]): Promise<void> {
    await storeUnits(this.#trx, units);
    const { sampling, segments, contentHash } = series;
    const regular = sampling.kind === 'regular' ? sampling : null;
    const projectId = this.#projects.get(series.project)!;
    await this.#trx
      .insertInto('series')
      .values({
        id: series.id,
        project_id: projectId,
        name: series.name,
        description: series.description,
        kind: sampling.kind,
        dtype: series.dtype,
        channels: JSON.stringify(series.channels),
        channel_count: series.channels.length,
        unit: series.unit,
        scale: series.scale,
        offset: series.offset,
        rate: regular && formatRate(regular.rate),
        rate_hz: regular && rateHz(regular.rate),
        start_ns: regular && regular.startNs,
        time_reference: series.timeReference,
        duplicates: series.duplicates,
        codec: series.codec,
        tags: JSON.stringify(series.tags),
        continuity: series.continuity,
        resolution: series.resolution,
        missing_value: series.missingValue?.toString() ?? null,
        time_zone: series.timeZone,
        external_ids: JSON.stringify(series.externalIds),
        provenance: JSON.stringify(series.provenance),
        version: series.version,
        deleted_at: series.deletedAt,
        ...(series.createdAt && { created_at: series.createdAt }),
      })
      .execute();
    if (contentHash) {
      const stored = JSON.stringify({ ...contentHash, commit: Number(contentHash.commit) });
      await this.#trx.updateTable('series').set({ content_hash: stored }).where('id', '=', series.id).execute();
    }
    const newest = segments.at(-1);
    await this.#trx
      .insertInto('heads')
      .values({
        series_id: series.id,
        lane_id: series.laneId,
        project_id: projectId,
        rows: BigInt(series.rows),
        commit,
        edits: series.edits,
        removed: BigInt(series.removed),
        expired_ns: series.expiredNs,
        summaries_expired_ns: series.summariesExpiredNs,
        shape_version: series.version,
        sealed_at: series.sealedAt,
        deleted_at: series.deletedAt,
        segment_row: newest ? BigInt(newest.firstRow) : null,
        segment_ns: newest?.startNs ?? null,
        segment_rows: newest ? BigInt(newest.rows) : null,
      })
      .execute();
    for (const some of pages(segments.slice(0, -1))) {
      await this.#trx
        .insertInto('closed_segments')
        .values(
          some.map(({ firstRow, startNs, rows }) => ({
            series_id: series.id,
            first_row: firstRow,
            start_ns: startNs,
            rows,
          })),
        )
        .execute();
    }
    for (const some of pages(series.holes)) {
      await this.#trx
        .insertInto('holes')
        .values(some.map((hole) => ({ series_id: series.id, from_row: hole.from, to_row: hole.to })))
        .execute();
    }
    for (const some of pages(series.erasures)) {
      await this.#trx
        .insertInto('erasures')
        .values(
          some.map(({ generation, startNs, endNs, beforeRow }) => ({
            series_id: series.id,
            generation,
            start_ns: startNs,
            end_ns: endNs,
            before_row: beforeRow,
          })),
        )
        .execute();
    }
  }

  async addChunks(chunks: readonly Chunk[]): Promise<void> {
    if (chunks.length > 0) await this.#trx.insertInto('chunks').values(chunks.map(fromChunk)).execute();
  }

  /** The smallest and largest time of a series, once all its chunks are known. */
  async setTimes(seriesId: string, firstNs: bigint | null, lastNs: bigint | null): Promise<void> {
    await this.#trx
      .updateTable('heads')
      .set({ first_ns: firstNs, last_ns: lastNs })
      .where('series_id', '=', seriesId)
      .execute();
  }
}

function* pages<T>(list: readonly T[]): Generator<readonly T[]> {
  for (let from = 0; from < list.length; from += ROWS_AT_ONCE) yield list.slice(from, from + ROWS_AT_ONCE);
}

export type { EmptyCatalog };
