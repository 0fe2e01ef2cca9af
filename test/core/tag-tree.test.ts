import { describe, expect, test } from '@jest/globals';
import { patternFault, patternPrefix } from '../../src/core/tags/tag-pattern.ts';
import { readExpression } from '../../src/core/tags/tag-tree.ts';
import { decimalRatio, ONE, ZERO } from '../../src/core/numbers/ratio.ts';
import type { TagUnit } from '../../src/core/signal/tag-value.ts';

const UNITS: Record<string, TagUnit> = {
  mV: { code: 'mV', factor: decimalRatio('0.001'), shift: ZERO, dimension: 'V' },
  V: { code: 'V', factor: ONE, shift: ZERO, dimension: 'V' },
  s: { code: 's', factor: ONE, shift: ZERO, dimension: 'T' },
};
const read = (tree: unknown): unknown => readExpression(tree, 'where', (code) => UNITS[code]);

function nested(depth: number): unknown {
  let tree: unknown = { tag: 'a', exists: true };
  for (let n = 1; n < depth; n++) tree = { not: tree };
  return tree;
}

const leaf = { tag: 'a', eq: 1 };

describe('a tree is refused where it is wrong', () => {
  test.each<[string, unknown, string]>([
    ['no object', 5, 'where'],
    ['a list', [leaf], 'where'],
    ['nothing known', { xor: [leaf] }, 'where'],
    ['an empty and', { and: [] }, 'where.and'],
    ['or over no list', { or: leaf }, 'where.or'],
    ['something beside and', { and: [leaf], eq: 1 }, 'where.eq'],
    ['two branches at once', { and: [leaf], or: [leaf] }, 'where.or'],
    ['a null inside', { and: [leaf, null] }, 'where.and[1]'],
    ['an unknown operator', { and: [leaf, { tag: 'a', like: 'b' }] }, 'where.and[1].like'],
    ['no operator', { not: { tag: 'a' } }, 'where.not'],
    ['two operators', { tag: 'a', eq: 1, prefix: 'b' }, 'where.prefix'],
    ['a tag without a name', { tag: '', eq: 1 }, 'where.tag'],
    ['a number as tag', { tag: 1, eq: 1 }, 'where.tag'],
    ['an unknown field', { field: 'colour', eq: 'red' }, 'where.field'],
    ['text for a number field', { field: 'rate_hz', eq: '100' }, 'where.eq'],
    ['a prefix of a number field', { field: 'rate_hz', prefix: '1' }, 'where.prefix'],
    ['no time', { field: 'created_at', gte: 'yesterday' }, 'where.gte'],
    ['null as value', { tag: 'a', eq: null }, 'where.eq'],
    ['a half quantity', { tag: 'a', eq: { value: 5 } }, 'where.eq'],
    ['an infinite number', { tag: 'a', gt: Infinity }, 'where.gt'],
    ['a wrong time', { tag: 'a', eq: { time: '2026-13-01' } }, 'where.eq.time'],
    ['an empty in', { tag: 'a', in: [] }, 'where.in'],
    ['501 values', { tag: 'a', in: Array.from({ length: 501 }, (_, n) => n) }, 'where.in'],
    ['a wrong value in a list', { tag: 'a', in: [1, [2]] }, 'where.in[1]'],
    ['exists of a text', { tag: 'a', exists: 'yes' }, 'where.exists'],
    ['an unknown bound', { and: [leaf, { tag: 'a', range: { from: 1 } }] }, 'where.and[1].range.from'],
    ['no bound', { tag: 'a', range: {} }, 'where.range'],
    ['a boolean bound', { tag: 'a', range: { gte: true } }, 'where.range.gte'],
    ['bounds of two types', { and: [leaf, { tag: 'a', range: { gte: 1, lt: 'b' } }] }, 'where.and[1].range.lt'],
    ['a bad pattern', { tag: 'a', regex: '(' }, 'where.regex'],
    ['a long pattern', { tag: 'a', regex: 'a'.repeat(201) }, 'where.regex'],
    ['text without a word', { text: ' - ' }, 'where.text'],
    ['overlaps of one time', { overlaps: ['2026-05-01'] }, 'where.overlaps'],
    ['overlaps that ends first', { overlaps: ['2026-05-02', '2026-05-01'] }, 'where.overlaps'],
    ['a wrong end', { overlaps: ['2026-05-02', 'x'] }, 'where.overlaps[1]'],
    ['an unknown part of an annotation', { has_annotation: { colour: 1 } }, 'where.has_annotation.colour'],
    ['a number as label', { has_annotation: { label: 1 } }, 'where.has_annotation.label'],
    ['an unknown part of a channel', { has_channel: { colour: 1 } }, 'where.has_channel.colour'],
    ['nothing of a channel', { not: { has_channel: {} } }, 'where.not.has_channel'],
    ['a channel that is no object', { has_channel: 'V1' }, 'where.has_channel'],
    ['a number as location', { and: [{ has_channel: { location: 1 } }] }, 'where.and[0].has_channel.location'],
    ['a text as bad', { has_channel: { bad: 'no' } }, 'where.has_channel.bad'],
    ['13 levels', nested(13), 'where' + '.not'.repeat(12)],
    ['101 conditions', { and: Array.from({ length: 101 }, () => leaf) }, 'where.and[100]'],
  ])('%s', (_, tree, field) => {
    expect(() => read(tree)).toThrow(
      expect.objectContaining({ code: 'invalid-input', errors: [expect.objectContaining({ field })] }),
    );
  });

  test.each<[string, unknown, string]>([
    ['an unknown unit', { tag: 'a', eq: { value: 1, unit: 'smoot' } }, 'where.eq.unit'],
    ['units that do not compare', { tag: 'a', gt: { value: 1, unit: 's' }, lt: { value: 1, unit: 'V' } }, 'where.lt'],
  ])('%s does not fit', (_, tree, field) => {
    expect(() => read(tree)).toThrow(
      expect.objectContaining({ code: 'unprocessable', errors: [expect.objectContaining({ field })] }),
    );
  });

  test('what is at its limits is read', () => {
    expect(() => read(nested(12))).not.toThrow();
    expect(() => read({ and: Array.from({ length: 100 }, () => leaf) })).not.toThrow();
  });
});

test('ne is not eq, and bounds beside each other are one range', () => {
  expect(read({ tag: 'a', ne: 'b' })).toEqual({
    kind: 'not',
    of: { kind: 'tag', key: 'a', test: { op: 'any', values: [{ type: 'text', text: 'b' }] } },
  });
  expect(read({ tag: 'a', gte: 1, lt: 2 })).toEqual(read({ tag: 'a', range: { gte: 1, lt: 2 } }));
});

describe('patterns', () => {
  test.each(['a', '^m-[0-9]+$', 'a|b', '(?:ab)*c?', '\\d{2,3}', '[^a-z]', 'ä.', '\\.h5$'])('%s is taken', (pattern) => {
    expect(patternFault(pattern)).toBeUndefined();
  });

  test.each([
    '',
    '(',
    '[a',
    'a**',
    '(a)\\1',
    '(?=a)',
    '(?<n>a)',
    '\\bword',
    '\\u0041',
    '\\p{L}',
    'a+?',
    '[[:alpha:]]',
    '((a{100}){100}){2}',
    '***=x',
  ])('%s is refused', (pattern) => {
    expect(patternFault(pattern)).toEqual(expect.any(String));
  });

  test.each([
    ['^abc', 'abc'],
    ['^m-1[0-9]', 'm-1'],
    ['^abc*', 'ab'],
    ['^ab{2}', 'a'],
    ['^ab+', 'ab'],
    ['^a\\.b', 'a.b'],
    ['^a|b', ''],
    ['abc', ''],
    ['^(abc)', ''],
    ['^a?', ''],
  ])('%s begins with %j', (pattern, prefix) => {
    expect(patternPrefix(pattern)).toBe(prefix);
  });
});
