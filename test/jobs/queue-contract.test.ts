/** What the queues of lanes promise, on both servers it may live on. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { LaneQueue, type LaneJob } from '../../src/jobs/lane-queue.ts';
import { startLaneWorker, type LaneRun, type LaneWorker } from '../../src/jobs/lane-worker.ts';
import { openQueueBackend, type QueueBackend, type QueueBackendConfig } from '../../src/jobs/queue-backend.ts';
import { startReconciler } from '../../src/jobs/reconciler.ts';
import { execute, hasTestPostgres, testDatabase } from '../support/postgres.ts';
import { hasRedisServer, startRedis } from '../support/redis.ts';
import { relayTo } from '../support/tcp-relay.ts';

/** A queue server that a test may take away. */
interface TestServer {
  readonly config: QueueBackendConfig;
  /** Ends every connection and refuses new ones. */
  goAway(): Promise<void>;
  comeBack(): Promise<void>;
  /** Loses all jobs. */
  forget(): Promise<void>;
  drop(): Promise<void>;
}

const servers: { kind: string; available: boolean; start: () => Promise<TestServer> }[] = [
  {
    kind: 'redis',
    available: hasRedisServer(),
    async start() {
      const redis = await startRedis();
      return {
        config: { kind: 'redis', url: redis.url },
        goAway: redis.stop,
        comeBack: redis.restart,
        forget: redis.flushall,
        drop: redis.drop,
      };
    },
  },
  {
    kind: 'postgres',
    available: hasTestPostgres(),
    async start() {
      const database = await testDatabase();
      const relay = await relayTo(database.url);
      return {
        config: { kind: 'postgres', url: relay.url },
        goAway: relay.cut,
        comeBack: relay.restore,
        forget: () => execute(database.url, 'TRUNCATE bullmq.job CASCADE'),
        async drop() {
          await relay.cut();
          await database.drop();
        },
      };
    },
  },
];

const log = pino({ level: process.env.VARVE_TEST_LOG ?? 'silent' });
const DONE = { more: false };

/** Resolves once the condition holds; fails after a while. */
async function until(condition: () => boolean | Promise<boolean>, limitMs = 10_000): Promise<void> {
  const end = Date.now() + limitMs;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`still not after ${limitMs} ms: ${condition.toString()}`);
    await sleep(10);
  }
}

/** A flush that waits where a test wants it to. */
function gate(): { passed: Promise<void>; open: () => void } {
  let open!: () => void;
  const passed = new Promise<void>((resolve) => (open = resolve));
  return { passed, open };
}

async function elapsedMs(action: Promise<unknown>): Promise<number> {
  const start = performance.now();
  await action;
  return performance.now() - start;
}

for (const { kind, available } of servers) {
  if (!available) console.warn(`No ${kind} here: its half of the queue contract is SKIPPED.`);
}

describe.each(servers.filter(({ available }) => available || process.env.VARVE_TEST_NO_SKIP === '1'))(
  'the queue of lanes on $kind',
  ({ start }) => {
    let server: TestServer;
    let backend: QueueBackend;
    let queue: LaneQueue;
    let workers: LaneWorker[];

    beforeAll(async () => {
      server = await start();
    });
    afterAll(() => server?.drop());

    beforeEach(async () => {
      backend = await openQueueBackend(server.config, log);
      queue = new LaneQueue(backend, 'flush', log);
      workers = [];
    });
    afterEach(async () => {
      await Promise.all(workers.map((worker) => worker.close(1_000)));
      await queue.close();
      await backend.close();
      await server.forget();
    });

    function work(run: LaneRun, concurrency = 4): LaneWorker {
      const worker = startLaneWorker(backend, { work: 'flush', concurrency, run, log });
      workers.push(worker);
      return worker;
    }

    test('many rings of an idle lane at once lead to a few flushes, one of them after the last ring', async () => {
      let lastFlush = 0;
      let flushes = 0;
      work(async () => {
        lastFlush = performance.now();
        flushes++;
        await sleep(100);
        return DONE;
      });
      await Promise.all(Array.from({ length: 49 }, () => queue.ring('many')));
      const lastRing = performance.now();
      await queue.ring('many');
      await until(async () => (await queue.depth()) === 0);
      expect(flushes).toBeLessThanOrEqual(3);
      expect(lastFlush).toBeGreaterThan(lastRing);
      expect(queue).toMatchObject({ rings: 50, failedRings: 0 });
    });

    test('rings while nobody works are one flush', async () => {
      let flushes = 0;
      for (let i = 0; i < 10; i++) await queue.ring('waiting');
      expect(await queue.depth()).toBe(1);
      work(async () => {
        flushes++;
        return DONE;
      });
      await until(async () => (await queue.depth()) === 0);
      expect(flushes).toBe(1);
    });

    test('rings during a flush lead to exactly one more flush after it', async () => {
      const first = gate();
      let flushes = 0;
      let running = 0;
      let mostAtOnce = 0;
      work(async () => {
        mostAtOnce = Math.max(mostAtOnce, ++running);
        if (++flushes === 1) await first.passed;
        running--;
        return DONE;
      });
      await queue.ring('active');
      await until(() => flushes === 1);
      for (let i = 0; i < 5; i++) await queue.ring('active');
      first.open();
      await until(async () => flushes === 2 && (await queue.depth()) === 0);
      await sleep(200);
      expect(flushes).toBe(2);
      expect(mostAtOnce).toBe(1);
    });

    test('two lanes flush side by side', async () => {
      const both = gate();
      const seen = new Set<string>();
      work(async (laneId) => {
        seen.add(laneId);
        if (seen.size === 2) both.open();
        await both.passed;
        return DONE;
      });
      await Promise.all([queue.ring('left'), queue.ring('right')]);
      await until(async () => (await queue.depth()) === 0);
      expect([...seen].sort()).toEqual(['left', 'right']);
    });

    test('a worker of one flushes one lane after the other', async () => {
      const hold = gate();
      const begun: string[] = [];
      work(async (laneId) => {
        begun.push(laneId);
        if (begun.length === 1) await hold.passed;
        return DONE;
      }, 1);
      await queue.ring('a');
      await queue.ring('b');
      await until(() => begun.length === 1);
      await sleep(200);
      expect(begun).toHaveLength(1);
      hold.open();
      await until(() => begun.length === 2);
      expect([...begun].sort()).toEqual(['a', 'b']);
    });

    test('work that throws blocks no other lane, is not tried again by itself, and can be rung for again', async () => {
      let poisoned = 0;
      const healthy = new Set<string>();
      work(async (laneId) => {
        if (laneId === 'poison') {
          poisoned++;
          throw new Error('unreadable');
        }
        healthy.add(laneId);
        return DONE;
      }, 1);
      await queue.ring('poison');
      await until(() => poisoned >= 1);
      for (let i = 0; i < 5; i++) await queue.ring(`healthy-${i}`);
      await until(() => healthy.size === 5);
      await until(async () => (await queue.depth()) === 0);
      expect(poisoned).toBe(1);
      await queue.ring('poison');
      await until(() => poisoned === 2);
    }, 15_000);

    test('a lane with more to flush goes on by itself and lets others in between', async () => {
      const order: string[] = [];
      work(async (laneId) => {
        order.push(laneId);
        if (laneId === 'short') return DONE;
        if (order.length === 1) await queue.ring('short');
        return { more: order.length < 50 };
      }, 1);
      await queue.ring('long');
      await until(async () => order.length >= 50 && (await queue.depth()) === 0);
      expect(order.filter((laneId) => laneId === 'short')).toHaveLength(1);
      expect(order.indexOf('short')).toBeLessThan(40);
    });

    test('close waits for the running flush and starts no other', async () => {
      const hold = gate();
      const events: string[] = [];
      const worker = work(async (laneId) => {
        events.push(`${laneId} starts`);
        await hold.passed;
        events.push(`${laneId} ends`);
        return { more: true };
      }, 1);
      await queue.ring('closing');
      await until(() => events.length === 1);
      await queue.ring('never');
      const closed = worker.close(5_000).then(() => events.push('closed'));
      await sleep(100);
      expect(events).toEqual(['closing starts']);
      hold.open();
      await closed;
      expect(events).toEqual(['closing starts', 'closing ends', 'closed']);
      // Both lanes still wait for the next worker.
      const left: string[] = [];
      work(async (laneId) => {
        left.push(laneId);
        return DONE;
      });
      await until(async () => (await queue.depth()) === 0);
      expect(left.sort()).toEqual(['closing', 'never']);
    });

    test('close aborts a flush that outlives the limit', async () => {
      let aborted = false;
      let flushes = 0;
      const worker = work(async (_laneId, signal) => {
        flushes++;
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        aborted = true;
        throw new Error('stopped in the middle');
      });
      await queue.ring('endless');
      await until(() => flushes === 1);
      expect(await elapsedMs(worker.close(100))).toBeLessThan(1_500);
      expect(aborted).toBe(true);
    });

    test('a lane whose worker died in mid-flush is flushed as soon as the reconciler rings', async () => {
      // What a killed process leaves behind: a job that counts as active and that nobody works on.
      let started = false;
      const killed = backend.worker<LaneJob>(
        'flush',
        () => {
          started = true;
          return new Promise(() => {});
        },
        1,
      );
      await queue.ring('orphaned');
      await until(() => started);
      await killed.close(true);
      let flushes = 0;
      work(async () => {
        flushes++;
        return DONE;
      });
      await queue.ring('orphaned');
      await sleep(200);
      expect(flushes).toBe(0);
      await queue.ringAgain('orphaned');
      await until(() => flushes >= 1, 2_000);
    });

    test('a ring to a server that is away returns in time, does not throw and is counted', async () => {
      await server.goAway();
      try {
        expect(await elapsedMs(queue.ring('unheard'))).toBeLessThan(2_500);
        expect(await elapsedMs(queue.ringAgain('unheard'))).toBeLessThan(2_500);
        expect(queue.failedRings).toBe(2);
        await expect(queue.depth()).rejects.toMatchObject({ code: 'unavailable' });
        await expect(backend.ping()).rejects.toMatchObject({ code: 'unavailable' });
      } finally {
        await server.comeBack();
      }
    }, 15_000);

    test('after the server was away, workers and rings go on without a restart', async () => {
      const flushed = new Set<string>();
      work(async (laneId) => {
        flushed.add(laneId);
        return DONE;
      });
      await queue.ring('before');
      await until(() => flushed.has('before'));
      await server.goAway();
      await sleep(300);
      await server.comeBack();
      await until(() =>
        backend.ping().then(
          () => true,
          () => false,
        ),
      );
      await queue.ring('after');
      await until(() => flushed.has('after'));
    }, 20_000);

    test('a queue and a worker that are opened while the server is away work once it is back', async () => {
      await server.goAway();
      const isAway = (): Promise<boolean> =>
        backend.ping().then(
          () => false,
          () => true,
        );
      await until(isAway);
      const late = new LaneQueue(backend, 'flush', log);
      const drained = new Set<string>();
      work(async (laneId) => {
        drained.add(laneId);
        return DONE;
      });
      await late.ring('unheard');
      await sleep(300);
      await server.comeBack();
      await until(async () => {
        await late.ring('after');
        return drained.has('after');
      });
      await late.close();
    }, 30_000);

    test('closing worker, queue and backend does not hang while the server is away', async () => {
      const worker = work(async () => DONE);
      await queue.ring('closed');
      await until(async () => (await queue.depth()) === 0);
      await server.goAway();
      await sleep(300);
      try {
        expect(await elapsedMs(worker.close(1_000))).toBeLessThan(3_000);
        expect(await elapsedMs(queue.close())).toBeLessThan(2_500);
        expect(await elapsedMs(backend.close())).toBeLessThan(2_500);
      } finally {
        await server.comeBack();
      }
    }, 20_000);

    test('a queue that forgets everything loses rings, and the reconciler rings again', async () => {
      await queue.ring('forgotten');
      await server.forget();
      expect(await queue.depth()).toBe(0);
      const pending = new Set(['forgotten']);
      work(async (laneId) => {
        pending.delete(laneId);
        return DONE;
      });
      const reconciler = startReconciler({
        everyMs: 50,
        reconcile: async () => [...pending],
        ring: (laneId) => queue.ringAgain(laneId),
        log,
      });
      await until(() => pending.size === 0);
      await reconciler.stop();
    });

    test('an answering server is ready', async () => {
      await expect(backend.ping()).resolves.toBeUndefined();
    });
  },
);
