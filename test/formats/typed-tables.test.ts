/** Tables that say their types: Parquet, Arrow, workbooks, and archives of NumPy arrays. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { DuckDBInstance } from '@duckdb/node-api';
import { viewAs } from '../../src/core/numbers/dtype.ts';
import type { RecordedSeries, Recording } from '../../src/core/signal/recording.ts';
import { formatTime } from '../../src/core/time.ts';
import { openRecording } from '../../src/flows/import/open-recording.ts';
import { readRecordingOptions, type RecordingOptions } from '../../src/flows/import/recording-options.ts';
import { decodeArrow } from '../../src/formats/samples/arrow-decode.ts';
import { describePython } from '../support/python.ts';
import { PACKED_FILES, PACKED_STREAMS } from './packed-arrow.ts';
import { rowsOf, shapeOf, streamOf } from './streams.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'varve-tables-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const path = (name: string): string => join(folder, name);

const opened: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0)) await close();
});

async function read(name: string, options: RecordingOptions = {}): Promise<Recording> {
  const { recording, close } = await openRecording(path(name), { name: 'run', ...options }, () => {});
  opened.push(close);
  return recording;
}

async function seen({ spec, batches }: RecordedSeries): Promise<{ times: string[]; values: (number | bigint)[] }> {
  const { times, valueBytes } = await rowsOf(batches());
  return { times: (times ?? []).map(formatTime), values: [...viewAs(spec.dtype, valueBytes)] };
}

function named({ series }: Recording, name: string): RecordedSeries {
  return series.find(({ spec }) => spec.name === name)!;
}

const ROWS = Array.from({ length: 48 }, (_, i) => i);

describe('Arrow that is packed', () => {
  test.each(['lz4', 'zstd'] as const)(
    'with %s: dictionaries name series, nulls, truths and int64 are as they were',
    async (codec) => {
      await writeFile(path(`${codec}.feather`), Buffer.from(PACKED_FILES[codec], 'base64'));
      const recording = await read(`${codec}.feather`);
      expect(recording.series.map(({ spec }) => [spec.name, spec.dtype])).toEqual([
        ['run/rat', 'float64'],
        ['run/rat/ok', 'uint8'],
        ['run/rat/n', 'int64'],
        ['run/mouse', 'float64'],
        ['run/mouse/ok', 'uint8'],
        ['run/mouse/n', 'int64'],
      ]);
      const mine = ROWS.filter((i) => i % 2 === 1);
      expect((await seen(named(recording, 'run/mouse'))).values).toEqual(mine.map((i) => (i === 5 ? NaN : i % 7)));
      expect((await seen(named(recording, 'run/mouse/ok'))).values).toEqual(mine.map((i) => Number(i % 3 === 0)));
      expect((await seen(named(recording, 'run/mouse/n'))).values).toEqual(
        mine.map((i) => 9007199254740993n + BigInt(i % 4)),
      );
      expect((await seen(named(recording, 'run/mouse'))).times[1]).toBe('2026-05-01T09:00:00.000001Z');
      expect(recording.notes).toContain('columns left out: list');
    },
  );

  test.each(['lz4', 'zstd'] as const)('with %s is read as samples of a series', async (codec) => {
    const body = Buffer.from(PACKED_STREAMS[codec], 'base64');
    const { valueBytes } = await rowsOf(decodeArrow(streamOf(body), shapeOf('float64', 1, 'irregular')));
    expect([...viewAs('float64', valueBytes)]).toEqual(ROWS.map((i) => i % 7));
  });

  test.each(['lz4', 'zstd'] as const)(
    'with %s and damaged is refused, and takes no memory that it asks for',
    async (codec) => {
      const whole = Buffer.from(PACKED_STREAMS[codec], 'base64');
      const runs = Number(process.env.VARVE_TEST_MODEL_RUNS ?? 0) * 100 || 500;
      for (let run = 0; run < runs; run++) {
        const bytes = Buffer.from(whole);
        bytes[(run * 7919) % bytes.length] ^= 1 + (run % 255);
        bytes[(run * 104_729) % bytes.length] ^= run % 3;
        const decoded = rowsOf(decodeArrow(streamOf(bytes), shapeOf('float64', 1, 'irregular')));
        await decoded.catch((error: unknown) => {
          if (typeof (error as { slug?: unknown }).slug !== 'string') throw error;
        });
      }
    },
  );
});

describe('Parquet', () => {
  beforeAll(async () => {
    const database = await (await DuckDBInstance.create()).connect();
    await database.run(`COPY (SELECT TIMESTAMP '2026-05-01 09:00:00.000001' + INTERVAL (i) SECOND AS time, i::DOUBLE / 3 AS "x (mV)",
      (i * 3)::SMALLINT AS n, 9007199254740993 + i AS big, i % 2 = 0 AS ok, CASE WHEN i = 3 THEN NULL ELSE i::INTEGER END AS holed,
      CASE WHEN i = 1 THEN NULL ELSE i END AS deep, CASE WHEN i = 2 THEN 'fed' END AS note
      FROM range(5000) t(i)) TO '${path('many.parquet')}' (FORMAT PARQUET, CODEC 'ZSTD', ROW_GROUP_SIZE 2048)`);
    await database.run(`COPY (SELECT TIMESTAMPTZ '2026-05-01 09:00:00+02' AS at, 1.5::FLOAT AS f, 255::UTINYINT AS u,
      18446744073709551615::UBIGINT AS uu, [1, 2] AS list) TO '${path('zoned.parquet')}' (FORMAT PARQUET, CODEC 'SNAPPY')`);
    await database.run(
      `COPY (SELECT i AS time, 1.5 AS x FROM range(3) t(i)) TO '${path('counted.parquet')}' (FORMAT PARQUET)`,
    );
    await database.run(
      `COPY (SELECT TIMESTAMP '2026-10-25 02:30:00' AS time, 1.5::DOUBLE AS x UNION ALL SELECT TIMESTAMP '2026-10-25 02:10:00', 2.5) TO '${path('local.parquet')}' (FORMAT PARQUET)`,
    );
    database.closeSync();
  });

  test('of several groups: each number as it was, in its dtype', async () => {
    const recording = await read('many.parquet');
    expect(recording.series.map(({ spec }) => [spec.name, spec.dtype, spec.channels, spec.missingValue])).toEqual([
      ['run', 'float64', [{ label: 'x', unit: 'mV' }, { label: 'n' }, { label: 'holed' }], null],
      ['run/int64', 'int64', [{ label: 'big' }, { label: 'deep' }], -(2n ** 63n)],
      ['run/ok', 'uint8', [{ label: 'ok' }], null],
    ]);
    const { times, values } = await seen(recording.series[0]);
    expect(times[4999]).toBe('2026-05-01T10:23:19.000001Z');
    expect(values).toEqual(
      Array.from({ length: 5000 }, (_, i) => [i / 3, ((i * 3) << 16) >> 16, i === 3 ? NaN : i]).flat(),
    );
    const deep = (await seen(recording.series[1])).values;
    expect(deep.slice(0, 4)).toEqual([9007199254740993n, 0n, 9007199254740994n, -(2n ** 63n)]);
    expect(recording.series[0].annotations.map(({ startNs, label }) => [formatTime(startNs), label])).toEqual([
      ['2026-05-01T09:00:02.000001Z', 'fed'],
    ]);
  });

  test('instants, unsigned numbers and float32', async () => {
    const recording = await read('zoned.parquet');
    expect(await seen(recording.series[0])).toEqual({ times: ['2026-05-01T07:00:00Z'], values: [1.5, 255] });
    expect(await seen(recording.series[1])).toEqual({
      times: ['2026-05-01T07:00:00Z'],
      values: [18446744073709551615n],
    });
  });

  test('times without a zone are those of the place that is told', async () => {
    const recording = await read('local.parquet', { tz: 'Europe/Berlin' });
    expect((await seen(recording.series[0])).times).toEqual(['2026-10-25T00:30:00Z', '2026-10-25T01:10:00Z']);
  });

  test('numbers for times are refused until their unit is told', async () => {
    await expect(read('counted.parquet')).rejects.toMatchObject({ errors: [{ field: 'epoch' }] });
    const recording = await read('counted.parquet', { elapsed: 'min' });
    expect((await seen(recording.series[0])).times[2]).toBe('1970-01-01T00:02:00Z');
  });

  test('that is cut off or damaged is refused in our words', async () => {
    const { readFile } = await import('node:fs/promises');
    const whole = await readFile(path('zoned.parquet'));
    for (let run = 0; run < 300; run++) {
      const bytes = Buffer.from(run % 5 === 0 ? whole.subarray(0, (run * 31) % whole.length) : whole);
      if (bytes.length > 0) bytes[(run * 7919) % bytes.length] ^= 1 + (run % 255);
      await writeFile(path('damaged.parquet'), bytes);
      try {
        for (const { batches } of (await read('damaged.parquet')).series) await rowsOf(batches());
      } catch (error) {
        if (typeof (error as { slug?: unknown }).slug !== 'string') throw error;
      }
    }
  });
});

describePython('workbooks and archives', ['openpyxl', 'numpy'], (run) => {
  beforeAll(() => {
    run(`
import datetime as dt, zipfile, numpy as np, openpyxl
folder = ${JSON.stringify(folder)}
book = openpyxl.Workbook()
sheet = book.active
sheet.title = 'log'
sheet.append(['Logger 3'])
sheet.append([])
sheet.append(['When', 'Temp (°C)', 'n', 'ok', 'note'])
sheet.append([dt.datetime(2026, 5, 1, 9, 0, 0, 125000), 21.5, 1, True, 'start'])
sheet.append([dt.datetime(2026, 5, 2), None, 2, False, None])
other = book.create_sheet('split')
other.append(['Date', 'Time', 'x'])
other.append([dt.date(2026, 5, 1), dt.time(9, 0), 1.5])
spans = book.create_sheet('spans')
spans.append(['Time', 'A1', 'A2', 'A3'])
spans.append([dt.timedelta(minutes=5), 0.1, 0.2, 0.3])
spans.append([dt.timedelta(hours=25), 0.4, 0.5, 0.6])
serial = book.create_sheet('serial')
serial.append(['Time', 'x'])
serial.append([46143.375, 1.5])
book.save(folder + '/book.xlsx')
np.savez_compressed(folder + '/rate.npz', fs=250.0, eeg=np.asfortranarray(np.arange(12.).reshape(4, 3)), trig=np.array([True, False, True, True]))
np.savez(folder + '/times.npz', t=np.array(['2026-05-01', '2026-05-02'], dtype='M8[D]'), x=np.arange(4, dtype='<i2').reshape(2, 2), y=np.arange(6.).reshape(3, 2))
with zipfile.ZipFile(folder + '/bomb.xlsx', 'w', zipfile.ZIP_DEFLATED) as bomb:
    bomb.writestr('xl/workbook.xml', b'')
    bomb.writestr('xl/worksheets/sheet1.xml', b' ' * 200_000_000)
with zipfile.ZipFile(folder + '/other.xlsx', 'w') as other:
    other.writestr('a.txt', 'a')
`);
  });

  test('a sheet of dates, numbers, truths and notes', async () => {
    const recording = await read('book.xlsx');
    expect(named(recording, 'run').spec.channels).toEqual([{ label: 'Temp', unit: 'Cel' }, { label: 'n' }]);
    expect(await seen(named(recording, 'run'))).toEqual({
      times: ['2026-05-01T09:00:00.125Z', '2026-05-02T00:00:00Z'],
      values: [21.5, 1, NaN, 2],
    });
    expect((await seen(named(recording, 'run/ok'))).values).toEqual([1, 0]);
    expect(recording.notes.join('\n')).toContain('--sheet names another: split, spans, serial');
  });

  test('dates and times of day in columns of their own, and times past a day', async () => {
    expect((await seen((await read('book.xlsx', { sheet: 'split' })).series[0])).times).toEqual([
      '2026-05-01T09:00:00Z',
    ]);
    const plate = await read('book.xlsx', { sheet: '3' });
    expect(await seen(named(plate, 'run/A3'))).toEqual({
      times: ['1970-01-01T00:05:00Z', '1970-01-02T01:00:00Z'],
      values: [0.3, 0.6],
    });
  });

  test('days of Excel are times once that is told', async () => {
    await expect(read('book.xlsx', { sheet: 'serial' })).rejects.toMatchObject({ errors: [{ field: 'epoch' }] });
    const recording = await read('book.xlsx', { sheet: 'serial', epoch: 'excel', tz: 'Europe/Berlin' });
    expect((await seen(recording.series[0])).times).toEqual(['2026-05-01T07:00:00Z']);
  });

  test.each([
    ['bomb.xlsx', 'limit-exceeded', 'zip bomb'],
    ['other.xlsx', 'invalid-input', 'no workbook'],
    ['book.xlsx', 'invalid-input', 'no sheet nope'],
  ])('%s is refused: %s', async (name, code, message) => {
    await expect(read(name, { sheet: 'nope' })).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
  });

  test('an archive with a rate, and one with times that turn what lies the wrong way round', async () => {
    const regular = await read('rate.npz');
    expect(named(regular, 'run/eeg').spec.sampling).toMatchObject({ kind: 'regular', rate: { num: 250n, den: 1n } });
    expect((await seen(named(regular, 'run/eeg'))).values).toEqual(Array.from({ length: 12 }, (_, i) => i));
    const timed = await read('times.npz');
    expect(await seen(named(timed, 'run/y'))).toEqual({
      times: ['2026-05-01T00:00:00Z', '2026-05-02T00:00:00Z'],
      values: [0, 2, 4, 1, 3, 5],
    });
  });
});

test('options of a mapping are those of the command line, and a wrong one is named', () => {
  expect(readRecordingOptions({ time_column: 'a', columns: { b: { unit: 'mV' } } }, '--map')).toEqual({
    timeColumn: 'a',
    columns: { b: { unit: 'mV' } },
  });
  expect(() => readRecordingOptions({ epoch: 'years' }, '--map')).toThrow('--map epoch');
  expect(() => readRecordingOptions({ speed: 1 }, '--map')).toThrow('speed');
});
