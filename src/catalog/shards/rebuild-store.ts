/** Fills an empty catalog from outside: all of it in one transaction, or none of it. */
import { sql } from 'kysely';
import type { Chunk } from '../../core/rows/chunk.ts';
import { VarveError } from '../../core/errors.ts';
import { formatRate, rateHz } from '../../core/signal/rate.ts';
import type { ClockMark } from '../../core/signal/place-run.ts';
import type { RebuiltMasks } from '../../core/upkeep/rebuild-plan.ts';
import type { Segment } from '../../core/signal/segment.ts';
import { nameKey } from '../../core/same-name.ts';
import type { ContentHash, NewSeries, RecordingLabel } from '../../core/signal/series.ts';
import type { SummaryBlock } from '../../core/overview/summary-block.ts';
import type { TagUnit } from '../../core/signal/tag-value.ts';
import { CHUNK_COLUMNS, CHUNK_RECORD, chunkRecord } from '../chunks/chunk-row.ts';
import type { Database, DatabaseTransaction } from '../database.ts';
import { summaryRecord } from '../chunks/summary-row.ts';
import type { StoredHash } from '../tables.ts';
import { storeUnits } from '../series/tag-unit-store.ts';

export interface RebuiltSeries extends Omit<NewSeries, 'recording'>, RebuiltMasks {
  readonly recording: RecordingLabel | null;
  readonly id: string;
  readonly laneId: string;
  readonly createdAt: Date | null;
  /** Higher than any that files tell. */
  readonly version: number;
  readonly sealedAt: Date | null;
  readonly deletedAt: Date | null;
  readonly contentHash: ContentHash | null;
  readonly rows: number;
  /** Regular series: in order of rows. */
  readonly segments: readonly Segment[];
  /** In order of rows. */
  readonly marks: readonly ClockMark[];
}

export interface RebuiltShard {
  readonly id: string;
  readonly laneId: string;
  readonly path: string;
  readonly bytes: number;
  readonly commit: bigint;
  readonly firstCommit: bigint;
  readonly level: number;
  readonly madeAt: Date | null;
}

/** Rows of one statement. */
const ROWS_AT_ONCE = 1000;

/**
 * @param work gets the catalog to fill; if it throws, nothing is kept
 * @throws conflict `catalog-not-empty` if the catalog knows a series, a lane, a shard or a commit. Projects and tokens may be there
 */
export async function fillEmptyCatalog<T>(db: Database, work: (catalog: EmptyCatalog) => Promise<T>): Promise<T> {
  return db.transaction().execute(async (trx) => {
    // Nobody creates a series or takes a lane until all is in place.
    await sql`lock table series, lanes, shards, commits in share row exclusive mode`.execute(trx);
    for (const table of ['series', 'lanes', 'shards', 'commits'] as const) {
      const { rows } = await sql`select from ${sql.table(table)} limit 1`.execute(trx);
      if (rows.length > 0) {
        throw new VarveError('conflict', `the catalog is not empty: it knows ${table}. Nothing was changed`, {
          slug: 'catalog-not-empty',
        });
      }
    }
    return work(new EmptyCatalog(trx));
  });
}

/** The samples are those that were hashed when the series was sealed: from here on the catalog says so. */
export async function confirmHash(db: Database, seriesId: string, { commit }: ContentHash): Promise<void> {
  await db.updateTable('heads').set({ commit }).where('series_id', '=', seriesId).execute();
}

class EmptyCatalog {
  readonly #trx: DatabaseTransaction;
  readonly #projects = new Map<string, string>();
  #commit = 0n;

  constructor(trx: DatabaseTransaction) {
    this.#trx = trx;
  }

  /** What is there counts as one commit, and shards tell all of it. Comes first. */
  async begin(commit: bigint): Promise<void> {
    this.#commit = commit;
    await this.#trx.updateTable('commit_counter').set({ value: commit }).execute();
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
    await this.#trx
      .insertInto('lanes')
      .values({ id, series_count: seriesCount, flushed_commit: this.#commit })
      .execute();
  }

  async addShard({ laneId, firstCommit, madeAt, ...shard }: RebuiltShard): Promise<void> {
    await this.#trx
      .insertInto('shards')
      .values({
        ...shard,
        lane_id: laneId,
        state: 'live',
        first_commit: firstCommit,
        ...(madeAt && { made_at: madeAt }),
      })
      .execute();
  }

  /** Once all its chunks are known. @param level 0 if there are rows in it without the summaries that compaction makes */
  async finishShard(id: string, dataBytes: number, level: number): Promise<void> {
    await this.#trx
      .updateTable('shards')
      .set({ data_bytes: BigInt(dataBytes), level })
      .where('id', '=', id)
      .execute();
  }

  /** Its project and its lane must have been added. @param units of the quantities among its tags */
  async addSeries(series: RebuiltSeries, units: readonly TagUnit[]): Promise<void> {
    await storeUnits(this.#trx, units);
    const { id, sampling, contentHash, deletedAt } = series;
    const projectId = this.#projects.get(series.project)!;
    const regular = sampling.kind === 'regular' ? sampling : null;
    const hash: StoredHash | null = contentHash && { ...contentHash, commit: Number(contentHash.commit) };
    const recording = series.recording && (await this.#placeRecording(series.recording, projectId));
    await this.#trx
      .insertInto('series')
      .values({
        id,
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
        start_tolerance: regular?.startTolerance ?? null,
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
        deleted_at: deletedAt,
        recording_id: recording?.id,
        recording: recording?.name,
        ...(series.createdAt && { created_at: series.createdAt }),
      })
      .execute();
    if (hash) {
      const content = JSON.stringify(hash);
      await this.#trx.updateTable('series').set({ content_hash: content }).where('id', '=', id).execute();
    }
    await sql`insert into series_history (series_id, id, action) values (${id}, ${id}, 'create')`.execute(this.#trx);
    await this.#addHead(series, projectId);
    // The newest segment is in the head.
    for (const page of pagesOf(series.segments.slice(0, -1))) {
      const rows = page.map(({ firstRow, startNs, rows: count, skip }) => ({
        series_id: id,
        first_row: firstRow,
        start_ns: startNs,
        rows: count,
        skip: BigInt(skip ?? 0),
      }));
      await this.#trx.insertInto('closed_segments').values(rows).execute();
    }
    for (const page of pagesOf(series.marks)) {
      const rows = page.map(({ row, ns }) => ({ series_id: id, row, ns }));
      await this.#trx.insertInto('clock_marks').values(rows).execute();
    }
    for (const page of pagesOf(series.holes)) {
      const rows = page.map(({ from, to }) => ({ series_id: id, from_row: from, to_row: to }));
      await this.#trx.insertInto('holes').values(rows).execute();
    }
    for (const page of pagesOf(series.erasures)) {
      const rows = page.map(({ generation, startNs, endNs, beforeRow }) => ({
        series_id: id,
        generation,
        start_ns: startNs,
        end_ns: endNs,
        before_row: beforeRow,
      }));
      await this.#trx.insertInto('erasures').values(rows).execute();
    }
  }

  /** Its series may come from shards of different days: the first one told of says its name, and no two share one. */
  async #placeRecording({ id, name }: RecordingLabel, projectId: string): Promise<RecordingLabel> {
    for (const called of [name, `${name} (${id})`]) {
      await sql`
        insert into recordings (id, project_id, name) values (${id}::uuid, ${projectId}::uuid, ${called}) on conflict do nothing`.execute(
        this.#trx,
      );
      const { rows } = await sql<RecordingLabel>`select id, name from recordings where id = ${id}::uuid`.execute(
        this.#trx,
      );
      const [placed] = rows;
      if (placed) return placed;
    }
    throw new Error(`recording ${id} found no name`);
  }

  async #addHead(series: RebuiltSeries, projectId: string): Promise<void> {
    const { edits, expiredNs, summariesExpiredNs } = series;
    const newest = series.segments.at(-1);
    const last = series.marks.at(-1);
    const mark = newest && last && last.row >= newest.firstRow ? last : null;
    const isMasked = edits > 0 || expiredNs !== null || summariesExpiredNs !== null;
    await this.#trx
      .insertInto('heads')
      .values({
        series_id: series.id,
        lane_id: series.laneId,
        project_id: projectId,
        rows: BigInt(series.rows),
        commit: this.#commit,
        edits,
        removed: BigInt(series.removed),
        masked_commit: isMasked ? this.#commit : 0n,
        expired_ns: expiredNs,
        summaries_expired_ns: summariesExpiredNs,
        sealed_at: series.sealedAt,
        deleted_at: series.deletedAt,
        shape_version: series.version,
        segment_row: newest?.firstRow ?? null,
        segment_ns: newest?.startNs ?? null,
        segment_rows: newest?.rows ?? null,
        segment_skip: newest?.skip ?? null,
        limit_ns: newest ? nextStart(series.segments, newest) : null,
        mark_row: mark?.row ?? null,
        mark_ns: mark?.ns ?? null,
        marks: series.marks.length,
      })
      .execute();
  }

  async addChunks(chunks: readonly Chunk[]): Promise<void> {
    if (chunks.length === 0) return;
    await sql`
      insert into chunks (${CHUNK_COLUMNS})
      select ${CHUNK_COLUMNS} from jsonb_to_recordset(${JSON.stringify(chunks.map(chunkRecord))}::jsonb) as r(${CHUNK_RECORD})`.execute(
      this.#trx,
    );
  }

  /** All that a shard has of a series. */
  async addSummaries(seriesId: string, shardId: string, blocks: readonly SummaryBlock[]): Promise<void> {
    const ordinals = new Map<number, number>();
    for (const page of pagesOf(blocks)) {
      const rows = page.map((block) => {
        const ordinal = ordinals.get(block.factor) ?? 0;
        ordinals.set(block.factor, ordinal + 1);
        return summaryRecord(seriesId, shardId, ordinal, block);
      });
      await sql`
        insert into summaries select * from jsonb_populate_recordset(null::summaries, ${JSON.stringify(rows)}::jsonb)`.execute(
        this.#trx,
      );
    }
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

/** Where the next segment in time behind one begins. */
function nextStart(segments: readonly Segment[], { startNs }: Segment): bigint | null {
  const later = segments.map((each) => each.startNs).filter((ns) => ns > startNs);
  return later.length === 0 ? null : later.reduce((a, b) => (b < a ? b : a));
}

function* pagesOf<T>(items: readonly T[]): Generator<T[]> {
  for (let at = 0; at < items.length; at += ROWS_AT_ONCE) yield items.slice(at, at + ROWS_AT_ONCE);
}

export type { EmptyCatalog };
