/** Recordings, and files that become one on the server. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { startService, type RunningService } from '../support/service.ts';
import { ApiClient, expecting, pause, type Answer, type Problem, type SeriesJson } from './client.ts';

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
let root: string;
let secret: string;

beforeAll(async () => {
  database = await testDatabase();
  const outside = await mkdtemp(join(tmpdir(), 'varve-outside-'));
  secret = join(outside, 'secret.csv');
  await writeFile(secret, table(['a'], 3));
  root = await mkdtemp(join(tmpdir(), 'varve-root-'));
  service = await startService({ env: { DATABASE_URL: database.url, VARVE_IMPORT_ROOTS: root } });
  api = new ApiClient(service);
});

afterAll(async () => {
  await service?.drop();
  await database?.drop();
  for (const folder of [root, join(secret, '..')]) await rm(folder, { recursive: true, force: true });
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

interface ImportJson {
  readonly id: string;
  readonly state: 'waiting' | 'running' | 'done' | 'failed' | 'cancelled';
  readonly files:
    | readonly {
        readonly file: string;
        readonly sha256: string;
        readonly series: readonly { id: string | null; name: string; outcome: string; rows: number | null }[];
      }[]
    | null;
  readonly problem: {
    readonly type: string;
    readonly detail: string;
    readonly errors: readonly { field: string }[];
  } | null;
  readonly same_as: string | null;
}

/** A table of so many rows, a millisecond apart. */
function table(columns: readonly string[], rows: number, from = 0): string {
  const lines = Array.from({ length: rows }, (_, row) => {
    const at = new Date(Date.UTC(2026, 4, 1) + from + row).toISOString();
    return [at, ...columns.map((_, column) => String((row * 7 + column) % 1000))].join(',');
  });
  return [`time,${columns.join(',')}`, ...lines, ''].join('\n');
}

async function placed(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(root, name);
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, content);
  return path;
}

async function start(body: object, headers = {}): Promise<ImportJson> {
  const answer = expecting(202, await api.post('/v1/imports', body, headers));
  const started = answer.json<ImportJson>();
  expect(answer.headers.location).toBe(`/v1/imports/${started.id}`);
  return started;
}

async function ended(id: string): Promise<ImportJson> {
  for (let tries = 0; tries < 600; tries++) {
    const now = expecting(200, await api.get(`/v1/imports/${id}`)).json<ImportJson>();
    if (now.state !== 'waiting' && now.state !== 'running') return now;
    await pause(50);
  }
  throw new Error('the import does not end');
}

async function imported(body: object): Promise<ImportJson> {
  return ended((await start(body)).id);
}

async function upload(filename: string, content: string | Uint8Array, project = 'default'): Promise<string> {
  const query = new URLSearchParams({ filename, project });
  const answer = await api.send('POST', `/v1/uploads?${query.toString()}`, { body: content });
  return expecting(201, answer).json<{ id: string }>().id;
}

function tus(method: string, path: string, headers: Record<string, string>, body?: Uint8Array): Promise<Answer> {
  return api.send(method, path, { headers: { 'tus-resumable': '1.0.0', ...headers }, body });
}

/** A header of two files side by side: 16-bit samples, one channel. */
const WFDB_HEADER = 'r 1 100 4\nr.dat 16 200 12 0 0 0 0 lead\n';
const WFDB_SAMPLES = Buffer.from(Int16Array.of(1, -2, 300, 4).buffer);

describe('an import', () => {
  test('makes the series of files of the server by one commit, in a recording each, with tags and provenance', async () => {
    const project = await lab();
    const content = table(['a', 'b'], 500);
    const paths = [await placed('one/first.csv', content), await placed('one/second.csv', table(['c'], 10))];
    const { state, files, problem } = await imported({ project, paths, tags: { species: 'mouse' } });
    expect({ state, problem }).toEqual({ state: 'done', problem: null });
    expect(files).toMatchObject([
      { file: 'first.csv', sha256: createHash('sha256').update(content).digest('hex') },
      { file: 'second.csv' },
    ]);
    const made = files!.flatMap(({ series }) => series);
    expect(made).toMatchObject([
      { outcome: 'created', rows: 500 },
      { outcome: 'created', rows: 10 },
    ]);
    const first = (await api.series(made[0].id!)) as InRecording;
    expect(first).toMatchObject({ rows: 500, tags: { species: 'mouse' }, recording: { name: 'first' } });
    const { values } = await api.read(first.id, '?rows=0:3');
    expect(values).toEqual([
      [0, 7, 14],
      [1, 8, 15],
    ]);
    expect(await recordings(`project=${project}`)).toMatchObject([
      { name: 'second', series: 1 },
      { name: 'first', series: 1 },
    ]);
    const commits = new Set(
      (await Promise.all(made.map(({ id }) => api.get(`/v1/series/${id}`)))).map(
        (each) => each.json<{ commit: number }>().commit,
      ),
    );
    expect(commits.size).toBe(1);
  });

  test('of more than memory holds goes through the spool, to the last value', async () => {
    const rows = 200_000;
    const values = Int32Array.from({ length: rows * 2 }, (_, i) => (i * 7919) | 0);
    const header = "{'descr': '<i4', 'fortran_order': False, 'shape': (200000, 2), }".padEnd(117, ' ') + '\n';
    const npy = Buffer.concat([
      Buffer.from('\x93NUMPY\x01\x00\x76\x00', 'latin1'),
      Buffer.from(header),
      Buffer.from(values.buffer),
    ]);
    const project = await lab();
    const done = await imported({
      project,
      paths: [await placed('large.npy', npy)],
      options: { rate: '1000', start: '2026-05-01T00:00:00Z' },
    });
    expect(done).toMatchObject({ state: 'done' });
    const id = done.files![0].series[0].id!;
    const body = await api.send('GET', `/v1/series/${id}/samples?format=octet`);
    expect(body.body.equals(Buffer.from(values.buffer))).toBe(true);
  });

  test('that is dry tells what would be made, and makes nothing', async () => {
    const project = await lab();
    const paths = [await placed('dry.csv', table(['a'], 5))];
    const { state, files } = await imported({ project, paths, dry_run: true });
    expect(state).toBe('done');
    expect(files).toMatchObject([{ series: [{ id: null, outcome: 'planned' }] }]);
    expect(await found(`project=${project}`)).toEqual([]);
    expect(await recordings(`project=${project}`)).toEqual([]);
  });

  test('of which one file is bad leaves nothing, and names it', async () => {
    const project = await lab();
    const paths = [
      await placed('bad/good.csv', table(['a'], 5)),
      await placed('bad/broken.csv', 'time,a\nnot a time,1\n'),
    ];
    const { state, problem, files } = await imported({ project, paths });
    expect({ state, files }).toEqual({ state: 'failed', files: null });
    expect(problem!.detail).toMatch(/^broken\.csv: /);
    expect(await found(`project=${project}`)).toEqual([]);
    expect(await recordings(`project=${project}`)).toEqual([]);
    expect(expecting(200, await api.get('/v1/series?limit=1')).status).toBe(200); // the service lives
  });

  test('given again changes nothing, and says which import did it', async () => {
    const project = await lab();
    const paths = [await placed('again.csv', table(['a'], 5))];
    const first = await imported({ project, paths });
    const second = await imported({ project, paths });
    expect(second).toMatchObject({ state: 'done', same_as: first.id, files: first.files });
    // With other options it is another import, whose series is there.
    const third = await imported({ project, paths, tags: { a: 1 } });
    expect(third).toMatchObject({ state: 'done', same_as: null, files: [{ series: [{ outcome: 'present' }] }] });
    expect(await found(`project=${project}`)).toEqual(['again']);
    const id = first.files![0].series[0].id!;
    expecting(204, await api.delete(`/v1/series/${id}`));
    expect(await imported({ project, paths })).toMatchObject({
      same_as: null,
      files: [{ series: [{ outcome: 'created' }] }],
    });
  });

  test('with an Idempotency-Key is one import', async () => {
    const project = await lab();
    const body = { project, paths: [await placed('key.csv', table(['a'], 5))] };
    const key = { 'idempotency-key': randomUUID() };
    expect((await start(body, key)).id).toBe((await start(body, key)).id);
    expecting(422, await api.post('/v1/imports', { ...body, dry_run: true }, key));
  });

  test('into a recording adds what is not there, once, and refuses what does not fit', async () => {
    const project = await lab();
    const first = await imported({ project, paths: [await placed('day1/log.csv', table(['a'], 5))] });
    const { id } = first.files![0].series[0];
    const more = { project, paths: [await placed('day2/log.csv', table(['a'], 5, 86_400_000))] };
    // Without a recording it is another file of the same name.
    expect(await imported(more)).toMatchObject({ state: 'failed', problem: { type: 'urn:varve:problem:name-taken' } });
    const into = { ...more, recording: 'log' };
    expect(await imported(into)).toMatchObject({ state: 'done', files: [{ series: [{ id, outcome: 'appended' }] }] });
    expect((await api.series(id!)).rows).toBe(10);
    const tagged = await imported({ ...into, tags: { again: true } });
    expect(tagged).toMatchObject({ files: [{ series: [{ id, outcome: 'present' }] }] });
    expect((await api.series(id!)).rows).toBe(10);
    const [recording] = await recordings(`project=${project}`);
    expect(recording).toMatchObject({ name: 'log', series: 1, sources: [{ file: 'log.csv' }, { file: 'log.csv' }] });
    const other = { project, recording: recording.id, paths: [await placed('day3/log.csv', table(['a', 'b'], 5))] };
    expect(await imported(other)).toMatchObject({ state: 'failed' });
    const error = expecting(404, await api.post('/v1/imports', { ...other, recording: 'none' })).json<Problem>();
    expect(error.errors[0].field).toBe('recording');
  });

  test('of uploads finds the files of a record beside each other, whatever their order', async () => {
    const project = await lab();
    const uploads = [await upload('r.dat', WFDB_SAMPLES, project), await upload('r.hea', WFDB_HEADER, project)];
    const done = await imported({ project, uploads });
    expect(done).toMatchObject({ state: 'done', files: [{ file: 'r.hea', series: [{ rows: 4 }] }] });
    expect((await api.read(done.files![0].series[0].id!)).values).toEqual([[1, -2, 300, 4]]);
    expecting(404, await api.get(`/v1/uploads/${uploads[0]}`)); // imported, and gone
    expect((await readdir(join(service.dataRoot, 'uploads'))).filter((name) => name.startsWith('import-'))).toEqual([]);
  });

  test('takes an upload that came in pieces by tus, and none of another project or that is not whole', async () => {
    const project = await lab();
    const content = Buffer.from(table(['a'], 100));
    const metadata = `filename ${btoa('pieces.csv')},project ${btoa(project)}`;
    const created = await tus('POST', '/v1/uploads', {
      'upload-length': String(content.length),
      'upload-metadata': metadata,
    });
    const path = expecting(201, created).headers.location!;
    expect(path).toMatch(/^\/v1\/uploads\/[0-9a-f]{32}$/);
    const id = path.split('/').at(-1)!;
    const type = { 'content-type': 'application/offset+octet-stream' };
    expecting(204, await tus('PATCH', path, { ...type, 'upload-offset': '0' }, content.subarray(0, 1000)));
    const head = await tus('HEAD', path, {});
    expect(head.headers).toMatchObject({ 'upload-offset': '1000', 'upload-length': String(content.length) });
    const early = expecting(409, await api.post('/v1/imports', { project, uploads: [id] })).json<Problem>();
    expect(early.errors[0]).toEqual({ field: 'uploads[0]', message: `has 1000 of ${content.length} bytes` });
    const wrong = await tus('PATCH', path, { ...type, 'upload-offset': '7' }, content.subarray(7));
    expect(expecting(409, wrong).headers['content-type']).toMatch('application/problem+json');
    expecting(204, await tus('PATCH', path, { ...type, 'upload-offset': '1000' }, content.subarray(1000)));
    expecting(404, await api.post('/v1/imports', { project: 'default', uploads: [id] }));
    expect(await imported({ project, uploads: [id] })).toMatchObject({ files: [{ series: [{ rows: 100 }] }] });
    expecting(404, await tus('HEAD', path, {}));
  });

  test('leaves uploads of other projects alone, and names of files that lead elsewhere', async () => {
    const project = await lab();
    const made = await api.post('/v1/tokens', { name: 'x', scopes: ['write', 'read'], projects: ['default'] });
    const stranger = new ApiClient({ url: service.url, token: made.json<{ token: string }>().token });
    const id = await upload('../../../etc/x.csv', table(['a'], 2), project);
    for (const method of ['GET', 'HEAD', 'DELETE']) expecting(404, await stranger.send(method, `/v1/uploads/${id}`));
    expecting(404, await stranger.send('POST', `/v1/uploads?filename=a&project=${project}`, { body: 'x' }));
    expect(await imported({ project, uploads: [id] })).toMatchObject({ state: 'done', files: [{ file: 'x.csv' }] });
    const { id: running } = await start({ project, paths: [await placed('mine.csv', table(['a'], 2))] });
    for (const method of ['GET', 'DELETE']) expecting(404, await stranger.send(method, `/v1/imports/${running}`));
    expecting(404, await stranger.post('/v1/imports', { project, paths: [join(root, 'mine.csv')] }));
  });

  test.each<[string, number, () => unknown]>([
    ['outside of the roots', 403, () => [secret]],
    ['that leads out of the roots', 403, () => [`${root}/../${secret}`]],
    ['through a link', 403, () => [join(root, 'link.csv')]],
    ['that is relative', 403, () => ['first.csv']],
    ['that is not there', 404, () => [join(root, 'none.csv')]],
    ['with a NUL', 400, () => [`${root}/a\0b`]],
    ['given twice', 400, () => [join(root, 'a.csv'), join(root, 'a.csv')]],
    ['of none', 400, () => []],
  ])('of a path %s is refused with %i, naming it', async (_what, status, pathsOf) => {
    await symlink(secret, join(root, 'link.csv')).catch(() => {});
    const problem = expecting(status, await api.post('/v1/imports', { paths: pathsOf() })).json<Problem>();
    expect(problem.errors[0].field).toMatch(/^paths/);
    if (status === 403) expect(problem.detail).toMatch('VARVE_IMPORT_ROOTS');
  });

  test('whose header leads out of the roots fails', async () => {
    await placed('sly/r.hea', WFDB_HEADER);
    await symlink(secret, join(root, 'sly', 'r.dat')).catch(() => {});
    const { state, problem } = await imported({ paths: [join(root, 'sly', 'r.hea')] });
    expect({ state, type: problem?.type }).toEqual({ state: 'failed', type: 'urn:varve:problem:import-roots' });
  });

  test('that is followed tells its states, and ends', async () => {
    const { id } = await start({ project: await lab(), paths: [await placed('events.csv', table(['a'], 50))] });
    const answer = await api.get(`/v1/imports/${id}/events`, { accept: 'application/x-ndjson' });
    const events = expecting(200, answer)
      .body.toString()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { event: string });
    expect(events.at(-1)).toMatchObject({ event: 'done', id, files: [{ file: 'events.csv' }] });
  });

  test('that is cancelled leaves nothing, and one that has ended cannot be', async () => {
    const project = await lab();
    const paths = [await placed('long.csv', table(['a'], 100_000))];
    const { id } = await start({ project, paths });
    expect(expecting(200, await api.delete(`/v1/imports/${id}`)).json()).toMatchObject({ state: 'cancelled' });
    const other = await imported({ project, paths: [await placed('short.csv', table(['a'], 5))] });
    const late = expecting(409, await api.delete(`/v1/imports/${other.id}`)).json<Problem>();
    expect(late.type).toBe('urn:varve:problem:import-ended');
    expect(await found(`project=${project}`)).toEqual(['short']);
    expect(await ended(id)).toMatchObject({ state: 'cancelled', files: null });
  });

  test('whose process is killed is done by the next one, once', async () => {
    const project = await lab();
    const paths = [await placed('killed.csv', table(['a'], 100_000))];
    const { id } = await start({ project, paths });
    for (let tries = 0; tries < 200; tries++) {
      if (expecting(200, await api.get(`/v1/imports/${id}`)).json<ImportJson>().state !== 'waiting') break;
      await pause(10);
    }
    await service.kill9();
    await service.restart();
    expect(await ended(id)).toMatchObject({ state: 'done', files: [{ series: [{ rows: 100_000 }] }] });
    expect(await found(`project=${project}`)).toEqual(['killed']);
    const sql = new pg.Client({ connectionString: database.url });
    await sql.connect();
    const { rows } = await sql.query(`select from imports where state in ('waiting', 'running')`);
    await sql.end();
    expect(rows).toEqual([]);
  }, 60_000);
});
