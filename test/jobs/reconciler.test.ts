/** What the reconciler's timer promises. */
import { expect, test } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { startReconciler } from '../../src/jobs/reconciler.ts';

const log = pino({ level: 'silent' });

test('the first round starts at once and rings for every lane it finds', async () => {
  const lanes = Array.from({ length: 120 }, (_, i) => `lane-${i}`);
  const rung: string[] = [];
  const reconciler = startReconciler({
    everyMs: 60_000,
    reconcile: async () => lanes,
    ring: async (laneId) => void rung.push(laneId),
    log,
  });
  await sleep(20);
  await reconciler.stop();
  expect(rung).toEqual(lanes);
});

test('a slow round is never overtaken by the next', async () => {
  let running = 0;
  let mostAtOnce = 0;
  let rounds = 0;
  const reconciler = startReconciler({
    everyMs: 1,
    async reconcile() {
      mostAtOnce = Math.max(mostAtOnce, ++running);
      rounds++;
      await sleep(20);
      running--;
      return [];
    },
    ring: async () => {},
    log,
  });
  while (rounds < 3) await sleep(10);
  await reconciler.stop();
  expect(rounds).toBeGreaterThan(1);
  expect(mostAtOnce).toBe(1);
});

test('a round that fails is followed by the next', async () => {
  let rounds = 0;
  const reconciler = startReconciler({
    everyMs: 1,
    async reconcile() {
      if (++rounds === 1) throw new Error('the database restarts');
      return [];
    },
    ring: async () => {},
    log,
  });
  await sleep(100);
  await reconciler.stop();
  expect(rounds).toBeGreaterThan(1);
});

test('stop waits for the running round and no other follows', async () => {
  const events: string[] = [];
  const reconciler = startReconciler({
    everyMs: 1,
    async reconcile() {
      events.push('starts');
      await sleep(50);
      events.push('ends');
      return [];
    },
    ring: async () => {},
    log,
  });
  await reconciler.stop();
  expect(events).toEqual(['starts', 'ends']);
  await sleep(50);
  expect(events).toHaveLength(2);
});
