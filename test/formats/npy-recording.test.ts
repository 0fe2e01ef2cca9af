import { beforeAll, describe, expect, test } from '@jest/globals';
import { viewAs } from '../../src/core/numbers/dtype.ts';
import { encodeNpy } from '../../src/formats/samples/npy.ts';
import type { ReadBytes } from '../../src/formats/recordings/npy-array.ts';
import { readNpyRecording } from '../../src/formats/recordings/npy-recording.ts';
import { describePython } from '../support/python.ts';
import { bytesFrom, outBatches, outShapeOf, rowsOf, shapeOf, streamOf } from './streams.ts';

function bytesOfFile(bytes: Uint8Array): ReadBytes {
  return (from = 0, to = bytes.length) => streamOf(bytes.subarray(from, to), 10);
}

const VALUES = new Int16Array([1, 2, 3, 4, 5, 6]);
const TIMES = new BigInt64Array([10n, 20n, 30n]);

async function file(kind: 'regular' | 'irregular'): Promise<ReadBytes> {
  const bytes = await bytesFrom(encodeNpy(outBatches(VALUES, TIMES, 3), outShapeOf(shapeOf('int16', 2, kind), 3)));
  return bytesOfFile(bytes);
}

describe('.npy recordings', () => {
  test('a plain array and a rate are a regular series', async () => {
    const { series, notes } = await readNpyRecording(await file('regular'), { name: 'probe', rate: '30000/1001' });
    expect(series[0].spec).toMatchObject({
      name: 'probe',
      dtype: 'int16',
      channels: [{ label: 'channel_1' }, { label: 'channel_2' }],
      sampling: { kind: 'regular', rate: { num: 30_000n, den: 1001n }, startNs: 0n },
      timeReference: 'relative',
    });
    expect(series[0].rows).toBe(3);
    expect([...viewAs('int16', (await rowsOf(series[0].batches())).valueBytes)]).toEqual([...VALUES]);
    expect(notes).toEqual(['no start was given: times count from the start of the recording']);
  });

  test("a start makes its times UTC, labels are the caller's", async () => {
    const { series } = await readNpyRecording(await file('regular'), {
      name: 'p',
      rate: 500,
      startNs: 7n,
      channelLabels: ['a', 'b'],
    });
    expect(series[0].spec).toMatchObject({
      timeReference: 'utc',
      sampling: { startNs: 7n },
      channels: [{ label: 'a' }, { label: 'b' }],
    });
  });

  test('a structured array is an irregular series', async () => {
    const { series } = await readNpyRecording(await file('irregular'), { name: 'p' });
    expect(series[0].spec.sampling).toEqual({ kind: 'irregular' });
    expect((await rowsOf(series[0].batches())).times).toEqual([...TIMES]);
  });

  test.each([
    [{ name: 'p' }, 'unprocessable', 'rate'],
    [{ name: 'p', rate: 0 }, 'invalid-input', 'rate'],
    [{ name: 'p', rate: 1, channelLabels: ['a'] }, 'invalid-input', 'channelLabels'],
  ])('%j is refused and the option named', async (options, code, field) => {
    await expect(readNpyRecording(await file('regular'), options)).rejects.toMatchObject({ code, errors: [{ field }] });
  });
});

describePython('arrays of NumPy', ['numpy'], (run) => {
  /** All cases are written by one process, one after the other. */
  const CASES = [
    ['np.asfortranarray(np.arange(20000 * 3, dtype="<i2").reshape(20000, 3))', 'int16', 3],
    ['np.arange(12, dtype=">f8").reshape(4, 3)', 'float64', 3],
    ['np.asfortranarray(np.arange(12, dtype=">u2").reshape(4, 3))', 'uint16', 3],
    ['np.array([True, False, True])', 'uint8', 1],
    ['np.array([0.1, -2.5, np.inf, 6e-8], dtype="<f2")', 'float32', 1],
    ['np.array([1.5, 2.5], dtype=">f2")', 'float32', 1],
    ['np.array([2**63, 1], dtype=">u8")', 'uint64', 1],
  ] as const;
  const STRUCTURED = `np.array([(np.datetime64("2026-05-01T09:00:00.000001", "us"), 1.5, 7, True), (np.datetime64("2026-05-01T09:00:01", "us"), 2.5, 2**60, False)], dtype=np.dtype([("when", "<M8[us]"), ("a", ">f8"), ("n", "<i8"), ("ok", "?")], align=True))`;
  let arrays: Buffer[];
  beforeAll(() => {
    const all = [
      ...CASES.map(([code]) => code),
      STRUCTURED,
      'np.arange(700, dtype="<i2").reshape(100, 7).T',
      'np.array(["2026-05-01"], dtype="M8[D]")',
      'np.zeros((2, 70))',
    ];
    const script = `
import sys, io, struct, numpy as np
for code in ${JSON.stringify(all)}:
    a = eval(code)
    out = io.BytesIO(); np.save(out, a)
    raw = b''
    if a.dtype.names is None and a.dtype.kind != 'M':
        wide = {'b': '<u1', 'f2': '<f4'}.get('b' if a.dtype.kind == 'b' else a.dtype.str[1:], a.dtype.newbyteorder('<').str)
        raw = np.ascontiguousarray(a).astype(wide).tobytes()
    for part in (out.getvalue(), raw): sys.stdout.buffer.write(struct.pack('<I', len(part)) + part)`;
    const out = run(script);
    arrays = [];
    for (let at = 0; at < out.length; at += 4 + out.readUInt32LE(at))
      arrays.push(out.subarray(at + 4, at + 4 + out.readUInt32LE(at)));
  });

  test.each(CASES.map(([code, dtype, channels], i) => [code, dtype, channels, i] as const))(
    '%s',
    async (_, dtype, channels, i) => {
      const { series } = await readNpyRecording(bytesOfFile(arrays[2 * i]), { name: 'p', rate: 1 });
      expect(series[0].spec).toMatchObject({
        dtype,
        channels: Array.from({ length: channels }, () => expect.anything()),
      });
      expect((await rowsOf(series[0].batches())).valueBytes.equals(arrays[2 * i + 1])).toBe(true);
    },
  );

  test('fields of several dtypes are a series each, at the times of their datetime64', async () => {
    const { series } = await readNpyRecording(bytesOfFile(arrays[2 * CASES.length]), { name: 'p' });
    expect(series.map(({ spec }) => [spec.name, spec.dtype, spec.channels.map(({ label }) => label)])).toEqual([
      ['p', 'float64', ['a']],
      ['p/n', 'int64', ['n']],
      ['p/ok', 'uint8', ['ok']],
    ]);
    expect((await rowsOf(series[1].batches())).times).toEqual([1_777_626_000_000_001_000n, 1_777_626_001_000_000_000n]);
    expect([...viewAs('int64', (await rowsOf(series[1].batches())).valueBytes)]).toEqual([7n, 2n ** 60n]);
  });

  test('an array that may lie the wrong way round is refused until its place is told', async () => {
    await expect(
      readNpyRecording(bytesOfFile(arrays[2 * CASES.length + 6]), { name: 'p', rate: 1 }),
    ).rejects.toMatchObject({
      errors: [{ field: 'orient' }],
    });
    const wide = arrays[2 * CASES.length + 2];
    const { series } = await readNpyRecording(bytesOfFile(wide), { name: 'p', rate: 1, orient: 'channels' });
    expect([...viewAs('int16', (await rowsOf(series[0].batches())).valueBytes)]).toEqual(
      Array.from({ length: 700 }, (_, i) => i),
    );
    expect(series[0].spec.channels).toHaveLength(7);
  });

  test('times alone are no samples, and a file that is cut off or goes on is refused', async () => {
    await expect(
      readNpyRecording(bytesOfFile(arrays[2 * CASES.length + 4]), { name: 'p', rate: 1 }),
    ).rejects.toMatchObject({ code: 'unprocessable' });
    for (const bytes of [arrays[0].subarray(0, -1), Buffer.concat([arrays[0], Buffer.from([1])])]) {
      await expect(readNpyRecording(bytesOfFile(bytes), { name: 'p', rate: 1 })).rejects.toMatchObject({
        errors: [{ field: 'body' }],
      });
    }
  });
});
