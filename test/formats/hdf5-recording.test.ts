import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { isVarveError } from '../../src/core/errors.ts';
import { calibrationOf, toPhysical } from '../../src/core/signal/calibration.ts';
import { formatRate } from '../../src/core/signal/rate.ts';
import type { RecordedSeries, Recording } from '../../src/core/signal/recording.ts';
import { formatTime } from '../../src/core/time.ts';
import { openRecording } from '../../src/flows/import/open-recording.ts';
import type { RecordingOptions } from '../../src/flows/import/source-files.ts';
import { describePython } from '../support/python.ts';
import { modelRuns } from '../support/model-runs.ts';
import { describeRecordings, expectedOf, sharedDataPath } from '../support/shared-data.ts';
import { HDF5_SCRIPT } from './hdf5-script.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'varve-hdf5-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

interface Read {
  readonly recording: Recording;
  /** By what a name has after that of the recording. */
  readonly series: ReadonlyMap<string, ReadSeries>;
}

interface ReadSeries extends RecordedSeries {
  readonly values: readonly (number | bigint)[];
  readonly times: readonly bigint[];
  /** Rows and times at which a segment begins. */
  readonly gaps: readonly [number, bigint][];
}

async function read(path: string, options: RecordingOptions = {}): Promise<Read> {
  const { recording, close } = await openRecording(path, { ...options, name: 'r' }, () => {});
  try {
    const series = new Map<string, ReadSeries>();
    for (const recorded of recording.series) {
      const values: (number | bigint)[] = [];
      const times: bigint[] = [];
      const gaps: [number, bigint][] = [];
      let rows = 0;
      for await (const batch of recorded.batches()) {
        for (const value of batch.values) values.push(value);
        if (batch.times) times.push(...batch.times);
        if (batch.startNs !== undefined) gaps.push([rows, batch.startNs]);
        rows += batch.rows;
      }
      expect(rows).toBe(recorded.rows);
      series.set(recorded.spec.name.replace(/^r\/?/, ''), { ...recorded, values, times, gaps });
    }
    return { recording, series };
  } finally {
    await close();
  }
}

function clockOf({ spec: { sampling } }: RecordedSeries): string {
  return sampling.kind === 'irregular'
    ? 'irregular'
    : `${formatRate(sampling.rate)} from ${formatTime(sampling.startNs!)}`;
}

const ONE_SENTENCE = 600;

async function refusal(path: string, options: RecordingOptions = {}): Promise<string> {
  const error = await read(path, options).then(
    () => new Error('it was read'),
    (thrown: unknown) => thrown,
  );
  expect([error, isVarveError(error)]).toEqual([error, true]);
  const { message } = error as Error;
  expect(message).not.toMatch(/\n|#\d\d\d/);
  expect(message.length).toBeLessThan(ONE_SENTENCE);
  return message;
}

describePython('HDF5 files', ['h5py', 'pandas', 'tables', 'netCDF4'], (python) => {
  let held: { nwb: number[][]; mcs: number[][]; ancient: number[] };
  beforeAll(() => {
    held = JSON.parse(python(HDF5_SCRIPT, folder).toString()) as typeof held;
  });
  const at = (name: string): string => join(folder, name);

  test('NWB: raw values with their conversion, electrodes as channels, the rate that was meant', async () => {
    const { recording, series } = await read(at('probe.nwb'));
    const probe = series.get('acquisition/probe')!;
    expect(probe.values).toEqual(held.nwb.flat());
    expect(clockOf(probe)).toBe('50000/1 from 2026-05-01T07:00:02Z');
    expect(recording.notes.join('\n')).toContain('49999.99999999999 Hz was taken as 50000 Hz');
    const { spec } = probe;
    expect(spec).toMatchObject({
      dtype: 'int16',
      unit: 'V',
      continuity: 'continuous',
      tags: { species: 'Mus musculus' },
    });
    expect(spec.channels).toMatchObject([
      { label: 'electrode_12', location: 'CA3', group: 'shank 1', impedance_ohm: 2e6, scale: 1.5 },
      { label: 'electrode_10', location: 'V1', impedance_ohm: 1e6, scale: 2 },
    ]);
    const maps = spec.channels.map((channel) => calibrationOf(spec, channel));
    const physical = toPhysical({ dtype: 'int16', missingValue: null }, Int16Array.from(held.nwb[0]), maps);
    expect([...physical]).toEqual([held.nwb[0][0] * (1e-6 * 1.5) + 0.25, held.nwb[0][1] * (1e-6 * 2) + 0.25]);
  });

  test('NWB: timestamps are kept, also behind a link; intervals and notes become annotations', async () => {
    const { series } = await read(at('probe.nwb'));
    const begin = 1_777_618_800_500_000_000n;
    for (const name of ['pupil', 'speed']) {
      const { times } = series.get(`processing/behavior/${name}`)!;
      expect(times.map((ns) => ns - begin)).toEqual([0n, 100_000_000n, 500_000_000n, 600_000_000n]);
    }
    const marks = series.get('acquisition/probe')!.annotations;
    expect(marks.map(({ startNs, endNs, label, payload }) => [startNs - begin, endNs - begin, label, payload])).toEqual(
      [
        [500_000_000n, 1_500_000_000n, 'trials', { id: 0, side: 'left', tags: ['a'] }],
        [2_000_000_000n, 3_000_000_000n, 'trials', { id: 1, side: 'right', tags: ['b', 'c'] }],
        [250_000_000n, 250_000_000n, 'laser on', { series: '/acquisition/notes' }],
      ],
    );
  });

  test('SNIRF: a time of two values is start and step; measurement lists name the channels; stimuli are in seconds', async () => {
    const { series } = await read(at('two.snirf'));
    const [data] = [...series.values()];
    expect(clockOf(data)).toBe('10/1 from 2026-05-01T09:00:00.5Z');
    expect(data.spec.channels.map(({ label, unit, info }) => [label, unit, info?.wavelength_nm])).toEqual([
      ['S1_D1 690', undefined, 690],
      ['S1_D2 830', undefined, 830],
      ['S1_D2 HbO', 'uM', undefined],
    ]);
    expect(data.annotations).toMatchObject([
      { startNs: 1_777_626_000_500_000_000n, endNs: 1_777_626_001_750_000_000n, label: 'tap', payload: { value: 2 } },
    ]);
    expect(data.spec.provenance).toMatchObject({
      format: 'SNIRF',
      probe: {
        detectorPos3D: [
          [1, 1, 1],
          [1, 1, 1],
        ],
      },
    });
  });

  test('SNIRF: times count in its TimeUnit, stimuli do not, and uneven ones are kept', async () => {
    const { series } = await read(at('ms.snirf'));
    const [data] = [...series.values()];
    expect(data.spec.timeReference).toBe('relative');
    expect(data.times).toEqual([100, 200, 300, 400, 550].map((ms) => BigInt(ms) * 1_000_000n));
    expect(data.annotations).toMatchObject([{ startNs: 500_000_000n }]);
    expect(await refusal(at('bad.snirf'))).toContain('fortnight');
    const [local] = [...(await read(at('local.snirf'), { tz: 'Europe/Berlin' })).series.values()];
    expect(clockOf(local)).toBe('10/1 from 2026-05-01T07:00:00.5Z');
    expect(await refusal(at('rated.h5'), { tz: 'Europe/Berlin' })).toContain('--tz');
  });

  test('MCS: channels by rows with ADZero, factor and exponent; a pause is a gap; events are annotations', async () => {
    const stream = (await read(at('mcs.h5'))).series.get('Recording_0/Stream_0')!;
    expect(stream.values).toEqual(held.mcs.flat());
    expect(clockOf(stream)).toBe('20000/1 from 2026-05-01T09:00:00.0005Z');
    expect(stream.spec.unit).toBe('V');
    expect(stream.spec.channels).toMatchObject([
      { label: 'E1', scale: 5.9605e-8, offset: -100 * 5.9605e-8 },
      { label: 'E2', scale: 5.9605e-8, filtering: 'HP:0.1' },
    ]);
    expect(stream.annotations.map(({ endNs, startNs }) => endNs - startNs)).toEqual([200_000n, 0n]);
    const paused = (await read(at('paused.h5'))).series.get('Recording_0/Stream_0')!;
    expect(paused.gaps).toEqual([[300, 1_777_626_000_060_000_000n]]);
  });

  test('NetCDF: values over time stay packed, with their calibration, missing value and coordinates', async () => {
    const { series } = await read(at('hours.nc'));
    const temp = series.get('temp')!;
    expect(clockOf(temp)).toBe('1/3600 from 1899-12-31T23:00:00Z');
    expect(temp.values).toEqual([0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]);
    expect(temp.spec).toMatchObject({ dtype: 'int16', unit: 'degC', scale: 0.01, offset: 20, missingValue: -999 });
    expect(temp.spec.channels.map(({ label }) => label)).toEqual(['depth=1', 'depth=5', 'depth=10']);
    expect(series.get('flags')).toMatchObject({ spec: { dtype: 'uint8' }, values: [126, 127, 128, 129] });
  });

  test('NetCDF: time that steps back is kept, and said; the calendar of old dates is that of CF', async () => {
    const { recording, series } = await read(at('back.nc'));
    const days = (...all: bigint[]): bigint[] =>
      all.map((day) => 1_777_593_600_000_000_000n + day * 86_400_000_000_000n);
    expect(series.get('temp')!.times).toEqual(days(0n, 2n, 1n, 3n));
    expect(recording.notes.join('\n')).toContain('steps back 1 times');
    const [ancient] = [...(await read(at('ancient.nc'))).series.values()];
    expect(ancient.times).toEqual(held.ancient.map(BigInt));
    expect(await refusal(at('y360.nc'))).toContain('360_day');
    expect(await refusal(at('months.nc'))).toContain('no fixed length');
    expect(await refusal(at('old.nc'))).toContain('outside the years 1678 to 2261');
  });

  test('MATLAB 7.3: columns are channels, beside their times or a rate; texts are none', async () => {
    const lab = await read(at('lab.mat'));
    expect([...lab.series.keys()]).toEqual(['']);
    const emg = lab.series.get('')!;
    expect([clockOf(emg), emg.values]).toEqual([
      '4/1 from 1970-01-01T00:00:00Z',
      Array.from({ length: 12 }, (_, i) => i),
    ]);
    const { series } = await read(at('fs.mat'));
    expect(series.get('')).toMatchObject({ values: [0, 1, 2, 3, 4, 5, 6, 7], spec: { dtype: 'int16' } });
    expect(clockOf(series.get('')!)).toBe('2000/1 from 1970-01-01T00:00:00Z');
  });

  test('a dataset with a rate is a series as it is, uint16 as uint16; what is shorter is left out', async () => {
    const { series } = await read(at('rated.h5'));
    const counts = series.get('raw/counts')!;
    expect(counts.values).toEqual(Array.from({ length: 40 }, (_, i) => 65_000 + i));
    expect(clockOf(counts)).toBe('250/1 from 2026-05-01T09:00:00Z');
    expect(counts.spec).toMatchObject({ dtype: 'uint16', unit: 'mV' });
    expect(counts.spec.channels.map(({ label }) => label)).toEqual(['a', 'b', 'a (2)', 'd']);
    const rig = await read(at('group_rate.h5'));
    expect([...rig.series.keys()]).toEqual(['rig/a', 'rig/b']);
    expect(rig.series.get('rig/b')!.values[1]).toBe(2n ** 53n + 1n);
    expect(rig.recording.notes.join('\n')).toContain('/rig/gain');
    expect(clockOf((await read(at('scalar_rate.h5'))).series.get('')!)).toBe('500/1 from 1970-01-01T00:00:00Z');
  });

  test('a vector of times says how a matrix lies; halves, flags and big-endian values keep theirs; a loop ends', async () => {
    const { series } = await read(at('turned.h5'));
    expect([...series.keys()].sort()).toEqual(['again', 'flag', 'half']);
    const eeg = series.get('again')!;
    expect(eeg.values).toEqual(Array.from({ length: 24 }, (_, i) => (i % 2) * 12 + Math.floor(i / 2)));
    expect(clockOf(eeg)).toBe('8/1 from 1970-01-01T00:00:00Z');
    expect(series.get('half')).toMatchObject({ values: [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.25, 2.5, 2.75] });
    expect(series.get('flag')!.values.slice(0, 3)).toEqual([1, 0, 1]);
  });

  test('times are found by what points to them, and count what the rate beside them says', async () => {
    const { series } = await read(at('pointed.h5'));
    const seconds = (name: string): number[] => series.get(name)!.times.map((ns) => Number(ns) / 1e9);
    expect([seconds('x'), seconds('y'), seconds('z')]).toEqual([
      [0, 1, 5],
      [0, 2, 3],
      [0, 4, 5],
    ]);
    expect(clockOf((await read(at('eeglab.h5'))).series.get('EEG/data')!)).toBe('250/1 from 1970-01-01T00:00:00Z');
  });

  test('times since 1970 are known as such; rows without a time are left out, and said', async () => {
    const { recording, series } = await read(at('uneven.h5'));
    const { values, times, spec } = series.get('')!;
    expect([spec.timeReference, values]).toEqual(['utc', [0, 1, 2, 4]]);
    expect(times.map((ns) => ns - 1_600_000_000_000_000_000n)).toEqual([
      0n,
      2_000_000_000n,
      1_000_000_000n,
      7_500_000_000n,
    ]);
    expect(recording.notes.join('\n')).toContain('1 rows have no time');
  });

  test('records: columns of numbers become channels, also where bytes lie both ways', async () => {
    const { series } = await read(at('records.h5'));
    const log = series.get('')!;
    expect(log.spec.channels.map(({ label }) => label)).toEqual(['v', 'n', 'xy_1', 'xy_2']);
    expect(log.values).toEqual([1.5, 7, 1, 2, 2.5, 8, 3, 4, 3.5, 9, 5, 6]);
    expect(log.times).toEqual([2_000_000_000n, 4_000_000_000n, 9_000_000_000n]);
    const [table] = [...(await read(at('tables.h5'))).series.values()];
    expect(table.values).toEqual([0, 65_535, 0.5, 65_534, 1, 65_533, 1.5, 65_532]);
    expect(table.times.map((ns) => ns - 1_600_000_000_000_000_000n)).toEqual([
      0n,
      1_250_000_000n,
      2_000_000_000n,
      9_000_000_000n,
    ]);
  });

  test('pandas: both formats give each column and each time', async () => {
    const { recording, series } = await read(at('frames.h5'));
    const begin = 1_777_626_000_000_000_000n;
    for (const name of ['fixed', 'day/table']) {
      const floats = series.get(`${name}/float64`)!;
      expect(floats.spec.channels.map(({ label }) => label)).toEqual(['a', 'b']);
      expect(floats.values).toEqual([1.5, 4, NaN, 5, 3, 6]);
      expect(floats.times).toEqual([begin + 1n, begin + 1_000_000_000n, begin + 5_000_000_000n]);
      expect(series.get(`${name}/int64`)!.values).toEqual([2n ** 53n + 1n, 2n, 3n]);
    }
    expect(series.get('one')!.spec.channels).toEqual([{ label: 'b' }]);
    expect(series.get('zoned')!.times[1]).toBe(begin - 7_199_000_000_000n);
    expect(recording.notes.join('\n')).toMatch(/left out: \/counted.*--rate/);
    const counted = (await read(at('frames.h5'), { epoch: 's' })).series.get('counted')!;
    expect([clockOf(counted), counted.values]).toEqual(['1/1 from 1970-01-01T00:00:00Z', [4, 5, 6]]);
  });

  test.each<[string, RegExp, RecordingOptions, string]>([
    ['two_clocks.h5', /--time-column: \/x .*\/t, \/time/, { timeColumn: 't' }, '1/2 from 1970-01-01T00:00:00Z'],
    ['whole_time.h5', /--epoch: \/time does not say what/, { epoch: 'ms' }, '1000/7 from 1970-01-01T00:00:00Z'],
    ['wide.h5', /--orient: \/x has 5 rows and 100 columns/, { orient: 'channels' }, '10/1 from 1970-01-01T00:00:00Z'],
    ['nothing.h5', /--rate: no times and no rate/, { rate: '5', start: '2026-05-01' }, '5/1 from 2026-05-01T00:00:00Z'],
    [
      'nan_rate.h5',
      /--rate: no times and no rate/,
      { rate: '30000/1001', dataset: ['x'] },
      '30000/1001 from 1970-01-01T00:00:00Z',
    ],
  ])('%s is refused with the option that helps, and taken with it', async (name, message, options, clock) => {
    expect(await refusal(at(name))).toMatch(message);
    const { series } = await read(at(name), options);
    expect(clockOf((series.get('') ?? series.get('x'))!)).toBe(clock);
  });

  test.each([
    ['old.mat', 'a MATLAB file of version 5'],
    ['three.nc', 'a NetCDF-3 file'],
    ['empty.h5', '0 bytes'],
    ['text.nwb', 'a text'],
    ['cut.nwb', 'is cut off'],
    ['endless.h5', 'columns'],
    ['names.h5', 'and 2995 more'],
    ['late.h5', 'row 2 has the time'],
    ['long_name.h5', 'xxx…'],
  ])('%s is refused in one sentence', async (name, message) => {
    expect(await refusal(at(name))).toContain(message);
  });

  test('--dataset that is not there names those that are', async () => {
    expect(await refusal(at('rated.h5'), { dataset: ['volts'] })).toMatch(/--dataset: .*volts; it has \/raw\/counts/);
  });

  const runs = modelRuns(20);
  test(`${runs} damaged files are read or refused, and nothing else`, async () => {
    const whole = await Promise.all(
      ['probe.nwb', 'two.snirf', 'hours.nc', 'frames.h5', 'rated.h5'].map((name) => readFile(at(name))),
    );
    let seed = 17;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    for (let run = 0; run < runs; run++) {
      const bytes = Buffer.from(whole[run % whole.length]);
      for (let change = 0; change <= random(8); change++) bytes[random(bytes.length)] = random(256);
      await writeFile(at('damaged.h5'), bytes);
      const error: unknown = await read(at('damaged.h5')).then(
        () => null,
        (thrown: unknown) => thrown,
      );
      if (error !== null && !isVarveError(error)) throw new Error(`run ${run}`, { cause: error });
    }
  });
});

describeRecordings('the fNIRS recording', () => {
  test('has every value, at the times that the file has to the nanosecond', async () => {
    const expected = expectedOf('fnirs/neuro_run01.snirf') as { time: { n: number; first: number[]; last: number[] } };
    const { series } = await read(sharedDataPath('fnirs/neuro_run01.snirf'));
    const data = series.get('data1')!;
    expect([data.rows, data.spec.channels.length]).toEqual([expected.time.n, 18]);
    expect(data.annotations).toHaveLength(6);
  });
});
