import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { startService, type RunningService } from '../support/service.ts';
import { ApiClient, expecting, type Problem, type SeriesJson } from './client.ts';

interface Page {
  readonly items: readonly SeriesJson[];
  readonly cursor: string | null;
  readonly next: string | null;
  readonly facets?: Readonly<Record<string, readonly { value: unknown; count: number; estimated?: true }[]>>;
  readonly explain?: { readonly plan: readonly string[]; readonly hints: readonly string[] };
}

const SAMPLING = { kind: 'regular', rate_hz: 10, start: '2026-05-01T00:00:00Z' };
const LAB = `lab-${randomUUID()}`;

let database: TestDatabase;
let service: RunningService;
let api: ApiClient;

beforeAll(async () => {
  database = await testDatabase();
  service = await startService({ env: { DATABASE_URL: database.url } });
  api = new ApiClient(service);
  expecting(201, await api.post('/v1/projects', { name: LAB }));
  await make('mouse-1', { species: 'mouse', depth: { value: 300, unit: 'um' }, region: ['V1', 'V2'], age: 3 });
  await make('mouse-2', {
    species: 'mouse',
    depth: { value: 0.5, unit: 'mm' },
    born: { time: '2026-01-01T10:00:00+02:00' },
    age: 1,
  });
  await make('rat-1', { species: 'rat', age: 2 });
});

afterAll(async () => {
  await service?.drop();
  await database?.drop();
});

function make(name: string, tags: object, project = LAB): Promise<SeriesJson> {
  return api.createSeries({ name, project, dtype: 'int16', unit: 'mV', sampling: SAMPLING, tags });
}

async function search(body: object): Promise<Page> {
  return expecting(200, await api.post('/v1/series/search', body)).json<Page>();
}

async function get(query: string): Promise<Page> {
  return expecting(200, await api.get(`/v1/series?project=${LAB}&${query}`)).json<Page>();
}

function names({ items }: Page): string[] {
  return items.map(({ name }) => name);
}

const here = { field: 'project', eq: LAB };

describe('typed tags', () => {
  test('come back as they were given', async () => {
    const [first, second] = (await get('tag.species=mouse')).items;
    expect(first.tags).toEqual({ species: 'mouse', depth: { value: 300, unit: 'um' }, region: ['V1', 'V2'], age: 3 });
    expect(second.tags).toMatchObject({ born: { time: '2026-01-01T10:00:00+02:00' } });
  });

  test('a unit that is none is refused, and named', async () => {
    const series = {
      name: 'x',
      project: LAB,
      dtype: 'int8',
      sampling: SAMPLING,
      tags: { a: { value: 1, unit: 'smoot' } },
    };
    const problem = expecting(422, await api.post('/v1/series', series)).json<Problem>();
    expect(problem).toMatchObject({ type: 'urn:varve:problem:unknown-unit', errors: [{ field: 'tags.a' }] });
    expect(names(await get('name=x'))).toEqual([]);
  });
});

describe('by query parameters', () => {
  test.each([
    ['tag.depth[lt]=0.4 mm', ['mouse-1']],
    ['tag.depth=500 µm', ['mouse-2']],
    ['tag.region[in]=V2,V3', ['mouse-1']],
    ['tag.species[prefix]=mo&tag.age[lte]=1', ['mouse-2']],
    ['tag.species[contains]=at', ['rat-1']],
    ['tag.species[regex]=^m.*e$', ['mouse-1', 'mouse-2']],
    ['tag.born[gt]=2026-01-01T07:59:59Z', ['mouse-2']],
    ['q=rat', ['rat-1']],
    ['sort=tag.age', ['mouse-2', 'rat-1', 'mouse-1']],
    ['sort=-tag.species,tag.age', ['rat-1', 'mouse-2', 'mouse-1']],
  ])('%s', async (query, expected) => {
    expect(names(await get(encodeURI(query)))).toEqual(expected);
  });

  test('overlaps finds what has samples then', async () => {
    const { id } = await make('recorded', {});
    await api.append(id, { values: [1, 2, 3] });
    await api.append(id, { values: [4, 5], start: '2026-05-01T01:00:00Z' });
    const overlapping = async (span: string): Promise<string[]> => names(await get(`overlaps=${span}`));
    expect(await overlapping('2026-05-01T00:00:00Z,2026-05-01T00:00:00.1Z')).toEqual(['recorded']);
    expect(await overlapping('2026-05-01T02:00:00+02:00,2026-05-01T02:00:01+02:00')).toEqual(['recorded']);
    expect(await overlapping('2026-05-01T00:10:00Z,2026-05-01T00:50:00Z')).toEqual([]);
    expect(names(await get('active_since=2026-05-01T01:00:00Z'))).toEqual(['recorded']);
    expecting(204, await api.delete(`/v1/series/${id}`));
    expect(await overlapping('2026-05-01,2026-05-02')).toEqual([]);
  });

  test('facets come with the page', async () => {
    const page = await get('facets=species,field.unit&limit=1');
    expect(page.facets).toEqual({
      species: [{ value: 'mouse', count: 2 }, { value: 'rat', count: 1 }], // prettier-ignore
      'field.unit': [{ value: 'mV', count: 3 }],
    });
    expect(page.items).toHaveLength(1);
  });
});

describe('by an expression', () => {
  test('a tree finds what it says, with facets, in its order', async () => {
    const page = await search({
      where: {
        and: [
          here,
          {
            or: [
              { tag: 'species', eq: 'rat' },
              { tag: 'depth', gte: { value: 0.4, unit: 'mm' } },
            ],
          },
        ],
      },
      facets: ['species'],
      sort: ['-tag.age'],
    });
    expect(names(page)).toEqual(['rat-1', 'mouse-2']);
    expect(page.cursor).toBeNull();
    expect(page.facets?.species).toEqual(expect.arrayContaining([{ value: 'mouse', count: 1 }, { value: 'rat', count: 1 }])); // prettier-ignore
  });

  test('every example of the document is answered', async () => {
    const { paths } = expecting(200, await api.get('/openapi.json')).json<{
      paths: Record<
        string,
        { post: { requestBody: { content: Record<string, { examples: Record<string, { value: object }> }> } } }
      >;
    }>();
    const { examples } = paths['/v1/series/search'].post.requestBody.content['application/json'];
    expect(Object.keys(examples).length).toBeGreaterThan(3);
    for (const { value } of Object.values(examples)) await search(value);
  });

  test('explain tells the plan and what would help', async () => {
    const { explain } = await search({ where: { tag: 'species', contains: 'ou' }, explain: true });
    expect(explain?.plan[0]).toMatch(/^Nested Loop \(\d+ rows/);
    expect(explain?.hints.join()).toContain('prefix');
    expect((await search({})).explain).toBeUndefined();
  });

  test.each<[string, object, number, string]>([
    ['an unknown operator', { where: { and: [here, { tag: 'a', like: 'x' }] } }, 400, 'where.and[1].like'],
    ['a wrong bound', { where: { and: [here, { tag: 'a', range: { gte: [] } }] } }, 400, 'where.and[1].range.gte'],
    ['too deep', { where: [...Array(20)].reduce((not: object) => ({ not }), here) }, 400, 'where' + '.not'.repeat(12)],
    ['a bad pattern', { where: { tag: 'a', regex: 'a{2000}' } }, 400, 'where.regex'],
    ['an unknown unit', { where: { tag: 'a', eq: { value: 1, unit: 'smoot' } } }, 422, 'where.eq.unit'],
    ['a list', { where: [] }, 400, 'where'],
    ['null', { where: null }, 400, 'where'],
    ['a NUL', { where: { tag: 'a', eq: '\0' } }, 400, 'where.eq'],
    ['an unknown order', { sort: ['name', 'colour'] }, 400, 'sort[1]'],
    ['five orders', { sort: ['name', 'unit', 'rows', 'kind', 'dtype'] }, 400, 'sort[4]'],
    ['17 facets', { facets: Array.from({ length: 17 }, (_, n) => `f${n}`) }, 400, 'facets[16]'],
    ['too large a page', { limit: 1001 }, 400, 'limit'],
    ['an unknown part', { filter: {} }, 400, 'filter'],
    ['a cursor that is none', { cursor: 'x' }, 400, 'cursor'],
  ])('%s is refused and named', async (_, body, status, field) => {
    const problem = expecting(status, await api.post('/v1/series/search', body)).json<Problem>();
    expect(problem.errors).toMatchObject([{ field }]);
  });
});

describe('cursors', () => {
  test.each([[[]], [['name']], [['-tag.n']], [['tag.n', '-created_at']]])(
    'sorted by %j, what was there is shown once while others create',
    async (sort) => {
      const set = randomUUID();
      let n = 0;
      const add = (): Promise<SeriesJson> => make(`${set}/${n % 2 ? n : 1000 - n}`, { set, n: n++ % 5 });
      for (let k = 0; k < 12; k++) await add();
      const body = { where: { tag: 'set', eq: set }, sort, limit: 5 };
      const earlier = names(await search({ ...body, limit: 1000 }));
      const shown: string[] = [];
      for (let cursor: string | null | undefined; cursor !== null;) {
        const page: Page = await search({ ...body, ...(cursor !== undefined && { cursor }) });
        shown.push(...names(page));
        cursor = page.cursor;
        if (n < 20) await add();
      }
      expect(new Set(shown).size).toBe(shown.length);
      expect(shown.filter((name) => earlier.includes(name))).toEqual(earlier);
    },
  );

  test('one of another question, or made up, is refused', async () => {
    const { cursor } = await search({ where: here, sort: ['name'], limit: 1 });
    const { next } = await get('sort=-last_time&limit=1');
    const refused = async (body: object): Promise<void> => {
      const problem = expecting(400, await api.post('/v1/series/search', body)).json<Problem>();
      expect(problem.errors).toMatchObject([{ field: 'cursor' }]);
    };
    await refused({ where: here, sort: ['-name'], cursor });
    await refused({ where: { tag: 'a', eq: 1 }, sort: ['name'], cursor });
    await refused({ cursor });
    await refused({ where: here, sort: ['name'], cursor: new URLSearchParams(next ?? '').get('cursor') });
    // Of the right question, with a place that cannot be.
    const { of } = JSON.parse(
      Buffer.from(new URLSearchParams((next ?? '').split('?')[1]).get('cursor')!, 'base64url').toString(),
    );
    const forged = Buffer.from(
      JSON.stringify({ of, after: { values: ['noon'], id: '0198c5e0-0000-7000-8000-000000000001' } }),
    ).toString('base64url');
    const answer = expecting(400, await api.get(`/v1/series?project=${LAB}&sort=-last_time&cursor=${forged}`));
    expect(answer.json<Problem>().errors).toMatchObject([{ field: 'cursor' }]);
    expect((await search({ where: here, sort: ['name'], cursor, limit: 2 })).items.length).toBeGreaterThan(0);
  });
});

describe('tags', () => {
  test('keys and values with counts, page by page', async () => {
    const key = `key ${randomUUID()}/ä`;
    for (const value of ['alpha', 'alphabet', 'beta']) await make(`${key}/${value}`, { [key]: value, [`${key}2`]: 1 });
    const keys = expecting(200, await api.get(`/v1/tags?project=${LAB}&prefix=${encodeURIComponent(key)}`)).json();
    expect(keys).toEqual({
      items: [
        { key, types: ['string'], count: 3 },
        { key: `${key}2`, types: ['number'], count: 3 },
      ],
      next: null,
    });
    const path = `/v1/tags/${encodeURIComponent(key)}`;
    expect((await api.get(`${path}?prefix=alpha`)).json()).toEqual({
      key,
      items: [{ value: 'alpha', count: 1 }, { value: 'alphabet', count: 1 }], // prettier-ignore
      next: null,
    });
    const first = (await api.get(`${path}?limit=2`)).json<{ items: unknown[]; next: string }>();
    expect(first.items).toHaveLength(2);
    expect((await api.get(first.next)).json()).toMatchObject({ items: [{ value: 'beta' }], next: null });
  });

  test('a token for one project sees the tags and series of this project only', async () => {
    const project = `other-${randomUUID()}`;
    expecting(201, await api.post('/v1/projects', { name: project }));
    const key = `secret ${randomUUID()}`;
    await make('hidden', { [key]: 'x' });
    const { token } = expecting(
      201,
      await api.post('/v1/tokens', { name: 'reader', scopes: ['read'], projects: [project] }),
    ).json<{ token: string }>();
    const limited = (path: string, json?: object): Promise<unknown> =>
      api
        .send(json ? 'POST' : 'GET', path, {
          token,
          headers: { 'content-type': 'application/json' },
          body: json && JSON.stringify(json),
        })
        .then((answer) => expecting(200, answer).json<{ items: unknown }>().items);
    expect(await limited(`/v1/tags?prefix=${encodeURIComponent(key)}`)).toEqual([]);
    expect(await limited(`/v1/tags/${encodeURIComponent(key)}`)).toEqual([]);
    expect(await limited(`/v1/tags/${encodeURIComponent(key)}?project=${LAB}`)).toEqual([]);
    expect(await limited('/v1/series/search', { where: { tag: key, exists: true } })).toEqual([]);
    expect(await limited('/v1/series/search', { where: { or: [{ tag: key, eq: 'x' }, { text: 'hidden' }] } })).toEqual(
      [],
    );
    expect((await search({ where: { tag: key, exists: true } })).items).toHaveLength(1);
  });

  test.each(['/v1/tags?limit=0', '/v1/tags?prefix=%00', '/v1/tags/a?cursor=x', '/v1/tags/a?like=x', '/v1/tags/%00'])(
    '%s is refused',
    async (path) => {
      expecting(400, await api.get(path));
    },
  );
});

describe('a saved search', () => {
  const where = { and: [{ tag: 'species', eq: 'mouse' }, { not: { tag: 'age_days', gte: { value: 2, unit: 'mo' } } }] };

  test('is kept as it was sent, and asked as it is kept', async () => {
    const tag = randomUUID();
    await make(`found/${tag}`, { study: tag });
    const asked = { where: { tag: 'study', eq: tag }, sort: ['-last_time'], facets: ['study'] };
    const name = `mice ${tag}`;
    const made = expecting(201, await api.post('/v1/searches', { name, project: LAB, ...asked }));
    const { id, where, sort, facets } = made.json<{ id: string; where: object; sort: string[]; facets: string[] }>();
    expect(made.headers.location).toBe(`/v1/searches/${id}`);
    expect({ where, sort, facets }).toEqual(asked);
    expect(expecting(200, await api.get(`/v1/searches/${id}`)).json()).toEqual(made.json());
    expect((await search({ where, sort, facets })).items).toHaveLength(1);
    const listed = expecting(200, await api.get(`/v1/searches?project=${LAB}`)).json<{ items: object[] }>();
    expect(listed.items).toContainEqual(made.json());
    const put = { name: `${name}, all`, where: null };
    const changed = await api.send('PUT', `/v1/searches/${id}`, {
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(put),
    });
    expect(expecting(200, changed).json()).toMatchObject({ id, project: LAB, ...put, sort: [], facets: [] });
    expecting(204, await api.delete(`/v1/searches/${id}`));
    expecting(404, await api.get(`/v1/searches/${id}`));
  });

  test('that cannot be asked, or whose name is taken, is refused with its field', async () => {
    const name = randomUUID();
    expecting(201, await api.post('/v1/searches', { name, project: LAB, where }));
    const wrong: [object, number, string][] = [
      [{ name, project: LAB }, 409, 'name'],
      [{ name: '', project: LAB }, 400, 'name'],
      [{ name: 'a', where: { tag: 'a', like: 1 } }, 400, 'where'],
      [{ name: 'a', where: { tag: 'a', gte: { value: 1, unit: 'nonsense' } } }, 422, 'where.gte'],
      [{ name: 'a', where: [] }, 400, 'where'],
      [{ name: 'a', sort: ['nothing'] }, 400, 'sort[0]'],
      [{ name: 'a', facets: ['field.rows'] }, 400, 'facets[0]'],
      [{ name: 'a', limit: 3 }, 400, 'limit'],
    ];
    for (const [body, status, field] of wrong) {
      const answer = await api.post('/v1/searches', body);
      expect([body, answer.status, answer.json<{ errors: { field: string }[] }>().errors[0]?.field]).toEqual([
        body,
        status,
        expect.stringContaining(field),
      ]);
    }
    expecting(404, await api.post('/v1/searches', { name: 'a', project: randomUUID() }));
  });

  test('is there for those alone who reach its project, and changed by those alone who write', async () => {
    const project = `other-${randomUUID()}`;
    expecting(201, await api.post('/v1/projects', { name: project }));
    const made = expecting(201, await api.post('/v1/searches', { name: 'all', project: LAB }));
    const { id } = made.json<{ id: string }>();
    const as = async (method: string, path: string, scopes: string[], projects?: string[]): Promise<number> => {
      const holder = expecting(201, await api.post('/v1/tokens', { name: 'x', scopes, projects }));
      const { token } = holder.json<{ token: string }>();
      const body = method === 'PUT' ? '{"name": "mine"}' : undefined;
      return (await api.send(method, path, { token, headers: { 'content-type': 'application/json' }, body })).status;
    };
    const path = `/v1/searches/${id}`;
    for (const method of ['GET', 'PUT', 'DELETE']) {
      expect([method, await as(method, path, ['read', 'write'], [project])]).toEqual([method, 404]);
      expect([method, await as(method, path, ['write'])]).toEqual([method, 403]);
      expect([method, await as(method, path, ['read'])]).toEqual([method, method === 'GET' ? 200 : 403]);
    }
    expecting(204, await api.delete(path));
  });
});
