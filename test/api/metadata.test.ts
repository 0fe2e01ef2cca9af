import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { startService, type RunningService } from '../support/service.ts';
import { ApiClient, expecting, type Problem, type SeriesJson } from './client.ts';

interface Entry {
  readonly id: string;
  readonly action: string;
  readonly at: string;
  readonly token: { readonly id: string; readonly name: string } | null;
  readonly edit: string | null;
  readonly changes: readonly { readonly field: string; readonly old: unknown; readonly new: unknown }[];
}

interface Undone {
  readonly edit: string;
  readonly undone: number;
  readonly kept: readonly { readonly series: string; readonly reason: string; readonly fields: readonly string[] }[];
}

const SAMPLING = { kind: 'irregular' };
const NOBODY = '0198c5e0-0000-7000-8000-000000000001';

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

async function lab(): Promise<string> {
  const name = `lab-${randomUUID()}`;
  expecting(201, await api.post('/v1/projects', { name }));
  return name;
}

function make(project: string, name: string, tags: object, more: object = {}): Promise<SeriesJson> {
  return api.createSeries({ name, project, dtype: 'int16', sampling: SAMPLING, tags, ...more });
}

async function tagsOf({ id }: SeriesJson): Promise<unknown> {
  return (await api.series(id)).tags;
}

async function edit(body: object): Promise<{ edit: string; series: number }> {
  return expecting(200, await api.post('/v1/series/tags', body)).json();
}

async function undo(id: string): Promise<Undone> {
  return expecting(200, await api.send('POST', `/v1/metadata-edits/${id}/undo`)).json<Undone>();
}

async function history({ id }: { id: string }, query = ''): Promise<{ items: Entry[]; next: string | null }> {
  return expecting(200, await api.get(`/v1/series/${id}/history${query}`)).json();
}

const inProject = (project: string): object => ({ field: 'project', eq: project });

describe('tags of many series', () => {
  test('are set and removed where an expression holds, and put back', async () => {
    const project = await lab();
    const a = await make(project, 'a', { species: 'Mouse', old: 1 });
    const b = await make(project, 'b', { species: 'Mouse' });
    const c = await make(project, 'c', { species: 'rat', old: 2 });
    const where = { and: [inProject(project), { tag: 'species', eq: 'Mouse' }] };
    const change = { where, set: { species: 'mouse', depth: { value: 3, unit: 'mm' } }, remove: ['old'] };

    const dry = await api.post('/v1/series/tags', { ...change, dry_run: true });
    expect(expecting(200, dry).json()).toEqual({ series: 2, sample: [a.id, b.id] });
    expect(await tagsOf(a)).toEqual({ species: 'Mouse', old: 1 });

    const done = await edit(change);
    expect(done.series).toBe(2);
    const changed = { species: 'mouse', depth: { value: 3, unit: 'mm' } };
    expect([await tagsOf(a), await tagsOf(b), await tagsOf(c)]).toEqual([changed, changed, { species: 'rat', old: 2 }]);
    expect((await api.series(a.id)).version).toBe(2);
    const found = await api.post('/v1/series/search', {
      where: { and: [inProject(project), { tag: 'depth', eq: { value: 3000, unit: 'um' } }] },
    });
    expect(found.json<{ items: SeriesJson[] }>().items.map(({ name }) => name)).toEqual(['a', 'b']);

    const back = await undo(done.edit);
    expect(back).toMatchObject({ undone: 2, kept: [] });
    expect([await tagsOf(a), await tagsOf(b)]).toEqual([{ species: 'Mouse', old: 1 }, { species: 'Mouse' }]);
    const twice = expecting(409, await api.send('POST', `/v1/metadata-edits/${done.edit}/undo`));
    expect(twice.json<Problem>().type).toBe('urn:varve:problem:already-undone');
    expect((await undo(back.edit)).undone).toBe(2);
    expect(await tagsOf(a)).toEqual(changed);
  });

  test('that have changed since an edit are left by its undo, and named', async () => {
    const project = await lab();
    const a = await make(project, 'a', { x: 1, y: 1 });
    const b = await make(project, 'b', { x: 1, y: 1 });
    const c = await make(project, 'c', { x: 1 });
    const done = await edit({ where: inProject(project), set: { x: 2 }, remove: ['y'] });
    expecting(200, await api.patch(`/v1/series/${a.id}`, { tags: { x: 3 } }));
    expecting(204, await api.delete(`/v1/series/${b.id}`));
    const back = await undo(done.edit);
    expect(back.undone).toBe(2);
    expect(back.kept).toEqual([
      { series: a.id, reason: 'changed-since', fields: ['tags.x'] },
      { series: b.id, reason: 'deleted', fields: ['tags.x', 'tags.y'] },
    ]);
    expect([await tagsOf(a), await tagsOf(c)]).toEqual([{ x: 3, y: 1 }, { x: 1 }]);
  });

  test('beyond the reach of a token are not there', async () => {
    const [mine, theirs] = [await lab(), await lab()];
    const [own, other] = [await make(mine, 'a', { k: 1 }), await make(theirs, 'a', { k: 1 })];
    const { token } = (await api.post('/v1/tokens', { name: 't', scopes: ['read', 'write'], projects: [mine] })).json<{
      token: string;
    }>();
    const call = { token, headers: { 'content-type': 'application/json' } };
    const where = { or: [inProject(mine), inProject(theirs)] };
    const body = JSON.stringify({ where, set: { k: 2 } });
    const done = await api.send('POST', '/v1/series/tags', { ...call, body });
    expect(expecting(200, done).json()).toMatchObject({ series: 1 });
    expect([await tagsOf(own), await tagsOf(other)]).toEqual([{ k: 2 }, { k: 1 }]);
    const all = await edit({ where, set: { k: 3 } });
    expecting(404, await api.send('POST', `/v1/metadata-edits/${all.edit}/undo`, { token }));
    const renaming = JSON.stringify({ to: 'kk', project: theirs });
    expecting(404, await api.send('POST', '/v1/tags/k/rename', { ...call, body: renaming }));
  });

  test.each([
    [400, 'where', {}],
    [400, 'where', { where: 7 }],
    [400, 'where.tag', { where: { tag: 7, eq: 1 } }],
    [400, 'set', { set: {} }],
    [400, 'set.k', { set: { k: null } }],
    [400, 'remove[0]', { set: { k: 1 }, remove: ['k'] }],
    [400, 'remove[0]', { remove: [''] }],
    [400, 'dry_run', { dry_run: 'yes' }],
    [400, 'more', { more: 1 }],
    [422, 'tags.k', { set: { k: { value: 1, unit: 'smoot' } } }],
    [422, 'tags.k', { set: { k: { value: 1, unit: 'smoot' } }, dry_run: true }],
  ])('answer %i naming %s', async (status, field, body: object) => {
    const whole =
      field === 'where' ? { set: { a: 1 }, ...body } : { where: { tag: 'k', eq: 'v' }, set: { a: 1 }, ...body };
    const problem = expecting(status, await api.post('/v1/series/tags', whole)).json<Problem>();
    expect(problem.errors.map((each) => each.field)).toContain(field);
  });

  test('are listed, newest first, with who, when, what, how many and what has undone them', async () => {
    const [mine, theirs] = [await lab(), await lab()];
    await make(mine, 'a', { k: 1 });
    await make(mine, 'b', { k: 1 });
    await make(theirs, 'a', { k: 1 });
    const where = inProject(mine);
    const first = await edit({ where, set: { k: 2 } });
    const renamed = expecting(200, await api.post('/v1/tags/k/rename', { to: 'l', project: mine })).json<{
      edit: string;
    }>();
    const back = await undo(renamed.edit);
    const foreign = await edit({ where: { or: [where, inProject(theirs)] }, set: { m: 1 } });
    interface Edit {
      readonly id: string;
      readonly at: string;
      readonly token: { readonly name: string };
    }
    const list = async (path: string, token?: string): Promise<{ items: Edit[]; next: string | null }> =>
      expecting(200, await api.send('GET', path, token === undefined ? {} : { token })).json();
    const { items } = await list('/v1/metadata-edits?limit=4');
    expect(items).toEqual([
      expect.objectContaining({ id: foreign.edit, kind: 'edit', series: 3, undone_by: null }),
      expect.objectContaining({ id: back.edit, kind: 'undo', series: 2, request: { undo: renamed.edit } }),
      expect.objectContaining({ id: renamed.edit, kind: 'rename', series: 2, undone_by: back.edit }),
      expect.objectContaining({ id: first.edit, request: { where, set: { k: 2 }, remove: [] }, undone_by: null }),
    ]);
    expect([items[0].token.name, Math.abs(Date.parse(items[0].at) - Date.now()) < 600_000]).toEqual(['first', true]);
    const page = await list('/v1/metadata-edits?limit=2');
    expect([...page.items, ...(await list(page.next!)).items].map(({ id }) => id)).toEqual(items.map(({ id }) => id));

    const { token } = (await api.post('/v1/tokens', { name: 't', scopes: ['read'], projects: [mine] })).json<{
      token: string;
    }>();
    const seen = await list('/v1/metadata-edits', token);
    expect(seen.items.map(({ id }) => id)).toEqual([back.edit, renamed.edit, first.edit]);
    expecting(400, await api.get('/v1/metadata-edits?limit=0'));
    expecting(400, await api.get(`/v1/metadata-edits?cursor=x`));
  });

  test('an edit that is not there cannot be undone', async () => {
    expecting(404, await api.send('POST', `/v1/metadata-edits/${NOBODY}/undo`));
    expecting(404, await api.send('POST', '/v1/metadata-edits/x/undo'));
  });
});

describe('renaming a tag', () => {
  test('takes every series of the project, and can be undone', async () => {
    const [project, other] = [await lab(), await lab()];
    const a = await make(project, 'a', { Species: 'mouse' });
    const b = await make(other, 'a', { Species: 'mouse' });
    const renamed = expecting(200, await api.post('/v1/tags/Species/rename', { to: 'species', project }));
    expect([await tagsOf(a), await tagsOf(b)]).toEqual([{ species: 'mouse' }, { Species: 'mouse' }]);
    expect((await history(a)).items[0]).toMatchObject({ action: 'rename' });
    await undo(renamed.json<{ edit: string }>().edit);
    expect(await tagsOf(a)).toEqual({ Species: 'mouse' });
  });

  test('takes more series than are in memory at a time, and so does its undo', async () => {
    const project = await lab();
    const body = (part: number): string =>
      Array.from({ length: 5_500 }, (_, n) =>
        JSON.stringify({
          name: `${part}/${n}`,
          project,
          dtype: 'int16',
          sampling: SAMPLING,
          tags: { Old: n, list: ['a', 'a', n] },
        }),
      ).join('\n');
    for (const part of [1, 2]) {
      const headers = { 'content-type': 'application/x-ndjson' };
      expecting(200, await api.send('POST', '/v1/series/bulk', { headers, body: body(part) }));
    }
    const valuesOf = async (key: string, value: number): Promise<number> => {
      const answer = await api.post('/v1/series/search', {
        where: { and: [inProject(project), { tag: key, eq: value }] },
      });
      return answer.json<{ items: unknown[] }>().items.length;
    };
    const done = expecting(200, await api.post('/v1/tags/Old/rename', { to: 'new', project })).json<{
      edit: string;
      series: number;
    }>();
    expect([
      done.series,
      await valuesOf('Old', 5_499),
      await valuesOf('new', 5_499),
      await valuesOf('list', 7),
    ]).toEqual([11_000, 0, 2, 2]);
    expect((await undo(done.edit)).undone).toBe(11_000);
    expect([await valuesOf('Old', 0), await valuesOf('new', 0), await valuesOf('Old', 5_499)]).toEqual([2, 0, 2]);
  });

  test('to one that is there unites them only if told so', async () => {
    const project = await lab();
    const a = await make(project, 'a', { Area: ['V1', 'V2'], area: ['V2', 'V3'] });
    const b = await make(project, 'b', { Area: 'V1', area: 'V1' });
    const c = await make(project, 'c', { Area: 'V4' });
    const conflict = expecting(409, await api.post('/v1/tags/Area/rename', { to: 'area', project })).json<Problem>();
    expect(conflict).toMatchObject({ type: 'urn:varve:problem:key-in-use', errors: [{ field: 'to' }] });
    expect(await tagsOf(c)).toEqual({ Area: 'V4' });
    const merged = expecting(200, await api.post('/v1/tags/Area/rename', { to: 'area', project, merge: true }));
    const { edit: id, series } = merged.json<{ edit: string; series: number }>();
    expect(series).toBe(3);
    expect([await tagsOf(a), await tagsOf(b), await tagsOf(c)]).toEqual([
      { area: ['V2', 'V3', 'V1'] },
      { area: 'V1' },
      { area: 'V4' },
    ]);
    expecting(200, await api.patch(`/v1/series/${c.id}`, { tags: { area: 'V5' } }));
    expect((await undo(id)).kept).toEqual([{ series: c.id, reason: 'changed-since', fields: ['tags.area'] }]);
    expect([await tagsOf(a), await tagsOf(b), await tagsOf(c)]).toEqual([
      { Area: ['V1', 'V2'], area: ['V2', 'V3'] },
      { Area: 'V1', area: 'V1' },
      { area: 'V5' },
    ]);
  });

  test('refuses lists that become too long, and names the series', async () => {
    const project = await lab();
    const list = (from: number): number[] => Array.from({ length: 60 }, (_, n) => from + n);
    const a = await make(project, 'a', { x: list(0), y: list(50) });
    const problem = expecting(
      422,
      await api.post('/v1/tags/x/rename', { to: 'y', project, merge: true }),
    ).json<Problem>();
    expect(problem).toMatchObject({ type: 'urn:varve:problem:too-many-values', errors: [{ field: 'tags.y' }] });
    expect(problem.detail).toContain(a.id);
    expect(await tagsOf(a)).toEqual({ x: list(0), y: list(50) });
  });

  test.each([
    ['to', {}],
    ['to', { to: 'x' }],
    ['to', { to: '' }],
    ['merge', { to: 'y', merge: 1 }],
    ['other', { to: 'y', other: 1 }],
  ])('names %s if it is wrong', async (field, body) => {
    const problem = expecting(400, await api.post('/v1/tags/x/rename', body)).json<Problem>();
    expect(problem.errors[0].field).toBe(field);
  });

  test('of a project that is not there is a 404', async () => {
    expecting(404, await api.post('/v1/tags/x/rename', { to: 'y', project: 'nowhere' }));
  });
});

describe('the history of a series', () => {
  test('tells who changed what, newest first, page by page', async () => {
    const { token, id: tokenId } = (await api.post('/v1/tokens', { name: 'curator', scopes: ['write', 'read'] })).json<{
      token: string;
      id: string;
    }>();
    const project = await lab();
    const series = await make(project, 'a', { species: 'mouse' }, { unit: 'mV' });
    const patch = { name: 'b', unit: null, tags: { species: null, age: 3 }, provenance: { rig: 2 } };
    const body = JSON.stringify(patch);
    const headers = { 'content-type': 'application/json' };
    expecting(200, await api.send('PATCH', `/v1/series/${series.id}`, { token, body, headers }));
    expecting(204, await api.delete(`/v1/series/${series.id}`));
    expecting(200, await api.send('POST', `/v1/series/${series.id}/restore`));
    const done = await edit({ where: inProject(project), set: { age: 4 } });

    const { items } = await history(series);
    expect(items.map(({ action }) => action)).toEqual(['edit', 'restore', 'delete', 'update', 'create']);
    expect(items[0]).toMatchObject({ edit: done.edit, changes: [{ field: 'tags.age', old: 3, new: 4 }] });
    expect(items[1].changes).toEqual([]);
    expect(items[3]).toMatchObject({ token: { id: tokenId, name: 'curator' }, edit: null });
    expect(items[3].changes).toEqual([
      { field: 'name', old: 'a', new: 'b' },
      { field: 'unit', old: 'mV', new: null },
      { field: 'tags.age', old: null, new: 3 },
      { field: 'tags.species', old: 'mouse', new: null },
      { field: 'provenance.rig', old: null, new: 2 },
    ]);
    expect(items[4].changes).toEqual([
      { field: 'name', old: null, new: 'a' },
      { field: 'unit', old: null, new: 'mV' },
      { field: 'channels', old: null, new: [{ label: 'value' }] },
      { field: 'tags.species', old: null, new: 'mouse' },
    ]);

    const walked: Entry[] = [];
    for (let page = await history(series, '?limit=2'); ;) {
      walked.push(...page.items);
      if (page.next === null) break;
      page = expecting(200, await api.get(page.next)).json();
    }
    expect(walked).toEqual(items);
  });

  test('tells what a series was created as, whatever it has become', async () => {
    const project = await lab();
    const said = {
      unit: 'mV',
      scale: 2,
      external_ids: { ours: 'x', theirs: 'y' },
      provenance: { 'rig.left': 1, run: { n: 2 } },
    };
    const series = await make(project, 'a', { species: 'mouse', age: 3, 'a.b': [1, 'x'] }, said);
    const created = (await history(series)).items[0].changes;
    expect(created).toEqual([
      { field: 'name', old: null, new: 'a' },
      { field: 'unit', old: null, new: 'mV' },
      { field: 'scale', old: 1, new: 2 },
      { field: 'channels', old: null, new: [{ label: 'value' }] },
      { field: 'tags.a.b', old: null, new: [1, 'x'] },
      { field: 'tags.age', old: null, new: 3 },
      { field: 'tags.species', old: null, new: 'mouse' },
      { field: 'external_ids.ours', old: null, new: 'x' },
      { field: 'external_ids.theirs', old: null, new: 'y' },
      { field: 'provenance.rig.left', old: null, new: 1 },
      { field: 'provenance.run', old: null, new: { n: 2 } },
    ]);
    const patches = [
      { name: 'b', unit: null, scale: 1, offset: 7, channels: [{ label: 'x' }], continuity: 'step' },
      { tags: { species: 'rat', age: null, later: true }, external_ids: { ours: null, new: 'z' } },
      { name: 'c', scale: 3, tags: { species: null, 'a.b': 1 }, provenance: { run: 5, late: [null] } },
    ];
    for (const patch of patches) expecting(200, await api.patch(`/v1/series/${series.id}`, patch));
    await edit({ where: inProject(project), set: { age: 4, later: false } });
    expecting(200, await api.post('/v1/tags/later/rename', { to: 'species', project }));
    expecting(200, await api.send('POST', `/v1/series/${series.id}/seal`));
    expecting(204, await api.delete(`/v1/series/${series.id}`));
    expecting(200, await api.send('POST', `/v1/series/${series.id}/restore`));
    const { items } = await history(series);
    expect(items.map(({ action }) => action)).toEqual([
      'restore',
      'delete',
      'seal',
      'rename',
      'edit',
      'update',
      'update',
      'update',
      'create',
    ]);
    expect(items.at(-1)?.changes).toEqual(created);
  });

  test('tells of what headers say, field by field', async () => {
    const said = {
      continuity: 'step',
      resolution: 0.5,
      time_zone: 'Europe/Berlin',
      external_ids: { dandi: '000123', ours: 'x' },
      missing_value: -1,
    };
    const series = await make(await lab(), 'a', {}, said);
    expect(series).toMatchObject({ ...said, unit_is_ucum: null });
    const patch = { continuity: null, resolution: 0.25, time_zone: 'UTC', external_ids: { ours: null, doi: '10/1' } };
    const changed = expecting(200, await api.patch(`/v1/series/${series.id}`, patch)).json();
    expect(changed).toMatchObject({ ...patch, external_ids: { dandi: '000123', doi: '10/1' }, missing_value: -1 });
    expect(expecting(200, await api.get(`/v1/series/${series.id}`)).json()).toEqual(changed);
    const { items } = await history(series);
    expect(items[0].changes).toEqual([
      { field: 'continuity', old: 'step', new: null },
      { field: 'resolution', old: 0.5, new: 0.25 },
      { field: 'time_zone', old: 'Europe/Berlin', new: 'UTC' },
      { field: 'external_ids.doi', old: null, new: '10/1' },
      { field: 'external_ids.ours', old: 'x', new: null },
    ]);
    const many = Object.fromEntries(Array.from({ length: 49 }, (_, i) => [`t${i}`, 'x']));
    const problem = expecting(422, await api.patch(`/v1/series/${series.id}`, { external_ids: many })).json<Problem>();
    expect(problem.errors[0].field).toBe('external_ids');
    expecting(400, await api.patch(`/v1/series/${series.id}`, { missing_value: -2 }));
  });

  test('tells of provenance key by key; null removes one', async () => {
    const rig = { rig: 2, operator: 'jd', sample: 's', nothing: null };
    const series = await make(await lab(), 'a', {}, { provenance: rig });
    const patch = { rig: null, operator: 'ab', absent: null, software: { name: 'x' } };
    const changed = expecting(200, await api.patch(`/v1/series/${series.id}`, { provenance: patch })).json();
    const provenance = { operator: 'ab', sample: 's', nothing: null, software: { name: 'x' } };
    expect(changed).toMatchObject({ provenance });
    expect(expecting(200, await api.get(`/v1/series/${series.id}`)).json()).toEqual(changed);
    expect(Object.keys((changed as { provenance: object }).provenance).sort()).toEqual(Object.keys(provenance).sort());
    expect((await history(series)).items[0].changes).toEqual([
      { field: 'provenance.operator', old: 'jd', new: 'ab' },
      { field: 'provenance.rig', old: 2, new: null },
      { field: 'provenance.software', old: null, new: { name: 'x' } },
    ]);
    const half = (key: string): object => ({ provenance: { [key]: 'x'.repeat(40_000) } });
    expecting(200, await api.patch(`/v1/series/${series.id}`, half('a')));
    const problem = expecting(422, await api.patch(`/v1/series/${series.id}`, half('b'))).json<Problem>();
    expect(problem.errors[0].field).toBe('provenance');
    expecting(200, await api.patch(`/v1/series/${series.id}`, { provenance: { a: null, b: 'x'.repeat(40_000) } }));
  });

  test('has nothing of a change that was refused', async () => {
    const project = await lab();
    const series = await make(project, 'a', {});
    await make(project, 'b', {});
    expecting(409, await api.patch(`/v1/series/${series.id}`, { name: 'b', tags: { x: 1 } }));
    expect((await history(series)).items.map(({ action }) => action)).toEqual(['create']);
  });

  test('refuses wrong pages, and series that are not there', async () => {
    const series = await make(await lab(), 'a', {});
    for (const query of ['?limit=0', '?limit=x', '?cursor=x', '?more=1']) {
      expecting(400, await api.get(`/v1/series/${series.id}/history${query}`));
    }
    expecting(404, await api.get(`/v1/series/${NOBODY}/history`));
  });
});

describe('a vocabulary', () => {
  const KEYS = {
    species: { type: 'string', values: ['mouse', 'rat'], required: true },
    depth: { type: 'quantity', unit: 'mm' },
    dose: { values: [{ value: 1, unit: 'mL' }, 'none'] },
  };

  function put(project: string, body: object) {
    const headers = { 'content-type': 'application/json' };
    return api.send('PUT', `/v1/projects/${project}/vocabulary`, { headers, body: JSON.stringify(body) });
  }

  test('counts what does not fit, changes nothing, and refuses what comes', async () => {
    const project = await lab();
    const good = await make(project, 'good', { species: 'rat', depth: { value: 3, unit: 'um' }, dose: 'none' });
    const bad = [
      await make(project, 'bad 1', { depth: 3 }),
      await make(project, 'bad 2', { species: 'Mouse' }),
      await make(project, 'bad 3', { species: 'mouse', depth: { value: 3, unit: 's' } }),
      await make(project, 'bad 4', { species: 'mouse', colour: 'white' }),
      await make(project, 'bad 5', { species: ['mouse', 'cat'], dose: { value: 2, unit: 'mL' } }),
    ];
    const stored = expecting(200, await put(project, { closed: true, keys: KEYS })).json<{ unfit: object }>();
    expect(stored).toMatchObject({ project, closed: true, unfit: { series: 5, sample: bad.map(({ id }) => id) } });
    expect(await tagsOf(bad[1])).toEqual({ species: 'Mouse' });
    const shown = expecting(200, await api.get(`/v1/projects/${project}/vocabulary`)).json<{ keys: object }>();
    expect(shown.keys).toMatchObject(KEYS);

    const refused = async (tags: object): Promise<Problem> => {
      const fields = { name: randomUUID(), project, dtype: 'int8', sampling: SAMPLING, tags };
      return expecting(422, await api.post('/v1/series', fields)).json<Problem>();
    };
    expect(await refused({})).toMatchObject({
      type: 'urn:varve:problem:not-in-vocabulary',
      errors: [{ field: 'tags.species', message: 'is required by the vocabulary: one of "mouse", "rat"' }],
    });
    expect((await refused({ species: 'cat' })).detail).toContain('must be one of "mouse", "rat"');
    expect((await refused({ species: 'rat', depth: { value: 1, unit: 'g' } })).detail).toContain(
      'tags.depth: must be a quantity',
    );
    expect((await refused({ species: 'rat', colour: 1 })).detail).toContain('allowed are species, depth, dose');
    await make(project, 'new', { species: 'rat', dose: { value: 1000, unit: 'uL' } });

    const patch = (series: SeriesJson, tags: object) => api.patch(`/v1/series/${series.id}`, { tags });
    expecting(422, await patch(good, { species: null }));
    expecting(422, await patch(good, { depth: 'deep' }));
    expecting(200, await patch(bad[3], { depth: { value: 1, unit: 'cm' } }));
    expecting(200, await api.patch(`/v1/series/${bad[0].id}`, { description: 'still here' }));
    const all = { where: inProject(project) };
    expecting(422, await api.post('/v1/series/tags', { ...all, set: { species: 'cat' } }));
    expecting(422, await api.post('/v1/series/tags', { ...all, remove: ['species'] }));
    expecting(422, await api.post('/v1/tags/species/rename', { to: 'kind', project }));
    expect(await tagsOf(good)).toMatchObject({ species: 'rat' });
    const line = JSON.stringify({ name: 'x', project, dtype: 'int8', sampling: SAMPLING });
    const bulk = await api.send('POST', '/v1/series/bulk', {
      headers: { 'content-type': 'application/x-ndjson' },
      body: line,
    });
    expect(bulk.json<{ items: { status: number }[] }>().items[0].status).toBe(422);

    expecting(204, await api.delete(`/v1/projects/${project}/vocabulary`));
    expecting(404, await api.get(`/v1/projects/${project}/vocabulary`));
    expecting(404, await api.delete(`/v1/projects/${project}/vocabulary`));
    await make(project, 'anything', { colour: 1 });
  });

  test.each([
    [400, 'keys', {}],
    [400, 'keys.a.type', { keys: { a: { type: 'int' } } }],
    [400, 'keys.a.unit', { keys: { a: { type: 'number', unit: 'mm' } } }],
    [400, 'keys.a.values[1]', { keys: { a: { type: 'string', values: ['x', 1] } } }],
    [400, 'keys.a.values', { keys: { a: { values: [] } } }],
    [400, 'keys.a.more', { keys: { a: { more: 1 } } }],
    [400, 'closed', { closed: 'yes', keys: {} }],
    [422, 'keys.a.unit', { keys: { a: { type: 'quantity', unit: 'smoot' } } }],
  ])('answers %i naming %s', async (status, field, body) => {
    const problem = expecting(status, await put('default', body)).json<Problem>();
    expect(problem.errors[0].field).toBe(field);
  });

  test('is for administrators, of the project too', async () => {
    const project = await lab();
    const token = async (scopes: string[], projects: string[]): Promise<string> =>
      (await api.post('/v1/tokens', { name: 'x', scopes, projects })).json<{ token: string }>().token;
    const call = { headers: { 'content-type': 'application/json' }, body: JSON.stringify({ keys: {} }) };
    const path = `/v1/projects/${project}/vocabulary`;
    expecting(403, await api.send('PUT', path, { ...call, token: await token(['write'], [project]) }));
    expecting(404, await api.send('PUT', path, { ...call, token: await token(['admin'], ['default']) }));
    expecting(200, await api.send('PUT', path, { ...call, token: await token(['admin'], [project]) }));
    expecting(404, await put('nowhere', { keys: {} }));
  });
});

describe('annotations', () => {
  test('name channels and author, are found by time and label, and deleted one by one', async () => {
    const project = await lab();
    const series = await make(project, 'a', {}, { channels: [{ label: 'V1' }, { label: 'V2' }] });
    const path = `/v1/series/${series.id}/annotations`;
    const marks = [
      { start: 10, end: 20, label: 'seizure', channels: ['V2'], author: 'M. Curie', payload: { p: 1 } },
      { start: 30, label: 'beat' },
    ];
    const { ids } = expecting(201, await api.post(path, { items: marks })).json<{ ids: string[] }>();
    const list = async (query: string): Promise<Record<string, unknown>[]> =>
      expecting(200, await api.get(path + query)).json<{ items: Record<string, unknown>[] }>().items;
    expect((await list('?start=15&end=25'))[0]).toMatchObject({
      id: ids[0],
      channels: ['V2'],
      author: 'M. Curie',
      payload: { p: 1 },
    });
    expect(await list('?label=beat&end=30')).toEqual([]);
    const [beat] = await list('?label=beat');
    expect(beat).not.toHaveProperty('channels');
    expect(beat).not.toHaveProperty('author');
    const seizures = async (): Promise<number> => {
      const where = { and: [inProject(project), { has_annotation: { label: 'seizure', overlaps: [19, 25] } }] };
      return (await api.post('/v1/series/search', { where })).json<{ items: unknown[] }>().items.length;
    };
    expect(await seizures()).toBe(1);
    expecting(404, await api.delete(`/v1/series/${(await make(project, 'b', {})).id}/annotations/${ids[0]}`));
    expecting(204, await api.delete(`${path}/${ids[0]}`));
    expecting(404, await api.delete(`${path}/${ids[0]}`));
    expecting(404, await api.delete(`${path}/x`));
    expect(await seizures()).toBe(0);
    expect(await list('')).toHaveLength(1);
    expecting(204, await api.delete(`/v1/series/by-name/a/annotations/${ids[1]}?project=${project}`));
  });

  test.each([
    [422, 'items[1].channels[0]', ['V3']],
    [400, 'items[1].channels', []],
    [400, 'items[1].channels', ['V1', 'V1']],
    [400, 'items[1].channels', 'V1'],
  ])('answer %i naming %s, and nothing is stored', async (status, field, channels) => {
    const { id } = await make(await lab(), 'a', {}, { channels: [{ label: 'V1' }] });
    const path = `/v1/series/${id}/annotations`;
    const items = [{ start: 1, label: 'a', channels: ['V1'] }, { start: 1, label: 'b', channels }]; // prettier-ignore
    expect(expecting(status, await api.post(path, { items })).json<Problem>().errors[0].field).toBe(field);
    expect((await api.get(path)).json<{ items: unknown[] }>().items).toEqual([]);
  });

  test('come 10,000 in one request, and not one more', async () => {
    const { id } = await make(await lab(), 'a', {});
    const path = `/v1/series/${id}/annotations`;
    const items = Array.from({ length: 10_001 }, (_, n) => ({ start: n, label: 'N' }));
    expecting(400, await api.post(path, { items }));
    expecting(201, await api.post(path, { items: items.slice(1) }));
    expect((await api.get(`${path}?limit=10000`)).json<{ items: unknown[] }>().items).toHaveLength(10_000);
  });
});
