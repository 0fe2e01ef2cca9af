/** Tables as labs write them: what each must give, what is refused, and that nothing is guessed. */
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { describe, expect, test } from '@jest/globals';
import { formatTime, parseTime } from '../../src/core/time.ts';
import { viewAs } from '../../src/core/numbers/dtype.ts';
import type { RecordedSeries, Recording } from '../../src/core/signal/recording.ts';
import { readCsvRecording, type CsvRecordingOptions } from '../../src/formats/recordings/csv-recording.ts';
import { tableOptions } from '../../src/flows/import/table-options.ts';
import { zoneClock } from '../../src/flows/time-zone.ts';
import { describePython } from '../support/python.ts';
import { describeRecordings, sharedDataPath } from '../support/shared-data.ts';
import { rowsOf, streamOf } from './streams.ts';

type Options = Partial<CsvRecordingOptions>;

function read(text: string | Buffer, options: Options = {}): Promise<Recording> {
  return readCsvRecording(() => streamOf(text, 777), { name: 'run', ...options });
}

interface Seen {
  readonly times: readonly string[];
  readonly values: readonly (number | bigint)[];
}

async function seen({ spec, batches }: RecordedSeries): Promise<Seen> {
  const { times, valueBytes } = await rowsOf(batches());
  return { times: (times ?? []).map(formatTime), values: [...viewAs(spec.dtype, valueBytes)] };
}

async function timesOf(text: string, options: Options = {}): Promise<readonly string[]> {
  return (await seen((await read(text, options)).series[0])).times;
}

async function valuesOf(text: string, options: Options = {}): Promise<readonly (number | bigint)[]> {
  return (await seen((await read(text, options)).series[0])).values;
}

const BERLIN = { name: 'Europe/Berlin', offsetAt: zoneClock('Europe/Berlin')! };
const shape =
  (name: string): (() => AsyncIterable<Uint8Array>) =>
  () =>
    createReadStream(sharedDataPath(`csv-shapes/${name}`));

describeRecordings('shapes of tables', () => {
  test.each<[string, Options, object, readonly string[], readonly (number | bigint)[]]>([
    [
      '01_german.csv',
      {},
      { dtype: 'float64', timeReference: 'utc', channels: [{ label: 'Temperatur', unit: 'Cel' }, { label: 'pH' }] },
      ['2026-05-01T09:00:00Z', '2026-05-01T09:01:00Z'],
      [21.5, 7.4, 21.6, 7.41],
    ],
    ['04_us.csv', {}, {}, ['2026-05-01T09:00:00Z', '2026-05-01T13:05:00Z', '2026-05-13T13:05:00Z'], [21.5, 21.6, 21.7]],
    [
      '09b_elapsed.csv',
      {},
      { timeReference: 'relative' },
      ['1970-01-01T00:00:00Z', '1970-01-01T00:00:01Z', '1970-01-01T00:00:02Z'],
      [1.5, 1.6, 1.7],
    ],
    ['10_epoch_s.csv', {}, {}, ['2026-05-01T09:00:00Z', '2026-05-01T09:00:01Z'], [1.5, 1.6]],
    ['11_datetime_split.csv', {}, {}, ['2026-05-01T09:00:00Z', '2026-05-01T09:01:00Z'], [21.5, 21.6]],
    [
      '17_noheader.csv',
      {},
      { channels: [{ label: '1' }, { label: '2' }] },
      ['2026-05-01T09:00:00Z', '2026-05-01T09:01:00Z'],
      [1n, 2n, 3n, 4n],
    ],
    [
      '17_noheader.csv',
      { header: 'when,a,b' },
      { channels: [{ label: 'a' }, { label: 'b' }] },
      ['2026-05-01T09:00:00Z', '2026-05-01T09:01:00Z'],
      [1n, 2n, 3n, 4n],
    ],
    [
      '26_units_row.csv',
      {},
      { channels: [{ label: 'temp', unit: 'Cel' }, { label: 'ph' }] },
      ['2026-05-01T09:00:00Z'],
      [21.5, 7],
    ],
    [
      '27_comment.csv',
      {},
      { provenance: expect.objectContaining({ comments: ['# made by logger 3', '# serial 1234'] }) },
      ['2026-05-01T09:00:00Z'],
      [21.5],
    ],
    [
      '28_dst.csv',
      { zone: BERLIN },
      { timeZone: 'Europe/Berlin' },
      [
        '2026-10-24T23:50:00Z',
        '2026-10-25T00:10:00Z',
        '2026-10-25T00:50:00Z',
        '2026-10-25T01:10:00Z',
        '2026-10-25T01:50:00Z',
        '2026-10-25T02:10:00Z',
      ],
      [1n, 2n, 3n, 4n, 5n, 6n],
    ],
    ['29_ints.csv', {}, { dtype: 'int64' }, ['2026-05-01T09:00:00Z', '2026-05-01T09:00:01Z'], [1n, 9007199254740993n]],
    [
      '32_overflow.csv',
      {},
      {
        provenance: expect.objectContaining({
          no_numbers: {
            v: [
              { line: 2, text: '>1000' },
              { line: 3, text: 'OVRFLW' },
            ],
          },
        }),
      },
      ['2026-05-01T09:00:00Z', '2026-05-01T09:01:00Z', '2026-05-01T09:02:00Z', '2026-05-01T09:03:00Z'],
      [NaN, NaN, 3.2, 3.3],
    ],
  ])('%s with %j', async (name, options, spec, times, values) => {
    const { series } = await readCsvRecording(shape(name), { name: 'run', ...options });
    expect(series).toHaveLength(1);
    expect(series[0].spec).toMatchObject(spec);
    expect(await seen(series[0])).toEqual({ times, values });
  });

  test('19_notes.csv: numbers, truths as uint8, and annotations at their rows', async () => {
    const { series } = await readCsvRecording(shape('19_notes.csv'), { name: 'run' });
    expect(series.map(({ spec }) => [spec.name, spec.dtype])).toEqual([
      ['run', 'float64'],
      ['run/ok', 'uint8'],
    ]);
    expect((await seen(series[1])).values).toEqual([1, 0, 1]);
    expect(series[0].annotations.map(({ startNs, label }) => [formatTime(startNs), label])).toEqual([
      ['2026-05-01T09:00:00Z', 'start'],
      ['2026-05-01T09:01:00Z', 'medium changed, "again"'],
    ]);
  });

  test('25_plate.csv: a series a well past a day, the temperature apart', async () => {
    const { series } = await readCsvRecording(shape('25_plate.csv'), { name: 'run' });
    expect(series.map(({ spec }) => spec.name)).toEqual(['run/T° 600', 'run/A1', 'run/A2', 'run/A3']);
    expect(series[1].spec.tags).toEqual({ plate: 'run', well: 'A1', row: 'A', column: 1 });
    expect((await seen(series[3])).values).toEqual([0.086, 0.087, 0.4]);
    expect((await seen(series[0])).times).toEqual([
      '1970-01-01T00:14:16Z',
      '1970-01-01T00:29:16Z',
      '1970-01-02T00:14:16Z',
    ]);
  });

  test('an export of Gen5: 96 wells over a day, each number that of its field', async () => {
    const path = sharedDataPath('plate/Rep1.csv');
    const { series } = await readCsvRecording(() => createReadStream(path), { name: 'rep' });
    expect(series).toHaveLength(97);
    const lines = (await readFile(path, 'utf8')).split(/\r?\n/).map((line) => line.split(','));
    const header = lines.findIndex((fields) => fields[1] === 'Time' && fields[3] === 'A1');
    const rows = lines.slice(header + 1).filter((fields) => fields.length > 2);
    expect(rows).toHaveLength(97);
    for (const recorded of series.slice(1)) {
      const column = lines[header].indexOf(recorded.spec.tags.well as string);
      expect((await seen(recorded)).values).toEqual(rows.map((fields) => Number(fields[column])));
    }
    expect(series[96].spec.tags).toEqual({ plate: 'Plate 1', well: 'H12', row: 'H', column: 12 });
  });
});

describe('times of tables', () => {
  test.each<[string, string, string]>([
    ['31.12.2025 23:59', 'with points: the day first', '2025-12-31T23:59:00Z'],
    ['5/13/2026 12:05:00 AM', 'midnight has 12 AM', '2026-05-13T00:05:00Z'],
    ['13/05/2026 12:05 pm', 'noon has 12 PM', '2026-05-13T12:05:00Z'],
    ['2026/05/01 09:00:00.125', 'slashes, the year first', '2026-05-01T09:00:00.125Z'],
    ['20260501T090000', 'without separators', '2026-05-01T09:00:00Z'],
    ['2026-05-01T09:00:00.123456789+05:30', 'an offset', '2026-05-01T03:30:00.123456789Z'],
    ['01-May-2026 09:00:00', 'the month as a word', '2026-05-01T09:00:00Z'],
    ['1. Mai 2026 09:00', 'the month as a German word', '2026-05-01T09:00:00Z'],
    ['2026-05-01 09:00:00 UTC', 'UTC in words', '2026-05-01T09:00:00Z'],
  ])('%s: %s', async (text, _, time) => {
    expect(await timesOf(`when,x\n"${text}",1.5\n`)).toEqual([time]);
  });

  test.each<[string, Options, string]>([
    ['01/05/2026 09:00', { dateFormat: 'DMY' }, '2026-05-01T09:00:00Z'],
    ['01/05/2026 09:00', { dateFormat: 'MDY' }, '2026-01-05T09:00:00Z'],
    ['01/05/2026 09:00', { dateFormat: '%d/%m/%Y %H:%M' }, '2026-05-01T09:00:00Z'],
    ['01/05/2026 09:00', { dateFormat: 'MM/dd/yyyy HH:mm' }, '2026-01-05T09:00:00Z'],
    ['01/05/2026 09:00', { dateFormat: 'DD/MM/YYYY HH:MM' }, '2026-05-01T09:00:00Z'],
    ['01/05/2026 09:00', { dateFormat: 'dd/MM/yyyy' }, '2026-05-01T09:00:00Z'],
    ['26-05-01 09:00', { dateFormat: 'YMD' }, '2026-05-01T09:00:00Z'],
    ['20260501 0900', { dateFormat: '%Y%m%d %H%M' }, '2026-05-01T09:00:00Z'],
    ['2026 121 09:00', { dateFormat: '%Y %j %H:%M' }, '2026-05-01T09:00:00Z'],
    ['46143.375', { epoch: 'excel' }, '2026-05-01T09:00:00Z'],
    ['1777626000.000000001', { epoch: 's' }, '2026-05-01T09:00:00.000000001Z'],
    ['1777626', { epoch: 'ms' }, '1970-01-01T00:29:37.626Z'],
    ['2.5', { elapsed: 'h' }, '1970-01-01T02:30:00Z'],
    ['2.5', { elapsed: 'min', startNs: parseTime('2026-05-01')! }, '2026-05-01T00:02:30Z'],
    ['09:00:00', { elapsed: 'clock' }, '1970-01-01T09:00:00Z'],
  ])('%s is told by %j', async (text, options, time) => {
    expect(await timesOf(`time,x\n${text},1.5\n`, options)).toEqual([time]);
  });

  test.each<[string, string, string, string]>([
    [
      'a date that two orders fit',
      'time,x\n5/1/2026 9:00 AM,1\n5/2/2026 9:00 AM,2\n',
      'line 2 column time',
      'date-format',
    ],
    ['a year of two digits', 'time,x\n26-05-01,1\n', 'line 2 column time', 'date-format'],
    ['dates of two orders', 'time,x\n13/05/2026,1\n05/13/2026,2\n', 'line 3 column time', 'date-format'],
    ['numbers of no unit', 'time,x\n0,1.5\n1,1.6\n', 'epoch', '--elapsed'],
    ['days of Excel that nobody told', 'time,x\n46143.375,1.5\n', 'epoch', '--epoch'],
    ['numbers between two units', 'timestamp,x\n177762600000,1.5\n', 'epoch', '--epoch'],
    ['milliseconds that look like seconds', 'time (ms),x\n1777626000,1.5\n', 'epoch', '--epoch'],
    ['times of day without a date', 'time,x\n09:00:00,1.5\n09:01:00,1.6\n', 'timeColumn', '--elapsed'],
    [
      'a time that is none far below',
      `time,x\n${'2026-05-01T09:00:00Z,1\n'.repeat(3000)}noon,2\n`,
      'line 3002 column time',
      'noon',
    ],
    ['a day that is not there', 'time,x\n30.02.2026 09:00,1\n', 'line 2 column time', '30.02.2026'],
    [
      'a short line in the upper part',
      `time,a,b\n${Array.from({ length: 10 }, (_, i) => `2026-05-01 09:0${i}:00,${i},${i}\n`).join('')}2026-05-01 10:00:00,40\n${Array.from({ length: 20 }, (_, i) => `2026-05-01 10:${i + 10}:00,${i},${i}\n`).join('')}`,
      'line 12',
      'has 2 fields, the rows above it have 3',
    ],
    [
      'words in the upper part',
      `time,a,b\n${Array.from({ length: 10 }, (_, i) => `2026-05-01 09:0${i}:00,${i},${i}\n`).join('')}--- pump restarted ---\n${Array.from({ length: 20 }, (_, i) => `2026-05-01 10:${i + 10}:00,${i},${i}\n`).join('')}`,
      'line 12',
      'has 1 fields',
    ],
    [
      'two tables',
      'time,a\n2026-05-01,1\n2026-05-02,2\n\ntime,b\n2026-05-03,1\n2026-05-04,2\n2026-05-05,3\n',
      'line 5',
      '--header LINE',
    ],
    [
      'a time that is none in the first row',
      'time,a\n2026-05-01T08:59:60Z,5\n2026-05-01T09:00:00Z,1\n2026-05-01T09:01:00Z,2\n',
      'line 2',
      '2026-05-01T08:59:60Z',
    ],
  ])('refused: %s', async (_, text, field, message) => {
    await expect(read(text)).rejects.toMatchObject({
      code: 'invalid-input',
      message: expect.stringContaining(message),
      errors: [{ field }],
    });
  });

  test.each<[string, readonly string[]]>([
    ['Time (min),x\n0,1\n0.5,2\n', ['1970-01-01T00:00:00Z', '1970-01-01T00:00:30Z']],
    ['Elapsed [ms],x\n0,1\n1.5,2\n', ['1970-01-01T00:00:00Z', '1970-01-01T00:00:00.0015Z']],
    ['time_s,x\n0.1,1\n', ['1970-01-01T00:00:00.1Z']],
    ['Time,x\n0:00:00,1\n100:00:01.5,2\n', ['1970-01-01T00:00:00Z', '1970-01-05T04:00:01.5Z']],
    ['t,x\n1 days 02:03:04,1\n', ['1970-01-02T02:03:04Z']],
  ])('elapsed: %j', async (text, times) => {
    const { series } = await read(text);
    expect(series[0].spec.timeReference).toBe('relative');
    expect((await seen(series[0])).times).toEqual(times);
  });

  test.each<[string, readonly string[]]>([
    // Rows an hour apart: the second of two equal times is an hour later.
    ['01:00,02:00,02:00,03:00', ['23:00', '00:00', '01:00', '02:00']],
    // Many rows a second: equal times are one instant.
    ['01:59,02:00,02:00,02:00,02:01', ['23:59', '00:00', '00:00', '00:00', '00:01']],
    ['02:30,02:10', ['00:30', '01:10']],
  ])('a clock that is set back: %s', async (clock, utc) => {
    const rows = clock.split(',').map((time, i) => `2026-10-25 ${time}:00,${i}.5\n`);
    const times = await timesOf(`t,x\n${rows.join('')}`, { zone: BERLIN });
    expect(times.map((time) => time.slice(11, 16))).toEqual(utc);
  });

  test('each series of a long table has a clock of its own', async () => {
    const text = 't,unit,x\n2026-10-25 02:30,a,1\n2026-10-25 02:30,b,1\n2026-10-25 02:10,a,2\n2026-10-25 02:10,b,2\n';
    const { series } = await read(text, { zone: BERLIN });
    for (const each of series)
      expect((await seen(each)).times).toEqual(['2026-10-25T00:30:00Z', '2026-10-25T01:10:00Z']);
  });

  test('a time that the clock skipped is refused', async () => {
    const text = 't,x\n2026-03-29 01:50,1\n2026-03-29 02:10,2\n';
    await expect(read(text, { zone: BERLIN })).rejects.toMatchObject({ errors: [{ field: 'line 3 column t' }] });
    expect(await timesOf(text)).toEqual(['2026-03-29T01:50:00Z', '2026-03-29T02:10:00Z']);
  });

  test('options of an import become what they mean, and a wrong one is named', () => {
    expect(tableOptions('n', { tz: '+01:00' }).zone?.offsetAt(0)).toBe(3_600_000);
    expect(tableOptions('n', { tz: 'Europe/Berlin', start: '2026-05-01T09:00' }).startNs).toBe(
      parseTime('2026-05-01T07:00Z'),
    );
    expect(() => tableOptions('n', { tz: 'Berlin/Europe' })).toThrow('--tz');
    expect(() => tableOptions('n', { start: 'noon' })).toThrow('--start');
  });
});

describe('numbers of tables', () => {
  const column = (...fields: string[]): string =>
    `t;x\n${fields.map((field, i) => `2026-05-01 09:0${i};${field}\n`).join('')}`;

  test.each<[string, readonly string[], readonly (number | bigint)[]]>([
    ['decimal commas', ['1,5', '1.234,5', '0,123'], [1.5, 1234.5, 0.123]],
    ['one decimal comma decides for all', ['1,234', '2,5'], [1.234, 2.5]],
    ['thousands commas', ['1,234.5', '1,234'], [1234.5, 1234]],
    ['groups of spaces and apostrophes', ["1'234.5", '1 234', '12 345 678'], [1234.5, 1234, 12_345_678]],
    ['a minus of typographers, and exponents', ['−1.5', '1e3', '+2.5E-1'], [-1.5, 1000, 0.25]],
    ['words for nothing', ['1.5', '#N/A', 'NaN', '-', ''], [1.5, NaN, NaN, NaN, NaN]],
    [
      'what instruments write beyond their range',
      ['<0.1', '> 1000', '#DIV/0!', 'OVER', '2.5'],
      [NaN, NaN, NaN, NaN, 2.5],
    ],
    ['infinities', ['inf', '-Infinity', '1.5'], [Infinity, -Infinity, 1.5]],
    ['negative zero is a float', ['-0', '1'], [-0, 1]],
    ['whole numbers with a hole', ['1', '', '3'], [1, NaN, 3]],
    ['large whole numbers with a hole', ['9007199254740993', '', '3'], [9007199254740993n, -(2n ** 63n), 3n]],
    ['whole numbers beyond int64', ['18446744073709551615', '0'], [18446744073709551615n, 0n]],
    ['all of int64', ['-9223372036854775808', '9223372036854775807'], [-(2n ** 63n), 2n ** 63n - 1n]],
  ])('%s', async (_, fields, values) => {
    expect(await valuesOf(column(...fields), { delimiter: ';' })).toEqual(values);
  });

  test('a missing whole number is one to the series, too', async () => {
    const { series } = await read(column('9007199254740993', '', '3'));
    expect(series[0].spec).toMatchObject({ dtype: 'int64', missingValue: -(2n ** 63n) });
  });

  test('whole numbers that float64 would bend make a series beside the others', async () => {
    const { series } = await read('t,x,id\n2026-05-01,1.5,9007199254740993\n');
    expect(series.map(({ spec }) => [spec.name, spec.dtype])).toEqual([
      ['run', 'float64'],
      ['run/id', 'int64'],
    ]);
    expect((await seen(series[1])).values).toEqual([9007199254740993n]);
  });

  test('whole numbers beyond all integers are told', async () => {
    const { series, notes } = await read(column('99999999999999999999999'));
    expect(series[0].spec.dtype).toBe('float64');
    expect(notes.join('\n')).toContain('x has whole numbers beyond int64, of up to 23 digits');
  });

  test('thousands commas between quotes', async () => {
    expect(await valuesOf('t,x\n2026-05-01,"1,234"\n2026-05-02,"1,234,567"\n')).toEqual([1234n, 1234567n]);
    expect(await valuesOf('t,x\n2026-05-01,"1,234"\n2026-05-02,"21,5"\n')).toEqual([1.234, 21.5]);
  });

  test('a comma that two styles fit is refused until it is told', async () => {
    await expect(read(column('1,234'))).rejects.toMatchObject({
      message: expect.stringContaining('--decimal'),
      errors: [{ field: 'line 2' }],
    });
    expect(await valuesOf(column('1,234'), { decimal: ',' })).toEqual([1.234]);
    expect(await valuesOf(column('1,234'), { decimal: '.' })).toEqual([1234n]);
  });

  test('a number in the style of others is no word', async () => {
    await expect(read(column('1.5', '2,5', '3.5'), { decimal: '.' })).rejects.toMatchObject({
      errors: [{ field: 'line 3 column x' }],
    });
  });

  test('a dtype that is told holds its numbers or says which it does not', async () => {
    const { series } = await read(column('1', '2'), { dtype: 'int16' });
    expect(series[0].spec.dtype).toBe('int16');
    await expect(read(column('1', '70000'), { dtype: 'int16' })).rejects.toMatchObject({
      errors: [{ field: 'line 3 column x' }],
    });
  });

  test('numbers never name series, however often they come again', async () => {
    const { series } = await read('t,x,id\n2026-05-01,1.5,7\n2026-05-02,1.5,7\n2026-05-03,1.5,8\n2026-05-04,1.5,8\n');
    expect(series.map(({ spec }) => [spec.name, spec.channels.length])).toEqual([['run', 2]]);
  });
});

describe('the frame of a table', () => {
  const BODY = 'time,T [°C]\n2026-05-01T09:00:00Z,21.5\n';
  const CHANNELS = [{ label: 'T', unit: 'Cel' }];

  test.each<[string, Buffer]>([
    ['a byte order mark', Buffer.from(`\uFEFF${BODY}`)],
    ['UTF-16 with a mark', Buffer.from(`\uFEFF${BODY}`, 'utf16le')],
    ['UTF-16 the other way round', Buffer.from(`\uFEFF${BODY}`, 'utf16le').swap16()],
    ['UTF-16 without a mark', Buffer.from(BODY, 'utf16le')],
    ['Latin-1', Buffer.from(BODY, 'latin1')],
    ['line ends of old Macs', Buffer.from(BODY.replaceAll('\n', '\r'))],
    ['line ends of Windows', Buffer.from(BODY.replaceAll('\n', '\r\n'))],
  ])('%s', async (_, bytes) => {
    const { series } = await read(bytes);
    expect(series[0].spec.channels).toEqual(CHANNELS);
    expect((await seen(series[0])).values).toEqual([21.5]);
  });

  test('Latin-1 is told, and a late letter of it found', async () => {
    const text = `time,x,note\n${'2026-05-01T09:00:00Z,1.5,\n'.repeat(50_000)}2026-05-01T09:00:00Z,2.5,Kühlung\n`;
    const { series, notes } = await read(Buffer.from(text, 'latin1'));
    expect(notes).toContain('the text is no UTF-8 and was read as Latin-1');
    expect(series[0].annotations.map(({ label }) => label)).toEqual(['Kühlung']);
  });

  test.each<[string, string, Options]>([
    ['a preamble', 'Logger 3\nSerial;1234\nDate;1/2/2026\n\ntime,a,b\n2026-05-01,1.5,2\n2026-05-02,1.5,2\n', {}],
    [
      'a preamble with quotes that do not end',
      'made by "me\nSerial: 5" tube\ntime,a,b\n2026-05-01,1.5,2\n2026-05-02,3,4\n',
      {},
    ],
    [
      'a preamble as wide as the table',
      'Serial,1234,\nDate,1/2/2026,\ntime,a,b\n2026-05-01,1.5,2\n2026-05-02,3,4\n',
      {},
    ],
    ['a header in a comment', '# made by me\n# time,a,b\n2026-05-01,1.5,2\n', {}],
    ['sep=', 'sep=;\ntime;a;b\n2026-05-01;1.5;2\n', {}],
    ['tabs', 'time\ta\tb\n2026-05-01\t1.5\t2\n', {}],
    ['bars', 'time|a|b\n2026-05-01|1.5|2\n', {}],
    ['white space', 'time    a     b\n2026-05-01  1.5   2\n2026-05-02  1.5   22\n', {}],
    ['a header that is named', 'units,a,b\ntime,a,b\n2026-05-01,1.5,2\n', { header: '2' }],
    ['a header that is there again', 'time,a,b\n2026-05-01,1.5,2\ntime,a,b\n2026-05-02,1.5,2\n', {}],
    ['delimiters at the ends of rows', 'time,a,b,\n2026-05-01,1.5,2,\n', {}],
  ])('%s', async (_, text, options) => {
    const { series } = await read(text, options);
    expect(series[0].spec.channels.map(({ label }) => label)).toEqual(['a', 'b']);
    expect((await seen(series[0])).values.slice(0, 2)).toEqual([1.5, 2]);
    expect((await seen(series[0])).times[0]).toBe('2026-05-01T00:00:00Z');
  });

  test.each<[string, object]>([
    ['Temp (°C)', { label: 'Temp', unit: 'Cel' }],
    ['temp [degC]', { label: 'temp', unit: 'Cel' }],
    ['OD_600', { label: 'OD_600' }],
    ['Voltage (mV)', { label: 'Voltage', unit: 'mV' }],
    ['Current (µA)', { label: 'Current', unit: 'uA' }],
    ['Pressure [mmHg]', { label: 'Pressure', unit: 'mm[Hg]' }],
    ['Flow (mL/min)', { label: 'Flow', unit: 'mL/min' }],
    ['Humidity (%)', { label: 'Humidity', unit: '%' }],
    ['Signal (raw)', { label: 'Signal (raw)' }],
    ['Dose [pfu]', { label: 'Dose', unit: 'pfu' }],
    ['Force / N', { label: 'Force', unit: 'N' }],
    ['Conductance (mS)', { label: 'Conductance', unit: 'mS' }],
  ])('the header %s', async (header, channel) => {
    const { series } = await read(`time,${header}\n2026-05-01,1.5\n`);
    expect(series[0].spec.channels).toEqual([channel]);
  });

  test('headers that differ by their units alone keep them in their labels', async () => {
    const { series } = await read('time,T (°C),T (K)\n2026-05-01,1.5,274.65\n');
    expect(series[0].spec.channels).toEqual([
      { label: 'T (°C)', unit: 'Cel' },
      { label: 'T (K)', unit: 'K' },
    ]);
  });

  test('over 64 columns and more than there are rows are refused until their place is told', async () => {
    const wide = `time,${Array.from({ length: 70 }, (_, i) => `c${i}`).join(',')}\n2026-05-01,${'1.5,'.repeat(69)}1.5\n`;
    await expect(read(wide)).rejects.toMatchObject({ errors: [{ field: 'orient' }] });
    expect((await read(wide, { orient: 'rows' })).series[0].spec.channels).toHaveLength(70);
  });

  test('a table whose rows are channels is turned when that is told', async () => {
    const { series } = await read('time,2026-05-01,2026-05-02\na,1.5,2.5\nb,3.5,4.5\n', { orient: 'channels' });
    expect(await seen(series[0])).toEqual({
      times: ['2026-05-01T00:00:00Z', '2026-05-02T00:00:00Z'],
      values: [1.5, 3.5, 2.5, 4.5],
    });
  });

  test('a mapping names, gives units, and leaves columns out', async () => {
    const { series } = await read('time,a,b,c\n2026-05-01,1.5,2.5,3.5\n', {
      columns: { a: { label: 'force', unit: 'N' }, b: { role: 'ignore' } },
    });
    expect(series[0].spec.channels).toEqual([{ label: 'force', unit: 'N' }, { label: 'c' }]);
  });

  test.each<[string, string | Buffer]>([
    ['zeros', Buffer.from([0x50, 0x4b, 3, 4, 0, 0, 0, 0, 0, 0, 1, 2, 3])],
    ['nothing', ''],
    ['empty lines', '\n\n\n'],
    ['words', 'hello world\nhow are you\n'],
    ['a header alone', 'time,a\n'],
  ])('refused: %s', async (_, body) => {
    await expect(read(body)).rejects.toMatchObject({ code: 'invalid-input' });
  });
});

describe('exports of plate readers', () => {
  const I_CONTROL =
    'Device: infinite 200Pro\nDate:,27.10.2021\n\nCycle Nr.,1,2,3\nTime [s],0,300.5,600\nTemp. [°C],37,37.1,37\n' +
    'A1,0.1,0.11,0.12\nA2,0.2,OVER,0.22\nB1,0.3,0.31,0.32\n\nEnd Time:,10/27/2021 2:00:00 PM\n';

  test('Tecan i-control with wells as rows', async () => {
    const { series, notes } = await read(I_CONTROL);
    expect(series.map(({ spec }) => spec.name)).toEqual(['run/Temp. [°C]', 'run/A1', 'run/A2', 'run/B1']);
    expect(series[2].spec.tags).toEqual({ plate: 'run', well: 'A2', row: 'A', column: 2 });
    expect(await seen(series[2])).toEqual({
      times: ['1970-01-01T00:00:00Z', '1970-01-01T00:05:00.5Z', '1970-01-01T00:10:00Z'],
      values: [0.2, NaN, 0.22],
    });
    expect(notes.join('\n')).toContain('"OVER" of A2 in line 8');
  });

  test('Tecan i-control with wells as columns, and decimal commas', async () => {
    const { series } = await read(
      'Cycle Nr.\tTime [s]\tTemp. [°C]\tA1\tA2\tB1\n1\t0\t37\t0,1\t0,2\t0,3\n2\t300\t37,1\t0,11\t0,21\t0,31\n',
    );
    const well = series.find(({ spec }) => spec.tags.well === 'B1')!;
    expect(await seen(well)).toEqual({ times: ['1970-01-01T00:00:00Z', '1970-01-01T00:05:00Z'], values: [0.3, 0.31] });
  });

  test('Tecan Magellan', async () => {
    const { series } = await read(',0s,600s\nA1,0.1,0.2\nA2,0.3,0.4\n');
    expect(await seen(series[1])).toEqual({
      times: ['1970-01-01T00:00:00Z', '1970-01-01T00:10:00Z'],
      values: [0.3, 0.4],
    });
  });

  test('Gen5 with two reads', async () => {
    const block = (read: string, value: string): string =>
      `${read},,,,,\n,,,,,\n,Time,T° ${read},A1,A2,A3\n,0:10:00,28,${value},0.2,0.3\n,24:10:00,28.1,0.4,0.5,0.6\n,0:00:00,,,,\n\n`;
    const { series } = await read(
      `Software Version,3.11.19\nPlate Number,Plate 7\n\n${block('600', '0.1')}${block('700', '0.9')}`,
    );
    expect(series.map(({ spec }) => spec.name)).toContain('run/700/A1');
    const other = series.find(({ spec }) => spec.name === 'run/700/A1')!;
    expect(other.spec.tags).toMatchObject({ plate: 'Plate 7', read: '700', well: 'A1' });
    expect(await seen(other)).toEqual({ times: ['1970-01-01T00:10:00Z', '1970-01-02T00:10:00Z'], values: [0.9, 0.4] });
  });

  const END_POINT =
    'Plate Number,Plate 7\nDate,10/27/2021\nTime,1:29:17 PM\n\nResults\n,1,2,3,\nA,0.1,0.2,0.3,600\nB,0.4,0.5,0.6,600\n';

  test('Gen5 end point: a plate drawn as it lies, at the time that the file says', async () => {
    const { series } = await read(END_POINT, { zone: BERLIN });
    expect(series).toHaveLength(6);
    expect(series[5].spec.tags).toEqual({ plate: 'Plate 7', read: '600', well: 'B3', row: 'B', column: 3 });
    expect(await seen(series[5])).toEqual({ times: ['2021-10-27T11:29:17Z'], values: [0.6] });
  });

  test('an end point without a time, or with a date that two orders fit, is refused until it is told', async () => {
    await expect(read(END_POINT.replace(/Date.*\nTime.*\n/, ''))).rejects.toMatchObject({
      errors: [{ field: 'start' }],
    });
    const open = END_POINT.replace('10/27/2021', '10/7/2021');
    await expect(read(open)).rejects.toMatchObject({ message: expect.stringContaining('--date-format') });
    expect((await seen((await read(open, { dateFormat: 'DMY' })).series[0])).times).toEqual(['2021-07-10T13:29:17Z']);
  });

  test('electrodes of an EEG are no wells', async () => {
    const { series } = await read('time,F3,F4,C3,C4,P3,P4,O1,O2\n2026-05-01,1.5,2,3,4,5,6,7,8\n');
    expect(series).toHaveLength(1);
  });
});

describePython('pandas', ['pandas'], (run) => {
  test('reads the same numbers from a German table', async () => {
    const rows = Array.from(
      { length: 200 },
      (_, i) =>
        `01.05.2026 09:${String(i % 60).padStart(2, '0')}:00;${(Math.sin(i) * 12_345.678).toFixed(i % 9).replace('.', ',')}`,
    );
    const text = `Zeit;x\n${rows.join('\n')}\n`;
    const script = `
import sys, pandas as pd
df = pd.read_csv(sys.stdin.buffer, sep=';', decimal=',', float_precision='round_trip', parse_dates=['Zeit'], dayfirst=True)
sys.stdout.buffer.write(df['Zeit'].to_numpy('datetime64[ns]').astype('<i8').tobytes() + df['x'].to_numpy('<f8').tobytes())`;
    const { times, valueBytes } = await rowsOf((await read(text)).series[0].batches());
    const ours = Buffer.concat([Buffer.from(BigInt64Array.from(times!).buffer), valueBytes]);
    expect(ours.equals(run(script, text))).toBe(true);
  });
});

/** Mutations of a table: each is read or refused in our words. `VARVE_TEST_MODEL_RUNS` makes more. */
test('damaged tables are read or refused, and never worse', async () => {
  const runs = Number(process.env.VARVE_TEST_MODEL_RUNS ?? 0) * 100 || 500;
  const seeds = [
    'sep=;\nZeit;Temperatur [°C];pH\n01.05.2026 09:00:00;21,5;7,40\n01.05.2026 09:01:00;21,6;7,41\n',
    'Date,Time,Temp,note\n5/13/2026,9:00 AM,"1,234.5",start\n5/14/2026,1:05 PM,>1000,\n',
    'Cycle Nr.,1,2\nTime [s],0,300\nA1,0.1,0.2\nA2,0.2,0.3\n\n,1,2,3\nA,1,2,3\nB,1,2,3\n',
    '\uFEFF,Time,T° 600,A1,A2\n,0:14:16,28,0.1,0.2\n,24:29:16,28,0.1,0.3\n',
  ].map((text) => Buffer.from(text));
  const SPLICES = [',', ';', '"', '\n', '\t', '0', '-', ':', 'é', '\0', '9'.repeat(400), 'nan', '#'];
  let random = 17;
  const next = (below: number): number => {
    random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0;
    return (random >>> 8) % below;
  };
  for (let i = 0; i < runs; i++) {
    let bytes = Buffer.from(seeds[next(seeds.length)]);
    for (let cuts = 1 + next(4); cuts > 0; cuts--) {
      const at = next(bytes.length + 1);
      const kind = next(4);
      if (kind === 0) bytes[Math.min(at, bytes.length - 1)] = next(256);
      else if (kind === 1)
        bytes = Buffer.concat([bytes.subarray(0, at), Buffer.from(SPLICES[next(SPLICES.length)]), bytes.subarray(at)]);
      else if (kind === 2) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + next(20))]);
      else bytes = Buffer.concat([bytes.subarray(0, at), bytes]);
    }
    try {
      const { series } = await read(bytes);
      for (const { batches } of series.slice(0, 3)) await rowsOf(batches());
    } catch (error) {
      if (typeof (error as { slug?: unknown }).slug !== 'string')
        throw new Error(JSON.stringify(bytes.toString('latin1')), { cause: error });
    }
  }
});
