import { describe, expect, test } from '@jest/globals';
import { viewAs, type Dtype } from '../../src/core/numbers/dtype.ts';
import { decodeCsv, encodeCsv } from '../../src/formats/samples/csv.ts';
import { decodeJson, encodeJson } from '../../src/formats/samples/json.ts';
import { decodeNdjson, encodeNdjson } from '../../src/formats/samples/ndjson.ts';
import { describePython } from '../support/python.ts';
import { arrayOf, outBatches, outShapeOf, rowsOf, shapeOf, streamOf, textFrom } from './streams.ts';

async function valuesOf(
  decode: typeof decodeJson,
  body: string,
  dtype: Dtype,
  channels = 1,
  kind: 'regular' | 'irregular' = 'regular',
): Promise<(number | bigint)[]> {
  const { valueBytes } = await rowsOf(decode(streamOf(body, 5), shapeOf(dtype, channels, kind)));
  return [...viewAs(dtype, valueBytes)];
}

describe('JSON', () => {
  test.each<[string, Dtype, (number | bigint)[]]>([
    ['{"values": [1, 2.5, null, "Infinity", "-Infinity", "NaN"]}', 'float64', [1, 2.5, NaN, Infinity, -Infinity, NaN]],
    ['{"values": [[1], [2]]}', 'float64', [1, 2]],
    ['{"values": [12345678901234567890, -0]}', 'float64', [12345678901234567000, -0]],
    ['{"values": [0.1]}', 'float32', [Math.fround(0.1)]],
    ['{"values": [1.0, 2e2]}', 'int16', [1, 200]],
    [
      '{"values": [9007199254740991, "9223372036854775807", 1234567890123456]}',
      'int64',
      [9007199254740991n, 9223372036854775807n, 1234567890123456n],
    ],
    ['{"values": ["18446744073709551615", 0]}', 'uint64', [18446744073709551615n, 0n]],
    ['{"values": []}', 'int8', []],
  ])('%s as %s', async (body, dtype, values) => {
    expect(await valuesOf(decodeJson, body, dtype)).toEqual(values);
  });

  test('times may be RFC 3339, digits in a string, or bare integers that no double holds', async () => {
    const body =
      '{"times": ["2026-05-01T09:00:00.000000001Z", "1777626000000000003", 1777626000000000005], "values": [1, 2, 3]}';
    const { times } = await rowsOf(decodeJson(streamOf(body), shapeOf('float64', 1, 'irregular')));
    expect(times).toEqual([1777626000000000001n, 1777626000000000003n, 1777626000000000005n]);
  });

  test('digits inside a text stay text', async () => {
    const body = '{"times": [" 1777626000000000003", "1"], "values": [1, " 1777626000000000003"]}';
    await expect(rowsOf(decodeJson(streamOf(body), shapeOf('float64', 1, 'irregular')))).rejects.toMatchObject({
      errors: [{ field: 'values[1]' }],
    });
  });

  test('a start is handed on with the first batch', async () => {
    const body = '{"values": [1], "start": "1970-01-01T00:00:01Z"}';
    const { startNs } = await rowsOf(decodeJson(streamOf(body), shapeOf('float64', 1, 'regular')));
    expect(startNs).toBe(1_000_000_000n);
  });

  test('an answer has the exact shape clients rely on: times as strings, a list a row, and the link to the rest', async () => {
    const shape = outShapeOf(shapeOf('float64', 2, 'regular'), 3, '/v1/series/s-1/samples?rows=3:6');
    const values = new Float64Array([1, 0.1, NaN, Infinity, -0, 1e21]);
    const head = '{"series":"s-1","first_row":0,"times":["1","2","3"],"orient":';
    const tail = ',"next":"/v1/series/s-1/samples?rows=3:6"}';
    for (const [orient, text] of [
      ['rows', '"rows","values":[[1,0.1],[null,"Infinity"],[-0.0,1e+21]]'],
      ['channels', '"channels","values":[[1,null,-0.0],[0.1,"Infinity",1e+21]]'],
    ] as const) {
      const batches = outBatches(values, new BigInt64Array([1n, 2n, 3n]), 2);
      expect(await textFrom(encodeJson(batches, shape, { orient }))).toBe(head + text + tail);
    }
    const one = outShapeOf(shapeOf('float64', 1, 'regular'), 2);
    const sent = await textFrom(encodeJson(outBatches(values.subarray(0, 2), new BigInt64Array([1n, 2n]), 1), one));
    expect(JSON.parse(sent)).toMatchObject({ orient: 'rows', values: [1, 0.1] });
  });

  test('an answer without rows is valid and empty', async () => {
    const shape = outShapeOf(shapeOf('int16', 2, 'regular'), 0);
    const sent = await textFrom(encodeJson(outBatches(new Int16Array(0), new BigInt64Array(0), 1), shape));
    const empty = { series: 's-1', first_row: 0, times: [], orient: 'rows', values: [], next: null };
    expect(JSON.parse(sent)).toEqual(empty);
  });

  test.each(['rows', 'channels'] as const)('an answer by %s is printed in pieces of bounded size', async (orient) => {
    const shape = outShapeOf(shapeOf('float64', 2, 'regular'), 500_000);
    const values = Float64Array.from({ length: 1_000_000 }, (_, i) => Math.sin(i));
    const times = BigInt64Array.from({ length: 500_000 }, (_, i) => BigInt(i));
    let longest = 0;
    for await (const piece of encodeJson(outBatches(values, times, 300_000), shape, { orient })) {
      longest = Math.max(longest, piece.length);
    }
    expect(longest).toBeLessThan(80_000);
  });
});

describe('NDJSON', () => {
  test('a scalar stands for one channel, empty lines and CRLF are harmless, the last line needs no end', async () => {
    const body = '{"time": "1970-01-01T00:00:00Z", "values": 1}\r\n\n{"values": [2]}\n{"values": 3, "time": null}';
    const got = await rowsOf(decodeNdjson(streamOf(body, 3), shapeOf('int16', 1, 'regular')));
    expect([...viewAs('int16', got.valueBytes)]).toEqual([1, 2, 3]);
    expect(got.startNs).toBe(0n);
  });

  test('a later time of a regular series is no start', async () => {
    const body = '{"values": 1}\n{"time": 5, "values": 2}';
    expect((await rowsOf(decodeNdjson(streamOf(body), shapeOf('int16', 1, 'regular')))).startNs).toBeUndefined();
  });

  test('a line is an object with a time and a list', async () => {
    const shape = outShapeOf(shapeOf('int64', 2, 'irregular'), 1);
    const values = arrayOf('int64', [9007199254740992n, -5n]);
    const sent = await textFrom(encodeNdjson(outBatches(values, new BigInt64Array([1777626000000000005n]), 2), shape));
    expect(sent).toBe('{"time":"1777626000000000005","values":["9007199254740992",-5]}\n');
  });
});

describe('CSV', () => {
  test('columns are found by name, in any order, quoted or not, after a byte order mark', async () => {
    const body = '\uFEFF"c1", time ,c0\r\n"1,5",2026-05-01T09:00:00Z,2\r\n'.replace('1,5', '1.5');
    const got = await rowsOf(decodeCsv(streamOf(body, 4), shapeOf('float64', 2, 'irregular')));
    expect([...viewAs('float64', got.valueBytes)]).toEqual([2, 1.5]);
    expect(got.times).toEqual([1777626000000000000n]);
  });

  test('labels with commas, quotes and line ends survive', async () => {
    const channelLabels = ['a,b', 'say "x"', 'two\nlines', 'time', 'µV'];
    const shape = { ...shapeOf('int16', 5, 'irregular'), channelLabels };
    const values = new Int16Array([1, 2, 3, 4, 5]);
    const sent = await textFrom(encodeCsv(outBatches(values, new BigInt64Array([7n]), 1), outShapeOf(shape, 1)));
    const got = await rowsOf(decodeCsv(streamOf(sent, 1), shape));
    expect([...viewAs('int16', got.valueBytes)]).toEqual([1, 2, 3, 4, 5]);
  });

  test.each<[string, Dtype, (number | bigint)[]]>([
    ['c0\nnan\nNaN\nNA\ninf\n-inf\n+1.5e3\n .5 \n-0\n', 'float64', [NaN, NaN, NaN, Infinity, -Infinity, 1500, 0.5, -0]],
    ['time,c0\n,\n,1\n', 'float64', [NaN, 1]],
    ['c0\n5.0\n-7\n', 'int8', [5, -7]],
    ['c0\n9223372036854775807\n-9223372036854775808\n', 'int64', [9223372036854775807n, -9223372036854775808n]],
  ])('%j as %s', async (body, dtype, values) => {
    expect(await valuesOf(decodeCsv, body, dtype)).toEqual(values);
  });

  test('times are RFC 3339, float32 has its shortest text, NaN is empty, 64-bit integers are digits', async () => {
    const times = new BigInt64Array([-1n, 0n, 1_500_000_000n, 1_500_000_001n]);
    const float32 = new Float32Array([0.1, NaN, -Infinity, 16777216]);
    const shape = outShapeOf(shapeOf('float32', 1, 'regular'), 4);
    expect(await textFrom(encodeCsv(outBatches(float32, times, 3), shape))).toBe(
      'time,c0\n1969-12-31T23:59:59.999999999Z,0.1\n1970-01-01T00:00:00Z,\n1970-01-01T00:00:01.5Z,-inf\n' +
        '1970-01-01T00:00:01.500000001Z,16777216\n',
    );
  });
});

describePython('pandas', ['pandas'], (run) => {
  test('read_csv reads an encoded CSV to the same numbers and times', async () => {
    const values = new Float64Array([0.1, NaN, Infinity, -Infinity, 1e-300, 123456.789, -0, 5e-324]);
    const times = new BigInt64Array([0n, 1_000n, 1_777_626_000_000_000_001n, 1_777_626_001_000_000_000n]);
    const shape = outShapeOf({ ...shapeOf('float64', 2, 'irregular'), channelLabels: ['a,b', 'V5'] }, 4);
    const sent = await textFrom(encodeCsv(outBatches(values, times, 3), shape));
    const script = `
import sys, pandas as pd
df = pd.read_csv(sys.stdin.buffer, float_precision='round_trip')
assert list(df.columns) == ['time', 'a,b', 'V5'], df.columns
ns = [pd.Timestamp(t).value for t in df['time']]
sys.stdout.buffer.write(df[['a,b', 'V5']].to_numpy('<f8').tobytes())
sys.stdout.buffer.write(b''.join(n.to_bytes(8, 'little', signed=True) for n in ns))`;
    const out = run(script, sent);
    expect([...viewAs('float64', new Uint8Array(out.subarray(0, 64)))]).toEqual([...values]);
    expect([...viewAs('int64', new Uint8Array(out.subarray(64)))]).toEqual([...times]);
  });
});
