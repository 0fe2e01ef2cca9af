import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { planCompactions, sizeClass, type CompactableShard } from '../../src/core/upkeep/compaction-plan.ts';

const MIB = 1024 ** 2;
const DAY_MS = 24 * 3600_000;

function shard(id: string, mib: number, more: Partial<CompactableShard> = {}): CompactableShard {
  const bytes = mib * MIB;
  return { id, level: 0, bytes, dataBytes: bytes, ageMs: 0, isWanted: false, deadBytes: 0, overlap: null, ...more };
}

const plan = (shards: readonly CompactableShard[], all = false): [string, string][] =>
  planCompactions('lane', shards, all).map(({ reason, shards: chosen }) => [
    reason,
    chosen.map(({ id }) => id).join(''),
  ]);

const among = (others: string, share: number): Partial<CompactableShard> => ({
  overlap: { others: [...others], share },
});

describe('shards are compacted when', () => {
  test.each<[string, CompactableShard[], [string, string][]]>([
    ['there are three of one size: they are not', [shard('a', 2), shard('b', 2), shard('c', 2)], []],
    ['there are four neighbours of one size', ['a', 'b', 'c', 'd'].map((id) => shard(id, 2)), [['size', 'abcd']]],
    [
      'a larger one parts them: they are not',
      [shard('a', 2), shard('b', 2), shard('x', 20), shard('c', 2), shard('d', 2)],
      [],
    ],
    [
      'small ones come to a large one: only the small ones are',
      [shard('x', 60), ...[...'abcd'].map((id) => shard(id, 1))],
      [['size', 'abcd']],
    ],
    ['they are large: they are not', [...'abcd'].map((id) => shard(id, 64)), []],
    ['they are tiny', [...'abcd'].map((id) => shard(id, 0.01)), [['size', 'abcd']]],
    ['much of one is dead', [shard('a', 100, { deadBytes: 30 * MIB })], [['dead-rows', 'a']]],
    ['little of one is dead: it is not', [shard('a', 100, { deadBytes: 29 * MIB })], []],
    [
      'a tenth of the rows lies among those of another of its size',
      [shard('a', 80, among('b', 0.1)), shard('b', 90)],
      [['overlap', 'ab']],
    ],
    ['less does: they are not', [shard('a', 80, among('b', 0.09)), shard('b', 90)], []],
    ['the other one is much larger: they are not', [shard('a', 1, among('b', 1)), shard('b', 90)], []],
    [
      'disorder is deep, whatever the sizes',
      [shard('x', 90, among('abcdefghijklmnopq', 0.01)), shard('a', 1)],
      [['overlap', 'xa']],
    ],
    ['one has had no summaries for a day', [shard('a', 80, { ageMs: DAY_MS }), shard('b', 80)], [['summaries', 'a']]],
    ['one has summaries: it is not', [shard('a', 80, { ageMs: DAY_MS, level: 1 })], []],
    ['rows are to expire', [shard('a', 80, { isWanted: true })], [['summaries', 'a']]],
  ])('%s', (_, shards, expected) => {
    expect(plan(shards)).toEqual(expected);
  });

  test('somebody asks, but for one that is as it should be', () => {
    expect(plan([shard('a', 1), shard('b', 90)], true)).toEqual([['asked', 'ab']]);
    expect(plan([shard('a', 1)], true)).toEqual([['asked', 'a']]);
    expect(plan([shard('a', 1, { level: 1 })], true)).toEqual([]);
    expect(plan([shard('a', 1_500), shard('b', 1_500)], true)).toEqual([
      ['asked', 'a'],
      ['asked', 'b'],
    ]);
  });

  test('each has one place in the steps', () => {
    const shards = fc.array(
      fc.record({
        mib: fc.integer({ min: 1, max: 200 }),
        dead: fc.boolean(),
        old: fc.boolean(),
        level: fc.constantFrom(0, 1),
      }),
      { maxLength: 30 },
    );
    fc.assert(
      fc.property(shards, fc.boolean(), (all, asked) => {
        const given = all.map(({ mib, dead, old, level }, i) =>
          shard(String(i), mib, { level, deadBytes: dead ? mib * MIB : 0, ageMs: old ? DAY_MS : 0 }),
        );
        const ids = planCompactions('lane', given, asked).flatMap((step) => step.shards.map(({ id }) => id));
        expect(new Set(ids).size).toBe(ids.length);
      }),
    );
  });
});

test('a byte is rewritten once a class of size, however many flushes there are', () => {
  let shards: CompactableShard[] = [];
  let written = 0;
  const flushes = 4_000;
  for (let i = 0; i < flushes; i++) {
    shards.push(shard(`f${i}`, 0.25 + (i % 7) * 0.1));
    for (const { shards: chosen } of planCompactions('lane', shards)) {
      const bytes = chosen.reduce((sum, { dataBytes }) => sum + dataBytes, 0);
      const at = shards.indexOf(chosen[0]);
      shards = shards.filter((each) => !chosen.includes(each));
      shards.splice(at, 0, shard(`c${i}`, bytes / MIB, { level: 1 }));
      written += bytes;
    }
  }
  const data = shards.reduce((sum, { dataBytes }) => sum + dataBytes, 0);
  // From a quarter MiB to 64 MiB there are four classes.
  expect(written / data).toBeLessThanOrEqual(4.5);
  expect(shards.length).toBeLessThan(flushes / 60);
});

test('classes differ by a factor of four', () => {
  expect([0.2, 0.25, 1, 3.9, 4, 16, 63].map((mib) => sizeClass(mib * MIB))).toEqual([-2, -1, 0, 0, 1, 2, 2]);
});
