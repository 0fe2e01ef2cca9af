/** Searches for quantities, in every unit of their dimension. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { sql } from 'kysely';
import { v7 as uuidv7 } from 'uuid';
import { openDatabase, type OpenDatabase } from '../../src/catalog/database.ts';
import { searchSeries } from '../../src/catalog/search/search-store.ts';
import { createSeries } from '../../src/catalog/series/series-store.ts';
import { refreshUnits } from '../../src/catalog/series/tag-unit-store.ts';
import { unfitSeries } from '../../src/catalog/tags/vocabulary-store.ts';
import { UNSAID } from '../../src/core/signal/series.ts';
import type { Tags } from '../../src/core/signal/tag-value.ts';
import { readExpression } from '../../src/core/tags/tag-tree.ts';
import { readUnit, unitsOf } from '../../src/flows/series/tag-units.ts';
import { UCUM_JUDGE, type JudgedUnits } from '../flows/ucum-judge.ts';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { describePython } from '../support/python.ts';

let database: TestDatabase;
let open: OpenDatabase;

beforeAll(async () => {
  database = await testDatabase();
  open = openDatabase(database.url, { poolSize: 4, onError: () => {} });
  await open.db.insertInto('projects').values({ id: uuidv7(), name: 'lab' }).execute();
});

afterAll(async () => {
  await open?.close();
  await database?.drop();
});

async function make(name: string, tags: Tags): Promise<void> {
  const sampling = { kind: 'irregular' } as const;
  const shape = { dtype: 'int16', channels: [{ label: 'value' }], unit: null, scale: 1, offset: 0, sampling } as const;
  const rest = { timeReference: 'utc', duplicates: 'last', codec: 'gzip', ...UNSAID, provenance: {} } as const;
  const input = { project: 'lab', name, description: null, ...shape, ...rest, tags };
  await createSeries(open.db, uuidv7(), uuidv7(), input, unitsOf(tags));
}

async function found(where: unknown): Promise<string[]> {
  const question = { where: readExpression(where, 'where', readUnit), sort: [], limit: 1000, after: null };
  return (await searchSeries(open.db, question, null)).items.map(({ name }) => name);
}

test.each<[string, [number, string], [number, string]]>([
  ['frequency', [60, '/min'], [1, 'Hz']],
  ['flow', [6, 'L/min'], [100, 'mL/s']],
  ['temperature', [98.6, '[degF]'], [37, 'Cel']],
  ['angle', [180, 'deg'], [Math.PI, 'rad']],
  ['seven', [7, '/min'], [0.11666666666666667, 'Hz']],
])('%s: %p is %p in equality, in lists, in ranges and in vocabularies', async (key, [x, a], [y, b]) => {
  const name = `one-${key}`;
  await make(name, { [key]: { value: x, unit: a } });
  const other = { value: y, unit: b };
  for (const test of [{ eq: other }, { in: [other, 5] }, { gte: other }, { lte: other }, { gte: other, lte: other }]) {
    expect([test, await found({ tag: key, ...test })]).toEqual([test, [name]]);
  }
  for (const test of [{ ne: other }, { gt: other }, { lt: other }]) {
    expect([
      test,
      await found({
        and: [
          { tag: key, exists: true },
          { tag: key, ...test },
        ],
      }),
    ]).toEqual([test, []]);
  }
  const rule = { type: 'quantity', unit: b, values: [other], required: false } as const;
  expect(await unfitSeries(open.db, 'lab', { closed: false, keys: { [key]: rule } }, readUnit)).toEqual({
    series: 0,
    sample: [],
  });
});

test('tags of units that an earlier version read otherwise are found after a start', async () => {
  await make('earlier', { pace: { value: 60, unit: '/min' } });
  await sql`update units set factor = 0.01666666666667 where code = '/min'`.execute(open.db);
  await sql`update series_tags set entry = 'pace' || chr(1) || varve_quantity_term('T-1', 1.0000000000002) where key = 'pace'`.execute(
    open.db,
  );
  expect(await found({ tag: 'pace', eq: { value: 1, unit: 'Hz' } })).toEqual([]);
  expect(await refreshUnits(open.db, readUnit)).toBe(1);
  expect(await found({ tag: 'pace', eq: { value: 1, unit: 'Hz' } })).toEqual(['earlier']);
  expect(await refreshUnits(open.db, readUnit)).toBe(0);
});

describePython('in every unit', ['fractions'], (run) => {
  test('a search for a quantity finds it, in whatever unit it was given', async () => {
    const { same } = JSON.parse(run(UCUM_JUDGE).toString()) as JudgedUnits;
    const wrong: unknown[] = [];
    for (const [group, [, , values]] of Object.entries(same)) {
      const key = `every ${group}`;
      for (const [unit, value] of Object.entries(values)) await make(`${key} ${unit}`, { [key]: { value, unit } });
      const all = Object.keys(values).length;
      for (const [unit, value] of Object.entries(values)) {
        const sought = { value, unit };
        const counts = [];
        for (const each of [{ eq: sought }, { gte: sought }, { lte: sought }, { gt: sought }, { lt: sought }]) {
          counts.push((await found({ tag: key, ...each })).length);
        }
        if (counts.join() !== [all, all, all, 0, 0].join()) wrong.push({ group, unit, value, counts });
      }
    }
    expect(wrong.slice(0, 5)).toEqual([]);
  }, 120_000);
});
