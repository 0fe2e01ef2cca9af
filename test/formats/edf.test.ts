import { createHash } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { calibrationOf, toPhysical } from '../../src/core/signal/calibration.ts';
import { parseTime } from '../../src/core/time.ts';
import { readTals } from '../../src/formats/recordings/edf-annotations.ts';
import { readEdf } from '../../src/formats/recordings/edf.ts';
import { localZone } from '../../src/flows/import/local-clock.ts';
import { describeRecordings, expectedOf, sharedDataPath } from '../support/shared-data.ts';
import { edfFile, tal, type EdfFile } from './edf-bytes.ts';
import { filesIn, filesOf, readRows, readThrough } from './recording-bytes.ts';

const START = parseTime('2026-05-01T09:30:10Z')!;

async function read(file: EdfFile | Uint8Array, options: { zone?: string } = {}) {
  const bytes = file instanceof Uint8Array ? file : edfFile(file);
  const zone = options.zone === undefined ? {} : { zone: localZone(options.zone) };
  return readEdf(filesOf({ 'r.edf': bytes }), 'r.edf', { name: 'r', ...zone });
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

interface ExpectedEdf {
  readonly channels: readonly {
    label: string;
    unit: string;
    rate_hz: number;
    physical_min: number;
    raw: { n: number; sha256_le: string };
  }[];
}

describeRecordings('EDF files of Sleep-EDF', () => {
  test('every signal of every rate is there, bit for bit', async () => {
    const { channels } = expectedOf('edf/short_psg.edf') as ExpectedEdf;
    const { series } = await readEdf(filesIn(sharedDataPath('edf')), 'short_psg.edf', { name: 'psg' });
    expect(series.map(({ spec }) => spec.name)).toEqual(['psg/100Hz', 'psg/1Hz']);
    const found = new Map<string, unknown>();
    for (const each of series) {
      const { bytes } = await readRows(each);
      const all = new Int16Array(new Uint8Array(bytes).buffer);
      const { channels: own, sampling } = each.spec;
      own.forEach(({ label, unit, physical_min }, c) => {
        const raw = all.filter((_, i) => i % own.length === c);
        const hz = sampling.kind === 'regular' ? Number(sampling.rate.num) : 0;
        found.set(label, [unit ?? '', hz, physical_min, raw.length, sha256(new Uint8Array(raw.buffer))]);
      });
    }
    for (const { label, unit, rate_hz, physical_min, raw } of channels) {
      expect([label, found.get(label)]).toEqual([label, [unit, rate_hz, physical_min, raw.n, raw.sha256_le]]);
    }
    expect(found.size).toBe(channels.length);
  });

  test('a hypnogram becomes a series of annotations', async () => {
    const expected = expectedOf('edf/SC4001EC-Hypnogram.edf') as { n: number; first: [number, number, string][] };
    const { series } = await readEdf(filesIn(sharedDataPath('edf')), 'SC4001EC-Hypnogram.edf', { name: 'h' });
    const [{ annotations, rows }] = series;
    const start = parseTime('1989-04-24T16:13:00Z')!;
    expect([rows, annotations.length]).toEqual([0, expected.n]);
    const told = annotations.map(({ startNs, endNs, label }) => {
      return [Number(startNs - start) / 1e9, Number(endNs - startNs) / 1e9, label];
    });
    expect(told.slice(0, expected.first.length)).toEqual(expected.first);
  });
});

describe('EDF and BDF files', () => {
  test('a record that is not a second long has its own rate, exactly', async () => {
    const { series } = await read({ duration: '.0333333', records: [[[1, 2]], [[3, 4]]] });
    expect(series[0].spec.sampling).toMatchObject({ rate: { num: 20_000_000n, den: 333_333n }, startNs: START });
    expect((await readRows(series[0])).values).toEqual([1, 2, 3, 4]);
  });

  test('signals of several rates are series of their own and not resampled', async () => {
    const records = [
      [[1, 2, 3], [10], [4, 5, 6]],
      [[7, 8, 9], [20], [-1, -2, -32_768]],
    ];
    const { series } = await read({ duration: '2', records });
    expect(series.map(({ spec }) => [spec.name, spec.sampling])).toMatchObject([
      ['r/1.5Hz', { rate: { num: 3n, den: 2n } }],
      ['r/0.5Hz', { rate: { num: 1n, den: 2n } }],
    ]);
    const [fast, slow] = await readThrough({ series, notes: [] });
    expect(fast.values).toEqual([1, 4, 2, 5, 3, 6, 7, -1, 8, -2, 9, -32_768]);
    expect(slow.values).toEqual([10, 20]);
  });

  test('24 bits of BDF become int32, sign and all', async () => {
    const { series } = await read({ isBdf: true, records: [[[1, -1, 8_388_607, -8_388_608]]] });
    expect(series[0].spec.dtype).toBe('int32');
    expect((await readRows(series[0])).values).toEqual([1, -1, 8_388_607, -8_388_608]);
  });

  test.each<[string, string[], [number, number]]>([
    ['as most have it', ['-2048', '2047', '-200', '200'], [-2048, 2047]],
    ['odd', ['-2500', '2731', '34', '40'], [-2500, 2731]],
    ['with the polarity turned', ['-2048', '2047', '200', '-200'], [-2048, 2047]],
    ['with the digital range turned', ['2047', '-2048', '200', '-200'], [-2048, 2047]],
    ['with a decimal comma', ['-100', '100', '-1,5', '1,5'], [-100, 100]],
  ])('a calibration %s', async (_, ranges, [low, high]) => {
    const { series } = await read({ ranges, records: [[[low, 0, high]]] });
    const { spec } = series[0];
    const { values } = await readRows(series[0]);
    const physical = toPhysical({ dtype: 'int16', missingValue: null }, Int16Array.from(values.map(Number)), [
      calibrationOf(spec, spec.channels[0]),
    ]);
    const [dMin, dMax, pMin, pMax] = ranges.map((text) => Number(text.replace(',', '.')));
    [low, 0, high].forEach((raw, i) => {
      expect(physical[i]).toBeCloseTo(pMin + ((raw - dMin) * (pMax - pMin)) / (dMax - dMin), 9);
    });
  });

  test.each([
    ['digital min = max', ['5', '5', '-200', '200']],
    ['physical min = max', ['-2048', '2047', '0', '0']],
    ['no numbers', ['', 'x', '', 'NaN']],
  ])('%s is no calibration: values stay raw, and it is said', async (_, ranges) => {
    const { series, notes } = await read({ ranges, records: [[[1, 2]]] });
    const [channel] = series[0].spec.channels;
    expect([channel.physical_min, channel.unit, channel.info]).toMatchObject([undefined, undefined, { unit: 'uV' }]);
    expect(notes.join('\n')).toMatch(/no calibration, so values stay raw: Fp1/);
    expect((await readRows(series[0])).values).toEqual([1, 2]);
  });

  test('lists of annotations: several in a record, durations, an onset past 8,192 s, UTF-8 and Latin-1', async () => {
    const { series, notes } = await read({
      reserved: 'EDF+C',
      records: [[[1, 2]], [[3, 4]]],
      tals: [
        [tal('+0.25', '', ''), tal('+8193.123456789', '0.5', 'Lidschluß', 'Augen öffnen'), tal('-1', '', 'before')],
        [tal('+1.25', '', ''), Buffer.from('+1.5\x14Lidschlu\xdf\x14\0', 'latin1'), Buffer.from('nonsense\0')],
      ],
    });
    const [{ spec, annotations }] = series;
    // The header has whole seconds; the first record begins a quarter later.
    expect(spec.sampling).toMatchObject({ startNs: START + 250_000_000n });
    expect(annotations.map(({ startNs, endNs, label }) => [startNs - START, endNs - startNs, label])).toEqual([
      [8_193_123_456_789n, 500_000_000n, 'Lidschluß'],
      [8_193_123_456_789n, 500_000_000n, 'Augen öffnen'],
      [-1_000_000_000n, 0n, 'before'],
      [1_500_000_000n, 0n, 'Lidschluß'],
    ]);
    expect(annotations[0].payload).toEqual({ onset: '+8193.123456789', duration: '0.5' });
    expect(notes).toContainEqual('1 annotations could not be read and were left out');
  });

  test('records of EDF+D that are apart stay apart, and one missing sample is a gap', async () => {
    const stamps = ['+0', '+1', '+2.25', '+60', '+61'];
    const { series, notes } = await read({
      reserved: 'EDF+D',
      records: stamps.map((_, r) => [[4 * r, 4 * r + 1, 4 * r + 2, 4 * r + 3], [100 + r]]),
      tals: stamps.map((stamp) => [tal(stamp, '', '')]),
    });
    const [fast, slow] = await readThrough({ series, notes: [] });
    expect(fast.segments).toEqual([
      [8, START + 2_250_000_000n],
      [12, START + 60_000_000_000n],
    ]);
    // A quarter of a second is less than half a period of the slow one.
    expect(slow.segments).toEqual([[3, START + 60_000_000_000n]]);
    expect(fast.values).toEqual(Array.from({ length: 20 }, (_, i) => i));
    expect(notes).toContainEqual('gaps between records: 2');
  });

  test.each([
    ['does not say when it begins', [[tal('+0', '', '')], [Buffer.from('\0')]], /record 2 at byte \d+ does not say/],
    ['steps back', [[tal('+5', '', '')], [tal('+0', '', '')]], /record 2 at byte \d+ begins before/],
  ])('a record of EDF+D that %s is refused', async (_, tals, message) => {
    await expect(read({ reserved: 'EDF+D', records: [[[1]], [[2]]], tals })).rejects.toMatchObject({
      code: 'invalid-input',
      message: expect.stringMatching(message),
    });
  });

  test.each([
    ['in the middle of a record', 5, '3', /2 of 3 records are whole, and the last 1 s are lost/],
    ['before the header knew how many', 5, '-1', /does not say how many records there are; the file has 2/],
  ])('a file that was cut off %s is read up to its last whole record', async (_, lost, count, note) => {
    const bytes = edfFile({ count, records: [[[1, 2, 3]], [[4, 5, 6]], [[7, 8, 9]]] });
    const { series, notes } = await read(bytes.subarray(0, bytes.length - lost));
    expect(series[0].rows).toBe(6);
    expect((await readRows(series[0])).values).toEqual([1, 2, 3, 4, 5, 6]);
    expect(notes.join('\n')).toMatch(note);
    expect(notes).toContainEqual('1 bytes after the last whole record were left out');
  });

  test('more records than the header promises are read, too', async () => {
    const { series, notes } = await read({ count: '1', records: [[[1]], [[2]]] });
    expect((await readRows(series[0])).values).toEqual([1, 2]);
    expect(notes.join('\n')).toMatch(/promises 1 records, the file has 2/);
  });

  test.each([
    ['01.05.26', '', undefined, '2026-05-01T09:30:10Z', null],
    ['01.05.85', '', undefined, '1985-05-01T09:30:10Z', null],
    ['01.05.yy', 'Startdate 01-MAY-2126 X X X', undefined, '2126-05-01T09:30:10Z', null],
    ['01.07.26', '', 'Europe/Berlin', '2026-07-01T07:30:10Z', 'Europe/Berlin'],
    ['01.12.26', '', 'Europe/Berlin', '2026-12-01T08:30:10Z', 'Europe/Berlin'],
  ])('the start %s of the header (%s) in the zone %s', async (date, recording, zone, expected, timeZone) => {
    const file = { date, recording, reserved: 'EDF+C', records: [[[1]]] };
    const { series, notes } = await read(file, zone === undefined ? {} : { zone });
    const { sampling, timeReference, timeZone: told } = series[0].spec;
    expect(sampling).toMatchObject({ startNs: parseTime(expected) });
    expect([timeReference, told]).toEqual(['utc', timeZone]);
    expect(notes.join('\n')).toMatch(zone ?? /has no zone and was taken as UTC; --tz/);
  });

  test('a date that is none leaves times from the start of the recording', async () => {
    const { series, notes } = await read({ date: '00.00.00', records: [[[1]]] });
    expect([series[0].spec.timeReference, series[0].spec.sampling]).toMatchObject(['relative', { startNs: 0n }]);
    expect(notes.join('\n')).toMatch(/no usable start/);
  });

  test.each([
    ['empty', Buffer.alloc(0), /r\.edf: ends at byte 0, within its header/],
    ['cut in its header', edfFile({ records: [[[1]]] }).subarray(0, 300), /ends at byte 300, within its header of 512/],
    ['of another format', Buffer.alloc(600, 'x'), /does not begin as an EDF or BDF file does \(byte 0\)/],
    ['of 9,999 signals', patched(252, '9999'), /within its header of 2560000 bytes/],
    ['of -1 signals', patched(252, '-1  '), /"-1" as the number of signals \(byte 252\)/],
    ['of records of NaN seconds', patched(244, 'NaN     '), /record duration "NaN" \(byte 244\)/],
    ['of -5 records', patched(236, '-5      '), /"-5" records \(byte 236\)/],
    ['of records that do not last', patched(244, '0       '), /no duration, so its sampling rate is not known/],
    ['of 10^8 samples', patched(472, '99999999'), /records of 199999998 bytes/],
    ['without a whole record', edfFile({ records: [[[1, 2]]] }).subarray(0, 514), /before its first record is whole/],
  ])('a file that is %s is refused in a sentence', async (_, bytes, message) => {
    await expect(read(bytes)).rejects.toMatchObject({ name: 'VarveError', message: expect.stringMatching(message) });
  });

  test('lists without an end do not run over', () => {
    expect(readTals(Buffer.from('+1\x14a'))).toMatchObject({ annotations: [{ text: 'a' }], unreadable: 0 });
    expect(readTals(Buffer.from('+1'))).toMatchObject({ annotations: [], unreadable: 1 });
    expect(readTals(Buffer.from('+1\x15-2\x14a\x14\0'))).toMatchObject({ annotations: [], unreadable: 1 });
  });
});

function patched(at: number, text: string): Buffer {
  const bytes = edfFile({ records: [[[1, 2]]] });
  bytes.write(text, at, 'latin1');
  return bytes;
}
