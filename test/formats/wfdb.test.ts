import { createHash } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { calibrationOf, toPhysical } from '../../src/core/signal/calibration.ts';
import { bytesOf } from '../../src/core/numbers/dtype.ts';
import type { RecordedSeries } from '../../src/core/signal/recording.ts';
import { decodeWfdb, samplesIn, type WfdbFormat } from '../../src/formats/recordings/wfdb-formats.ts';
import { readWfdb } from '../../src/formats/recordings/wfdb.ts';
import { describeRecordings, expectedOf, sharedDataPath } from '../support/shared-data.ts';
import { filesIn, filesOf as filesInPieces, readRows } from './recording-bytes.ts';
import { rowsOf } from './streams.ts';

const filesOf = (contents: Record<string, Uint8Array | string>) => filesInPieces(contents, 7);

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
  const files = filesIn(sharedDataPath('wfdb'));

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

  test('a header without a length takes the signal file to its end; a gain of 0 is 200, and said', async () => {
    const header = 'r 2\nr.dat 212 0\nr.dat 212\n';
    const recording = await readWfdb(filesOf({ 'r.hea': header, 'r.dat': pack212(ODD.slice(0, 8)) }), 'r.hea', {
      name: 'r',
    });
    expect(recording.series[0].rows).toBe(4);
    expect(recording.series[0].spec.sampling).toMatchObject({ rate: { num: 250n, den: 1n } });
    expect(recording.series[0].spec.channels).toMatchObject([{ gain: 200, baseline: 0, unit: 'mV' }, { gain: 200 }]);
    expect(recording.notes.join('\n')).toMatch(/200 a physical unit was assumed.*signal 0, signal 1/);
    expect(await samplesOf(recording.series[0])).toEqual(ODD.slice(0, 8));
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
    ['a storage format we do not read', 'r 1 100 1\nr.dat 524\n', 'unprocessable', /format 524, which is FLAC/],
    ['no samples in a frame', 'r 1 100 1\nr.dat 16x0\n', 'invalid-input', /0 samples a frame/],
    ['a missing segment line', 'r/3 1 100 1\n', 'invalid-input', /more segments than follow/],
    ['10^9 signals', 'r 1000000000 100 1\n', 'invalid-input', /at most/],
    ['a rate that is no number', 'r 1 NaN 1\nr.dat 16\n', 'invalid-input', /NaN/],
    ['a signal file that is empty', 'r 1 100 1\nr.dat 16+2\n', 'invalid-input', /no whole frame/],
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

  test('a signal file that was cut off is read to its last whole frame, and the loss is said', async () => {
    const { series, notes } = await readWfdb(
      filesOf({ 'r.hea': 'r 2 100 5\nr.dat 16\nr.dat 16\n', 'r.dat': bytesOf(Int16Array.of(1, 2, 3, 4, 5, 6, 7)) }),
      'r.hea',
      { name: 'r' },
    );
    expect(series[0].rows).toBe(3);
    expect(await samplesOf(series[0])).toEqual([1, 2, 3, 4, 5, 6]);
    expect(notes).toContainEqual('r.dat was cut off: it has 3 of 5 frames, and the last 0.02 s are lost');
  });

  test('an annotation file that was cut off is read to its last whole annotation', async () => {
    const files = filesOf({
      'r.hea': 'r 1 100 1\nr.dat 16\n',
      'r.dat': Buffer.alloc(2),
      'r.atr': Buffer.from([5, 4, 0, 236, 0]),
    });
    const { series, notes } = await readWfdb(files, 'r.hea', { name: 'r' });
    expect(series[0].annotations).toMatchObject([{ label: 'N', startNs: 50_000_000n }]);
    expect(notes).toContainEqual('r.atr ends in the middle of an annotation, which is lost');
  });

  // Bytes by hand, from the paragraph of each format in signal(5) of the WFDB Applications Guide.
  test.each<[WfdbFormat, number[], number[]]>([
    [8, [5, 0xff, 0x80, 0x7f], [5, -1, -128, 127]],
    [16, [0x01, 0x00, 0xff, 0xff, 0x00, 0x80], [1, -1, -32_768]],
    [24, [1, 0, 0, 0xff, 0xff, 0xff, 0, 0, 0x80, 0xff, 0xff, 0x7f], [1, -1, -8_388_608, 8_388_607]],
    [32, [1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0x80], [1, -1, -2_147_483_648]],
    [61, [0x00, 0x01, 0xff, 0xff, 0x80, 0x00], [1, -1, -32_768]],
    [80, [0, 128, 255], [-128, 0, 127]],
    // Offset binary of 16 bits: it is not two's complement.
    [160, [0x00, 0x00, 0x00, 0x80, 0xff, 0xff], [-32_768, 0, 32_767]],
    [212, [0x01, 0x8f, 0x00], [-255, -2048]],
    // 1, -1 and 0b1010110011 (-333): five low bits of the third in the first word, five high ones in the second.
    [310, [0x02, 0b10011_000, 0xfe, 0b10101_111], [1, -1, -333]],
    [311, [0x01, 0xfc, 0x3f, 0x2b], [1, -1, 691 - 1024]],
  ])('format %i', (format, bytes, samples) => {
    expect(samplesIn(format, bytes.length)).toBe(samples.length);
    expect([...decodeWfdb(format, Buffer.from(bytes), samples.length)]).toEqual(samples);
  });

  test.each<[WfdbFormat, number[]]>([
    [310, [0, 0, 1, 1, 3, 3, 4]],
    [311, [0, 0, 1, 2, 3, 3, 4]],
    [212, [0, 0, 1, 2, 2, 3]],
  ])('format %i ends within a group of samples', (format, counts) => {
    expect(counts.map((_, bytes) => samplesIn(format, bytes))).toEqual(counts);
  });

  test('differences of format 8 go on from the initial value, over blocks and signals', async () => {
    const rows = 200_000;
    const data = Buffer.alloc(2 * rows);
    for (let i = 0; i < rows; i++) data.set([i % 2 === 0 ? 1 : 0xff, 1], 2 * i);
    const header = `r 2 100 ${rows}\nr.dat 8 200 12 0 100 0 0 a\nr.dat 8 200 12 0 -5 0 0 b\n`;
    const { series } = await readWfdb(filesInPieces({ 'r.hea': header, 'r.dat': data }), 'r.hea', { name: 'r' });
    const { values, bytes } = await readRows(series[0]);
    const read = new Int32Array(new Uint8Array(bytes).buffer);
    expect(series[0].spec).toMatchObject({ dtype: 'int32', missingValue: null });
    expect(values.slice(0, 4)).toEqual([101, -4, 100, -3]);
    expect([read.at(-2), read.at(-1)]).toEqual([100, rows - 5]);
  });

  test('several samples a frame make a series of each rate', async () => {
    // A frame: two samples of a, one of b, two of c.
    const data = bytesOf(Int16Array.of(1, 2, 10, 101, 102, 3, 4, 20, 103, 104));
    const header =
      'r 3 100 2 10:00:00 01/05/2026\nr.dat 16x2 200 16 0 0 0 0 a\nr.dat 16 200 16 0 0 0 0 b\nr.dat 16x2 200 16 0 0 0 0 c\n';
    const { series } = await readWfdb(filesOf({ 'r.hea': header, 'r.dat': data }), 'r.hea', { name: 'r' });
    expect(series.map(({ spec }) => [spec.name, spec.sampling.kind === 'regular' && spec.sampling.rate.num])).toEqual([
      ['r/200Hz', 200n],
      ['r/100Hz', 100n],
    ]);
    expect(await samplesOf(series[0])).toEqual([1, 101, 2, 102, 3, 103, 4, 104]);
    expect(await samplesOf(series[1])).toEqual([10, 20]);
  });

  test('a skew makes a signal begin earlier, behind a byte offset', async () => {
    const data = Buffer.concat([Buffer.from('head'), bytesOf(Int16Array.of(1, 90, 2, 91, 3, 10, 4, 20, 5, 30))]);
    const header = 'r 2 100 3 10:00:00 01/05/2026\nr.dat 16+4 200 16 0 0 0 0 a\nr.dat 16:2+4 200 16 0 0 0 0 b\n';
    const { series, notes } = await readWfdb(filesOf({ 'r.hea': header, 'r.dat': data }), 'r.hea', { name: 'r' });
    const at = 1_777_629_600_000_000_000n;
    expect(
      series.map(({ spec: { name, sampling } }) => [name, sampling.kind === 'regular' && sampling.startNs]),
    ).toEqual([
      ['r/a', at],
      ['r/b', at - 20_000_000n],
    ]);
    expect(await samplesOf(series[0])).toEqual([1, 2, 3]);
    // Its sample 0, at the base time, is the third one.
    expect(await samplesOf(series[1])).toEqual([90, 91, 10, 20, 30]);
    expect(notes.join('\n')).toMatch(/skew.*: b/);
  });

  test('segments of a fixed layout follow one another, with the gaps between them', async () => {
    const files = filesOf({
      'm.hea': 'm/4 1 100 8 10:00:00 01/05/2026\ns1 2\n~ 3\ns2 2\ns3 1\n',
      's1.hea': 's1 1 100 2\ns1.dat 16 100/uV 16 0 0 0 0 x\n',
      's2.hea': 's2 1 100 2\ns2.dat 16 100/uV 16 0 0 0 0 x\n',
      's3.hea': 's3 1 100 1\ns3.dat 16 100/uV 16 0 0 0 0 x\n',
      's1.dat': bytesOf(Int16Array.of(1, 2)),
      's2.dat': bytesOf(Int16Array.of(3, 4)),
      's3.dat': bytesOf(Int16Array.of(5)),
    });
    const { series, sources } = await readWfdb(files, 'm.hea', { name: 'm' });
    const { values, segments } = await readRows(series[0]);
    expect([values, segments]).toEqual([[1, 2, 3, 4, 5], [[2, 1_777_629_600_050_000_000n]]]);
    expect(series[0].rows).toBe(5);
    expect(sources).toEqual(['m.hea', 's1.hea', 's1.dat', 's2.hea', 's2.dat', 's3.hea', 's3.dat']);
  });

  test('segments of a variable layout have gains of their own, not those of the layout', async () => {
    const files = filesOf({
      'v.hea': 'v/4 2 100 6\nlayout 0\ns1 2\ns2 2\ns3 2\n',
      'layout.hea': 'layout 2 100 0\n~ 0 1/mV 0 0 0 0 0 II\n~ 0 1/mV 0 0 0 0 0 V\n',
      's1.hea': 's1 2 100 2\ns1.dat 16 10(1)/mV 16 0 0 0 0 II\ns1.dat 16 20/mV 16 0 0 0 0 V\n',
      's2.hea': 's2 1 100 2\ns2.dat 16 30(2)/mV 16 0 0 0 0 II\n',
      's3.hea': 's3 2 100 2\ns3.dat 16 20/mV 16 0 0 0 0 V\ns3.dat 16 10(1)/mV 16 0 0 0 0 II\n',
      's1.dat': bytesOf(Int16Array.of(11, 40, 21, 60)),
      's2.dat': bytesOf(Int16Array.of(32, 62)),
      's3.dat': bytesOf(Int16Array.of(80, 31, 100, 41)),
    });
    const { series } = await readWfdb(files, 'v.hea', { name: 'v' });
    const told = await Promise.all(
      series.map(async (each) => {
        const { values, segments } = await readRows(each);
        const [channel] = each.spec.channels;
        const physical = toPhysical({ dtype: 'int16', missingValue: -32_768 }, Int16Array.from(values.map(Number)), [
          calibrationOf(each.spec, channel),
        ]);
        return [each.spec.name, channel.label, [...physical], segments];
      }),
    );
    expect(told).toEqual([
      ['v/II', 'II', [1, 2, 3, 4], [[2, 40_000_000n]]],
      ['v/V', 'V', [2, 3, 4, 5], [[2, 40_000_000n]]],
      ['v/II (2)', 'II', [1, 2], []],
    ]);
    expect(series[2].spec.sampling).toMatchObject({ startNs: 20_000_000n });
  });

  test('a signal file outside the folder is not there', async () => {
    const files = filesOf({ 'r.hea': 'r 1 100 1\n../r.dat 16\n' });
    await expect(readWfdb(files, 'r.hea', { name: 'r' })).rejects.toMatchObject({ code: 'not-found' });
  });
});
