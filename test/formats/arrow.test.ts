import { describe, expect, test } from '@jest/globals';
import {
  DurationMillisecond,
  Field,
  Float64,
  Int16,
  Int64,
  makeData,
  RecordBatch,
  RecordBatchFileWriter,
  RecordBatchStreamWriter,
  Schema,
  Struct,
  TimestampMicrosecond,
  TimestampMillisecond,
  TimestampNanosecond,
  TimestampSecond,
  Uint8,
  vectorFromArray,
  type Data,
  type DataType,
} from 'apache-arrow';
import fc from 'fast-check';
import { isVarveError } from '../../src/core/errors.ts';
import { MAX_BATCH_ROWS } from '../../src/formats/samples/cut-batches.ts';
import { encodeArrowFile, encodeArrowStream } from '../../src/formats/samples/arrow.ts';
import { decodeArrow } from '../../src/formats/samples/arrow-decode.ts';
import { allOf, bytesFrom, outBatches, outShapeOf, rowsOf, shapeOf, streamOf } from './streams.ts';

type Column = readonly [name: string, type: DataType, data: Data];

function column(name: string, type: DataType, values: readonly unknown[]): Column {
  return [name, type, vectorFromArray(values, type).data[0]];
}

/** What apache-arrow makes of columns. */
function stream(...columns: Column[]): Uint8Array {
  const schema = new Schema(columns.map(([name, type]) => new Field(name, type, true)));
  const length = columns[0]?.[2].length ?? 0;
  const children = columns.map(([, , data]) => data);
  const batch = new RecordBatch(schema, makeData({ type: new Struct(schema.fields), length, nullCount: 0, children }));
  return RecordBatchStreamWriter.writeAll([batch]).toUint8Array(true);
}

const irregular = shapeOf('int16', 1, 'irregular');
const regular = shapeOf('int16', 1, 'regular');
const C0 = column('c0', new Int16(), [1, 2]);

describe('times', () => {
  test.each<[string, DataType, bigint[], bigint[]]>([
    ['seconds', new TimestampSecond('UTC'), [1n, -1n], [1_000_000_000n, -1_000_000_000n]],
    ['milliseconds without a zone', new TimestampMillisecond(), [1n, 2n], [1_000_000n, 2_000_000n]],
    ['microseconds', new TimestampMicrosecond('Europe/Vienna'), [1n, 2n], [1000n, 2000n]],
    ['nanoseconds', new TimestampNanosecond('UTC'), [1n, 2n ** 62n + 1n], [1n, 2n ** 62n + 1n]],
    ['durations', new DurationMillisecond(), [1n, 2n], [1_000_000n, 2_000_000n]],
    ['int64', new Int64(), [5n, 7n], [5n, 7n]],
  ])('%s', async (_, type, stored, expected) => {
    const data = makeData({ type, length: 2, nullCount: 0, data: BigInt64Array.from(stored) } as never) as Data;
    const body = stream(['time', type, data], C0);
    expect((await rowsOf(decodeArrow(streamOf(body), irregular))).times).toEqual(expected);
    expect((await rowsOf(decodeArrow(streamOf(body), regular))).startNs).toBe(expected[0]);
  });
});

test('columns are found by their names, and null is NaN', async () => {
  const shape = { dtype: 'float64', channelLabels: ['a', 'b'], kind: 'regular' } as const;
  const body = stream(column('b', new Float64(), [1, null, 3]), column('a', new Float64(), [null, 5, 6]));
  const { valueBytes } = await rowsOf(decodeArrow(streamOf(body), shape));
  const values = new Float64Array(valueBytes.buffer, valueBytes.byteOffset, 6);
  expect([...values]).toEqual([NaN, 1, 5, NaN, 6, 3]);
});

describe('is refused', () => {
  const whole = stream(column('time', new Int64(), [1n, 2n]), C0);
  test.each<[string, () => Uint8Array, string, string]>([
    ['an empty body', () => new Uint8Array(0), 'invalid-input', 'body'],
    ['something else', () => Buffer.from('time,c0\n1,2\n3,4\n'), 'invalid-input', 'body'],
    ['a stream that is cut off', () => whole.subarray(0, -20), 'invalid-input', 'body'],
    ['two streams', () => Buffer.concat([whole, whole]), 'invalid-input', 'body'],
    ['no times', () => stream(C0), 'invalid-input', 'column time'],
    ['a missing channel', () => stream(column('time', new Int64(), [1n, 2n])), 'invalid-input', 'column c0'],
    [
      'an unknown column',
      () => stream(column('time', new Int64(), [1n]), column('c0', new Int16(), [1]), column('x', new Int16(), [1])),
      'invalid-input',
      'column x',
    ],
    [
      'another dtype',
      () => stream(column('time', new Int64(), [1n]), column('c0', new Uint8(), [1])),
      'unprocessable',
      'column c0',
    ],
    [
      'times that are none',
      () => stream(column('time', new Float64(), [1]), column('c0', new Int16(), [1])),
      'unprocessable',
      'column time',
    ],
    [
      'a time that is null',
      () => stream(column('time', new Int64(), [1n, null]), C0),
      'invalid-input',
      'row 1 column time',
    ],
    [
      'a null that is no number',
      () => stream(column('time', new Int64(), [1n, 2n]), column('c0', new Int16(), [1, null])),
      'unprocessable',
      'row 1 column c0',
    ],
  ])('%s', async (_, body, code, field) => {
    await expect(rowsOf(decodeArrow(streamOf(body()), irregular))).rejects.toMatchObject({ code, errors: [{ field }] });
  });

  test('a time beyond int64 nanoseconds', async () => {
    const type = new TimestampSecond();
    const data = makeData({ type, length: 2, nullCount: 0, data: BigInt64Array.of(1n, 2n ** 40n) } as never) as Data;
    await expect(rowsOf(decodeArrow(streamOf(stream(['time', type, data], C0)), irregular))).rejects.toMatchObject({
      code: 'invalid-input',
      errors: [{ field: 'row 1 column time' }],
    });
  });

  test('a file that lost its end', async () => {
    const times = BigInt64Array.of(1n, 2n);
    const file = await bytesFrom(encodeArrowFile(outBatches(Int16Array.of(1, 2), times, 2), outShapeOf(irregular, 2)));
    expect((await rowsOf(decodeArrow(streamOf(file), irregular))).rows).toBe(2);
    for (const lost of [1, 6, 12, 300]) {
      const decoding = rowsOf(decodeArrow(streamOf(file.subarray(0, -lost)), irregular));
      await expect(decoding).rejects.toMatchObject({ code: 'invalid-input' });
    }
  });

  test('a file without its schema in front, as apache-arrow writes it', async () => {
    const batch = new RecordBatch(
      new Schema([new Field('c0', new Int16())]),
      makeData({ type: new Struct([new Field('c0', new Int16())]), length: 2, nullCount: 0, children: [C0[2]] }),
    );
    const file = RecordBatchFileWriter.writeAll([batch]).toUint8Array(true);
    await expect(rowsOf(decodeArrow(streamOf(file), regular))).rejects.toMatchObject({
      code: 'invalid-input',
      message: expect.stringContaining('send it as an Arrow stream'),
    });
  });

  test('a record batch larger than the limit, before it is read', async () => {
    const times = BigInt64Array.of(1n);
    const sent = await bytesFrom(encodeArrowStream(outBatches(Int16Array.of(1), times, 1), outShapeOf(irregular, 1)));
    const schemaBytes = 8 + sent.readInt32LE(4);
    const metadata = sent.subarray(schemaBytes + 8, schemaBytes + 8 + sent.readInt32LE(schemaBytes + 4));
    const table = metadata.readUInt32LE(0);
    const vtable = table - metadata.readInt32LE(table);
    metadata.writeBigInt64LE(2n ** 40n, table + metadata.readUInt16LE(vtable + 4 + 2 * 3));
    const decoding = rowsOf(decodeArrow(streamOf(sent), irregular));
    await expect(decoding).rejects.toMatchObject({ code: 'limit-exceeded' });
  });
});

test('of damaged bytes come rows or an error of ours, soon', async () => {
  const times = BigInt64Array.from({ length: 20 }, (_, i) => BigInt(i));
  const values = Int16Array.from({ length: 20 }, (_, i) => i);
  const sent = await bytesFrom(encodeArrowStream(outBatches(values, times, 10), outShapeOf(irregular, 20)));
  const damage = fc.array(fc.tuple(fc.nat(sent.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(damage, async (places) => {
      const damaged = Buffer.from(sent);
      for (const [at, byte] of places) damaged[at] = byte;
      const begun = Date.now();
      try {
        await allOf(decodeArrow(streamOf(damaged), irregular));
      } catch (error) {
        if (!isVarveError(error)) throw error;
      }
      expect(Date.now() - begun).toBeLessThan(5000);
    }),
    { numRuns: 3000 },
  );
});

test('the writer never runs ahead of whoever reads', async () => {
  let made = 0;
  async function* endless(): ReturnType<typeof outBatches> {
    for (;;) {
      made++;
      yield* outBatches(new Int16Array(1000), new BigInt64Array(1000), 1000);
    }
  }
  const pieces = encodeArrowStream(endless(), outShapeOf(irregular, 1e9));
  for (let i = 0; i < 5; i++) expect((await pieces.next()).value.length).toBeGreaterThan(10_000);
  expect(made).toBe(Math.ceil((5 * MAX_BATCH_ROWS) / 1000));
  await pieces.return(undefined);
});
