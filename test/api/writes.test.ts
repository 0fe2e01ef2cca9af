import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { startService, type RunningService } from '../support/service.ts';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { ApiClient, expecting, type AppendJson, type Problem, type WriteJson } from './client.ts';

const SAMPLING = { kind: 'regular', rate_hz: 100 };

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

/** @returns the id of a new series and the path of its samples */
async function create(fields: Readonly<Record<string, unknown>> = {}): Promise<{ id: string; samples: string }> {
  const { id } = await api.createSeries({ name: randomUUID(), dtype: 'int32', sampling: SAMPLING, ...fields });
  return { id, samples: `/v1/series/${id}/samples` };
}

describe('an append', () => {
  test('is answered when its rows are durable and readable', async () => {
    const { id, samples } = await create();
    const answer = expecting(201, await api.post(samples, { values: [1, 2, 3] }));
    expect(answer.json()).toEqual({
      write: expect.any(String),
      rows: 3,
      first_row: 0,
      last_row: 2,
      level: 'visible',
      commit: expect.any(Number),
    });
    expect((await api.read(id)).values).toEqual([[1, 2, 3]]);
    const { write, commit } = answer.json<AppendJson>();
    expect(await api.write(write)).toEqual({
      write,
      series: id,
      kind: 'append',
      level: 'visible',
      rows: 3,
      first_row: 0,
      last_row: 2,
      commit,
      at: expect.any(String),
    });
  });

  test.each(['respond-async', 'wait=0', 'wait=5, respond-async', 'return=minimal', 'wait=soon', ''])(
    'is answered alike to Prefer: %s, which changes nothing',
    async (prefer) => {
      const { id, samples } = await create();
      const answer = expecting(201, await api.post(samples, { values: [1] }, { prefer }));
      expect(answer.json()).toMatchObject({ level: 'visible', first_row: 0 });
      expect([answer.headers['preference-applied'], answer.headers.location]).toEqual([undefined, undefined]);
      expect((await api.read(id)).values).toEqual([[1]]);
    },
  );

  test('of an irregular series claims no row numbers: those are in order of time', async () => {
    const { id, samples } = await create({ sampling: { kind: 'irregular' } });
    const answer = expecting(201, await api.post(samples, { times: [30, 10], values: [3, 1] }));
    const { write, commit } = answer.json<AppendJson>();
    expect(answer.json()).toEqual({ write, rows: 2, level: 'visible', commit });
    expect(await api.write(write)).toEqual({
      write,
      series: id,
      kind: 'append',
      level: 'visible',
      rows: 2,
      commit,
      at: expect.any(String),
    });
  });

  test('commit numbers of one series go up with its rows', async () => {
    const { id } = await create();
    const first = await api.append(id, { values: [1] });
    const second = await api.append(id, { values: [2] });
    expect(second.commit).toBeGreaterThan(first.commit);
    expect(await api.series(id)).toMatchObject({ commit: second.commit });
    expect(expecting(200, await api.get(`/v1/series/${id}/samples`)).headers['x-varve-commit']).toBe(
      String(second.commit),
    );
  });

  test('a write that never was is not found', async () => {
    const { write } = await api.append((await create()).id, { values: [1] });
    const [commit] = write.split('-');
    const never = [
      randomUUID(),
      'x',
      '',
      '1',
      `${commit}-1`,
      `${commit}-00`,
      `0${write}`,
      `${commit}--1`,
      `${Number(commit) + 1000}-0`,
    ];
    const huge = ['9'.repeat(30), '1-' + '9'.repeat(30), `${'9'.repeat(18)}-${'9'.repeat(9)}`];
    for (const write of [...never.filter((each) => each !== ''), ...huge])
      expecting(404, await api.get(`/v1/writes/${write}`));
  });
});

describe('retries with an Idempotency-Key', () => {
  test('store once, and are answered as the first was', async () => {
    const { id, samples } = await create();
    const send = () => api.post(samples, { values: [1, 2] }, { 'idempotency-key': 'batch-1' });
    const first = expecting(201, await send());
    await api.append(id, { values: [3] });
    const again = expecting(201, await send());
    expect(again.json()).toEqual(first.json());
    expect([first.headers['idempotency-replayed'], again.headers['idempotency-replayed']]).toEqual([undefined, 'true']);
    expect((await api.read(id)).values).toEqual([[1, 2, 3]]);
  });

  test('may come in another format or compressed: the samples count', async () => {
    const { id, samples } = await create();
    const key = { 'idempotency-key': 'k' };
    const first = expecting(201, await api.post(samples, { values: [1, 2] }, key));
    const body = Buffer.from(Int32Array.of(1, 2).buffer);
    const headers = { ...key, 'content-type': 'application/octet-stream' };
    const again = expecting(201, await api.send('POST', samples, { headers, body }));
    expect(again.json<AppendJson>().write).toBe(first.json<AppendJson>().write);
    expect((await api.series(id)).rows).toBe(2);
  });

  test('of another body, start or time are refused', async () => {
    const { id, samples } = await create();
    const key = { 'idempotency-key': 'batch-1' };
    expecting(201, await api.post(samples, { values: [1, 2] }, key));
    for (const other of [{ values: [1, 3] }, { values: [1] }, { values: [1, 2], start: '2026-05-01T00:00:00Z' }]) {
      const answer = expecting(422, await api.post(samples, other, key));
      expect(answer.json<Problem>()).toMatchObject({
        type: 'urn:varve:problem:key-reused',
        errors: [{ field: 'Idempotency-Key' }],
      });
    }
    expect((await api.read(id)).values).toEqual([[1, 2]]);

    const irregular = await create({ sampling: { kind: 'irregular' } });
    expecting(201, await api.post(irregular.samples, { times: [1], values: [1] }, key));
    expecting(422, await api.post(irregular.samples, { times: [2], values: [1] }, key));
    expect((await api.series(irregular.id)).rows).toBe(1);
  });

  test('of a key of another series are another matter', async () => {
    const [a, b] = await Promise.all([create(), create()]);
    for (const { samples } of [a, b]) {
      expecting(201, await api.post(samples, { values: [1] }, { 'idempotency-key': 'same' }));
    }
    expect([(await api.series(a.id)).rows, (await api.series(b.id)).rows]).toEqual([1, 1]);
  });

  test.each([
    ['small', 100],
    ['large', 200_000],
  ])('that come ten at once, %s, store once', async (_, rows) => {
    const { id, samples } = await create();
    const body = Buffer.from(Int32Array.from({ length: rows }, (_value, i) => i).buffer);
    const headers = { 'content-type': 'application/octet-stream', 'idempotency-key': 'ten' };
    const answers = await Promise.all(Array.from({ length: 10 }, () => api.send('POST', samples, { headers, body })));
    for (const answer of answers) expecting(201, answer);
    expect(new Set(answers.map((answer) => answer.body.toString())).size).toBe(1);
    expect(answers.filter((answer) => answer.headers['idempotency-replayed'] === undefined)).toHaveLength(1);
    const back = expecting(200, await api.get(`/v1/series/${id}/samples?format=octet`));
    expect(back.body.equals(body)).toBe(true);
  });

  test('of a body that was refused may use its key again', async () => {
    const { id, samples } = await create();
    const key = { 'idempotency-key': 'mended' };
    expecting(422, await api.post(samples, { values: [1.5] }, key));
    expecting(201, await api.post(samples, { values: [1] }, key));
    expect((await api.series(id)).rows).toBe(1);
  });
});

describe('many writers at once', () => {
  /** Every batch has its own numbers, so that a torn or doubled one shows. */
  const batch = (n: number, rows: number): number[] => Array.from({ length: rows }, (_, i) => n * 1000 + i);

  async function allAtOnce(samples: string, batches: readonly number[][]): Promise<AppendJson[]> {
    const answers = await Promise.all(batches.map((values) => api.post(samples, { values })));
    return answers.map((answer) => answer.json<AppendJson>());
  }

  test('fifty appends to one series are all there once, in some order, without gaps', async () => {
    const { id, samples } = await create();
    const batches = Array.from({ length: 50 }, (_, n) => batch(n, 1 + (n % 7)));
    const acknowledged = await allAtOnce(samples, batches);
    const { values } = await api.read(id);
    const places = acknowledged.map((answer, n) => {
      expect(values[0].slice(answer.first_row, answer.last_row! + 1)).toEqual(batches[n]);
      return [answer.first_row!, answer.last_row! + 1];
    });
    places.sort(([a], [b]) => a - b);
    expect(places.map(([from]) => from)).toEqual([0, ...places.map(([, to]) => to).slice(0, -1)]);
    expect(values[0]).toHaveLength(batches.flat().length);
    expect((await api.series(id)).rows).toBe(batches.flat().length);
  });

  test('appends of which each is sent when the one before is answered keep their order', async () => {
    const { id, samples } = await create();
    const writes: WriteJson[] = [];
    for (let n = 0; n < 30; n++) {
      const answer = expecting(201, await api.post(samples, { values: batch(n, 3) }));
      writes.push(await api.write(answer.json<AppendJson>().write));
    }
    expect(writes.map(({ first_row: row }) => row)).toEqual(writes.map((_, n) => n * 3));
    expect((await api.read(id)).values).toEqual([writes.flatMap((_, n) => batch(n, 3))]);
  });

  test('series written side by side do not mix', async () => {
    const all = await Promise.all(Array.from({ length: 12 }, () => create()));
    await Promise.all(
      all.map(async ({ id }, s) => {
        for (let n = 0; n < 6; n++) await api.append(id, { values: batch(s * 10 + n, 4) });
      }),
    );
    for (const [s, { id }] of all.entries()) {
      expect((await api.read(id)).values).toEqual([Array.from({ length: 6 }, (_, n) => batch(s * 10 + n, 4)).flat()]);
    }
  });

  test('irregular rows of many writers are answered in order of time', async () => {
    const { id, samples } = await create({ sampling: { kind: 'irregular' } });
    await Promise.all(
      Array.from({ length: 20 }, async (_, n) => {
        const times = Array.from({ length: 10 }, (_value, i) => i * 20 + n);
        expecting(201, await api.post(samples, { times, values: times }));
      }),
    );
    const expected = Array.from({ length: 200 }, (_, i) => i);
    expect(await api.read(id)).toMatchObject({ times: expected.map(String), values: [expected] });
  });

  test('large and small appends to one series do not mix either', async () => {
    const { id, samples } = await create();
    const bodies = [200_000, 10, 50_000, 1].map((rows, n) => new Int32Array(rows).fill(n + 1));
    const headers = { 'content-type': 'application/octet-stream' };
    const answers = await Promise.all(
      bodies.map((values) => api.send('POST', samples, { headers, body: new Uint8Array(values.buffer) })),
    );
    const back = expecting(200, await api.get(`/v1/series/${id}/samples?format=octet`)).body;
    const stored = new Int32Array(new Uint8Array(back).buffer);
    expect(stored.length).toBe(250_011);
    for (const [n, answer] of answers.entries()) {
      const { first_row: from, last_row: last } = expecting(201, answer).json<AppendJson>();
      expect(stored.subarray(from, last! + 1).every((value) => value === n + 1)).toBe(true);
    }
  });

  test('a reader never sees part of an append', async () => {
    const { id, samples } = await create();
    const ROWS = 500;
    let writing = true;
    const counts = new Set<number>();
    const reading = (async () => {
      while (writing) {
        const { body } = expecting(200, await api.get(`/v1/series/${id}/samples?format=octet`));
        counts.add(body.length / 4);
        const values = new Int32Array(new Uint8Array(body).buffer);
        for (let row = 0; row < values.length; row++) {
          if (values[row] !== Math.floor(row / ROWS) * 1000 + (row % ROWS))
            throw new Error(`row ${row}: ${values[row]}`);
        }
      }
    })();
    for (let n = 0; n < 20; n++) expecting(201, await api.post(samples, { values: batch(n, ROWS) }));
    writing = false;
    await reading;
    expect([...counts].filter((rows) => rows % ROWS !== 0)).toEqual([]);
    expect(counts.size).toBeGreaterThan(1);
  });
});
