/** A catalog and a data folder of a test's own, filled the way the service fills them: stage, drain. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { v7 as uuidv7 } from 'uuid';
import { createProject, listProjects } from '../../src/catalog/access-store.ts';
import { openDatabase, type Database } from '../../src/catalog/database.ts';
import { claimLease, releaseLease, retireHotShard } from '../../src/catalog/lane-store.ts';
import { createSeries, getSeries } from '../../src/catalog/series-store.ts';
import { stageEdit } from '../../src/catalog/edit-store.ts';
import { stageWrite, type StagedPayload } from '../../src/catalog/write-store.ts';
import type { Batch } from '../../src/core/batch.ts';
import { bytesOf } from '../../src/core/dtype.ts';
import type { RecordedSeries } from '../../src/core/recording.ts';
import { DEFAULT_SEAL_LIMITS } from '../../src/core/seal-plan.ts';
import type { NewSeries, Series } from '../../src/core/series.ts';
import { drainLane } from '../../src/flows/drain-lane.ts';
import { AnswerRoom } from '../../src/flows/answer-room.ts';
import { readSamples } from '../../src/flows/read-samples.ts';
import { receivePayload } from '../../src/flows/receive-payload.ts';
import { sealLane, type SealReport } from '../../src/flows/seal-lane.ts';
import type { SampleSelection } from '../../src/flows/service.ts';
import { verify, type VerifyReport, type VerifyScope } from '../../src/flows/verify.ts';
import { packRecords } from '../../src/formats/packed-records.ts';
import { openRecording } from '../../src/main/open-recording.ts';
import { CodecPool } from '../../src/storage/codec-pool.ts';
import { DataRoot } from '../../src/storage/data-root.ts';
import { Hdf5Reader } from '../../src/storage/hdf5-reader.ts';
import { thisProcess } from '../../src/storage/process-identity.ts';
import { eachOpened } from '../../src/storage/shard-files.ts';
import { ShardWriter } from '../../src/storage/shard-writer.ts';
import { execute, testDatabase, type TestDatabase } from '../support/postgres.ts';
import { sharedDataPath } from '../support/shared-data.ts';

const log = { warn: () => {}, info: () => {}, error: () => {}, debug: () => {} };
const CONNECTIONS = 4;
const CHUNK_COLUMNS = 'rows, counts, mins, maxs, sums, last_ns, sorted, values_crc, times_offset';

type Rows = Pick<Batch, 'values' | 'times'>;

export class Store {
  readonly root: DataRoot;
  readonly writer = new ShardWriter(1);
  readonly hdf5 = new Hdf5Reader();
  readonly holder = thisProcess();
  readonly codec = new CodecPool(new URL('../../src/flows/codec-thread.js', import.meta.url), 1);
  #database: TestDatabase;
  #open: { readonly db: Database; close(): Promise<void> };

  private constructor(root: DataRoot, database: TestDatabase) {
    this.root = root;
    this.#database = database;
    this.#open = openDatabase(database.url, { poolSize: CONNECTIONS, onError: () => {} });
  }

  static async open(): Promise<Store> {
    const root = new DataRoot(mkdtempSync(join(tmpdir(), 'varve-flows-')));
    root.prepare();
    return new Store(root, await testDatabase());
  }

  get databaseUrl(): string {
    return this.#database.url;
  }

  get db(): Database {
    return this.#open.db;
  }

  async close(): Promise<void> {
    await Promise.all([this.writer.close(), this.hdf5.close(), this.codec.close()]);
    await this.#open.close();
    await this.#database.drop();
    rmSync(this.root.root, { recursive: true });
  }

  /** Loses Postgres: an empty database takes its place. */
  async loseCatalog(): Promise<void> {
    await this.#open.close();
    await this.#database.drop();
    this.#database = await testDatabase();
    this.#open = openDatabase(this.#database.url, { poolSize: CONNECTIONS, onError: () => {} });
  }

  async create(spec: Omit<NewSeries, 'project'>, project = 'default'): Promise<Series> {
    const projects = await listProjects(this.db, null);
    if (!projects.some(({ name }) => name === project)) await createProject(this.db, uuidv7(), project);
    return createSeries(this.db, uuidv7(), uuidv7(), { ...spec, project });
  }

  /** Acknowledges an append; it stays pending until the next {@link drain}. */
  async stage(series: Series, batch: Rows, startNs: bigint | null = null): Promise<string> {
    const id = uuidv7();
    const payload = await this.#receive(id, series, batch);
    await stageWrite(this.db, { id, seriesId: series.id, payload, startNs, idempotency: null });
    return id;
  }

  /** Acknowledges an edit. @param batch what comes in the place of the range; null: nothing */
  async stageEdit(series: Series, range: { startNs: bigint; endNs: bigint }, batch: Rows | null): Promise<string> {
    const id = uuidv7();
    const payload = batch && (await this.#receive(id, series, batch));
    await stageEdit(this.db, {
      id,
      seriesId: series.id,
      ...range,
      payload,
      statedStartNs: null,
      idempotency: null,
    });
    return id;
  }

  async #receive(writeId: string, series: Series, batch: Rows): Promise<StagedPayload> {
    const bytes = batch.times ? packRecords(batch.times, batch.values) : bytesOf(batch.values);
    const { payload } = await receivePayload(
      {
        dataRoot: this.root.root,
        writeId,
        format: 'octet',
        shape: {
          dtype: series.dtype,
          channelLabels: series.channels.map(({ label }) => label),
          kind: series.sampling.kind,
        },
        duplicates: series.duplicates,
        hash: false,
      },
      (async function* body() {
        yield bytes;
      })(),
    );
    return payload;
  }

  async drain(writer: ShardWriter = this.writer): Promise<void> {
    for (const { id } of await this.db.selectFrom('lanes').select('id').execute()) {
      for (let more = true; more;) {
        const result = await drainLane(
          { db: this.db, root: this.root, codec: this.codec, holder: this.holder, writer, log },
          id,
        );
        more = result.kind === 'drained' && result.more;
      }
    }
  }

  /** Shard after shard: whatever is appended next goes to new files. */
  async retireAll(): Promise<void> {
    for (const { id } of await this.db.selectFrom('lanes').select('id').execute()) {
      const lease = await claimLease(this.db, id, this.holder);
      await retireHotShard(this.db, lease!, null);
      await releaseLease(this.db, lease!, false);
    }
  }

  /** Seals the lane of a series. @param all whatever its age and size */
  async seal(seriesId: string, all: boolean): Promise<SealReport[]> {
    const { lane_id: laneId } = await this.db
      .selectFrom('series')
      .select('lane_id')
      .where('id', '=', seriesId)
      .executeTakeFirstOrThrow();
    const deps = { db: this.db, root: this.root, holder: this.holder, limits: DEFAULT_SEAL_LIMITS, log };
    return (await sealLane(deps, laneId, { all })) ?? [];
  }

  /** A commit that reaches the shards and is not published: the worker is overtaken at the last moment. */
  async drainUnpublished(): Promise<void> {
    const { db } = this;
    const overtaken = {
      commit: async (request: Parameters<ShardWriter['commit']>[0]) => {
        const result = await this.writer.commit(request);
        await db
          .updateTable('lanes')
          .set(({ eb }) => ({ lease_token: eb('lease_token', '+', 1n), lease_holder: null }))
          .where('id', '=', request.laneId)
          .execute();
        return result;
      },
    };
    await this.drain(overtaken as ShardWriter).catch((error: { slug?: string }) => {
      if (error.slug !== 'lease-lost') throw error;
    });
  }

  /** A recording spread over several shards: each third of its batches is in files of its own. */
  async importRecording(name: string): Promise<Series[]> {
    const { recording, close } = await openRecording(sharedDataPath(name), {}, () => {});
    try {
      const created: [Series, RecordedSeries][] = [];
      for (const recorded of recording.series) created.push([await this.create(recorded.spec), recorded]);
      for (const [series, recorded] of created) {
        let n = 0;
        for await (const batch of recorded.batches()) {
          for (const part of thirds(batch, series.channels.length)) {
            await this.stage(series, part);
            await this.drain();
            if (n++ % 2 === 1) await this.retireAll();
          }
        }
      }
      return await Promise.all(created.map(([{ id }]) => getSeries(this.db, { id })));
    } finally {
      await close();
    }
  }

  /** JSON has one list a channel. */
  async read(series: Series, selection: SampleSelection, format: 'octet' | 'json' = 'octet'): Promise<Buffer> {
    const stream = await readSamples(
      { db: this.db, root: this.root, codec: this.codec, files: eachOpened(this.root), room: new AnswerRoom() },
      {
        principal: { tokenId: series.id, scopes: ['read'], projects: null },
        ref: { id: series.id },
        selection,
        format,
        spelling: { orient: 'channels' },
        channels: null,
        physical: false,
        limit: null,
        linkTo: () => '',
        signal: new AbortController().signal,
      },
    );
    const pieces: Uint8Array[] = [];
    for await (const piece of stream.body) pieces.push(Buffer.from(piece)); // its memory is used again
    return Buffer.concat(pieces);
  }

  /** One hash a series, by id: of all its samples by rows and by times, and of its times. */
  async hashes(): Promise<Record<string, string>> {
    const hashes: Record<string, string> = {};
    for (const { id } of await this.db.selectFrom('series').select('id').orderBy('id').execute()) {
      const series = await getSeries(this.db, { id });
      const hash = createHash('sha256');
      hash.update(await this.read(series, { by: 'rows' }));
      hash.update(await this.read(series, { by: 'time' }));
      hash.update(`${series.rows} ${series.firstNs} ${series.lastNs}`);
      hashes[id] = hash.digest('hex');
    }
    return hashes;
  }

  /** Runs with one row of the catalog changed, and puts it back. @param change an SQL assignment */
  async withRow(
    table: 'chunks' | 'segments' | 'series',
    key: Readonly<Record<string, string>>,
    change: string,
    work: () => Promise<void>,
  ): Promise<void> {
    const where = Object.entries(key)
      .map(([column, value]) => `${column} = '${value}'`)
      .join(' and ');
    await execute(this.#database.url, `create table before as select * from ${table} where ${where}`);
    await execute(this.#database.url, `update ${table} set ${change} where ${where}`);
    try {
      await work();
    } finally {
      const columns = { chunks: CHUNK_COLUMNS, segments: 'rows, start_ns', series: 'rows' }[table];
      const from = columns.split(', ').map((column) => `${column} = before.${column}`);
      const match = Object.keys(key).map((column) => `${table}.${column} = before.${column}`);
      await execute(
        this.#database.url,
        `update ${table} set ${from.join(', ')} from before where ${match.join(' and ')}`,
      );
      await execute(this.#database.url, 'drop table before');
    }
  }

  verify(scope?: VerifyScope): Promise<VerifyReport> {
    return verify({ db: this.db, root: this.root, hdf5: this.hdf5, codec: this.codec }, () => {}, scope);
  }
}

function* thirds({ rows, values, times }: Batch, channels: number): Generator<Pick<Batch, 'values' | 'times'>> {
  const step = Math.max(1, Math.ceil(rows / 3));
  for (let from = 0; from < rows; from += step) {
    const to = Math.min(rows, from + step);
    yield { values: values.slice(from * channels, to * channels), times: times && times.slice(from, to) };
  }
}
