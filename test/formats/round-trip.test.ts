import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { bytesOf, DTYPE_NAMES, DTYPES, type Dtype } from '../../src/core/numbers/dtype.ts';
import { TIME_MAX, TIME_MIN } from '../../src/core/time.ts';
import { encodeCsv } from '../../src/formats/samples/csv.ts';
import { WIRE_FORMATS, type WireFormatName } from '../../src/formats/samples/wire-formats.ts';
import { allOf, arrayOf, bytesFrom, outBatches, outShapeOf, rowsOf, shapeOf, streamOf } from './streams.ts';

function valueOf(dtype: Dtype): fc.Arbitrary<number | bigint> {
  if (dtype === 'float64') return fc.double();
  if (dtype === 'float32') return fc.float();
  const { min, max } = DTYPES[dtype].range!;
  return fc.bigInt({ min, max }).map((value) => (dtype.endsWith('64') ? value : Number(value)));
}

/** Regular rows with any times: an answer of JSON that has them is refused, so they are taken out. */
function asBody(name: WireFormatName, sent: Buffer, kind: string): Buffer {
  if (name !== 'json' || kind === 'irregular') return sent;
  return Buffer.from(sent.toString().replace(/"times":\[[^\]]*\],/, ''));
}

describe.each(Object.values(WIRE_FORMATS))('$name', ({ name, encode, decode }) => {
  test.each(DTYPE_NAMES)('%s values come back bit for bit, however the body is cut into pieces', async (dtype) => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('regular' as const, 'irregular' as const),
        fc.integer({ min: 1, max: 3 }).chain((channels) =>
          fc.record({
            channels: fc.constant(channels),
            rows: fc.array(
              fc.tuple(
                fc.bigInt({ min: TIME_MIN, max: TIME_MAX }),
                fc.array(valueOf(dtype), { minLength: channels, maxLength: channels }),
              ),
              { maxLength: 40 },
            ),
          }),
        ),
        fc.integer({ min: 1, max: 300 }),
        fc.constantFrom('rows' as const, 'channels' as const),
        async (kind, { channels, rows }, pieceBytes, orient) => {
          const shape = shapeOf(dtype, channels, kind);
          const values = arrayOf(
            dtype,
            rows.flatMap(([, row]) => row),
          );
          const times = BigInt64Array.from(rows.map(([ns]) => ns));
          const out = outShapeOf(shape, rows.length);
          const sent = await bytesFrom(encode(outBatches(values, times, 7), out, { orient }));
          const got = await rowsOf(decode(streamOf(asBody(name, sent, kind), pieceBytes), shape));
          expect(got.rows).toBe(rows.length);
          expect(got.valueBytes.equals(bytesOf(values))).toBe(true);
          if (kind === 'irregular') expect(got.times ?? []).toEqual([...times]);
          else expect(got.times).toBeNull();
          if (kind === 'regular' && (name === 'csv' || name === 'ndjson')) expect(got.startNs).toBe(times[0]);
        },
      ),
      { numRuns: 60 },
    );
  });

  test.each(['regular', 'irregular'] as const)(
    'a large %s body arrives in batches of at most 1 MiB and 65,536 rows',
    async (kind) => {
      const rows = 150_000;
      const shape = shapeOf('int16', 1, kind);
      const values = Int16Array.from({ length: rows }, (_, i) => i % 30_000);
      const times = BigInt64Array.from({ length: rows }, (_, i) => BigInt(i) * 1_000_000n);
      const pieces = await allOf(encode(outBatches(values, times, 40_000), outShapeOf(shape, rows)));
      const largest = Math.max(...pieces.map((piece) => piece.length));
      expect(largest).toBeLessThanOrEqual(1024 * 1024);
      const body = asBody(name, Buffer.concat(pieces), kind);
      let seen = 0;
      for await (const batch of decode(streamOf(body), shape)) {
        expect(batch.rows).toBeLessThanOrEqual(65_536);
        expect(batch.values.length).toBe(batch.rows);
        expect(batch.values[0]).toBe(values[seen]);
        seen += batch.rows;
      }
      expect(seen).toBe(rows);
    },
  );
});

test('CSV times in nanoseconds come back exactly', async () => {
  const shape = shapeOf('float64', 1, 'irregular');
  const times = BigInt64Array.from([TIME_MIN, -1n, 0n, 1_737_561_410_081_164_001n, TIME_MAX]);
  const values = new Float64Array(5);
  const sent = await bytesFrom(encodeCsv(outBatches(values, times, 2), outShapeOf(shape, 5), { epoch: 'ns' }));
  expect(sent.toString().split('\n')[4]).toBe('1737561410081164001,0');
  expect((await rowsOf(WIRE_FORMATS.csv.decode(streamOf(sent), shape))).times).toEqual([...times]);
});
