/** Health: whether the parts answer, and the numbers Prometheus collects. */
import { access, constants, statfs } from 'node:fs/promises';
import { Counter, Gauge, Registry, collectDefaultMetrics } from 'prom-client';
import { catalogNumbers, pingCatalog } from '../catalog/catalog-health.ts';
import type { Database } from '../catalog/database.ts';
import type { HealthService } from '../flows/service.ts';
import type { DrainQueue } from '../jobs/drain-queue.ts';
import type { QueueBackend } from '../jobs/queue-backend.ts';
import type { DataRoot } from '../storage/data-root.ts';

const CHECK_LIMIT_MS = 2_000;

export interface HealthDeps {
  readonly db: Database;
  readonly root: DataRoot;
  readonly backend: QueueBackend;
  readonly queue: DrainQueue;
}

export function healthService({ db, root, backend, queue }: HealthDeps): HealthService {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const gauge = (name: string, help: string): Gauge => new Gauge({ name, help, registers: [registry] });
  const series = gauge('varve_series', 'Series in the catalog (estimate)');
  const shards = gauge('varve_shards', 'HDF5 shards in the catalog');
  const pending = gauge('varve_writes_pending', 'Acknowledged writes that are not visible yet');
  const failed = gauge('varve_writes_failed', 'Acknowledged writes that could not be applied');
  const free = gauge('varve_data_free_bytes', 'Free space of the disk that holds the data');
  const rings = new Counter({ name: 'varve_rings_total', help: 'Rings asked of the queue', registers: [registry] });
  const lost = new Counter({
    name: 'varve_rings_failed_total',
    help: 'Rings the queue did not take',
    registers: [registry],
  });

  return {
    async ready() {
      const checks = {
        postgres: await check(() => pingCatalog(db)),
        queue: await check(() => backend.ping()),
        storage: await check(() => access(root.spoolFolder, constants.W_OK)),
      };
      return { ok: Object.values(checks).every(({ ok }) => ok), checks };
    },
    async metrics() {
      const numbers = await catalogNumbers(db);
      series.set(numbers.series);
      shards.set(numbers.shards);
      pending.set(numbers.pendingWrites);
      failed.set(numbers.failedWrites);
      const disk = await statfs(root.root);
      free.set(disk.bavail * disk.bsize);
      rings.reset();
      rings.inc(queue.rings);
      lost.reset();
      lost.inc(queue.failedRings);
      return { contentType: registry.contentType, body: await registry.metrics() };
    },
  };
}

async function check(probe: () => Promise<unknown>): Promise<{ ok: boolean; detail?: string }> {
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
