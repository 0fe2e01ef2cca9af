/** A catalog and a data folder of a test's own, filled the way the service fills them: append, flush, compact. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { v7 as uuidv7 } from 'uuid';
import { createProject, listProjects } from '../../src/catalog/people/access-store.ts';
import { openDatabase, type Database } from '../../src/catalog/database.ts';
import { laneBacklogs } from '../../src/catalog/appends/fresh-store.ts';
import { openCommitSession } from '../../src/catalog/appends/commit-session.ts';
import { registerSpools } from '../../src/catalog/appends/spool-store.ts';
import { createSeries, getSeries } from '../../src/catalog/series/series-store.ts';
import type { Batch } from '../../src/core/signal/batch.ts';
import { bytesOf, type SampleArray } from '../../src/core/numbers/dtype.ts';
import type { RecordedSeries } from '../../src/core/signal/recording.ts';
import type { NewSeries, Series } from '../../src/core/signal/series.ts';
import { AnswerRoom } from '../../src/flows/read/answer-room.ts';
import { readSamples } from '../../src/flows/read/read-samples.ts';
import { appendSamples, type AppendDeps } from '../../src/flows/append/append-samples.ts';
import { Backpressure } from '../../src/flows/append/backpressure.ts';
import { compactLane } from '../../src/flows/compact/compact-lane.ts';
import { flushLane } from '../../src/flows/flush/flush-lane.ts';
import type { RewriteDeps } from '../../src/flows/rewrite/rewrite-shards.ts';
import { Committer } from '../../src/flows/append/committer.ts';
import { removeSamples, replaceSamples, type EditDeps } from '../../src/flows/append/edit-samples.ts';
import { SeriesMemory } from '../../src/flows/series/series-memory.ts';
import { SeriesTurns } from '../../src/flows/series/series-turns.ts';
import type { AppendOutcome, AppendRequest, RemoveOutcome } from '../../src/flows/append/append-service.ts';
import type { SampleSelection } from '../../src/flows/read/read-service.ts';
import { verify, type VerifyReport, type VerifyScope } from '../../src/flows/repair/verify.ts';
import { packRecords } from '../../src/formats/binary/packed-records.ts';
import { openRecording } from '../../src/flows/import/open-recording.ts';
import { CodecPool } from '../../src/storage/threads/codec-pool.ts';
import { DataRoot } from '../../src/storage/folder/data-root.ts';
import { Hdf5Reader } from '../../src/storage/survey/hdf5-reader.ts';
import { writeSpool } from '../../src/storage/folder/spool.ts';
import { eachOpened } from '../../src/storage/read/shard-files.ts';
import { copyDatabase, execute, testDatabase, type TestDatabase } from '../support/postgres.ts';
import { sharedDataPath } from '../support/shared-data.ts';

const CONNECTIONS = 4;
const CHUNK_COLUMNS = 'rows, stats, last_ns, sorted, values_crc, times_offset';

type Rows = Pick<Batch, 'values' | 'times'>;

interface Range {
  readonly startNs: bigint;
  readonly endNs: bigint;
}

export class Store {
  readonly root: DataRoot;
  readonly hdf5 = new Hdf5Reader();
  readonly codec = new CodecPool(new URL('../../src/flows/threads/codec-thread.js', import.meta.url), 1);
  committer!: Committer;
  backpressure!: Backpressure;
  memory!: SeriesMemory;
  readonly turns = new SeriesTurns();
  readonly room = new AnswerRoom();
  #database: TestDatabase;
  #open: { readonly db: Database; close(): Promise<void> };

  private constructor(root: DataRoot, database: TestDatabase) {
    this.root = root;
    this.#database = database;
    this.#open = openDatabase(database.url, { poolSize: CONNECTIONS, onError: () => {} });
    this.#start();
  }

  #start(): void {
    this.committer = new Committer({
      connect: () => openCommitSession(this.#database.url),
      spool: async (pieces) => {
        const id = uuidv7();
        await registerSpools(this.db, [id]);
        return { id, offsets: await writeSpool(this.root, id, pieces) };
      },
    });
    const limits = { maxFreshBytes: Infinity, maxFreshChunks: 1_000_000, minFreeBytes: 0 };
    this.backpressure = new Backpressure(this.db, this.root, limits);
    this.memory = new SeriesMemory(this.db);
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
    await Promise.all([this.committer.close(), this.hdf5.close(), this.codec.close()]);
    await this.#open.close();
    await this.#database.drop();
    rmSync(this.root.root, { recursive: true });
  }

  /** Loses Postgres: an empty database takes its place. */
  async loseCatalog(): Promise<void> {
    await this.#setCatalog(async () => {
      await this.#database.drop();
      return testDatabase();
    });
  }

  /** @returns a copy of the catalog of this day, to be restored or dropped */
  async dumpCatalog(): Promise<TestDatabase> {
    let dump: TestDatabase | null = null;
    await this.#setCatalog(async () => {
      dump = await copyDatabase(this.#database);
      return this.#database;
    });
    return dump!;
  }

  /** @returns the catalog that was there */
  async restoreCatalog(dump: TestDatabase): Promise<TestDatabase> {
    const before = this.#database;
    await this.#setCatalog(() => Promise.resolve(dump));
    return before;
  }

  /** What the parts of the service remember is forgotten. */
  restart(): Promise<void> {
    return this.#setCatalog(() => Promise.resolve(this.#database));
  }

  async #setCatalog(choose: () => Promise<TestDatabase>): Promise<void> {
    await this.committer.close();
    await this.#open.close();
    this.#database = await choose();
    this.#open = openDatabase(this.#database.url, { poolSize: CONNECTIONS, onError: () => {} });
    this.#start();
  }

  async create(spec: Omit<NewSeries, 'project'>, project = 'default', id = uuidv7()): Promise<Series> {
    const projects = await listProjects(this.db, null);
    if (!projects.some(({ name }) => name === project)) await createProject(this.db, uuidv7(), project);
    return createSeries(this.db, id, uuidv7(), { ...spec, project });
  }

  /** @returns what is answered. @param startNs of a regular series; null: it goes on */
  append(series: Series, batch: Rows, startNs: bigint | null = null): Promise<AppendOutcome> {
    return appendSamples(this.#writing(), { ...this.#body(series, batch), startNs });
  }

  /** @param times of the rows of a regular series */
  appendCsv(series: Series, times: readonly bigint[], values: SampleArray): Promise<AppendOutcome> {
    const channels = series.channels.length;
    const head = ['time', ...series.channels.map(({ label }) => label)].join();
    const lines = times.map((ns, row) => [ns, ...values.slice(row * channels, (row + 1) * channels)].join());
    const bytes = Buffer.from(`${[head, ...lines].join('\n')}\n`);
    const body = (async function* body() {
      yield bytes;
    })();
    const request = {
      ...this.#asker(series),
      format: 'csv',
      body,
      startNs: null,
      declaredBytes: bytes.length,
    } as const;
    return appendSamples(this.#writing(), request);
  }

  replace(series: Series, range: Range, batch: Rows): Promise<AppendOutcome> {
    return replaceSamples(this.#writing(), { ...this.#body(series, batch), ...range });
  }

  remove(series: Series, range: Range): Promise<RemoveOutcome> {
    return removeSamples(this.#writing(), { ...this.#asker(series), ...range });
  }

  #writing(): AppendDeps & EditDeps {
    const { db, root, codec, committer, backpressure, memory, turns } = this;
    return { reads: db, writes: db, root, codec, committer, backpressure, memory, turns };
  }

  #asker(series: Series): Pick<AppendRequest, 'principal' | 'ref' | 'idempotencyKey'> {
    const principal = { tokenId: series.id, scopes: ['write'], projects: null } as const;
    return { principal, ref: { id: series.id }, idempotencyKey: null };
  }

  #body(series: Series, batch: Rows): AppendRequest {
    const bytes = batch.times ? packRecords(batch.times, batch.values) : bytesOf(batch.values);
    return {
      ...this.#asker(series),
      format: 'octet',
      body: (async function* body() {
        yield bytes;
      })(),
      startNs: null,
      declaredBytes: bytes.length,
    };
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
            await this.append(series, part);
            if (n++ % 2 === 1) await this.flush();
          }
        }
      }
      return await Promise.all(created.map(([{ id }]) => getSeries(this.db, { id })));
    } finally {
      await close();
    }
  }

  get rewriting(): RewriteDeps {
    return { db: this.db, root: this.root, log: { info: () => {}, warn: () => {} } };
  }

  async laneOf(seriesId: string): Promise<string> {
    const row = await this.db
      .selectFrom('heads')
      .select('lane_id')
      .where('series_id', '=', seriesId)
      .executeTakeFirstOrThrow();
    return row.lane_id;
  }

  /** Moves all that is fresh into shards, and tells all edits. */
  async flush(): Promise<void> {
    for (const { laneId } of await laneBacklogs(this.db)) {
      for (let more = true; more;) {
        const outcome = await flushLane(this.rewriting, laneId, { asked: true });
        more = outcome.kind === 'flushed' && outcome.more;
      }
    }
  }

  /** Moves the oldest fresh chunk of a lane into a shard, if there is one. */
  async flushOne(seriesId: string): Promise<void> {
    await flushLane(this.rewriting, await this.laneOf(seriesId), { asked: true, most: 1 });
  }

  /** All shards of the lane of a series into one. */
  async compact(seriesId: string): Promise<void> {
    await compactLane(this.rewriting, await this.laneOf(seriesId), { all: true, asked: true });
  }

  /** JSON has one list a channel. */
  async read(series: Series, selection: SampleSelection, format: 'octet' | 'json' = 'octet'): Promise<Buffer> {
    const stream = await readSamples(
      { db: this.db, root: this.root, codec: this.codec, files: eachOpened(this.root), room: this.room },
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
    table: 'chunks' | 'closed_segments' | 'heads',
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
      const columns = { chunks: CHUNK_COLUMNS, closed_segments: 'rows, start_ns', heads: 'rows' }[table];
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
