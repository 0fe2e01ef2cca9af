import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pg from 'pg';
import { statsOf } from '../../src/core/rows/chunk-stats.ts';
import type { Dtype, SampleArray } from '../../src/core/numbers/dtype.ts';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';

const PROJECT = '00000000-0000-7000-8000-00000000000a';
const KEPT = '00000000-0000-7000-8000-00000000000c';
const GONE = '00000000-0000-7000-8000-00000000000d';

let database: TestDatabase;
let client: pg.Client;

beforeAll(async () => {
  database = await testDatabase();
  client = new pg.Client({ connectionString: database.url });
  await client.connect();
  await client.query(`insert into projects (id, name) values ('${PROJECT}', 'lab')`);
  await client.query(`insert into lanes (id) values ('${PROJECT}')`);
  await client.query(`insert into units values ('um', 1e-6, 0, 'L1')`);
  for (const [id, deleted] of [
    [KEPT, 'null'],
    [GONE, 'now()'],
  ]) {
    await client.query(
      `insert into series (id, project_id, name, kind, dtype, channels, channel_count, time_reference, duplicates, codec, tags, deleted_at)
       values ($1::text::uuid, '${PROJECT}', $1::text, 'irregular', 'int16', '[]', 1, 'utc', 'last', 'gzip', $2, ${deleted})`,
      [
        id,
        {
          depth: { value: 300, unit: 'um' },
          at: { time: '1970-01-01T00:00:01.000000001Z' },
          awake: true,
          list: ['a', 2],
        },
      ],
    );
    await client.query(
      `insert into heads (series_id, lane_id, project_id, rows, first_ns, last_ns, deleted_at)
       values ($1, '${PROJECT}', '${PROJECT}', 2, 1500, 1500000000, ${deleted})`,
      [id],
    );
    await client.query(
      `insert into fresh (lane_id, series_id, first_row, rows, first_ns, last_ns, sorted, values_crc, times_crc, bytes, values, times)
       values ('${PROJECT}', $1, 0, 2, 1500, 1500000000, true, 0, 0, 20, '\\x00000000', '\\x00000000000000000000000000000000')`,
      [id],
    );
  }
});

afterAll(async () => {
  await client?.end();
  await database?.drop();
});

test('varve_series shows what is not deleted, with times', async () => {
  const { rows } = await client.query('select id, project, first_time, last_time, tags from varve_series');
  expect(rows).toEqual([
    {
      id: KEPT,
      project: 'lab',
      first_time: new Date(0),
      last_time: new Date(1500),
      tags: expect.objectContaining({ awake: true }),
    },
  ]);
});

test('varve_tags shows every value by its type, quantities in base units', async () => {
  const { rows } = await client.query(
    'select key, type, text, number, dimension, time_ns from varve_tags order by key, type',
  );
  const empty = { text: null, number: null, dimension: null, time_ns: null };
  expect(rows).toEqual([
    { ...empty, key: 'at', type: 'time', time_ns: '1000000001' },
    { ...empty, key: 'awake', type: 'boolean', text: 'true' },
    { ...empty, key: 'depth', type: 'quantity', number: 0.0003, dimension: 'L1' },
    { ...empty, key: 'list', type: 'number', number: 2 },
    { ...empty, key: 'list', type: 'string', text: 'a' },
  ]);
});

test('no view shows subjects', async () => {
  const views = (table: string): Promise<pg.QueryResult> =>
    client.query('select 1 from information_schema.view_table_usage where table_name = $1', [table]);
  expect((await views('series')).rowCount).toBeGreaterThan(2);
  expect((await views('subjects')).rows).toEqual([]);
  expect((await client.query('select * from subjects')).rows).toEqual([]);
});

test('varve_chunks shows a chunk from its append on, and where it lies once it is in a shard', async () => {
  const columns =
    'series, shard, shard_state, rows, values_length, codec, counts, mins::text[], maxs::text[], sums::text[]';
  const shown = async (): Promise<unknown[]> => (await client.query(`select ${columns} from varve_chunks`)).rows;
  const chunk = { series: KEPT, rows: '2', values_length: '4', codec: 'none' };
  const unknown = { counts: null, mins: null, maxs: null, sums: null };
  expect(await shown()).toEqual([{ ...chunk, shard: null, shard_state: 'fresh', ...unknown }]);
  await client.query(
    `insert into shards (id, lane_id, state, level, path, first_commit, "commit") values ('${KEPT}', '${PROJECT}', 'live', 0, 'a.h5', 1, 1)`,
  );
  await client.query(
    `insert into chunks (series_id, first_row, rows, shard_id, dataset_row, sorted, values_offset, values_length, codec, values_crc)
     values ('${KEPT}', 0, 2, '${KEPT}', 0, true, 0, 4, 'none', 0)`,
  );
  await client.query(`delete from fresh where series_id = '${KEPT}'`);
  const inShard = { ...chunk, shard: 'a.h5', shard_state: 'live' };
  expect(await shown()).toEqual([{ ...inShard, ...unknown }]);
  const known = async (dtype: Dtype, channels: number, values: SampleArray): Promise<void> => {
    const stats = statsOf({ dtype, channels, missingValue: null }, values)!;
    await client.query('update chunks set stats = $1', [Buffer.from(stats)]);
    await client.query(`update series set dtype = $1, channel_count = $2 where id = '${KEPT}'`, [dtype, channels]);
  };
  await known('int16', 2, Int16Array.of(-5, 7, 3, 32767));
  expect(await shown()).toEqual([
    { ...inShard, counts: ['2', '2'], mins: ['-5', '7'], maxs: ['3', '32767'], sums: ['-2', '32774'] },
  ]);
  await known('int64', 1, BigInt64Array.of(-(2n ** 63n), -(2n ** 63n), -1n));
  expect(await shown()).toMatchObject([{ mins: [`${-(2n ** 63n)}`], maxs: ['-1'], sums: [`${-(2n ** 64n) - 1n}`] }]);
  await known('uint64', 1, BigUint64Array.of(2n ** 64n - 1n, 2n ** 64n - 1n));
  expect(await shown()).toMatchObject([{ mins: [`${2n ** 64n - 1n}`], sums: [`${2n ** 65n - 2n}`] }]);
  const numbers = async (): Promise<number[]> => {
    const [{ mins, maxs, sums }] = (await shown()) as Record<'mins' | 'maxs' | 'sums', string[]>[];
    return [mins, maxs, sums].flat().map(Number);
  };
  await known('float32', 1, Float32Array.of(-0.5, 1.1));
  expect((await numbers()).slice(0, 2)).toEqual([-0.5, Math.fround(1.1)]);
  for (const [a, b] of [
    [0.1, 2.5],
    [-5e-324, 5e-324],
    [1e300, 1.5e300],
    [-1e-310, 1e-308],
    [NaN, NaN],
  ]) {
    await known('float64', 1, Float64Array.of(a, b));
    const [min, max, sum] = await numbers();
    expect([min, max]).toEqual([a, b]);
    if (a === a) expect(Math.abs(sum - (a + b))).toBeLessThanOrEqual(Math.abs(a + b) * 1e-15);
  }
  await known('int16', 1, Int16Array.of(0, 0));
});

test('varve_channels has a row a channel, with the calibration that holds', async () => {
  const channels = [
    { label: 'MLII', scale: 2, location: 'chest', impedance_ohm: 5000 },
    { label: 'V5', unit: 'uV', offset: 7, bad: true, group: 'precordial' },
    { label: 'EEG', digital_min: -2048, digital_max: 2047, physical_min: -4095, physical_max: 4095 },
    { label: 'resp', gain: 200, baseline: 1024, filtering: 'LP:30Hz', reference: 'A1', info: { coil: 3 } },
  ];
  await client.query(`update series set channels = $1, unit = 'mV', scale = 0.5, "offset" = 1 where id = '${KEPT}'`, [
    JSON.stringify(channels),
  ]);
  const { rows } = await client.query(
    `select channel, label, unit, scale, "offset", gain, baseline, location, "group", filtering, reference, impedance_ohm, bad, info,
       digital_min, digital_max, physical_min, physical_max
     from varve_channels where series_id = '${KEPT}' order by channel`,
  );
  const noRanges = { digital_min: null, digital_max: null, physical_min: null, physical_max: null };
  const empty = {
    gain: null,
    baseline: null,
    location: null,
    group: null,
    filtering: null,
    reference: null,
    ...noRanges,
  };
  expect(rows).toEqual([
    { ...empty, channel: 0, label: 'MLII', unit: 'mV', scale: 1, offset: 1, location: 'chest', impedance_ohm: 5000, bad: false, info: null },
    { ...empty, channel: 1, label: 'V5', unit: 'uV', scale: 0.5, offset: 7, group: 'precordial', impedance_ohm: null, bad: true, info: null },
    { ...empty, channel: 2, label: 'EEG', unit: 'mV', scale: 2, offset: 1, impedance_ohm: null, bad: false, info: null, digital_min: -2048, digital_max: 2047, physical_min: -4095, physical_max: 4095 },
    { ...empty, channel: 3, label: 'resp', unit: 'mV', scale: null, offset: null, gain: 200, baseline: 1024, filtering: 'LP:30Hz', reference: 'A1', impedance_ohm: null, bad: false, info: { coil: 3 } },
  ]); // prettier-ignore
});
