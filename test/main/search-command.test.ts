import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ApiClient } from '../api/client.ts';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { runVarve } from '../support/command.ts';
import { startService, type RunningService } from '../support/service.ts';

let database: TestDatabase;
let service: RunningService;

beforeAll(async () => {
  database = await testDatabase();
  service = await startService({ env: { DATABASE_URL: database.url } });
  const api = new ApiClient(service);
  for (const [name, tags, unit] of [
    ['a', { species: 'mouse', age: 10, depth: { value: 300, unit: 'um' } }, 'mV'],
    ['b', { species: 'mouse', age: 20, region: ['V1', 'V2'] }, 'mV'],
    ['c', { species: 'rat', age: 30 }, null],
    ['d', { age: 40 }, 'mV'],
  ] as const) {
    await api.createSeries({ name, dtype: 'int16', sampling: { kind: 'irregular' }, tags, unit });
  }
});

afterAll(async () => {
  await service?.drop();
  await database?.drop();
});

function varve(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return runVarve(['search', ...args], { VARVE_URL: service.url, VARVE_TOKEN: service.token });
}

describe('varve search', () => {
  const tree = JSON.stringify({ or: [{ tag: 'species', eq: 'rat' }, { not: { tag: 'age', gt: 10 } }] });
  test.each<[string, string[]]>([
    ['abcd', []],
    ['ab', ['species=mouse']],
    ['cd', ['species!=mouse']],
    ['bcd', ['age>=20']],
    ['cd', ['age>20']],
    ['a', ['age<20']],
    ['ab', ['age[lte]=20']],
    ['ac', ['age[in]=10,30']],
    ['ab', ['species[prefix]=mo']],
    ['abc', ['species[regex]=^(mouse|rat)$']],
    ['ab', ['species[contains]=ous']],
    ['b', ['region=V2', 'age[gt]=5']],
    ['a', ['depth<0.5 mm']],
    ['d', ['!species']],
    ['ab', ['species', '--unit', 'mV']],
    ['ac', ['--where', tree]],
    ['a', ['--where', tree, '--unit', 'mV']],
    ['dcba', ['--sort', '-tag.age']],
    ['cabd', ['--sort', '-tag.species,name']],
    ['dc', ['--sort', '-tag.age', '--limit', '2']],
    ['ca', ['--where', tree, '--sort', '-tag.age', '--limit', '9']],
  ])('finds %s by %j', async (names, args) => {
    const { stdout, stderr } = await varve('--json', ...args);
    expect([stderr, (JSON.parse(stdout) as { name: string }[]).map(({ name }) => name).join('')]).toEqual(['', names]);
  });

  test('counts facets beside what it finds', async () => {
    const facets = { species: [{ value: 'mouse', count: 2 }] };
    for (const args of [['species=mouse'], ['--where', '{"tag":"species","eq":"mouse"}']]) {
      const { stdout } = await varve('--json', '--facets', 'species', '--limit', '1', ...args);
      expect(JSON.parse(stdout)).toEqual({ facets, items: [expect.objectContaining({ name: 'a' })] });
    }
    const empty = await varve('--json', '--facets', 'species', 'species=cat');
    expect(JSON.parse(empty.stdout)).toEqual({ facets: { species: [] }, items: [] });
    const { stdout } = await varve('--facets', 'species,field.unit', 'age>0');
    expect(stdout.trim().split('\n').slice(-4)).toEqual([
      'FACET       VALUE  SERIES',
      'species     mouse       2',
      'species     rat         1',
      'field.unit  mV          3',
    ]);
  });

  test.each([
    ['a condition beside a tree', ['--where', '{}', 'species=mouse'], '--where: stands in place of conditions'],
    ['a tree that is no JSON', ['--where', '{'], '--where: is not valid JSON'],
    ['a limit that is none', ['--limit', '0'], '--limit: must be a whole number'],
    ['an operator that is none', ['age[near]=5'], 'tag.age[near]'],
    ['an order that is none', ['--sort', 'beauty'], 'sort'],
  ])('refuses %s', async (_, args, message) => {
    const { code, stdout, stderr } = await varve(...args);
    expect([code, stdout, stderr]).toEqual([1, '', expect.stringContaining(message)]);
  });
});
