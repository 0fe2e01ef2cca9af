/** Health: whether the parts answer, and the numbers Prometheus collects. */
import { access, constants } from 'node:fs/promises';
import { Counter, Gauge, Registry, collectDefaultMetrics } from 'prom-client';
import { catalogNumbers, pingCatalog } from '../catalog/catalog-health.ts';
import type { Database, DatabasePools } from '../catalog/database.ts';
import { readEstrangement } from '../catalog/shards/recovery-reader.ts';
import { hasDamage } from '../catalog/shards/shard-store.ts';
import { SHARD_STATES } from '../core/upkeep/shard-state.ts';
import type { Backpressure } from '../flows/append/backpressure.ts';
import type { Committers } from '../flows/append/committers.ts';
import type { LineCardinality } from '../flows/ingest/line-cardinality.ts';
import type { HealthCheck, HealthService } from '../flows/health-service.ts';
import type { LaneQueue } from '../jobs/lane-queue.ts';
import type { QueueBackend } from '../jobs/queue-backend.ts';
import type { CodecPool } from '../storage/threads/codec-pool.ts';
import type { DataRoot } from '../storage/folder/data-root.ts';
import { freeBytes } from '../storage/folder/disk-space.ts';
import type { Outage } from './postgres/supervise-postgres.ts';

const CHECK_LIMIT_MS = 2_000;
/** Nothing that a thread is given in one step takes nearly as long. */
const STEP_LIMIT_MS = 60_000;

export interface HealthDeps {
  readonly pools: DatabasePools;
  readonly root: DataRoot;
  readonly codec: Pick<CodecPool, 'ping' | 'stuckMs'>;
  readonly committers: Pick<Committers, 'stuckMs'>;
  readonly backend: QueueBackend;
  readonly queue: LaneQueue;
  readonly backpressure: Backpressure;
  readonly cardinality: Pick<LineCardinality, 'series' | 'most'>;
  /** Outage of the embedded Postgres; a server elsewhere is not ours to watch. */
  readonly outage: () => Outage | null;
}

export function healthService(deps: HealthDeps): HealthService {
  const { pools, root, codec, committers, backend, queue, backpressure, cardinality, outage } = deps;
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const gauge = (name: string, help: string): Gauge => new Gauge({ name, help, registers: [registry] });
  const series = gauge('varve_series', 'Series in the catalog (estimate)');
  const byState = (name: string, help: string): Gauge =>
    new Gauge({ name, help, labelNames: ['state'], registers: [registry] });
  const counter = (name: string, help: string, labelNames: string[] = []): Counter =>
    new Counter({ name, help, labelNames, registers: [registry] });
  const shards = byState('varve_shards', 'HDF5 shards in the catalog');
  const shardBytes = byState('varve_shard_bytes', 'Lengths of their files');
  const storedBytes = gauge('varve_stored_bytes', 'Lengths of all shards that are on the disk');
  const lostShards = gauge('varve_shards_lost', 'Shards whose file is missing');
  const fresh = gauge('varve_fresh_chunks', 'Chunks that were appended and are in no shard yet');
  const freshBytes = gauge('varve_fresh_bytes', 'Their bytes, in Postgres and in spool files');
  const freshAge = gauge('varve_fresh_age_seconds', 'Age of the oldest of them');
  const resting = gauge('varve_lanes_resting', 'Lanes whose flushes were kept from their end by the system');
  const lineSeries = new Gauge({
    name: 'varve_line_series',
    help: 'Series of each project in which lines have made some since the start',
    labelNames: ['project'],
    registers: [registry],
  });
  const mostLineSeries = gauge('varve_line_series_limit', 'Series of a project beyond which lines make no more');
  const uploads = gauge('varve_uploads', 'Appends whose bodies are being received');
  const free = gauge('varve_data_free_bytes', 'Free space of the disk that holds spool and shards');
  const rings = counter('varve_rings_total', 'Rings asked of the queue');
  const lost = counter('varve_rings_failed_total', 'Rings the queue did not take');
  const refused = counter('varve_appends_refused_total', 'Appends refused to protect the service', ['reason']);
  const accepted = counter('varve_accepted_bytes_total', 'Payloads of appends and edits, of all processes');
  const written = counter('varve_written_bytes_total', 'Bytes written to spool files and shards for them', ['by']);

  return {
    alive() {
      const found = outage();
      if (found === null) return 'ok';
      return found.failure === null ? 'restarting' : 'failing';
    },
    async ready() {
      // A pool that is stuck answers nothing, though Postgres does.
      const [reads, writes, commits, threads, queued, storage] = await Promise.all([
        check(() => pingCatalog(pools.reads)),
        check(() => pingCatalog(pools.writes)),
        check(() => refuseStuck(committers)),
        check(() => pingThreads(codec)),
        check(() => backend.ping()),
        checkStorage(root, backpressure),
      ]);
      const postgres = [reads, writes, commits].find(({ ok }) => !ok) ?? reads;
      const shards = postgres.ok ? await checkShards(pools.reads) : { ok: true };
      const checks = { postgres, queue: queued, storage, threads, shards };
      return { ok: Object.values(checks).every((each) => each.ok), checks };
    },
    async metrics() {
      const numbers = await catalogNumbers(pools.reads);
      series.set(numbers.series);
      let onDisk = 0;
      for (const state of SHARD_STATES) {
        const { count, bytes } = numbers.shards.get(state) ?? { count: 0, bytes: 0 };
        shards.set({ state }, count);
        shardBytes.set({ state }, bytes);
        if (state === 'lost') lostShards.set(count);
        else onDisk += bytes;
      }
      storedBytes.set(onDisk);
      accepted.reset();
      accepted.inc(numbers.acceptedBytes);
      written.reset();
      written.inc({ by: 'spool' }, numbers.spooledBytes);
      written.inc({ by: 'flush' }, numbers.flushedBytes);
      written.inc({ by: 'compaction' }, numbers.compactedBytes);
      fresh.set(numbers.freshChunks);
      freshBytes.set(numbers.freshBytes);
      freshAge.set(numbers.freshSeconds);
      resting.set(numbers.restingLanes);
      for (const [project, count] of cardinality.series) lineSeries.set({ project }, count);
      mostLineSeries.set(cardinality.most);
      uploads.set(backpressure.uploads);
      free.set(await freeBytes(root));
      rings.reset();
      rings.inc(queue.rings);
      lost.reset();
      lost.inc(queue.failedRings);
      refused.reset();
      for (const [reason, count] of backpressure.refused) refused.inc({ reason }, count);
      return { contentType: registry.contentType, body: await registry.metrics() };
    },
  };
}

/** A transaction of appends is a matter of milliseconds. */
const COMMIT_LIMIT_MS = 5_000;

async function refuseStuck({ stuckMs }: HealthDeps['committers']): Promise<void> {
  if (stuckMs > COMMIT_LIMIT_MS) throw new Error(`appends wait for a commit since ${Math.round(stuckMs)} ms`);
}

async function pingThreads(codec: HealthDeps['codec']): Promise<void> {
  const { stuckMs } = codec;
  if (stuckMs > STEP_LIMIT_MS) throw new Error(`no step has ended for ${Math.round(stuckMs)} ms`);
  await codec.ping();
}

/** Checks the room that is left. With too little room appends are refused, and reads go on. */
async function checkStorage(root: DataRoot, { minFreeBytes }: Backpressure): Promise<HealthCheck> {
  const writable = await check(() => access(root.spoolFolder, constants.W_OK));
  if (!writable.ok || minFreeBytes === 0 || (await freeBytes(root)) >= minFreeBytes) return writable;
  const message = `less than ${minFreeBytes} bytes are free: appends are refused with 507`;
  return { ok: true, degraded: true, message };
}

/** What can be read is served: damage is an alarm, no reason to send clients away. Files of another day than the catalog are one. */
async function checkShards(db: Database): Promise<HealthCheck> {
  const estranged = await readEstrangement(db).catch(() => null);
  if (estranged !== null) return { ok: false, message: estranged };
  return (await hasDamage(db).catch(() => false)) ? { ok: true, degraded: true } : { ok: true };
}

async function check(probe: () => Promise<unknown>): Promise<HealthCheck> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${CHECK_LIMIT_MS} ms`)), CHECK_LIMIT_MS);
  });
  try {
    await Promise.race([probe(), late]);
    return { ok: true };
  } catch (error) {
    const { message, code } = error as { message?: string; code?: string };
    return { ok: false, detail: message || code || 'failed' };
  } finally {
    clearTimeout(timer);
  }
}
