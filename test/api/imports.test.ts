/** Recordings, and files that become one on the server. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { startService, type RunningService } from '../support/service.ts';
import { ApiClient, expecting, type Problem, type SeriesJson } from './client.ts';

interface RecordingJson {
  readonly id: string;
  readonly project: string;
  readonly name: string;
  readonly sources: readonly { readonly file: string; readonly sha256: string }[];
  readonly start: string | null;
  readonly series: number;
}

type InRecording = SeriesJson & { readonly recording: { readonly id: string; readonly name: string } | null };

interface Page<T> {
  readonly items: readonly T[];
  readonly next: string | null;
}

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

const IRREGULAR = { dtype: 'int16', sampling: { kind: 'irregular' } };
const SOURCE = { file: 'a.edf', sha256: 'a'.repeat(64) };

async function lab(): Promise<string> {
  const name = `lab-${randomUUID()}`;
  expecting(201, await api.post('/v1/projects', { name }));
  return name;
}

async function make(project: string, name: string, recording: unknown): Promise<InRecording> {
  return (await api.createSeries({ project, name, ...IRREGULAR, recording })) as InRecording;
}

async function recordings(query: string): Promise<readonly RecordingJson[]> {
  return expecting(200, await api.get(`/v1/recordings?${query}`)).json<Page<RecordingJson>>().items;
}

async function found(query: string): Promise<string[]> {
  const { items } = expecting(200, await api.get(`/v1/series?${query}`)).json<Page<SeriesJson>>();
  return items.map(({ name }) => name).sort();
}

describe('a recording', () => {
  test('is made by the first series that names it, shared by the others, and found by its name, id, file and in expressions', async () => {
    const project = await lab();
    const start = '2026-05-01T09:00:00Z';
    const first = await make(project, 'm12/ecg', { name: 'm12', source: SOURCE, start });
    const second = await make(project, 'm12/eeg', { name: 'm12', source: SOURCE });
    const third = await make(project, 'm12/temp', { id: first.recording?.id });
    await make(project, 'other', null);
    expect(second.recording).toEqual(first.recording);
    expect(third.recording).toEqual({ id: first.recording?.id, name: 'm12' });

    const id = first.recording!.id;
    const all = ['m12/ecg', 'm12/eeg', 'm12/temp'];
    expect(await found(`project=${project}&recording=m12`)).toEqual(all);
    expect(await found(`recording=${id}`)).toEqual(all);
    expect(await found(`recording=${randomUUID()}`)).toEqual([]);
    const searched = await api.post('/v1/series/search', {
      where: {
        and: [
          { field: 'project', eq: project },
          { field: 'recording', prefix: 'm1' },
        ],
      },
      facets: ['field.recording'],
    });
    const { items, facets } = searched.json<{ items: SeriesJson[]; facets: Record<string, unknown> }>();
    expect(items.map(({ name }) => name).sort()).toEqual(all);
    expect(facets['field.recording']).toEqual([{ value: 'm12', count: 3 }]);

    const expected = { id, project, name: 'm12', sources: [SOURCE], start, series: 3 };
    expect(expecting(200, await api.get(`/v1/recordings/${id}`)).json()).toMatchObject(expected);
    for (const query of ['name=m12', 'q=M1', `sha256=${SOURCE.sha256}`, '']) {
      expect(await recordings(`project=${project}&${query}`)).toMatchObject([expected]);
    }
    expect(await recordings(`project=${project}&name=m1`)).toEqual([]);
  });

  test('is listed page by page, newest first, and not to who may not see its project', async () => {
    const project = await lab();
    for (const name of ['a', 'b', 'c']) await make(project, name, { name: `rec ${name}` });
    const first = expecting(200, await api.get(`/v1/recordings?project=${project}&limit=2`)).json<
      Page<RecordingJson>
    >();
    expect(first.items.map(({ name }) => name)).toEqual(['rec c', 'rec b']);
    const rest = expecting(200, await api.get(first.next!)).json<Page<RecordingJson>>();
    expect(rest).toMatchObject({ items: [{ name: 'rec a' }], next: null });

    const elsewhere = await api.post('/v1/tokens', { name: 'x', scopes: ['read', 'write'], projects: ['default'] });
    const { token } = expecting(201, elsewhere).json<{ token: string }>();
    const stranger = new ApiClient({ url: service.url, token });
    const { id } = first.items[0];
    expecting(404, await stranger.get(`/v1/recordings/${id}`));
    expecting(404, await stranger.patch(`/v1/recordings/${id}`, { name: 'mine' }));
    const seen = expecting(200, await stranger.get('/v1/recordings')).json<Page<RecordingJson>>().items;
    expect(seen.filter((each) => each.project === project)).toEqual([]);
    const joined = { name: 'spy', project: 'default', ...IRREGULAR, recording: { id } };
    expecting(422, await stranger.post('/v1/series', joined));
  });

  test('is renamed with all its series, whose versions and histories tell it', async () => {
    const project = await lab();
    const { id, recording, version } = await make(project, 's', { name: 'before' });
    await make(project, 't', { name: 'taken' });
    expecting(409, await api.patch(`/v1/recordings/${recording!.id}`, { name: 'taken' }));
    const path = `/v1/recordings/${recording!.id}`;
    expect(expecting(200, await api.patch(path, { name: 'after' })).json()).toMatchObject({ name: 'after' });
    const now = (await api.series(id)) as InRecording;
    expect(now).toMatchObject({ recording: { id: recording!.id, name: 'after' }, version: version + 1 });
    const history = expecting(200, await api.get(`/v1/series/${id}/history`)).json<Page<{ changes: unknown }>>();
    expect(history.items[0].changes).toEqual([{ field: 'recording', old: 'before', new: 'after' }]);
    expect(await found(`project=${project}&recording=after`)).toEqual(['s']);
    expect(await found(`project=${project}&recording=before`)).toEqual([]);
  });

  test('goes with its last series, comes back with one, and leaves its name to another file', async () => {
    const project = await lab();
    const { id, recording } = await make(project, 's', { name: 'r', source: SOURCE });
    const other = { file: 'b.edf', sha256: 'b'.repeat(64) };
    const clash = await api.post('/v1/series', {
      project,
      name: 't',
      ...IRREGULAR,
      recording: { name: 'r', source: other },
    });
    expect(expecting(409, clash).json<Problem>()).toMatchObject({
      type: 'urn:varve:problem:name-taken',
      errors: [{ field: 'recording' }],
    });
    expect(await found(`project=${project}`)).toEqual(['s']);
    expecting(204, await api.delete(`/v1/series/${id}`));
    expect(await recordings(`project=${project}`)).toEqual([]);
    expecting(404, await api.get(`/v1/recordings/${recording!.id}`));
    expecting(200, await api.post(`/v1/series/${id}/restore`, {}));
    expect(await recordings(`project=${project}`)).toMatchObject([{ name: 'r', sources: [SOURCE] }]);
    expecting(204, await api.delete(`/v1/series/${id}`));
    await make(project, 't', { name: 'r', source: other });
    expect(await recordings(`project=${project}`)).toMatchObject([{ name: 'r', sources: [other], series: 1 }]);
  });

  test.each<[string, number, unknown]>([
    ['recording', 400, 'r'],
    ['recording', 400, { name: '' }],
    ['recording', 400, { name: 'r', source: { file: 'a', sha256: 'short' } }],
    ['recording.id', 422, { id: randomUUID() }],
  ])('that is wrong is refused naming %s with %i, and nothing is made: %j', async (field, status, recording) => {
    const project = await lab();
    const answer = await api.post('/v1/series', { project, name: 's', ...IRREGULAR, recording });
    expect(expecting(status, answer).json<Problem>().errors[0].field).toMatch(new RegExp(`^${field}`));
    const bulk = JSON.stringify({ project, name: 's', ...IRREGULAR, recording });
    const lines = await api.send('POST', '/v1/series/bulk', {
      headers: { 'content-type': 'application/x-ndjson' },
      body: bulk,
    });
    expect(lines.json<{ items: { status: number }[] }>().items[0].status).toBe(status);
    expect(await found(`project=${project}`)).toEqual([]);
  });
});
