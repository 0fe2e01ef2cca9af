import { expect, test } from '@jest/globals';
import { baseOf } from '../../src/core/tags/quantity.ts';
import { readUnit } from '../../src/flows/series/tag-units.ts';

function base(value: number, code: string): number {
  const unit = readUnit(code);
  if (!unit) throw new Error(`${code} is no unit`);
  return Number(baseOf({ value, unit }).toPrecision(14));
}

test.each<[number, string, number, string]>([
  [5, 'mV', 0.005, 'V'],
  [300, 'um', 0.3, 'mm'],
  [300, 'µm', 300, 'um'],
  [1, 'kHz', 60_000, '/min'],
  [1, 'h', 3600, 's'],
  [37, 'Cel', 98.6, '[degF]'],
  [0, '°C', 273.15, 'K'],
  [1, 'MOhm', 1, 'MΩ'],
  [1, 'mmol/L', 1, 'mol/m3'],
  [120, 'mm[Hg]', 15998.64, 'Pa'],
  [50, '%', 0.5, '1'],
])('%p %s = %p %s', (value, code, other, otherCode) => {
  expect(base(value, code)).toBe(base(other, otherCode));
  expect(readUnit(code)?.dimension).toBe(readUnit(otherCode)?.dimension);
});

test.each([
  ['mV', 'mA'],
  ['K', 'm'],
  ['dB', '1'],
  ['[iU]', '1'],
])('%s does not compare with %s', (a, b) => {
  expect(readUnit(a)?.dimension).toEqual(expect.any(String));
  expect(readUnit(a)?.dimension).not.toBe(readUnit(b)?.dimension);
});

test.each(['', 'smoot', 'mV V', 'm**2', 'm/', 'x'.repeat(300)])('%j is no unit', (code) => {
  expect(readUnit(code)).toBeUndefined();
});
