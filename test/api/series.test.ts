import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { startService, type RunningService } from '../support/service.ts';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { ApiClient, expecting, tally, type Problem, type SeriesJson } from './client.ts';

interface Page {
  readonly items: readonly SeriesJson[];
  readonly next: string | null;
}

const REGULAR = { kind: 'regular', rate_hz: 100 };
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const RFC3339 = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z$/;

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

/** A name no other test uses. */
function fresh(prefix = 'series'): string {
  return `${prefix}-${randomUUID()}`;
}

async function names(query: string): Promise<string[]> {
  return expecting(200, await api.get(`/v1/series?${query}`))
    .json<Page>()
    .items.map((item) => item.name)
    .sort();
}

/** All pages from the first link on. */
async function walk(first: string, between: () => Promise<unknown> = async () => {}): Promise<SeriesJson[]> {
  const items: SeriesJson[] = [];
  for (let link: string | null = first; link !== null;) {
    const page: Page = expecting(200, await api.get(link)).json<Page>();
    items.push(...page.items);
    link = page.next;
    await between();
  }
  return items;
}

describe('creating', () => {
  test('a series is answered as the contract says, and is there under its location', async () => {
    const fields = {
      name: 'mouse-12/ecg',
      dtype: 'int16',
      channels: [{ label: 'MLII', unit: 'mV' }, { label: 'V5' }],
      unit: 'mV',
      scale: 0.005,
      offset: -5.12,
      tags: { species: 'mouse', age_days: 61, anaesthetised: false },
      sampling: { kind: 'regular', rate_hz: 360, start: '2026-05-01T09:00:00Z' },
    };
    const created = expecting(201, await api.post('/v1/series', fields));
    const { id } = created.json<SeriesJson>();
    expect(created.headers.location).toBe(`/v1/series/${id}`);
    expect(created.headers['content-type']).toMatch(/^application\/json/);
    expect(created.headers.etag).toMatch(/^"[^"]+"$/);
    expect(created.json()).toEqual({
      id: expect.stringMatching(UUID),
      project: 'default',
      name: 'mouse-12/ecg',
      description: null,
      dtype: 'int16',
      channels: [{ label: 'MLII', unit: 'mV' }, { label: 'V5' }],
      unit: 'mV',
      scale: 0.005,
      offset: -5.12,
      sampling: { kind: 'regular', rate_hz: 360, rate: '360/1', start: '2026-05-01T09:00:00Z', start_tolerance: null },
      time_reference: 'utc',
      duplicates: 'last',
      codec: 'gzip',
      tags: { species: 'mouse', age_days: 61, anaesthetised: false },
      unit_is_ucum: true,
      continuity: null,
      resolution: null,
      missing_value: null,
      time_zone: null,
      external_ids: {},
      provenance: {},
      recording: null,
      rows: 0,
      removed: 0,
      first_time: null,
      last_time: null,
      state: 'open',
      sealed_at: null,
      content_hash: null,
      commit: 0,
      version: 1,
      created_at: expect.stringMatching(RFC3339),
      updated_at: expect.stringMatching(RFC3339),
    });
    const found = expecting(200, await api.get(created.headers.location ?? ''));
    expect(found.json()).toEqual(created.json());
    expect(found.headers.etag).toBe(created.headers.etag);
  });

  test('keeps what is said of its channels, and a change of it', async () => {
    const channels = [
      { label: 'a', location: 'V1', impedance_ohm: 5000 },
      { label: 'b', bad: true, reference: 'a' },
    ];
    const { id } = await api.createSeries({ name: fresh(), dtype: 'int16', channels, sampling: REGULAR });
    expect((await api.get(`/v1/series/${id}`)).json()).toMatchObject({ channels });
    const changed = [channels[0], { label: 'b', bad: false, filtering: 'LP:75Hz' }];
    expecting(200, await api.patch(`/v1/series/${id}`, { channels: changed }));
    expect((await api.get(`/v1/series/${id}`)).json()).toMatchObject({ channels: changed });
    const { items } = (await api.get(`/v1/series/${id}/history`)).json<{ items: { changes: { field: string }[] }[] }>();
    expect(items[0].changes.map(({ field }) => field)).toEqual(['channels']);
  });

  test('what is not said has its default', async () => {
    const created = await api.createSeries({ name: fresh(), dtype: 'float64', sampling: { kind: 'irregular' } });
    expect(created).toMatchObject({
      project: 'default',
      channels: [{ label: 'value' }],
      unit: null,
      scale: 1,
      offset: 0,
      sampling: { kind: 'irregular' },
      time_reference: 'utc',
      duplicates: 'last',
      tags: {},
    });
    const counted = await api.createSeries({ name: fresh(), dtype: 'uint8', channels: 3, sampling: REGULAR });
    expect(counted).toMatchObject({
      channels: [{ label: 'ch0' }, { label: 'ch1' }, { label: 'ch2' }],
      time_reference: 'relative',
      sampling: { start: null },
    });
  });

  test.each([
    [20.03, '2003/100'],
    ['30000/1001', '30000/1001'],
    [1e-3, '1/1000'],
  ])('a rate of %p Hz is kept exactly as %s', async (rate, exact) => {
    const created = await api.createSeries({
      name: fresh(),
      dtype: 'int8',
      sampling: { kind: 'regular', rate_hz: rate },
    });
    expect(created).toMatchObject({ sampling: { rate: exact } });
  });

  test('a name that exists is refused and names the field', async () => {
    const fields = { name: fresh(), dtype: 'int16', sampling: REGULAR };
    await api.createSeries(fields);
    const problem = expecting(409, await api.post('/v1/series', fields));
    expect(problem.headers['content-type']).toMatch(/^application\/problem\+json/);
    expect(problem.json<Problem>()).toMatchObject({
      type: 'urn:varve:problem:name-taken',
      status: 409,
      errors: [{ field: 'name' }],
    });
  });

  test('of ten who ask for one name at once, one gets it', async () => {
    const name = fresh();
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => api.post('/v1/series', { name, dtype: 'int16', sampling: REGULAR })),
    );
    expect(tally(answers)).toEqual({ 201: 1, 409: 9 });
    expect(await names(`name=${name}`)).toEqual([name]);
  });

  test('a name is free again in another project', async () => {
    const project = fresh('project');
    expecting(201, await api.post('/v1/projects', { name: project }));
    const name = fresh();
    const here = await api.createSeries({ name, dtype: 'int16', sampling: REGULAR });
    const there = await api.createSeries({ name, project, dtype: 'int16', sampling: REGULAR });
    expect(there.id).not.toBe(here.id);
    const byName = `/v1/series/by-name/${name}`;
    expect((await api.get(`${byName}?project=${project}`)).json<SeriesJson>().id).toBe(there.id);
    expect((await api.get(byName)).json<SeriesJson>().id).toBe(here.id);
  });

  test('a project that does not exist is not found', async () => {
    const answer = await api.post('/v1/series', {
      name: fresh(),
      project: 'nowhere',
      dtype: 'int16',
      sampling: REGULAR,
    });
    expect(expecting(404, answer).json<Problem>().detail).toContain('nowhere');
  });
});

describe('getting', () => {
  test.each([
    ['slashes as they are', (name: string) => name],
    ['slashes percent-encoded', encodeURIComponent],
  ])('a series is found by its name, its %s', async (_, path) => {
    const created = await api.createSeries({ name: `${fresh('lab')}/rig 2/ä`, dtype: 'int16', sampling: REGULAR });
    const found = await api.get(
      `/v1/series/by-name/${path(created.name).replaceAll(' ', '%20').replaceAll('ä', '%C3%A4')}`,
    );
    expect(expecting(200, found).json<SeriesJson>().id).toBe(created.id);
  });

  test('samples are reached by the name as well', async () => {
    const { name } = await api.createSeries({ name: `${fresh()}/a`, dtype: 'int16', sampling: REGULAR });
    expecting(201, await api.post(`/v1/series/by-name/${name}/samples`, { values: [4, 5] }));
    expect((await api.get(`/v1/series/by-name/${name}/samples`)).json()).toMatchObject({ values: [4, 5] });
  });

  test('a client that has the newest version gets no body', async () => {
    const { id } = await api.createSeries({ name: fresh(), dtype: 'int16', sampling: REGULAR });
    const { headers } = await api.get(`/v1/series/${id}`);
    const again = await api.get(`/v1/series/${id}`, { 'if-none-match': headers.etag ?? '' });
    expect([again.status, again.body.length]).toEqual([304, 0]);
    await api.append(id, { values: [1] });
    expecting(200, await api.get(`/v1/series/${id}`, { 'if-none-match': headers.etag ?? '' }));
  });

  test.each(['0190b5a0-0000-7000-8000-000000000000', 'no-uuid', 'by-name/nobody/here'])(
    '%s is not found',
    async (ref) => {
      const { status, type } = expecting(404, await api.get(`/v1/series/${ref}`)).json<Problem>();
      expect([status, type]).toEqual([404, 'urn:varve:problem:not-found']);
    },
  );
});

describe('changing', () => {
  test('fields change, tags are merged, and null removes one', async () => {
    const created = await api.createSeries({
      name: fresh(),
      dtype: 'int16',
      unit: 'mV',
      tags: { species: 'mouse', rig: 2, awake: true },
      sampling: REGULAR,
    });
    const changed = expecting(
      200,
      await api.patch(`/v1/series/${created.id}`, {
        unit: null,
        description: 'recalibrated',
        scale: 0.5,
        tags: { rig: null, awake: false, age_days: 7 },
      }),
    ).json<SeriesJson>();
    expect(changed).toMatchObject({
      id: created.id,
      unit: null,
      description: 'recalibrated',
      scale: 0.5,
      tags: { species: 'mouse', awake: false, age_days: 7 },
      version: created.version + 1,
    });
    expect(changed.tags).not.toHaveProperty('rig');
    expect(await api.series(created.id)).toEqual(changed);
  });

  test('of two who edit the same version, the second is told', async () => {
    const { id } = await api.createSeries({ name: fresh(), dtype: 'int16', sampling: REGULAR });
    const etag = (await api.get(`/v1/series/${id}`)).headers.etag ?? '';
    const first = await api.patch(`/v1/series/${id}`, { tags: { by: 'first' } }, { 'if-match': etag });
    expect(expecting(200, first).headers.etag).not.toBe(etag);
    const second = await api.patch(`/v1/series/${id}`, { tags: { by: 'second' } }, { 'if-match': etag });
    expect(expecting(412, second).json<Problem>()).toMatchObject({
      type: 'urn:varve:problem:precondition-failed',
      errors: [{ field: 'If-Match' }],
    });
    expect((await api.series(id)).tags).toEqual({ by: 'first' });
  });

  test('of ten who edit the same version at once, one succeeds', async () => {
    const { id } = await api.createSeries({ name: fresh(), dtype: 'int16', sampling: REGULAR });
    const etag = (await api.get(`/v1/series/${id}`)).headers.etag ?? '';
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, n) => api.patch(`/v1/series/${id}`, { tags: { n } }, { 'if-match': etag })),
    );
    expect(tally(answers)).toEqual({ 200: 1, 412: 9 });
  });

  test('ten who set different tags without a condition all get theirs', async () => {
    const { id } = await api.createSeries({ name: fresh(), dtype: 'int16', sampling: REGULAR });
    const keys = Array.from({ length: 10 }, (_, n) => `key${n}`);
    const answers = await Promise.all(keys.map((key) => api.patch(`/v1/series/${id}`, { tags: { [key]: true } })));
    expect(tally(answers)).toEqual({ 200: 10 });
    expect((await api.series(id)).tags).toEqual(Object.fromEntries(keys.map((key) => [key, true])));
  });

  test('a name that another series has cannot be taken', async () => {
    const [a, b] = await Promise.all(
      [fresh(), fresh()].map((name) => api.createSeries({ name, dtype: 'int16', sampling: REGULAR })),
    );
    expecting(409, await api.patch(`/v1/series/${a.id}`, { name: b.name }));
    const renamed = fresh();
    expecting(200, await api.patch(`/v1/series/${a.id}`, { name: renamed }));
    expect((await api.get(`/v1/series/by-name/${renamed}`)).json<SeriesJson>().id).toBe(a.id);
    expecting(404, await api.get(`/v1/series/by-name/${a.name}`));
  });

  test('the number of channels cannot change', async () => {
    const { id } = await api.createSeries({ name: fresh(), dtype: 'int16', channels: 2, sampling: REGULAR });
    const answer = await api.patch(`/v1/series/${id}`, { channels: [{ label: 'only' }] });
    expect(expecting(422, answer).json<Problem>().errors).toMatchObject([{ field: 'channels' }]);
  });
});

describe('deleting', () => {
  test('a deleted series is gone at once, and comes back with its samples', async () => {
    const { id, name } = await api.createSeries({ name: fresh(), dtype: 'int16', sampling: REGULAR });
    await api.append(id, { values: [1, 2, 3] });
    const deleted = expecting(204, await api.delete(`/v1/series/${id}`));
    expect(deleted.body.length).toBe(0);
    expecting(404, await api.get(`/v1/series/${id}`));
    expecting(404, await api.get(`/v1/series/by-name/${name}`));
    expecting(404, await api.get(`/v1/series/${id}/samples`));
    expecting(404, await api.post(`/v1/series/${id}/samples`, { values: [4] }));
    expecting(404, await api.patch(`/v1/series/${id}`, { unit: 'mV' }));
    expecting(404, await api.delete(`/v1/series/${id}`));
    expect(await names(`name=${name}`)).toEqual([]);

    const restored = expecting(200, await api.post(`/v1/series/${id}/restore`, undefined)).json<SeriesJson>();
    expect(restored).toMatchObject({ id, name, rows: 3 });
    expect((await api.read(id)).values).toEqual([[1, 2, 3]]);
    expect(await names(`name=${name}`)).toEqual([name]);
  });

  test('the name of a deleted series is free, and then in the way of its return', async () => {
    const fields = { name: fresh(), dtype: 'int16', sampling: REGULAR };
    const { id } = await api.createSeries(fields);
    expecting(204, await api.delete(`/v1/series/${id}`));
    await api.createSeries(fields);
    expecting(409, await api.post(`/v1/series/${id}/restore`, undefined));
    expecting(404, await api.get(`/v1/series/${id}`));
  });

  test('what never was cannot be restored', async () => {
    expecting(404, await api.post('/v1/series/0190b5a0-0000-7000-8000-000000000000/restore', undefined));
  });
});

describe('finding', () => {
  const lab = fresh('lab');
  const called = (name: string): string => `${lab}/${name}`;

  beforeAll(async () => {
    expecting(201, await api.post('/v1/projects', { name: lab }));
    const make = (name: string, fields: Readonly<Record<string, unknown>>): Promise<SeriesJson> =>
      api.createSeries({ name: called(name), project: lab, dtype: 'int16', sampling: REGULAR, ...fields });
    await make('mouse-1', { unit: 'mV', tags: { species: 'mouse', age_days: 61, awake: true, code: '61' } });
    await make('mouse-2', { unit: 'uV', tags: { species: 'mouse', age_days: 9.5, awake: false } });
    await make('rat-1', { unit: 'mV', tags: { species: 'rat', age_days: 120, 'body weight/g': 300 } });
    await make('room', { sampling: { kind: 'irregular' }, tags: { species: 61, awake: 'true' } });
    await make('bare', {});
  });

  test.each([
    ['a text', 'tag.species=mouse', ['mouse-1', 'mouse-2']],
    ['a number', 'tag.age_days=61', ['mouse-1']],
    ['a number in another spelling', 'tag.age_days=6.1e1', ['mouse-1']],
    ['a boolean, or the same word', 'tag.awake=true', ['mouse-1', 'room']],
    ['what reads as a number, in the type it was stored', 'tag.species=61', ['room']],
    ['a text of digits', 'tag.code=61', ['mouse-1']],
    ['a key with spaces and slashes', 'tag.body%20weight%2Fg=300', ['rat-1']],
    ['several conditions', 'tag.species=mouse&tag.awake=false', ['mouse-2']],
    ['two conditions on one key', 'tag.age_days[gte]=9.5&tag.age_days[lt]=61', ['mouse-2']],
    ['more than', 'tag.age_days[gt]=61', ['rat-1']],
    ['at least', 'tag.age_days[gte]=61', ['mouse-1', 'rat-1']],
    ['at most', 'tag.age_days[lte]=61', ['mouse-1', 'mouse-2']],
    ['less than, by number and not by letters', 'tag.age_days[lt]=100', ['mouse-1', 'mouse-2']],
    ['a range of texts', 'tag.species[gte]=n', ['rat-1']],
    ['existence', 'tag.awake[exists]=true', ['mouse-1', 'mouse-2', 'room']],
    ['absence', 'tag.species[exists]=false', ['bare']],
    ['inequality, which absence fulfils', 'tag.species[ne]=mouse', ['bare', 'rat-1', 'room']],
    ['a unit', 'unit=mV', ['mouse-1', 'rat-1']],
    ['a kind', 'kind=irregular', ['room']],
    ['a kind and a unit', 'kind=regular&unit=uV', ['mouse-2']],
    ['nobody', 'tag.species=cat', []],
    ['an injection that stays a value', `tag.species=${encodeURIComponent("mouse' or true --")}`, []],
  ])('by %s', async (_, query, expected) => {
    expect(await names(`project=${lab}&${query}`)).toEqual(expected.map(called));
  });

  test('a name is found exactly', async () => {
    expect(await names(`name=${called('mouse-1')}`)).toEqual([called('mouse-1')]);
    expect(await names(`name=${lab}`)).toEqual([]);
    expect(await names('project=nowhere')).toEqual([]);
  });

  test('what an append makes of a series shows in the list', async () => {
    const created = await api.createSeries({
      name: fresh(),
      dtype: 'int16',
      sampling: { kind: 'regular', rate_hz: 10, start: '2026-05-01T00:00:00Z' },
    });
    await api.append(created.id, { values: [1, 2, 3] });
    const [item] = expecting(200, await api.get(`/v1/series?name=${created.name}`)).json<Page>().items;
    expect(item).toEqual(await api.series(created.id));
    expect(item).toMatchObject({
      rows: 3,
      first_time: '2026-05-01T00:00:00Z',
      last_time: '2026-05-01T00:00:00.2Z',
    });
  });
});

describe('paging', () => {
  const kept = fresh('kept');
  const COUNT = 40;

  beforeAll(async () => {
    for (let n = 0; n < COUNT; n += 10) {
      await Promise.all(
        Array.from({ length: 10 }, (_, k) =>
          api.createSeries({ name: `${kept}/${n + k}`, dtype: 'int8', tags: { set: kept }, sampling: REGULAR }),
        ),
      );
    }
  });

  test('pages show each series once, and the last one has no next', async () => {
    const items = await walk(`/v1/series?tag.set=${kept}&limit=7`);
    expect(items.map(({ name }) => name).sort()).toEqual(
      Array.from({ length: COUNT }, (_, n) => `${kept}/${n}`).sort(),
    );
    const whole = expecting(200, await api.get(`/v1/series?tag.set=${kept}&limit=${COUNT}`)).json<Page>();
    expect([whole.items.length, whole.next]).toEqual([COUNT, null]);
  });

  test('while others create, every earlier series is shown exactly once', async () => {
    const tag = fresh('busy');
    const make = (n: number): Promise<SeriesJson> =>
      api.createSeries({ name: `${tag}/${n}`, dtype: 'int8', tags: { set: tag }, sampling: REGULAR });
    const earlier = await Promise.all(Array.from({ length: 15 }, (_, n) => make(n)));
    let n = earlier.length;
    // Two more between any two pages of four: the walk still ends, for it gains on them.
    const items = await walk(`/v1/series?tag.set=${tag}&limit=4`, () => Promise.all([make(n++), make(n++)]));
    const shown = items.map(({ id }) => id);
    expect(new Set(shown).size).toBe(shown.length);
    expect(shown).toEqual(expect.arrayContaining(earlier.map(({ id }) => id)));
  });

  test('a series deleted while pages are walked neither repeats nor hides others', async () => {
    const tag = fresh('shrinking');
    const all = await Promise.all(
      Array.from({ length: 9 }, (_, n) =>
        api.createSeries({ name: `${tag}/${n}`, dtype: 'int8', tags: { set: tag }, sampling: REGULAR }),
      ),
    );
    const first = expecting(200, await api.get(`/v1/series?tag.set=${tag}&limit=3`)).json<Page>();
    // The one the cursor stands on.
    const gone = first.items[2];
    expecting(204, await api.delete(`/v1/series/${gone.id}`));
    const rest = await walk(first.next ?? '');
    expect([...first.items, ...rest].map(({ id }) => id).sort()).toEqual(all.map(({ id }) => id).sort());
  });

  test('a page may change its size on the way', async () => {
    const first = expecting(200, await api.get(`/v1/series?tag.set=${kept}&limit=3`)).json<Page>();
    const wider = (first.next ?? '').replace('limit=3', 'limit=1000');
    const second = expecting(200, await api.get(wider)).json<Page>();
    expect([second.items.length, second.next]).toEqual([COUNT - 3, null]);
  });

  test.each(['x', 'e30', 'bnVsbA', Buffer.from('{"of":"a","after":"b"}').toString('base64url')])(
    'the cursor %s, which is none, is refused',
    async (cursor) => {
      const answer = expecting(400, await api.get(`/v1/series?cursor=${cursor}`));
      expect(answer.json<Problem>().errors).toMatchObject([{ field: 'cursor' }]);
    },
  );

  test('a cursor of another question is refused', async () => {
    const { next } = expecting(200, await api.get(`/v1/series?tag.set=${kept}&limit=2`)).json<Page>();
    const cursor = new URLSearchParams((next ?? '').split('?')[1]).get('cursor') ?? '';
    for (const other of ['', 'tag.set=other&', `tag.set=${kept}&unit=mV&`]) {
      const answer = expecting(400, await api.get(`/v1/series?${other}cursor=${cursor}`));
      expect(answer.json<Problem>().errors).toMatchObject([{ field: 'cursor' }]);
    }
  });
});

describe('the trash', () => {
  test('has what was deleted, last first and page by page, until it is restored', async () => {
    const project = fresh('bin');
    expecting(201, await api.post('/v1/projects', { name: project }));
    const made = [];
    for (const n of [1, 2, 3]) {
      made.push(await api.createSeries({ name: `t/${n}`, project, dtype: 'int8', tags: { n }, sampling: REGULAR }));
    }
    for (const { id } of made) expecting(204, await api.delete(`/v1/series/${id}`));
    const first = expecting(200, await api.get(`/v1/trash?project=${project}&limit=2`)).json<Page>();
    expect(first.items.map(({ name }) => name)).toEqual(['t/3', 't/2']);
    expect(first.items[0]).toMatchObject({ tags: { n: 3 }, project });
    const { deleted_at, restorable_until } = first.items[0] as unknown as Record<string, string>;
    expect(Date.parse(restorable_until) - Date.parse(deleted_at)).toBe(7 * 86_400_000);
    const second = expecting(200, await api.get(first.next ?? '')).json<Page>();
    expect([second.items.map(({ name }) => name), second.next]).toEqual([['t/1'], null]);
    expecting(200, await api.post(`/v1/series/${made[1].id}/restore`, undefined));
    const left = expecting(200, await api.get(`/v1/trash?project=${project}`)).json<Page>();
    expect(left.items.map(({ name }) => name)).toEqual(['t/3', 't/1']);
    for (const { id } of [made[0], made[2]]) expecting(200, await api.post(`/v1/series/${id}/restore`, undefined));
    expect(expecting(200, await api.get(`/v1/trash?project=${project}`)).json()).toEqual({ items: [], next: null });
    for (const query of ['limit=0', 'cursor=x', 'q=x']) expecting(400, await api.get(`/v1/trash?${query}`));
  });
});
