import { describe, expect, test } from '@jest/globals';
import { viewAs } from '../../src/core/numbers/dtype.ts';
import { encodeNpy } from '../../src/formats/samples/npy.ts';
import { readNpyRecording } from '../../src/formats/recordings/npy-recording.ts';
import { bytesFrom, outBatches, outShapeOf, rowsOf, shapeOf, streamOf } from './streams.ts';

const VALUES = new Int16Array([1, 2, 3, 4, 5, 6]);
const TIMES = new BigInt64Array([10n, 20n, 30n]);

async function file(kind: 'regular' | 'irregular'): Promise<() => AsyncIterable<Uint8Array>> {
  const bytes = await bytesFrom(encodeNpy(outBatches(VALUES, TIMES, 3), outShapeOf(shapeOf('int16', 2, kind), 3)));
  return () => streamOf(bytes, 10);
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
