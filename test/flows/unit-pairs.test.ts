/** Units of one dimension, pair by pair, beside exact fractions. */
import { beforeAll, expect, test } from '@jest/globals';
import { sameQuantity } from '../../src/core/tags/quantity.ts';
import { ratio } from '../../src/core/numbers/ratio.ts';
import { vocabularyFaults } from '../../src/core/tags/vocabulary.ts';
import { readUnit } from '../../src/flows/series/tag-units.ts';
import { describePython } from '../support/python.ts';
import { UCUM_JUDGE, type JudgedUnits } from './ucum-judge.ts';

describePython('units, pair by pair', ['fractions'], (run) => {
  let judged: JudgedUnits;

  beforeAll(() => {
    judged = JSON.parse(run(UCUM_JUDGE).toString()) as JudgedUnits;
  });

  test('a unit is the fraction of its base units that UCUM says, exactly', () => {
    const wrong: unknown[] = [];
    for (const [group, units] of Object.entries(judged.units)) {
      for (const { code, num, den, shift } of units) {
        const read = readUnit(code);
        const factor = ratio(BigInt(num), BigInt(den));
        const zero = ratio(BigInt(shift[0]), BigInt(shift[1]));
        const isSame = read?.factor.num === factor.num && read.factor.den === factor.den;
        const isAt = read?.shift.num === zero.num && read.shift.den === zero.den;
        if (!isSame || !isAt || read.dimension !== readUnit(units[0].code)?.dimension)
          wrong.push({ group, code, read });
      }
    }
    expect(wrong).toEqual([]);
  });

  test('a quantity equals itself in every unit of its dimension, and nothing a millionth away; so it does in vocabularies', () => {
    const wrong: unknown[] = [];
    let pairs = 0;
    for (const quantities of Object.values(judged.same)) {
      for (const values of quantities) {
        for (const [a, x] of Object.entries(values)) {
          for (const [b, y] of Object.entries(values)) {
            pairs++;
            const [one, other] = [
              { value: x, unit: readUnit(a)! },
              { value: y, unit: readUnit(b)! },
            ];
            const away = { ...other, value: y + Math.max(Math.abs(y), 1) * 1e-6 };
            const rule = { type: null, unit: null, values: [{ value: y, unit: b }], required: false };
            const vocabulary = { closed: false, keys: { depth: rule } };
            const faults = vocabularyFaults(vocabulary, { depth: { value: x, unit: a } }, null, readUnit);
            if (!sameQuantity(one, other) || sameQuantity(one, away) || faults.length > 0) wrong.push({ a, x, b, y });
          }
        }
      }
    }
    expect(wrong.slice(0, 5)).toEqual([]);
    expect(pairs).toBeGreaterThan(10_000);
  });
});

test.each([
  ['dB', 'B', true],
  ['dB[SPL]', 'B[SPL]', true],
  ['dB', 'Np', false],
  ['dB', '1', false],
  ['[pH]', 'mol/L', false],
  ['[iU]/mL', 'k[iU]/L', true],
  ['[IU]', '[iU]', true],
  ['[iU]', '1', false],
  ['[CFU]', '[PFU]', false],
  ['J/Cel', 'J/K', true],
])('%s and %s compare: %p', (a, b, compare) => {
  expect(readUnit(a)!.dimension === readUnit(b)!.dimension).toBe(compare);
});

test.each(['m101', '10*-999999999', '99999999999999999999.m', '0', 'm/0'])('%s is no unit', (code) => {
  expect(readUnit(code)).toBeUndefined();
});
