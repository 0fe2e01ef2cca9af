import { describe, expect, test } from '@jest/globals';
import { readBiopac } from '../../src/formats/recordings/biopac.ts';
import { biopacFile, type BiopacFile } from './biopac-bytes.ts';
import { filesOf, readRows, readThrough } from './recording-bytes.ts';

const CHANNELS: BiopacFile['channels'] = [
  { name: 'ECG', unit: 'mV', divider: 1, samples: [1, -2, 3, -4, 5, -32_768, 7, 8], scale: 0.25, offset: -1 },
  { name: 'Resp', unit: 'V', divider: 4, samples: [100, -200] },
  { name: 'Rate', unit: 'BPM', divider: 1, samples: [0.5, 1, 2, 3, 4, 5, 6, 7.25], isFloat: true },
  { name: 'GSR', unit: 'µS', divider: 1, samples: [-1, -2, -3, -4, -5, -6, -7, -8] },
];

function read(bytes: Uint8Array) {
  return readBiopac(filesOf({ 'r.acq': bytes }, 7), 'r.acq', { name: 'r' });
}

describe.each<BiopacFile['revision']>([38, 41, 84, 128])('BIOPAC files of revision %i', (revision) => {
  test('channels of several rates and kinds of numbers are series of their own', async () => {
    const { series } = await read(biopacFile({ revision, channels: CHANNELS }));
    expect(series.map(({ spec }) => [spec.dtype, spec.channels.map(({ label }) => label)])).toEqual([
      ['int16', ['ECG', 'GSR']],
      ['int16', ['Resp']],
      ['float64', ['Rate']],
    ]);
    expect(series[0].spec.sampling).toMatchObject({ rate: { num: 2000n, den: 1n } });
    expect(series[1].spec.sampling).toMatchObject({ rate: { num: 500n, den: 1n } });
    expect(series[0].spec.channels[0]).toMatchObject({ unit: 'mV', scale: 0.25, offset: -1 });
    expect(series[2].spec.channels[0].scale).toBeUndefined();
    const [both, slow, rate] = await readThrough({ series, notes: [] });
    expect(both.values).toEqual([1, -1, -2, -2, 3, -3, -4, -4, 5, -5, -32_768, -6, 7, -7, 8, -8]);
    expect(slow.values).toEqual([100, -200]);
    expect(rate.values).toEqual([0.5, 1, 2, 3, 4, 5, 6, 7.25]);
  });

  test('the other byte order, and markers', async () => {
    const markers = [
      [2, 'stimulus'],
      [6, 'Lidschlu\xdf'],
    ] as const;
    const bytes = biopacFile({ revision, channels: CHANNELS.slice(0, 1), isBigEndian: true, markers });
    const { series } = await read(bytes);
    expect((await readRows(series[0])).values).toEqual(CHANNELS[0].samples);
    expect(series[0].annotations.map(({ startNs, label, payload }) => [startNs, label, payload.sample])).toEqual([
      [1_000_000n, 'stimulus', 2],
      [3_000_000n, 'Lidschluß', 6],
    ]);
  });

  test('a file that was cut off is read to its last whole sample of all channels', async () => {
    const bytes = biopacFile({ revision, channels: [CHANNELS[0], CHANNELS[3]] });
    const markerBytes = revision === 128 ? 41 : revision === 84 ? 25 : 8;
    const { series, notes } = await read(bytes.subarray(0, bytes.length - markerBytes - 3));
    const { values } = await readRows(series[0]);
    expect(values).toEqual([1, -1, -2, -2, 3, -3, -4, -4, 5, -5, -32_768, -6, 7, -7]);
    expect(notes.join('\n')).toMatch(/was cut off: 29 of 32 bytes/);
  });
});

describe('BIOPAC files that are not read', () => {
  test('one that is compressed says so', async () => {
    await expect(read(biopacFile({ revision: 84, channels: CHANNELS, isCompressed: true }))).rejects.toMatchObject({
      code: 'unprocessable',
      message: expect.stringMatching(/is compressed/),
    });
  });

  test.each<[string, (bytes: Buffer) => unknown, RegExp]>([
    ['no revision', (b) => b.writeInt32LE(-1, 2), /does not begin as a BIOPAC file does \(byte 2\)/],
    ['30,000 channels', (b) => b.writeInt16LE(30_000, 10), /30000 channels \(byte 10\)/],
    ['NaN between samples', (b) => b.writeDoubleLE(NaN, 16), /NaN ms/],
    ['heads of channels beyond its end', (b) => b.writeInt32LE(2 ** 30, 6), /no heads of channels/],
    ['-1 samples', (b) => b.writeInt32LE(-1, 1200 + 88), /-1 samples \(byte 1288\)/],
  ])('one with %s is refused in a sentence', async (_, change, message) => {
    const bytes = biopacFile({ revision: 84, channels: CHANNELS });
    change(bytes);
    await expect(read(bytes)).rejects.toMatchObject({ name: 'VarveError', message: expect.stringMatching(message) });
  });
});
