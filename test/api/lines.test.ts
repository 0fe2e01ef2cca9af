/** Line protocol, from what clients of InfluxDB send to what readers see. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { HttpError, InfluxDB, Point, setLogger } from '@influxdata/influxdb-client';
import { randomUUID } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { FieldType, InfluxDB as InfluxDB1 } from 'influx';
import pg from 'pg';
import { describePython } from '../support/python.ts';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { startService, type RunningService } from '../support/service.ts';
import { ApiClient, expecting, pause, type Answer, type Call, type SeriesJson } from './client.ts';
import { Telegraf } from './telegraf.ts';

/** Series of a project up to which lines make new ones. */
const MOST_SERIES = 40;

let database: TestDatabase;
let service: RunningService;
let api: ApiClient;
let sql: pg.Client;

beforeAll(async () => {
  database = await testDatabase();
  const env = { DATABASE_URL: database.url, VARVE_MAX_PROJECT_SERIES: String(MOST_SERIES) };
  service = await startService({ env });
  api = new ApiClient(service);
  sql = new pg.Client({ connectionString: database.url });
  await sql.connect();
});

afterAll(async () => {
  await sql?.end();
  await service?.drop();
  await database?.drop();
});

/** Each test has its own, which the lines of no other fill. */
async function project(name: string = randomUUID()): Promise<string> {
  expecting(201, await api.post('/v1/projects', { name }));
  return name;
}

function write(db: string, body: string | Uint8Array, query = '', call: Call = {}): Promise<Answer> {
  return api.send('POST', `/write?db=${encodeURIComponent(db)}${query}`, { body, ...call });
}

async function store(db: string, body: string | Uint8Array, query = ''): Promise<void> {
  const { status, body: said } = expecting(204, await write(db, body, query));
  expect([status, said.length]).toEqual([204, 0]);
}

async function refusal(db: string, body: string | Uint8Array, query = ''): Promise<string> {
  return expecting(400, await write(db, body, query)).json<{ error: string }>().error;
}

async function named(
  db: string,
  name: string,
): Promise<SeriesJson & { readonly dtype: string; readonly sampling: { readonly kind: string } }> {
  const path = `/v1/series/by-name/${encodeURIComponent(name)}?project=${encodeURIComponent(db)}`;
  return expecting(200, await api.get(path)).json();
}

const timesAndValues = async (db: string, name: string): Promise<unknown> => {
  const { times, values } = await api.read((await named(db, name)).id);
  return times.map((time, at) => [time, values[0][at]]);
};

const marks = async (db: string, name: string): Promise<unknown> => {
  const { id } = await named(db, name);
  const { items } = expecting(200, await api.get(`/v1/series/${id}/annotations`)).json<{
    items: { start: string; label: string; payload: { value?: string } }[];
  }>();
  return items.map(({ start, label, payload }) => [start, label, payload.value]);
};

const namesOf = async (db: string): Promise<string[]> => {
  const { items } = expecting(200, await api.get(`/v1/series?project=${db}&limit=100`)).json<{ items: SeriesJson[] }>();
  return items.map(({ name }) => name).sort();
};

/** Bits of what npy brings: a structured array of time and value. */
async function bitsOf(db: string, name: string): Promise<string> {
  const { id } = await named(db, name);
  const { body } = expecting(200, await api.get(`/v1/series/${id}/samples?format=npy`));
  const start = 10 + body.readUInt16LE(8);
  return body.subarray(start).toString('hex');
}

async function commits(): Promise<number> {
  const { rows } = await sql.query<{ value: string }>('select value from commit_counter');
  return Number(rows[0].value);
}

describe('a line', () => {
  test('makes an irregular series of each field, with the tags as they were sent, and those of measurement and field', async () => {
    const db = await project();
    await store(db, 'cpu,host=b\\ 1,core=0 usage=12.5,count=3i,size=7u,on=true 1777593600000000001');
    expect(await namesOf(db)).toEqual(
      ['count', 'on', 'size', 'usage'].map((field) => `cpu,core=0,host=b\\ 1:${field}`),
    );
    const tags = { host: 'b 1', core: '0', _measurement: 'cpu' };
    for (const [field, dtype, value] of [
      ['usage', 'float64', 12.5],
      ['count', 'int64', 3],
      ['size', 'uint64', 7],
      ['on', 'uint8', 1],
    ] as const) {
      const name = `cpu,core=0,host=b\\ 1:${field}`;
      expect(await named(db, name)).toMatchObject({
        dtype,
        sampling: { kind: 'irregular' },
        tags: { ...tags, _field: field },
        rows: 1,
      });
      expect(await timesAndValues(db, name)).toEqual([['1777593600000000001', value]]);
    }
    const found = await api.get(`/v1/series?project=${db}&tag._measurement=cpu&tag.core=0&tag._field=on`);
    expect(found.json<{ items: unknown[] }>().items).toHaveLength(1);
  });

  test('belongs to the same series however its tags are ordered, and to its project alone', async () => {
    const [a, b] = [await project(), await project('züri/lab 1')];
    await store(a, 'm,x=1,y=2 f=1 1\nm,y=2,x=1 f=2 2');
    await store(b, 'm,y=2,x=1 f=3 3');
    await store(a, 'm,y=2,x=1 f=4 4');
    expect(await timesAndValues(a, 'm,x=1,y=2:f')).toEqual([
      ['1', 1],
      ['2', 2],
      ['4', 4],
    ]);
    expect(await timesAndValues(b, 'm,x=1,y=2:f')).toEqual([['3', 3]]);
  });

  test('keeps integers exact and floats bit for bit', async () => {
    const db = await project();
    const floats = [
      0.1,
      -0,
      5e-324,
      Number.MAX_VALUE,
      0.30000000000000004,
      1 / 3,
      123456789012345680,
      -2.2250738585072014e-308,
    ];
    const integers = [9223372036854775807n, -9223372036854775808n, 9007199254740993n, -1n];
    await store(
      db,
      [
        ...floats.map((value, at) => `m f=${Object.is(value, -0) ? '-0' : value} ${at + 1}`),
        ...integers.map((value, at) => `m i=${value}i ${at + 1}`),
        'm u=18446744073709551615u 1',
      ].join('\n'),
    );
    const record = (ns: number, bytes: Buffer): Buffer => {
      const out = Buffer.alloc(16);
      out.writeBigInt64LE(BigInt(ns), 0);
      bytes.copy(out, 8);
      return out;
    };
    const float = (value: number): Buffer => Buffer.from(Float64Array.of(value).buffer);
    const integer = (value: bigint): Buffer => Buffer.from(BigInt64Array.of(value).buffer);
    expect(await bitsOf(db, 'm:f')).toBe(
      Buffer.concat(floats.map((value, at) => record(at + 1, float(value)))).toString('hex'),
    );
    expect(await bitsOf(db, 'm:i')).toBe(
      Buffer.concat(integers.map((value, at) => record(at + 1, integer(value)))).toString('hex'),
    );
    expect(await timesAndValues(db, 'm:u')).toEqual([['1', '18446744073709551615']]);
  });

  test('with a value of another type opens a second series, and none is refused for its type', async () => {
    const db = await project();
    await store(db, 'm,t=a f=1i 1\nm,t=a f=2.5 2\nm,t=a f=true 3\nm,t=a f=4u 4\nm,t=a f="five" 5\nm,t=a f=6i 6');
    await store(db, 'm,t=a f=7.5 7\nm,t=a f=8i 8');
    expect(await timesAndValues(db, 'm,t=a:f')).toEqual([
      ['1', 1],
      ['6', 6],
      ['8', 8],
    ]);
    expect(await timesAndValues(db, 'm,_type=float64,t=a:f')).toEqual([
      ['2', 2.5],
      ['7', 7.5],
    ]);
    expect(await timesAndValues(db, 'm,_type=uint8,t=a:f')).toEqual([['3', 1]]);
    expect(await timesAndValues(db, 'm,_type=uint64,t=a:f')).toEqual([['4', 4]]);
    expect((await named(db, 'm,_type=float64,t=a:f')).tags).toEqual({
      t: 'a',
      _measurement: 'm',
      _field: 'f',
      _type: 'float64',
    });
    expect(await marks(db, 'm,t=a:f')).toEqual([['5', 'five', 'five']]);
  });

  test('goes to a series that somebody else has made, if its values fit there', async () => {
    const db = await project();
    const irregular = { project: db, sampling: { kind: 'irregular' } };
    await api.createSeries({ ...irregular, name: 'm:fits', dtype: 'float64', unit: 'Cel', duplicates: 'keep' });
    await api.createSeries({ ...irregular, name: 'm:small', dtype: 'float32' });
    await api.createSeries({ ...irregular, name: 'm:wide', dtype: 'float64', channels: 2 });
    await api.createSeries({
      ...irregular,
      name: 'm:regular',
      dtype: 'float64',
      sampling: { kind: 'regular', rate_hz: 1 },
    });
    await store(db, 'm fits=1.5,small=2.5,wide=3.5,regular=4.5 1');
    expect(await timesAndValues(db, 'm:fits')).toEqual([['1', 1.5]]);
    for (const [field, value] of [
      ['small', 2.5],
      ['wide', 3.5],
      ['regular', 4.5],
    ] as const) {
      expect(await timesAndValues(db, `m,_type=float64:${field}`)).toEqual([['1', value]]);
    }
    await api.createSeries({ ...irregular, name: 'm,_type=float64:neither', dtype: 'float32' });
    await api.createSeries({ ...irregular, name: 'm:neither', dtype: 'float32' });
    expect(await refusal(db, 'm neither=1 2\nm fits=2 2')).toMatch(/line 1: m neither: .* take no float64 dropped=1$/);
    expect(await timesAndValues(db, 'm:fits')).toEqual([
      ['1', 1.5],
      ['2', 2],
    ]);
  });

  test('without a time has that of the server, and no two writes have the same', async () => {
    const db = await project();
    const before = BigInt(Date.now()) * 1_000_000n;
    for (let i = 0; i < 5; i++) await store(db, `m f=${i}`);
    const times = ((await timesAndValues(db, 'm:f')) as [string, number][]).map(([time]) => BigInt(time));
    expect(times).toHaveLength(5);
    expect(times[0]).toBeGreaterThanOrEqual(before);
    expect(times[4]).toBeLessThan(before + 600_000_000_000n);
  });

  test.each([
    ['ns', '1777593600123456789', '1777593600123456789'],
    ['us', '1777593600123456', '1777593600123456000'],
    ['ms', '-1', '-1000000'],
    ['s', '9214646399', '9214646399000000000'],
    ['h', '493776', '1777593600000000000'],
  ])('has a time in %s', async (precision, given, ns) => {
    const db = await project();
    await store(db, `m f=1 ${given}`, `&precision=${precision}`);
    expect(await timesAndValues(db, 'm:f')).toEqual([[ns, 1]]);
  });

  test('that comes again takes its own place, in one body or two', async () => {
    const db = await project();
    await store(db, 'm f=1 1\nm f=2 1\nm f=3 2');
    await store(db, 'm f=3 2\nm f=4 1');
    expect(await timesAndValues(db, 'm:f')).toEqual([
      ['1', 4],
      ['2', 3],
    ]);
  });
});

describe('texts', () => {
  test('are annotations of the series of the field, one a change', async () => {
    const db = await project();
    const at = (ns: number, state: string): string => `door,room=1 state="${state}" ${ns}`;
    await store(db, [at(10, 'open'), at(20, 'open'), at(30, 'shut'), at(40, 'shut')].join('\n'));
    await store(db, [at(50, 'shut'), at(60, 'open')].join('\n'));
    const stored = [
      ['10', 'open', 'open'],
      ['30', 'shut', 'shut'],
      ['60', 'open', 'open'],
    ];
    expect(await marks(db, 'door,room=1:state')).toEqual(stored);
    // Sent once more, as agents do that have heard no answer.
    for (let i = 0; i < 3; i++)
      await store(db, [at(10, 'open'), at(20, 'open'), at(30, 'shut'), at(60, 'open')].join('\n'));
    expect(await marks(db, 'door,room=1:state')).toEqual(stored);
    await store(db, [at(60, 'ajar'), at(5, 'shut'), at(35, 'open'), at(36, 'open')].join('\n'));
    expect(await marks(db, 'door,room=1:state')).toEqual([
      ['5', 'shut', 'shut'],
      ['10', 'open', 'open'],
      ['30', 'shut', 'shut'],
      ['35', 'open', 'open'],
      ['60', 'ajar', 'ajar'],
    ]);
  });

  test('are kept to the last character, empty ones and long ones too, and beside annotations of people', async () => {
    const db = await project();
    const long = 'é😀"\\\n'.repeat(2000);
    const quoted = (text: string): string => `"${text.replaceAll(/["\\]/g, String.raw`\$&`)}"`;
    await store(db, `m s="" 1\nm s=${quoted(long)} 2`);
    const { id } = await named(db, 'm:s');
    expecting(
      201,
      await api.post(`/v1/series/${id}/annotations`, { start: '1970-01-01T00:00:00.000000003Z', label: 'artifact' }),
    );
    await store(db, `m s=${quoted(long)} 4\nm s="end" 5`);
    const found = (await marks(db, 'm:s')) as [string, string, string | undefined][];
    expect(found.map(([start, , text]) => [start, text])).toEqual([
      ['1', ''],
      ['2', long],
      ['3', undefined],
      ['5', 'end'],
    ]);
    expect(found[0][1]).toBe('(empty)');
    expect(long.startsWith(found[1][1])).toBe(true);
  });

  test('of a line whose other field is refused are not kept', async () => {
    const db = await project();
    await store(db, 'm f=1,s="a" 1');
    const { id } = await named(db, 'm:f');
    expecting(200, await api.send('POST', `/v1/series/${id}/seal`));
    expect(await refusal(db, 'm f=2,s="b" 2\nm s="c" 3\nm g=1 3')).toMatch(
      /partial write: line 1: m f: .*sealed.* dropped=1$/,
    );
    expect(await marks(db, 'm:s')).toEqual([
      ['1', 'a', 'a'],
      ['3', 'c', 'c'],
    ]);
    expect(await timesAndValues(db, 'm:g')).toEqual([['3', 1]]);
  });
});

describe('a body', () => {
  test('of good lines is one commit, and readable when it is answered; broken ones are named and keep none out', async () => {
    const db = await project();
    await store(db, 'm a=0,b=0 0');
    const before = await commits();
    const said = await refusal(
      db,
      'm a=1 1\nm a=\nm b=2 2\nm a=3,b=? 3\nm,t a=1 1\nm a="open\nm b=5i 9223372036854775807\nm a=9 9',
    );
    expect(said).toBe(
      [
        "partial write: line 2: unable to parse 'm a=': missing field value",
        "line 4: unable to parse 'm a=3,b=? 3': invalid field value",
        "line 5: unable to parse 'm,t a=1 1': missing tag value",
        "line 6: unable to parse 'm a=\"open': unbalanced quotes",
        "line 7: unable to parse 'm b=5i 9223372036854775807': time outside range: it must lie in the years 1678 to 2261 dropped=5",
      ].join('; '),
    );
    expect(await commits()).toBe(before + 1);
    expect(await timesAndValues(db, 'm:a')).toEqual([
      ['0', 0],
      ['1', 1],
      ['9', 9],
    ]);
    expect(await timesAndValues(db, 'm:b')).toEqual([
      ['0', 0],
      ['2', 2],
    ]);
    expect(await namesOf(db)).toEqual(['m:a', 'm:b']);
  });

  test('of broken lines alone, or of none, makes and stores nothing', async () => {
    const db = await project();
    const before = await commits();
    expect(await refusal(db, 'm a=\nm,x= b=1')).toMatch(/^partial write: line 1: .* dropped=2$/);
    for (const body of ['', '\n\n', '# remark\n']) await store(db, body);
    expect([await namesOf(db), await commits()]).toEqual([[], before]);
  });

  test('that is large is read by a thread, compressed or not, and is as exact', async () => {
    const db = await project();
    const lines = Array.from({ length: 20_000 }, (_, i) => `m,t=${i % 10} f=${i / 7},i=${i}i ${1_000_000 + i}`);
    expecting(204, await write(db, gzipSync(lines.join('\n')), '', { headers: { 'content-encoding': 'gzip' } }));
    expecting(204, await write(db, Buffer.from(`${lines.map((line) => line.replace('m,', 'n,')).join('\n')}\n`)));
    for (const measurement of ['m', 'n']) {
      const { times, values } = await api.read((await named(db, `${measurement},t=3:f`)).id);
      const wanted = Array.from({ length: 2_000 }, (_, i) => i * 10 + 3);
      expect(times).toEqual(wanted.map((i) => String(1_000_000 + i)));
      expect(values[0]).toEqual(wanted.map((i) => i / 7));
    }
    const { status, body } = await write(db, `${lines.join('\n')}\nbad\n`.replace('m,t=3', 'm t=3'));
    expect([status, body.toString()]).toEqual([
      400,
      expect.stringMatching(/line 4: .*line 20001: unable to parse 'bad'.* dropped=2/),
    ]);
  });

  test('has lines in any order of time', async () => {
    const db = await project();
    const times = Array.from({ length: 50 }, (_, i) => (i * 17) % 50);
    await store(db, times.map((ns) => `m f=${ns}i ${ns}`).join('\n'));
    expect(await timesAndValues(db, 'm:f')).toEqual(Array.from({ length: 50 }, (_, i) => [String(i), i]));
  });

  test('goes on where its series was renamed, deleted, or is restored', async () => {
    const db = await project();
    await store(db, 'm f=1,s="a" 1');
    const first = await named(db, 'm:f');
    expecting(200, await api.patch(`/v1/series/${first.id}`, { name: 'room temperature' }));
    expecting(204, await api.delete(`/v1/series/${(await named(db, 'm:s')).id}`));
    await store(db, 'm f=2,s="b" 2');
    expect(await timesAndValues(db, 'room temperature')).toEqual([['1', 1]]);
    expect(await timesAndValues(db, 'm:f')).toEqual([['2', 2]]);
    expect(await marks(db, 'm:s')).toEqual([['2', 'b', 'b']]);
  });

  test('goes to a project that is there and within reach, and is otherwise told so', async () => {
    const db = await project();
    const created = await api.post('/v1/tokens', { name: 'agent', scopes: ['write'], projects: [db] });
    const { token } = expecting(201, created).json<{ token: string }>();
    expecting(204, await write(db, 'm f=1 1', '', { token }));
    const nowhere = randomUUID();
    for (const other of ['default', nowhere]) {
      expecting(403, await write(other, 'm f=1 1', '', { token }));
    }
    expect(expecting(404, await write(nowhere, 'm f=1 1')).json()).toEqual({
      error: `database not found: "${nowhere}"`,
    });
    const v2 = await api.send('POST', `/api/v2/write?bucket=${nowhere}`, { body: 'm f=1' });
    expect(expecting(404, v2).json()).toEqual({ code: 'not found', message: `bucket "${nowhere}" not found` });
    // A token that only writes is not told what is stored.
    expecting(403, await api.send('GET', `/v1/series?project=${db}`, { token }));
  });

  test('whose series the vocabulary of the project forbids is refused, line by line', async () => {
    const db = await project();
    const vocabulary = {
      closed: true,
      keys: {
        _measurement: { type: 'string' },
        _field: { type: 'string' },
        room: { type: 'string', values: ['1', '2'] },
      },
    };
    expecting(
      200,
      await api.send('PUT', `/v1/projects/${db}/vocabulary`, {
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(vocabulary),
      }),
    );
    expect(await refusal(db, 'm,room=1 f=1 1\nm,room=9 f=2,g=2 2\nm,floor=1 f=3 3')).toMatch(
      /line 2: .*line 3: .* dropped=2$/s,
    );
    expect(await namesOf(db)).toEqual(['m,room=1:f']);
  });
});

describe('series on first sight', () => {
  test('end at the limit of the project, with a warning before, and lines of those that are there go on', async () => {
    const db = await project();
    const lines = (from: number, to: number): string =>
      Array.from({ length: to - from }, (_, i) => `m,t=${from + i} f=1 1`).join('\n');
    await store(db, lines(0, 30));
    expect(service.output()).not.toContain(`"project":"${db}"`);
    await store(db, lines(30, 35));
    const warning = new RegExp(
      `"level":40.*"project":"${db}","series":35,"most":${MOST_SERIES}.*VARVE_MAX_PROJECT_SERIES`,
    );
    for (let tries = 0; tries < 100 && !warning.test(service.output()); tries++) await pause(50);
    expect(service.output()).toMatch(warning);
    const said = await refusal(db, `m,t=0 f=2 2\n${lines(35, 50)}\nm,t=1 f=2,new=1 2\nm,t=34 f=2 2`);
    expect(said).toMatch(/^partial write: line 7: m,t=40 f: max-series limit exceeded: .* of 40; .* dropped=11$/);
    expect((await namesOf(db)).length).toBe(MOST_SERIES);
    const metrics = expecting(200, await api.get('/metrics')).body.toString();
    expect(metrics).toContain(`varve_line_series{project="${db}"} ${MOST_SERIES}\n`);
    expect(metrics).toContain(`varve_line_series_limit ${MOST_SERIES}\n`);
    expect(await timesAndValues(db, 'm,t=34:f')).toEqual([
      ['1', 1],
      ['2', 2],
    ]);
    // Nothing of a line is stored whose other field makes no series.
    expect(await timesAndValues(db, 'm,t=1:f')).toEqual([['1', 1]]);
  });

  test('are made once by many writers at a time', async () => {
    const db = await project();
    const body = Array.from({ length: 20 }, (_, i) => `m,t=${i} f=1 1`).join('\n');
    const answers = await Promise.all(Array.from({ length: 6 }, (_, at) => write(db, `${body}\nw,writer=${at} f=1 1`)));
    for (const answer of answers) expecting(204, answer);
    expect((await namesOf(db)).length).toBe(26);
  });
});

describe('retention', () => {
  test('is told of lines that would expire at once, each by its number, and newer ones of their series are stored', async () => {
    const db = await project();
    await store(db, 'm f=1,g=1 1000\nn f=1 1000');
    const { id } = await named(db, 'm:f');
    // What the timer says of a rule, once the rows are in a compacted shard.
    await sql.query('update heads set expired_ns = 500 where series_id = $1', [id]);
    const said = await refusal(db, 'm f=2 499\nm f=3 500\nn f=4 1\nm f=5,g=5 100\nm f=6 2000');
    expect(said).toMatch(/^partial write: line 1: m f: points beyond retention policy: .*line 4: m f: .* dropped=2$/s);
    expect(await timesAndValues(db, 'm:f')).toEqual([
      ['500', 3],
      ['1000', 1],
      ['2000', 6],
    ]);
    // Nothing of a line is stored of which one field has expired.
    expect(await timesAndValues(db, 'm:g')).toEqual([['1000', 1]]);
    expect(await timesAndValues(db, 'n:f')).toEqual([
      ['1', 4],
      ['1000', 1],
    ]);
    expect(await refusal(db, 'm f=7 1')).toMatch(/^partial write: line 1: m f: points beyond .* dropped=1$/);
  });
});

describe('Telegraf', () => {
  const metrics = (count: number, from = 0): string[] =>
    Array.from(
      { length: count },
      (_, i) =>
        `cpu,cpu=cpu${i % 4},host=lab-1 usage_idle=${(from + i) / 8},usage_user=1i ${1777593600000000000 + (from + i) * 1000}\n`,
    );

  test.each(['v1', 'v2'] as const)('of %s delivers every batch once, compressed, and drops none', async (version) => {
    const db = await project();
    const agent = new Telegraf(service, { version, target: db, batchSize: 100, gzip: true });
    agent.add(metrics(1_000));
    await agent.flush();
    expect(agent.told).toEqual([]);
    expect(agent.buffered).toBe(0);
    const { rows } = await named(db, 'cpu,cpu=cpu1,host=lab-1:usage_idle');
    expect(rows).toBe(250);
  });

  test('of v2 splits what is too large, until all of it is there', async () => {
    const db = await project();
    const agent = new Telegraf(service, { version: 'v2', target: db, batchSize: 9, gzip: true });
    // Highly compressible: small on the wire, and too large where it is read.
    const pad = 'x'.repeat(4_000_000);
    agent.add(Array.from({ length: 9 }, (_, i) => `m,t=${i} f=${i} 1\n# ${pad}\n`));
    await agent.flush();
    expect(agent.statuses).toEqual([413, 204, 204]);
    expect([agent.told, agent.buffered]).toEqual([[], 0]);
    for (let i = 0; i < 9; i++) expect((await named(db, `m,t=${i}:f`)).rows).toBe(1);
  });

  test('keeps what is answered 503, and tries it again when it is told to', async () => {
    const agents: Telegraf[] = [];
    for (const version of ['v1', 'v2'] as const) {
      const agent = new Telegraf(service, { version, target: await project(version), batchSize: 50, gzip: false });
      agent.add(metrics(100));
      agents.push(agent);
    }
    // Files are said to be of another day: nothing is taken until they are looked at.
    await sql.query(`update catalog_identity set estranged = 'files of another day'`);
    await pause(1_100);
    for (const agent of agents) await agent.flush();
    expect(agents.map(({ statuses, told, buffered }) => ({ statuses, told, buffered }))).toEqual(
      agents.map(() => ({ statuses: [503], told: [], buffered: 100 })),
    );
    await sql.query('update catalog_identity set estranged = null');
    await pause(1_100);
    for (const agent of agents) await agent.flush();
    expect(agents.map(({ statuses, buffered }) => [statuses, buffered])).toEqual(
      agents.map(() => [[503, 204, 204], 0]),
    );
    for (const version of ['v1', 'v2']) {
      expect((await named(version, 'cpu,cpu=cpu3,host=lab-1:usage_user')).rows).toBe(25);
    }
  });

  test.each(['v1', 'v2'] as const)(
    'of %s is told of a bad metric, and the batch around it is there',
    async (version) => {
      const db = await project();
      const agent = new Telegraf(service, { version, target: db, batchSize: 100, gzip: true });
      agent.add([...metrics(10), 'cpu,host=lab-1 usage_idle=NaN 1\n', ...metrics(10, 10)]);
      await agent.flush();
      expect(agent.told).toEqual([
        expect.stringMatching(/partial write: line 11: unable to parse 'cpu,host=lab-1 usage_idle=NaN 1'.* dropped=1/),
      ]);
      expect((await named(db, 'cpu,cpu=cpu1,host=lab-1:usage_idle')).rows).toBe(6);
    },
  );
});

describe('the clients of InfluxDB', () => {
  test('of version 2 for JavaScript write points, which are read back equal, and hear what is wrong', async () => {
    const db = await project();
    // What it is answered is looked at below.
    setLogger({ error: () => {}, warn: () => {} });
    const client = new InfluxDB({ url: service.url, token: service.token });
    const writer = client.getWriteApi('nobody', db, 'ns', { maxRetries: 0, gzipThreshold: 100 });
    const point = (i: number): Point =>
      new Point('oven, big')
        .tag('plant', 'a=b, c')
        .floatField('temperature', i / 3)
        .intField('count', i)
        .uintField('size', i)
        .booleanField('open', i % 2 === 0)
        .stringField('state', `say "${Math.floor(i / 10)}" \\ ok`)
        .timestamp(String(1777593600000000000n + BigInt(i)));
    writer.writePoints(Array.from({ length: 40 }, (_, i) => point(i)));
    await writer.close();
    const key = String.raw`oven\,\ big,plant=a\=b\,\ c`;
    const at = (i: number): string => String(1777593600000000000n + BigInt(i));
    const all = Array.from({ length: 40 }, (_, i) => i);
    expect(await timesAndValues(db, `${key}:temperature`)).toEqual(all.map((i) => [at(i), i / 3]));
    expect(await timesAndValues(db, `${key}:count`)).toEqual(all.map((i) => [at(i), i]));
    expect(await timesAndValues(db, `${key}:open`)).toEqual(all.map((i) => [at(i), i % 2 === 0 ? 1 : 0]));
    expect(await marks(db, `${key}:state`)).toEqual(
      [0, 10, 20, 30].map((i) => [at(i), `say "${i / 10}" \\ ok`, `say "${i / 10}" \\ ok`]),
    );
    const failing = client.getWriteApi('nobody', randomUUID(), 'ms', { maxRetries: 0 });
    failing.writeRecord('m f=1');
    await expect(failing.close()).rejects.toMatchObject({ statusCode: 404 });
    const bad = client.getWriteApi('nobody', db, 'ms', { maxRetries: 0 });
    bad.writeRecords(['m f=1 1', 'm f=']);
    const error = await bad.close().then(
      () => null,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(HttpError);
    expect([(error as HttpError).statusCode, (error as HttpError).message]).toEqual([
      400,
      expect.stringContaining('partial write: line 2'),
    ]);
    expect(await timesAndValues(db, 'm:f')).toEqual([['1000000', 1]]);
  });

  test('of version 1 for JavaScript write points, which are read back equal, and hear what is wrong', async () => {
    const db = await project();
    const { hostname, port } = new URL(service.url);
    const client = new InfluxDB1({
      host: hostname,
      port: Number(port),
      username: 'anybody',
      password: service.token,
      database: db,
      schema: [
        {
          measurement: 'response_times',
          fields: { path: FieldType.STRING, duration: FieldType.INTEGER, load: FieldType.FLOAT, ok: FieldType.BOOLEAN },
          tags: ['host'],
        },
      ],
    });
    const hosts = await client.ping(2_000);
    expect(hosts).toEqual([expect.objectContaining({ online: true, version: expect.stringMatching(/^1\.8/) })]);
    const fields = { path: '/a "b"', duration: 123, load: 0.1, ok: true };
    const time = new Date('2026-05-01T09:00:00.123Z');
    await client.writePoints([{ measurement: 'response_times', tags: { host: 'box, 1' }, fields, timestamp: time }], {
      precision: 'ms',
    });
    const key = String.raw`response_times,host=box\,\ 1`;
    const ns = '1777626000123000000';
    expect(await timesAndValues(db, `${key}:duration`)).toEqual([[ns, 123]]);
    expect(await timesAndValues(db, `${key}:load`)).toEqual([[ns, 0.1]]);
    expect(await timesAndValues(db, `${key}:ok`)).toEqual([[ns, 1]]);
    expect(await marks(db, `${key}:path`)).toEqual([[ns, '/a "b"', '/a "b"']]);
    const other = client.writePoints([{ measurement: 'm', fields: { f: 1 } }], { database: 'nowhere' });
    await expect(other).rejects.toThrow(/database not found/);
  });

  describePython('and of version 1 for Python', ['influxdb'], (python) => {
    test('write points, which are read back equal, and hear what is wrong', async () => {
      const db = await project();
      const { hostname, port } = new URL(service.url);
      const script = `
from influxdb import InfluxDBClient
from influxdb.exceptions import InfluxDBClientError
client = InfluxDBClient(${JSON.stringify(hostname)}, ${port}, "anybody", ${JSON.stringify(service.token)}, ${JSON.stringify(db)}, gzip=True)
print(client.ping()[:4])
points = [{"measurement": "cpu load", "tags": {"host": "a,b=c d", "empty": ""}, "time": 1777593600000000000 + i,
  "fields": {"value": i / 7, "count": i, "big": 2 ** 63 - 1, "on": i % 2 == 0, "state": "line\\n\\"%d\\"" % (i // 5)}} for i in range(10)]
print(client.write_points(points, time_precision="n", batch_size=4))
print(client.write_points(["m,t=1 f=1.5 1", "m,t=1 f=2.5 2"], protocol="line", time_precision="s"))
for body in (["m f="], ["m f=1 1", "m f=x 2"]):
    try:
        client.write_points(body, protocol="line")
    except InfluxDBClientError as error:
        print(error.code, "partial write" in str(error))
try:
    client.write_points(points, database="nowhere")
except InfluxDBClientError as error:
    print(error.code, "database not found" in str(error))
try:
    InfluxDBClient(${JSON.stringify(hostname)}, ${port}, "anybody", "wrong-token", ${JSON.stringify(db)}).write_points(points)
except InfluxDBClientError as error:
    print(error.code)`;
      expect(python(script).toString().trim().split('\n')).toEqual([
        '1.8.',
        'True',
        'True',
        '400 True',
        '400 True',
        '404 True',
        '401',
      ]);
      const key = String.raw`cpu\ load,host=a\,b\=c\ d`;
      const all = Array.from({ length: 10 }, (_, i) => [String(1777593600000000000n + BigInt(i)), i] as const);
      expect(await timesAndValues(db, `${key}:value`)).toEqual(all.map(([ns, i]) => [ns, i / 7]));
      expect(await timesAndValues(db, `${key}:count`)).toEqual(all.map(([ns, i]) => [ns, i]));
      expect(await timesAndValues(db, `${key}:big`)).toEqual(all.map(([ns]) => [ns, '9223372036854775807']));
      expect(await timesAndValues(db, `${key}:on`)).toEqual(all.map(([ns, i]) => [ns, i % 2 === 0 ? 1 : 0]));
      expect(await timesAndValues(db, 'm,t=1:f')).toEqual([
        ['1000000000', 1.5],
        ['2000000000', 2.5],
      ]);
      expect(((await marks(db, `${key}:state`)) as unknown[]).length).toBe(2);
    });
  });
});
