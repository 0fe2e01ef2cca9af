/** Puts the parts together: what every role needs first, then what each role adds. Whoever opens also closes, in reverse. */
import { join } from 'node:path';
import type { Logger } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import { readCatalogIdentity } from '../catalog/catalog-identity.ts';
import { pingCatalog } from '../catalog/catalog-health.ts';
import { openCommitSession } from '../catalog/appends/commit-session.ts';
import { openDatabase, openDatabasePools, type DatabasePools } from '../catalog/database.ts';
import { tellRest } from '../catalog/appends/fresh-store.ts';
import { migrate, refuseFsyncOff } from '../catalog/migrate.ts';
import { registerSpools } from '../catalog/appends/spool-store.ts';
import { tellEstrangement } from '../catalog/shards/recovery-reader.ts';
import { refreshUnits } from '../catalog/series/tag-unit-store.ts';
import { listenForCommits } from '../catalog/commit-listener.ts';
import { listenForTokens } from '../catalog/people/token-listener.ts';
import { accessService, ensureAccess } from '../flows/people/access.ts';
import { sessionService } from '../flows/people/sessions.ts';
import { SignInCodes } from '../flows/people/sign-in-codes.ts';
import { AnswerRoom } from '../flows/read/answer-room.ts';
import { appendMany } from '../flows/append/append-many.ts';
import { appendSamples } from '../flows/append/append-samples.ts';
import { Backpressure } from '../flows/append/backpressure.ts';
import { BEHIND_BYTES } from '../core/upkeep/flush-plan.ts';
import { Committers } from '../flows/append/committers.ts';
import { LineCardinality } from '../flows/ingest/line-cardinality.ts';
import { LineMemory } from '../flows/ingest/line-memory.ts';
import { answerInfluxql } from '../flows/influxql/answer-influxql.ts';
import { writeLines } from '../flows/ingest/write-lines.ts';
import { compactLane, planCompaction } from '../flows/compact/compact-lane.ts';
import { removeSamples, replaceSamples } from '../flows/append/edit-samples.ts';
import { expireSamples, retentionService } from '../flows/compact/expire-samples.ts';
import { Exports } from '../flows/export/make-exports.ts';
import { dueLanes, flushLane } from '../flows/flush/flush-lane.ts';
import { metadataService } from '../flows/series/manage-metadata.ts';
import { realRoots } from '../flows/import/allowed-path.ts';
import { importService } from '../flows/import/manage-imports.ts';
import { uploadService } from '../flows/import/manage-uploads.ts';
import { runImport } from '../flows/import/run-import.ts';
import { openImports } from '../catalog/series/import-store.ts';
import { sweepUploads } from '../storage/folder/uploads.ts';
import { recordingService } from '../flows/series/manage-recordings.ts';
import { subjectService } from '../flows/series/manage-subjects.ts';
import { savedSearchService } from '../flows/series/saved-searches.ts';
import { seriesService } from '../flows/series/manage-series.ts';
import { CommitNews } from '../flows/live/commit-news.ts';
import { liveService } from '../flows/live/live.ts';
import { lastValues } from '../flows/table/last-value.ts';
import { readLatest } from '../flows/read/latest-read.ts';
import { readBuckets } from '../flows/overview/read-overview.ts';
import { querySeries } from '../flows/table/query-series.ts';
import type { TableRequest, TableStream } from '../flows/table/table-service.ts';
import { readSamples } from '../flows/read/read-samples.ts';
import type { ReadRequest, SampleStream } from '../flows/read/read-service.ts';
import { diagnose, recover } from '../flows/repair/recover.ts';
import { FreshSweep } from '../flows/flush/sweep-fresh.ts';
import { SeriesMemory } from '../flows/series/series-memory.ts';
import { SeriesTurns } from '../flows/series/series-turns.ts';
import type { Service } from '../http/services.ts';
import { shareService } from '../flows/share/shares.ts';
import { stateService } from '../flows/close/seal-series.ts';
import { readUnit } from '../flows/series/tag-units.ts';
import { spaceService } from '../flows/compact/tell-space.ts';
import { timeAxisService } from '../flows/series/time-axis.ts';
import { TokenMemory } from '../flows/people/token-memory.ts';
import { writeStatus } from '../flows/append/write-status.ts';
import { LaneQueue } from '../jobs/lane-queue.ts';
import { startLaneWorker } from '../jobs/lane-worker.ts';
import { openQueueBackend, type QueueBackend } from '../jobs/queue-backend.ts';
import { startReconciler } from '../jobs/reconciler.ts';
import { resting } from '../jobs/resting-job.ts';
import { CodecPool } from '../storage/threads/codec-pool.ts';
import type { DataRoot } from '../storage/folder/data-root.ts';
import { claimFolder } from '../storage/folder/folder-owner.ts';
import { KeptShardFiles } from '../storage/read/shard-files.ts';
import { writeSpool } from '../storage/folder/spool.ts';
import type { Config } from './process/config.ts';
import { VERSION } from './process/version.ts';
import { openDataFolder, takeDataFolder } from './process/data-folder.ts';
import { firstToken } from './process/first-token.ts';
import { healthService } from './health.ts';
import { foldOutages } from './process/outages.ts';
import type { Phase } from './process/phases.ts';
import { superviseEmbeddedPostgres, type Outage } from './postgres/supervise-postgres.ts';
import { messageOf } from '../core/errors.ts';

/** Pause between two looks for lanes that are to be flushed. */
const FLUSH_EVERY_MS = 1_000;
/** A lane that is due for so long may have lost the process that was at it. */
const OVERDUE_MS = 60_000;
/**
 * A lane whose flush failed is left alone so long, at first and at most. A disk that is full no longer is to be noticed
 * soon.
 */
const FLUSH_REST_MS = { firstMs: 2_000, longestMs: 60_000 };
const COMPACT_REST_MS = { firstMs: 60_000, longestMs: 6 * 3600_000 };
/** Pause between two comparisons of all files with all rows. */
const RECOVER_ALL_MS = 60_000;
/** Pause between two looks for samples that have expired. */
const EXPIRE_MS = 60_000;
/** Shards that one process rewrites at a time: each takes a core, and the memory of a sort. */
export const COMPACTIONS_AT_ONCE = 1;
/** Imports that one process reads at a time: each takes a core. */
export const IMPORTS_AT_ONCE = 2;
/** Pause between two looks for imports that nobody is at, and how many of them are rung for at once. */
const IMPORT_EVERY_MS = 2_000;
const IMPORTS_RUNG_FOR = 100;
/** Connections for jobs: one a flush, two an import, and for compaction, expiry and each look for what was lost. */
const JOB_CONNECTIONS = 10;

/** What every role stands on. */
export interface Ground {
  readonly pools: DatabasePools;
  readonly databaseUrl: string;
  /** Outage of an embedded Postgres that has ended by itself; null while it runs. */
  readonly outage: () => Outage | null;
  readonly root: DataRoot;
  readonly backend: QueueBackend;
  /** In which an outage is one line. */
  readonly log: Logger;
  /** In the order in which they are to be closed. */
  readonly closing: readonly Phase[];
}

/**
 * Opens folder, Postgres (our own or a server), schema and queue. Closes what it has opened if a later step fails.
 * @param beforeDatabase what else can refuse the start, and is better known before a cluster is made
 */
export async function openGround(
  config: Config,
  log: Logger,
  beforeDatabase: () => Promise<void> = async () => {},
): Promise<Ground> {
  const closing: Phase[] = [];
  const later = (name: string, limitMs: number, close: Phase['close']): void =>
    void closing.unshift({ name, limitMs, close });
  try {
    const root = openDataFolder(config.dataRoot);
    if (config.database.kind === 'embedded') {
      const lock = await takeDataFolder(config.dataRoot);
      later('folder', 1_000, () => lock.release());
    }
    await beforeDatabase();
    let url: string;
    let outage: Ground['outage'] = () => null;
    if (config.database.kind === 'embedded') {
      const { port } = config.database;
      const postgres = await superviseEmbeddedPostgres({ dataDir: join(config.dataRoot, 'postgres'), port }, log);
      later('postgres', 120_000, () => postgres.stop());
      ({ url, outage } = postgres);
    } else {
      url = config.database.url;
    }
    await migrate(url, (reason) => log.warn({ reason }, 'waiting for Postgres'));
    if (!config.database.allowFsyncOff) await refuseFsyncOff(url);
    let backend: QueueBackend | null = null;
    const probe = openDatabase(url, { poolSize: 1, onError: () => {} });
    const outages = foldOutages(log, [
      { name: 'Postgres', reach: () => pingCatalog(probe.db) },
      ...(config.queue.kind === 'redis' ? [{ name: 'Redis', reach: async () => backend?.ping() }] : []),
    ]);
    later('outages', 3_000, () => {
      outages.close();
      return probe.close();
    });
    let isClosing = false;
    const onError = (error: Error): void => {
      // A pool is closed when it has said goodbye on every connection, which Postgres may hear only while it is stopped.
      if (isClosing) return;
      outages.log.warn({ reason: messageOf(error), fault: 'away' }, 'a connection to Postgres was lost');
    };
    const pools = openDatabasePools(url, { jobs: config.writerThreads + JOB_CONNECTIONS, onError });
    later('database', 5_000, () => {
      isClosing = true;
      return pools.close();
    });
    await refreshUnits(pools.writes, readUnit);
    await claimFolder(root, await readCatalogIdentity(pools.reads));
    // Before the first request and the first flush: whether the files are those that the catalog means.
    await tellEstrangement(pools.writes, (await diagnose({ db: pools.reads, root })).estranged);
    const queue = await openQueueBackend(
      config.queue.kind === 'redis' ? config.queue : { kind: 'postgres', url },
      outages.log,
    );
    backend = queue;
    later('queue', 3_000, () => queue.close());
    return { pools, databaseUrl: url, outage, root, backend: queue, log: outages.log, closing };
  } catch (error) {
    for (const phase of closing) await phase.close();
    throw error;
  }
}

/** Its threads start when there is something to do. */
function codecPool(config: Config): CodecPool {
  return new CodecPool(new URL('../flows/threads/codec-thread.js', import.meta.url), config.codecThreads);
}

/** The worker's part: flushes and compacts lanes, and looks for what is due. */
export async function openWorker(config: Config, ground: Ground): Promise<{ closing: Phase[] }> {
  const { root, backend, log } = ground;
  const db = ground.pools.jobs;
  const codec = codecPool(config);
  const deps = { db, root, log };
  const sweep = new FreshSweep(deps);
  const flushWorker = startLaneWorker(backend, {
    work: 'flush',
    concurrency: config.writerThreads,
    run: resting(
      async (laneId, signal) => {
        const outcome = await flushLane(deps, laneId, { signal, sides: config.writerThreads, sidesFrom: BEHIND_BYTES });
        if (outcome.kind === 'flushed') await sweep.run();
        return { more: outcome.kind === 'flushed' && outcome.more };
      },
      {
        ...FLUSH_REST_MS,
        log,
        message: 'a lane could not be flushed: what is fresh stays where it is',
        onRest: (laneId, restMs) => tellRest(db, laneId, restMs),
      },
    ),
    log,
  });
  const compactWorker = startLaneWorker(backend, {
    work: 'compact',
    concurrency: COMPACTIONS_AT_ONCE,
    run: resting(
      async (laneId, signal) => {
        await compactLane(deps, laneId, { signal });
        return { more: false };
      },
      { ...COMPACT_REST_MS, log, message: 'shards could not be compacted: readers go on with the old ones' },
    ),
    log,
  });
  const importing = {
    reads: db,
    writes: db,
    root,
    backpressure: new Backpressure(db, root, config.backpressure),
    importRoots: await realRoots(config.importRoots),
    importer: `varve ${VERSION}`,
    log,
  };
  const importWorker = startLaneWorker(backend, {
    work: 'import',
    concurrency: IMPORTS_AT_ONCE,
    run: async (id, signal) => {
      await runImport(importing, id, signal);
      return { more: false };
    },
    log,
  });
  const importQueue = new LaneQueue(backend, 'import', log);
  const imports = startReconciler({
    everyMs: IMPORT_EVERY_MS,
    reconcile: () => openImports(db, IMPORTS_RUNG_FOR),
    ring: (id) => importQueue.ringAgain(id),
    log,
  });
  const flushQueue = new LaneQueue(backend, 'flush', log);
  const compactQueue = new LaneQueue(backend, 'compact', log);
  const dueSince = new Map<string, number>();
  const flushes = startReconciler({
    everyMs: FLUSH_EVERY_MS,
    reconcile: async () => {
      const due = await dueLanes(db, config.flushing);
      const isDue = new Set(due);
      for (const laneId of dueSince.keys()) if (!isDue.has(laneId)) dueSince.delete(laneId);
      return due;
    },
    ring: async (laneId) => {
      const now = performance.now();
      const since = dueSince.get(laneId) ?? now;
      const isOverdue = now - since > OVERDUE_MS;
      dueSince.set(laneId, isOverdue ? now : since);
      await (isOverdue ? flushQueue.ringAgain(laneId) : flushQueue.ring(laneId));
    },
    log,
  });
  const shards = startReconciler({
    everyMs: config.compactEveryMs,
    reconcile: async () => [...new Set((await planCompaction(db)).map(({ laneId }) => laneId))],
    ring: (laneId) => compactQueue.ring(laneId),
    log,
  });
  const files = startReconciler({
    everyMs: RECOVER_ALL_MS,
    reconcile: async () => {
      await recover(deps);
      await sweep.run();
      await sweepUploads(root);
      return [];
    },
    ring: () => Promise.resolve(),
    log,
  });
  const stopping = new AbortController();
  const retention = startReconciler({
    everyMs: EXPIRE_MS,
    reconcile: async () => {
      await expireSamples({ db, root, codec, log }, stopping.signal);
      return [];
    },
    ring: () => Promise.resolve(),
    log,
  });
  const reconcilers = [flushes, files, shards, retention, imports];
  return {
    closing: [
      {
        name: 'reconciler',
        limitMs: 5_000,
        close: () => {
          stopping.abort();
          return Promise.all(reconcilers.map((each) => each.stop())).then(() => {});
        },
      },
      { name: 'imports', limitMs: 5_000, close: () => importWorker.close(0) },
      { name: 'import queue', limitMs: 3_000, close: () => importQueue.close() },
      { name: 'compaction', limitMs: 5_000, close: () => compactWorker.close(0) },
      { name: 'flushes', limitMs: 20_000, close: () => flushWorker.close(10_000) },
      { name: 'compact queue', limitMs: 3_000, close: () => compactQueue.close() },
      { name: 'flush queue', limitMs: 3_000, close: () => flushQueue.close() },
      { name: 'codec threads', limitMs: 2_000, close: () => codec.close() },
    ],
  };
}

/**
 * The API's part: everything behind the routes.
 * @returns with it what makes codes that sign in once, with the first token
 */
export async function openService(
  config: Config,
  ground: Ground,
): Promise<{ service: Service; makeCode: () => string; endStreams: Phase; closing: Phase[] }> {
  const { pools, root, backend, log, databaseUrl } = ground;
  const { reads, writes, searches } = pools;
  const token = firstToken(config);
  await ensureAccess(writes, token);
  const importRoots = await realRoots(config.importRoots);
  const codec = codecPool(config);
  const tokens = new TokenMemory(reads, () => tokenNews.isListening);
  const tokenNews = listenForTokens(
    databaseUrl,
    () => {
      tokens.forget();
      live.wakeAll();
    },
    (error) => log.warn({ reason: messageOf(error), fault: 'away' }, 'listening for changes of tokens failed'),
  );
  const queue = new LaneQueue(backend, 'flush', log);
  const importQueue = new LaneQueue(backend, 'import', log);
  const backpressure = new Backpressure(reads, root, config.backpressure);
  const turns = new SeriesTurns();
  const committer = new Committers({
    connect: () => openCommitSession(databaseUrl),
    spool: async (pieces) => {
      const id = uuidv7();
      await registerSpools(writes, [id]);
      return { id, offsets: await writeSpool(root, id, pieces) };
    },
  });
  const memory = new SeriesMemory(reads);
  const writing = { reads, writes, root, codec, committer, backpressure, turns, memory };
  const cardinality = new LineCardinality(reads, config.maxProjectSeries, log);
  const access = accessService(pools, tokens);
  const codes = new SignInCodes();
  const table = (request: TableRequest): Promise<TableStream> => querySeries({ ...readDeps, searches }, request);
  const asking = {
    searches,
    tables: { table },
    access,
    now: () => BigInt(Date.now()) * 1_000_000n,
  };
  const ingesting = { reads, writes, codec, committer, backpressure, cardinality, memory: new LineMemory() };
  const files = new KeptShardFiles(root);
  const room = new AnswerRoom({ bytes: config.maxReadBytes });
  const readDeps = { db: reads, root, codec, files, room };
  const news = new CommitNews({
    db: reads,
    listen: (onNews) =>
      listenForCommits(databaseUrl, onNews, (error) =>
        log.warn({ reason: messageOf(error), fault: 'away' }, 'listening for commits failed'),
      ),
    log,
  });
  const live = liveService({ ...writing, news, files });
  const series = seriesService(pools, turns);
  const timeAxis = timeAxisService(reads);
  const read = (request: ReadRequest): Promise<SampleStream> => readSamples(readDeps, request);
  const exporting = new Exports({
    reads,
    writes,
    searches,
    root,
    log,
    sources: { samples: { read }, series, timeAxis },
  });
  const service: Service = {
    access,
    sessions: sessionService(pools, tokens, codes),
    shares: shareService(pools, tokens),
    series,
    savedSearches: savedSearchService(pools),
    metadata: metadataService(pools),
    subjects: subjectService(pools),
    recordings: recordingService(pools),
    imports: importService({ reads, writes, root, importRoots, ring: (id) => importQueue.ring(id) }),
    uploads: uploadService({ reads, root, backpressure, maxBytes: config.maxUploadBytes }),
    state: stateService({ reads, writes, root, codec, turns, room }),
    timeAxis,
    samples: {
      append: (request) => appendSamples(writing, request),
      appendMany: (request) => appendMany(writing, request),
      replace: (request) => replaceSamples(writing, request),
      remove: (request) => removeSamples(writing, request),
      read,
      buckets: (request) => readBuckets(readDeps, request),
      latest: (request) => readLatest(readDeps, request),
      lastValues: (principal, series) => lastValues(readDeps, principal, series),
      table,
      write: (principal, id) => writeStatus(reads, principal, id),
    },
    ingest: { lines: (request) => writeLines(ingesting, request) },
    influxql: { query: (request) => answerInfluxql(asking, request) },
    live,
    exports: exporting,
    retention: retentionService(pools),
    space: spaceService(reads),
    health: healthService({
      pools,
      root,
      codec,
      committers: committer,
      backend,
      queue,
      backpressure,
      cardinality,
      outage: ground.outage,
    }),
  };
  return {
    service,
    makeCode: () => codes.make(token),
    endStreams: { name: 'streams', limitMs: 2_000, close: () => live.close() },
    closing: [
      { name: 'exports', limitMs: 5_000, close: () => exporting.close() },
      { name: 'committer', limitMs: 5_000, close: () => committer.close() },
      { name: 'token news', limitMs: 2_000, close: () => tokenNews.close() },
      { name: 'shard files', limitMs: 1_000, close: () => files.close() },
      { name: 'codec threads', limitMs: 2_000, close: () => codec.close() },
      { name: 'ring queue', limitMs: 3_000, close: () => queue.close() },
      { name: 'import queue', limitMs: 3_000, close: () => importQueue.close() },
    ],
  };
}
