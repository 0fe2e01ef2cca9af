/** Bodies of samples whose text is none, or says two things at once. */
import { describe, expect, test } from '@jest/globals';
import { decodeCsv } from '../../src/formats/samples/csv.ts';
import { decodeJson } from '../../src/formats/samples/json.ts';
import { repeatedKey } from '../../src/formats/text/json-keys.ts';
import { decodeNdjson } from '../../src/formats/samples/ndjson.ts';
import { rowsOf, shapeOf } from './streams.ts';

const DECODERS = { csv: decodeCsv, json: decodeJson, ndjson: decodeNdjson } as const;

async function* pieces(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

function decoding(format: keyof typeof DECODERS, body: string, size: number): Promise<unknown> {
  const source = pieces(Buffer.from(body, 'latin1'), size);
  return rowsOf(DECODERS[format](source, shapeOf('float64', 1, 'irregular')));
}

describe('bytes that are no UTF-8 are refused, and the place is said', () => {
  test.each<[keyof typeof DECODERS, string, string]>([
    ['json', '{"times":["1","2\xe4"],"values":[1,2]}', 'byte 16'],
    ['ndjson', '{"time":1,"values":[1]}\n{"time":2,"values":["\xe4"]}\n{"time":3,"values":[1]}\n', 'line 2'],
    ['csv', 'time,c0\n1,1\n2,2\n3,\xe4\n4,4\n', 'line 4'],
    ['csv', 'time,c0\n1,1\n2,2\n3,\xc3', 'line 4'],
  ])('in %s: %j', async (format, body, place) => {
    for (const size of [1, 3, 1000]) {
      await expect(decoding(format, body, size)).rejects.toMatchObject({
        code: 'invalid-input',
        message: expect.stringContaining(place),
        errors: [{ field: 'body' }],
      });
    }
  });
});

describe('a key that is given twice is refused', () => {
  test.each<[keyof typeof DECODERS, string, string]>([
    ['json', '{"values":[1],"times":["1"],"values":[2]}', 'values'],
    ['json', String.raw`{"values":[1],"times":["1"],"value\u0073":[2]}`, 'values'],
    ['ndjson', '{"time":1,"values":[1]}\n{"time":1,"values":[1],"time":2}', 'line 2 time'],
  ])('in %s: %s', async (format, body, field) => {
    await expect(decoding(format, body, 1000)).rejects.toMatchObject({ code: 'invalid-input', errors: [{ field }] });
  });

  test.each<[string, PropertyKey[] | undefined]>([
    ['{"a":1,"b":{"a":2},"c":[{"a":1},{"a":2}]}', undefined],
    ['{"a":"a\\":1,\\"a","b":"\\"a\\":"}', undefined],
    ['["a","a",{"a":"a"}]', undefined],
    ['{"a":{"b":[0,{"c":1,"c":1}]}}', ['a', 'b', 1, 'c']],
    ['{"__proto__":1,"__proto__":2}', ['__proto__']],
    ['{"constructor":1,"toString":2}', undefined],
    ['{"":1,"":2}', ['']],
    ['{"a', undefined],
    ['}]:,', undefined],
  ])('%s', (text, path) => {
    expect(repeatedKey(text)).toEqual(path);
  });
});
