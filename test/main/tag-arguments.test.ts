import { describe, expect, test } from '@jest/globals';
import { parseTag, parseTagCondition } from '../../src/main/commands/tag-arguments.ts';

describe('tags on the command line', () => {
  test.each([
    ['species=mouse', 'species', 'mouse'],
    ['age_days=61', 'age_days', 61],
    ['depth=-0.5e3', 'depth', -500],
    ['anaesthetised=false', 'anaesthetised', false],
    ['cage="61"', 'cage', '61'],
    ['subject=007', 'subject', '007'],
    ['note=a>=b=c', 'note', 'a>=b=c'],
    ['empty=', 'empty', ''],
    ['huge=1e999', 'huge', '1e999'],
    ['serial=9007199254740993', 'serial', '9007199254740993'],
    ['depth={"value":300,"unit":"um"}', 'depth', { value: 300, unit: 'um' }],
    ['region=["V1","V2"]', 'region', ['V1', 'V2']],
    ['note=[sic]', 'note', '[sic]'],
  ])('%s sets %s to %p', (text, key, value) => {
    expect(parseTag(text)).toEqual([key, value]);
  });

  test.each(['species', '=mouse', 'age>=6', ''])('%p is no tag to set', (text) => {
    expect(() => parseTag(text)).toThrow('is not key=value');
  });

  test.each([
    ['species=mouse', 'tag.species', 'mouse'],
    ['species!=mouse', 'tag.species[ne]', 'mouse'],
    ['age_days>=60', 'tag.age_days[gte]', '60'],
    ['age_days>60', 'tag.age_days[gt]', '60'],
    ['age_days<=60', 'tag.age_days[lte]', '60'],
    ['age_days<60', 'tag.age_days[lt]', '60'],
    ['note=a>b', 'tag.note', 'a>b'],
    ['species', 'tag.species[exists]', 'true'],
    ['!species', 'tag.species[exists]', 'false'],
    ['a[b][eq]=x', 'tag.a[b][eq]', 'x'],
    ['a[b]>=6', 'tag.a[b][gte]', '6'],
  ])('%s searches with %s=%s', (text, parameter, value) => {
    expect(parseTagCondition(text)).toEqual([parameter, value]);
  });

  test.each(['', '=x', '!', '!a=b'])('%p is no condition', (text) => {
    expect(() => parseTagCondition(text)).toThrow('is not key=value');
  });
});
