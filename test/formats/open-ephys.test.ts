import { describe, expect, test } from '@jest/globals';
import { readOpenEphys } from '../../src/formats/recordings/open-ephys.ts';
import { openEphysFiles, type OpenEphysFile } from './open-ephys-bytes.ts';
import { filesOf, readRows } from './recording-bytes.ts';

const FILE: OpenEphysFile = {
  values: Int16Array.of(1, -1, 2, -2, 3, -3, 4, -4),
  numbers: [5000, 5001, 5010, 5011],
  lines: [
    [5001, 3],
    [5010, -3],
    [5011, 1],
  ],
  messages: [
    [5000, 'begin'],
    [5011, 'end of run'],
  ],
};

function read(files: Record<string, Uint8Array>) {
  return readOpenEphys(filesOf(files), 'structure.oebin', { name: 'r' });
}

describe.each([
  ['0.5', false, 0n],
  ['0.6', true, 1_777_627_810_500_000_000n],
])('Open Ephys binary as version %s writes it', (_, isNew, start) => {
  const files = openEphysFiles({ ...FILE, isNew });

  test('samples with bit_volts, and a gap where sample numbers leap', async () => {
    const { series, sources } = await read(files);
    expect(series[0].spec).toMatchObject({
      name: 'r',
      dtype: 'int16',
      timeReference: isNew ? 'utc' : 'relative',
      sampling: { rate: { num: 1000n, den: 1n }, startNs: start },
      channels: [
        { label: 'CH1', unit: 'uV', scale: 0.195 },
        { label: 'ADC1', unit: 'V', scale: 0.00015258 },
      ],
      provenance: { first_sample_number: '5000' },
    });
    const { values, segments } = await readRows(series[0]);
    expect([values, segments]).toEqual([[...FILE.values], [[2, start + 10_000_000n]]]);
    expect(sources).toContain('continuous/Rhythm_FPGA-100.0/continuous.dat');
  });

  test('digital lines are intervals, messages are points', async () => {
    const { series } = await read(files);
    const told = series[0].annotations.map(({ label, startNs, endNs }) => [label, startNs - start, endNs - start]);
    expect(told).toEqual([
      ['TTL 3', 1_000_000n, 10_000_000n],
      ['TTL 1', 11_000_000n, 11_000_000n],
      ['begin', 0n, 0n],
      ['end of run', 11_000_000n, 11_000_000n],
    ]);
  });

  test('samples that were cut off are read to the last whole one', async () => {
    const name = 'continuous/Rhythm_FPGA-100.0/continuous.dat';
    const { series, notes } = await read({ ...files, [name]: files[name].subarray(0, 13) });
    expect((await readRows(series[0])).values).toEqual([1, -1, 2, -2, 3, -3]);
    expect(notes.join('\n')).toMatch(/was cut off: 3 of 4 samples are there/);
  });
});

describe('what Open Ephys does not write', () => {
  test.each<[string, (structure: { continuous: Record<string, unknown>[] }) => unknown, RegExp]>([
    ['no JSON', () => '{', /is no JSON/],
    ['a list', () => [], /no continuous stream/],
    ['a rate of NaN', (s) => ({ ...s, continuous: [{ ...s.continuous[0], sample_rate: 'NaN' }] }), /sample_rate NaN/],
    ['no channels', (s) => ({ ...s, continuous: [{ ...s.continuous[0], channels: null }] }), /0 channels/],
    ['a folder above', (s) => ({ ...s, continuous: [{ ...s.continuous[0], folder_name: '../x' }] }), /needs the file/],
    ['streams that are none', (s) => ({ ...s, continuous: [1] }), /no usable list "continuous"/],
  ])('%s is refused in a sentence', async (_, change, message) => {
    const files = openEphysFiles(FILE);
    const structure = JSON.parse(Buffer.from(files['structure.oebin']).toString()) as {
      continuous: Record<string, unknown>[];
    };
    const changed = change(structure);
    const bytes = Buffer.from(typeof changed === 'string' ? changed : JSON.stringify(changed));
    await expect(read({ ...files, 'structure.oebin': bytes })).rejects.toMatchObject({
      name: 'VarveError',
      message: expect.stringMatching(message),
    });
  });
});
