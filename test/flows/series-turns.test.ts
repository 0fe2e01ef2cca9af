import { expect, test } from '@jest/globals';
import { SeriesTurns } from '../../src/flows/series/series-turns.ts';

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => {};
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve };
}

const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

test('changes of one series run two at a time, in the order in which they came; those of others at once', async () => {
  const turns = new SeriesTurns();
  const begun: number[] = [];
  const gates = Array.from({ length: 5 }, deferred);
  const all = gates.map((gate, i) => turns.take('a', () => (begun.push(i), gate.promise)));
  await settled();
  expect(begun).toEqual([0, 1]);
  expect(await turns.take('b', () => Promise.resolve('at once'))).toBe('at once');
  gates[1].resolve();
  await settled();
  expect(begun).toEqual([0, 1, 2]);
  for (const gate of gates) gate.resolve();
  await Promise.all(all);
  expect(begun).toEqual([0, 1, 2, 3, 4]);
});

test('one that fails passes its turn on', async () => {
  const turns = new SeriesTurns();
  const failing = Array.from({ length: 6 }, (_, i) => turns.take('a', () => Promise.reject(new Error(String(i)))));
  const failed = await Promise.allSettled(failing);
  expect(failed.map((each) => String((each as PromiseRejectedResult).reason.message))).toEqual([...'012345']);
  expect(await turns.take('a', () => Promise.resolve(1))).toBe(1);
});

test('whoever gets no turn in time is told, and takes none later', async () => {
  const turns = new SeriesTurns(20);
  const gate = deferred();
  const running = [0, 1].map(() => turns.take('a', () => gate.promise));
  let hasRun = false;
  const late = turns.take('a', () => Promise.resolve((hasRun = true)));
  await expect(late).rejects.toMatchObject({
    code: 'unavailable',
    slug: 'series-busy',
    retryAfterS: expect.any(Number),
  });
  gate.resolve();
  await Promise.all(running);
  expect(await turns.take('a', () => Promise.resolve(1))).toBe(1);
  expect(hasRun).toBe(false);
});
