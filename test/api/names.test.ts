/**
 * What users call things. A name of theirs never takes the place of ours, and comes back as it was sent. It is one name
 * however it is spelt.
 */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { tableFromIPC } from 'apache-arrow';
import { randomUUID } from 'node:crypto';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { describePython } from '../support/python.ts';
import { startService, type RunningService } from '../support/service.ts';
import { runVarve } from '../support/command.ts';
import { ApiClient, expecting, type Answer, type Problem, type SeriesJson } from './client.ts';

let database: TestDatabase;
let service: RunningService;
let api: ApiClient;

beforeAll(async () => {
  database = await testDatabase();
  service = await startService({ env: { DATABASE_URL: database.url } });
  api = new ApiClient(service);
});

afterAll(async () => {
  await service?.drop();
  await database?.drop();
});

const NFC = 'Zo\u00eb';
const NFD = 'Zoe\u0308';

/** Labels that are ours somewhere, or mean something to somebody. */
const HOSTILE = [
  ['time', 'time_', 'time__', 'Time', 'times', 'values', 'value', 'series', 'name', 'channel', 'channels'],
  ['count', 'start', 'end', 'mean', 'min', 'rows', 'data', 'columns', 'segments', 'label', 'index', 'format', 'next'],
  ['a,b', 'a, b', 'a;b', 'a"b', '"', '""', "it's", 'a\\b', 'a/b', 'a.b', 'a.mean', '.', '..', 'a:b', '=1+1', '@x', '#'],
  ['a[b]', '[0]', '{}', '(1)', '<b>', '&amp;', 'a=b', 'a?b', '%', '%41', '+', 'a b', '*', '~', '`', '$x', '|'],
  ['__proto__', 'constructor', 'prototype', 'hasOwnProperty', 'toString', 'null', 'NaN', 'true', 'undefined'],
  [
    '0',
    '1',
    '-1',
    '007',
    '1e3',
    '\u200b',
    'a\u2028b',
    '\u00ad',
    NFC,
    '\u212b',
    '\u03a9 ohm',
    '🐭',
    '👩‍🔬',
    'مرحبا',
    '信号',
    'x'.repeat(200),
  ],
].flat();

const KINDS = ['regular', 'irregular'] as const;

async function hostileSeries(kind: (typeof KINDS)[number], labels: readonly string[] = HOSTILE): Promise<string> {
  const sampling = kind === 'regular' ? { kind, rate_hz: 10, start: '1970-01-01T00:00:00Z' } : { kind };
  const channels = labels.map((label) => ({ label }));
  const { id } = await api.createSeries({ name: randomUUID(), dtype: 'int32', channels, sampling });
  return id;
}

const ROWS = 3;
const row = (at: number, labels: readonly string[] = HOSTILE): number[] => labels.map((_, c) => 1000 * at + c);

async function append(id: string, kind: (typeof KINDS)[number], labels: readonly string[] = HOSTILE): Promise<void> {
  const values = Array.from({ length: ROWS }, (_, at) => row(at, labels));
  await api.append(id, kind === 'regular' ? { values } : { values, times: ['0', '100000000', '200000000'] });
}

async function octets(id: string): Promise<string> {
  return expecting(200, await api.get(`/v1/series/${id}/samples?format=octet`)).body.toString('hex');
}

const TYPES: Readonly<Record<string, string>> = {
  ndjson: 'application/x-ndjson',
  csv: 'text/csv',
  arrow: 'application/vnd.apache.arrow.file',
  'arrow-stream': 'application/vnd.apache.arrow.stream',
};

describe('channels may be called anything', () => {
  test.each(KINDS)('and come back as they were sent: %s', async (kind) => {
    const id = await hostileSeries(kind);
    const { channels } = expecting(200, await api.get(`/v1/series/${id}`)).json<{ channels: { label: string }[] }>();
    expect(channels.map(({ label }) => label)).toEqual(HOSTILE);
  });

  test.each(KINDS.flatMap((kind) => Object.keys(TYPES).map((format) => [kind, format] as const)))(
    'an answer for %s rows as %s, sent as it is, is the same rows',
    async (kind, format) => {
      const [from, to] = [await hostileSeries(kind), await hostileSeries(kind)];
      await append(from, kind);
      const { body } = expecting(200, await api.get(`/v1/series/${from}/samples?format=${format}`));
      expecting(
        201,
        await api.send('POST', `/v1/series/${to}/samples`, { headers: { 'content-type': TYPES[format] }, body }),
      );
      expect(await octets(to)).toBe(await octets(from));
    },
  );

  test.each(KINDS.flatMap((kind) => ['arrow', 'arrow-stream'].map((format) => [kind, format] as const)))(
    'in Arrow no column is missing, empty or there twice: %s, %s',
    async (kind, format) => {
      const id = await hostileSeries(kind);
      await append(id, kind);
      const table = tableFromIPC((await api.get(`/v1/series/${id}/samples?format=${format}`)).body);
      const names = table.schema.fields.map(({ name }) => name);
      expect(new Set(names).size).toBe(HOSTILE.length + 1);
      expect(table.numRows).toBe(ROWS);
      const labels = table.schema.fields.slice(1).map(({ name, metadata }) => metadata.get('label') ?? name);
      expect(labels).toEqual(HOSTILE);
      HOSTILE.forEach((_, c) => {
        const values = table.getChildAt(c + 1)?.data[0].values as Int32Array;
        expect([...values.subarray(0, ROWS)]).toEqual([c, 1000 + c, 2000 + c]);
      });
    },
  );

  test.each(['arrow', 'csv', 'json'])('buckets of all of them have a column each, in %s', async (format) => {
    const id = await hostileSeries('regular');
    await append(id, 'regular');
    const answer = await api.get(`/v1/series/${id}/samples?every=1s&agg=mean,count&format=${format}`);
    const { body } = expecting(200, answer);
    const expected = HOSTILE.flatMap((label) => [`${label}.count`, `${label}.mean`]);
    if (format === 'json') {
      const { channels } = answer.json<{ channels: { label: string; mean: number[] }[] }>();
      expect(channels.map(({ label, mean }) => [label, mean])).toEqual(HOSTILE.map((label, c) => [label, [1000 + c]]));
    } else if (format === 'arrow') {
      const names = tableFromIPC(body).schema.fields.map(({ name }) => name);
      expect(new Set(names).size).toBe(names.length);
      expect(names.slice(3).sort()).toEqual(expected.sort());
    } else {
      expect(body.toString().split('\n')[0].startsWith('start,end,count,')).toBe(true);
    }
  });

  test('each is found by its label, split or not', async () => {
    const id = await hostileSeries('regular');
    await append(id, 'regular');
    for (const [c, label] of HOSTILE.entries()) {
      const expected = [[c, 1000 + c, 2000 + c]];
      const query = new URLSearchParams([['channels[]', label]]);
      for (const more of ['', '&latest=3']) {
        const answer = await api.get(`/v1/series/${id}/samples?${query.toString()}${more}&format=csv`);
        const lines = expecting(200, answer).body.toString().trimEnd().split('\n').slice(-ROWS);
        expect({ label, values: [lines.map((line) => Number(line.split(',')[1]))] }).toEqual({
          label,
          values: expected,
        });
      }
      const line = expecting(
        200,
        await api.get(`/v1/series/${id}/samples?points=2&method=lttb&format=arrow&${query.toString()}`),
      );
      expect(tableFromIPC(line.body).numRows).toBe(2);
      const { total } = await count({ field: 'channel', eq: label });
      expect({ label, total: total > 0 }).toEqual({ label, total: true });
    }
    const wanted = new URLSearchParams([
      ['channels[]', 'a,b'],
      ['channels', 'start,end'],
      ['channels[]', 'time'],
    ]);
    const answer = await api.get(`/v1/series/${id}/samples?${wanted.toString()}&format=csv`);
    expect(expecting(200, answer).body.toString().split('\n')[0]).toBe('time,start,end,"a,b",time_');
  });

  test('a label that is asked for as one is no number, and none is asked for twice', async () => {
    const id = await hostileSeries('regular', ['a', 'b']);
    await append(id, 'regular', ['a', 'b']);
    const refused = async (query: string): Promise<void> => {
      const { errors } = expecting(400, await api.get(`/v1/series/${id}/samples?${query}`)).json<Problem>();
      expect(errors.map(({ field }) => field)).toEqual(['channels']);
    };
    await refused('channels[]=0');
    await refused('channels=a,0');
    await refused('channels=a&channels[]=a');
    await refused('channels[]=a,b');
    expecting(200, await api.get(`/v1/series/${id}/samples?channels=0,b`));
  });

  test('two labels that look alike are one, and so is a third', async () => {
    const body = { name: randomUUID(), dtype: 'int8', sampling: { kind: 'irregular' } };
    const channels = [{ label: 'a' }, { label: NFC }, { label: NFD }];
    const refused = expecting(400, await api.post('/v1/series', { ...body, channels }));
    expect(refused.json<Problem>().errors).toMatchObject([{ field: 'channels[2].label' }]);
    const id = await hostileSeries('irregular', [NFD, 'b']);
    expect((await api.get(`/v1/series/${id}`)).body.toString()).toContain(NFD);
    const csv = { headers: { 'content-type': 'text/csv' }, body: `time,b,${NFC}\n1,2,3\n` };
    expecting(201, await api.send('POST', `/v1/series/${id}/samples`, csv));
    const answer = await api.get(`/v1/series/${id}/samples?channels=${encodeURIComponent(NFC)}&format=csv&epoch=ns`);
    expect(expecting(200, answer).body.toString()).toBe(`time,${NFD}\n1,3\n`);
    expecting(201, await api.post(`/v1/series/${id}/annotations`, { start: 1, label: 'x', channels: [NFC] }));
  });

  test('a file with two columns called time has the times in the first', async () => {
    const id = await hostileSeries('irregular', ['time']);
    for (const [at, header] of ['time,time', 'time,time_', 'time_,time'].entries()) {
      const body = `${header}\n${at + 1},${at + 1}\n`;
      expecting(
        201,
        await api.send('POST', `/v1/series/${id}/samples`, { headers: { 'content-type': 'text/csv' }, body }),
      );
    }
    expect((await api.read(id)).values.flat()).toEqual([1, 2, 3]);
    const csv = { headers: { 'content-type': 'text/csv' }, body: 'time\n1\n' };
    const refused = expecting(400, await api.send('POST', `/v1/series/${id}/samples`, csv));
    expect(refused.json<Problem>().errors).toMatchObject([{ field: 'column time_' }]);
  });

  test('the command line reads one as it is', async () => {
    const id = await hostileSeries('regular');
    await append(id, 'regular');
    const env = { VARVE_URL: service.url, VARVE_TOKEN: service.token };
    const { stdout } = await runVarve(['cat', id, '--channel', 'a,b', '--channel', 'time'], env);
    expect(stdout.split('\n')[0]).toBe('time,"a,b",time_');
  });
});

describePython('NumPy, pandas and h5py read every label', ['numpy', 'pandas', 'h5py'], (run) => {
  test.each(KINDS)('%s', async (kind) => {
    const id = await hostileSeries(kind);
    await append(id, kind);
    const get = async (query: string): Promise<string> =>
      expecting(200, await api.get(`/v1/series/${id}/samples?${query}`)).body.toString('base64');
    const files = {
      csv: await get('format=csv'),
      npy: await get('format=npy'),
      buckets: await get('every=1s&agg=count,mean&format=npy'),
      hdf5: await get('format=hdf5'),
    };
    const script = `
import base64, io, json, sys
import h5py, numpy as np, pandas as pd
given = json.load(sys.stdin)
read = {name: io.BytesIO(base64.b64decode(text)) for name, text in given["files"].items()}
table = pd.read_csv(read["csv"], keep_default_na=False)
rows = np.load(read["npy"])
buckets = np.load(read["buckets"])
hdf5 = h5py.File(read["hdf5"])
group = hdf5[hdf5.attrs["group"]]
print(json.dumps({
  "columns": list(table.columns),
  "csv": table.iloc[:, 1:].to_numpy().tolist(),
  "npy": (rows["values"] if rows.dtype.names else rows).tolist(),
  "fields": list(buckets.dtype.names),
  "labels": [each["label"] for each in json.loads(group.attrs["channels"])],
  "hdf5": group["values"][:].tolist(),
}))`;
    const found = JSON.parse(run(script, JSON.stringify({ files })).toString());
    const values = Array.from({ length: ROWS }, (_, at) => row(at));
    const columns = ['time', ...HOSTILE.map((label) => (/^time_*$/.test(label) ? `${label}_` : label))];
    expect(found).toEqual({
      columns,
      csv: values,
      npy: values,
      fields: expect.arrayContaining(['start', 'end', 'count', 'mean']),
      labels: HOSTILE,
      hdf5: values,
    });
  });
});

async function count(where: unknown): Promise<{ total: number; names: string[] }> {
  const answer = expecting(200, await api.post('/v1/series/search', { where, limit: 1000 }));
  const names = answer.json<{ items: SeriesJson[] }>().items.map(({ name }) => name);
  return { total: names.length, names };
}

describe('tables of many series', () => {
  test('have a column each, whatever the series are called', async () => {
    const ids: string[] = [];
    const create = async (name: string, project: string, labels?: readonly string[]): Promise<string> => {
      const channels = labels?.map((label) => ({ label }));
      const { id } = await api.createSeries({
        name,
        project,
        dtype: 'int32',
        channels,
        sampling: { kind: 'regular', rate_hz: 10, start: '1970-01-01T00:00:00Z' },
      });
      await api.append(id, { values: labels ? [labels.map((_, c) => c)] : [0] });
      ids.push(id);
      return id;
    };
    const projects = [randomUUID(), randomUUID(), randomUUID()];
    for (const name of projects) expecting(201, await api.post('/v1/projects', { name }));
    const [mine, theirs, third] = projects;
    const twice = await create('twice', mine);
    await create('twice', theirs);
    await create(twice, mine);
    await create(`${twice}:b`, mine);
    await create('a', mine, ['b', 'c', 'time']);
    await create('a:b', mine);
    await create(NFC, mine);
    await create(NFD, theirs);
    for (const name of HOSTILE) await create(name, third);
    for (const [form, more] of [
      ['wide', { every: '1s', agg: ['mean'] }],
      ['wide', { every: '1s', agg: ['mean', 'count'] }],
      ['wide', { as_of: { every: '1s', tolerance: '1s' } }],
      ['long', {}],
      ['long', { every: '1s', agg: ['count', 'mean'] }],
    ] as const) {
      for (const format of ['json', 'ndjson', 'csv', 'arrow']) {
        const answer = expecting(
          200,
          await api.post('/v1/query', { series: 'as_of' in more ? ids.slice(0, 60) : ids, form, ...more, format }),
        );
        if (format === 'arrow') {
          const table = tableFromIPC(answer.body);
          expect(new Set(table.schema.fields.map(({ name }) => name)).size).toBe(table.schema.fields.length);
          expect(table.numRows).toBeGreaterThan(0);
        }
        if (format === 'json') {
          const { columns, data, rows } = answer.json<{ columns: { name: string }[]; data: object; rows: number }>();
          expect(Object.keys(data).sort()).toEqual(columns.map(({ name }) => name).sort());
          expect(rows).toBeGreaterThan(0);
          const names = columns.map(({ name }) => name.normalize('NFC'));
          expect(new Set(names).size).toBe(names.length);
        }
        if (format === 'ndjson') {
          const [first] = answer.body.toString().split('\n');
          const keys = [...first.matchAll(/"(?:[^"\\]|\\.)*":/g)].map(([key]) => key);
          expect(new Set(keys).size).toBe(keys.length);
        }
      }
    }
  });
});

describe('keys of tags may be anything, and are asked for by GET', () => {
  test.each(HOSTILE.filter((key) => key !== '__proto__'))('%j', async (key) => {
    const value = randomUUID();
    const { id } = await api.createSeries({
      name: randomUUID(),
      dtype: 'int8',
      sampling: { kind: 'irregular' },
      tags: { [key]: value, other: value },
    });
    const found = async (path: string): Promise<string[]> =>
      expecting(200, await api.get(path))
        .json<{ items: SeriesJson[] }>()
        .items.map((each) => each.id);
    for (const [op, text] of [
      ['eq', value],
      ['prefix', value.slice(0, 20)],
      ['in', `x,${value}`],
    ]) {
      const query = new URLSearchParams([[`tag.${key}[${op}]`, text]]);
      expect(await found(`/v1/series?${query.toString()}`)).toEqual([id]);
    }
    if (!/[[\]]/.test(key)) {
      expect(await found(`/v1/series?${new URLSearchParams([[`tag.${key}`, value]]).toString()}`)).toEqual([id]);
    }
    const query = new URLSearchParams([
      ['facets[]', `tag.${key}`],
      ['sort[]', `tag.${key}`],
      ['tag.other', value],
    ]);
    const { facets } = expecting(200, await api.get(`/v1/series?${query.toString()}`)).json<{ facets: object }>();
    expect(Object.entries(facets)).toEqual([[`tag.${key}`, [{ value, count: 1 }]]]);
    if (key !== '.' && key !== '..') {
      const listed = await api.get(`/v1/tags/${encodeURIComponent(key)}?prefix=${value}`);
      expect(expecting(200, listed).json()).toMatchObject({ key, items: [{ value, count: 1 }] });
    }
    expecting(200, await api.patch(`/v1/series/${id}`, { tags: { [key]: null } }));
    expect((await api.series(id)).tags).toEqual({ other: value });
  });

  test('but the one that no object of JavaScript has, which is refused by name', async () => {
    const body = `{"name":"${randomUUID()}","dtype":"int8","sampling":{"kind":"irregular"},"tags":{"__proto__":1}}`;
    const answer = await api.send('POST', '/v1/series', { headers: { 'content-type': 'application/json' }, body });
    expect(expecting(400, answer).json<Problem>().errors).toMatchObject([{ field: 'tags.__proto__' }]);
    expecting(400, await api.post('/v1/tags/a/rename', { to: '__proto__' }));
  });

  test('and one with brackets and no operator is refused with how to write it', async () => {
    for (const parameter of ['tag.a[b]', 'tag.a[', 'tag.age[gtee]']) {
      const refused = expecting(400, await api.get(`/v1/series?${encodeURIComponent(parameter)}=1`));
      expect(refused.json<Problem>().errors).toMatchObject([
        { field: parameter, message: expect.stringContaining('tag.a[b][eq]') },
      ]);
    }
  });
});

describe('two spellings of one name', () => {
  const sampling = { kind: 'irregular' };
  /** Each with the other, as it was sent and as it is asked for. */
  const SPELLINGS = [
    [NFC, NFD],
    [NFD, NFC],
  ] as const;
  const expectTaken = (answer: Answer, field: string): void =>
    expect(expecting(409, answer).json<Problem>().errors).toMatchObject([{ field }]);

  test.each(SPELLINGS)('of a series: %j is %j', async (sent, asked) => {
    const more = randomUUID();
    const { id, name } = await api.createSeries({
      name: `${sent} ${more}`,
      dtype: 'int8',
      sampling,
      description: `by ${sent}`,
    });
    expect(name).toBe(`${sent} ${more}`);
    const other = `${asked} ${more}`;
    expectTaken(await api.post('/v1/series', { name: other, dtype: 'int8', sampling }), 'name');
    const bulk = JSON.stringify({ name: other, dtype: 'int8', sampling });
    const headers = { 'content-type': 'application/x-ndjson' };
    const { items } = (await api.send('POST', '/v1/series/bulk', { headers, body: bulk })).json<{ items: object[] }>();
    expect(items).toMatchObject([{ status: 409 }]);
    const path = `/v1/series/by-name/${encodeURIComponent(other)}`;
    expect(expecting(200, await api.get(path)).json()).toMatchObject({ id, name });
    expecting(201, await api.post(`${path}/samples`, { times: ['1'], values: [1] }));
    for (const query of ['samples', 'samples?points=2', 'storage', 'history'])
      expecting(200, await api.get(`${path}/${query}`));
    expect(expecting(200, await api.get(`/v1/series?name=${encodeURIComponent(other)}`)).json()).toMatchObject({
      items: [{ id }],
    });
    for (const test of [
      { eq: other },
      { in: ['x', other] },
      { prefix: other.slice(0, -4) },
      { contains: other.slice(1) },
      { regex: `^${other}$` },
    ]) {
      expect((await count({ field: 'name', ...test })).names).toEqual([name]);
    }
    expect((await count({ and: [{ text: `${asked} ${more}` }] })).names).toEqual([name]);
    const second = await api.createSeries({ name: more, dtype: 'int8', sampling });
    expectTaken(await api.patch(`/v1/series/${second.id}`, { name: other }), 'name');
    expect(expecting(200, await api.patch(`/v1/series/${id}`, { name: other })).json<SeriesJson>().name).toBe(other);
  });

  test.each(SPELLINGS)('of a project: %j is %j', async (sent, asked) => {
    const more = randomUUID();
    const [project, other] = [`${sent} ${more}`, `${asked} ${more}`];
    expect(expecting(201, await api.post('/v1/projects', { name: project })).json()).toMatchObject({ name: project });
    expectTaken(await api.post('/v1/projects', { name: other }), 'name');
    const created = await api.createSeries({ name: 'a', project: other, dtype: 'int8', sampling });
    expect(created.project).toBe(project);
    expectTaken(await api.post('/v1/series', { name: 'a', project, dtype: 'int8', sampling }), 'name');
    const answer = await api.post('/v1/tokens', {
      name: 't',
      scopes: ['read', 'write', 'subjects'],
      projects: [other],
    });
    const { token } = expecting(201, answer).json<{ token: string }>();
    const encoded = encodeURIComponent(other);
    for (const path of [
      `/v1/series/by-name/a?project=${encoded}`,
      `/v1/series?project=${encoded}`,
      `/v1/tags?project=${encoded}`,
    ]) {
      expecting(200, await api.send('GET', path, { token }));
    }
    expect(expecting(200, await api.get(`/v1/series?project=${encoded}`)).json()).toMatchObject({
      items: [{ id: created.id }],
    });
    const vocabulary = `/v1/projects/${encoded}/vocabulary`;
    const json = { 'content-type': 'application/json' };
    expecting(200, await api.send('PUT', vocabulary, { headers: json, body: JSON.stringify({ keys: {} }) }));
    expecting(200, await api.get(`/v1/projects/${encodeURIComponent(project)}/vocabulary`));
    const subject = await api.send('PUT', `/v1/projects/${encoded}/subjects/${encodeURIComponent(sent)}`, {
      headers: json,
      body: '{}',
      token,
    });
    expecting(201, subject);
    const again = await api.send('PUT', `/v1/projects/${encoded}/subjects/${encodeURIComponent(asked)}`, {
      headers: json,
      body: '{}',
      token,
    });
    expect(expecting(200, again).json()).toMatchObject({ id: sent });
  });

  test.each(SPELLINGS)('of a tag and its value: %j is %j', async (sent, asked) => {
    const project = randomUUID();
    expecting(201, await api.post('/v1/projects', { name: project }));
    const [key, other] = [`${sent} key`, `${asked} key`];
    const [value, otherValue] = [`${sent} value`, `${asked} value`];
    const twice = await api.post('/v1/series', {
      name: 'x',
      project,
      dtype: 'int8',
      sampling,
      tags: { [key]: 1, [other]: 2 },
    });
    expect(expecting(400, twice).json<Problem>().errors).toMatchObject([{ field: `tags[${JSON.stringify(other)}]` }]);
    const { id, tags } = await api.createSeries({
      name: 'a',
      project,
      dtype: 'int8',
      sampling,
      tags: { [key]: value },
    });
    await api.createSeries({ name: 'b', project, dtype: 'int8', sampling, tags: { [other]: [otherValue, 'more'] } });
    expect(tags).toEqual({ [key]: value });
    const within = { field: 'project', eq: project };
    for (const test of [
      { eq: otherValue },
      { in: [otherValue, 'x'] },
      { prefix: `${asked} v` },
      { contains: asked.slice(1) },
      { regex: `^${asked}.*e$` },
      { gte: otherValue, lte: otherValue },
      { exists: true },
    ]) {
      expect((await count({ and: [within, { tag: other, ...test }] })).names).toEqual(['a', 'b']);
    }
    const ask = encodeURIComponent;
    const byGet = await api.get(
      `/v1/series?project=${project}&tag.${ask(other)}=${ask(otherValue)}&facets=${ask(other)}&sort=tag.${ask(other)}`,
    );
    const found = expecting(200, byGet).json<{ items: SeriesJson[]; facets: Record<string, object[]> }>();
    expect(found.items.map(({ name }) => name).sort()).toEqual(['a', 'b']);
    expect(found.facets[other]).toEqual([
      { value: value.normalize('NFC'), count: 2 },
      { value: 'more', count: 1 },
    ]);
    const keys = expecting(200, await api.get(`/v1/tags?project=${project}&prefix=${ask(asked)}`)).json<{
      items: object[];
    }>();
    expect(keys.items).toMatchObject([{ key: key.normalize('NFC'), count: 2 }]);
    const values = expecting(200, await api.get(`/v1/tags/${ask(other)}?project=${project}&prefix=${ask(asked)}`));
    expect(values.json<{ items: { count: number }[] }>().items.map((each) => each.count)).toEqual([2]);

    // A change of one spelling is a change of the other.
    expect(
      expecting(200, await api.patch(`/v1/series/${id}`, { tags: { [other]: 'new' } })).json<SeriesJson>().tags,
    ).toEqual({ [other]: 'new' });
    expect((await count({ and: [within, { tag: key, eq: 'new' }] })).names).toEqual(['a']);
    expect((await count({ and: [within, { tag: key, eq: value }] })).names).toEqual(['b']);
    const edit = { where: within, set: { [key]: value } };
    const edited = expecting(200, await api.post('/v1/series/tags', edit)).json<{ edit: string; series: number }>();
    expect((await api.series(id)).tags).toEqual({ [key]: value });
    expect((await count({ and: [within, { tag: other, eq: otherValue }] })).names).toEqual(['a', 'b']);
    expecting(200, await api.post(`/v1/metadata-edits/${edited.edit}/undo`, undefined));
    expect((await api.series(id)).tags).toEqual({ [other]: 'new' });
    expect((await count({ and: [within, { tag: key, eq: 'more' }] })).names).toEqual(['b']);
    expecting(400, await api.post(`/v1/tags/${ask(key)}/rename`, { to: other, project }));
    const renamed = expecting(200, await api.post(`/v1/tags/${ask(key)}/rename`, { to: 'plain', project }));
    expect(renamed.json()).toMatchObject({ series: 2 });
    const vocabulary = { closed: true, keys: { [key]: { values: [value], required: true } } };
    const headers = { 'content-type': 'application/json' };
    const set = await api.send('PUT', `/v1/projects/${project}/vocabulary`, {
      headers,
      body: JSON.stringify(vocabulary),
    });
    expect(expecting(200, set).json()).toMatchObject({ unfit: { series: 2 } });
    await api.createSeries({ name: 'fits', project, dtype: 'int8', sampling, tags: { [other]: otherValue } });
    const refused = await api.post('/v1/series', {
      name: 'no',
      project,
      dtype: 'int8',
      sampling,
      tags: { [other]: 'no' },
    });
    expecting(422, refused);
    const asBefore = await api.send('PUT', `/v1/projects/${project}/vocabulary`, {
      headers,
      body: JSON.stringify(vocabulary),
    });
    expect(asBefore.json()).toMatchObject({ unfit: { series: 2 } });
    expecting(200, await api.patch(`/v1/series/${id}`, { tags: { plain: null, [other]: otherValue } }));
  });

  test.each(SPELLINGS)('of external ids, channels, subjects and marks: %j is %j', async (sent, asked) => {
    const more = randomUUID();
    const [text, other] = [`${sent} ${more}`, `${asked} ${more}`];
    const { id, name } = await api.createSeries({
      name: randomUUID(),
      dtype: 'int8',
      sampling,
      external_ids: { [sent]: text },
      channels: [{ label: text, location: text, unit: text }],
      provenance: { subject: text, operator: text, instrument: text },
    });
    expecting(201, await api.post(`/v1/series/${id}/annotations`, { start: 1, label: text }));
    for (const where of [
      { field: 'external_id', eq: other },
      { field: 'external_id', prefix: other },
      { field: 'channel', eq: other },
      { field: 'channel', contains: other },
      { has_channel: { label: other, location: other } },
      { has_channel: { unit: other, bad: false } },
      ...['subject', 'operator', 'instrument'].map((field) => ({ field, eq: other })),
      { has_annotation: { label: other } },
    ]) {
      expect({ where, names: (await count(where)).names }).toEqual({ where, names: [name] });
    }
    const marks = expecting(200, await api.get(`/v1/series/${id}/annotations?label=${encodeURIComponent(other)}`));
    expect(marks.json()).toMatchObject({ items: [{ label: text }] });
    const patched = expecting(200, await api.patch(`/v1/series/${id}`, { external_ids: { [asked]: 'other' } }));
    expect(patched.json()).toMatchObject({ external_ids: { [asked]: 'other' } });
    expect(Object.keys(patched.json<{ external_ids: object }>().external_ids)).toEqual([asked]);
    const twice = await api.patch(`/v1/series/${id}`, { external_ids: { [NFC]: 'a', [NFD]: 'b' } });
    expect(expecting(400, twice).json<Problem>().errors).toMatchObject([
      { field: expect.stringMatching(/^external_ids/) },
    ]);
  });
});
