import { describe, expect, test } from '@jest/globals';
import type { SampleShape } from '../../src/core/signal/batch.ts';
import type { Dtype } from '../../src/core/numbers/dtype.ts';
import { WIRE_FORMATS, type WireFormatName } from '../../src/formats/samples/wire-formats.ts';
import { rowsOf, shapeOf, streamOf } from './streams.ts';

type Kind = SampleShape['kind'];
/** Format, dtype, channels, kind, body, code of the error, field it names. */
type Refusal = [WireFormatName, Dtype, number, Kind, string, string, string];

const BAD = 'invalid-input';
const WRONG = 'unprocessable';

const REFUSALS: Refusal[] = [
  ['octet', 'int16', 2, 'regular', 'abcde', BAD, 'body'],
  ['octet', 'int16', 1, 'irregular', 'abcdefgh', BAD, 'body'],

  ['json', 'float64', 1, 'regular', '{"values": [1,', BAD, 'body'],
  ['json', 'float64', 1, 'regular', '[1, 2]', BAD, 'body'],
  ['json', 'float64', 1, 'regular', 'null', BAD, 'body'],
  ['json', 'float64', 1, 'regular', '', BAD, 'body'],
  ['json', 'float64', 1, 'regular', '{"value": [1]}', BAD, 'value'],
  ['json', 'float64', 1, 'regular', '{}', BAD, 'values'],
  ['json', 'float64', 1, 'regular', '{"values": 3}', BAD, 'values'],
  ['json', 'float64', 1, 'regular', '{"values": [1, true]}', BAD, 'values[1]'],
  ['json', 'float64', 1, 'regular', '{"values": ["toString"]}', BAD, 'values[0]'],
  ['json', 'float64', 1, 'regular', '{"values": ["1"]}', BAD, 'values[0]'],
  ['json', 'float64', 1, 'regular', '{"values": [1e999]}', WRONG, 'values[0]'],
  ['json', 'float32', 1, 'regular', '{"values": [1e39]}', WRONG, 'values[0]'],
  ['json', 'float64', 2, 'regular', '{"values": [1, 2]}', WRONG, 'values[0]'],
  ['json', 'float64', 2, 'regular', '{"values": [[1, 2], [3]]}', WRONG, 'values[1]'],
  ['json', 'int16', 2, 'regular', '{"values": [[1, 2], [3, null]]}', WRONG, 'values[1][1]'],
  ['json', 'int16', 1, 'regular', '{"values": [1.5]}', WRONG, 'values[0]'],
  ['json', 'int16', 1, 'regular', '{"values": [32768]}', WRONG, 'values[0]'],
  ['json', 'int16', 1, 'regular', '{"values": [12345678901234567890]}', WRONG, 'values[0]'],
  ['json', 'int16', 1, 'regular', '{"values": ["NaN"]}', WRONG, 'values[0]'],
  ['json', 'int16', 1, 'regular', '{"values": ["Infinity"]}', WRONG, 'values[0]'],
  ['json', 'uint8', 1, 'regular', '{"values": [-1]}', WRONG, 'values[0]'],
  ['json', 'int64', 1, 'regular', '{"values": [9007199254740993]}', WRONG, 'values[0]'],
  ['json', 'int64', 1, 'regular', '{"values": ["9223372036854775808"]}', WRONG, 'values[0]'],
  ['json', 'uint64', 1, 'regular', '{"values": ["-1"]}', WRONG, 'values[0]'],
  ['json', 'float64', 1, 'regular', '{"values": [1], "start": "yesterday"}', BAD, 'start'],
  ['json', 'float64', 1, 'regular', '{"values": [1], "times": 1}', BAD, 'times'],
  ['json', 'float64', 1, 'irregular', '{"values": [1], "start": 1, "times": [1]}', WRONG, 'start'],
  ['json', 'float64', 1, 'irregular', '{"values": [1]}', BAD, 'times'],
  ['json', 'float64', 1, 'irregular', '{"values": [1, 2], "times": [1]}', BAD, 'times'],
  ['json', 'float64', 1, 'irregular', '{"values": [1, 2], "times": [1, "x"]}', BAD, 'times[1]'],
  ['json', 'float64', 1, 'irregular', '{"values": [1], "times": [1.5]}', BAD, 'times[0]'],
  ['json', 'float64', 1, 'irregular', '{"values": [1], "times": [99999999999999999999]}', BAD, 'times[0]'],

  ['ndjson', 'float64', 1, 'regular', '{"values": [1]}\n{"values"', BAD, 'line 2'],
  ['ndjson', 'float64', 1, 'regular', '{"values": [1]}\n\n[1]\n', BAD, 'line 3'],
  ['ndjson', 'float64', 1, 'regular', '{"values": [1], "unit": "mV"}', BAD, 'line 1 unit'],
  ['ndjson', 'float64', 1, 'regular', '{"time": 1}', BAD, 'line 1 values'],
  ['ndjson', 'float64', 2, 'regular', '{"values": [1, 2]}\n{"values": [1]}', WRONG, 'line 2 values'],
  ['ndjson', 'int16', 2, 'regular', '{"values": [1, 2]}\n{"values": [1, null]}', WRONG, 'line 2 values[1]'],
  ['ndjson', 'float64', 1, 'irregular', '{"values": [1]}', BAD, 'line 1 time'],
  ['ndjson', 'float64', 1, 'irregular', '{"time": "noon", "values": [1]}', BAD, 'line 1 time'],

  ['csv', 'float64', 1, 'regular', '', BAD, 'body'],
  ['csv', 'float64', 1, 'regular', '\xff', BAD, 'body'],
  ['csv', 'float64', 2, 'regular', 'time,c0\n', BAD, 'column c1'],
  ['csv', 'float64', 1, 'regular', 'time,c0,c7\n', BAD, 'column c7'],
  ['csv', 'float64', 1, 'regular', 'time,c0,c0\n', BAD, 'column c0'],
  ['csv', 'float64', 1, 'irregular', 'c0\n1\n', BAD, 'column time'],
  ['csv', 'float64', 1, 'irregular', 'time,c0\n1,1\n,2\n', BAD, 'line 3 column time'],
  ['csv', 'float64', 1, 'irregular', 'time,c0\nnoon,1\n', BAD, 'line 2 column time'],
  ['csv', 'float64', 1, 'irregular', 'time,c0\n1,1\n2\n', BAD, 'line 3'],
  ['csv', 'float64', 1, 'regular', 'c0\n1\nx\n', BAD, 'line 3 column c0'],
  ['csv', 'float64', 1, 'regular', 'c0\n0x10\n', BAD, 'line 2 column c0'],
  ['csv', 'float64', 1, 'regular', 'c0\n1\n\n2\n', BAD, 'line 3'],
  ['csv', 'float64', 1, 'regular', 'c0\n"1\n2\n', BAD, 'line 2'],
  ['csv', 'float64', 1, 'regular', 'c0\n1"1"\n', BAD, 'line 2'],
  ['csv', 'float64', 1, 'regular', 'c0\n"1"1\n', BAD, 'line 2'],
  ['csv', 'int16', 1, 'irregular', 'time,c0\n1,\n', WRONG, 'line 2 column c0'],
  ['csv', 'int16', 1, 'irregular', 'time,c0\n1,1.5\n', WRONG, 'line 2 column c0'],
  ['csv', 'int16', 1, 'irregular', 'time,c0\n1,inf\n', WRONG, 'line 2 column c0'],
  ['csv', 'uint64', 1, 'irregular', 'time,c0\n1,18446744073709551616\n', WRONG, 'line 2 column c0'],
];

describe('a bad body is refused and the error names the place', () => {
  test.each(REFUSALS)('%s %s × %i %s: %j', async (format, dtype, channels, kind, body, code, field) => {
    const decoding = rowsOf(
      WIRE_FORMATS[format].decode(streamOf(Buffer.from(body, 'latin1')), shapeOf(dtype, channels, kind)),
    );
    await expect(decoding).rejects.toMatchObject({ code, errors: [{ field }] });
  });

  test('a line over 1 MiB ends the reading of NDJSON and CSV instead of filling the memory', async () => {
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) yield Buffer.alloc(65_536, 'x');
    }
    for (const { decode } of [WIRE_FORMATS.ndjson, WIRE_FORMATS.csv]) {
      await expect(rowsOf(decode(endless(), shapeOf('float64', 1, 'regular')))).rejects.toMatchObject({
        code: 'limit-exceeded',
      });
    }
  });

  test('a JSON body over 32 MiB is refused, with the limit and the way out', async () => {
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) yield Buffer.alloc(1024 * 1024, ' ');
    }
    const decoding = rowsOf(WIRE_FORMATS.json.decode(endless(), shapeOf('float64', 1, 'regular')));
    await expect(decoding).rejects.toMatchObject({
      code: 'limit-exceeded',
      message: expect.stringMatching(/32 MiB.*ndjson/),
    });
  });
});
