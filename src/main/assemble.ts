/** Puts the parts together: what every role needs first, then what each role adds. Whoever opens also closes, in reverse. */
import { join } from 'node:path';
import type { Logger } from 'pino';
import { readCatalogIdentity } from '../catalog/catalog-identity.ts';
import { pingCatalog } from '../catalog/catalog-health.ts';
import { openDatabase, openDatabasePools, type DatabasePools } from '../catalog/database.ts';
import { migrate } from '../catalog/migrate.ts';
import { refreshUnits } from '../catalog/tag-unit-store.ts';
import { listenForTokens } from '../catalog/token-listener.ts';
import { accessService, ensureAccess } from '../flows/access.ts';
import { AnswerRoom } from '../flows/answer-room.ts';
import { Backpressure } from '../flows/backpressure.ts';
import { drainLane } from '../flows/drain-lane.ts';
import { expireSamples, retentionService } from '../flows/expire-samples.ts';
import { metadataService } from '../flows/manage-metadata.ts';
import { subjectService } from '../flows/manage-subjects.ts';
import { seriesService } from '../flows/manage-series.ts';
import { lastValues } from '../flows/last-value.ts';
import { readLatest } from '../flows/latest-read.ts';
import { readBuckets } from '../flows/overview-read.ts';
import { querySeries } from '../flows/query-series.ts';
import { readSamples } from '../flows/read-samples.ts';
import { recover, recoverLanes } from '../flows/recover.ts';
import { planSealing, sealLane } from '../flows/seal-lane.ts';
import { SeriesTurns } from '../flows/series-turns.ts';
import type { Service } from '../flows/service.ts';
import { stateService } from '../flows/series-state.ts';
import { spaceService } from '../flows/tell-space.ts';
import { TokenMemory } from '../flows/token-memory.ts';
import { stageAppend } from '../flows/stage-append.ts';
import { removeSamples, replaceSamples } from '../flows/stage-edit.ts';
import { readUnit } from '../flows/tag-units.ts';
import { WriteWatch } from '../flows/watch-writes.ts';
import { writeStatus } from '../flows/write-status.ts';
import { LaneQueue } from '../jobs/lane-queue.ts';
import { startLaneWorker } from '../jobs/lane-worker.ts';
import { openQueueBackend, type QueueBackend } from '../jobs/queue-backend.ts';
import { startReconciler } from '../jobs/reconciler.ts';
import { sealJob } from '../jobs/seal-job.ts';
import { CodecPool } from '../storage/codec-pool.ts';
import type { DataRoot } from '../storage/data-root.ts';
import { claimFolder } from '../storage/folder-owner.ts';
import { thisProcess } from '../storage/process-identity.ts';
import { KeptShardFiles } from '../storage/shard-files.ts';
import { ShardWriter } from '../storage/shard-writer.ts';
import type { Config } from './config.ts';
import { openDataFolder, takeDataFolder } from './data-folder.ts';
import { firstToken } from './first-token.ts';
import { healthService } from './health.ts';
import { foldOutages } from './outages.ts';
import type { Phase } from './phases.ts';
import { superviseEmbeddedPostgres, type Outage } from './supervise-postgres.ts';

/** Pause between two looks for lanes whose ring was lost. */
const RECOVER_LANES_MS = 2_000;
/** Pause between two comparisons of all files with all rows. */
const RECOVER_ALL_MS = 60_000;
/** Pause between two looks for samples that have expired. */
const EXPIRE_MS = 60_000;
/** Shards that one process rewrites at a time: each takes a core, and the memory of a sort. */
const SEALS_AT_ONCE = 1;
/** Connections for jobs: one a drain, and for sealing, expiry and each look for what was lost. */
const JOB_CONNECTIONS = 6;

/** What every role stands on. */
export interface Ground {
  readonly pools: DatabasePools;
  readonly databaseUrl: string;
  /** Of an embedded Postgres that has ended by itself; null while it runs. */
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
      outages.log.warn({ reason: error.message, fault: 'away' }, 'a connection to Postgres was lost');
    };
    const pools = openDatabasePools(url, { jobs: config.writerThreads + JOB_CONNECTIONS, onError });
    later('database', 5_000, () => {
      isClosing = true;
      return pools.close();
    });
    await refreshUnits(pools.writes, readUnit);
    await claimFolder(root, await readCatalogIdentity(pools.reads));
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
  return new CodecPool(new URL('../flows/codec-thread.js', import.meta.url), config.codecThreads);
}

/** The worker's part: drains lanes and looks for lost rings. */
export function openWorker(config: Config, ground: Ground): { closing: Phase[] } {
  const { root, backend, log } = ground;
  const db = ground.pools.jobs;
  const writer = new ShardWriter(config.writerThreads);
  const codec = codecPool(config);
  const holder = thisProcess();
  const worker = startLaneWorker(backend, {
    work: 'drain',
    concurrency: config.writerThreads,
    run: (laneId) => drainLane({ db, root, writer, codec, holder, log }, laneId),
    log,
  });
  const queue = new LaneQueue(backend, 'drain', log);
  const recoverDeps = { db, root, holder, log };
  const ring = (laneId: string): Promise<void> => queue.ringAgain(laneId);
  const lanes = startReconciler({
    everyMs: RECOVER_LANES_MS,
    reconcile: () => recoverLanes(recoverDeps),
    ring,
    log,
  });
  const files = startReconciler({
    everyMs: RECOVER_ALL_MS,
    reconcile: async () => (await recover(recoverDeps)).lanesToRing,
    ring,
    log,
  });
  const sealDeps = { db, root, holder, limits: config.sealing, log };
  const sealWorker = startLaneWorker(backend, {
    work: 'seal',
    concurrency: SEALS_AT_ONCE,
    run: sealJob((laneId, signal) => sealLane(sealDeps, laneId, { signal }), log),
    log,
  });
  const sealQueue = new LaneQueue(backend, 'seal', log);
  const shards = startReconciler({
    everyMs: config.sealing.everyMs,
    reconcile: async () => [...new Set((await planSealing(sealDeps)).map(({ laneId }) => laneId))],
    ring: (laneId) => sealQueue.ringAgain(laneId),
    log,
  });
  const stopping = new AbortController();
  const retention = startReconciler({
    everyMs: EXPIRE_MS,
    reconcile: async () => {
      await expireSamples({ db, root, codec, holder, log }, stopping.signal);
      return [];
    },
    ring,
    log,
  });
  const reconcilers = [lanes, files, shards, retention];
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
      { name: 'sealing', limitMs: 5_000, close: () => sealWorker.close(0) },
      { name: 'worker', limitMs: 20_000, close: () => worker.close(10_000) },
      { name: 'seal queue', limitMs: 3_000, close: () => sealQueue.close() },
      { name: 'drain queue', limitMs: 3_000, close: () => queue.close() },
      { name: 'shard writer', limitMs: 2_000, close: () => writer.close() },
      { name: 'codec threads', limitMs: 2_000, close: () => codec.close() },
    ],
  };
}

/** The API's part: everything behind the routes. */
export async function openService(config: Config, ground: Ground): Promise<{ service: Service; closing: Phase[] }> {
  const { pools, root, backend, log, databaseUrl } = ground;
  const { reads, writes, searches } = pools;
  await ensureAccess(writes, firstToken(config));
  const codec = codecPool(config);
  const watch = new WriteWatch(reads, databaseUrl, (error) =>
    log.warn({ reason: error.message, fault: 'away' }, 'listening for commits failed'),
  );
  const tokens = new TokenMemory(reads, () => tokenNews.isListening);
  const tokenNews = listenForTokens(
    databaseUrl,
    () => tokens.forget(),
    (error) => log.warn({ reason: error.message, fault: 'away' }, 'listening for changes of tokens failed'),
  );
  const queue = new LaneQueue(backend, 'drain', log);
  const backpressure = new Backpressure(reads, root, config.backpressure);
  const ring = (laneId: string): void => void queue.ring(laneId);
  const turns = new SeriesTurns();
  const stageDeps = { reads, writes, root, codec, watch, backpressure, turns, ring };
  const files = new KeptShardFiles(root);
  const readDeps = { db: reads, root, codec, files, room: new AnswerRoom() };
  const service: Service = {
    access: accessService(pools, tokens),
    series: seriesService(pools, turns),
    metadata: metadataService(pools),
    subjects: subjectService(pools),
    state: stateService({ reads, writes, root, codec, watch, turns }),
    samples: {
      append: (request) => stageAppend(stageDeps, request),
      replace: (request) => replaceSamples(stageDeps, request),
      remove: (request) => removeSamples(stageDeps, request),
      read: (request) => readSamples(readDeps, request),
      buckets: (request) => readBuckets(readDeps, request),
      latest: (request) => readLatest(readDeps, request),
      lastValues: (principal, series) => lastValues(readDeps, principal, series),
      table: (request) => querySeries({ ...readDeps, searches }, request),
      write: (principal, id) => writeStatus(reads, principal, id),
    },
    retention: retentionService(pools),
    space: spaceService(reads),
    health: healthService({ pools, root, codec, backend, queue, backpressure, outage: ground.outage }),
  };
  return {
    service,
    closing: [
      { name: 'write watch', limitMs: 2_000, close: () => watch.close() },
      { name: 'token news', limitMs: 2_000, close: () => tokenNews.close() },
      { name: 'shard files', limitMs: 1_000, close: () => files.close() },
      { name: 'codec threads', limitMs: 2_000, close: () => codec.close() },
      { name: 'ring queue', limitMs: 3_000, close: () => queue.close() },
    ],
  };
}
