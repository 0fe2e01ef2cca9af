/** Puts the parts together: what every role needs first, then what each role adds. Whoever opens also closes, in reverse. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import { readCatalogIdentity } from '../catalog/catalog-identity.ts';
import { openCommitSession } from '../catalog/commit-session.ts';
import { openDatabase, type Database } from '../catalog/database.ts';
import { tellRest } from '../catalog/fresh-store.ts';
import { migrate } from '../catalog/migrate.ts';
import { registerSpools } from '../catalog/spool-store.ts';
import { accessService, ensureAccess } from '../flows/access.ts';
import { appendSamples } from '../flows/append-samples.ts';
import { Backpressure } from '../flows/backpressure.ts';
import { Committer } from '../flows/committer.ts';
import { compactLane, planCompaction } from '../flows/compact-lane.ts';
import { removeSamples, replaceSamples } from '../flows/edit-samples.ts';
import { expireSamples, retentionService } from '../flows/expire-samples.ts';
import { dueLanes, flushLane } from '../flows/flush-lane.ts';
import { metadataService } from '../flows/manage-metadata.ts';
import { subjectService } from '../flows/manage-subjects.ts';
import { seriesService } from '../flows/manage-series.ts';
import { lastValues } from '../flows/last-value.ts';
import { readLatest } from '../flows/latest-read.ts';
import { readBuckets } from '../flows/overview-read.ts';
import { querySeries } from '../flows/query-series.ts';
import { readSamples } from '../flows/read-samples.ts';
import { recover } from '../flows/recover.ts';
import { FreshSweep } from '../flows/sweep-fresh.ts';
import type { Service } from '../flows/service.ts';
import { stateService } from '../flows/series-state.ts';
import { spaceService } from '../flows/tell-space.ts';
import { writeStatus } from '../flows/write-status.ts';
import { LaneQueue } from '../jobs/lane-queue.ts';
import { startLaneWorker } from '../jobs/lane-worker.ts';
import { openQueueBackend, type QueueBackend } from '../jobs/queue-backend.ts';
import { startReconciler } from '../jobs/reconciler.ts';
import { resting } from '../jobs/resting-job.ts';
import { CodecPool } from '../storage/codec-pool.ts';
import { DataRoot } from '../storage/data-root.ts';
import { lockFolder } from '../storage/folder-lock.ts';
import { claimFolder } from '../storage/folder-owner.ts';
import { KeptShardFiles } from '../storage/shard-files.ts';
import { writeSpool } from '../storage/spool.ts';
import type { Config } from './config.ts';
import { startEmbeddedPostgres } from './embedded-postgres.ts';
import { firstToken } from './first-token.ts';
import { healthService } from './health.ts';
import type { Phase } from './phases.ts';

/** Pause between two looks for lanes that are to be flushed. */
const FLUSH_EVERY_MS = 1_000;
/** A lane that is due for so long may have lost the process that was at it. */
const OVERDUE_MS = 60_000;
/** A lane whose flush failed is left alone so long, at first and at most: a full disk is to be noticed soon when it is not. */
const FLUSH_REST_MS = { firstMs: 2_000, longestMs: 60_000 };
const COMPACT_REST_MS = { firstMs: 60_000, longestMs: 6 * 3600_000 };
/** Pause between two comparisons of all files with all rows. */
const RECOVER_ALL_MS = 60_000;
/** Pause between two looks for samples that have expired. */
const EXPIRE_MS = 60_000;
/** Shards that one process rewrites at a time: each takes a core, and the memory of a sort. */
const COMPACTIONS_AT_ONCE = 1;
const DATABASE_CONNECTIONS = 16;

/** What every role stands on. */
export interface Ground {
  readonly db: Database;
  readonly searches: Database;
  readonly databaseUrl: string;
  readonly root: DataRoot;
  readonly backend: QueueBackend;
  readonly log: Logger;
  /** In the order in which they are to be closed. */
  readonly closing: readonly Phase[];
}

/** Opens folder, Postgres (our own or a server), schema and queue. Closes what it has opened if a later step fails. */
export async function openGround(config: Config, log: Logger): Promise<Ground> {
  const closing: Phase[] = [];
  const later = (name: string, limitMs: number, close: Phase['close']): void =>
    void closing.unshift({ name, limitMs, close });
  try {
    mkdirSync(config.dataRoot, { recursive: true });
    const root = new DataRoot(config.dataRoot);
    root.prepare();
    let url: string;
    if (config.database.kind === 'embedded') {
      const lock = lockFolder(config.dataRoot);
      later('folder', 1_000, () => lock.release());
      const postgres = await startEmbeddedPostgres({
        dataDir: join(config.dataRoot, 'postgres'),
        port: config.database.port,
        log: (message) => log.info(message),
      });
      later('postgres', 120_000, () => postgres.stop());
      url = postgres.url;
    } else {
      url = config.database.url;
    }
    await migrate(url, (reason) => log.warn({ reason }, 'waiting for Postgres'));
    const onError = (error: Error): void => log.warn({ reason: error.message }, 'a connection to Postgres was lost');
    const { db, searches, close } = openDatabase(url, { poolSize: DATABASE_CONNECTIONS, onError });
    later('database', 5_000, close);
    await claimFolder(root, await readCatalogIdentity(db));
    const backend = await openQueueBackend(
      config.queue.kind === 'redis' ? config.queue : { kind: 'postgres', url },
      log,
    );
    later('queue', 3_000, () => backend.close());
    return { db, searches, databaseUrl: url, root, backend, log, closing };
  } catch (error) {
    for (const phase of closing) await phase.close();
    throw error;
  }
}

/** Its threads start when there is something to do. */
function codecPool(config: Config): CodecPool {
  return new CodecPool(new URL('../flows/codec-thread.js', import.meta.url), config.codecThreads);
}

/** The worker's part: flushes and compacts lanes, and looks for what is due. */
export function openWorker(config: Config, ground: Ground): { closing: Phase[] } {
  const { db, root, backend, log } = ground;
  const codec = codecPool(config);
  const deps = { db, root, log };
  const sweep = new FreshSweep(deps);
  const flushWorker = startLaneWorker(backend, {
    work: 'flush',
    concurrency: config.writerThreads,
    run: resting(
      async (laneId, signal) => {
        const outcome = await flushLane(deps, laneId, { signal });
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
      await sweep.run();
      await recover(deps);
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
  const reconcilers = [flushes, files, shards, retention];
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
      { name: 'compaction', limitMs: 5_000, close: () => compactWorker.close(0) },
      { name: 'flushes', limitMs: 20_000, close: () => flushWorker.close(10_000) },
      { name: 'compact queue', limitMs: 3_000, close: () => compactQueue.close() },
      { name: 'flush queue', limitMs: 3_000, close: () => flushQueue.close() },
      { name: 'codec threads', limitMs: 2_000, close: () => codec.close() },
    ],
  };
}

/** The API's part: everything behind the routes. */
export async function openService(config: Config, ground: Ground): Promise<{ service: Service; closing: Phase[] }> {
  const { db, searches, root, backend, log, databaseUrl } = ground;
  await ensureAccess(db, firstToken(config));
  const codec = codecPool(config);
  const queue = new LaneQueue(backend, 'flush', log);
  const backpressure = new Backpressure(db, root, config.backpressure);
  const committer = new Committer({
    connect: () => openCommitSession(databaseUrl),
    spool: async (pieces) => {
      const id = uuidv7();
      await registerSpools(db, [id]);
      return { id, offsets: await writeSpool(root, id, pieces) };
    },
  });
  const writing = { db, root, codec, committer, backpressure };
  const files = new KeptShardFiles(root);
  const readDeps = { db, root, codec, files };
  const service: Service = {
    access: accessService(db),
    series: seriesService(db, searches),
    metadata: metadataService(db, searches),
    subjects: subjectService(db),
    state: stateService({ db, root, codec }),
    samples: {
      append: (request) => appendSamples(writing, request),
      replace: (request) => replaceSamples(writing, request),
      remove: (request) => removeSamples(writing, request),
      read: (request) => readSamples(readDeps, request),
      buckets: (request) => readBuckets(readDeps, request),
      latest: (request) => readLatest(readDeps, request),
      lastValues: (principal, series) => lastValues(readDeps, principal, series),
      table: (request) => querySeries({ ...readDeps, searches }, request),
      write: (principal, id) => writeStatus(db, principal, id),
    },
    retention: retentionService(db),
    space: spaceService(db),
    health: healthService({ db, root, backend, queue, backpressure }),
  };
  return {
    service,
    closing: [
      { name: 'committer', limitMs: 5_000, close: () => committer.close() },
      { name: 'shard files', limitMs: 1_000, close: () => files.close() },
      { name: 'codec threads', limitMs: 2_000, close: () => codec.close() },
      { name: 'ring queue', limitMs: 3_000, close: () => queue.close() },
    ],
  };
}
