/** Keeps the embedded Postgres running for as long as the service does: what ends by itself is started again, at the same address. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { VarveError } from '../../core/errors.ts';
import { startEmbeddedPostgres, type EmbeddedPostgresOptions } from './embedded-postgres.ts';

/** Pauses before the second start, the third and so on; the last one from then on. The first follows at once. */
const PAUSES_MS = [250, 500, 1_000, 2_000, 5_000, 15_000];
/** A server that has lived for so long is well: its end counts as the first. */
const WELL_AFTER_MS = 60_000;
/** Pause between two looks whether a start that is under way has come to its end. */
const STOP_POLL_MS = 100;

/** What is known of a server that has ended. */
export interface Outage {
  /** Why the last attempt to start it failed; null while none has. */
  readonly failure: string | null;
}

export interface SupervisedPostgres {
  /** The same for as long as the service runs; with the password: not for logs. */
  readonly url: string;
  /** Null while it runs, for all we know. */
  outage(): Outage | null;
  /** Ends the server, also one that is being started. */
  stop(): Promise<void>;
}

/** Starts the server or adopts it. @throws as `startEmbeddedPostgres` does; only what ends later is started again */
export async function superviseEmbeddedPostgres(
  options: Pick<EmbeddedPostgresOptions, 'dataDir' | 'port' | 'fsync'>,
  log: Logger,
): Promise<SupervisedPostgres> {
  const tell = (message: string): void => log.info(message);
  const first = await startEmbeddedPostgres({ ...options, log: tell });
  const { url } = first;
  const port = Number(new URL(url).port);
  const stopping = new AbortController();
  const { signal } = stopping;
  let outage: Outage | null = null;
  let latest = first;

  async function startAgain(): ReturnType<typeof startEmbeddedPostgres> {
    const server = await startEmbeddedPostgres({ ...options, port, ifMissing: 'refuse', signal, log: tell });
    if (server.url === url) return server;
    // Somebody has started it by hand. It is not ours to end, and the connections of this service do not find it.
    throw new VarveError('conflict', `it runs on port ${new URL(server.url).port}, and is known on ${port}: stop it`);
  }

  async function watch(): Promise<void> {
    let running: Awaited<ReturnType<typeof startAgain>> | null = first;
    let livesFromMs = performance.now();
    let tries = 0;
    while (!signal.aborted) {
      if (running) {
        const how = await running.untilEnded(signal);
        running = null;
        if (signal.aborted) return;
        if (performance.now() - livesFromMs > WELL_AFTER_MS) tries = 0;
        outage = { failure: null };
        log.error({ how }, 'Postgres ended by itself: starting it again');
      }
      if (tries > 0) await sleep(PAUSES_MS[Math.min(tries, PAUSES_MS.length) - 1], null, { signal }).catch(() => {});
      tries++;
      try {
        running = await startAgain();
        latest = running;
        livesFromMs = performance.now();
        outage = null;
        log.warn({ adopted: running.adopted }, 'Postgres is back');
      } catch (error) {
        if (signal.aborted) return;
        const { message } = error as Error;
        outage = { failure: message };
        log.error({ reason: message }, 'Postgres could not be started again: trying once more');
      }
    }
  }

  let settled = false;
  const watching = watch().finally(() => (settled = true));
  return {
    url,
    outage: () => outage,
    async stop() {
      stopping.abort();
      while (!settled) {
        // A server on its way up does not answer to every call: asked until the start has given up.
        await latest.stop().catch(() => {});
        await Promise.race([watching, sleep(STOP_POLL_MS)]);
      }
      await latest.stop();
    },
  };
}
