import { describe, expect, test } from '@jest/globals';
import { bucketsTag, entityTag, insistsOnVersion, isKnownTo, samplesTag } from '../../src/http/body/entity-tag.ts';

const series = { version: 3, commit: 17n };

describe('entity tags', () => {
  test('change with the metadata and with the samples', () => {
    const tags = [series, { version: 4, commit: 17n }, { version: 3, commit: 18n }].map(entityTag);
    expect(new Set(tags).size).toBe(3);
  });

  test.each([
    [undefined, false],
    ['*', false],
    ['"3-17"', true],
    ['"3-16"', true],
    ['"3"', true],
    ['"1-2", "3-17"', true],
  ])('If-Match %s holds; insists on the version: %s', (ifMatch, insists) => {
    expect(insistsOnVersion(ifMatch, series)).toBe(insists);
  });

  test.each(['"2-17"', 'W/"3-17"', '3', '', '"33-17"'])('If-Match %s does not hold', (ifMatch) => {
    expect(() => insistsOnVersion(ifMatch, series)).toThrow(expect.objectContaining({ code: 'precondition-failed' }));
  });

  test.each([
    [undefined, false],
    ['"3-17"', true],
    ['W/"3-17"', true],
    ['"1", "3-17"', true],
    ['*', true],
    ['"3-16"', false],
    ['3-17', false],
  ])('If-None-Match %s: the client knows it: %s', (ifNoneMatch, known) => {
    expect(isKnownTo(ifNoneMatch, '"3-17"')).toBe(known);
  });

  test('of samples change with the state, the request and the format, and are weak where bytes may differ', () => {
    const tags = [
      samplesTag(series, '/a?rows=1:2', 'npy'),
      samplesTag({ ...series, version: 4 }, '/a?rows=1:2', 'npy'),
      samplesTag({ ...series, commit: 18n }, '/a?rows=1:2', 'npy'),
      samplesTag(series, '/a?rows=1:3', 'npy'),
      samplesTag(series, '/a?rows=1:2', 'octet'),
      samplesTag(series, '/a?rows=1:2', 'arrow'),
    ];
    expect(new Set(tags).size).toBe(6);
    for (const tag of tags) expect(tag).toMatch(/^"[\w-]+"$/);
    for (const format of ['npy', 'json', 'arrow'] as const) {
      expect(bucketsTag(series, '/a?points=7', format)).toMatch(/^W\/"[\w-]+"$/);
    }
    const weak = samplesTag(series, '/a', 'csv');
    expect(weak).toMatch(/^W\/"[\w-]+"$/);
    expect([isKnownTo(weak, weak), isKnownTo(weak.slice(2), weak)]).toEqual([true, true]);
  });
});
