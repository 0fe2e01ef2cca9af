import { afterEach, expect, jest, test } from '@jest/globals';
import { planAhead } from '../../src/flows/read/plan-ahead.ts';

afterEach(() => {
  jest.restoreAllMocks();
});

const ITEMS = Array.from({ length: 20 }, (_, i) => i);

test('plans come in order, and a few are made meanwhile', async () => {
  let made = 0;
  let taken = 0;
  const plans = planAhead(ITEMS, (item, index) => {
    expect(index).toBe(item);
    made++;
    return Promise.resolve(item * 10);
  });
  for await (const plan of plans) {
    expect(plan).toBe(taken++ * 10);
    expect(made - taken).toBeLessThanOrEqual(3);
    if (taken < 17) expect(made - taken).toBe(3);
  }
  expect([made, taken]).toEqual([20, 20]);
});

test('a plan that has become old is made anew', async () => {
  const made: number[] = [];
  const plans = planAhead(ITEMS, (item) => Promise.resolve(made.push(item)));
  await plans.next();
  const later = Date.now() + 60_000;
  jest.spyOn(Date, 'now').mockReturnValue(later);
  await plans.next();
  expect(made).toEqual([0, 1, 2, 3, 4, 1]);
});

test('a plan that cannot be made is an error in its turn', async () => {
  const plans = planAhead(ITEMS, (item) => (item === 2 ? Promise.reject(new Error('no')) : Promise.resolve(item)));
  expect((await plans.next()).value).toBe(0);
  expect((await plans.next()).value).toBe(1);
  await expect(plans.next()).rejects.toThrow('no');
});
