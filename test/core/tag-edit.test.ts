import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { changesBetween, changesOfKeys, UNDESCRIBED } from '../../src/core/tags/series-changes.ts';
import { editTags, listOf, renameTag, sameTag, tagField, undoTagChanges } from '../../src/core/tags/tag-edit.ts';
import type { Tags } from '../../src/core/signal/tag-value.ts';

const scalar = fc.oneof(
  fc.constantFrom('a', 'b', ''),
  fc.integer({ min: 0, max: 3 }),
  fc.boolean(),
  fc.record({ value: fc.integer({ min: 0, max: 2 }), unit: fc.constantFrom('mm', 'um') }),
);
const value = fc.oneof(scalar, fc.array(scalar, { minLength: 1, maxLength: 3 }));
const key = fc.constantFrom('x', 'y', 'z', 'constructor', 'w.v');
const tags: fc.Arbitrary<Tags> = fc.dictionary(key, value, { noNullPrototype: true });

describe('tags', () => {
  test('have after an edit what was set, and not what was removed', () => {
    fc.assert(
      fc.property(tags, tags, fc.array(key), (before, set, removed) => {
        const remove = removed.filter((each) => !Object.hasOwn(set, each));
        const after = editTags(before, { set, remove });
        for (const each of remove) expect(Object.hasOwn(after, each)).toBe(false);
        expect(after).toMatchObject(set);
        for (const each of Object.keys(after))
          expect(after[each]).toEqual(Object.hasOwn(set, each) ? set[each] : before[each]);
      }),
    );
  });

  test('are put back by the changes that were noted', () => {
    fc.assert(
      fc.property(tags, tags, (before, after) => {
        const changes = changesOfKeys(before, after, tagField);
        expect(undoTagChanges(after, changes)).toEqual({ tags: before, changedSince: [] });
      }),
    );
  });

  test('that somebody else has changed since are never touched by an undo', () => {
    fc.assert(
      fc.property(tags, tags, tags, (before, after, now) => {
        const changes = changesOfKeys(before, after, tagField);
        const undone = undoTagChanges(now, changes);
        const touched = changes.filter(({ field }) => !undone.changedSince.includes(field));
        for (const each of new Set([...Object.keys(now), ...Object.keys(undone.tags)])) {
          const own = (of: Tags): unknown => (Object.hasOwn(of, each) ? of[each] : null);
          const change = touched.find(({ field }) => field === tagField(each));
          if (change) expect(sameTag(own(now), change.new)).toBe(true);
          expect(own(undone.tags)).toEqual(change ? change.old : own(now));
        }
      }),
    );
  });

  test('keep all values, each once, when one is renamed to another', () => {
    fc.assert(
      fc.property(tags, (before) => {
        const after = renameTag(before, 'x', 'y');
        if (!Object.hasOwn(before, 'x')) return expect(after).toEqual(before);
        expect(Object.hasOwn(after, 'x')).toBe(false);
        const wanted = [...(Object.hasOwn(before, 'y') ? listOf(before.y) : []), ...listOf(before.x)];
        const got = listOf(after.y);
        for (const each of wanted) expect(got.some((other) => sameTag(each, other))).toBe(true);
        for (const each of got) expect(wanted.some((other) => sameTag(each, other))).toBe(true);
        if (Object.hasOwn(before, 'y')) {
          got.forEach((each, at) => expect(got.findIndex((other) => sameTag(each, other))).toBe(at));
        }
      }),
    );
  });
});

test('an order of members is no change, an order of values is', () => {
  expect(sameTag({ value: 1, unit: 'mm' }, { unit: 'mm', value: 1 })).toBe(true);
  expect(sameTag(['a', 'b'], ['b', 'a'])).toBe(false);
  expect(sameTag({ 0: 'a' }, ['a'])).toBe(false);
  expect(sameTag(null, {})).toBe(false);
});

test('what a new series has by default is no change', () => {
  const series = { ...UNDESCRIBED, name: 'a', channels: [{ label: 'value' }] };
  expect(changesBetween(UNDESCRIBED, series).map(({ field }) => field)).toEqual(['name', 'channels']);
});
