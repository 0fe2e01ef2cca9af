import { createHash } from 'node:crypto';
import { createReadStream, readdirSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { calibrationOf, toPhysical } from '../../src/core/signal/calibration.ts';
import { bytesOf } from '../../src/core/numbers/dtype.ts';
import type { RecordedSeries } from '../../src/core/signal/recording.ts';
import { readWfdb, type RecordingFiles } from '../../src/formats/recordings/wfdb.ts';
import { describeRecordings, expectedOf, sharedDataPath } from '../support/shared-data.ts';
import { rowsOf, streamOf } from './streams.ts';

function filesOf(contents: Record<string, Uint8Array | string>): RecordingFiles {
  return { names: Object.keys(contents), open: (name) => streamOf(contents[name], 7) };
}

async function samplesOf(series: RecordedSeries): Promise<number[]> {
  const { valueBytes } = await rowsOf(series.batches());
  return [...new Int16Array(new Uint8Array(valueBytes).buffer)];
}

/** Two 12-bit samples in three bytes, as another writer would put it. */
function pack212(samples: readonly number[]): Buffer {
  const bytes: number[] = [];
  for (let i = 0; i < samples.length; i += 2) {
    const first = samples[i] & 0xfff;
    const second = (samples[i + 1] ?? 0) & 0xfff;
    bytes.push(first & 0xff, (first >> 8) | ((second >> 8) << 4));
    if (i + 1 < samples.length) bytes.push(second & 0xff);
  }
  return Buffer.from(bytes);
}

interface ExpectedRecord {
  readonly comments: string[];
  readonly channels: {
    readonly label: string;
    readonly unit: string;
    readonly gain: number;
    readonly baseline: number;
    readonly raw: { readonly sha256_le: string };
    readonly physical_float64: { readonly sha256_le: string };
  }[];
  readonly annotations: { readonly n: number; readonly first: unknown[]; readonly last: unknown[] };
}

describeRecordings('MIT-BIH record 100', () => {
  const files: RecordingFiles = {
    names: readdirSync(sharedDataPath('wfdb')),
    open: (name) => createReadStream(sharedDataPath(`wfdb/${name}`)),
  };

  test('header, raw samples, physical values and annotations are what wfdb-python reads', async () => {
    const expected = expectedOf('wfdb/100.hea') as ExpectedRecord;
    const { series } = await readWfdb(files, '100.hea', { name: 'mitdb/100' });
    expect(series).toHaveLength(1);
    const [{ spec, rows, annotations }] = series;
    expect(spec).toMatchObject({
      name: 'mitdb/100',
      dtype: 'int16',
      unit: 'mV',
      timeReference: 'relative',
      sampling: { kind: 'regular', rate: { num: 360n, den: 1n }, startNs: 0n },
      duplicates: 'keep',
      provenance: { comments: expected.comments },
    });
    expect(rows).toBe(650_000);
    expect(spec.channels).toMatchObject(
      expected.channels.map(({ label, unit, gain, baseline }) => ({ label, unit, gain, baseline })),
    );
    const frames = new Int16Array(await samplesOf(series[0]));
    const physical = toPhysical(
      { dtype: 'int16', missingValue: null },
      frames,
      spec.channels.map((channel) => calibrationOf(spec, channel)),
    );
    expected.channels.forEach((channel, c) => {
      expect(sha256(frames.filter((_, i) => i % 2 === c))).toBe(channel.raw.sha256_le);
      expect(sha256(physical.filter((_, i) => i % 2 === c))).toBe(channel.physical_float64.sha256_le);
    });

    const marks = annotations.map(({ label, payload }) => [payload.sample, label]);
    expect(marks).toHaveLength(expected.annotations.n);
    expect(marks.slice(0, 6)).toEqual(expected.annotations.first);
    expect(marks.slice(-3)).toEqual(expected.annotations.last);
    expect(annotations[0]).toEqual({
      startNs: 50_000_000n,
      endNs: 50_000_000n,
      label: '+',
      payload: { sample: 18, aux: '(N' },
    });
  });
});

function sha256(values: Int16Array | Float64Array): string {
  return createHash('sha256').update(bytesOf(values)).digest('hex');
}

const ODD = [1, -1, 2047, -2048, 5, 6, -7, 8, 9];

describe('WFDB records', () => {
  test('format 212 with an odd number of samples, which ends in the middle of a pair', async () => {
    const header = 'r 3 100 3\nr.dat 212\nr.dat 212\nr.dat 212\n';
    const { series } = await readWfdb(filesOf({ 'r.hea': header, 'r.dat': pack212(ODD) }), 'r.hea', { name: 'r' });
    expect(await samplesOf(series[0])).toEqual(ODD);
    // As wfdb-python has it: NaN in its place.
    expect(series[0].spec.missingValue).toBe(-2048);
    const maps = series[0].spec.channels.map((channel) => calibrationOf(series[0].spec, { ...channel, gain: 2 }));
    const { missingValue } = series[0].spec;
    expect([...toPhysical({ dtype: 'int16', missingValue }, Int16Array.from(ODD), maps)].slice(0, 6)).toEqual([
      0.5,
      -0.5,
      1023.5,
      NaN,
      2.5,
      3,
    ]);
  });

  test('a header without a length takes the signal file to its end', async () => {
    const header = 'r 1\nr.dat 212 0\n';
    const recording = await readWfdb(filesOf({ 'r.hea': header, 'r.dat': pack212(ODD) }), 'r.hea', { name: 'r' });
    expect(recording.series[0].rows).toBeNull();
    expect(recording.series[0].spec.sampling).toMatchObject({ rate: { num: 250n, den: 1n } });
    expect(recording.series[0].spec.channels[0].gain).toBeUndefined();
    expect(recording.notes.join('\n')).toMatch(/signal 0 is not calibrated/);
    expect(await samplesOf(recording.series[0])).toEqual(ODD);
  });

  test('signals in several files, after a byte offset, in both formats, become one table', async () => {
    const header =
      'r 3 30000/1000(0) 3 9:30:00.5 01/05/2026\n#one\na.dat 16+4 200(1024)/uV\nb.dat 212 10/mV 12 7\na.dat 16 5 0 0 0 0 0 ECG lead II\n';
    const a = Buffer.concat([Buffer.from('skip'), bytesOf(new Int16Array([1, 2, 3, 4, -32768, 6]))]);
    const { series } = await readWfdb(
      filesOf({ 'r.hea': header, 'a.dat': a, 'b.dat': pack212([10, 20, 30]) }),
      'r.hea',
      { name: 'r' },
    );
    const { spec } = series[0];
    expect(spec.sampling).toEqual({
      kind: 'regular',
      rate: { num: 30_000n, den: 1n },
      startNs: 1_777_627_800_500_000_000n,
    });
    expect(spec.timeReference).toBe('utc');
    expect(spec.unit).toBeNull();
    // Of which format?
    expect(spec.missingValue).toBeNull();
    expect(spec.channels).toMatchObject([
      { label: 'signal 0', unit: 'uV', gain: 200, baseline: 1024 },
      { label: 'signal 1', unit: 'mV', gain: 10, baseline: 7, info: { adc_bits: 12, adc_zero: 7 } },
      { label: 'ECG lead II', unit: 'mV', gain: 5, baseline: 0 },
    ]);
    expect(await samplesOf(series[0])).toEqual([1, 10, 2, 3, 20, 4, -32768, 30, 6]);
  });

  test('annotations know leaps, subtypes, channels, numbers, texts and a time resolution of their own', async () => {
    const word = (code: number, value: number): number[] => [value & 0xff, (code << 2) | (value >> 8)];
    const text = (aux: string): number[] => [
      ...word(63, aux.length),
      ...Buffer.from(aux),
      ...(aux.length % 2 ? [0] : []),
    ];
    const atr = Buffer.from(
      [
        [...word(22, 0), ...text('## time resolution: 1000')],
        [...word(1, 5), ...word(61, 0x3ff), ...word(62, 1), ...word(60, 3)],
        [...word(59, 0), 1, 0, 2, 0, ...word(28, 1), ...text('(AFIB')],
        [...word(59, 0), 0xff, 0xff, 0xf0, 0xff, ...word(50, 0)],
        [0, 0, 9, 9],
      ].flat(),
    );
    const files = filesOf({ 'r.hea': 'r 1 100 1\nr.dat 16\n', 'r.dat': Buffer.alloc(2), 'r.qrs': atr });
    const { series } = await readWfdb(files, 'r.hea', { name: 'r', annotators: ['atr', 'qrs'] });
    const leap = 5 + 65_536 + 2 + 1;
    expect(series[0].annotations.map(({ startNs, label, payload }) => [startNs, label, payload])).toEqual([
      [5_000_000n, 'N', { sample: 5, subtype: -1, channel: 1, num: 3 }],
      [BigInt(leap) * 1_000_000n, '+', { sample: leap, channel: 1, num: 3, aux: '(AFIB' }],
      [BigInt(leap - 16) * 1_000_000n, 'code 50', { sample: leap - 16, channel: 1, num: 3 }],
    ]);
  });

  test.each([
    ['a storage format we do not read', 'r 1 100 1\nr.dat 80\n', 'unprocessable', /format 80/],
    ['several samples a frame', 'r 1 100 1\nr.dat 16x4\n', 'unprocessable', /4 samples a frame/],
    ['several segments', 'r/3 1 100 1\n', 'unprocessable', /segments/],
    ['a missing signal line', 'r 2 100 1\nr.dat 16\n', 'invalid-input', /r\.hea line 1/],
    ['a strange gain', 'r 1 100 1\nr.dat 16 x\n', 'invalid-input', /line 2.*gain/],
    ['a strange rate', '#c\nr 1 fast 1\nr.dat 16\n', 'invalid-input', /line 2.*fast/],
    ['a strange date', 'r 1 100 1 10:00:00 2026\nr.dat 16\n', 'invalid-input', /base time/],
    ['no record line', '# only a comment\n', 'invalid-input', /record line/],
    ['a missing signal file', 'r 1 100 1\nx.dat 16\n', 'not-found', /x\.dat/],
  ])('%s is an error that says so', async (_, header, code, message) => {
    const reading = readWfdb(filesOf({ 'r.hea': header, 'r.dat': Buffer.alloc(2) }), 'r.hea', { name: 'r' });
    await expect(reading).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });

  test('a signal file shorter than its header says is an error while it is read', async () => {
    const { series } = await readWfdb(
      filesOf({ 'r.hea': 'r 1 100 5\nr.dat 16\n', 'r.dat': Buffer.alloc(9) }),
      'r.hea',
      { name: 'r' },
    );
    await expect(rowsOf(series[0].batches())).rejects.toMatchObject({
      code: 'invalid-input',
      message: 'r.dat: ends after 4 of 5 samples a signal',
    });
  });
});
