import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { sql } from 'kysely';
import { v7 as uuidv7 } from 'uuid';
import { openDatabasePools, type DatabasePools } from '../../src/catalog/database.ts';
import { inSearchSnapshot } from '../../src/catalog/search/search-snapshot.ts';
import { pageStatement, searchSeries } from '../../src/catalog/search/search-store.ts';
import { createSeries, deleteSeries, restoreSeries, updateSeries } from '../../src/catalog/series/series-store.ts';
import { countFacets } from '../../src/catalog/search/tag-facets.ts';
import { describePlan } from '../../src/catalog/search/explain-search.ts';
import { tagKeys, tagValues } from '../../src/catalog/search/tag-values.ts';
import { searchHints } from '../../src/core/tags/search-hints.ts';
import { parseFacets, parseSort, type SearchRequest } from '../../src/core/tags/search-request.ts';
import { UNSAID, type Channel, type NewSeries } from '../../src/core/signal/series.ts';
import { readExpression } from '../../src/core/tags/tag-tree.ts';
import type { TagScalar, Tags } from '../../src/core/signal/tag-value.ts';
import { parseTime } from '../../src/core/time.ts';
import { readUnit, unitsOf } from '../../src/flows/series/tag-units.ts';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';

const LAB = '00000000-0000-7000-8000-00000000000a';
const OTHER = '00000000-0000-7000-8000-00000000000b';

let database: TestDatabase;
let open: DatabasePools;

beforeAll(async () => {
  database = await testDatabase();
  open = openDatabasePools(database.url, { jobs: 4, onError: () => {} });
  await open.jobs
    .insertInto('projects')
    .values([
      { id: LAB, name: 'lab' },
      { id: OTHER, name: 'other' },
    ])
    .execute();
});

afterAll(async () => {
  await open?.close();
  await database?.drop();
});

async function make(name: string, tags: Tags, more: Partial<NewSeries> = {}): Promise<string> {
  const input: NewSeries = {
    project: 'lab',
    name,
    description: null,
    dtype: 'int16',
    channels: [{ label: 'value' }],
    unit: null,
    scale: 1,
    offset: 0,
    sampling: { kind: 'regular', rate: { num: 10n, den: 1n }, startNs: null },
    timeReference: 'utc',
    duplicates: 'last',
    codec: 'gzip',
    tags,
    ...UNSAID,
    provenance: {},
    ...more,
  };
  return (await createSeries(open.jobs, uuidv7(), uuidv7(), input, unitsOf(tags))).id;
}

/** As if rows had been appended. */
async function store(id: string, segments: readonly { startNs: bigint; rows: number }[]): Promise<void> {
  let firstRow = 0;
  for (const [at, { startNs, rows }] of segments.entries()) {
    if (at < segments.length - 1) {
      await open.jobs
        .insertInto('closed_segments')
        .values({ series_id: id, first_row: firstRow, start_ns: startNs, rows })
        .execute();
    }
    firstRow += rows;
  }
  const last = segments[segments.length - 1];
  await open.jobs
    .updateTable('heads')
    .set({
      rows: BigInt(firstRow),
      first_ns: segments[0].startNs,
      last_ns: last.startNs + BigInt(last.rows - 1) * 100_000_000n,
      segment_row: firstRow - last.rows,
      segment_ns: last.startNs,
      segment_rows: last.rows,
    })
    .where('series_id', '=', id)
    .execute();
}

/** Makes the heads of series that a statement has made. */
async function addHeads(): Promise<void> {
  await sql`
    insert into heads (series_id, lane_id, project_id)
    select s.id, (select id from lanes limit 1), s.project_id from series s
    where not exists (select from heads h where h.series_id = s.id)`.execute(open.jobs);
}

const S = 1_000_000_000n;

function request(where: unknown, more: Partial<SearchRequest> = {}): SearchRequest {
  return {
    where: where === null ? null : readExpression(where, 'where', readUnit),
    sort: [],
    facets: [],
    limit: 1000,
    after: null,
    explain: false,
    ...more,
  };
}

async function pages(asked: SearchRequest, scope: readonly string[] | null): Promise<string[]> {
  const names: string[] = [];
  for (let { after } = asked, turn = 0; turn < 100; turn++) {
    const page = await inSearchSnapshot(open.searches, (trx) => searchSeries(trx, { ...asked, after }, scope));
    names.push(...page.items.map(({ name }) => name));
    if (page.after === null) return names;
    ({ after } = page);
  }
  throw new Error('the pages do not end');
}

describe('every operator', () => {
  const long = 'x'.repeat(300);
  const at = (time: string): { time: string } => ({ time });

  beforeAll(async () => {
    const gapped = await make('op/a', {
      species: 'mouse',
      age: 61,
      awake: true,
      depth: { value: 300, unit: 'um' },
      born: at('2026-01-01T00:00:00.000000001Z'),
      region: ['V1', 'V2'],
      note: `${long}a`,
    });
    await make(
      'op/b',
      {
        species: 'mouse lemur',
        age: 9.5,
        awake: false,
        depth: { value: 0.3, unit: 'mm' },
        born: at('2026-01-01T01:00:00+01:00'),
        note: `${long}b`,
      },
      { unit: 'mV', description: 'open-field run', sampling: { kind: 'irregular' } },
    );
    await make(
      'op/c',
      { species: 'rat', age: '61', depth: { value: 5, unit: 'mV' }, region: ['V2', 3, true] },
      {
        channels: [
          { label: 'MLII', location: 'chest', unit: 'uV' },
          { label: 'V5', location: 'arm', group: 'precordial', bad: true },
        ],
        unit: 'mV/K',
        provenance: {
          subject: 'r-7',
          operator: 'jd',
          protocol: 'doi:10/1',
          sample: 'slice 3',
          instrument: { make: 'Intan', model: 'RHD2000' },
          derived_from: [LAB, { series: OTHER, commit: 3 }],
        },
        externalIds: { dandi: '000123', ours: 'x-1' },
        continuity: 'step',
        timeZone: 'Europe/Berlin',
      },
    );
    await make(
      'op/d',
      {
        species: 'Ratte',
        age: -3,
        depth: { value: 0.005, unit: 'V' },
        warm: { value: 98.6, unit: '[degF]' },
      },
      {
        externalIds: { dandi: 'x-1' },
        provenance: { subject: `r-${long}${long}1`, instrument: 'Axopatch 200B', derived_from: [OTHER] },
      },
    );
    // What came before provenance had a shape.
    await make(
      'op/e',
      {},
      { provenance: { subject: `r-${long}${long}2`, instrument: [1], derived_from: { series: LAB } } },
    );
    await store(gapped, [
      { startNs: 0n, rows: 11 },
      { startNs: 100n * S, rows: 11 },
    ]);
    const d = await open.jobs.selectFrom('series').select('id').where('name', '=', 'op/d').executeTakeFirstOrThrow();
    await open.jobs.updateTable('heads').set({ sealed_at: new Date() }).where('series_id', '=', d.id).execute();
    const b = (await open.jobs.selectFrom('series').select('id').where('name', '=', 'op/b').executeTakeFirstOrThrow())
      .id;
    await store(b, [{ startNs: 50n * S, rows: 1 }]);
    await open.jobs
      .insertInto('annotations')
      .values({ id: uuidv7(), series_id: b, start_ns: 5, end_ns: 10, label: 'seizure', payload: '{}', author: null })
      .execute();
  });

  test('overlaps does not find what was removed', async () => {
    const { id } = await open.jobs
      .selectFrom('series')
      .select('id')
      .where('name', '=', 'op/a')
      .executeTakeFirstOrThrow();
    const found = async (start: string, end: string): Promise<boolean> => {
      const where = { and: [{ field: 'name', eq: 'op/a' }, { overlaps: [start, end] }] };
      return (await pages(request(where), null)).length === 1;
    };
    // Rows 3 to 5 of the first run, which has one every 0.1 s, and the second run but for its last row.
    await open.jobs.updateTable('heads').set({ edits: 1 }).where('series_id', '=', id).execute();
    const holes = [
      { series_id: id, from_row: 3n, to_row: 6n },
      { series_id: id, from_row: 11n, to_row: 21n },
    ];
    await open.jobs.insertInto('holes').values(holes).execute();
    try {
      expect(await found('200000000', '200000001')).toBe(true);
      expect(await found('200000001', '600000000')).toBe(false);
      expect(await found('300000000', '600000000')).toBe(false);
      expect(await found('200000001', '600000001')).toBe(true);
      expect(await found('100000000000', '100999999999')).toBe(false);
      expect(await found('100000000000', '101000000001')).toBe(true);
    } finally {
      await open.jobs.deleteFrom('holes').where('series_id', '=', id).execute();
      await open.jobs.updateTable('heads').set({ edits: 0 }).where('series_id', '=', id).execute();
    }
  });

  const T0 = '1970-01-01T00:00:00Z';
  test.each<[string, unknown, string]>([
    ['eq text', { tag: 'species', eq: 'mouse' }, 'a'],
    ['eq number', { tag: 'age', eq: 61 }, 'a'],
    ['eq text of digits', { tag: 'age', eq: '61' }, 'c'],
    ['eq boolean', { tag: 'awake', eq: false }, 'b'],
    ['eq quantity in another unit', { tag: 'depth', eq: { value: 0.0003, unit: 'm' } }, 'ab'],
    ['5 mV = 0.005 V', { tag: 'depth', eq: { value: 5000, unit: 'uV' } }, 'cd'],
    ['degrees', { tag: 'warm', range: { gt: { value: 36.99, unit: 'Cel' }, lt: { value: 37.01, unit: 'Cel' } } }, 'd'],
    ['eq time to the nanosecond', { tag: 'born', eq: at('2026-01-01T00:00:00.000000001Z') }, 'a'],
    ['eq time in another zone', { tag: 'born', eq: at('2026-01-01T00:00:00Z') }, 'b'],
    ['gt time', { tag: 'born', gt: at('2026-01-01T00:00:00Z') }, 'a'],
    ['eq a value of a list', { tag: 'region', eq: 'V2' }, 'ac'],
    ['eq a number of a list', { tag: 'region', eq: 3 }, 'c'],
    ['eq a long text', { tag: 'note', eq: `${long}b` }, 'b'],
    ['ne, which absence meets', { tag: 'species', ne: 'mouse' }, 'bcde'],
    ['ne of a list means none of it', { tag: 'region', ne: 'V1' }, 'bcde'],
    ['in', { tag: 'species', in: ['rat', 'Ratte', 5] }, 'cd'],
    ['exists', { tag: 'awake', exists: true }, 'ab'],
    ['exists not', { tag: 'awake', exists: false }, 'cde'],
    ['prefix', { tag: 'species', prefix: 'mouse' }, 'ab'],
    ['prefix with signs of patterns', { tag: 'species', prefix: 'm%' }, ''],
    ['a long prefix', { tag: 'note', prefix: `${long}a` }, 'a'],
    ['contains', { tag: 'species', contains: 'use' }, 'ab'],
    ['contains at the end of a long text', { tag: 'note', contains: 'xb' }, 'b'],
    ['regex', { tag: 'species', regex: '^mouse .*r$' }, 'b'],
    ['regex without a prefix', { tag: 'species', regex: '[Rr]at' }, 'cd'],
    ['regex of a long text', { tag: 'note', regex: '^x+a$' }, 'a'],
    ['gt', { tag: 'age', gt: 9.5 }, 'a'],
    ['gte', { tag: 'age', gte: 9.5 }, 'ab'],
    ['lt', { tag: 'age', lt: 9.5 }, 'd'],
    ['lte', { tag: 'age', lte: 9.5 }, 'bd'],
    ['a range', { tag: 'age', range: { gt: -4, lte: 9.5 } }, 'bd'],
    ['a range over zero', { tag: 'age', gte: -2, lt: 10 }, 'b'],
    ['a range of texts', { tag: 'species', gte: 'n' }, 'c'],
    ['a range of texts below', { tag: 'species', lt: 'a' }, 'd'],
    [
      'a range of quantities',
      { tag: 'depth', range: { gte: { value: 0.2, unit: 'mm' }, lt: { value: 1, unit: 'm' } } },
      'ab',
    ],
    ['a range of another dimension', { tag: 'depth', gt: { value: 1, unit: 'mV' } }, 'cd'],
    [
      'and',
      {
        and: [
          { tag: 'species', prefix: 'mouse' },
          { tag: 'age', lt: 10 },
        ],
      },
      'b',
    ],
    [
      'or of tags',
      {
        or: [
          { tag: 'species', eq: 'rat' },
          { tag: 'age', eq: 61 },
        ],
      },
      'ac',
    ],
    ['or with not', { or: [{ tag: 'species', eq: 'rat' }, { not: { tag: 'age', exists: true } }] }, 'ce'],
    [
      'or of ands',
      {
        or: [
          {
            and: [
              { tag: 'species', eq: 'mouse' },
              { tag: 'awake', eq: true },
            ],
          },
          { text: 'field' },
        ],
      },
      'ab',
    ],
    [
      'and with or',
      { and: [{ tag: 'age', exists: true }, { or: [{ text: 'field' }, { tag: 'species', eq: 'rat' }] }] },
      'bc',
    ],
    [
      'not of and',
      {
        not: {
          and: [
            { tag: 'species', prefix: 'mouse' },
            { tag: 'age', lt: 10 },
          ],
        },
      },
      'acde',
    ],
    ['not of not', { not: { not: { tag: 'awake', eq: true } } }, 'a'],
    ['field unit', { field: 'unit', eq: 'mV' }, 'b'],
    ['field unit ne, which absence meets', { field: 'unit', ne: 'mV' }, 'acde'],
    ['field exists', { field: 'unit', exists: true }, 'bc'],
    ['field in', { field: 'kind', in: ['irregular', 'weekly'] }, 'b'],
    ['field name prefix', { field: 'name', prefix: 'op/' }, 'abcde'],
    ['field name regex', { field: 'name', regex: '^op/[ab]$' }, 'ab'],
    ['field name contains', { field: 'name', contains: '/c' }, 'c'],
    ['field project', { field: 'project', eq: 'lab' }, 'abcde'],
    ['field channel', { field: 'channel', eq: 'V5' }, 'c'],
    ['field channel that most have', { field: 'channel', in: ['value', 'MLII'] }, 'abcde'],
    ['field channel prefix', { field: 'channel', prefix: 'V' }, 'c'],
    ['field channel exists', { field: 'channel', exists: true }, 'abcde'],
    ['field continuity', { field: 'continuity', eq: 'step' }, 'c'],
    ['field state', { field: 'state', eq: 'sealed' }, 'd'],
    ['field state in', { field: 'state', in: ['open'] }, 'abce'],
    ['field state within not', { not: { field: 'state', eq: 'open' } }, 'd'],
    ['field time_zone', { field: 'time_zone', prefix: 'Europe/' }, 'c'],
    ['field external_id', { field: 'external_id', eq: 'x-1' }, 'cd'],
    ['field external_id in', { field: 'external_id', in: ['000123', 'y'] }, 'c'],
    ['field external_id ne, which absence meets', { field: 'external_id', ne: 'x-1' }, 'abe'],
    ['field external_id exists', { field: 'external_id', exists: true }, 'cd'],
    ['field external_id prefix', { field: 'external_id', prefix: '000' }, 'c'],
    ['has_channel', { has_channel: { location: 'arm' } }, 'c'],
    ['has_channel, one that is all of this', { has_channel: { location: 'arm', label: 'MLII' } }, ''],
    ['has_channel, several texts', { has_channel: { label: 'V5', group: 'precordial' } }, 'c'],
    ['has_channel without a name', { has_channel: { label: 'value' } }, 'abde'],
    ['has_channel that is bad', { has_channel: { bad: true } }, 'c'],
    ['has_channel that is not bad', { has_channel: { location: 'arm', bad: false } }, ''],
    ['has_channel that nobody calls bad', { has_channel: { label: 'MLII', bad: false } }, 'c'],
    ['has_channel, its own unit', { has_channel: { unit: 'uV' } }, 'c'],
    ['has_channel, the unit of its series', { has_channel: { unit: 'mV/K', label: 'V5' } }, 'c'],
    ['has_channel, the unit of another', { has_channel: { unit: 'mV/K', label: 'MLII' } }, ''],
    ['has_channel within not', { not: { has_channel: { unit: 'mV' } } }, 'acde'],
    ['has_channel within or', { or: [{ has_channel: { location: 'arm' } }, { field: 'unit', eq: 'mV' }] }, 'bc'],
    ['field subject', { field: 'subject', eq: 'r-7' }, 'c'],
    ['field subject in', { field: 'subject', in: ['r-7', 'r-8'] }, 'c'],
    ['field subject ne, which absence meets', { field: 'subject', ne: 'r-7' }, 'abde'],
    ['field subject, longer than its index', { field: 'subject', eq: `r-${long}${long}1` }, 'd'],
    ['field subject in, longer than its index', { field: 'subject', in: [`r-${long}${long}2`, 'r-7', 'r-8'] }, 'ce'],
    ['field subject prefix', { field: 'subject', prefix: 'r-7' }, 'c'],
    [
      'field subject within or',
      {
        or: [
          { field: 'subject', eq: 'r-7' },
          { tag: 'age', eq: 61 },
        ],
      },
      'ac',
    ],
    ['field operator', { field: 'operator', eq: 'jd' }, 'c'],
    ['field protocol', { field: 'protocol', prefix: 'doi:' }, 'c'],
    ['field sample', { field: 'sample', contains: 'slice' }, 'c'],
    ['field instrument, its model', { field: 'instrument', eq: 'RHD2000' }, 'c'],
    ['field instrument, a text', { field: 'instrument', prefix: 'Axo' }, 'd'],
    ['field instrument exists', { field: 'instrument', exists: true }, 'cd'],
    ['field derived_from', { field: 'derived_from', eq: LAB }, 'c'],
    ['field derived_from, in an object, in other letters', { field: 'derived_from', eq: OTHER.toUpperCase() }, 'cd'],
    ['field derived_from in', { field: 'derived_from', in: [LAB, 'x'] }, 'c'],
    ['field derived_from ne, which absence meets', { field: 'derived_from', ne: LAB }, 'abde'],
    ['field derived_from exists', { field: 'derived_from', exists: true }, 'cd'],
    ['field derived_from prefix', { field: 'derived_from', prefix: LAB.slice(0, -1) }, 'cd'],
    ['field derived_from within not', { not: { field: 'derived_from', eq: OTHER } }, 'abe'],
    [
      'field derived_from within or',
      {
        or: [
          { field: 'derived_from', eq: LAB },
          { field: 'unit', eq: 'mV' },
        ],
      },
      'bc',
    ],
    ['field rows', { field: 'rows', gte: 22 }, 'a'],
    ['field rate_hz', { field: 'rate_hz', eq: 10 }, 'acde'],
    ['field channel_count', { field: 'channel_count', gt: 1 }, 'c'],
    ['field last_time', { field: 'last_time', gt: '1970-01-01T00:01:00Z' }, 'a'],
    ['field last_time in ns', { field: 'last_time', eq: '101000000000' }, 'a'],
    ['field created_at', { field: 'created_at', lt: '2000-01-01' }, ''],
    ['field created_at', { field: 'created_at', gt: '2000-01-01' }, 'abcde'],
    ['text in the name', { text: 'op a' }, 'a'],
    ['text in the description', { text: 'FIELD' }, 'b'],
    ['overlaps the first run', { overlaps: [T0, '1970-01-01T00:00:00.5Z'] }, 'a'],
    ['overlaps the last sample', { overlaps: ['1970-01-01T00:00:01Z', '1970-01-01T00:00:02Z'] }, 'a'],
    ['overlaps a gap', { overlaps: ['1970-01-01T00:00:01.1Z', '1970-01-01T00:01:40Z'] }, 'b'],
    ['overlaps the end, which does not belong', { overlaps: ['1970-01-01T00:00:40Z', '1970-01-01T00:00:50Z'] }, ''],
    ['overlaps within not', { not: { overlaps: [T0, '1970-01-01T00:00:50Z'] } }, 'bcde'],
    ['overlaps within or', { or: [{ overlaps: [T0, '1970-01-01T00:00:50Z'] }, { field: 'unit', eq: 'mV' }] }, 'ab'],
    ['active_since', { active_since: '1970-01-01T00:01:00Z' }, 'a'],
    ['active_since the last sample', { active_since: '1970-01-01T00:00:50Z' }, 'ab'],
    ['not active_since', { not: { active_since: '1970-01-01T00:01:00Z' } }, 'bcde'],
    ['has_annotation', { has_annotation: { label: 'seizure' } }, 'b'],
    ['has_annotation in time', { has_annotation: { label: 'seizure', overlaps: ['9', '20'] } }, 'b'],
    ['has_annotation elsewhere', { has_annotation: { label: 'seizure', overlaps: ['10', '20'] } }, ''],
    ['has any annotation', { has_annotation: {} }, 'b'],
    ['a value that looks like SQL', { tag: "species' or true --", eq: "' or true --" }, ''],
  ])('%s', async (_, where, expected) => {
    const names = await pages(request({ and: [{ field: 'name', prefix: 'op/' }, where] }), null);
    expect(names.map((name) => name.slice(3)).join('')).toBe(expected);
    // The same as the only condition, for which another plan and another statement may be made.
    const alone = await pages(request(where, { limit: 2 }), [LAB]);
    expect(
      alone
        .filter((name) => name.startsWith('op/'))
        .map((name) => name.slice(3))
        .join(''),
    ).toBe(expected);
  });

  test.each<[string, string, string]>([
    ['name', 'name', 'abcde'],
    ['name, descending', '-name', 'edcba'],
    ['a number of a tag, texts after numbers, absence last', 'tag.age', 'dbace'],
    ['a number of a tag, descending', '-tag.age', 'abdce'],
    ['a text of a tag', 'tag.species', 'dabce'],
    ['a time of a tag', '-tag.born', 'abcde'],
    ['last_time, nulls last', '-last_time', 'abcde'],
    ['last_time, nulls last', 'last_time', 'bacde'],
    ['created_at, descending', '-created_at', 'edcba'],
    ['unit, then name descending', 'unit,-name', 'bceda'],
    ['external_id, the first of them', 'external_id', 'cdabe'],
    ['instrument', 'instrument', 'dcabe'],
    ['derived_from, the first of them', 'derived_from', 'cdabe'],
  ])('sorted by %s, in pages of one, two and all', async (_, keys, expected) => {
    for (const limit of [1, 2, 1000]) {
      const sort = parseSort(keys.split(','), String);
      const names = await pages(request({ field: 'name', prefix: 'op/' }, { sort, limit }), null);
      expect(names.map((name) => name.slice(3)).join('')).toBe(expected);
    }
  });

  test('facets count each value among all that are found, the most frequent first', async () => {
    const facets = parseFacets(['species', 'region', 'depth', 'field.unit', 'field.kind', 'nothing'], String);
    const asked = request({ field: 'name', prefix: 'op/' }, { facets, limit: 1 });
    const counted = await inSearchSnapshot(open.searches, (trx) => countFacets(trx, asked, null));
    expect(counted.region).toEqual(
      expect.arrayContaining([
        { value: 'V2', count: 2, estimated: false },
        { value: 3, count: 1, estimated: false },
        { value: true, count: 1, estimated: false },
      ]),
    );
    expect(counted.region[0].value).toBe('V2');
    expect(counted['field.unit']).toEqual(['mV', 'mV/K'].map((value) => ({ value, count: 1, estimated: false })));
    expect(counted['field.kind']).toEqual([
      { value: 'regular', count: 4, estimated: false },
      { value: 'irregular', count: 1, estimated: false },
    ]);
    expect([counted.species.length, counted.depth.length, counted.nothing]).toEqual([4, 4, []]);
  });
});

describe('tags follow their series', () => {
  test('changed, deleted and restored', async () => {
    const id = await make('follow', { phase: 'one', level: { value: 1, unit: 'kHz' } });
    const found = (where: unknown): Promise<string[]> => pages(request(where), null);
    const one = { tag: 'phase', eq: 'one' };
    const two = { tag: 'phase', eq: 'two' };
    expect(await found(one)).toEqual(['follow']);
    expect(await found({ tag: 'level', eq: { value: 1000, unit: 'Hz' } })).toEqual(['follow']);
    await updateSeries(open.jobs, id, { tags: { phase: 'two', level: null } });
    expect([await found(one), await found(two), await found({ tag: 'level', exists: true })]).toEqual([
      [],
      ['follow'],
      [],
    ]);
    const values = (): Promise<unknown[]> =>
      inSearchSnapshot(open.searches, (trx) =>
        tagValues(trx, 'phase', { scope: null, prefix: '', limit: 9, after: null }),
      );
    await deleteSeries(open.jobs, id);
    expect([await found(two), await found({ not: one }), await values()]).toEqual([
      [],
      expect.not.arrayContaining(['follow']),
      [],
    ]);
    await restoreSeries(open.jobs, id);
    expect([await found(two), await values()]).toEqual([
      ['follow'],
      [expect.objectContaining({ value: 'two', count: 1 })],
    ]);
  });
});

describe('keys and values', () => {
  beforeAll(async () => {
    for (const [n, tags] of [
      { 'kv alpha': 'aa', 'kv beta': 3 },
      { 'kv alpha': 'ab', 'kv beta': -1 },
      { 'kv alpha': ['ab', 'b'], 'kv alphabet': true },
    ].entries()) {
      await make(`kv/${n}`, tags as unknown as Tags);
    }
    await make('kv/other', { 'kv alpha': 'secret' }, { project: 'other' });
  });
  const ask = { scope: [LAB], prefix: '', limit: 10, after: null };
  const keys = (more: object): Promise<unknown[]> =>
    inSearchSnapshot(open.searches, (trx) => tagKeys(trx, { ...ask, ...more }));
  const values = (key: string, more: object = {}): Promise<unknown[]> =>
    inSearchSnapshot(open.searches, async (trx) =>
      (await tagValues(trx, key, { ...ask, ...more })).map(({ value, count }) => [value, count]),
    );

  test('keys come with their types and number of series', async () => {
    expect(await keys({ prefix: 'kv ' })).toEqual([
      { key: 'kv alpha', types: ['string'], count: 3, estimated: false },
      { key: 'kv alphabet', types: ['boolean'], count: 1, estimated: false },
      { key: 'kv beta', types: ['number'], count: 2, estimated: false },
    ]);
    expect(await keys({ prefix: 'kv ', after: 'kv alpha' })).toHaveLength(2);
  });

  test('values come in order, of the projects in reach only', async () => {
    expect(await values('kv alpha')).toEqual([['aa', 1], ['ab', 2], ['b', 1]]); // prettier-ignore
    expect(await values('kv alpha', { prefix: 'a' })).toEqual([['aa', 1], ['ab', 2]]); // prettier-ignore
    expect(await values('kv alpha', { scope: null, prefix: 's' })).toEqual([['secret', 1]]);
    expect(await values('kv alpha', { prefix: 's' })).toEqual([]);
    expect(await values('kv beta')).toEqual([[-1, 1], [3, 1]]); // prettier-ignore
    expect(await values('nothing')).toEqual([]);
  });
});

describe('projects', () => {
  test('a search sees those of its scope only, whatever it asks', async () => {
    await make('scope/mine', { scoped: 1 });
    await make('scope/theirs', { scoped: 1 }, { project: 'other' });
    const where = { or: [{ tag: 'scoped', eq: 1 }, { text: 'theirs' }] };
    expect(await pages(request(where), [LAB])).toEqual(['scope/mine']);
    expect(await pages(request(where), null)).toEqual(['scope/mine', 'scope/theirs']);
    expect(await pages(request(where), [])).toEqual([]);
    expect(await pages(request({ not: where }), [OTHER])).not.toContain('scope/theirs');
  });
});

describe('against a plain filter', () => {
  const UNITS: Record<string, number> = { mV: 1e-3, V: 1 };
  const texts = ['a', 'ab', 'abc', 'b', 'ä', ''];
  const scalar: fc.Arbitrary<TagScalar> = fc.oneof(
    fc.constantFrom(...texts),
    fc.constantFrom(-1.5, 0, 1, 2, 1e21),
    fc.boolean(),
    fc.constantFrom('1970-01-01T00:00:00Z', '1970-01-01T00:00:01Z', '1970-01-01T00:00:01.5Z').map((time) => ({ time })),
    fc.record({ value: fc.constantFrom(-2, 0, 3, 3000), unit: fc.constantFrom('mV', 'V') }),
  );
  const key = fc.constantFrom('k', 'l', 'm');
  const tags: fc.Arbitrary<Tags> = fc.dictionary(
    key,
    fc.oneof(scalar, fc.array(scalar, { minLength: 1, maxLength: 3 })),
    { maxKeys: 3 },
  );

  const bounds = (value: fc.Arbitrary<TagScalar>): fc.Arbitrary<object> =>
    fc.oneof(
      ...(['gt', 'gte', 'lt', 'lte'] as const).map((op) => value.map((each) => ({ [op]: each }))),
      fc.tuple(value, value).map(([gte, lt]) => ({ range: { gte, lt } })),
    );
  const number = fc.constantFrom(-1.5, 0, 1, 2);
  const quantity = fc.record({ value: fc.constantFrom(-2, 0, 3, 3000), unit: fc.constantFrom('mV', 'V') });
  const time = fc.constantFrom('1970-01-01T00:00:00Z', '1970-01-01T00:00:01Z').map((each) => ({ time: each }));
  const operator: fc.Arbitrary<object> = fc.oneof(
    scalar.map((eq) => ({ eq })),
    scalar.map((ne) => ({ ne })),
    fc.array(scalar, { minLength: 1, maxLength: 4 }).map((values) => ({ in: values })),
    fc.boolean().map((exists) => ({ exists })),
    fc.constantFrom('a', 'ab', 'ä').map((prefix) => ({ prefix })),
    fc.constantFrom('b', 'c').map((contains) => ({ contains })),
    fc.constantFrom('^a.', 'b$', '^ab?$', '[bä]', '^(?:a|b)+$').map((regex) => ({ regex })),
    bounds(fc.constantFrom(...texts)),
    bounds(number),
    bounds(quantity),
    bounds(time),
  );
  /**
   * Series n has n rows, from second 10 n on, one every 0.1 s. Each third has a word, each fourth a foreign id, each
   * fifth an annotation and a unit, and each seventh two channels.
   */
  const second = fc.integer({ min: 0, max: 620 });
  const other: fc.Arbitrary<object> = fc.oneof(
    fc.constant({ text: 'third' }),
    fc.constantFrom({ has_annotation: { label: 'fifth' } }, { has_annotation: { label: 'none' } }),
    second.map((from) => ({ has_annotation: { overlaps: [String(from), String(from + 40)] } })),
    fc.tuple(second, fc.integer({ min: 1, max: 60 })).map(([from, length]) => ({
      overlaps: [String(BigInt(from) * S), String(BigInt(from + length) * S)],
    })),
    second.map((from) => ({ active_since: String(BigInt(from) * S) })),
    fc.constantFrom('eq', 'ne', 'prefix', 'contains').map((op) => ({ field: 'unit', [op]: 'mV' })),
    fc.boolean().map((exists) => ({ field: 'unit', exists })),
    fc
      .tuple(fc.constantFrom('gt', 'gte', 'lt', 'lte', 'eq'), fc.integer({ min: 0, max: 60 }))
      .map(([op, rows]) => ({ field: 'rows', [op]: rows })),
    fc.constant({ field: 'name', regex: '/0[0-2][0-9]$' }),
    fc.constantFrom('eq', 'ne', 'prefix').map((op) => ({ field: 'external_id', [op]: 'fourth' })),
    fc.constantFrom('eq', 'ne', 'prefix').map((op) => ({ field: 'channel', [op]: 'odd' })),
    fc
      .record(
        {
          label: fc.constantFrom('odd', 'even', 'value'),
          location: fc.constant('V1'),
          unit: fc.constantFrom('uV', 'mV'),
          bad: fc.boolean(),
        },
        { requiredKeys: [], noNullPrototype: true },
      )
      .filter((like) => Object.keys(like).length > 0)
      .map((has_channel) => ({ has_channel })),
  );
  const channelsOf = (n: number): Channel[] =>
    n % 7 === 0 ? [{ label: 'odd', location: 'V1' }, { label: 'even', unit: 'uV', bad: true }] : [{ label: 'value' }]; // prettier-ignore
  function otherHolds(node: Json, n: number): boolean {
    const [first, last] = [BigInt(n) * 10n * S, BigInt(n) * 10n * S + BigInt(n - 1) * (S / 10n)];
    if (node.text) return n % 3 === 0;
    if (node.has_annotation) {
      const { label, overlaps } = node.has_annotation;
      // At n nanoseconds, ten long.
      return (
        n % 5 === 0 && label !== 'none' && (!overlaps || (n < Number(overlaps[1]) && n + 10 > Number(overlaps[0])))
      );
    }
    if (node.overlaps) return n > 0 && first < BigInt(node.overlaps[1]) && last >= BigInt(node.overlaps[0]);
    if (node.active_since) return n > 0 && last >= BigInt(node.active_since);
    if (node.has_channel) {
      const { unit, bad, ...texts } = node.has_channel;
      return channelsOf(n).some(
        (channel) =>
          Object.entries(texts).every(([name, text]) => channel[name as keyof Channel] === text) &&
          (unit === undefined || unit === (channel.unit ?? (n % 5 === 0 ? 'mV' : null))) &&
          (bad === undefined || bad === (channel.bad ?? false)),
      );
    }
    const { field, ...test } = node;
    const [[op, given]] = Object.entries(test);
    if (field === 'channel') return (n % 7 === 0) === (op !== 'ne');
    if (field === 'external_id') return (n % 4 === 0) === (op !== 'ne');
    if (field === 'name') return n < 30;
    if (field === 'unit') return op === 'exists' ? given === (n % 5 === 0) : (n % 5 === 0) === (op !== 'ne');
    const limit = given as number;
    return { eq: n === limit, gt: n > limit, gte: n >= limit, lt: n < limit, lte: n <= limit }[op]!;
  }

  const { tree } = fc.letrec<{ tree: object }>((tie) => ({
    tree: fc.oneof(
      { depthSize: 'small', maxDepth: 3 },
      fc.tuple(key, operator).map(([tag, test]) => ({ tag, ...test })),
      other,
      fc.array(tie('tree'), { minLength: 1, maxLength: 3 }).map((and) => ({ and })),
      fc.array(tie('tree'), { minLength: 1, maxLength: 3 }).map((or) => ({ or })),
      tie('tree').map((not) => ({ not })),
    ),
  }));

  const codePoints = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

  function sortable(value: TagScalar): [type: string, value: string | number | bigint] {
    if (typeof value === 'string') return ['text', value];
    if (typeof value === 'number') return ['number', value];
    if (typeof value === 'boolean') return ['boolean', String(value)];
    if ('time' in value) return ['time', parseTime(value.time)!];
    return ['quantity', Number((Number(value.value) * UNITS[value.unit]).toPrecision(12))];
  }

  function compare(a: TagScalar, b: TagScalar): number | undefined {
    const [[typeA, x], [typeB, y]] = [sortable(a), sortable(b)];
    if (typeA !== typeB) return undefined;
    if (typeof x === 'string') return codePoints(x, y as string);
    return x === y ? 0 : Number(x) < Number(y) ? -1 : 1;
  }

  // oxlint-disable-next-line typescript/no-explicit-any -- a tree as JSON has it
  type Json = Record<string, any>;

  function holds(node: Json, of: Tags, n: number): boolean {
    if (node.and) return node.and.every((each: object) => holds(each, of, n));
    if (node.or) return node.or.some((each: object) => holds(each, of, n));
    if (node.not) return !holds(node.not, of, n);
    if (node.tag === undefined) return otherHolds(node, n);
    const { tag, range, ...ops } = node;
    const values: TagScalar[] = Object.hasOwn(of, tag) ? [of[tag] as TagScalar].flat() : [];
    const tests: Json = range ?? ops;
    if ('ne' in tests) return !values.some((value) => compare(value, tests.ne) === 0);
    if ('exists' in tests) return values.length > 0 === tests.exists;
    return values.some((value) =>
      Object.entries(tests).every(([op, given]) => {
        switch (op) {
          case 'in':
            return given.some((each: TagScalar) => compare(value, each) === 0);
          case 'prefix':
            return typeof value === 'string' && value.startsWith(given);
          case 'contains':
            return typeof value === 'string' && value.includes(given);
          case 'regex':
            return typeof value === 'string' && new RegExp(given, 'u').test(value);
          default: {
            const order = compare(value, given);
            if (order === undefined) return false;
            return { eq: order === 0, gt: order > 0, gte: order >= 0, lt: order < 0, lte: order <= 0 }[op]!;
          }
        }
      }),
    );
  }

  test('any expression finds what it says, in any size of page', async () => {
    const catalog = fc.sample(tags, { numRuns: 60, seed: 5 });
    for (const [n, each] of catalog.entries()) {
      const id = await make(`model/${String(n).padStart(3, '0')}`, each, {
        description: n % 3 === 0 ? 'a Third one' : null,
        unit: n % 5 === 0 ? 'mV' : null,
        channels: channelsOf(n),
        externalIds: n % 4 === 0 ? { theirs: 'fourth', ours: String(n) } : {},
      });
      if (n > 0) await store(id, [{ startNs: BigInt(n) * 10n * S, rows: n }]);
      if (n % 5 !== 0) continue;
      await open.jobs
        .insertInto('annotations')
        .values({
          id: uuidv7(),
          series_id: id,
          start_ns: n,
          end_ns: n + 10,
          label: 'fifth',
          payload: '{}',
          author: null,
        })
        .execute();
    }
    await fc.assert(
      fc.asyncProperty(tree, fc.constantFrom(3, 1000), async (where, limit) => {
        const expected = catalog.flatMap((each, n) =>
          holds(where, each, n) ? [`model/${String(n).padStart(3, '0')}`] : [],
        );
        const found = await pages(request({ and: [{ field: 'name', prefix: 'model/' }, where] }, { limit }), null);
        expect(found).toEqual(expected);
        const alone = await pages(request(where), null);
        expect(alone.filter((name) => name.startsWith('model/'))).toEqual(expected);
      }),
      { numRuns: 150 },
    );
  });
});

describe('among many series, half of which say nothing of it', () => {
  const ANCESTOR = '00000000-0000-7000-8000-0000000000aa';

  beforeAll(async () => {
    await make('lead/first', {}, { provenance: { subject: 'lead-1', derived_from: [ANCESTOR] } });
    await make(
      'lead/second',
      { lead: true },
      { provenance: { subject: 'lead-2', derived_from: [{ series: ANCESTOR }] } },
    );
    await sql`
      insert into series (id, project_id, name, kind, dtype, channels, channel_count, time_reference, duplicates, codec, provenance)
      select ('0191' || lpad(to_hex(i), 8, '0') || '7000' || '8000' || lpad('', 12, '0'))::uuid, ${LAB}::uuid,
        'plain/' || i, 'irregular', 'int16', s.channels, 1, 'utc', 'last', 'gzip',
        case when i % 2 = 0 then jsonb_build_object('subject', 's' || i, 'derived_from', jsonb_build_array(gen_random_uuid())) else '{}' end
      from series s, generate_series(1, 20000) i where s.name = 'lead/first'`.execute(open.jobs);
    await addHeads();
    await sql`analyze series, series_tags, heads`.execute(open.jobs);
  });

  test.each<[string, string, unknown, string[]]>([
    ['subject eq', 'series_subject', { field: 'subject', eq: 'lead-1' }, ['lead/first']],
    ['subject in', 'series_subject', { field: 'subject', in: ['lead-2', 'lead-1'] }, ['lead/first', 'lead/second']],
    ['derived_from eq', 'series_derived_from', { field: 'derived_from', eq: ANCESTOR }, ['lead/first', 'lead/second']],
    [
      'derived_from in',
      'series_derived_from',
      { field: 'derived_from', in: [ANCESTOR, LAB] },
      ['lead/first', 'lead/second'],
    ],
    [
      'subject or a tag',
      'series_subject',
      {
        or: [
          { field: 'subject', eq: 'lead-1' },
          { tag: 'lead', eq: true },
        ],
      },
      ['lead/first', 'lead/second'],
    ],
  ])('an index leads to %s', async (_, index, where, expected) => {
    const asked = request(where, { limit: 10 });
    const plan = await inSearchSnapshot(open.searches, (trx) => describePlan(trx, pageStatement(asked, null), true));
    expect(plan.join('\n')).toContain(index);
    expect(searchHints(asked)).toEqual([]);
    expect((await pages(asked, [LAB])).filter((name) => name.startsWith('lead/'))).toEqual(expected);
  });

  describe('and have samples', () => {
    const YEAR_NS = 31_536_000n * S;

    beforeAll(async () => {
      // One after the other, each for ten seconds, but for the first one, which is a hundred years later than the others.
      await sql`
        update heads h set rows = 2, first_ns = i.n * 1e10, last_ns = i.n * 1e10 + 9e9
        from (select s.id, row_number() over (order by s.id) as n from series s where s.name like 'plain/%') i
        where h.series_id = i.id`.execute(open.jobs);
      const { id } = await open.jobs
        .selectFrom('series')
        .select('id')
        .where('name', '=', 'lead/first')
        .executeTakeFirstOrThrow();
      await open.jobs
        .updateTable('heads')
        .set({ rows: 2n, first_ns: 100n * YEAR_NS, last_ns: 100n * YEAR_NS + 1n, sealed_at: new Date() })
        .where('series_id', '=', id)
        .execute();
      await sql`update series set kind = 'irregular' where id = ${id}`.execute(open.jobs);
      await sql`analyze heads`.execute(open.jobs);
    });

    test.each<[string, unknown]>([
      ['overlaps', { overlaps: [String(99n * YEAR_NS), String(101n * YEAR_NS)] }],
      ['active_since', { active_since: String(99n * YEAR_NS) }],
    ])('the index of times leads to %s', async (_, where) => {
      const asked = request(where, { limit: 10 });
      const plan = await inSearchSnapshot(open.searches, (trx) => describePlan(trx, pageStatement(asked, null), true));
      expect(plan.join('\n')).toContain('heads_extent');
      expect(await pages(asked, [LAB])).toEqual(['lead/first']);
    });

    test('heads are looked up for the page alone where nothing is asked of them', async () => {
      for (const sort of ['', '-created_at', 'tag.lead'].map((key) => parseSort(key === '' ? [] : [key], String))) {
        const asked = request({ field: 'dtype', eq: 'int16' }, { limit: 10, sort });
        const plan = await inSearchSnapshot(open.searches, (trx) =>
          describePlan(trx, pageStatement(asked, null), true),
        );
        const ofHeads = plan.filter((line) => line.includes('heads'));
        expect(ofHeads).toEqual([expect.stringMatching(/Index Scan on heads_pkey \(1 rows/)]);
        expect(plan.findIndex((line) => line.includes('heads'))).toBeGreaterThan(
          plan.findIndex((line) => line.includes('Limit')),
        );
      }
    });

    test('pages in the order of what heads say hold every series once', async () => {
      for (const key of ['last_time', '-first_time', 'rows', 'state']) {
        const asked = request(
          { field: 'name', regex: '^(plain/1[0-9]{2}|lead/.*)$' },
          { limit: 17, sort: parseSort([key], String) },
        );
        const found = await pages(asked, [LAB]);
        expect(found).toHaveLength(102);
        expect(new Set(found).size).toBe(102);
      }
      const newest = request({ field: 'name', prefix: 'lead/' }, { sort: parseSort(['-last_time'], String) });
      expect(await pages(newest, [LAB])).toEqual(['lead/first', 'lead/second']);
    });
  });

  test('none leads to what else provenance says', () => {
    expect(searchHints(request({ field: 'operator', eq: 'jd' })).join()).toContain('No condition leads');
  });

  test('the others are in neither index', async () => {
    const { rows } = await sql<{ relname: string; reltuples: number }>`
      select relname, reltuples from pg_class where relname in ('series_subject', 'series_derived_from')`.execute(
      open.jobs,
    );
    expect(rows).toHaveLength(2);
    for (const { reltuples } of rows) expect(Math.abs(reltuples - 10_000)).toBeLessThan(1000);
  });
});

describe('facets of more than are counted', () => {
  test('are reckoned from series of all ages', async () => {
    await make('aged/first', { era: 'first' });
    await sql`
      insert into series (id, project_id, name, kind, dtype, channels, channel_count, time_reference, duplicates, codec, tags)
      select ('0190' || lpad(to_hex(i), 8, '0') || '7000' || '8000' || lpad('', 12, '0'))::uuid, ${LAB}::uuid,
        'aged/' || i, 'irregular', 'int16', s.channels, 1, 'utc', 'last', 'gzip',
        jsonb_build_object('aged', true, 'era', case when i <= 8000 then 'early' else 'late' end)
      from series s, generate_series(1, 16000) i where s.name = 'aged/first'`.execute(open.jobs);
    await addHeads();
    await sql`analyze series, series_tags, heads`.execute(open.jobs);
    const asked = request({ tag: 'aged', eq: true }, { facets: parseFacets(['era', 'aged'], String) });
    const { era, aged } = await inSearchSnapshot(open.searches, (trx) => countFacets(trx, asked, null));
    expect(new Set(era.map(({ value }) => value))).toEqual(new Set(['early', 'late']));
    expect(era.every(({ estimated }) => estimated)).toBe(true);
    for (const { count } of era) expect(Math.abs(count - 8_000)).toBeLessThan(2_000);
    expect(Math.abs(aged[0].count - 16_000)).toBeLessThan(1_600);
    // Half of them are few enough to be counted one by one …
    const early = request({ tag: 'era', eq: 'early' }, { facets: asked.facets });
    const ofEarly = await inSearchSnapshot(open.searches, (trx) => countFacets(trx, early, null));
    expect(ofEarly.aged).toEqual([{ value: true, count: 8_000, estimated: false }]);
    // … and so are few, whatever was expected.
    const few = request(
      {
        and: [
          { tag: 'aged', eq: true },
          { field: 'name', contains: '/1599' },
        ],
      },
      { facets: asked.facets },
    );
    const counted = await inSearchSnapshot(open.searches, (trx) => countFacets(trx, few, null));
    expect(counted.era).toEqual([
      { value: 'late', count: 10, estimated: false },
      { value: 'early', count: 1, estimated: false },
    ]);
  });
});
