/** What is told as it happens: changes, rows as they become readable, and appends that are answered while they come. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { request, type ClientRequest, type IncomingMessage } from 'node:http';
import pg from 'pg';
import { MAX_LIVE_READERS } from '../../src/flows/live/live-places.ts';
import { hasTestPostgres, testDatabase, type TestDatabase } from '../support/postgres.ts';
import { startService, type RunningService } from '../support/service.ts';
import { ApiClient, expecting, pause, type Answer, type Problem } from './client.ts';
import { EventReader, type Told } from './event-reader.ts';

const NDJSON = { accept: 'application/x-ndjson' };
const SSE = { accept: 'text/event-stream' };
const LINES = { 'content-type': 'application/x-ndjson' };
const REGULAR = { kind: 'regular', rate_hz: 10, start: '2026-05-01T00:00:00Z' };
const IRREGULAR = { kind: 'irregular' };
const suite = hasTestPostgres() ? describe : describe.skip;

let database: TestDatabase;
let service: RunningService;
let api: ApiClient;
let sql: pg.Client;
const opened: EventReader[] = [];

beforeAll(async () => {
  if (!hasTestPostgres()) return;
  database = await testDatabase();
  const env = {
    DATABASE_URL: database.url,
    VARVE_FLUSH_AGE_S: '1',
    VARVE_COMPACT_EVERY_S: '1',
    VARVE_STALL_S: '2',
    VARVE_MAX_REQUESTS_PER_TOKEN: '2000',
  };
  service = await startService({ env });
  api = new ApiClient(service);
  sql = new pg.Client({ connectionString: database.url });
  await sql.connect();
});

afterEach(() => {
  for (const reader of opened.splice(0)) reader.close();
});

afterAll(async () => {
  await sql?.end();
  await service?.drop();
  await database?.drop();
});

async function follow(path: string, headers: Record<string, string>, client = api): Promise<EventReader> {
  const answer = await client.open('GET', path, { headers });
  expect(answer.statusCode).toBe(200);
  const reader = new EventReader(answer);
  opened.push(reader);
  return reader;
}

async function newSeries(sampling: object, fields: object = {}): Promise<string> {
  return (await api.createSeries({ name: randomUUID(), dtype: 'int32', sampling, ...fields })).id;
}

async function holder(
  scopes: readonly string[],
  projects?: readonly string[],
): Promise<{ id: string; token: string; client: ApiClient }> {
  const answer = expecting(201, await api.post('/v1/tokens', { name: randomUUID(), scopes, projects }));
  const { id, token } = answer.json<{ id: string; token: string }>();
  const client = new ApiClient({
    token,
    get url() {
      return service.url;
    },
  });
  return { id, token, client };
}

interface Changes {
  readonly commits: {
    commit: number;
    changes: { series: string; kind: string; project: string; first_row: number | null; rows: number | null }[];
  }[];
  readonly after: number;
  readonly more: boolean;
  readonly next: string;
}

async function changes(query: string, client = api): Promise<Changes> {
  return expecting(200, await client.get(`/v1/changes${query}`)).json<Changes>();
}

const at = (second: number): string => new Date(Date.UTC(2026, 4, 1) + second * 1000).toISOString();

suite('the feed of changes', () => {
  test('says 410 and what to do where commits are forgotten, or are none of this store', async () => {
    const id = await newSeries(IRREGULAR);
    await api.append(id, { times: [at(0)], values: [1] });
    const { after } = await changes('');
    await sql.query('delete from commits where "commit" = $1', [after - 1]);
    for (const [query, headers] of [
      [`?after=${after - 2}`, {}],
      [`?after=${after - 2}`, SSE],
      [`?after=${after + 1000}`, {}],
    ] as const) {
      const { type, errors, detail } = expecting(410, await api.get(`/v1/changes${query}`, headers)).json<Problem>();
      expect(type).toBe('urn:varve:problem:changes-gone');
      expect(errors[0].field).toBe('after');
      expect(detail).toContain(`after=${after}`);
    }
    const gone = await api.get('/v1/changes', { ...SSE, 'last-event-id': String(after - 2) });
    expect(expecting(410, gone).json<Problem>().errors[0].field).toBe('Last-Event-ID');
    expect((await changes(`?after=${after - 1}`)).commits).toHaveLength(1);
    const live = await api.get(`/v1/series/${id}/samples/live?after=${after - 2}`);
    expect(expecting(410, live).json<Problem>().type).toBe('urn:varve:problem:position-gone');
  });

  test('tells commits in their order, with what they changed', async () => {
    const { after } = await changes('');
    const id = await newSeries(REGULAR);
    const { commit } = await api.append(id, { values: [1, 2, 3] });
    expecting(200, await api.patch(`/v1/series/${id}`, { unit: 'mV' }));
    const path = `/v1/series/${id}/samples?start=${at(0)}&end=${at(0.1)}`;
    expecting(
      200,
      await api.send('PUT', path, { headers: { 'content-type': 'application/json' }, body: '{"values":[9]}' }),
    );
    expecting(200, await api.delete(path));
    expecting(204, await api.delete(`/v1/series/${id}`));
    const { commits, more, next } = await changes(`?after=${after}`);
    expect(commits.map((each) => each.commit)).toEqual([1, 2, 3, 4, 5, 6].map((n) => after + n));
    expect(commits.flatMap((each) => each.changes.map(({ kind, rows, first_row }) => [kind, rows, first_row]))).toEqual(
      [
        ['create', null, null],
        ['append', 3, 0],
        ['update', null, null],
        ['replace', 1, 0],
        ['remove', 1, 0],
        ['delete', null, null],
      ],
    );
    expect(commits[1].commit).toBe(commit);
    expect(new Set(commits.flatMap((each) => each.changes.map(({ series }) => series)))).toEqual(new Set([id]));
    expect(more).toBe(false);
    expect(expecting(200, await api.get(next)).json<Changes>().commits).toEqual([]);
    const first = await changes(`?after=${after}&limit=2`);
    expect([first.commits.length, first.more, first.after]).toEqual([2, true, after + 2]);
  });

  test('tells a token its own projects alone, and moves on over the others', async () => {
    const project = randomUUID();
    expecting(201, await api.post('/v1/projects', { name: project }));
    const { client } = await holder(['read'], [project]);
    const { after } = await changes('', client);
    const own = await newSeries(IRREGULAR, { project });
    const other = await newSeries(IRREGULAR);
    await api.append(other, { times: [at(0)], values: [1] });
    const page = await changes(`?after=${after}`, client);
    expect(page.commits.flatMap((each) => each.changes.map(({ series }) => series))).toEqual([own]);
    expect(page.after).toBe(after + 3);
    // One commit of both is told in part.
    const body = [own, other].map((series) => JSON.stringify({ series, times: [at(1)], values: [1] })).join('\n');
    expecting(200, await api.send('POST', '/v1/samples', { headers: LINES, body }));
    const [both] = (await changes(`?after=${page.after}`, client)).commits;
    expect(both.changes.map(({ series }) => series)).toEqual([own]);
    expect((await changes(`?after=${after}&project=${project}`)).commits).toHaveLength(2);
    expecting(404, await client.get('/v1/changes?project=default'));
  });

  test('waits for what comes, and ends empty after its time', async () => {
    const { after } = await changes('');
    const waiting = changes(`?after=${after}&wait=30`);
    await pause(100);
    const id = await newSeries(IRREGULAR);
    expect((await waiting).commits.flatMap((each) => each.changes.map(({ series }) => series))).toEqual([id]);
    expect(await changes(`?after=${after + 1}&wait=1`)).toMatchObject({ commits: [], after: after + 1, more: false });
  });

  test('comes as events that can be gone on with', async () => {
    const { after } = await changes('');
    const ids = [await newSeries(IRREGULAR), await newSeries(IRREGULAR)];
    for (const headers of [SSE, NDJSON]) {
      const reader = await follow(`/v1/changes?after=${after}`, headers);
      const told = await reader.take(2);
      expect(told.map(({ event, id, commit }) => [event, id, commit])).toEqual(
        [1, 2].map((n) => ['commit', String(after + n), after + n]),
      );
      expect(told.flatMap((each) => each.changes.map(({ series }: { series: string }) => series))).toEqual(ids);
      const again = await follow(`/v1/changes?after=${after}`, { ...headers, 'last-event-id': String(after + 1) });
      expect((await again.next())!.commit).toBe(after + 2);
    }
  });

  test.each(['after=x', 'after=-1', 'wait=61', 'limit=0', 'limit=1001', 'format=csv', 'since=1'])(
    'refuses %s and names it',
    async (query) => {
      const { errors } = expecting(400, await api.get(`/v1/changes?${query}`)).json<Problem>();
      expect(errors[0].field).toBe(query.split('=')[0]);
    },
  );
});

suite('live samples', () => {
  test.each([
    ['server-sent events', SSE],
    ['lines', NDJSON],
  ])('tell the rows of a regular series as they become readable, as %s', async (_, headers) => {
    const id = await newSeries(REGULAR);
    await api.append(id, { values: [1, 2] });
    const reader = await follow(`/v1/series/${id}/samples/live`, headers);
    expect(await reader.next()).toMatchObject({ event: 'start', series: id, dtype: 'int32', sampling: 'regular' });
    const { commit } = await api.append(id, { values: [3, 4, 5] });
    const told = (await reader.next())!;
    expect(told).toMatchObject({ event: 'rows', commit, rows: 3, late: 0, first_row: 2, values: [3, 4, 5] });
    expect(told.times[0]).toBe(String(BigInt(Date.parse(at(0.2))) * 1_000_000n));
    await api.append(id, { values: [7], start: at(60) });
    expect(await reader.next()).toMatchObject({ first_row: 5, values: [7], late: 0 });
    await api.append(id, { values: [6], start: at(30) });
    expect(await reader.next()).toMatchObject({ first_row: 6, values: [6], late: 1 });
    // By the id of an event, and by the commit that was read.
    const rest = [3, 4, 5, 7, 6];
    for (const [after, expected] of [
      [told.id!, rest.slice(3)],
      [String(commit), rest.slice(3)],
      [String(commit - 1), rest],
    ] as const) {
      const again = await follow(`/v1/series/${id}/samples/live?after=${after}`, headers);
      await again.next();
      const values: number[] = [];
      while (values.length < expected.length) values.push(...(await again.next())!.values);
      expect(values).toEqual(expected);
    }
  });

  test('tell rows of an irregular series that come late as such', async () => {
    const id = await newSeries(IRREGULAR);
    await api.append(id, { times: [at(10)], values: [10] });
    const reader = await follow(`/v1/series/${id}/samples/live`, NDJSON);
    await reader.next();
    await api.append(id, { times: [at(20), at(5), at(21)], values: [20, 5, 21] });
    expect(await reader.next()).toMatchObject({
      event: 'rows',
      rows: 3,
      late: 1,
      first_row: null,
      values: [5, 20, 21],
    });
    await api.append(id, { times: [at(22)], values: [22] });
    expect(await reader.next()).toMatchObject({ late: 0, values: [22] });
  });

  test('tell edits, and what is there then', async () => {
    const put = (id: string, from: number, to: number, body: object) =>
      api.send('PUT', `/v1/series/${id}/samples?start=${at(from)}&end=${at(to)}`, {
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
    const regular = await newSeries(REGULAR);
    await api.append(regular, { values: [0, 1, 2, 3, 4] });
    const numbered = await follow(`/v1/series/${regular}/samples/live`, NDJSON);
    await numbered.next();
    expecting(200, await put(regular, 0.1, 0.3, { values: [-1, -2] }));
    expect(await numbered.take(2)).toMatchObject([
      { event: 'edit', kind: 'replace', first_row: 1, rows: 2 },
      { event: 'rows', first_row: 1, values: [-1, -2] },
    ]);
    expecting(200, await api.delete(`/v1/series/${regular}/samples?start=${at(0.3)}&end=${at(0.4)}`));
    expect(await numbered.next()).toMatchObject({ event: 'edit', kind: 'remove', first_row: 3, rows: 1 });

    const irregular = await newSeries(IRREGULAR);
    await api.append(irregular, { times: [at(1), at(2), at(3)], values: [1, 2, 3] });
    const timed = await follow(`/v1/series/${irregular}/samples/live`, NDJSON);
    const start = (await timed.next())!.id;
    expecting(200, await put(irregular, 2, 3, { times: [at(2.5)], values: [25] }));
    const ns = (second: number): string => String(BigInt(Date.parse(at(second))) * 1_000_000n);
    const expected = [
      { event: 'edit', kind: 'replace', start: ns(2), end: ns(3) },
      { event: 'rows', values: [25], times: [ns(2.5)] },
    ];
    expect(await timed.take(2)).toMatchObject(expected);
    // Also to a reader that comes back.
    const again = await follow(`/v1/series/${irregular}/samples/live`, { ...NDJSON, 'last-event-id': start! });
    await again.next();
    expect(await again.take(2)).toMatchObject(expected);
  });

  test('can be had by name, of some channels, and physical', async () => {
    const name = `live/${randomUUID()}`;
    const channels = [{ label: 'a' }, { label: 'b' }];
    const { id } = await api.createSeries({ name, dtype: 'int16', channels, scale: 0.5, sampling: REGULAR });
    const reader = await follow(`/v1/series/by-name/${name}/samples/live?channels=b&physical=true`, SSE);
    expect(await reader.next()).toMatchObject({ series: id, dtype: 'float64', channels: ['b'] });
    await api.append(id, {
      values: [
        [1, 2],
        [3, 5],
      ],
    });
    expect(await reader.next()).toMatchObject({ values: [1, 2.5] });
  });

  test('refuse what is no position, or one of another series', async () => {
    const [a, b] = [await newSeries(IRREGULAR), await newSeries(IRREGULAR)];
    const reader = await follow(`/v1/series/${a}/samples/live`, NDJSON);
    const { id } = (await reader.next())!;
    for (const after of ['x', '1_2', `${id}_1`, id!]) {
      const refused = await api.get(`/v1/series/${b}/samples/live?after=${after}`);
      expect(expecting(400, refused).json<Problem>().errors[0].field).toBe('after');
    }
    const ahead = id!.split('_').with(3, '9').join('_');
    expecting(410, await api.get(`/v1/series/${a}/samples/live?after=${ahead}`));
    expecting(404, await api.get(`/v1/series/${randomUUID()}/samples/live`));
    expecting(400, await api.get(`/v1/series/${a}/samples/live?channels=z`));
    expecting(406, await api.get(`/v1/series/${a}/samples/live`, { accept: 'text/csv' }));
  });

  test('end with a deleted series, and with a revoked token, which is told', async () => {
    const id = await newSeries(IRREGULAR);
    const { id: tokenId, token, client } = await holder(['read', 'write']);
    const readers = [
      await follow(`/v1/series/${id}/samples/live`, SSE, client),
      await follow('/v1/changes', SSE, client),
    ];
    const stream = await openStream('', token);
    await stream.answers.next();
    expecting(204, await api.delete(`/v1/tokens/${tokenId}`));
    for (const reader of readers) {
      expect((await reader.rest()).at(-1)).toMatchObject({ event: 'end', reason: 'unauthorized' });
    }
    stream.write({ series: id, times: [at(0)], values: [1] });
    expect(await stream.answers.rest()).toMatchObject([{ event: 'end', reason: 'unauthorized', status: 401 }]);
    expect((await api.series(id)).rows).toBe(0);
    const own = await follow(`/v1/series/${id}/samples/live`, SSE);
    await own.next();
    expecting(204, await api.delete(`/v1/series/${id}`));
    expect(await own.rest()).toMatchObject([{ event: 'end', reason: 'not-found' }]);
  });
});

/** What a client keeps of a series by what it is told, which must become what is stored. */
class Replica {
  readonly rows = new Map<string, number>();
  doubled = 0;
  gaps = 0;

  readonly isRegular: boolean;

  constructor(isRegular: boolean) {
    this.isRegular = isRegular;
  }

  async take(
    told: Told,
    readAgain: (start: string | null, end: string | null) => Promise<[string, number][]>,
  ): Promise<void> {
    if (told.event === 'edit' && this.isRegular) {
      for (let row = told.first_row; row < told.first_row + told.rows; row++) this.rows.delete(String(row));
    } else if (told.event === 'edit' || told.event === 'gap') {
      const [start, end] = [told.start, told.end].map((ns) => (ns === null ? null : BigInt(ns)));
      for (const time of this.rows.keys()) {
        if ((start === null || BigInt(time) >= start) && (end === null || BigInt(time) < end)) this.rows.delete(time);
      }
      if (told.event === 'gap') {
        this.gaps++;
        for (const [time, value] of await readAgain(told.start, told.end)) this.rows.set(time, value);
      }
    } else if (told.event === 'rows') {
      told.values.forEach((value: number, i: number) => {
        const key = this.isRegular ? String(told.first_row + i) : told.times[i];
        if (this.rows.has(key) && this.rows.get(key) === value) this.doubled++;
        this.rows.set(key, value);
      });
    }
  }
}

suite('whoever follows', () => {
  // What a flush must have done comes before the crash, whose unfinished flush is waited for.
  test('is told of a gap where a flush has put rows together with late ones, and of none where they came in order', async () => {
    const ids = [await newSeries(IRREGULAR), await newSeries(IRREGULAR)];
    const seconds = [
      [1, 2, 30],
      [31, 32, 33],
      [3, 40, 41],
    ];
    const positions: string[] = [];
    for (const [i, id] of ids.entries()) {
      const reader = await follow(`/v1/series/${id}/samples/live`, NDJSON);
      await reader.next();
      await api.append(id, { times: seconds[0].map(at), values: [1, 2, 3] });
      positions.push((await reader.next())!.id!);
      await api.append(id, { times: seconds[1 + i].map(at), values: [4, 5, 6] });
    }
    for (let isFresh = true; isFresh; await pause(50)) {
      const { rows } = await sql.query('select from fresh where series_id = any($1)', [ids]);
      isFresh = rows.length > 0;
    }
    const [ordered, late] = await Promise.all(
      ids.map(async (id, i) => {
        const reader = await follow(`/v1/series/${id}/samples/live?after=${positions[i]}`, SSE);
        await reader.next();
        await api.append(id, { times: [at(50)], values: [7] });
        return reader.take(2);
      }),
    );
    const ns = (second: number): string => String(BigInt(Date.parse(at(second))) * 1_000_000n);
    expect(ordered).toMatchObject([
      { event: 'rows', late: 0, values: [4, 5, 6] },
      { event: 'rows', values: [7] },
    ]);
    expect(late).toMatchObject([
      { event: 'gap', reason: 'merged', start: ns(1), end: String(BigInt(ns(41)) + 1n) },
      { event: 'rows', values: [7] },
    ]);
  });

  test('is told a large body in parts, that can be gone on with after a flush', async () => {
    const rows = 20_000;
    // Times that lie out of order, of which two always share one; and the order in which they are answered.
    const seconds = Array.from({ length: rows }, (_, i) => Math.floor(((i * 7_919) % rows) / 2));
    const lines = seconds.map((second, i) => `{"time":"${at(second)}","values":[${i}]}\n`);
    const id = await newSeries(IRREGULAR, { duplicates: 'keep' });
    const path = `/v1/series/${id}/samples`;
    const { commit } = await api.append(id, { times: [at(-1)], values: [-1] });
    expecting(201, await api.send('POST', path, { headers: LINES, body: lines.join('') }));
    const order = seconds.map((second, i) => [second, i]).sort(([a, i], [b, j]) => a - b || i - j);
    const values: number[] = [];
    let position = String(commit);
    for (let part = 0; values.length < rows; part++) {
      const reader = await follow(`${path}/live?after=${position}`, NDJSON);
      await reader.next();
      const event = (await reader.next())!;
      expect(event).toMatchObject({ event: 'rows', late: 0 });
      values.push(...(event.values as number[]));
      position = event.id!;
      reader.close();
      for (let isFresh = part === 0; isFresh; await pause(50)) {
        const { rowCount } = await sql.query('select from fresh where series_id = $1', [id]);
        isFresh = rowCount! > 0;
      }
    }
    expect(values).toEqual(order.map(([, i]) => i));
  });

  test('misses nothing and is told nothing twice, over flushes, compactions, edits and crashes', async () => {
    const ids = {
      regular: await newSeries(REGULAR),
      ordered: await newSeries(IRREGULAR),
      disordered: await newSeries(IRREGULAR),
    };
    const { after } = await changes('');
    const replicas = Object.fromEntries(
      Object.keys(ids).map((name) => [name, new Replica(name === 'regular')]),
    ) as Record<keyof typeof ids, Replica>;
    const acknowledged = new Set<number>();
    const told: number[] = [];
    let isWriting = true;
    let isDone = false;

    const untilAnswered = async (send: () => Promise<Answer>): Promise<void> => {
      for (;;) {
        try {
          const answer = await send();
          if (answer.status < 300) {
            acknowledged.add(answer.json<{ commit: number }>().commit);
            return;
          }
          expect([answer.status, answer.json()]).toEqual([503, expect.anything()]);
        } catch (error) {
          if ((error as { matcherResult?: unknown }).matcherResult) throw error;
        }
        await pause(20);
      }
    };
    let seed = 7;
    const random = (): number => (seed = (seed * 16807) % 2147483647) / 2147483647;
    const used = new Set<number>();
    const write = async (name: keyof typeof ids): Promise<void> => {
      const path = `/v1/series/${ids[name]}/samples`;
      for (let n = 0; isWriting; n++) {
        const count = 1 + Math.floor(random() * 4);
        const values = Array.from({ length: count }, (_, i) => n * 10 + i);
        const second = (i: number): number => {
          if (name === 'ordered') return n * 10 + i;
          for (;;) {
            const some = Math.floor(random() * 1_000_000);
            if (!used.has(some)) return (used.add(some), some);
          }
        };
        const times = name === 'regular' ? {} : { times: values.map((_, i) => at(second(i))) };
        const headers = { 'idempotency-key': randomUUID() };
        await untilAnswered(() => api.post(path, { values, ...times }, headers));
        if (name !== 'regular' && n % 40 === 39) {
          const key = randomUUID();
          const range = name === 'ordered' ? [n * 10 - 200, n * 10 - 180] : [0, 20_000];
          const query = `?start=${at(range[0])}&end=${at(range[1])}`;
          await untilAnswered(() => api.delete(path + query, { 'idempotency-key': key }));
        }
        await pause(Math.floor(random() * 8));
      }
    };
    const readBack = async (name: keyof typeof ids, query: string): Promise<[string, number][]> => {
      for (;;) {
        try {
          const { times, values } = await api.read(ids[name], query);
          return times.map((time, i) => [time, Number(values[0]?.[i])]);
        } catch {
          await pause(50);
        }
      }
    };
    const read = async (name: keyof typeof ids): Promise<void> => {
      let position = String(after);
      while (!isDone) {
        try {
          const path = `/v1/series/${ids[name]}/samples/live?after=${position}`;
          const reader = await follow(path, random() < 0.5 ? SSE : NDJSON);
          const events = Math.floor(random() * 60);
          for (let n = 0; n < events || events > 40; n++) {
            const event = await reader.next();
            if (!event || isDone) break;
            await replicas[name].take(event, (start, end) => readBack(name, `?start=${start}&end=${end}`));
            // Only with its id an event is known to be told.
            position = event.id ?? position;
          }
          reader.close();
        } catch {
          await pause(20);
        }
      }
    };
    const readChanges = async (): Promise<void> => {
      for (let known = after; !isDone;) {
        try {
          const page = await changes(`?after=${known}&wait=1&limit=${1 + Math.floor(random() * 50)}`);
          told.push(...page.commits.map(({ commit }) => commit));
          known = page.after;
        } catch {
          await pause(20);
        }
      }
    };
    const names = Object.keys(ids) as (keyof typeof ids)[];
    const readers = [...names.map(read), readChanges()];
    const writers = names.map(write);
    await pause(2_000);
    await service.kill9();
    await service.restart();
    await pause(1_500);
    isWriting = false;
    await Promise.all(writers);
    const stored = await Promise.all(names.map((name) => readBack(name, '')));
    const expected = Object.fromEntries(names.map((name, i) => [name, stored[i]])) as Record<
      keyof typeof ids,
      [string, number][]
    >;
    const isEqual = (name: keyof typeof ids): boolean =>
      replicas[name].rows.size === expected[name].length && (told.at(-1) ?? 0) >= Math.max(...acknowledged);
    for (let tries = 0; tries < 100 && !names.every(isEqual); tries++) await pause(50);
    isDone = true;
    for (const reader of opened) reader.close();
    await Promise.all(readers);

    // Every commit once, in order, and every one that was acknowledged.
    expect(told).toEqual(Array.from(told, (_, i) => after + 1 + i));
    expect([...acknowledged].filter((commit) => !told.includes(commit))).toEqual([]);
    for (const name of names) {
      const rows = expected[name].map(
        ([time, value], row) => [name === 'regular' ? String(row) : time, value] as const,
      );
      expect([name, replicas[name].rows]).toEqual([name, new Map(rows)]);
      expect([name, replicas[name].doubled]).toEqual([name, 0]);
    }
    expect(expected.regular.length).toBeGreaterThan(20);
    expect([replicas.regular.gaps, replicas.ordered.gaps]).toEqual([0, 0]);
    const { rows } = await sql.query<{ live: string }>(
      "select count(*) as live from shards where state in ('live', 'replaced')",
    );
    expect(Number(rows[0].live)).toBeGreaterThan(0);
  }, 60_000);

  test.each([
    ['a regular', REGULAR],
    ['an irregular', IRREGULAR],
  ])('is told of rows of %s series that cannot be read, and of those behind them', async (_, sampling) => {
    const id = await newSeries(sampling);
    const append = (value: number) =>
      api.append(id, { values: [value], ...(sampling === IRREGULAR && { times: [at(value)] }) });
    const { after } = await changes('');
    await append(1);
    await sql.query('update fresh set values_crc = (values_crc + 1) % 4294967296 where series_id = $1', [id]);
    const reader = await follow(`/v1/series/${id}/samples/live?after=${after}`, NDJSON);
    await reader.next();
    const gap = (await reader.next())!;
    const where =
      sampling === REGULAR ? { first_row: 0, rows: 1 } : { start: expect.any(String), end: expect.any(String) };
    expect(gap).toMatchObject({ event: 'gap', reason: 'damaged', ...where });
    await append(2);
    expect(await reader.next()).toMatchObject({ event: 'rows', values: [2] });
  });

  test('hears of what comes though the connection that listens is lost', async () => {
    const id = await newSeries(IRREGULAR);
    const reader = await follow(`/v1/series/${id}/samples/live`, NDJSON);
    await reader.next();
    for (let n = 0; n < 3; n++) {
      await sql.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query = 'listen varve_commits'`,
      );
      await api.append(id, { times: [at(n)], values: [n] });
      expect(await reader.next()).toMatchObject({ values: [n] });
    }
  });

  test('and does not read is cut off, and goes on where it stood', async () => {
    const id = await newSeries({ kind: 'regular', rate_hz: 1000 }, { dtype: 'float64' });
    const { after } = await changes('');
    const slow = await api.open('GET', `/v1/series/${id}/samples/live?after=${after}`, { headers: NDJSON });
    const rows = 500_000;
    const body = new Uint8Array(Float64Array.from({ length: rows }, (_, i) => Math.sin(i)).buffer);
    const octets = { 'content-type': 'application/octet-stream' };
    expecting(201, await api.send('POST', `/v1/series/${id}/samples`, { headers: octets, body }));
    await pause(6_500);
    const reader = new EventReader(slow);
    const told = await reader.rest();
    const count = (events: readonly Told[]): number => events.reduce((sum, each) => sum + (each.rows ?? 0), 0);
    expect(count(told)).toBeLessThan(rows);
    const again = await follow(`/v1/series/${id}/samples/live?after=${reader.lastId}`, NDJSON);
    const last = told.filter((each) => each.id === reader.lastId).at(-1)!;
    let next = last.event === 'rows' ? last.first_row + last.rows : 0;
    await again.next();
    while (next < rows) {
      const event = (await again.next())!;
      expect(event.first_row).toBe(next);
      next += event.rows;
    }
  });
});

interface Stream {
  readonly outgoing: ClientRequest;
  readonly answers: EventReader;
  write(item: object): void;
}

async function openStream(query: string, token = service.token): Promise<Stream> {
  const outgoing = request(new URL(`/v1/samples/stream${query}`, service.url), {
    method: 'POST',
    headers: { ...LINES, authorization: `Bearer ${token}` },
  });
  outgoing.on('error', () => {});
  outgoing.flushHeaders();
  const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
  expect(answer.statusCode).toBe(200);
  const answers = new EventReader(answer);
  opened.push(answers);
  return { outgoing, answers, write: (item) => void outgoing.write(`${JSON.stringify(item)}\n`) };
}

suite('a stream of appends', () => {
  test('answers each line while others come, in order, with its commit', async () => {
    const [a, b] = [await newSeries(REGULAR), await newSeries(IRREGULAR)];
    const { outgoing, answers, write } = await openStream('');
    expect(await answers.next()).toEqual({ event: 'open' });
    write({ series: a, values: [1, 2] });
    const first = (await answers.next())!;
    expect(first).toMatchObject({ line: 1, status: 201, rows: 2, first_row: 0, commit: expect.any(Number) });
    expect((await api.read(a)).values).toEqual([[1, 2]]);
    outgoing.write(`\n{"series":"${b}","times":["${at(0)}"],"values":["x"]}\n{"ser`);
    outgoing.write(`ies":"${b}","times":["${at(1)}"],"values":[1]}\nno JSON\n`);
    const [wrong, right, noJson] = await answers.take(3);
    expect(wrong).toMatchObject({ line: 3, status: 400, problem: { errors: [{ field: 'values[0]' }] } });
    expect(right).toMatchObject({ line: 4, status: 201, rows: 1 });
    expect(right.commit).toBeGreaterThan(first.commit);
    expect(noJson).toMatchObject({ line: 5, status: 400, problem: { errors: [{ field: 'line' }] } });
    outgoing.end(JSON.stringify({ series: randomUUID(), values: [1] }));
    expect(await answers.rest()).toMatchObject([{ line: 6, status: 404 }]);
  });

  test('keeps the order of what comes at once, however it is batched', async () => {
    const id = await newSeries(REGULAR);
    const { outgoing, answers } = await openStream('');
    const count = 5_000;
    const lines = Array.from({ length: count }, (_, i) => `{"series":"${id}","values":[${i}]}\n`);
    outgoing.end(lines.join(''));
    await answers.next();
    const told = await answers.rest();
    expect(told.map(({ line, status, first_row }) => [line, status, first_row])).toEqual(
      lines.map((_, i) => [i + 1, 201, i]),
    );
    const commits = told.map(({ commit }) => commit as number);
    expect(commits).toEqual([...commits].sort((x, y) => x - y));
    expect((await api.read(id)).values[0]).toEqual(lines.map((_, i) => i));
  });

  test('with a source tells a new one the last sequence, and stores nothing twice after a crash', async () => {
    const project = randomUUID();
    expecting(201, await api.post('/v1/projects', { name: project }));
    const [a, b] = [await newSeries(REGULAR, { project }), await newSeries(REGULAR)];
    const source = `pi ${randomUUID()}`;
    const query = `?source=${encodeURIComponent(source)}`;
    const first = await openStream(query);
    expect(await first.answers.next()).toEqual({ event: 'open', source, last_sequence: null });
    for (let sequence = 1; sequence <= 3; sequence++) first.write({ series: a, sequence, values: [sequence] });
    expect((await first.answers.take(3)).map(({ sequence, status }) => [sequence, status])).toEqual([
      [1, 201],
      [2, 201],
      [3, 201],
    ]);
    await service.kill9();
    await service.restart();
    const second = await openStream(query);
    expect(await second.answers.next()).toMatchObject({ last_sequence: 3 });
    for (let sequence = 2; sequence <= 4; sequence++) second.write({ series: a, sequence, values: [sequence] });
    const told = await second.answers.take(3);
    expect(told.map(({ sequence, replayed = false }) => [sequence, replayed])).toEqual([
      [2, true],
      [3, true],
      [4, false],
    ]);
    expect((await api.read(a)).values[0]).toEqual([1, 2, 3, 4]);
    // What is no part of it is refused by its field; the same number with other rows, too.
    second.write({ series: a, values: [5] });
    second.write({ series: a, sequence: 4, values: [5] });
    second.write({ series: a, sequence: 1.5, values: [5] });
    second.write({ series: a, sequence: 5, idempotency_key: 'k', values: [5] });
    const refused = await second.answers.take(4);
    expect(refused.map(({ status, problem }) => [status, problem.errors[0].field])).toEqual([
      [400, 'sequence'],
      [422, 'sequence'],
      [400, 'sequence'],
      [400, 'idempotency_key'],
    ]);
    second.write({ series: b, sequence: '9007199254740993', values: [5] });
    expect(await second.answers.next()).toMatchObject({ status: 201, sequence: '9007199254740993' });
    // Nobody is told of projects that are out of reach.
    const { token } = await holder(['write'], [project]);
    expect(await (await openStream(query, token)).answers.next()).toMatchObject({ last_sequence: 4 });
    // A sequence needs a source, also where all items come in one request.
    const body = JSON.stringify({ series: a, sequence: 9, values: [9] });
    const single = expecting(200, await api.send('POST', '/v1/samples', { headers: LINES, body })).json<Told>();
    expect(single.items[0].problem.errors[0].field).toBe('sequence');
    const known = await api.send('POST', `/v1/samples${query}`, {
      headers: LINES,
      body: body.replace('"sequence":9,"values":[9]', '"sequence":4,"values":[4]'),
    });
    expect(expecting(200, known).json<Told>().items[0]).toMatchObject({ status: 201, replayed: true });
  });

  test('may be silent for longer than a body may stop', async () => {
    const id = await newSeries(REGULAR);
    const { answers, write } = await openStream('');
    await answers.next();
    await pause(4_500);
    write({ series: id, values: [1] });
    expect(await answers.next()).toMatchObject({ line: 1, status: 201 });
  });

  test('keeps the lines that came whole of a client that vanishes', async () => {
    const id = await newSeries(REGULAR);
    const { outgoing, answers } = await openStream('');
    await answers.next();
    outgoing.write(`{"series":"${id}","values":[1]}\n{"series":"${id}","val`);
    await answers.next();
    outgoing.write('ues":[2');
    outgoing.destroy();
    await pause(200);
    expect((await api.read(id)).values).toEqual([[1]]);
  });

  test('does not read a client that does not read, and cuts it off', async () => {
    const { token } = service;
    const outgoing = request(new URL('/v1/samples/stream', service.url), {
      method: 'POST',
      headers: { ...LINES, authorization: `Bearer ${token}` },
    });
    const broken = once(outgoing, 'error');
    // Each is answered with a problem, which is much longer.
    const lines = '?\n'.repeat(20_000);
    let isOpen = true;
    void broken.then(() => (isOpen = false));
    outgoing.on('response', (answer) => answer.on('error', () => {}));
    let sent = 0;
    while (isOpen && sent < 1_000) {
      sent++;
      if (!outgoing.write(lines)) await Promise.race([once(outgoing, 'drain').catch(() => {}), broken.catch(() => {})]);
    }
    expect(isOpen).toBe(false);
    expect((await api.get('/readyz')).status).toBe(200);
  }, 60_000);

  test('takes what curl sends from its standard input', async () => {
    const id = await newSeries(REGULAR);
    const url = `${service.url}/v1/samples/stream`;
    const headers = ['-H', `Authorization: Bearer ${service.token}`, '-H', `Content-Type: ${LINES['content-type']}`];
    const curl = spawn('curl', ['-sS', '-N', '-X', 'POST', '-T', '.', ...headers, url]);
    let said = '';
    curl.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
    const until = async (text: string): Promise<void> => {
      while (!said.includes(text)) await once(curl.stdout, 'data');
    };
    await until('"open"');
    curl.stdin.write(`{"series":"${id}","values":[1]}\n`);
    await until('"line":1');
    curl.stdin.end(`{"series":"${id}","values":[2]}\n`);
    const [code] = (await once(curl, 'close')) as [number];
    expect([code, said.trim().split('\n').length]).toEqual([0, 3]);
    expect((await api.read(id)).values).toEqual([[1, 2]]);
  });

  test('is refused before it begins where it could not go on', async () => {
    expecting(415, await api.send('POST', '/v1/samples/stream', { body: '{}' }));
    expecting(400, await api.send('POST', '/v1/samples/stream?source=', { headers: LINES, body: '' }));
    const { token } = await holder(['read']);
    const reader = new ApiClient({ url: service.url, token });
    expecting(403, await reader.send('POST', '/v1/samples/stream', { headers: LINES, body: '' }));
    // What is no text ends it, after the lines before.
    const id = await newSeries(REGULAR);
    const body = Buffer.concat([Buffer.from(`{"series":"${id}","values":[1]}\n`), Buffer.from([0xff, 0xfe, 10])]);
    const answer = expecting(200, await api.send('POST', '/v1/samples/stream', { headers: LINES, body }));
    const told = answer.body
      .toString()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Told);
    expect(told.at(-1)).toMatchObject({ event: 'end', reason: 'refused', status: 400 });
  });
});

suite('beyond its limits', () => {
  test('the service takes no more live readers, and others as ever', async () => {
    const { after } = await changes('');
    const waiting: EventReader[] = [];
    while (waiting.length < MAX_LIVE_READERS) {
      const some = Array.from({ length: 32 }, () => follow(`/v1/changes?after=${after}`, NDJSON));
      waiting.push(...(await Promise.all(some)));
    }
    const id = await newSeries(IRREGULAR);
    for (const path of ['/v1/changes?wait=1', `/v1/series/${id}/samples/live`]) {
      const refused = expecting(503, await api.get(path));
      expect(refused.json<Problem>().type).toBe('urn:varve:problem:too-many-live-readers');
      expect(refused.headers['retry-after']).toBeDefined();
    }
    expect((await changes(`?after=${after}`)).commits).toHaveLength(1);
    const told = await Promise.all(waiting.map(async (reader) => (await reader.next())!.commit));
    expect(new Set(told)).toEqual(new Set([after + 1]));
    for (const reader of opened.splice(0)) reader.close();
    await pause(200);
    expecting(200, await api.get('/v1/changes?wait=1'));
  });

  test('and when it stops, streams end with a word', async () => {
    const id = await newSeries(REGULAR);
    const readers = [await follow(`/v1/series/${id}/samples/live`, SSE), await follow('/v1/changes', NDJSON)];
    const { answers } = await openStream('');
    await answers.next();
    expect(await service.stop()).toBe(0);
    for (const reader of readers) {
      expect((await reader.rest()).at(-1)).toMatchObject({ event: 'end', reason: 'stopping' });
    }
    expect((await answers.rest()).at(-1)).toMatchObject({ event: 'end', reason: 'stopping', status: 503 });
    await service.restart();
  });
});

suite('series gone silent', () => {
  test('are found by the clock of the service, whatever the times of their rows', async () => {
    const tag = randomUUID();
    const make = (name: string) => newSeries(IRREGULAR, { name: `${tag}/${name}`, tags: { tag } });
    const ids = { spoke: await make('spoke'), silent: await make('silent'), never: await make('never') };
    await api.append(ids.silent, { times: [at(1e6)], values: [1] });
    await sql.query(`update commits set at = at - interval '1 hour'`);
    await sql.query(`update series set created_at = created_at - interval '1 hour' where tags ->> 'tag' = $1`, [tag]);
    await api.append(ids.spoke, { times: [at(-1e6)], values: [1] });
    await make('new');
    const found = async (span: string): Promise<string[]> => {
      const get = await api.get(`/v1/series?tag.tag=${tag}&silent_for=${span}`);
      const where = { and: [{ tag: 'tag', eq: tag }, { silent_for: span }] };
      const not = { and: [{ tag: 'tag', eq: tag }, { not: { not: { silent_for: span } } }] };
      const posted = [
        await api.post('/v1/series/search', { where }),
        await api.post('/v1/series/search', { where: not }),
      ];
      const [first, ...others] = [get, ...posted].map((answer) =>
        expecting(200, answer)
          .json<{ items: { name: string }[] }>()
          .items.map(({ name }) => name.split('/')[1])
          .sort(),
      );
      for (const other of others) expect(other).toEqual(first);
      return first;
    };
    expect(await found('30m')).toEqual(['never', 'silent']);
    expect(await found('2h')).toEqual([]);
    for (const wrong of ['10', 'm', '0s', '31d', '1w', '-1m']) {
      const { errors } = expecting(400, await api.get(`/v1/series?silent_for=${wrong}`)).json<Problem>();
      expect(errors[0].field).toBe('silent_for');
      expecting(400, await api.post('/v1/series/search', { where: { silent_for: wrong } }));
    }
  });
});
