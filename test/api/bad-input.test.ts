import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { randomBytes, randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { Agent } from 'node:http';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import pg from 'pg';
import { startService, type RunningService } from '../support/service.ts';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { ApiClient, expecting, pause, type Answer, type Call, type Problem } from './client.ts';
import { MEDIA_TYPES, npyHeader } from './sample-bodies.ts';

/** Beyond what travels in a row of Postgres, so that a body of this size has been in the spool when it is refused. */
const SPOOLED_BYTES = 1_200_000;
const NOBODY = '0190b5a0-0000-7000-8000-000000000000';

let database: TestDatabase;
let service: RunningService;
let api: ApiClient;
let sql: pg.Client;
/** Paths of series: two channels of int16 at 10 Hz with data until 2026-05-01T00:00:00.3Z … */
let regular: string;
let int64: string;
let float32: string;
/** … and irregular float64, and one whose rule is `error`, with a row at 1970-01-01T00:00:10Z each. */
let irregular: string;
let strict: string;
const tokens = { read: '', write: '' };

beforeAll(async () => {
  database = await testDatabase();
  // Nobody flushes: what is fresh stays so.
  service = await startService({ env: { DATABASE_URL: database.url }, args: ['--no-worker'] });
  api = new ApiClient(service);
  sql = new pg.Client({ connectionString: database.url });
  await sql.connect();
  const make = async (dtype: string, sampling: object, more: object, first: Readonly<Record<string, unknown>>) => {
    const { id } = await api.createSeries({ name: randomUUID(), dtype, sampling, ...more });
    await api.append(id, first);
    return `/v1/series/${id}`;
  };
  const tenHz = { kind: 'regular', rate_hz: 10 };
  const ab = { channels: [{ label: 'a' }, { label: 'b' }] };
  const row = { times: ['10000000000'], values: [1] };
  regular = await make('int16', tenHz, ab, {
    start: '2026-05-01T00:00:00Z',
    values: [
      [1, 2],
      [3, 4],
      [5, 6],
    ],
  });
  int64 = await make('int64', tenHz, {}, { values: [1] });
  float32 = await make('float32', tenHz, {}, { values: [1] });
  irregular = await make('float64', { kind: 'irregular' }, {}, row);
  strict = await make('float64', { kind: 'irregular' }, { duplicates: 'error' }, row);
  for (const scope of ['read', 'write'] as const) {
    const created = expecting(201, await api.post('/v1/tokens', { name: scope, scopes: [scope] }));
    tokens[scope] = created.json<{ token: string }>().token;
  }
});

afterAll(async () => {
  await sql?.end();
  await service?.drop();
  await database?.drop();
});

/** Everything a request could have left behind. */
async function stored(): Promise<object> {
  const { rows } = await sql.query(`
    select (select count(*) from fresh) as fresh, (select count(*) from spool_files) as spooled, (select count(*) from append_keys) as keys,
      (select json_agg(c order by c.commit) from commits c) as commits, (select count(*) from annotations) as annotations,
      (select count(*) from projects) as projects, (select count(*) from subjects) as subjects, (select count(*) from tokens where revoked_at is null) as tokens,
      (select json_agg(s order by id) from series s) as series,
      (select json_agg(h order by series_id) from heads h) as heads`);
  return { ...rows[0], spool: readdirSync(join(service.dataRoot, 'spool')) };
}

let before: object;
beforeEach(async () => {
  before = await stored();
});
afterEach(async () => {
  expect(await stored()).toEqual(before);
});

const SLUGS: Readonly<Record<number, string>> = {
  400: 'invalid-input',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not-found',
  406: 'not-acceptable',
  409: 'conflict',
  412: 'precondition-failed',
  413: 'limit-exceeded',
  415: 'unsupported-media-type',
  422: 'unprocessable',
};

/** Checks a refusal. @param fields all that must be named, and no other; undefined: nothing is said about them */
function expectProblem(
  answer: Answer,
  status: number,
  fields?: string | readonly string[],
  slug = SLUGS[status],
): void {
  expecting(status, answer);
  expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
  const problem = answer.json<Problem>();
  expect(problem).toMatchObject({
    type: `urn:varve:problem:${slug}`,
    title: expect.stringMatching(/./),
    status,
    detail: expect.stringMatching(/./),
    instance: expect.stringMatching(/^\//),
  });
  if (fields !== undefined) expect(problem.errors.map(({ field }) => field)).toEqual([fields].flat());
  for (const { message } of problem.errors) expect(message).toMatch(/./);
}

function text(length: number): string {
  return 'x'.repeat(length);
}

function nested(depth: number): object {
  let value: object = {};
  for (let i = 0; i < depth; i++) value = { a: value };
  return value;
}

describe('creating a series', () => {
  const tenHz = { kind: 'regular', rate_hz: 10 };
  const valid = { name: 'never', dtype: 'int16', sampling: tenHz };

  /** [what is changed in a valid body, the field that is named] */
  const cases: [string, object, string | string[]][] = [
    ['an unknown field', { nmae: 'x' }, 'nmae'],
    ['two unknown fields', { a: 1, b: 2 }, ['a', 'b']],
    ['several wrong fields', { dtype: 'x', scale: 0 }, ['dtype', 'scale']],
    ['a field that is not the client’s', { rows: 5 }, 'rows'],
    ['an id', { id: NOBODY }, 'id'],
    ['no name', { name: undefined }, 'name'],
    ['an empty name', { name: '' }, 'name'],
    ['a number as name', { name: 5 }, 'name'],
    ['null as name', { name: null }, 'name'],
    ['a name of 513 characters', { name: text(513) }, 'name'],
    ['a name with a line end', { name: 'a\nb' }, 'name'],
    ['a name with NUL', { name: 'a\0b' }, 'name'],
    ['a name with space around', { name: ' a' }, 'name'],
    ['half a surrogate pair', { name: 'a\ud800' }, 'name'],
    ['no dtype', { dtype: undefined }, 'dtype'],
    ['an unknown dtype', { dtype: 'int12' }, 'dtype'],
    ['a complex dtype', { dtype: 'complex64' }, 'dtype'],
    ['an object as dtype', { dtype: {} }, 'dtype'],
    ['no channels', { channels: 0 }, 'channels'],
    ['an empty list of channels', { channels: [] }, 'channels'],
    ['negative channels', { channels: -1 }, 'channels'],
    ['half a channel', { channels: 1.5 }, 'channels'],
    ['65,537 channels', { channels: 65_537 }, 'channels'],
    ['a billion channels', { channels: 1e9 }, 'channels'],
    ['channels as text', { channels: '2' }, 'channels'],
    ['labels alone', { channels: ['a'] }, 'channels[0]'],
    ['one label twice', { channels: [{ label: 'a' }, { label: 'b' }, { label: 'a' }] }, 'channels[2].label'],
    ['a label that another has by default', { channels: [{ label: 'ch1' }, {}] }, 'channels[1].label'],
    ['an empty label', { channels: [{ label: '' }] }, 'channels[0].label'],
    ['a label with a line end', { channels: [{}, { label: 'a\nb' }] }, 'channels[1].label'],
    ['an unknown field of a channel', { channels: [{ lable: 'a' }] }, 'channels[0].lable'],
    ['a scale of 0 of a channel', { channels: [{ scale: 0 }] }, 'channels[0].scale'],
    ['gain beside scale', { channels: [{ gain: 2, scale: 1 }] }, 'channels[0].gain'],
    ['baseline without gain', { channels: [{ baseline: 2 }] }, 'channels[0].baseline'],
    ['no sampling', { sampling: undefined }, 'sampling'],
    ['text as sampling', { sampling: 'regular' }, 'sampling'],
    ['an unknown kind', { sampling: { kind: 'weekly' } }, 'sampling.kind'],
    ['no rate', { sampling: { kind: 'regular' } }, 'sampling.rate_hz'],
    ['a rate of an irregular series', { sampling: { kind: 'irregular', rate_hz: 1 } }, 'sampling.rate_hz'],
    ...[0, -1, 1e10, 1e-12, 'fast', '1/0', null, [10]].map((rate): [string, object, string] => [
      `a rate of ${JSON.stringify(rate)}`,
      { sampling: { kind: 'regular', rate_hz: rate } },
      'sampling.rate_hz',
    ]),
    ...[
      'yesterday',
      '2026-13-01T00:00:00Z',
      '2026-02-30T00:00:00Z',
      '2026-05-01T24:00:01Z',
      '2026-05-01T00:00:00+99:00',
      '2300-01-01T00:00:00Z',
      '9223372036854775808',
      1.5,
      1e300,
      true,
      {},
    ].map((start): [string, object, string] => [
      `a start of ${JSON.stringify(start)}`,
      { sampling: { ...tenHz, start } },
      'sampling.start',
    ]),
    ['a scale of 0', { scale: 0 }, 'scale'],
    ['text as scale', { scale: '1' }, 'scale'],
    ['null as offset', { offset: null }, 'offset'],
    ['an empty unit', { unit: '' }, 'unit'],
    ['tags as a list', { tags: ['mouse'] }, 'tags'],
    ['an object as a tag', { tags: { a: {} } }, 'tags.a'],
    ['null as a tag', { tags: { a: null } }, 'tags.a'],
    ['a list within a list as a tag', { tags: { 'a b': [[1]] } }, 'tags["a b"][0]'],
    ['an empty list as a tag', { tags: { 'a b': [] } }, 'tags["a b"]'],
    ['a wrong time as a tag', { tags: { a: { time: 'noon' } } }, 'tags.a.time'],
    ['a quantity without a unit', { tags: { a: { value: 5 } } }, 'tags.a'],
    ['a control character in a key', { tags: { 'a\u0001b': 1 } }, 'tags["a\\u0001b"]'],
    ['a tag of 4,097 characters', { tags: { a: text(4097) } }, 'tags.a'],
    ['257 tags', { tags: Object.fromEntries(Array.from({ length: 257 }, (_, n) => [`k${n}`, n])) }, 'tags'],
    ['an unknown rule for duplicates', { duplicates: 'first' }, 'duplicates'],
    ['an unknown codec', { codec: 'lz4' }, 'codec'],
    ['an unknown time reference', { time_reference: 'tai' }, 'time_reference'],
    ['a list as provenance', { provenance: [] }, 'provenance'],
    ['a serial number that is none', { provenance: { instrument: { serial: 5 } } }, 'provenance.instrument.serial'],
    ['a checksum that is none', { provenance: { source: { sha256: 'x' } } }, 'provenance.source.sha256'],
    ['an ancestor that is none', { provenance: { derived_from: [NOBODY, 'x'] } }, 'provenance.derived_from[1]'],
    ['provenance of 65 KiB', { provenance: { text: text(65 * 1024) } }, 'provenance'],
  ];

  test.each(cases)('%s is refused and named', async (_, change, fields) => {
    expectProblem(await api.post('/v1/series', { ...valid, ...change }), 400, fields);
  });

  const bodies: [string, Call & { query?: string }, number, string | undefined][] = [
    ['a list', { body: '[]' }, 400, 'body'],
    ['a number', { body: '5' }, 400, 'body'],
    ['nothing', { body: '' }, 400, undefined],
    ['JSON that is cut off', { body: JSON.stringify(valid).slice(0, -5) }, 400, 'body'],
    ['JSON with something behind', { body: `${JSON.stringify(valid)} {}` }, 400, 'body'],
    ['a tag beyond every double', { body: '{"name":"n","dtype":"int8","tags":{"a":1e999}}' }, 400, undefined],
    ['a start that lost its digits', { body: '{"sampling":{"start":1777626000123456789}}' }, 400, undefined],
    ['nesting without end', { body: '['.repeat(500_000) }, 400, 'body'],
    ['deep nesting', { body: JSON.stringify({ ...valid, provenance: nested(100) }) }, 400, undefined],
    ['__proto__', { body: `{"__proto__":{"name":"n"},${JSON.stringify(valid).slice(1)}` }, 400, '__proto__'],
    ['more than a mebibyte', { body: JSON.stringify({ ...valid, description: text(1_100_000) }) }, 413, 'body'],
    [
      'a form',
      { body: 'name=a', headers: { 'content-type': 'application/x-www-form-urlencoded' } },
      415,
      'Content-Type',
    ],
    ['Latin-1', { body: '{}', headers: { 'content-type': 'application/json; charset=latin1' } }, 415, 'Content-Type'],
    ['an unknown encoding', { body: '{}', headers: { 'content-encoding': 'zstd' } }, 415, 'body'],
    ['gzip that is none', { body: '{}', headers: { 'content-encoding': 'gzip' } }, 400, 'body'],
    ['a gzip bomb', { body: gzipSync(text(50_000_000)), headers: { 'content-encoding': 'gzip' } }, 413, 'body'],
    ['an unknown parameter', { body: JSON.stringify(valid), query: '?dry_run=true' }, 400, 'dry_run'],
  ];

  test.each(bodies)('a body of %s is refused', async (_, { query = '', headers, body }, status, field) => {
    const call = { headers: { 'content-type': 'application/json', ...headers }, body };
    expectProblem(await api.send('POST', `/v1/series${query}`, call), status, field);
  });
});

describe('changing a series', () => {
  test.each([
    ['its dtype', { dtype: 'int32' }, 'dtype'],
    ['its sampling', { sampling: { kind: 'irregular' } }, 'sampling.kind'],
    ['its rows', { rows: 0 }, 'rows'],
    ['its name to nothing', { name: null }, 'name'],
    ['its scale to 0', { scale: 0 }, 'scale'],
    ['a tag to an object', { tags: { a: {} } }, 'tags.a'],
    ['a tag of no name', { tags: { '': 1 } }, undefined],
    ['its subject to a number', { provenance: { subject: 5, operator: null } }, 'provenance.subject'],
    ['a part of its provenance to nothing', { provenance: { source: { file: null } } }, 'provenance.source.file'],
    ['a channel to an unknown field', { channels: [{ label: 'a' }, { label: 'b', colour: 1 }] }, 'channels[1].colour'],
  ])('%s is refused', async (_, patch, field) => {
    expectProblem(await api.patch(regular, patch), 400, field);
  });

  test('another number of channels does not fit', async () => {
    expectProblem(await api.patch(regular, { channels: [{ label: 'a' }] }), 422, 'channels');
  });

  test.each(['"0-0"', '"x"', 'W/"1-0"', '1'])('If-Match: %s does not hold', async (ifMatch) => {
    expectProblem(await api.patch(regular, { unit: 'mV' }, { 'if-match': ifMatch }), 412, 'If-Match');
    expectProblem(await api.delete(regular, { 'if-match': ifMatch }), 412, 'If-Match');
  });
});

describe('setting a subject', () => {
  const put = (id: string, body: unknown, query = ''): Promise<Answer> => {
    const call = { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
    return api.send('PUT', `/v1/projects/default/subjects/${id}${query}`, call);
  };

  test.each<[string, unknown, string | string[]]>([
    ['a list', [], 'body'],
    ['nothing', null, 'body'],
    ['a species that is a number', { species: 5 }, 'species'],
    ['an empty sex', { sex: '' }, 'sex'],
    ['a strain of 501 characters', { strain: text(501) }, 'strain'],
    ['a genotype that is an object', { genotype: {} }, 'genotype'],
    ['a birth on no day', { date_of_birth: '2025-02-29' }, 'date_of_birth'],
    ['a birth at a time', { date_of_birth: '2025-02-28T10:00:00Z' }, 'date_of_birth'],
    ['an age that is a number', { age: 61 }, 'age'],
    ['a weight without a unit', { weight: { value: 5 } }, 'weight.unit'],
    ['a weight in metres', { weight: { value: 5, unit: 'm' } }, 'weight.unit'],
    ['a weight in no unit', { weight: { value: 5, unit: 'stone' } }, 'weight.unit'],
    ['no weight', { weight: { value: 0, unit: 'kg' } }, 'weight.value'],
    ['a weight as text', { weight: '23 g' }, 'weight'],
    ['null as handedness', { handedness: null }, 'handedness'],
    ['several at once', { sex: 1, weight: {} }, ['sex', 'weight.value', 'weight.unit']],
    ['a list as description', { description: [] }, 'description'],
    ['NUL in a free key', { room: { of: 'a\0b' } }, 'room.of'],
    ['65 KiB', { text: text(65 * 1024) }, 'body'],
  ])('to %s is refused and named', async (_, body, field) => {
    expectProblem(await put('m-1', body), 400, field);
  });

  test.each([
    ['an identifier with NUL', 'a%00b', '', 400, 'id'],
    ['an identifier with a line end', 'a%0Ab', '', 400, 'id'],
    ['an identifier of 513 characters', text(513), '', 400, 'id'],
    ['a space as identifier', '%20', '', 400, 'id'],
    ['a parameter', 'a', '?dry_run=true', 400, 'dry_run'],
  ])('with %s is refused', async (_, id, query, status, field) => {
    expectProblem(await put(id, {}, query), status, field);
  });

  test('to more than a mebibyte, or to a form, is refused', async () => {
    expectProblem(await put('m-1', { text: text(1_100_000) }), 413, 'body');
    expectProblem(
      await api.send('PUT', '/v1/projects/default/subjects/a', {
        body: 'a=b',
        headers: { 'content-type': 'text/plain' },
      }),
      415,
      'Content-Type',
    );
  });

  test.each([
    ['limit=0', 'limit'],
    ['limit=201', 'limit'],
    ['cursor=x', 'cursor'],
    ['species=mouse', 'species'],
  ])('is not listed with %s', async (query, field) => {
    expectProblem(await api.get(`/v1/projects/default/subjects?${query}`), 400, field);
  });
});

describe('searching', () => {
  test.each([
    ['limit=0', 'limit'],
    ['limit=1001', 'limit'],
    ['limit=ten', 'limit'],
    ['limit=1&limit=2', 'limit'],
    ['kind=weekly', 'kind'],
    ['species=mouse', 'species'],
    ['tag.a[like]=x', 'tag.a[like]'],
    ['tag.=x', 'tag.'],
    ['tag.a[gte=x', 'tag.a[gte'],
    ['unit=a%00b', 'unit'],
    ['tag.a=%00', 'tag.a'],
    ['tag.a[regex]=(', 'tag.a[regex]'],
    ['overlaps=2026-05-02,2026-05-01', 'overlaps'],
    ['overlaps=2026-05-02', 'overlaps'],
    ['active_since=noon', 'active_since'],
    ['q=-', 'q'],
    ['sort=colour', 'sort'],
    ['sort=name,,', 'sort'],
    ['facets=field.rows', 'facets'],
    ['facets=a,a', 'facets'],
    ['explain=1', 'explain'],
    ['cursor=', 'cursor'],
    [`cursor=${text(5000)}`, 'cursor'],
  ])('%s is refused', async (query, field) => {
    expectProblem(await api.get(`/v1/series?${query}`), 400, field);
  });
});

interface Refusal {
  readonly series: () => string;
  readonly body?: string | Uint8Array | (() => AsyncIterable<Uint8Array>);
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly query?: string;
  readonly status: number;
  /** Undefined: nothing is said. */
  readonly field?: string | readonly string[];
  readonly slug?: string;
  /** Message of the first field. */
  readonly message?: string;
}

const inRegular = { series: () => regular };
const inIrregular = { series: () => irregular };
const inStrict = { series: () => strict };
const inInt64 = { series: () => int64 };
const inFloat32 = { series: () => float32 };

function json(value: unknown): { type: string; body: string } {
  return { type: MEDIA_TYPES.json, body: typeof value === 'string' ? value : JSON.stringify(value) };
}
const ndjson = (body: string): { type: string; body: string } => ({ type: MEDIA_TYPES.ndjson, body });
const csv = (body: string): { type: string; body: string } => ({ type: MEDIA_TYPES.csv, body });
const octet = (body: Uint8Array): { type: string; body: Uint8Array } => ({ type: MEDIA_TYPES.octet, body });
function npy(dict: string | Uint8Array, data = new Uint8Array(0)): { type: string; body: Uint8Array } {
  return { type: MEDIA_TYPES.npy, body: Buffer.concat([typeof dict === 'string' ? npyHeader(dict) : dict, data]) };
}
const npyDict = (descr: string, shape: string, fortran = 'False'): string =>
  `{'descr': ${descr}, 'fortran_order': ${fortran}, 'shape': ${shape}, }`;

async function refuses(refusal: Refusal): Promise<void> {
  const { series, body, type, headers, query = '', status, field, slug, message } = refusal;
  const answer = await api.send('POST', `${series()}/samples${query}`, {
    headers: { ...(type !== undefined && { 'content-type': type }), ...headers },
    body: typeof body === 'function' ? body() : body,
  });
  expectProblem(answer, status, field, slug);
  if (message !== undefined) expect(answer.json<Problem>().errors[0].message).toBe(message);
}

describe('appending', () => {
  describe('JSON', () => {
    test.each<[string, Refusal]>([
      ['that is cut off', { ...inRegular, ...json('{"values": [[1, 2], [3'), status: 400, field: 'body' }],
      ['that is none', { ...inRegular, ...json('hello'), status: 400, field: 'body' }],
      ['that is empty', { ...inRegular, ...json(''), status: 400, field: 'body' }],
      ['that is a list', { ...inRegular, ...json([[1, 2]]), status: 400, field: 'body' }],
      ['with a bare NaN', { ...inFloat32, ...json('{"values": [NaN]}'), status: 400, field: 'body' }],
      [
        'with an unknown field',
        { ...inRegular, ...json({ values: [[1, 2]], unit: 'mV' }), status: 400, field: 'unit' },
      ],
      ['without values', { ...inRegular, ...json({}), status: 400, field: 'values' }],
      ['with null as values', { ...inRegular, ...json({ values: null }), status: 400, field: 'values' }],
      ['with no rows', { ...inRegular, ...json({ values: [] }), status: 400, field: 'values', slug: 'empty' }],
      ['with too few channels', { ...inRegular, ...json({ values: [[1, 2], [3]] }), status: 422, field: 'values[1]' }],
      ['with too many channels', { ...inRegular, ...json({ values: [[1, 2, 3]] }), status: 422, field: 'values[0]' }],
      ['flat, for two channels', { ...inRegular, ...json({ values: [1, 2] }), status: 422, field: 'values[0]' }],
      ['with text as a value', { ...inRegular, ...json({ values: [[1, 'x']] }), status: 400, field: 'values[0][1]' }],
      [
        'with a boolean as a value',
        { ...inRegular, ...json({ values: [[true, 1]] }), status: 400, field: 'values[0][0]' },
      ],
      ['too deep', { ...inRegular, ...json({ values: [[[1], 2]] }), status: 400, field: 'values[0][0]' }],
      [
        'with null in an integer series',
        { ...inRegular, ...json({ values: [[1, null]] }), status: 422, field: 'values[0][1]' },
      ],
      [
        'with NaN in an integer series',
        { ...inRegular, ...json({ values: [['NaN', 1]] }), status: 422, field: 'values[0][0]' },
      ],
      [
        'with a fraction in an integer series',
        { ...inRegular, ...json({ values: [[1.5, 1]] }), status: 422, field: 'values[0][0]' },
      ],
      [
        'out of range',
        {
          ...inRegular,
          ...json({
            values: [
              [1, 1],
              [1, 32_768],
            ],
          }),
          status: 422,
          field: 'values[1][1]',
        },
      ],
      ['beyond float32', { ...inFloat32, ...json({ values: [1e39] }), status: 422, field: 'values[0]' }],
      ['beyond every double', { ...inFloat32, ...json('{"values": [1e999]}'), status: 422, field: 'values[0]' }],
      [
        'with a bare integer past 2^53',
        { ...inInt64, ...json('{"values": [9007199254740993]}'), status: 422, field: 'values[0]' },
      ],
      ['past int64', { ...inInt64, ...json({ values: ['9223372036854775808'] }), status: 422, field: 'values[0]' }],
      ['with digits and letters', { ...inInt64, ...json({ values: ['12a'] }), status: 400, field: 'values[0]' }],
      [
        'by rows that are channels',
        {
          ...inRegular,
          ...json({ values: [[1, 2, 3], [4, 5, 6]] }), // prettier-ignore
          status: 422,
          field: 'values[0]',
          message: 'has 3 values; the series has 2 channels; if each list is a channel, add "orient": "channels"',
        },
      ],
      [
        'by rows that are channels, of an irregular series',
        {
          ...inIrregular,
          ...json({ times: [1, 2, 3], values: [[1, 2, 3]] }),
          status: 422,
          field: 'values[0]',
          message: 'has 3 values; the series has 1 channel; if each list is a channel, add "orient": "channels"',
        },
      ],
      [
        'by rows of which one is too long',
        {
          ...inRegular,
          ...json({ values: [[1, 2], [3, 4, 5]] }), // prettier-ignore
          status: 422,
          field: 'values[1]',
          message: 'has 3 values; the series has 2 channels',
        },
      ],
      [
        'by channels that are rows',
        {
          ...inRegular,
          ...json({ orient: 'channels', values: [[1, 2], [3, 4], [5, 6]] }), // prettier-ignore
          status: 422,
          field: 'values',
          message: 'has 3 lists; the series has 2 channels; if each list is a row, leave "orient" out',
        },
      ],
      [
        'by channels of different lengths',
        {
          ...inRegular,
          ...json({ orient: 'channels', values: [[1, 2, 3], [4, 5]] }), // prettier-ignore
          status: 422,
          field: 'values[1]',
          message: 'has 2 values, values[0] has 3',
        },
      ],
      [
        'by channels, one of which is no list',
        { ...inRegular, ...json({ orient: 'channels', values: [[1, 2], 3] }), status: 422, field: 'values[1]' },
      ],
      [
        'by channels with a value that is none',
        { ...inRegular, ...json({ orient: 'channels', values: [[1, 2], [3, 'x']] }), status: 400, field: 'values[1][1]' }, // prettier-ignore
      ],
      [
        'by channels with too few times',
        {
          ...inIrregular,
          ...json({ orient: 'channels', times: [1], values: [[1, 2]] }),
          status: 400,
          field: 'times',
        },
      ],
      [
        'by a way that is none',
        { ...inRegular, ...json({ orient: 'columns', values: [[1, 2]] }), status: 400, field: 'orient' },
      ],
      [
        'with times that are no list, for a regular series',
        { ...inRegular, ...json({ times: 1, values: [[1, 2]] }), status: 400, field: 'times' },
      ],
      [
        'with a start that is no time',
        { ...inRegular, ...json({ start: 'soon', values: [[1, 2]] }), status: 400, field: 'start' },
      ],
      [
        'with a start that is a fraction',
        { ...inRegular, ...json({ start: 1.5, values: [[1, 2]] }), status: 400, field: 'start' },
      ],
      ['without times', { ...inIrregular, ...json({ values: [1] }), status: 400, field: 'times' }],
      ['with too few times', { ...inIrregular, ...json({ times: [1], values: [1, 2] }), status: 400, field: 'times' }],
      ['with too many times', { ...inIrregular, ...json({ times: [1, 2], values: [1] }), status: 400, field: 'times' }],
      [
        'with a time that is none',
        { ...inIrregular, ...json({ times: [1, 'x'], values: [1, 2] }), status: 400, field: 'times[1]' },
      ],
      [
        'with null as a time',
        { ...inIrregular, ...json({ times: [null], values: [1] }), status: 400, field: 'times[0]' },
      ],
      [
        'with a time past int64',
        { ...inIrregular, ...json({ times: ['9223372036854775808'], values: [1] }), status: 400, field: 'times[0]' },
      ],
      [
        'with a start for an irregular series',
        { ...inIrregular, ...json({ start: 1, times: [1], values: [1] }), status: 422, field: 'start' },
      ],
      ['of more than 32 MiB', { ...inFloat32, ...json(`{"values": [${text(34_000_000)}]}`), status: 413 }],
      [
        'that inflates to 60 MB',
        {
          ...inFloat32,
          type: MEDIA_TYPES.json,
          body: gzipSync(text(60_000_000)),
          headers: { 'content-encoding': 'gzip' },
          status: 413,
        },
      ],
    ])('%s is refused', (_, refusal) => refuses(refusal));
  });

  describe('NDJSON', () => {
    test.each<[string, Refusal]>([
      ['that is cut off', { ...inRegular, ...ndjson('{"values":[1,2]}\n{"values":[1'), status: 400, field: 'line 2' }],
      [
        'with an unknown field',
        { ...inRegular, ...ndjson('{"values":[1,2],"x":1}\n'), status: 400, field: 'line 1 x' },
      ],
      ['without values', { ...inRegular, ...ndjson('\n{"time":1}\n'), status: 400, field: 'line 2 values' }],
      ['with a list as a line', { ...inRegular, ...ndjson('[1,2]\n'), status: 400, field: 'line 1' }],
      [
        'with too few channels',
        { ...inRegular, ...ndjson('{"values":[1,2]}\n{"values":[1]}\n'), status: 422, field: 'line 2 values' },
      ],
      ['out of range', { ...inRegular, ...ndjson('{"values":[1,40000]}\n'), status: 422, field: 'line 1 values[1]' }],
      [
        'without a time',
        { ...inIrregular, ...ndjson('{"time":1,"values":1}\n{"values":2}\n'), status: 400, field: 'line 2 time' },
      ],
      ['with a line of 2 MB', { ...inRegular, ...ndjson(`{"values":[${' '.repeat(2_000_000)}1,2]}\n`), status: 413 }],
      ['of no lines', { ...inRegular, ...ndjson('\n\n'), status: 400, field: 'values', slug: 'empty' }],
      [
        'that is not UTF-8',
        {
          ...inRegular,
          type: MEDIA_TYPES.ndjson,
          body: Buffer.from('{"values":[1,2]}\n\xff', 'latin1'),
          status: 400,
          field: 'body',
        },
      ],
      [
        'wrong after 200 KB',
        { ...inRegular, ...ndjson(`${'{"values":[1,2]}\n'.repeat(20_000)}x`), status: 400, field: 'line 20001' },
      ],
    ])('%s is refused', (_, refusal) => refuses(refusal));
  });

  describe('CSV', () => {
    test.each<[string, Refusal]>([
      ['without a header', { ...inRegular, ...csv(''), status: 400, field: 'body' }],
      ['with a header alone', { ...inRegular, ...csv('time,a,b\n'), status: 400, field: 'values', slug: 'empty' }],
      ['without a channel', { ...inRegular, ...csv('time,a\n,1\n'), status: 400, field: 'column b' }],
      ['with an unknown column', { ...inRegular, ...csv('time,a,b,c\n,1,2,3\n'), status: 400, field: 'column c' }],
      ['with a column twice', { ...inRegular, ...csv('a,b,a\n1,2,3\n'), status: 400, field: 'column a' }],
      ['with a short line', { ...inRegular, ...csv('a,b\n1,2\n3\n'), status: 400, field: 'line 3' }],
      ['with a long line', { ...inRegular, ...csv('a,b\n1,2,3\n'), status: 400, field: 'line 2' }],
      ['with text as a value', { ...inRegular, ...csv('a,b\n1,x\n'), status: 400, field: 'line 2 column b' }],
      [
        'with an empty field in an integer series',
        { ...inRegular, ...csv('a,b\n1,\n'), status: 422, field: 'line 2 column b' },
      ],
      [
        'with a fraction in an integer series',
        { ...inRegular, ...csv('a,b\n1,2.5\n'), status: 422, field: 'line 2 column b' },
      ],
      ['past int64', { ...inInt64, ...csv('value\n9223372036854775808\n'), status: 422, field: 'line 2 column value' }],
      [
        'with a start that is no time',
        { ...inRegular, ...csv('time,a,b\nsoon,1,2\n'), status: 400, field: 'line 2 column time' },
      ],
      ['without the column of times', { ...inIrregular, ...csv('value\n1\n'), status: 400, field: 'column time' }],
      ['without a time', { ...inIrregular, ...csv('time,value\n1,1\n,2\n'), status: 400, field: 'line 3 column time' }],
      ['with an open quote', { ...inRegular, ...csv('a,b\n1,"2\n'), status: 400, field: 'line 2' }],
      [
        'wrong after 200 KB',
        { ...inRegular, ...csv(`a,b\n${'12345,12345\n'.repeat(20_000)}1`), status: 400, field: 'line 20002' },
      ],
    ])('%s is refused', (_, refusal) => refuses(refusal));
  });

  describe('npy', () => {
    const magic = (version: number, length: Uint8Array): Uint8Array =>
      Buffer.concat([Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, version, 0]), length]);
    const whole = npyHeader(npyDict("'<i2'", '(1, 2)'));
    test.each<[string, Refusal]>([
      ['that is empty', { ...inRegular, ...npy(''.padEnd(0)), body: new Uint8Array(0), status: 400, field: 'body' }],
      ['that is none', { ...inRegular, ...npy(Buffer.from('hello, world')), status: 400, field: 'body' }],
      ['whose header is cut off', { ...inRegular, ...npy(whole.subarray(0, -10)), status: 400, field: 'body' }],
      ['that ends after its magic', { ...inRegular, ...npy(whole.subarray(0, 8)), status: 400, field: 'body' }],
      ['of an unknown version', { ...inRegular, ...npy(magic(9, Buffer.from([0, 0]))), status: 400, field: 'body' }],
      [
        'with a header of 4 GiB',
        { ...inRegular, ...npy(magic(2, Buffer.from([255, 255, 255, 255]))), status: 400, field: 'body' },
      ],
      ['with a header that is no dict', { ...inRegular, ...npy('hello'), status: 400, field: 'body' }],
      [
        'with a header of code',
        {
          ...inRegular,
          ...npy("{'descr': __import__('os'), 'fortran_order': False, 'shape': (1,)}"),
          status: 400,
          field: 'body',
        },
      ],
      ['with a header of brackets', { ...inRegular, ...npy('['.repeat(60_000)), status: 400, field: 'body' }],
      [
        'without a shape',
        { ...inRegular, ...npy("{'descr': '<i2', 'fortran_order': False}"), status: 400, field: 'body' },
      ],
      [
        'with a gigantic shape',
        { ...inRegular, ...npy(npyDict("'<i2'", '(9007199254740991, 2)')), status: 400, field: 'body' },
      ],
      [
        'with a shape past 2^64',
        { ...inRegular, ...npy(npyDict("'<i2'", '(99999999999999999999999, 2)')), status: 400, field: 'body' },
      ],
      [
        'with a large shape and no data',
        { ...inRegular, ...npy(npyDict("'<i2'", '(1000000000, 2)')), status: 400, field: 'body' },
      ],
      ['with a negative shape', { ...inRegular, ...npy(npyDict("'<i2'", '(-1, 2)')), status: 400, field: 'body' }],
      [
        'of no dimension',
        { ...inRegular, ...npy(npyDict("'<i2'", '()'), new Uint8Array(2)), status: 422, field: 'body' },
      ],
      [
        'of three dimensions',
        { ...inRegular, ...npy(npyDict("'<i2'", '(1, 1, 2)'), new Uint8Array(4)), status: 422, field: 'body' },
      ],
      ['of no rows', { ...inRegular, ...npy(npyDict("'<i2'", '(0, 2)')), status: 400, field: 'values', slug: 'empty' }],
      [
        'in Fortran order',
        { ...inRegular, ...npy(npyDict("'<i2'", '(2, 2)', 'True'), new Uint8Array(8)), status: 422, field: 'body' },
      ],
      [
        'of another dtype',
        { ...inRegular, ...npy(npyDict("'<f4'", '(1, 2)'), new Uint8Array(8)), status: 422, field: 'body' },
      ],
      [
        'of the unsigned dtype',
        { ...inRegular, ...npy(npyDict("'<u2'", '(1, 2)'), new Uint8Array(4)), status: 422, field: 'body' },
      ],
      [
        'of half floats',
        { ...inRegular, ...npy(npyDict("'<f2'", '(1, 2)'), new Uint8Array(4)), status: 422, field: 'body' },
      ],
      [
        'of complex numbers',
        { ...inRegular, ...npy(npyDict("'<c16'", '(1, 2)'), new Uint8Array(32)), status: 422, field: 'body' },
      ],
      ['of text', { ...inRegular, ...npy(npyDict("'<U5'", '(1, 2)'), new Uint8Array(40)), status: 422, field: 'body' }],
      [
        'of pickled objects',
        {
          ...inRegular,
          ...npy(npyDict("'|O'", '(1, 2)'), Buffer.from('\x80\x04cos\nsystem\n.')),
          status: 422,
          field: 'body',
        },
      ],
      [
        'of too few channels',
        { ...inRegular, ...npy(npyDict("'<i2'", '(2,)'), new Uint8Array(4)), status: 422, field: 'body' },
      ],
      [
        'of too many channels',
        { ...inRegular, ...npy(npyDict("'<i2'", '(1, 3)'), new Uint8Array(6)), status: 422, field: 'body' },
      ],
      [
        'shorter than it says',
        { ...inRegular, ...npy(npyDict("'<i2'", '(2, 2)'), new Uint8Array(7)), status: 400, field: 'body' },
      ],
      [
        'longer than it says',
        { ...inRegular, ...npy(npyDict("'<i2'", '(1, 2)'), new Uint8Array(5)), status: 400, field: 'body' },
      ],
      [
        'shorter than it says, after 200 KB',
        {
          ...inRegular,
          ...npy(npyDict("'<i2'", '(100000, 2)'), new Uint8Array(SPOOLED_BYTES)),
          status: 400,
          field: 'body',
        },
      ],
      [
        'longer than it says, after 200 KB',
        {
          ...inRegular,
          ...npy(npyDict("'<i2'", '(50000, 2)'), new Uint8Array(SPOOLED_BYTES + 1)),
          status: 400,
          field: 'body',
        },
      ],
      [
        'of times for a regular series',
        {
          ...inRegular,
          ...npy(npyDict("[('time', '<i8'), ('values', '<i2', (2,))]", '(1,)'), new Uint8Array(12)),
          status: 422,
          field: 'body',
        },
      ],
      [
        'without times',
        { ...inIrregular, ...npy(npyDict("'<f8'", '(1,)'), new Uint8Array(8)), status: 422, field: 'body' },
      ],
      [
        'of other fields',
        {
          ...inIrregular,
          ...npy(npyDict("[('t', '<i8'), ('v', '<f8')]", '(1,)'), new Uint8Array(16)),
          status: 422,
          field: 'body',
        },
      ],
      [
        'with times in floats',
        {
          ...inIrregular,
          ...npy(npyDict("[('time', '<f8'), ('values', '<f8')]", '(1,)'), new Uint8Array(16)),
          status: 422,
          field: 'body',
        },
      ],
      [
        'with times in milliseconds',
        {
          ...inIrregular,
          ...npy(npyDict("[('time', '<M8[ms]'), ('values', '<f8')]", '(1,)'), new Uint8Array(16)),
          status: 422,
          field: 'body',
        },
      ],
      [
        'with a time that is NaT',
        {
          ...inIrregular,
          ...npy(
            npyDict("[('time', '<M8[ns]'), ('values', '<f8')]", '(1,)'),
            Buffer.from('00000000000000800000000000000000', 'hex'),
          ),
          status: 400,
          field: 'body',
        },
      ],
    ])('%s is refused', (_, refusal) => refuses(refusal));
  });

  describe('octets', () => {
    test.each<[string, Refusal]>([
      ['that are none', { ...inRegular, ...octet(new Uint8Array(0)), status: 400, field: 'values', slug: 'empty' }],
      ['of an odd length', { ...inRegular, ...octet(new Uint8Array(5)), status: 400, field: 'body' }],
      ['of half a row', { ...inRegular, ...octet(new Uint8Array(6)), status: 400, field: 'body' }],
      [
        'of an odd length after 200 KB',
        { ...inRegular, ...octet(new Uint8Array(SPOOLED_BYTES + 1)), status: 400, field: 'body' },
      ],
      ['without times', { ...inIrregular, ...octet(new Uint8Array(8)), status: 400, field: 'body' }],
    ])('%s are refused', (_, refusal) => refuses(refusal));
  });

  describe('times that do not fit', () => {
    const records = (times: readonly bigint[]): Uint8Array => {
      const body = Buffer.alloc(times.length * 16);
      times.forEach((ns, row) => body.writeBigInt64LE(ns, row * 16));
      return body;
    };
    const large = SPOOLED_BYTES / 16;
    const rising = (from: bigint): bigint[] => Array.from({ length: large }, (_, i) => from + BigInt(i));
    const later = rising(20_000_000_000n);
    const overlap = { status: 422, field: 'start', slug: 'overlap' };
    const notIncreasing = { slug: 'time-not-increasing' };
    test.each<[string, Refusal]>([
      [
        'a start within the data',
        { ...inRegular, ...json({ start: '2026-05-01T00:00:00.1Z', values: [[1, 2]] }), ...overlap },
      ],
      [
        'a start before the data, of so many rows that they reach it',
        { ...inRegular, ...octet(new Uint8Array(400)), query: '?start=2026-04-30T23:59:59.99Z', ...overlap },
      ],
      [
        'a start in the query within the data',
        { ...inRegular, ...octet(new Uint8Array(4)), query: '?start=2026-05-01T00:00:00Z', ...overlap },
      ],
      [
        'a start within the data of a large body',
        { ...inRegular, ...octet(new Uint8Array(SPOOLED_BYTES)), query: '?start=2026-05-01T00:00:00Z', ...overlap },
      ],
      [
        'rows past the year 2261',
        {
          ...inRegular,
          ...octet(new Uint8Array(400)),
          query: '?start=2261-12-31T23:59:59.999Z',
          status: 422,
          field: 'start',
        },
      ],
      [
        'a start that is no time',
        { ...inRegular, ...octet(new Uint8Array(4)), query: '?start=soon', status: 400, field: 'start' },
      ],
      [
        'a start given twice',
        { ...inRegular, ...octet(new Uint8Array(4)), query: '?start=1&start=2', status: 400, field: 'start' },
      ],
      [
        'two starts that differ',
        {
          ...inRegular,
          ...json({ start: '2027-01-01', values: [[1, 2]] }),
          query: '?start=2028-01-01',
          status: 400,
          field: 'start',
        },
      ],
      [
        'two starts that differ, of a large body',
        {
          ...inRegular,
          ...csv(`time,a,b\n2027-01-01,1,2\n${',1,2\n'.repeat(60_000)}`),
          query: '?start=2028-01-01',
          status: 400,
          field: 'start',
        },
      ],
      [
        'a start for an irregular series',
        { ...inIrregular, ...json({ times: [1], values: [1] }), query: '?start=1', status: 400, field: 'start' },
      ],
      [
        'a start for an irregular series and a large body',
        { ...inIrregular, ...octet(records(later)), query: '?start=1', status: 400, field: 'start' },
      ],
      [
        'a time that is stored, where each is stored once',
        {
          ...inStrict,
          ...json({ times: ['10000000000'], values: [1] }),
          status: 409,
          field: 'times[0]',
          ...notIncreasing,
        },
      ],
      [
        'an earlier time, where they must rise',
        { ...inStrict, ...json({ times: [5], values: [1] }), status: 409, field: 'times[0]', ...notIncreasing },
      ],
      [
        'an earlier time of a large body',
        { ...inStrict, ...octet(records(rising(1n))), status: 409, field: 'times[0]', ...notIncreasing },
      ],
      [
        'times that fall, where they must rise',
        {
          ...inStrict,
          ...json({ times: ['20000000000', '30000000000', '25000000000'], values: [1, 2, 3] }),
          status: 422,
          field: 'times[2]',
          ...notIncreasing,
        },
      ],
      [
        'a time twice, where each is stored once',
        {
          ...inStrict,
          ...ndjson('{"time":"20000000000","values":1}\n{"time":"20000000000","values":1}'),
          status: 422,
          field: 'times[1]',
          ...notIncreasing,
        },
      ],
      [
        'a last time that falls, of a large body',
        { ...inStrict, ...octet(records([...later, 1n])), status: 422, field: `times[${large}]`, ...notIncreasing },
      ],
    ])('%s is refused', (_, refusal) => refuses(refusal));
  });

  describe('what surrounds the samples', () => {
    const row = json({ values: [[7, 8]] });
    const rows = octet(new Uint8Array(SPOOLED_BYTES));
    const key = 'a value of';
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (let n = 0; n < 100; n++) yield Buffer.alloc(65_536);
    }
    test.each<[string, Refusal]>([
      ['no Content-Type', { ...inRegular, body: '{"values":[[7,8]]}', status: 415, field: 'Content-Type' }],
      [
        'an unknown Content-Type',
        { ...inRegular, ...row, type: 'application/xml', status: 415, field: 'Content-Type' },
      ],
      [
        'an unknown Content-Type of a large body',
        { ...inRegular, ...rows, type: 'text/plain', status: 415, field: 'Content-Type' },
      ],
      ['a Content-Type of another body', { ...inRegular, ...row, type: MEDIA_TYPES.npy, status: 400, field: 'body' }],
      [
        'an unknown Content-Encoding',
        { ...inRegular, ...row, headers: { 'content-encoding': 'zstd' }, status: 415, field: 'Content-Encoding' },
      ],
      [
        'gzip that is none',
        { ...inRegular, ...row, headers: { 'content-encoding': 'gzip' }, status: 400, field: 'body' },
      ],
      [
        'gzip that is cut off',
        {
          ...inRegular,
          ...octet(gzipSync(Buffer.alloc(400_000, 'abc')).subarray(0, -20)),
          headers: { 'content-encoding': 'gzip' },
          status: 400,
          field: 'body',
        },
      ],
      [
        'gzip with a wrong checksum',
        {
          ...inRegular,
          ...octet(Buffer.concat([gzipSync(Buffer.alloc(400_000)).subarray(0, -8), Buffer.alloc(8, 1)])),
          headers: { 'content-encoding': 'gzip' },
          status: 400,
          field: 'body',
        },
      ],
      [
        'a line that inflates without end',
        {
          ...inRegular,
          type: MEDIA_TYPES.csv,
          body: gzipSync(text(60_000_000)),
          headers: { 'content-encoding': 'gzip' },
          status: 413,
        },
      ],
      ['an unknown parameter', { ...inRegular, ...row, query: '?strat=1', status: 400, field: 'strat' }],
      [
        'an empty Idempotency-Key',
        { ...inRegular, ...row, headers: { 'idempotency-key': '' }, status: 400, field: 'Idempotency-Key' },
      ],
      [
        'an Idempotency-Key of 256 characters',
        { ...inRegular, ...row, headers: { 'idempotency-key': text(256) }, status: 400, field: 'Idempotency-Key' },
      ],
      [
        'an Idempotency-Key with a space',
        { ...inRegular, ...row, headers: { 'idempotency-key': key }, status: 400, field: 'Idempotency-Key' },
      ],
      [
        'an Idempotency-Key beyond ASCII',
        { ...inRegular, ...row, headers: { 'idempotency-key': 'clé' }, status: 400, field: 'Idempotency-Key' },
      ],
      ['a series that is not there', { series: () => `/v1/series/${NOBODY}`, ...row, status: 404 }],
      ['a series that is not there, for a large body', { series: () => `/v1/series/${NOBODY}`, ...rows, status: 404 }],
      [
        'a series that is not there, for a body without a length',
        { series: () => `/v1/series/${NOBODY}`, body: endless, type: MEDIA_TYPES.octet, status: 404 },
      ],
      ['an id that is none', { series: () => '/v1/series/12', ...row, status: 404 }],
      ['a name that is not there', { series: () => '/v1/series/by-name/a/b', ...row, status: 404 }],
    ])('%s is refused', (_, refusal) => refuses(refusal));
  });
});

describe('a connection that has carried a refused body', () => {
  const line = Buffer.from(`{"values":[${' '.repeat(4_000_000)}1,2]}\n`);
  const late = Buffer.from(`${'{"values":[1,2]}\n'.repeat(200_000)}x${'\n'.repeat(1_000_000)}`);
  const gzip = { 'content-encoding': 'gzip' };
  const floats = npy(npyDict("'<f4'", '(400000, 2)'), Buffer.alloc(3_200_000)).body;
  const cases: [string, number, () => string, string, Uint8Array, Record<string, string>][] = [
    ['too long a line', 413, () => regular, MEDIA_TYPES.ndjson, line, {}],
    ['too much JSON', 413, () => regular, MEDIA_TYPES.json, Buffer.alloc(40_000_000, ' '), {}],
    ['too much JSON, compressed', 413, () => regular, MEDIA_TYPES.json, gzipSync(Buffer.alloc(60_000_000, ' ')), gzip],
    [
      'a bomb, and more behind',
      413,
      () => regular,
      MEDIA_TYPES.csv,
      Buffer.concat([gzipSync(text(60_000_000)), Buffer.alloc(500_000)]),
      gzip,
    ],
    ['gzip that is none', 400, () => regular, MEDIA_TYPES.octet, Buffer.alloc(3_000_000), gzip],
    ['a wrong line far inside', 400, () => regular, MEDIA_TYPES.ndjson, late, {}],
    ['another dtype', 422, () => regular, MEDIA_TYPES.npy, floats, {}],
    ['half a row too much', 400, () => regular, MEDIA_TYPES.octet, Buffer.alloc(3_000_002), {}],
    ['an unknown type', 415, () => regular, 'text/plain', Buffer.alloc(3_000_000), {}],
    ['a series that is nowhere', 404, () => `/v1/series/${NOBODY}`, MEDIA_TYPES.octet, Buffer.alloc(3_000_000), {}],
  ];

  test.each(cases)('%s: carries the next request', async (_, status, series, type, body, headers) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    try {
      for (let round = 0; round < 2; round++) {
        const call = { agent, body, headers: { 'content-type': type, ...headers } };
        expecting(status, await api.send('POST', `${series()}/samples`, call));
        const began = Date.now();
        expecting(200, await api.send('GET', '/healthz', { agent }));
        expect(Date.now() - began).toBeLessThan(5_000);
      }
    } finally {
      agent.destroy();
    }
  });
});

describe('a body that is cut off in the middle of the connection', () => {
  const head = (path: string, lines: readonly string[]): string =>
    [`POST ${path} HTTP/1.1`, 'Host: varve', `Authorization: Bearer ${service.token}`, ...lines, '', ''].join('\r\n');

  const spool = (): string[] => readdirSync(join(service.dataRoot, 'spool'));

  async function until(holds: () => boolean, what: string): Promise<void> {
    for (const end = Date.now() + 10_000; !holds(); await pause(10)) {
      if (Date.now() > end) throw new Error(`not within ten seconds: ${what}`);
    }
  }

  /** Sends what is given and goes away: as soon as the service has begun to keep it, where it is large. */
  async function sendAndLeave(
    lines: readonly string[],
    path: string,
    body: Uint8Array,
    leave: (socket: Socket) => void,
  ) {
    const { port, hostname } = new URL(service.url);
    const socket = connect(Number(port), hostname);
    socket.on('error', () => {});
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    socket.resume();
    socket.write(head(path, lines));
    await new Promise((resolve) => socket.write(body, resolve));
    if (body.length >= SPOOLED_BYTES) await until(() => spool().length > 0, 'a file in the spool');
    else await pause(100);
    leave(socket);
    await closed;
    await until(() => spool().length === 0, 'an empty spool');
    // If it had been taken for whole, its write would be staged by now.
    await pause(100);
  }

  // More than any format gathers before it keeps something.
  const large = Buffer.alloc(3_000_000);
  const array = npy(npyDict("'<i2'", '(750000, 2)'), large).body;
  const csvRows = Buffer.from(`a,b\n${'12345,12345\n'.repeat(500_000)}`);
  const ndjsonRows = Buffer.from('{"values":[12345,12345]}\n'.repeat(500_000));
  const length = (bytes: Uint8Array): string => `Content-Length: ${bytes.length + 4}`;
  const type = (name: keyof typeof MEDIA_TYPES): string => `Content-Type: ${MEDIA_TYPES[name]}`;
  const chunk = (bytes: Uint8Array): Buffer =>
    Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')]);

  const cases: [string, string[], () => string, Uint8Array][] = [
    ['a few octets', [type('octet'), 'Content-Length: 100'], () => `${regular}/samples`, Buffer.alloc(40)],
    ['many octets', [type('octet'), length(large)], () => `${regular}/samples`, large],
    ['many octets of an irregular series', [type('octet'), length(large)], () => `${irregular}/samples`, large],
    [
      'chunks without the last one',
      [type('octet'), 'Transfer-Encoding: chunked'],
      () => `${regular}/samples`,
      chunk(large),
    ],
    [
      'a few chunks without the last one',
      [type('octet'), 'Transfer-Encoding: chunked'],
      () => `${regular}/samples`,
      chunk(Buffer.alloc(4)),
    ],
    ['an npy array', [type('npy'), length(array)], () => `${regular}/samples`, array.subarray(0, -4)],
    ['lines of CSV, at the end of one', [type('csv'), length(csvRows)], () => `${regular}/samples`, csvRows],
    [
      'lines of NDJSON, at the end of one',
      [type('ndjson'), length(ndjsonRows)],
      () => `${regular}/samples`,
      ndjsonRows,
    ],
    [
      'whole JSON, but for a space',
      [type('json'), 'Content-Length: 23'],
      () => `${regular}/samples`,
      Buffer.from('{"values": [[1, 2]]}'),
    ],
    ['a series to create', [type('json'), 'Content-Length: 900'], () => '/v1/series', Buffer.from('{"name": "x"')],
  ];

  test.each(cases)('%s: nothing is stored, whether the connection ends', async (_, lines, path, body) => {
    await sendAndLeave(lines, path(), body, (socket) => socket.end());
  });

  test.each(cases)('%s: … or breaks', async (_, lines, path, body) => {
    await sendAndLeave(lines, path(), body, (socket) => socket.resetAndDestroy());
  });

  test('a compressed body that stops in the middle stores nothing', async () => {
    const packed = gzipSync(randomBytes(3_000_000));
    const lines = [type('octet'), 'Content-Encoding: gzip', `Content-Length: ${packed.length}`];
    await sendAndLeave(lines, `${regular}/samples`, packed.subarray(0, -2), (socket) => socket.destroy());
  });
});

describe('reading', () => {
  test.each([
    ['rows=5:2', 400, 'rows'],
    ['rows=-1:-3', 400, 'rows'],
    ['rows=a:b', 400, 'rows'],
    ['rows=5', 400, 'rows'],
    ['rows=1:2:3', 400, 'rows'],
    ['rows=1.5:2', 400, 'rows'],
    ['rows=0:99999999999999999999', 400, 'rows'],
    ['start=2027-01-01&end=2026-01-01', 400, ['start', 'end']],
    ['rows=0:1&start=1', 400, 'rows'],
    ['start=noon', 400, 'start'],
    ['end=2026-02-30', 400, 'end'],
    ['channels=z', 400, 'channels'],
    ['channels=2', 400, 'channels'],
    ['channels=', 400, 'channels'],
    ['channels=a,', 400, 'channels'],
    ['channels=-1', 400, 'channels'],
    ['format=xml', 400, 'format'],
    ['physical=yes', 400, 'physical'],
    ['limit=0', 400, 'limit'],
    ['limit=-1', 400, 'limit'],
    ['limit=1e3', 400, 'limit'],
    ['strat=1', 400, 'strat'],
    ['start=1&start=2', 400, 'start'],
  ])('%s is refused', async (query, status, fields) => {
    expectProblem(await api.get(`${regular}/samples?${query}`), status, fields);
  });

  test('what is accepted nowhere is not acceptable', async () => {
    expectProblem(await api.get(`${regular}/samples`, { accept: 'application/pdf' }), 406, 'Accept');
  });

  test.each(['GET', 'POST'])('a path that is none is not found by %s', async (method) => {
    for (const path of ['/v1/nothing', '/v2/series', '/v1/series/x/y/z', '/V1/series']) {
      expectProblem(await api.send(method, path), 404);
    }
    expectProblem(await api.get('/v1/series/%ff'), 400);
  });
});

describe('access', () => {
  const appending = (token: string | null, headers: Readonly<Record<string, string>> = {}): Promise<Answer> =>
    api.send('POST', `${regular}/samples`, {
      token,
      headers: { 'content-type': MEDIA_TYPES.octet, ...headers },
      body: new Uint8Array(4),
    });

  test('without a token nothing is answered but what it takes', async () => {
    const answer = await appending(null);
    expectProblem(answer, 401, [], 'token-missing');
    expect(answer.headers['www-authenticate']).toBe('Bearer realm="varve"');
    for (const path of ['/v1/series', regular, `${regular}/samples`, '/metrics', '/v1/nothing']) {
      expectProblem(await api.send('GET', path, { token: null }), 401, [], 'token-missing');
    }
    expectProblem(
      await api.send('GET', `/v1/series?token=${service.token}`, { token: null }),
      401,
      [],
      'token-missing',
    );
  });

  test.each(['Bearer wrong', 'Bearer ', 'Bearer', 'Basic dTpw', 'Token abc', 'Bearer a b', 'Bearer varve_AAAA'])(
    'Authorization: %s opens nothing',
    async (authorization) => {
      const answer = await appending(null, { authorization });
      expecting(401, answer);
      expect(answer.headers['www-authenticate']).toBe('Bearer realm="varve", error="invalid_token"');
      expect(answer.json<Problem>().type).toBe('urn:varve:problem:invalid-token');
      expect(answer.body.toString()).not.toContain('wrong');
    },
  );

  test('a token that may only read changes nothing', async () => {
    for (const [method, path] of [
      ['POST', '/v1/series'],
      ['PATCH', regular],
      ['DELETE', regular],
      ['POST', `${regular}/samples`],
      ['POST', `${regular}/restore`],
      ['POST', '/v1/projects'],
      ['POST', '/v1/tokens'],
      ['GET', '/v1/tokens'],
    ]) {
      const answer = await api.send(method, path, {
        token: tokens.read,
        headers: { 'content-type': 'application/json' },
        body: method === 'GET' ? undefined : '{}',
      });
      expectProblem(answer, 403, [], 'scope-missing');
      expect(answer.headers['www-authenticate']).toContain('insufficient_scope');
    }
    expecting(200, await api.send('GET', regular, { token: tokens.read }));
  });

  test('a token that may only write reads nothing', async () => {
    for (const path of ['/v1/series', regular, `${regular}/samples`, '/v1/tokens', '/v1/projects', '/metrics']) {
      expectProblem(await api.send('GET', path, { token: tokens.write }), 403, [], 'scope-missing');
    }
  });
});

test('after all this the service answers, and has logged no fault', async () => {
  expecting(200, await api.get(`${regular}/samples`));
  expecting(200, await api.get('/readyz'));
  const faults = service
    .output()
    .split('\n')
    .filter((line) => /"level":[56]0/.test(line));
  expect(faults).toEqual([]);
});
