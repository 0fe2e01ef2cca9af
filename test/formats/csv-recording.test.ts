import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { parseTime } from '../../src/core/time.ts';
import { readCsvRecording, type CsvRecordingOptions } from '../../src/formats/recordings/csv-recording.ts';
import { describePython } from '../support/python.ts';
import { describeRecordings, expectedOf, sharedDataPath } from '../support/shared-data.ts';
import { rowsOf, streamOf } from './streams.ts';

function read(text: string, options: Partial<CsvRecordingOptions> = {}) {
  return readCsvRecording(() => streamOf(text, 11), { name: 'run', ...options });
}

interface ExpectedTable {
  readonly rows: number;
  readonly value: { readonly sha256_le: string };
  readonly time_ns: { readonly sha256_le: string };
}

interface ExpectedUnit {
  readonly time_first: string;
  readonly time_last: string;
  readonly od: { readonly n: number; readonly first: number[] };
}

describeRecordings('real CSV recordings', () => {
  test('groundwater heads: every row, empty value and time', async () => {
    const expected = expectedOf('groundwater/B49F0232_1.csv') as ExpectedTable;
    const open = () => createReadStream(sharedDataPath('groundwater/B49F0232_1.csv'));
    const { series, notes } = await readCsvRecording(open, { name: 'B49F0232_1' });
    expect(series).toHaveLength(1);
    expect(series[0].spec).toMatchObject({
      name: 'B49F0232_1',
      dtype: 'float64',
      channels: [{ label: 'B49F0232_1' }],
      sampling: { kind: 'irregular' },
      duplicates: 'keep',
    });
    expect(series[0].rows).toBe(expected.rows);
    const { valueBytes, times } = await rowsOf(series[0].batches());
    expect(sha256(valueBytes)).toBe(expected.value.sha256_le);
    expect(sha256(new Uint8Array(BigInt64Array.from(times!).buffer))).toBe(expected.time_ns.sha256_le);
    expect(notes).toContain('times without a zone were taken as UTC');
  });

  const OD = 'bioreactor/example_2_Pio_Experiment_od_readings.csv';
  const openOd = () => createReadStream(sharedDataPath(OD));

  test('optical densities in long form: a series a bioreactor', async () => {
    const expected = expectedOf(OD) as Record<string, ExpectedUnit>;
    const { series } = await readCsvRecording(openOd, {
      name: 'od',
      timeColumn: 'timestamp',
      valueColumns: ['od_reading'],
      by: ['pioreactor_unit'],
    });
    expect(series.map(({ spec }) => [spec.name, spec.tags])).toEqual(
      Object.keys(expected).map((unit) => [`od/${unit}`, { pioreactor_unit: unit }]),
    );
    for (const recorded of series) {
      const { spec, rows } = recorded;
      const unit = expected[spec.tags.pioreactor_unit as string];
      const got = await rowsOf(recorded.batches());
      expect([rows, got.rows]).toEqual([unit.od.n, unit.od.n]);
      expect(got.times![0]).toBe(parseTime(unit.time_first));
      expect(got.times!.at(-1)).toBe(parseTime(unit.time_last));
      // Expected are the numbers of pandas' default parser, which drops digits after the 17th; exact ones are compared below.
      const values = new Float64Array(new Uint8Array(got.valueBytes).buffer);
      unit.od.first.forEach((value, i) => expect(values[i]).toBeCloseTo(value, 14));
    }
  });

  test('without options the time with a zone, the numbers and the repeating texts are found', async () => {
    const { series, notes } = await readCsvRecording(openOd, { name: 'od' });
    expect(series.map(({ spec, rows }) => [spec.name, rows])).toEqual([
      ['od/P06', 5712],
      ['od/P07', 5454],
      ['od/P08', 5712],
      ['od/P10', 5712],
    ]);
    expect(series[0].spec.channels.map(({ label }) => label)).toEqual(['od_reading', 'angle', 'channel']);
    expect(series[0].spec.tags).toEqual({ experiment: 'CNx018-2-Pio-Experiment', pioreactor_unit: 'P06' });
    expect(notes).toEqual([
      'times were taken from the column timestamp',
      'rows were split into series by experiment, pioreactor_unit',
      'columns left out: timestamp_localtime',
    ]);
  });
});

describePython('pandas with exact parsing', ['pandas'], (run) => {
  describeRecordings('bioreactor', () => {
    test('every float64 of the optical densities is the one its text means', async () => {
      const path = sharedDataPath('bioreactor/example_2_Pio_Experiment_od_readings.csv');
      const { series } = await readCsvRecording(() => createReadStream(path), {
        name: 'od',
        valueColumns: ['od_reading'],
      });
      const script = `
import sys, hashlib, pandas as pd
df = pd.read_csv(sys.stdin.buffer, float_precision='round_trip')
for unit, rows in df.groupby('pioreactor_unit'):
    print(hashlib.sha256(rows['od_reading'].to_numpy('<f8').tobytes()).hexdigest())`;
      const chunks: Buffer[] = [];
      for await (const chunk of createReadStream(path)) chunks.push(chunk as Buffer);
      const hashes = run(script, Buffer.concat(chunks)).toString().trim().split('\n');
      for (const [i, recorded] of series.entries())
        expect(sha256((await rowsOf(recorded.batches())).valueBytes)).toBe(hashes[i]);
    });
  });
});

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

describe('CSV recordings', () => {
  test.each([
    ['2026-05-01T09:00:00Z', 1_777_626_000_000_000_000n],
    ['2026-05-01 09:00:00', 1_777_626_000_000_000_000n],
    ['2026-05-01 09:00:00.000001', 1_777_626_000_000_001_000n],
    ['2026-05-01 09:00:00.5 UTC', 1_777_626_000_500_000_000n],
    ['2026-05-01 11:00:00+02:00', 1_777_626_000_000_000_000n],
    ['2026-05-01', 1_777_593_600_000_000_000n],
  ])('the time %s is read', async (time, ns) => {
    const { series } = await read(`\uFEFFwhen,x\r\n${time},1\r\n`);
    expect((await rowsOf(series[0].batches())).times).toEqual([ns]);
  });

  test('rows keep the order of the file, and a note says that some go back', async () => {
    const { series, notes } = await read('t,x\n2026-01-02,1\n2026-01-01,\n2026-01-01,3\n');
    const got = await rowsOf(series[0].batches());
    expect([...new Float64Array(new Uint8Array(got.valueBytes).buffer)]).toEqual([1, NaN, 3]);
    expect(notes.join('\n')).toMatch(/1 rows lie before the row above/);
  });

  test('by nothing keeps all rows in one series; columns of the same name stay apart', async () => {
    const { series, notes } = await read('t,u,x,x\n2026-01-01,a,1,2\n2026-01-02,a,3,4\n', { by: [] });
    expect(series.map(({ spec }) => [spec.name, spec.channels.map(({ label }) => label)])).toEqual([
      ['run', ['x', 'x (2)']],
    ]);
    expect(notes).toContain('columns left out: u');
  });

  test('numbers a file is split by become numbers among the tags', async () => {
    const { series } = await read('t;well;x\n2026-01-01;1;1.5\n2026-01-01;A1;2\n', { by: ['well'], delimiter: ';' });
    expect(series.map(({ spec }) => [spec.name, spec.tags.well])).toEqual([
      ['run/1', 1],
      ['run/A1', 'A1'],
    ]);
  });

  test('whole nanoseconds are times where the column is named', async () => {
    const { series, notes } = await read('t,x\n1777626000000000001,1\n', { timeColumn: 't' });
    expect((await rowsOf(series[0].batches())).times).toEqual([1_777_626_000_000_000_001n]);
    expect(notes.join('\n')).toMatch(/19 digits in t were taken as nanoseconds/);
  });

  test.each<[string, string, Partial<CsvRecordingOptions>, string, string]>([
    ['an empty file', '', {}, 'invalid-input', 'body'],
    ['no times', 'a,b\n1,2\n', {}, 'invalid-input', 'timeColumn'],
    ['no numbers', 't,b\n2026-01-01,x\n', {}, 'invalid-input', 'body'],
    ['an unknown column', 't,b\n2026-01-01,1\n', { by: ['c'] }, 'invalid-input', 'by'],
    ['a time that is none', 't,b\n2026-01-01,1\nnoon,2\n', { timeColumn: 't' }, 'invalid-input', 'line 3 column t'],
    [
      'a value that is none',
      't,b\n2026-01-01,1\n2026-01-01,x\n',
      { valueColumns: ['b'] },
      'invalid-input',
      'line 3 column b',
    ],
    ['a short row', 't,b\n2026-01-01,1\n2026-01-01\n', {}, 'invalid-input', 'line 3'],
  ])('%s is an error that names the place, before anything is created', async (_, text, options, code, field) => {
    await expect(read(text, options)).rejects.toMatchObject({ code, errors: [{ field }] });
  });

  test('a column that makes over a thousand series is refused', async () => {
    const rows = Array.from({ length: 1001 }, (_, i) => `2026-01-01,${i},u${i}`);
    await expect(read(`t,x,u\n${rows.join('\n')}`, { by: ['u'] })).rejects.toMatchObject({ code: 'limit-exceeded' });
  });
});
