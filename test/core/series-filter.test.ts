import { describe, expect, test } from '@jest/globals';
import { parseTagParameter, type TagCondition } from '../../src/core/series-filter.ts';

describe('a tag parameter is read as a condition', () => {
  test.each<[string, string, TagCondition]>([
    ['tag.species', 'mouse', { key: 'species', op: 'eq', values: ['mouse'] }],
    ['tag.species[eq]', 'mouse', { key: 'species', op: 'eq', values: ['mouse'] }],
    ['tag.species[ne]', 'mouse', { key: 'species', op: 'ne', values: ['mouse'] }],
    ['tag.age', '61', { key: 'age', op: 'eq', values: ['61', 61] }],
    ['tag.age', '-6.10e1', { key: 'age', op: 'eq', values: ['-6.10e1', -61] }],
    ['tag.age', '.5', { key: 'age', op: 'eq', values: ['.5', 0.5] }],
    ['tag.awake', 'true', { key: 'awake', op: 'eq', values: ['true', true] }],
    ['tag.awake[ne]', 'false', { key: 'awake', op: 'ne', values: ['false', false] }],
    ['tag.depth_um[gte]', '300', { key: 'depth_um', op: 'gte', values: [300] }],
    ['tag.depth_um[lt]', '-0.5', { key: 'depth_um', op: 'lt', values: [-0.5] }],
    ['tag.day[gt]', '2026-05-01', { key: 'day', op: 'gt', values: ['2026-05-01'] }],
    ['tag.day[lte]', '', { key: 'day', op: 'lte', values: [''] }],
    ['tag.species[exists]', '', { key: 'species', op: 'exists', values: [true] }],
    ['tag.species[exists]', 'true', { key: 'species', op: 'exists', values: [true] }],
    ['tag.species[exists]', 'false', { key: 'species', op: 'exists', values: [false] }],
    ['tag.a.b c', 'x', { key: 'a.b c', op: 'eq', values: ['x'] }],
    ['tag.Größe', 'x', { key: 'Größe', op: 'eq', values: ['x'] }],
  ])('%s=%s', (parameter, text, condition) => {
    expect(parseTagParameter(parameter, text)).toEqual(condition);
  });

  test.each(['', ' 61', '61 ', '0x3d', 'NaN', 'Infinity', '1e999', '1,5', '1_000', '+', '.', '1e'])(
    'the text %j is no number',
    (text) => {
      expect(parseTagParameter('tag.age', text).values).toEqual([text]);
      expect(parseTagParameter('tag.age[gt]', text).values).toEqual([text]);
    },
  );
});

test.each([
  'tag.',
  'tag',
  'tags.species',
  'tag.species[like]',
  'tag.species[]',
  'tag.species[eq',
  'tag.species[eq]x',
  'tag.[eq]',
  'tag.species[EQ]',
  `tag.${'x'.repeat(201)}`,
])('%s is refused and named', (parameter) => {
  expect(() => parseTagParameter(parameter, 'x')).toThrow(
    expect.objectContaining({ code: 'invalid-input', errors: [expect.objectContaining({ field: parameter })] }),
  );
});
