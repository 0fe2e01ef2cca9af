/** Fills an empty catalog from outside: all of it in one transaction, or none of it. */
import { sql } from 'kysely';
import type { Chunk } from '../core/chunk.ts';
import type { Erasure } from '../core/erasure.ts';
import { VarveError } from '../core/errors.ts';
import { formatRate, rateHz } from '../core/rate.ts';
import type { RowRange, Segment } from '../core/segment.ts';
import { nameKey } from '../core/same-name.ts';
import type { NewSeries } from '../core/series.ts';
import type { TagUnit } from '../core/tag-value.ts';
import { fromChunk } from './chunk-row.ts';
import type { Database, DatabaseTransaction } from './database.ts';
import { storeUnits } from './tag-unit-store.ts';

export interface RebuiltSeries extends NewSeries {
  readonly id: string;
  readonly laneId: string;
  readonly createdAt: Date | null;
  readonly rows: number;
  /** Regular series: in order of rows. */
  readonly segments: readonly Segment[];
}

export interface RebuiltShard {
  readonly id: string;
  readonly laneId: string;
  readonly path: string;
  readonly bytes: number;
  readonly leaseToken: bigint;
  readonly createdAt: Date | null;
  /** A sealed shard: those whose rows it took over; null: it is none. */
  readonly parents: readonly string[] | null;
}

/** What is there counts as one commit; the next one that is published is the second. */
const FIRST_COMMIT = 1n;
const SEGMENTS_AT_ONCE = 1000;

/**
 * @param work gets the catalog to fill; if it throws, nothing is kept
 * @throws conflict `catalog-not-empty` if the catalog knows a series, a lane, a shard or a write. Projects and tokens may be there
 */
export async function fillEmptyCatalog<T>(db: Database, work: (catalog: EmptyCatalog) => Promise<T>): Promise<T> {
  return db.transaction().execute(async (trx) => {
    // Nobody creates a series or claims a lane until all is in place.
    await sql`lock table series, lanes, shards, writes in share row exclusive mode`.execute(trx);
    for (const table of ['series', 'lanes', 'shards', 'writes'] as const) {
      const { rows } = await sql`select from ${sql.table(table)} limit 1`.execute(trx);
      if (rows.length > 0) {
        throw new VarveError('conflict', `the catalog is not empty: it knows ${table}. Nothing was changed`, {
          slug: 'catalog-not-empty',
        });
      }
    }
    const result = await work(new EmptyCatalog(trx));
    await trx.updateTable('commit_counter').set({ value: FIRST_COMMIT }).execute();
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

  /** @param leaseToken the highest that was ever given, of either lease: later ones name new files */
  async addLane(id: string, seriesCount: number, leaseToken: bigint): Promise<void> {
    await this.#trx
      .insertInto('lanes')
      .values({ id, series_count: seriesCount, lease_token: leaseToken, seal_token: leaseToken })
      .execute();
  }

  /** It takes no more appends. */
  async addShard({ id, laneId, path, bytes, leaseToken, createdAt, parents }: RebuiltShard): Promise<void> {
    await this.#trx
      .insertInto('shards')
      .values({
        id,
        lane_id: laneId,
        state: parents ? 'sealed' : 'retired',
        parents: sql<string[]>`${[...(parents ?? [])]}::uuid[]` as unknown as string[],
        path,
        bytes,
        lease_token: leaseToken,
        ...(createdAt && { created_at: createdAt }),
      })
      .execute();
  }

  /** Its project must have been added. @param units of the quantities among its tags */
  async addSeries(series: RebuiltSeries, units: readonly TagUnit[]): Promise<void> {
    await storeUnits(this.#trx, units);
    const { sampling, segments } = series;
    const regular = sampling.kind === 'regular' ? sampling : null;
    const newest = segments.at(-1);
    await this.#trx
      .insertInto('series')
      .values({
        id: series.id,
        project_id: this.#projects.get(series.project)!,
        lane_id: series.laneId,
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
        ...(series.createdAt && { created_at: series.createdAt }),
        rows: BigInt(series.rows),
        commit: FIRST_COMMIT,
        staged_rows: BigInt(series.rows),
        staged_segment_start_ns: newest?.startNs ?? null,
        staged_segment_rows: BigInt(newest?.rows ?? 0),
      })
      .execute();
    for (let from = 0; from < segments.length; from += SEGMENTS_AT_ONCE) {
      const some = segments.slice(from, from + SEGMENTS_AT_ONCE);
      await this.#trx
        .insertInto('segments')
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
  }

  async addChunks(chunks: readonly Chunk[]): Promise<void> {
    if (chunks.length > 0) await this.#trx.insertInto('chunks').values(chunks.map(fromChunk)).execute();
  }

  /** What edits have left of a series: the next one has a higher number than all of them. */
  async addMasks(
    seriesId: string,
    masks: {
      readonly edits: number;
      readonly removed: number;
      readonly holes: readonly RowRange[];
      readonly erasures: readonly Erasure[];
    },
  ): Promise<void> {
    const { edits, removed, holes, erasures } = masks;
    await this.#trx
      .updateTable('series')
      .set({ edits, removed: BigInt(removed), masked: edits > 0 })
      .where('id', '=', seriesId)
      .execute();
    for (let from = 0; from < holes.length; from += SEGMENTS_AT_ONCE) {
      const some = holes.slice(from, from + SEGMENTS_AT_ONCE);
      await this.#trx
        .insertInto('holes')
        .values(some.map((hole) => ({ series_id: seriesId, from_row: hole.from, to_row: hole.to })))
        .execute();
    }
    for (let from = 0; from < erasures.length; from += SEGMENTS_AT_ONCE) {
      const some = erasures.slice(from, from + SEGMENTS_AT_ONCE);
      await this.#trx
        .insertInto('erasures')
        .values(
          some.map(({ generation, startNs, endNs, beforeRow }) => ({
            series_id: seriesId,
            generation,
            start_ns: startNs,
            end_ns: endNs,
            before_row: beforeRow,
          })),
        )
        .execute();
    }
  }

  /** The smallest and largest time of a series, once all its chunks are known. */
  async setTimes(seriesId: string, firstNs: bigint | null, lastNs: bigint | null, irregular: boolean): Promise<void> {
    await this.#trx
      .updateTable('series')
      .set({ first_ns: firstNs, last_ns: lastNs, ...(irregular && { staged_last_ns: lastNs }) })
      .where('id', '=', seriesId)
      .execute();
  }
}

export type { EmptyCatalog };
