import { describe, expect, test } from '@jest/globals';
import type { Comparable, Expression } from '../../src/core/tags/tag-expression.ts';
import { parseOverlaps, parseTagParameter } from '../../src/core/tags/tag-parameters.ts';
import { decimalRatio, ZERO } from '../../src/core/numbers/ratio.ts';
import type { TagUnit } from '../../src/core/signal/tag-value.ts';

const MV: TagUnit = { code: 'mV', factor: decimalRatio('0.001'), shift: ZERO, dimension: 'V' };
const readUnit = (code: string): TagUnit | undefined => (code === 'mV' ? MV : undefined);
const parse = (parameter: string, text: string): Expression => parseTagParameter(parameter, text, readUnit);

const text = (given: string): Comparable => ({ type: 'text', text: given });
const number = (given: number): Comparable => ({ type: 'number', number: given });
const any = (key: string, ...values: Comparable[]): Expression => ({ kind: 'tag', key, test: { op: 'any', values } });
const bound = (key: string, op: 'gt' | 'gte' | 'lt' | 'lte', value: Comparable): Expression => ({
  kind: 'tag',
  key,
  test: { op: 'range', bounds: [{ bound: op, value }] },
});
const not = (of: Expression): Expression => ({ kind: 'not', of });
const exists = (key: string): Expression => ({ kind: 'tag', key, test: { op: 'exists' } });

describe('a tag parameter is read as a condition', () => {
  test.each<[string, string, Expression]>([
    ['tag.species', 'mouse', any('species', text('mouse'))],
    ['tag.species[eq]', 'mouse', any('species', text('mouse'))],
    ['tag.species[ne]', 'mouse', not(any('species', text('mouse')))],
    ['tag.species[in]', 'mouse,rat', any('species', text('mouse'), text('rat'))],
    ['tag.age', '61', any('age', text('61'), number(61))],
    ['tag.age', '-6.10e1', any('age', text('-6.10e1'), number(-61))],
    ['tag.age', '.5', any('age', text('.5'), number(0.5))],
    ['tag.awake', 'true', any('awake', text('true'), { type: 'boolean', boolean: true })],
    ['tag.level', '5 mV', any('level', text('5 mV'), { type: 'quantity', value: 5, unit: MV })],
    ['tag.level', '5 mW', any('level', text('5 mW'))],
    ['tag.level[lt]', '5 mV', bound('level', 'lt', { type: 'quantity', value: 5, unit: MV })],
    ['tag.depth_um[gte]', '300', bound('depth_um', 'gte', number(300))],
    ['tag.day[gt]', '2026-05-01', bound('day', 'gt', text('2026-05-01'))],
    [
      'tag.day[gt]',
      '1970-01-01T00:00:01Z',
      {
        kind: 'or',
        of: [
          bound('day', 'gt', text('1970-01-01T00:00:01Z')),
          bound('day', 'gt', { type: 'time', ns: 1_000_000_000n }),
        ],
      },
    ],
    ['tag.day[lte]', '', bound('day', 'lte', text(''))],
    ['tag.species[exists]', 'true', exists('species')],
    ['tag.species[exists]', 'false', not(exists('species'))],
    ['tag.name[prefix]', 'mo', { kind: 'tag', key: 'name', test: { op: 'prefix', text: 'mo' } }],
    ['tag.name[contains]', 'ous', { kind: 'tag', key: 'name', test: { op: 'contains', text: 'ous' } }],
    [
      'tag.name[regex]',
      '^m-[0-9]+$',
      { kind: 'tag', key: 'name', test: { op: 'regex', pattern: '^m-[0-9]+$', prefix: 'm-' } },
    ],
    ['tag.a.b c', 'x', any('a.b c', text('x'))],
    ['tag.a[b][eq]', 'x', any('a[b]', text('x'))],
    ['tag.a[eq][eq]', 'x', any('a[eq]', text('x'))],
    ['tag.[][ne]', 'x', not(any('[]', text('x')))],
    ['tag.a[b[exists]', 'true', exists('a[b')],
    ['tag.a]b[exists]', 'false', not(exists('a]b'))],
  ])('%s=%s', (parameter, given, expected) => {
    expect(parse(parameter, given)).toEqual(expected);
  });

  test.each(['', ' 61', '61 ', '0x3d', 'NaN', 'Infinity', '1e999', '1,5', '1_000', '+', '.', '1e'])(
    'the text %j is no number',
    (given) => {
      expect(parse('tag.age', given)).toEqual(any('age', text(given)));
      expect(parse('tag.age[gt]', given)).toEqual(bound('age', 'gt', text(given)));
    },
  );
});

test.each([
  ['tag.', 'x'],
  ['tag', 'x'],
  ['tags.species', 'x'],
  ['tag.species[like]', 'x'],
  ['tag.species[]', 'x'],
  ['tag.species[eq', 'x'],
  ['tag.species[eq]x', 'x'],
  ['tag.[eq]', 'x'],
  ['tag.species[EQ]', 'x'],
  [`tag.${'x'.repeat(201)}`, 'x'],
  ['tag.species[regex]', '('],
  ['tag.species[prefix]', ''],
  ['tag.species[in]', ','.repeat(500)],
  ...['', 'False', 'True', 'FALSE', '0', '1', 'no', 'yes', ' true'].map((given) => ['tag.species[exists]', given]),
  ['tag.a[b]', 'x'],
  ['tag.a[b]c', 'x'],
  ['tag.a]', 'x'],
  ['tag.a[b][like]', 'x'],
  ['tag.species[gt]', 'x'.repeat(257)],
])('%s=%s is refused and named', (parameter, given) => {
  expect(() => parse(parameter, given)).toThrow(
    expect.objectContaining({ code: 'invalid-input', errors: [expect.objectContaining({ field: parameter })] }),
  );
});

test('overlaps has two times, the first before the second', () => {
  expect(parseOverlaps('overlaps', '0,1970-01-01T00:00:01Z')).toEqual({
    kind: 'overlaps',
    startNs: 0n,
    endNs: 10n ** 9n,
  });
  for (const wrong of ['', '1', '1,2,3', '2,1', '1,1', 'a,b', '1,']) {
    expect(() => parseOverlaps('overlaps', wrong)).toThrow(expect.objectContaining({ code: 'invalid-input' }));
  }
});

test('an integer past 2^53 is a text, and its neighbour another', () => {
  expect(parse('tag.serial', '12345678901234567891')).toEqual(any('serial', text('12345678901234567891')));
  expect(parse('tag.serial', '9007199254740992')).toEqual(
    any('serial', text('9007199254740992'), number(9007199254740992)),
  );
});
