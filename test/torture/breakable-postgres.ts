/** A real Postgres, with fsync, that can be killed at any moment and started again at the same address. */
import { join } from 'node:path';
import pg from 'pg';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../src/main/postgres/embedded-postgres.ts';
import { isAlive, postgresPid } from './process-alive.ts';
import { demand } from './finding.ts';
import { sleep, until } from './pause.ts';

const DEATH_LIMIT_MS = 20_000;
const QUERY_LIMIT_MS = 20_000;
const POLL_MS = 20;

export class BreakablePostgres {
  readonly #dataDir: string;
  #running: EmbeddedPostgres | null = null;
  #starting: Promise<void> | null = null;
  #pool: pg.Pool | null = null;
  #port = 0;
  #url = '';

  constructor(folder: string) {
    this.#dataDir = join(folder, 'postgres');
  }

  /** The same after every start. */
  get url(): string {
    return this.#url;
  }

  /** Starts it. If several ask at once, one starts it. */
  async start(): Promise<void> {
    if (this.#running) return;
    await (this.#starting ??= this.#launch().finally(() => (this.#starting = null)));
  }

  async #launch(): Promise<void> {
    const options = { dataDir: this.#dataDir, port: this.#port, fsync: true, log: () => {} };
    this.#running = await startEmbeddedPostgres(options);
    this.#url = this.#running.url;
    this.#port = Number(new URL(this.#url).port);
  }

  /** `immediate` is Postgres' own abrupt shutdown; `kill` takes away the postmaster and leaves its children to notice. */
  async crash(how: 'immediate' | 'kill'): Promise<void> {
    const pid = postgresPid(this.#dataDir);
    if (pid === null || !this.#running) return;
    this.#running = null;
    process.kill(pid, how === 'kill' ? 'SIGKILL' : 'SIGQUIT');
    const dead = await until(DEATH_LIMIT_MS, POLL_MS, () => !isAlive(pid));
    demand(dead, () => `Postgres (${pid}) did not end`);
  }

  async stop(): Promise<void> {
    await this.#pool?.end().catch(() => {});
    this.#pool = null;
    await this.#running?.stop();
    this.#running = null;
  }

  /** Its postmaster stops for a while: connections that exist go on, new ones wait. */
  async halt(ms: number): Promise<void> {
    const pid = postgresPid(this.#dataDir);
    if (pid === null || !this.#running) return;
    process.kill(pid, 'SIGSTOP');
    await sleep(ms);
    if (isAlive(pid)) process.kill(pid, 'SIGCONT');
  }

  /** Rows of one statement. */
  async query<Row extends pg.QueryResultRow>(sql: string, values: readonly unknown[] = []): Promise<Row[]> {
    this.#pool ??= new pg.Pool({
      connectionString: this.#url,
      connectionTimeoutMillis: QUERY_LIMIT_MS,
      query_timeout: QUERY_LIMIT_MS,
      application_name: 'torture',
    }).on('error', () => {}); // told again by the query
    return (await this.#pool.query<Row>(sql, [...values])).rows;
  }
}
