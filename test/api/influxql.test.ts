/** Dashboards and clients of InfluxDB 1 ask what agents have written, and get it as InfluxDB tells it. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { InfluxDB } from 'influx';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { compactAll, flushAll } from '../support/command.ts';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { projectRoot } from '../support/project-root.ts';
import { describePython } from '../support/python.ts';
import { startService, type RunningService } from '../support/service.ts';
import { ApiClient, expecting } from './client.ts';

const S = 1_000_000_000n;
const T0 = 1_777_626_000n;
const at = (seconds: number): string => `${T0 + BigInt(seconds)}000000000`;

let database: TestDatabase;
let service: RunningService;
let api: ApiClient;

beforeAll(async () => {
  database = await testDatabase();
  service = await startService({ env: { DATABASE_URL: database.url } });
  api = new ApiClient(service);
  expecting(201, await api.post('/v1/projects', { name: 'plant' }));
  const lines = Array.from({ length: 600 }, (_, i) =>
    [
      `oven,line=1,room=a temperature=${20 + i / 8},count=${i}i,open=${i % 2 === 0 ? 't' : 'f'} ${at(i)}`,
      `oven,line=2,room=a temperature=${40 + i / 8} ${at(i)}`,
      ...(i < 5 ? [`door,room=b big=${2n ** 62n + BigInt(i)}i ${at(i * 60)}`] : []),
    ].join('\n'),
  ).join('\n');
  expecting(204, await write(lines));
});

afterAll(async () => {
  await service?.drop();
  await database?.drop();
});

const write = (body: string) =>
  api.send('POST', '/write?db=plant', { headers: { 'content-type': 'text/plain' }, body });

interface Shown {
  readonly name?: string;
  readonly tags?: Record<string, string>;
  readonly columns: string[];
  readonly values: unknown[][];
}
interface Result {
  readonly statement_id: number;
  readonly series?: Shown[];
  readonly error?: string;
}

async function ask(q: string, query = '&epoch=s'): Promise<Result[]> {
  const answer = await api.get(`/query?db=plant&q=${encodeURIComponent(q)}${query}`);
  return expecting(200, answer).json<{ results: Result[] }>().results;
}

const rowsOf = async (q: string): Promise<unknown[][]> => (await ask(q))[0].series?.[0].values ?? [];
const sec = (seconds: number): number => Number(T0) + seconds;
const RANGE = `time >= ${at(0)} AND time < ${at(600)}`;

test('what there is', async () => {
  const names = async (q: string): Promise<unknown> => (await ask(q))[0].series;
  expect(await names('SHOW DATABASES')).toEqual([
    { name: 'databases', columns: ['name'], values: [['default'], ['plant']] },
  ]);
  expect(await names('SHOW MEASUREMENTS')).toEqual([
    { name: 'measurements', columns: ['name'], values: [['door'], ['oven']] },
  ]);
  expect(await names('SHOW MEASUREMENTS WITH MEASUREMENT =~ /^o/')).toMatchObject([{ values: [['oven']] }]);
  expect(await names('SHOW TAG KEYS FROM "oven"')).toEqual([
    { name: 'oven', columns: ['tagKey'], values: [['line'], ['room']] },
  ]);
  expect(await names('SHOW TAG VALUES WITH KEY = "room"')).toEqual([
    { name: 'door', columns: ['key', 'value'], values: [['room', 'b']] },
    { name: 'oven', columns: ['key', 'value'], values: [['room', 'a']] },
  ]);
  expect(await names(`SHOW TAG VALUES FROM oven WITH KEY IN (line, room) WHERE line = '2'`)).toMatchObject([
    { values: [['line', '2'], ['room', 'a']] }, // prettier-ignore
  ]);
  expect(await names('SHOW FIELD KEYS')).toEqual([
    { name: 'door', columns: ['fieldKey', 'fieldType'], values: [['big', 'integer']] },
    { name: 'oven', columns: ['fieldKey', 'fieldType'], values: [['count', 'integer'], ['open', 'boolean'], ['temperature', 'float']] }, // prettier-ignore
  ]);
  expect(await names('SHOW SERIES FROM oven')).toEqual([
    { columns: ['key'], values: [['oven,line=1,room=a'], ['oven,line=2,room=a']] },
  ]);
  expect(await names('SHOW RETENTION POLICIES')).toMatchObject([{ values: [['autogen', '0s', '168h0m0s', 1, true]] }]);
});

describe.each(['fresh', 'compacted'])('points, %s', (state) => {
  beforeAll(async () => {
    if (state === 'fresh') return;
    await flushAll(service.dataRoot, { DATABASE_URL: database.url });
    await compactAll(service.dataRoot, { DATABASE_URL: database.url });
  });

  test('come with all fields and tags of their time', async () => {
    expect(await ask(`SELECT * FROM oven WHERE line = '1' AND ${RANGE} LIMIT 2`)).toEqual([
      {
        statement_id: 0,
        series: [
          {
            name: 'oven',
            columns: ['time', 'count', 'line', 'open', 'room', 'temperature'],
            values: [
              [sec(0), 0, '1', true, 'a', 20],
              [sec(1), 1, '1', false, 'a', 20.125],
            ],
          },
        ],
      },
    ]);
    expect(await rowsOf(`SELECT temperature, line FROM oven WHERE time = ${at(8)}`)).toEqual([[sec(8), 21, '1'], [sec(8), 41, '2']]); // prettier-ignore
    expect(await rowsOf('SELECT temperature FROM oven WHERE line = \'2\' ORDER BY time DESC LIMIT 2 OFFSET 1')).toEqual([[sec(598), 114.75], [sec(597), 114.625]]); // prettier-ignore
    const grouped = (await ask(`SELECT temperature FROM oven WHERE ${RANGE} GROUP BY line LIMIT 1`))[0].series;
    expect(grouped).toMatchObject([
      { tags: { line: '1' }, columns: ['time', 'temperature'], values: [[sec(0), 20]] },
      { tags: { line: '2' }, values: [[sec(0), 40]] },
    ]);
    expect(await ask(`SELECT temperature FROM oven WHERE line = 'none'`)).toEqual([{ statement_id: 0 }]);
  });

  test('keep every digit of an integer', async () => {
    const answer = await api.get(`/query?db=plant&epoch=ns&q=${encodeURIComponent('SELECT big FROM door LIMIT 2')}`);
    expect(expecting(200, answer).body.toString()).toContain(
      `"values":[[${at(0)},${2n ** 62n}],[${at(60)},${2n ** 62n + 1n}]]`,
    );
  });

  test.each<[string, unknown[]]>([
    ['count(temperature)', [sec(0), 600]],
    ['sum(count)', [sec(0), 179_700]],
    ['mean(count)', [sec(0), 299.5]],
    ['spread(count)', [sec(0), 599]],
    ['max(count)', [sec(599), 599]],
    ['min(count)', [sec(0), 0]],
    ['first(count)', [sec(0), 0]],
    ['last(count)', [sec(599), 599]],
    ['median(count)', [sec(0), 299.5]],
    ['percentile(count, 90)', [sec(539), 539]],
    ['count(count), max(count) AS most', [sec(0), 600, 599]],
  ])('%s of the whole', async (call, wanted) => {
    expect(await rowsOf(`SELECT ${call} FROM oven WHERE line = '1' AND ${RANGE}`)).toEqual([wanted]);
  });

  test('stddev is that of a sample', async () => {
    const [[, value]] = await rowsOf(`SELECT stddev(count) FROM oven WHERE ${RANGE}`);
    expect(value).toBeCloseTo(Math.sqrt((600 * 601) / 12), 9);
  });

  test('in buckets, of all series that meet the condition', async () => {
    expect(await rowsOf(`SELECT mean(temperature), max(count) FROM oven WHERE ${RANGE} GROUP BY time(5m)`)).toEqual([
      [sec(0), 30 + 299 / 16, 299],
      [sec(300), 30 + 899 / 16, 599],
    ]);
    const grouped = await ask(`SELECT first(temperature), last(temperature) FROM oven WHERE ${RANGE} GROUP BY time(5m), "line"`); // prettier-ignore
    expect(grouped[0].series!.map(({ tags, values }) => [tags, values])).toEqual([
      [{ line: '1' }, [[sec(0), 20, 57.375], [sec(300), 57.5, 94.875]]], // prettier-ignore
      [{ line: '2' }, [[sec(0), 40, 77.375], [sec(300), 77.5, 114.875]]], // prettier-ignore
    ]);
  });

  test('fill empty buckets as asked', async () => {
    const filled = (fill: string, call = 'max(big)'): Promise<unknown[][]> =>
      rowsOf(`SELECT ${call} FROM door WHERE time >= ${at(-60)} AND time < ${at(90)} GROUP BY time(30s) ${fill}`);
    const seconds = (rows: unknown[][]): unknown[] => rows.map(([time]) => (time as number) - Number(T0));
    expect(seconds(await filled('fill(none)'))).toEqual([0, 60]);
    expect(seconds(await filled(''))).toEqual([-60, -30, 0, 30, 60]);
    expect((await filled('', 'count(big)')).map(([, n]) => n)).toEqual([0, 0, 1, 0, 1]);
    expect((await filled('fill(7)', 'count(big)')).map(([, n]) => n)).toEqual([7, 7, 1, 7, 1]);
    expect((await filled('fill(previous)', 'count(big)')).map(([, n]) => n)).toEqual([null, null, 1, 1, 1]);
    expect((await filled('fill(null)', 'mean(big)')).map(([, n]) => n === null)).toEqual([true, true, false, true, false]); // prettier-ignore
  });
});

test('the dashboard for Grafana asks what is known, and finds it', async () => {
  const path = join(projectRoot(), 'docs/grafana/dashboard.json');
  interface Dashboard {
    readonly templating: { readonly list: readonly { readonly query: string }[] };
    readonly panels: readonly { readonly targets: readonly { readonly query: string }[] }[];
  }
  const { templating, panels } = JSON.parse(readFileSync(path, 'utf8')) as Dashboard;
  const queries = [...templating.list, ...panels.flatMap(({ targets }) => targets)].map(({ query }) => query);
  expect(queries.length).toBeGreaterThan(4);
  // As Grafana puts in what its variables and macros stand for.
  const from = `${T0}000ms`;
  const filled = queries.map((query) =>
    query
      .replaceAll('$measurement', 'oven')
      .replaceAll('$field', 'temperature')
      .replaceAll('$timeFilter', `time >= ${from} and time <= ${T0 + 600n}000ms`)
      .replaceAll('$__interval', '10s'),
  );
  for (const query of filled) {
    const [{ error, series }] = await ask(query, '&epoch=ms');
    expect([query, error, series?.length]).toEqual([query, undefined, expect.any(Number)]);
  }
});

test('a document a line, cut by rows', async () => {
  const q = encodeURIComponent(`SELECT count FROM oven WHERE ${RANGE} LIMIT 5; SHOW MEASUREMENTS`);
  const { body } = expecting(200, await api.get(`/query?db=plant&chunked=true&chunk_size=2&q=${q}`));
  const documents = body
    .toString()
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { results: (Result & { partial?: boolean })[] }).results[0]);
  expect(documents.map(({ statement_id: id, partial, series }) => [id, partial, series![0].values.length])).toEqual([[0, true, 2], [0, true, 2], [0, undefined, 1], [1, undefined, 2]]); // prettier-ignore
});

test('what is wrong is said as InfluxDB says it', async () => {
  for (const q of ['DROP DATABASE plant', 'SELECT', 'SELECT derivative(a) FROM b']) {
    const answer = await api.get(`/query?db=plant&q=${encodeURIComponent(q)}`);
    expect(typeof expecting(400, answer).json<{ error: string }>().error).toBe('string');
  }
  expecting(400, await api.get('/query?db=plant'));
  expect((await ask('SHOW MEASUREMENTS ON nowhere; SHOW DATABASES')).map(({ error }) => error)).toEqual(['database not found: nowhere', undefined]); // prettier-ignore
  expect((await ask('SELECT a FROM b WHERE c =~ /(?i)x/'))[0].error).toContain('regular expression');
  const unknown = await fetch(`${service.url}/query?q=SHOW%20DATABASES`);
  expect(unknown.status).toBe(401);
  const other = expecting(201, await api.post('/v1/tokens', { name: randomUUID(), scopes: ['read'], projects: ['default'] })).json<{ token: string }>(); // prettier-ignore
  const limited = (q: string): Promise<Result[]> =>
    fetch(`${service.url}/query?u=x&p=${other.token}&db=plant&q=${encodeURIComponent(q)}`)
      .then((answer) => answer.json() as Promise<{ results: Result[] }>)
      .then(({ results }) => results);
  expect((await limited('SHOW DATABASES'))[0].series![0].values).toEqual([['default']]);
  expect((await limited('SHOW MEASUREMENTS'))[0].error).toBe('database not found: plant');
  expect((await limited('CREATE DATABASE more'))[0].error).toContain('admin');
});

test('the client `influx` writes and reads its own back equal', async () => {
  const { hostname, port } = new URL(service.url);
  const client = new InfluxDB({
    host: hostname,
    port: Number(port),
    username: 'x',
    password: service.token,
    database: 'js',
  });
  await client.createDatabase('js');
  expect(await client.getDatabaseNames()).toContain('js');
  const points = Array.from({ length: 50 }, (_, i) => ({
    measurement: 'cpu_load',
    tags: { host: i % 2 ? 'a,b' : 'c=d' },
    fields: { value: i / 7, busy: i % 3 === 0 },
    timestamp: String(BigInt(at(i))),
  }));
  await client.writePoints(points, { precision: 'n' });
  const rows = await client.query<{ time: { getNanoTime(): string }; host: string; value: number; busy: boolean }>(
    'select * from cpu_load',
    { precision: 'n' },
  );
  expect(rows.map(({ time, host, value, busy }) => [time.getNanoTime(), host, value, busy])).toEqual(
    points.map(({ timestamp, tags, fields }) => [timestamp, tags.host, fields.value, fields.busy]),
  );
  expect(await client.getMeasurements()).toEqual(['cpu_load']);
  expect(await client.getSeries()).toHaveLength(2);
});

describePython('python3-influxdb', ['influxdb'], (python) => {
  test('writes and reads its own back equal', async () => {
    const { hostname, port } = new URL(service.url);
    const script = `
from influxdb import InfluxDBClient
client = InfluxDBClient(${JSON.stringify(hostname)}, ${port}, "x", ${JSON.stringify(service.token)}, "py")
client.create_database("py")
assert {"name": "py"} in client.get_list_database()
points = [{"measurement": "m", "tags": {"host": "h%d" % (i % 3)}, "time": ${T0}000000000 + i, "fields": {"f": i / 7, "i": 2**60 + i, "b": i % 2 == 0}} for i in range(100)]
assert client.write_points(points)
rows = list(client.query("select * from m", epoch="ns").get_points("m"))
assert rows == [{"time": p["time"], "host": p["tags"]["host"], **p["fields"]} for p in points], rows[:2]
assert client.get_list_measurements() == [{"name": "m"}]
means = client.query("select mean(f) from m where time >= ${T0}s and time < ${T0 + 1n}s group by host, time(1s)")
assert [k[1] for k in means.keys()] == [{"host": "h%d" % n} for n in range(3)]
assert abs(list(means.get_points(tags={"host": "h1"}))[0]["mean"] - sum(i / 7 for i in range(1, 100, 3)) / 33) < 1e-12
chunks = client.query("select f from m", chunked=True, chunk_size=30, epoch="ns")
assert sum(len(list(each.get_points())) for each in chunks) == 100
print("equal", ${S} > 0)`;
    expect(python(script).toString()).toContain('equal');
  });
});
