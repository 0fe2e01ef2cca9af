/** What the drain queue promises, on both servers it may live on. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { LaneQueue, type LaneJob } from '../../src/jobs/lane-queue.ts';
import type { DrainResult } from '../../src/flows/drain-lane.ts';
import { startLaneWorker, type LaneWorker } from '../../src/jobs/lane-worker.ts';
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
type Drain = (laneId: string, signal: AbortSignal) => Promise<DrainResult>;
const NOTHING: DrainResult = { kind: 'nothing' };

/** Resolves once the condition holds; fails after a while. */
async function until(condition: () => boolean | Promise<boolean>, limitMs = 10_000): Promise<void> {
  const end = Date.now() + limitMs;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`still not after ${limitMs} ms: ${condition.toString()}`);
    await sleep(10);
  }
}

/** A drain that waits where a test wants it to. */
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
  'the drain queue on $kind',
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
      queue = new LaneQueue(backend, 'drain', log);
      workers = [];
    });
    afterEach(async () => {
      await Promise.all(workers.map((worker) => worker.close(1_000)));
      await queue.close();
      await backend.close();
      await server.forget();
    });

    function work(drain: Drain, concurrency = 4): LaneWorker {
      const worker = startLaneWorker(backend, { work: 'drain', concurrency, run: drain, log });
      workers.push(worker);
      return worker;
    }

    test('many rings of an idle lane at once lead to a few drains, one of them after the last ring', async () => {
      let lastDrain = 0;
      let drains = 0;
      work(async () => {
        lastDrain = performance.now();
        drains++;
        await sleep(100);
        return NOTHING;
      });
      await Promise.all(Array.from({ length: 49 }, () => queue.ring('many')));
      const lastRing = performance.now();
      await queue.ring('many');
      await until(async () => (await queue.depth()) === 0);
      expect(drains).toBeLessThanOrEqual(3);
      expect(lastDrain).toBeGreaterThan(lastRing);
      expect(queue).toMatchObject({ rings: 50, failedRings: 0 });
    });

    test('rings while nobody works are one drain', async () => {
      let drains = 0;
      for (let i = 0; i < 10; i++) await queue.ring('waiting');
      expect(await queue.depth()).toBe(1);
      work(async () => {
        drains++;
        return NOTHING;
      });
      await until(async () => (await queue.depth()) === 0);
      expect(drains).toBe(1);
    });

    test('rings during a drain lead to exactly one more drain after it', async () => {
      const first = gate();
      let drains = 0;
      let running = 0;
      let mostAtOnce = 0;
      work(async () => {
        mostAtOnce = Math.max(mostAtOnce, ++running);
        if (++drains === 1) await first.passed;
        running--;
        return NOTHING;
      });
      await queue.ring('active');
      await until(() => drains === 1);
      for (let i = 0; i < 5; i++) await queue.ring('active');
      first.open();
      await until(async () => drains === 2 && (await queue.depth()) === 0);
      await sleep(200);
      expect(drains).toBe(2);
      expect(mostAtOnce).toBe(1);
    });

    test('two lanes drain side by side', async () => {
      const both = gate();
      const seen = new Set<string>();
      work(async (laneId) => {
        seen.add(laneId);
        if (seen.size === 2) both.open();
        await both.passed;
        return NOTHING;
      });
      await Promise.all([queue.ring('left'), queue.ring('right')]);
      await until(async () => (await queue.depth()) === 0);
      expect([...seen].sort()).toEqual(['left', 'right']);
    });

    test('a busy lane is tried again later, however often, and costs no attempt', async () => {
      let drains = 0;
      work(async () => (++drains <= 8 ? { kind: 'busy', retryInMs: 20 } : NOTHING));
      await queue.ring('busy');
      await until(async () => drains === 9 && (await queue.depth()) === 0);
    });

    test('a drain that throws is tried again', async () => {
      let drains = 0;
      work(async () => {
        if (++drains <= 2) throw new Error('the disk hiccups');
        return NOTHING;
      });
      await queue.ring('throwing');
      await until(async () => drains === 3 && (await queue.depth()) === 0);
    });

    test('a lane that always throws blocks no other lane, and can be rung again once its attempts are used up', async () => {
      let poisoned = 0;
      const healthy = new Set<string>();
      work(async (laneId) => {
        if (laneId === 'poison') {
          poisoned++;
          throw new Error('unreadable');
        }
        healthy.add(laneId);
        return NOTHING;
      }, 1);
      await queue.ring('poison');
      await until(() => poisoned >= 1);
      for (let i = 0; i < 5; i++) await queue.ring(`healthy-${i}`);
      await until(() => healthy.size === 5, 1_000);
      await until(async () => (await queue.depth()) === 0);
      const attempts = poisoned;
      expect(attempts).toBe(5);
      await queue.ring('poison');
      await until(() => poisoned > attempts);
    }, 15_000);

    test('a lane with more to drain goes on by itself and lets others in between', async () => {
      const order: string[] = [];
      work(async (laneId) => {
        order.push(laneId);
        if (laneId === 'short') return { kind: 'drained', more: false };
        if (order.length === 1) await queue.ring('short');
        return { kind: 'drained', more: order.length < 50 };
      }, 1);
      await queue.ring('long');
      await until(async () => order.length >= 50 && (await queue.depth()) === 0);
      expect(order.filter((laneId) => laneId === 'short')).toHaveLength(1);
      expect(order.indexOf('short')).toBeLessThan(40);
    });

    test('close waits for the running drain and starts no other', async () => {
      const hold = gate();
      const events: string[] = [];
      const worker = work(async (laneId) => {
        events.push(`${laneId} starts`);
        await hold.passed;
        events.push(`${laneId} ends`);
        return { kind: 'drained', more: true };
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
        return NOTHING;
      });
      await until(async () => (await queue.depth()) === 0);
      expect(left.sort()).toEqual(['closing', 'never']);
    });

    test('close aborts a drain that outlives the limit', async () => {
      let aborted = false;
      let drains = 0;
      const worker = work(async (_laneId, signal) => {
        drains++;
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        aborted = true;
        throw new Error('stopped in the middle');
      });
      await queue.ring('endless');
      await until(() => drains === 1);
      expect(await elapsedMs(worker.close(100))).toBeLessThan(1_500);
      expect(aborted).toBe(true);
    });

    test('a lane whose worker died in mid-drain is drained as soon as the reconciler rings', async () => {
      // What a killed process leaves behind: a job that counts as active and that nobody works on.
      let started = false;
      const killed = backend.worker<LaneJob>(
        'drain',
        () => {
          started = true;
          return new Promise(() => {});
        },
        1,
      );
      await queue.ring('orphaned');
      await until(() => started);
      await killed.close(true);
      let drains = 0;
      work(async () => {
        drains++;
        return NOTHING;
      });
      await queue.ring('orphaned');
      await sleep(200);
      expect(drains).toBe(0);
      await queue.ringAgain('orphaned');
      await until(() => drains >= 1, 2_000);
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
      const drained = new Set<string>();
      work(async (laneId) => {
        drained.add(laneId);
        return NOTHING;
      });
      await queue.ring('before');
      await until(() => drained.has('before'));
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
      await until(() => drained.has('after'));
    }, 20_000);

    test('a queue and a worker that are opened while the server is away work once it is back', async () => {
      await server.goAway();
      const isAway = (): Promise<boolean> =>
        backend.ping().then(
          () => false,
          () => true,
        );
      await until(isAway);
      const late = new LaneQueue(backend, 'drain', log);
      const drained = new Set<string>();
      work(async (laneId) => {
        drained.add(laneId);
        return NOTHING;
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
      const worker = work(async () => NOTHING);
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
        return NOTHING;
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
