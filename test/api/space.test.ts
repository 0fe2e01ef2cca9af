import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { flushAll } from '../support/command.ts';
import { startService, type RunningService } from '../support/service.ts';
import { ApiClient, expecting, type Problem } from './client.ts';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const SAMPLING = { kind: 'regular', rate_hz: 10 };

let service: RunningService;
let api: ApiClient;

beforeAll(async () => {
  service = await startService();
  api = new ApiClient(service);
});

afterAll(async () => {
  await service?.drop();
});

interface Rule {
  readonly id: string;
  readonly tags: object;
}

async function readerToken(): Promise<string> {
  const created = expecting(201, await api.post('/v1/tokens', { name: randomUUID(), scopes: ['read', 'write'] }));
  return created.json<{ token: string }>().token;
}

describe('retention rules', () => {
  test('are created, listed, and deleted once', async () => {
    const asked = { project: 'default', tags: { kind: 'x', depth: 5 }, keep_days: 1.5, keep_summaries_days: 400 };
    const rule = expecting(201, await api.post('/v1/retention', asked)).json<Rule>();
    expect(rule).toEqual({ id: expect.stringMatching(UUID), ...asked, created_at: expect.any(String) });
    const plain = expecting(201, await api.post('/v1/retention', { keep_days: 30 })).json<Rule>();
    expect(plain).toMatchObject({ project: 'default', tags: {}, keep_summaries_days: null });
    expect(expecting(200, await api.get('/v1/retention')).json()).toEqual({ items: [rule, plain] });
    expecting(204, await api.delete(`/v1/retention/${rule.id}`));
    expecting(404, await api.delete(`/v1/retention/${rule.id}`));
    expecting(204, await api.delete(`/v1/retention/${plain.id}`));
    expecting(404, await api.delete('/v1/retention/5'));
  });

  test.each([
    [{}, 'keep_days'],
    [{ keep_days: 0 }, 'keep_days'],
    [{ keep_days: -1 }, 'keep_days'],
    [{ keep_days: '7' }, 'keep_days'],
    [{ keep_days: 1e9 }, 'keep_days'],
    [{ keep_days: 7, keep_summaries_days: 6.9 }, 'keep_summaries_days'],
    [{ keep_days: 7, tags: { a: null } }, 'tags.a'],
    [{ keep_days: 7, tags: 'a' }, 'tags'],
    [{ keep_days: 7, project: '' }, 'project'],
    [{ keep_days: 7, keep: 8 }, 'keep'],
  ])('%j is refused, and the field is named', async (body, field) => {
    expect(expecting(400, await api.post('/v1/retention', body)).json<Problem>().errors).toMatchObject([{ field }]);
    expect(expecting(200, await api.get('/v1/retention')).json()).toEqual({ items: [] });
  });

  test('are for projects that are there, and for administrators', async () => {
    expecting(404, await api.post('/v1/retention', { keep_days: 7, project: 'nowhere' }));
    const token = await readerToken();
    expecting(403, await api.send('GET', '/v1/retention', { token }));
    expecting(403, await api.send('DELETE', `/v1/retention/${randomUUID()}`, { token }));
  });
});

describe('space', () => {
  test('of a series: its rows, and the bytes they take while they are fresh, and in each shard', async () => {
    const { id } = await api.createSeries({
      name: `lab/${randomUUID()}`,
      dtype: 'int16',
      channels: 2,
      sampling: SAMPLING,
    });
    const empty = expecting(200, await api.get(`/v1/series/${id}/storage`)).json();
    expect(empty).toEqual({
      series: id,
      rows: 0,
      raw_bytes: 0,
      stored_bytes: 0,
      fresh_bytes: 0,
      ratio: null,
      chunks: 0,
      shards: [],
    });
    await api.append(id, { values: [[1, 2], [3, 4], [5, 6]] }); // prettier-ignore
    const fresh = expecting(200, await api.get(`/v1/series/${id}/storage`)).json();
    const same = { series: id, rows: 3, raw_bytes: 12, chunks: 1 };
    expect(fresh).toEqual({ ...same, stored_bytes: 12, fresh_bytes: 12, ratio: 1, shards: [] });
    await flushAll(service.dataRoot, {});
    const told = expecting(200, await api.get(`/v1/series/${id}/storage`)).json<{ stored_bytes: number }>();
    const shards = [{ id: expect.stringMatching(UUID), state: 'live', bytes: told.stored_bytes }];
    expect(told).toMatchObject({ ...same, fresh_bytes: 0, shards });
    expect(told.stored_bytes).toBeGreaterThanOrEqual(12);
    expecting(404, await api.get(`/v1/series/${randomUUID()}/storage`));
    const problem = expecting(400, await api.get(`/v1/series/${id}/storage?a=1`)).json<Problem>();
    expect(problem.errors).toMatchObject([{ field: 'a' }]);
  });

  test('of shards, page by page', async () => {
    for (let n = 0; n < 3; n++) {
      const { id } = await api.createSeries({ name: `lab/${randomUUID()}`, dtype: 'int16', sampling: SAMPLING });
      await api.append(id, { values: [1, 2, 3] });
      await flushAll(service.dataRoot, {});
    }
    const all = expecting(200, await api.get('/v1/shards')).json<{ items: { id: string }[]; next: null }>();
    expect(all.next).toBeNull();
    expect(all.items.length).toBeGreaterThan(1);
    for (const item of all.items) {
      expect(item).toEqual({
        id: expect.stringMatching(UUID),
        lane: expect.stringMatching(UUID),
        state: 'live',
        bytes: expect.any(Number),
        stored_bytes: expect.any(Number),
        live_bytes: expect.any(Number),
        series: 1,
        created_at: expect.any(String),
      });
    }
    const paged: object[] = [];
    for (let path: string | null = '/v1/shards?limit=1'; path !== null;) {
      const page: { items: object[]; next: string | null } = expecting(200, await api.get(path)).json();
      expect(page.items).toHaveLength(1);
      paged.push(...page.items);
      path = page.next;
    }
    expect(paged).toEqual(all.items);
    expect(expecting(400, await api.get('/v1/shards?limit=0')).json<Problem>().errors).toMatchObject([
      { field: 'limit' },
    ]);
    expect(expecting(400, await api.get('/v1/shards?cursor=x')).json<Problem>().errors).toMatchObject([
      { field: 'cursor' },
    ]);
    expecting(403, await api.send('GET', '/v1/shards', { token: await readerToken() }));
  });

  test('and what was written for what was accepted, in the metrics', async () => {
    const body = expecting(200, await api.get('/metrics')).body.toString();
    const number = (name: string): number =>
      Number(
        body
          .split('\n')
          .find((line) => line.startsWith(`${name} `))
          ?.split(' ')[1],
      );
    expect(number('varve_shards{state="live"}')).toBeGreaterThan(1);
    expect(number('varve_shards{state="damaged"}')).toBe(0);
    expect(number('varve_stored_bytes')).toBe(number('varve_shard_bytes{state="live"}'));
    expect(number('varve_accepted_bytes_total')).toBe(12 + 3 * 6);
    expect(number('varve_fresh_bytes')).toBe(0);
    expect(number('varve_written_bytes_total{by="spool"}')).toBe(0);
    expect(number('varve_written_bytes_total{by="flush"}')).toBe(number('varve_stored_bytes'));
    expect(number('varve_written_bytes_total{by="compaction"}')).toBe(0);
  });
});

describe('chunks', () => {
  test('of a series are told with where they lie and the CRC-32 of their bytes, fresh and in a shard, page by page', async () => {
    const sampling = { kind: 'regular', rate_hz: 10, start: '2026-05-01T00:00:00Z' };
    const { id } = await api.createSeries({ name: randomUUID(), dtype: 'int16', codec: 'none', sampling });
    const list = async (query = ''): Promise<{ items: Record<string, unknown>[]; next: string | null }> =>
      expecting(200, await api.get(`/v1/series/${id}/chunks${query}`)).json();
    expect(await list()).toEqual({ items: [], next: null });
    await api.append(id, { values: [1, 2, 3, 4, 5, 6] });
    // As zlib of Python has it.
    const first = {
      first_row: 0,
      rows: 6,
      generation: 0,
      values_crc32: '901f487c',
      times_crc32: null,
      damaged_at: null,
    };
    expect(await list()).toMatchObject({ items: [{ ...first, shard: null, bytes: 12 }], next: null });
    await flushAll(service.dataRoot, {});
    const [flushed] = (await list()).items;
    expect(flushed).toMatchObject({ ...first, bytes: 12, shard: expect.stringMatching(UUID) });
    await api.append(id, { values: [7], start: '2026-05-02T00:00:00Z' });
    await api.append(id, { values: [8], start: '2026-05-03T00:00:00Z' });
    const all = (await list()).items;
    expect(all.map((each) => each.shard !== null)).toEqual([true, false, false]);
    const paged = [];
    for (let next: string | null = `/v1/series/${id}/chunks?limit=1`; next !== null;) {
      const page: { items: object[]; next: string | null } = expecting(200, await api.get(next)).json();
      paged.push(...page.items);
      next = page.next;
    }
    expect(paged).toEqual(all);
    for (const query of ['?limit=0', '?cursor=x', '?rows=1']) {
      expecting(400, await api.get(`/v1/series/${id}/chunks${query}`));
    }
    expecting(404, await api.get(`/v1/series/${randomUUID()}/chunks`));
  });

  test('of irregular rows have checksums of their times, too', async () => {
    const { id } = await api.createSeries({ name: randomUUID(), dtype: 'int8', sampling: { kind: 'irregular' } });
    await api.append(id, { times: [5, 9], values: [7, 8] });
    const { items } = expecting(200, await api.get(`/v1/series/${id}/chunks`)).json<{ items: object[] }>();
    expect(items).toMatchObject([
      {
        rows: 2,
        bytes: 18,
        values_crc32: '00430c0a',
        times_crc32: '89ad8d68',
        first_time: '1970-01-01T00:00:00.000000005Z',
        last_time: '1970-01-01T00:00:00.000000009Z',
      },
    ]);
  });
});
