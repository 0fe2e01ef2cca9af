/** Numbers that are hard to keep go in and come out bit by bit, in every format that has bits, and of chosen channels. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { tableFromIPC } from '@uwdata/flechette';
import { randomUUID } from 'node:crypto';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { describePython } from '../support/python.ts';
import { startService, type RunningService } from '../support/service.ts';
import { ApiClient, expecting } from './client.ts';
import { bytesOf, DTYPE_NAMES, DTYPES, type NumberType, type Values } from './number-types.ts';
import { MEDIA_TYPES } from './sample-bodies.ts';

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

/** Quiet and signalling NaN of either sign, with payloads. */
const NAN_BITS = {
  float32: Uint32Array.of(0x7fc00001, 0x7f800001, 0xff800001, 0xffc12345, 0x7fa0beef, 0x7fffffff),
  float64: BigUint64Array.of(
    0x7ff8000000000001n,
    0x7ff0000000000001n,
    0xfff0000000000001n,
    0xfff8123456789abcn,
    0x7ff4deadbeef0001n,
    0x7fffffffffffffffn,
  ),
};

/** Bytes of two channels. They are never read as numbers here: that alone may change a NaN. */
function hardBytes(dtype: NumberType): Buffer {
  const hard = bytesOf(DTYPES[dtype].of(DTYPES[dtype].hard));
  if (dtype !== 'float32' && dtype !== 'float64') return hard;
  return Buffer.concat([hard, Buffer.from(NAN_BITS[dtype].buffer)]);
}

/** The bytes of one channel of two. */
function channelOf(bytes: Buffer, size: number, channel: number): Buffer {
  const parts: Buffer[] = [];
  for (let at = channel * size; at < bytes.length; at += 2 * size) parts.push(bytes.subarray(at, at + size));
  return Buffer.concat(parts);
}

const hexOf = (values: Values | Uint8Array): string => bytesOf(values).toString('hex');

async function filled(
  dtype: NumberType,
  kind: 'regular' | 'irregular',
): Promise<{ id: string; bytes: Buffer; size: number }> {
  const bytes = hardBytes(dtype);
  const size = DTYPES[dtype].array.BYTES_PER_ELEMENT;
  const sampling = kind === 'regular' ? { kind, rate_hz: 1 } : { kind };
  const channels = [{ label: 'a' }, { label: 'b' }];
  const { id } = await api.createSeries({ name: randomUUID(), dtype, channels, sampling });
  const rows = bytes.length / size / 2;
  const packed = Buffer.concat(
    Array.from({ length: rows }, (_, row) => {
      const time = Buffer.alloc(8);
      time.writeBigInt64LE(BigInt(row) * 10n ** 9n);
      return Buffer.concat([
        kind === 'irregular' ? time : Buffer.alloc(0),
        bytes.subarray(row * 2 * size, (row + 1) * 2 * size),
      ]);
    }),
  );
  const headers = { 'content-type': MEDIA_TYPES.octet };
  expecting(201, await api.send('POST', `/v1/series/${id}/samples`, { headers, body: packed }));
  return { id, bytes, size };
}

describe.each(['regular', 'irregular'] as const)('of a %s series', (kind) => {
  test.each(DTYPE_NAMES)('%s', async (dtype) => {
    const { id, bytes, size } = await filled(dtype, kind);
    const path = `/v1/series/${id}/samples`;
    const get = async (query: string): Promise<Buffer> => expecting(200, await api.get(`${path}?${query}`)).body;
    const columns = [0, 1].map((channel) => channelOf(bytes, size, channel));
    for (const format of ['arrow', 'arrow-stream'] as const) {
      const all = await get(`format=${format}`);
      const one = tableFromIPC(await get(`format=${format}&channels=b`), { useBigInt: true });
      const both = tableFromIPC(all, { useBigInt: true });
      expect(hexOf(one.getChild('b').toArray() as Values)).toBe(columns[1].toString('hex'));
      expect(['a', 'b'].map((name) => hexOf(both.getChild(name).toArray() as Values))).toEqual(
        columns.map((column) => column.toString('hex')),
      );
      // What came out goes in again, and is the same.
      const again = await api.createSeries({
        name: randomUUID(),
        dtype,
        channels: [{ label: 'a' }, { label: 'b' }],
        sampling: kind === 'regular' ? { kind, rate_hz: 1 } : { kind },
      });
      const headers = { 'content-type': MEDIA_TYPES[format] };
      expecting(201, await api.send('POST', `/v1/series/${again.id}/samples`, { headers, body: all }));
      const octets = expecting(200, await api.get(`/v1/series/${again.id}/samples?format=octet`)).body;
      expect(octets.equals(await get('format=octet'))).toBe(true);
    }
    if (kind === 'regular') {
      expect((await get('format=octet')).equals(bytes)).toBe(true);
      expect((await get('format=octet&channels=b')).equals(columns[1])).toBe(true);
      expect((await get('format=octet&channels=b,a')).length).toBe(bytes.length);
      expect((await get('format=npy&channels=a')).subarray(-columns[0].length).equals(columns[0])).toBe(true);
    }
    // Tables, as of a clock of its own times.
    const asOf = { clock: id, tolerance: '0s' };
    const question = { series: [id], form: 'wide', as_of: asOf, format: 'arrow-stream' };
    for (const direction of ['backward', 'forward', 'nearest']) {
      const answer = await api.post('/v1/query', { ...question, as_of: { ...asOf, direction } });
      const table = tableFromIPC(expecting(200, answer).body, { useBigInt: true });
      expect([1, 2].map((at) => hexOf(table.getChildAt(at).toArray() as Values))).toEqual(
        columns.map((column) => column.toString('hex')),
      );
    }
    const long = await api.post('/v1/query', { series: [id], format: 'arrow-stream' });
    const values = tableFromIPC(expecting(200, long).body, { useBigInt: true }).getChild('value').toArray() as Values;
    expect(hexOf(values)).toBe(bytes.toString('hex'));
  });
});

describePython('Python', ['h5py', 'numpy', 'pandas'], (python) => {
  test.each(DTYPE_NAMES)('h5py finds the bits of %s, also of chosen channels', async (dtype) => {
    const { id, bytes, size } = await filled(dtype, 'irregular');
    const script = `
import sys, io, h5py
f = h5py.File(io.BytesIO(sys.stdin.buffer.read()))
print(f[f.attrs["group"]]["values"][()].tobytes().hex())`;
    for (const [query, wanted] of [
      ['', bytes],
      ['&channels=b', channelOf(bytes, size, 1)],
    ] as const) {
      const file = expecting(200, await api.get(`/v1/series/${id}/samples?format=hdf5${query}`)).body;
      expect(python(script, file).toString().trim()).toBe(wanted.toString('hex'));
    }
  });

  test.each(['float32', 'float64'] as const)(
    'json and pandas find negative zero and every digit of %s',
    async (dtype) => {
      const { id } = await api.createSeries({ name: randomUUID(), dtype, sampling: { kind: 'irregular' } });
      const hard = DTYPES[dtype].of(DTYPES[dtype].hard).filter((value) => !Number.isNaN(Number(value))) as Float64Array;
      const finite = hard.filter(Number.isFinite);
      await api.append(id, {
        times: Array.from(finite, (_, i) => i),
        values: Array.from(finite, (v) => (Object.is(v, -0) ? '-0.0' : v)),
      });
      const script = `
import sys, io, json
import numpy as np, pandas as pd
given = json.load(sys.stdin)
values = json.loads(given["json"])["values"]
lines = [json.loads(line)["values"][0] for line in given["ndjson"].splitlines()]
frame = pd.read_csv(io.StringIO(given["csv"]), float_precision="round_trip")
flat = np.array(values).reshape(-1)
for found in (flat, lines, frame.iloc[:, 1]):
    print(np.array(found, dtype="${dtype}").tobytes().hex())`;
      const texts = await Promise.all(
        ['json', 'ndjson', 'csv'].map(async (format) => [
          format,
          expecting(200, await api.get(`/v1/series/${id}/samples?format=${format}`)).body.toString(),
        ]),
      );
      const lines = python(script, JSON.stringify(Object.fromEntries(texts)))
        .toString()
        .trim()
        .split('\n');
      expect(lines).toEqual(new Array(3).fill(hexOf(finite)));
      // What Python writes is read: "-0.0".
      const body = '{"times": [100], "values": [-0.0]}';
      const headers = { 'content-type': 'application/json' };
      expecting(201, await api.send('POST', `/v1/series/${id}/samples`, { headers, body }));
      expect((await api.get(`/v1/series/${id}/samples?start=100`)).body.toString()).toContain('[-0.0]');
      const last = expecting(200, await api.get(`/v1/series/${id}?include=last_value`)).json<{
        last_value: { values: unknown[] };
      }>();
      expect(last.last_value.values).toEqual(['-0.0']);
    },
  );
});
