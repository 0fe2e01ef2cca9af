import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { v7 as uuidv7 } from 'uuid';
import { openDatabase, type OpenDatabase } from '../../src/catalog/database.ts';
import { insertSeries } from '../../src/catalog/series/series-insert.ts';
import { createProject } from '../../src/catalog/people/access-store.ts';
import { unfitSeries } from '../../src/catalog/tags/vocabulary-store.ts';
import type { Tags } from '../../src/core/signal/tag-value.ts';
import { vocabularyFaults, type KeyRule, type Vocabulary } from '../../src/core/tags/vocabulary.ts';
import { readUnit, unitsOf } from '../../src/flows/series/tag-units.ts';
import { importedSpec } from '../../src/formats/recordings/imported-series.ts';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';

const PROJECT = 'lab';
const projectId = uuidv7();
const laneId = uuidv7();

let database: TestDatabase;
let open: OpenDatabase;

beforeAll(async () => {
  database = await testDatabase();
  open = openDatabase(database.url, { poolSize: 2, onError: () => {} });
  await createProject(open.db, projectId, PROJECT);
  await open.db.insertInto('lanes').values({ id: laneId }).execute();
});

afterAll(async () => {
  await open?.close();
  await database?.drop();
});

const scalar = fc.oneof(
  fc.constantFrom('mouse', 'rat', 'x'.repeat(300)),
  fc.constantFrom(0, 1, 1e300),
  fc.boolean(),
  fc.constantFrom(
    { value: 1, unit: 'mm' },
    { value: 1000, unit: 'um' },
    { value: 1, unit: 's' },
    { value: 0, unit: 'Cel' },
  ),
  fc.constantFrom({ time: '2026-01-01T00:00:00Z' }, { time: '2026-01-01T01:00:00+01:00' }),
);
const key = fc.constantFrom('a', 'b', 'ab');
const tags: fc.Arbitrary<Tags> = fc.dictionary(
  key,
  fc.oneof(scalar, fc.array(scalar, { minLength: 1, maxLength: 3 })),
  { noNullPrototype: true },
);
const rule: fc.Arbitrary<KeyRule> = fc.record({
  type: fc.constantFrom(null, 'string', 'number', 'boolean', 'time', 'quantity'),
  unit: fc.constantFrom(null, null, 'cm', 'min', 'K'),
  values: fc.oneof(fc.constant(null), fc.array(scalar, { minLength: 1, maxLength: 3 })),
  required: fc.boolean(),
});
const vocabulary: fc.Arbitrary<Vocabulary> = fc.record({
  closed: fc.boolean(),
  keys: fc.dictionary(
    key,
    rule.map((each) => ({ ...each, unit: each.type === 'quantity' ? each.unit : null })),
    { noNullPrototype: true },
  ),
});

describe('series that do not fit a vocabulary', () => {
  test('are those that it would refuse', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(tags, { minLength: 1, maxLength: 8 }), vocabulary, async (all, wanted) => {
        const series = all.map((each, at) => ({
          id: uuidv7(),
          laneId,
          projectId,
          input: {
            ...importedSpec({
              name: `s${at}`,
              dtype: 'int8',
              channels: [{ label: 'value' }],
              sampling: { kind: 'irregular' },
              tags: each,
              provenance: {},
            }),
            project: PROJECT,
          },
        }));
        const units = new Map(all.flatMap((each) => unitsOf(each)).map((unit) => [unit.code, unit]));
        await open.db.transaction().execute((trx) => insertSeries(trx, series, [...units.values()], null));
        try {
          const refused = series.filter(({ input }) => vocabularyFaults(wanted, input.tags, null, readUnit).length > 0);
          const unfit = await unfitSeries(open.db, PROJECT, wanted, readUnit);
          expect(unfit).toEqual({ series: refused.length, sample: refused.map(({ id }) => id).sort() });
        } finally {
          await open.db.deleteFrom('heads').execute();
          await open.db.deleteFrom('series').execute();
        }
      }),
      { numRuns: 150 },
    );
  });
});
