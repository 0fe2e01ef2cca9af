import { describe, expect, test } from '@jest/globals';
import { calibrationOf } from '../../src/core/signal/calibration.ts';
import { parseTime } from '../../src/core/time.ts';
import { readBrainVision } from '../../src/formats/recordings/brainvision.ts';
import { brainVisionFiles, type BrainVisionFile } from './brainvision-bytes.ts';
import { filesOf, readRows } from './recording-bytes.ts';

const BASE: BrainVisionFile = {
  values: Int16Array.of(1, -2, 3, -4, 5, -32_768),
  format: 'INT_16',
  channels: ['Fp1,A1,0.5,µV', 'a\\1b,,0.1,mV'],
};
const START = parseTime('2026-05-01T09:30:10.123456Z')!;

function read(file: BrainVisionFile, change: (files: Record<string, Uint8Array>) => void = () => {}) {
  const files = brainVisionFiles(file);
  change(files);
  return readBrainVision(filesOf(files), 'r.vhdr', { name: 'r' });
}

describe('BrainVision recordings', () => {
  test('int16 with a resolution a channel, labels with commas, references and units', async () => {
    const { series, sources } = await read(BASE);
    expect(series[0].spec).toMatchObject({
      dtype: 'int16',
      sampling: { rate: { num: 500n, den: 1n } },
      channels: [
        { label: 'Fp1', unit: 'µV', scale: 0.5, reference: 'A1' },
        { label: 'a,b', unit: 'mV', scale: 0.1 },
      ],
    });
    expect((await readRows(series[0])).values).toEqual([1, -2, 3, -4, 5, -32_768]);
    expect(sources).toEqual(['r.vhdr', 'r.eeg', 'r.vmrk']);
  });

  test('uint16 is not taken for int16', async () => {
    const { series } = await read({ ...BASE, values: Uint16Array.of(1, 65_535, 3, 32_768), format: 'UINT_16' });
    expect(series[0].spec.dtype).toBe('uint16');
    expect((await readRows(series[0])).values).toEqual([1, 65_535, 3, 32_768]);
  });

  test('channels one after the other become rows', async () => {
    const values = Float32Array.of(0.5, 1.5, 2.5, -1, -2, -3);
    const { series } = await read({ ...BASE, values, format: 'IEEE_FLOAT_32', orientation: 'VECTORIZED' });
    expect((await readRows(series[0])).values).toEqual([0.5, -1, 1.5, -2, 2.5, -3]);
    expect(calibrationOf(series[0].spec, series[0].spec.channels[0])).toMatchObject({ slope: 0.5 });
  });

  test('new segments with a date are gaps; markers lie after them, with type, length and channel', async () => {
    const markers = [
      'New Segment,,1,1,0,20260501093010123456',
      'Stimulus,S  1,2,1,0',
      'New Segment,,3,1,0,20260501093110123456',
      'Response,R\\11,3,2,2',
      'Comment,,x,1,0',
    ];
    const { series, notes } = await read({ ...BASE, markers });
    expect(series[0].spec.sampling).toMatchObject({ startNs: START });
    expect((await readRows(series[0])).segments).toEqual([[2, START + 60_000_000_000n]]);
    const told = series[0].annotations.map(({ label, startNs, endNs, payload, channels }) => {
      return [label, startNs - START, endNs - startNs, payload.type, channels];
    });
    expect(told).toEqual([
      ['New Segment', 0n, 0n, 'New Segment', undefined],
      ['S  1', 2_000_000n, 0n, 'Stimulus', undefined],
      ['New Segment', 60_000_000_000n, 0n, 'New Segment', undefined],
      ['R,1', 60_000_000_000n, 4_000_000n, 'Response', ['a,b']],
    ]);
    expect(notes).toContainEqual('1 markers could not be read and were left out');
  });

  test('samples that were cut off are read to the last whole one; of vectors, the whole channels', async () => {
    const extra = 'DataPoints=3\n';
    const cut = (files: Record<string, Uint8Array>): void => void (files['r.eeg'] = files['r.eeg'].subarray(0, 9));
    const { series, notes } = await read({ ...BASE, extra }, cut);
    expect((await readRows(series[0])).values).toEqual([1, -2, 3, -4]);
    expect(notes.join('\n')).toMatch(/2 of 3 samples are there, and the last 0\.002 s are lost/);
    const vectors = await read({ ...BASE, extra, orientation: 'VECTORIZED' }, cut);
    expect((await readRows(vectors.series[0])).values).toEqual([1, -2, 3]);
    expect(vectors.notes.join('\n')).toMatch(/channels that are not whole are lost: a,b/);
  });

  test('files that were renamed together are found', async () => {
    const files = brainVisionFiles(BASE);
    const header = Buffer.from(Buffer.from(files['r.vhdr']).toString().replace('DataFile=r.eeg', 'DataFile=$$b.eeg'));
    const renamed = { 'new.vhdr': header, 'new.eeg': files['r.eeg'], 'new.vmrk': files['r.vmrk'] };
    const { sources, notes } = await readBrainVision(filesOf(renamed), 'new.vhdr', { name: 'new' });
    expect(sources).toEqual(['new.vhdr', 'new.eeg', 'new.vmrk']);
    expect(notes.join('\n')).toMatch(/names r\.vmrk, which is not there; new\.vmrk was read/);
  });

  test('a header in Latin-1 has its micro sign', async () => {
    const { series } = await read(BASE, (files) => {
      files['r.vhdr'] = Buffer.from(Buffer.from(files['r.vhdr']).toString(), 'latin1');
    });
    expect(series[0].spec.channels[0].unit).toBe('µV');
  });

  test.each([
    ['NumberOfChannels=2', 'NumberOfChannels=1000000000', /NumberOfChannels=1000000000/],
    ['NumberOfChannels=2', 'NumberOfChannels=-1', /NumberOfChannels=-1/],
    ['SamplingInterval=2000', 'SamplingInterval=NaN', /SamplingInterval "NaN"/],
    ['DataFormat=BINARY', 'DataFormat=ASCII', /samples as text/],
    ['BinaryFormat=INT_16', 'BinaryFormat=INT_12', /BinaryFormat INT_12/],
    ['DataFile=r.eeg', 'DataFile=other.dat', /needs the file other\.dat/],
    ['Brain Vision', 'Train Vision', /line 1/],
  ])('%s as %s is refused in a sentence', async (key, wrong, message) => {
    const reading = read(BASE, (files) => {
      files['r.vhdr'] = Buffer.from(Buffer.from(files['r.vhdr']).toString().replace(key, wrong));
    });
    await expect(reading).rejects.toMatchObject({ name: 'VarveError', message: expect.stringMatching(message) });
  });
});
