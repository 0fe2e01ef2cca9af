/** Identifiers of 64 bits and more: an integer past 2^53 is kept digit by digit, wherever JSON can say it. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { describePython } from '../support/python.ts';
import { startService, type RunningService } from '../support/service.ts';
import { ApiClient, expecting, type Answer, type Problem } from './client.ts';

const [ONE, TWO] = ['12345678901234567891', '12345678901234567892'];
/** 2^53 and the next one, which is not a float64. */
const [LAST, PAST] = ['9007199254740992', '9007199254740993'];

interface Found {
  readonly id: string;
  readonly name: string;
  readonly tags: Readonly<Record<string, unknown>>;
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

const LEAST = `"dtype": "int16", "sampling": {"kind": "irregular"}`;

/** A body as it is written, for JSON.stringify has no such integers. */
function send(method: string, path: string, body: string, type = 'application/json'): Promise<Answer> {
  return api.send(method, path, { body, headers: { 'content-type': type } });
}

async function create(name: string, rest: string): Promise<Record<string, unknown> & Found> {
  return expecting(201, await send('POST', '/v1/series', `{"name": "${name}", ${LEAST}, ${rest}}`)).json();
}

async function search(where: string): Promise<string[]> {
  const page = expecting(200, await send('POST', '/v1/series/search', `{"where": ${where}}`));
  return page.json<{ items: Found[] }>().items.map(({ name }) => name);
}

describe('a bare integer past 2^53', () => {
  test('is kept exactly in tags, lists, quantities, provenance, channel info and external ids, and comes back as text', async () => {
    const made = await create(
      'kept',
      `"tags": {"serial": ${ONE}, "negative": -${ONE}, "serials": [${ONE}, ${TWO}, 5], "age": {"value": ${ONE}, "unit": "ns"}, "last": ${LAST}, "past": ${PAST}, "safe": 1234567890123456},
       "provenance": {"instrument": {"serial": ${ONE}}, "rig": {"ids": [${TWO}, [${ONE}]]}, "operator": "jd"},
       "channels": [{"label": "a", "info": {"probe": ${ONE}, "deep": [{"n": ${PAST}}]}}],
       "external_ids": {"lims": ${ONE}}`,
    );
    const read = expecting(200, await api.get(`/v1/series/${made.id}`)).json();
    for (const series of [made, read]) {
      expect(series).toMatchObject({
        tags: {
          serial: ONE,
          negative: `-${ONE}`,
          serials: [ONE, TWO, 5],
          age: { value: ONE, unit: 'ns' },
          last: Number(LAST),
          past: PAST,
          safe: 1234567890123456,
        },
        provenance: { instrument: { serial: ONE }, rig: { ids: [TWO, [ONE]] } },
        channels: [{ label: 'a', info: { probe: ONE, deep: [{ n: PAST }] } }],
        external_ids: { lims: ONE },
      });
    }
    // What came back may be sent again.
    expecting(200, await send('PATCH', `/v1/series/${made.id}`, JSON.stringify({ tags: made.tags })));
  });

  test('is found by its digits: of two serial numbers one', async () => {
    await create('one', `"tags": {"number": ${ONE}}`);
    await create('two', `"tags": {"number": ${TWO}}`);
    await create('float', `"tags": {"number": 1.2345678901234567e19}`);
    const eq = async (digits: string): Promise<string[]> => search(`{"tag": "number", "eq": ${digits}}`);
    const get = async (digits: string): Promise<string[]> =>
      expecting(200, await api.get(`/v1/series?tag.number=${digits}`))
        .json<{ items: Found[] }>()
        .items.map(({ name }) => name);
    expect([await eq(ONE), await eq(TWO), await get(ONE), await get(TWO)]).toEqual([
      ['one'],
      ['two'],
      ['one'],
      ['two'],
    ]);
    expect(await search(`{"tag": "number", "in": [${ONE}, ${TWO}]}`)).toEqual(['one', 'two']);
    expect(await search(`{"field": "external_id", "eq": ${ONE}}`)).toEqual(['kept']);
    const { items: values } = expecting(200, await api.get('/v1/tags/number')).json<{ items: { value: unknown }[] }>();
    expect(values.map(({ value }) => value)).toEqual([1.2345678901234567e19, ONE, TWO]);
    const faceted = await send(
      'POST',
      '/v1/series/search',
      '{"facets": ["number"], "where": {"tag": "number", "exists": true}}',
    );
    const { facets } = faceted.json<{ facets: { number: { value: unknown; count: number }[] } }>();
    expect(facets.number.map(({ value }) => value)).toEqual(expect.arrayContaining([ONE, TWO]));
  });

  test('is kept by bulk creation, by changes of one and of many, in the history and in vocabularies', async () => {
    const lines = [ONE, TWO].map((digits) => `{"name": "line ${digits}", ${LEAST}, "tags": {"line": ${digits}}}`);
    const bulk = expecting(200, await send('POST', '/v1/series/bulk', lines.join('\n'), 'application/x-ndjson'));
    expect(bulk.json<{ items: { status: number }[] }>().items.map(({ status }) => status)).toEqual([201, 201]);
    expect(await search(`{"tag": "line", "eq": ${TWO}}`)).toEqual([`line ${TWO}`]);

    const { id } = await create('changed', `"tags": {}`);
    expecting(
      200,
      await send('PATCH', `/v1/series/${id}`, `{"tags": {"chip": ${ONE}}, "provenance": {"lot": ${TWO}}}`),
    );
    expecting(
      200,
      await send('POST', '/v1/series/tags', `{"where": {"tag": "chip", "eq": ${ONE}}, "set": {"batch": ${TWO}}}`),
    );
    const changed = expecting(200, await api.get(`/v1/series/${id}`)).json<Found & { provenance: object }>();
    expect(changed).toMatchObject({ tags: { chip: ONE, batch: TWO }, provenance: { lot: TWO } });
    const history = expecting(200, await api.get(`/v1/series/${id}/history`)).body.toString();
    expect(history).toContain(`"new":"${TWO}"`);
    const edits = expecting(200, await api.get('/v1/metadata-edits')).body.toString();
    expect(edits).toContain(`"eq":"${ONE}"`);

    expecting(201, await send('POST', '/v1/projects', '{"name": "chips"}'));
    expecting(200, await send('PUT', '/v1/projects/chips/vocabulary', `{"keys": {"chip": {"values": [${ONE}]}}}`));
    const inChips = (digits: string): Promise<Answer> =>
      send('POST', '/v1/series', `{"name": "c", "project": "chips", ${LEAST}, "tags": {"chip": ${digits}}}`);
    expecting(422, await inChips(TWO));
    expecting(201, await inChips(ONE));
  });

  test('is kept in payloads of annotations, and may be a time', async () => {
    const start = '1777626001500000001';
    const { id } = await create('annotated', '"tags": {}');
    const path = `/v1/series/${id}/annotations`;
    expecting(
      201,
      await send('POST', path, `{"start": ${start}, "label": "N", "payload": {"event": ${ONE}, "of": [${TWO}]}}`),
    );
    const { items } = expecting(200, await api.get(path)).json<{ items: object[] }>();
    expect(items).toMatchObject([{ start, payload: { event: ONE, of: [TWO] } }]);
    expect(await search(`{"has_annotation": {"overlaps": [${start}, 1777626001500000002]}}`)).toEqual(['annotated']);
    expect(await search(`{"has_annotation": {"overlaps": [1777626001500000002, 1777626001500000003]}}`)).toEqual([]);
  });

  test('is the missing value of a series of int64, and a limit that a float64 has', async () => {
    const body = `{"name": "missing", "dtype": "int64", "sampling": {"kind": "regular", "rate_hz": 1, "start": 1777626001500000001},
      "missing_value": -9223372036854775807, "channels": [{"digital_min": -9223372036854775808, "digital_max": 100}]}`;
    expect(expecting(201, await send('POST', '/v1/series', body)).json()).toMatchObject({
      missing_value: '-9223372036854775807',
      sampling: { start: '2026-05-01T09:00:01.500000001Z' },
      channels: [{ digital_min: -(2 ** 63) }],
    });
    const off = body.replace('"missing"', '"off"').replace('4775808', '4775807');
    const problem = expecting(400, await send('POST', '/v1/series', off)).json<Problem>();
    expect(problem.errors).toMatchObject([{ field: 'channels[0].digital_min' }]);
  });

  test('a number that no float64 reaches is refused, and named', async () => {
    for (const [tags, field] of [
      ['{"a": 1e400}', 'tags.a'],
      ['{"a": {"value": 1e308, "unit": "Ym"}}', 'tags.a'],
      ['{"a": {"value": 1e-308, "unit": "ym"}}', 'tags.a'],
    ]) {
      const answer = await send('POST', '/v1/series', `{"name": "far", ${LEAST}, "tags": ${tags}}`);
      expect([answer.status, answer.json<Problem>().errors[0].field]).toEqual([expect.any(Number), field]);
    }
    const info = `{"name": "far", ${LEAST}, "provenance": {"rig": [1e999]}}`;
    expect(expecting(400, await send('POST', '/v1/series', info)).json<Problem>().errors[0].field).toBe(
      'provenance.rig[0]',
    );
  });
});

describePython('Python', ['json'], (run) => {
  test('two serial numbers that json.dumps writes stay two', async () => {
    const python = `import json, sys; n = 2**64 - 1
for k in (n, n - 1): print(json.dumps({"name": str(k), "dtype": "int8", "sampling": {"kind": "irregular"}, "tags": {"py": k}}))`;
    expecting(200, await send('POST', '/v1/series/bulk', run(python).toString(), 'application/x-ndjson'));
    expect(await search(`{"tag": "py", "eq": ${2n ** 64n - 1n}}`)).toEqual([String(2n ** 64n - 1n)]);
  });
});
