/** A store under torture: Postgres, a queue, servers, workers and a data folder, all of its own. */
import { mkdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { BreakablePostgres } from './breakable-postgres.ts';
import { demand } from './finding.ts';
import { ModelSeries, SERIES_KINDS } from './model-series.ts';
import type { Random } from './random.ts';
import { ShrinkableDisk } from './shrinkable-disk.ts';
import { VarveProcess } from './varve-process.ts';

const SERVERS = 2;
const WORKERS = 3;
const TOKEN = 'torture-torture-torture';
const SERIES_PER_KIND = 2;

export class Store {
  readonly folder: string;
  readonly dataRoot: string;
  readonly postgres: BreakablePostgres;
  readonly redis: TestRedis | null;
  /** Disk of the data folder; null: this process may not mount one, and no disk gets full. */
  readonly disk: ShrinkableDisk | null;
  readonly env: Readonly<Record<string, string>>;
  readonly servers: readonly VarveProcess[];
  readonly workers: readonly VarveProcess[];
  readonly headers = { Authorization: `Bearer ${TOKEN}` };
  readonly series: ModelSeries[] = [];
  /** What faults were aimed at and hit, and how often. */
  readonly hits = new Map<string, number>();

  private constructor(folder: string, postgres: BreakablePostgres, redis: TestRedis | null) {
    this.folder = folder;
    this.postgres = postgres;
    this.redis = redis;
    this.dataRoot = join(folder, 'data');
    this.disk = ShrinkableDisk.mount(this.dataRoot);
    this.env = {
      VARVE_DATA: this.dataRoot,
      VARVE_PORT: '0',
      VARVE_TOKEN: TOKEN,
      VARVE_LOG: 'warn',
      VARVE_FLUSH_AGE_S: '1',
      VARVE_COMPACT_EVERY_S: '1',
      VARVE_MIN_FREE_BYTES: '0',
      DATABASE_URL: postgres.url,
      ...(redis && { REDIS_URL: redis.url }),
    };
    const process = (role: 'server' | 'worker', i: number): VarveProcess =>
      new VarveProcess(`${role}-${i}`, role, join(folder, 'logs', `${role}-${i}.log`), this.env);
    this.servers = Array.from({ length: SERVERS }, (_, i) => process('server', i));
    this.workers = Array.from({ length: WORKERS }, (_, i) => process('worker', i));
  }

  static async open(withRedis: boolean, random: Random): Promise<Store> {
    const folder = await mkdtemp(join(tmpdir(), 'varve-torture-'));
    mkdirSync(join(folder, 'logs'));
    const postgres = new BreakablePostgres(folder);
    await postgres.start();
    const store = new Store(folder, postgres, withRedis ? await startRedis() : null);
    try {
      await store.startAll();
      await store.#createSeries(random);
    } catch (error) {
      await store.close();
      throw error;
    }
    return store;
  }

  get processes(): readonly VarveProcess[] {
    return [...this.servers, ...this.workers];
  }

  count(hit: string): void {
    this.hits.set(hit, (this.hits.get(hit) ?? 0) + 1);
  }

  /** Starts or wakes whatever does not run. */
  async startAll(): Promise<void> {
    this.disk?.free();
    await this.postgres.start();
    for (const process of this.processes) if (process.isStopped) process.resume();
    const [first, ...others] = this.processes;
    await first.start(); // alone: at the very first start it makes the schema
    await Promise.all(others.map((process) => process.start()));
  }

  /** Ends everything; the folder stays. */
  async close(): Promise<void> {
    await Promise.all(this.processes.map((process) => process.kill()));
    await this.redis?.drop();
    await this.postgres.stop();
  }

  async remove(): Promise<void> {
    this.disk?.drop();
    await rm(this.folder, { recursive: true, maxRetries: 3 });
  }

  async #createSeries(random: Random): Promise<void> {
    for (let i = 0; i < SERIES_KINDS.length * SERIES_PER_KIND; i++) {
      const kind = SERIES_KINDS[i % SERIES_KINDS.length];
      const name = `series-${i}`;
      const response = await fetch(`${this.servers[0].url}/v1/series`, {
        method: 'POST',
        headers: { ...this.headers, 'Content-Type': 'application/json' },
        body: JSON.stringify({
          name,
          dtype: kind.dtype,
          channels: kind.channels,
          duplicates: kind.duplicates,
          sampling: kind.rate ? { kind: 'regular', rate_hz: kind.rate.join('/') } : { kind: 'irregular' },
        }),
      });
      const answer = (await response.json()) as { id: string };
      demand(response.status === 201, () => `creating a series: ${response.status} ${JSON.stringify(answer)}`);
      this.series.push(new ModelSeries(name, answer.id, kind, random.fork(name)));
    }
  }
}
