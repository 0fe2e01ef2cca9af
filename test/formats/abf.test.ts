import { describe, expect, test } from '@jest/globals';
import { parseTime } from '../../src/core/time.ts';
import { readAbf } from '../../src/formats/recordings/abf.ts';
import { abfFile, type AbfFile } from './abf-bytes.ts';
import { filesOf, readRows } from './recording-bytes.ts';

const START = parseTime('2026-05-01T09:30:00.25Z')!;
const TWO = [
  { name: 'Im', unit: 'pA', scaleFactor: 0.0005, gain: 2, instrumentOffset: 1.5, signalOffset: 0.25 },
  { name: 'Vm', unit: 'mV', scaleFactor: -0.01 },
];
const RAMP = Array.from({ length: 24 }, (_, i) => (i % 2 === 0 ? i : -32_768 + i));

function read(file: AbfFile | Uint8Array) {
  const bytes = file instanceof Uint8Array ? file : abfFile(file);
  return readAbf(filesOf({ 'r.abf': bytes }), 'r.abf', { name: 'r' });
}

describe.each([1, 2] as const)('ABF%i', (version) => {
  test('raw numbers, with sign, scale and offset of each input', async () => {
    const { series } = await read({ version, samples: RAMP, channels: TWO });
    const [{ spec, rows }] = series;
    expect(spec).toMatchObject({
      dtype: 'int16',
      unit: null,
      sampling: { rate: { num: 10_000n, den: 1n }, startNs: START },
      channels: [
        { label: 'Im', unit: 'pA', offset: 1.25 },
        { label: 'Vm', unit: 'mV', offset: 0 },
      ],
    });
    expect(spec.channels[0].scale).toBeCloseTo(10 / 0.0005 / 2 / 32_768, 6);
    expect(spec.channels[1].scale).toBeLessThan(0);
    expect(rows).toBe(12);
    expect((await readRows(series[0])).values).toEqual(RAMP);
  });

  test('float32 is physical already', async () => {
    const { series } = await read({ version, samples: [0.5, -1, 2, 3.25], channels: TWO, isFloat: true });
    expect(series[0].spec.dtype).toBe('float32');
    expect(series[0].spec.channels.map(({ scale, unit }) => [scale, unit])).toEqual([
      [undefined, 'pA'],
      [undefined, 'mV'],
    ]);
    expect((await readRows(series[0])).values).toEqual([0.5, -1, 2, 3.25]);
  });

  test('there is a gap between sweeps that are apart, and none between those that are not', async () => {
    const sweeps = [
      [0, 8],
      [400, 8],
      [2000, 8],
    ] as const;
    const { series, notes } = await read({ version, samples: RAMP, channels: TWO, mode: 5, synchUnit: 1, sweeps });
    expect((await readRows(series[0])).segments).toEqual([[8, START + 2_000_000n]]);
    expect(notes).toContainEqual('sweeps after a gap: 1');
    expect(series[0].annotations.map(({ label, startNs, endNs }) => [label, startNs - START, endNs - startNs])).toEqual(
      [
        ['sweep 1', 0n, 400_000n],
        ['sweep 2', 400_000n, 400_000n],
        ['sweep 3', 2_000_000n, 400_000n],
      ],
    );
  });

  test('without a unit, sweeps and tags count the numbers of all channels', async () => {
    const file: AbfFile = {
      version,
      samples: RAMP,
      channels: TWO,
      mode: 2,
      sweeps: [
        [0, 12],
        [40, 12],
      ],
      tags: [
        [10, 'drug on', 1],
        [20, '', 2],
      ],
    };
    const { series } = await read(file);
    expect((await readRows(series[0])).segments).toEqual([[6, START + 2_000_000n]]);
    const tags = series[0].annotations.filter(({ label }) => !label.startsWith('sweep'));
    expect(tags.map(({ label, startNs, payload }) => [label, startNs - START, payload.tag])).toEqual([
      ['drug on', 500_000n, 'comment'],
      ['external tag', 1_000_000n, 'external'],
    ]);
  });

  test('an interval of 33.3 µs is that, not the float32 next to it', async () => {
    const { series } = await read({ version, samples: RAMP, channels: [TWO[0]], intervalUs: 33.3 });
    expect(series[0].spec.sampling).toMatchObject({ rate: { num: 10_000_000n, den: 333n } });
  });

  test('a file that was cut off is read to its last whole sample', async () => {
    const bytes = abfFile({ version, samples: RAMP, channels: TWO });
    const { series, notes } = await read(bytes.subarray(0, bytes.length - 5));
    expect((await readRows(series[0])).values).toEqual(RAMP.slice(0, 20));
    expect(notes.join('\n')).toMatch(/10 of 12 samples are there, and the last 0\.0002 s are lost/);
  });

  test('a file that never was closed is read to its end', async () => {
    const { series, notes } = await read({ version, samples: RAMP, channels: TWO, points: 0 });
    expect((await readRows(series[0])).values).toEqual(RAMP);
    expect(notes.join('\n')).toMatch(/does not say how many samples/);
  });

  test.each<[string, number, (bytes: Buffer) => void, RegExp]>([
    [
      '10^9 samples in a sweep section',
      0,
      (b) => b.writeInt32LE(1_000_000_000, version === 1 ? 96 : 324),
      /section of/,
    ],
    ['-5 channels', 0, (b) => (version === 1 ? b.writeInt16LE(-5, 120) : b.writeBigInt64LE(-5n, 100)), /-5 channels/],
    ['an interval of NaN', 0, (b) => b.writeFloatLE(NaN, version === 1 ? 122 : 514), /NaN/],
    ['samples outside the file', 0, (b) => b.writeUInt32LE(9999, version === 1 ? 40 : 236), /samples at byte 5119488/],
    ['half a header', 200, () => {}, /ends before byte/],
  ])('%s is refused in a sentence', async (_, length, change, message) => {
    const bytes = abfFile({ version, samples: RAMP, channels: TWO });
    change(bytes);
    await expect(read(length > 0 ? bytes.subarray(0, length) : bytes)).rejects.toMatchObject({
      name: 'VarveError',
      message: expect.stringMatching(message),
    });
  });
});
