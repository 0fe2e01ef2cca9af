import { describe, expect, test } from '@jest/globals';
import { parseTime } from '../../src/core/time.ts';
import { readSpikeGlx } from '../../src/formats/recordings/spikeglx.ts';
import { filesOf, readRows } from './recording-bytes.ts';
import { niFiles, probeFiles } from './spikeglx-bytes.ts';

const VALUES = Int16Array.of(1, -2, 64, 3, -4, 64, 511, -512, -32_768);
const PROBE = 'run_g0_t0.imec0.ap.meta';

function read(files: Record<string, Uint8Array>, name = PROBE) {
  return readSpikeGlx(filesOf(files), name, { name: 'r' });
}

describe('SpikeGLX recordings', () => {
  test('a probe: rate, gain of each channel, and the word of the synchronisation as bits', async () => {
    const { series, notes, sources } = await read(probeFiles(VALUES));
    const { spec, rows } = series[0];
    expect(spec.sampling).toMatchObject({
      rate: { num: 15_000_054_179n, den: 500_000n },
      startNs: parseTime('2026-05-01T09:30:10Z'),
    });
    expect(spec.channels).toMatchObject([
      { label: 'AP0', unit: 'V', scale: 0.6 / 512 / 500 },
      { label: 'AP1', unit: 'V', scale: 0.6 / 512 / 250 },
      { label: 'SY0', info: { kind: 'SY', input: 768 } },
    ]);
    expect(spec.channels[2].scale).toBeUndefined();
    expect(spec.provenance.meta).toMatchObject({ imSampRate: '30000.108358', typeThis: 'imec' });
    expect([rows, (await readRows(series[0])).values]).toEqual([3, [...VALUES]]);
    expect(notes.join('\n')).toMatch(/stay raw: SY0/);
    expect(sources).toEqual([PROBE, 'run_g0_t0.imec0.ap.bin']);
  });

  test.each([
    ['24', '8192', 80],
    ['2013', '2048', 100],
  ])('a probe of type %s has one gain', async (type, steps, gain) => {
    const change = { imDatPrb_type: type, imMaxInt: steps, ...(gain === 100 && { imChan0apGain: '100' }) };
    const { series } = await read(probeFiles(VALUES, change));
    expect(series[0].spec.channels[1].scale).toBeCloseTo(0.6 / Number(steps) / gain, 15);
  });

  test('NI inputs: multiplexed, analog, and digital words', async () => {
    const { series } = await read(niFiles(VALUES), 'run_g0_t0.nidq.meta');
    expect(series[0].spec.channels).toMatchObject([
      { label: 'MN0C0', scale: 5 / 32_768 / 200 },
      { label: 'XA0', scale: 5 / 32_768 },
      { label: 'XD0', info: { kind: 'XD' } },
    ]);
  });

  test.each([
    [12, { fileSizeBytes: '18' }, 2, /has 12 of 18 bytes: it was cut off/],
    [13, { fileSizeBytes: '18' }, 2, /1 bytes after the last whole sample/],
    [18, { fileSizeBytes: '12' }, 3, /promise 12 bytes, .* has 18; all of them were read/],
  ])(
    '%i bytes, whatever the metadata promise, are read to the last whole sample',
    async (bytes, change, rows, note) => {
      const files = probeFiles(VALUES, change);
      const name = 'run_g0_t0.imec0.ap.bin';
      const { series, notes } = await read({ ...files, [name]: files[name].subarray(0, bytes) });
      expect((await readRows(series[0])).rows).toBe(rows);
      expect(notes.join('\n')).toMatch(note);
    },
  );

  test.each([
    [{ nSavedChans: '1000000000' }, /nSavedChans=1000000000/],
    [{ nSavedChans: '-3' }, /nSavedChans=-3/],
    [{ imSampRate: 'NaN' }, /sampling rate "NaN"/],
    [{ acqApLfSy: '1e9,0,0' }, /no usable acqApLfSy/],
    [{ typeThis: 'mystery' }, /typeThis=mystery/],
    [{ snsSaveChanSubset: '0:999999' }, /over 65536 channels/],
  ])('%j is refused in a sentence', async (change, message) => {
    await expect(read(probeFiles(VALUES, change as Record<string, string>))).rejects.toMatchObject({
      name: 'VarveError',
      message: expect.stringMatching(message),
    });
  });

  test('metadata without samples say which file they need', async () => {
    const { [PROBE]: meta } = probeFiles(VALUES);
    await expect(read({ [PROBE]: meta })).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringMatching(/ap\.bin/),
    });
  });
});
