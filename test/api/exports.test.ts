import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { describePython } from '../support/python.ts';
import { startService, type RunningService } from '../support/service.ts';
import { ApiClient, expecting, type Answer, type Problem } from './client.ts';

const START = '2026-05-01T09:00:00.250Z';
const RATE = 250;
const ROWS = 5_000;

interface ExportJson {
  readonly id: string;
  readonly state: 'waiting' | 'running' | 'done' | 'failed';
  readonly bytes: number;
  readonly file: { readonly name: string; readonly url: string } | null;
  readonly notes: readonly string[];
  readonly error: { readonly code: string; readonly message: string } | null;
}

let database: TestDatabase;
let service: RunningService;
let api: ApiClient;
let folder: string;

beforeAll(async () => {
  database = await testDatabase();
  service = await startService({ env: { DATABASE_URL: database.url } });
  api = new ApiClient(service);
  folder = await mkdtemp(join(tmpdir(), 'varve-exports-'));
});

afterAll(async () => {
  await service?.drop();
  await database?.drop();
  await rm(folder, { recursive: true, force: true });
});

/** Two channels of int16, the first calibrated as WFDB says it, the second as EDF does. */
const CHANNELS = [
  {
    label: 'MLII',
    unit: 'mV',
    gain: 200,
    baseline: 1024,
    info: { adc_zero: 1024, adc_bits: 11, transducer: 'Ag-AgCl' },
  },
  { label: 'Fpz-Cz', unit: 'µV', digital_min: -2048, digital_max: 2047, physical_min: -192.5, physical_max: 192.5 },
];

const valueAt = (row: number, channel: number): number => ((row * 37 + channel * 911) % 3000) - 1500;

/** @returns its id. @param runs rows of each segment, ten seconds apart */
async function record(
  fields: Readonly<Record<string, unknown>> = {},
  runs: readonly number[] = [ROWS],
): Promise<string> {
  const channels = (fields.channels as unknown[] | undefined) ?? CHANNELS;
  const sampling = { kind: 'regular', rate_hz: RATE };
  const { id } = await api.createSeries({
    name: `rec/${randomUUID()}`,
    dtype: 'int16',
    channels,
    sampling,
    time_reference: 'utc',
    ...fields,
  });
  let [row, at] = [0, Date.parse(START)];
  for (const rows of runs) {
    const values = Int16Array.from({ length: rows * channels.length }, (_, i) =>
      valueAt(row + Math.floor(i / channels.length), i % channels.length),
    );
    const path = `/v1/series/${id}/samples?start=${new Date(at).toISOString()}`;
    const headers = { 'Content-Type': 'application/octet-stream' };
    expecting(201, await api.send('POST', path, { headers, body: new Uint8Array(values.buffer) }));
    row += rows;
    at += (rows / RATE) * 1000 + 10_000;
  }
  return id;
}

const ask = (fields: Readonly<Record<string, unknown>>): Promise<Answer> => api.post('/v1/exports', fields);

async function made(fields: Readonly<Record<string, unknown>>): Promise<ExportJson> {
  let { id, ...answer } = expecting(202, await ask(fields)).json<ExportJson>();
  while (answer.state === 'waiting' || answer.state === 'running') {
    await sleep(50);
    answer = expecting(200, await api.get(`/v1/exports/${id}`)).json<ExportJson>();
  }
  return { id, ...answer };
}

/** Path of the file on this machine. */
async function fetched(fields: Readonly<Record<string, unknown>>): Promise<string> {
  const { state, file, error } = await made(fields);
  expect({ state, error }).toEqual({ state: 'done', error: null });
  const path = join(folder, `${randomUUID()}-${file!.name}`);
  await writeFile(path, expecting(200, await api.get(file!.url)).body);
  return path;
}

describePython('an EDF+ file', ['mne'], (run) => {
  test('has the samples, calibration, start, gaps and annotations of the series, as MNE reads them', async () => {
    const id = await record();
    const marks = [
      { start: '2026-05-01T09:00:02.250Z', label: 'N' },
      { start: '2026-05-01T09:00:04.250Z', end: '2026-05-01T09:00:05.000Z', label: 'Sleep stage Ⅱ' },
    ];
    expecting(201, await api.post(`/v1/series/${id}/annotations`, { items: marks }));
    const path = await fetched({ format: 'edf', series: [id], name: 'night' });
    const script = `
import json, sys, mne
raw = mne.io.read_raw_edf(sys.stdin.read(), preload=True, verbose='error')
print(json.dumps({'rate': raw.info['sfreq'], 'labels': raw.ch_names,
  'values': [list(row[:6]) + list(row[-3:]) for row in raw.get_data()],
  'marks': [[a['onset'], a['duration'], a['description']] for a in raw.annotations]}))`;
    const found = JSON.parse(run(script, path).toString()) as {
      rate: number;
      labels: string[];
      values: number[][];
      marks: [number, number, string][];
    };
    expect(found.rate).toBe(RATE);
    expect(found.labels).toEqual(['MLII', 'Fpz-Cz']);
    const rows = [0, 1, 2, 3, 4, 5, ROWS - 3, ROWS - 2, ROWS - 1];
    const physical = [
      rows.map((row) => (valueAt(row, 0) - 1024) / 200 / 1000),
      rows.map((row) => ((valueAt(row, 1) + 0.5) * (385 / 4095)) / 1e6),
    ];
    found.values.forEach((values, channel) =>
      values.forEach((value, i) => expect(value).toBeCloseTo(physical[channel][i], 12)),
    );
    expect(found.marks.map(([, , label]) => label)).toEqual(['N', 'Sleep stage Ⅱ']);
    expect(found.marks[1][1]).toBeCloseTo(0.75, 9);
  }, 60_000);
});

describe('EDF+', () => {
  /** Fields of the header, by the widths of the specification. */
  const header = (bytes: Buffer) => ({
    reserved: bytes.toString('latin1', 192, 236).trim(),
    records: Number(bytes.toString('latin1', 236, 244)),
    duration: bytes.toString('latin1', 244, 252).trim(),
    start: bytes.toString('latin1', 168, 184),
  });

  test('begins at the fraction of a second, and is discontinuous over gaps', async () => {
    const id = await record({}, [500, 1_000]);
    const bytes = await readFile(await fetched({ format: 'edf', series: [id] }));
    expect(header(bytes)).toEqual({ reserved: 'EDF+D', records: 6, duration: '1', start: '01.05.2609.00.00' });
    // Behind the labels of three signals.
    expect(bytes.toString('latin1', 256 + 3 * 16, 256 + 3 * 16 + 80).trim()).toBe('Ag-AgCl');
    const onsets = [
      ...bytes
        .toString('latin1')
        .replaceAll('\x14', ';')
        .matchAll(/\+([\d.]+);;/g),
    ].map(([, onset]) => onset);
    expect(onsets).toEqual(['0.25', '1.25', '12.25', '13.25', '14.25', '15.25']);
  });

  test('of series of several rates has one record for all', async () => {
    const fast = await record({ channels: [{ label: 'fast' }] }, [1_000]);
    const slow = await record({ channels: [{ label: 'slow' }], sampling: { kind: 'regular', rate_hz: 1 } }, [4]);
    const bytes = await readFile(await fetched({ format: 'edf', series: [fast, slow] }));
    expect(header(bytes)).toMatchObject({ reserved: 'EDF+C', records: 4, duration: '1' });
    expect(bytes.readInt16LE(256 * 4 + 250 * 2)).toBe(valueAt(0, 0));
  });

  test.each([
    ['floats', { dtype: 'float32' }, /is float32; EDF\+ holds integers of 16 bits/],
    ['a long label', { channels: [{ label: 'a label of seventeen' }] }, /holds 16 characters of ASCII/],
    ['a calibration', { channels: [{ label: 'x', scale: 0.123456789 }] }, /two numbers of eight characters do not say/],
    ['an irregular series', { sampling: { kind: 'irregular' } }, /is irregular/],
  ])('refuses %s, and says why', async (_what, fields, reason) => {
    const isFilled = !('dtype' in fields) && !('sampling' in fields);
    const id = await record(fields, isFilled ? [RATE] : []);
    if ('dtype' in fields)
      expecting(
        201,
        await api.post(`/v1/series/${id}/samples`, {
          values: [
            [1, 2],
            [3, 4],
          ],
          start: START,
        }),
      );
    const problem = expecting(422, await ask({ format: 'edf', series: [id] })).json<Problem>();
    expect(problem.type).toBe('urn:varve:problem:would-lose');
    expect(problem.detail).toMatch(reason);
  });

  test('refuses rows that no whole records hold, and values that are missing', async () => {
    const id = await record({ channels: [{ label: 'x' }], sampling: { kind: 'regular', rate_hz: 360 } }, [1]);
    expect(expecting(422, await ask({ format: 'edf', series: [id] })).json<Problem>().detail).toMatch(
      /at 360 Hz that is no multiple of 9,/,
    );
    const holed = await record({ missing_value: valueAt(7, 0) }, [RATE]);
    const { state, error } = await made({ format: 'edf', series: [holed] });
    expect(state).toBe('failed');
    expect(error).toMatchObject({ code: 'would-lose', message: expect.stringContaining('has missing values') });
  });
});

describePython('a WFDB record', [], (run) => {
  test('has header, signals and annotations, and comes back bit-equal', async () => {
    const id = await record({ channels: [CHANNELS[0]], missing_value: -32768 }, [ROWS]);
    const marks = [
      { start: '2026-05-01T09:00:01.250Z', label: 'N', payload: { subtype: 1 } },
      { start: '2026-05-01T09:00:18.250Z', label: 'artefact', payload: {} },
    ];
    expecting(201, await api.post(`/v1/series/${id}/annotations`, { items: marks }));
    const zip = await fetched({ format: 'wfdb', series: [id], name: 'r100' });
    run(`import zipfile
zipfile.ZipFile(${JSON.stringify(zip)}).extractall(${JSON.stringify(folder)})`);
    expect((await readFile(join(folder, 'r100.hea'), 'utf8')).split('\n')).toEqual([
      `r100 1 ${RATE} ${ROWS} 09:00:00.250 01/05/2026`,
      expect.stringMatching(/^r100\.dat 16 200\(1024\)\/mV 11 1024 -1500 -?\d+ 0 MLII$/),
      '',
    ]);
    const stored = expecting(200, await api.get(`/v1/series/${id}/samples?format=octet`)).body;
    expect(await readFile(join(folder, 'r100.dat'))).toEqual(stored);
    // Beat at row 250, then a leap of 4,250 rows to a note with its text.
    expect((await readFile(join(folder, 'r100.atr'))).toString('hex')).toBe(
      [
        [(1 << 10) | 250, (61 << 10) | 1, 59 << 10, 0, 4250, 22 << 10, (63 << 10) | 8]
          .map((word) => Buffer.from([word & 0xff, word >> 8]).toString('hex'))
          .join(''),
        Buffer.from('artefact').toString('hex'),
        '0000',
      ].join(''),
    );
  });

  test('refuses gaps, and a value that would be taken for missing', async () => {
    const gap = await record({}, [RATE, RATE]);
    expect(expecting(422, await ask({ format: 'wfdb', series: [gap] })).json<Problem>().detail).toMatch(/has gaps/);
  });
});

describePython('files of several series', [], (run) => {
  test('are a zip with a file for each, whose names lead nowhere else', async () => {
    const channels = [{ label: 'x' }];
    const ids = await Promise.all(['../../etc/passwd', 'a/b', 'A/b'].map((name) => record({ name, channels }, [10])));
    const zip = await fetched({ format: 'csv', series: ids, start: START, end: '2026-05-01T09:00:00.258Z' });
    const script =
      'import sys, zipfile\nz = zipfile.ZipFile(sys.stdin.read())\nfor n in z.namelist(): print(n, len(z.read(n).splitlines()))';
    expect(run(script, zip).toString().trim().split('\n')).toEqual([
      '_/_/etc/passwd.csv 3',
      'a/b.csv 3',
      'A/b-2.csv 3',
    ]);
  });

  test('come by Range, and are gone when they are deleted', async () => {
    const id = await record({ channels: [{ label: 'x' }] }, [100]);
    const { file, id: made1 } = await made({ format: 'npy', series: [id], name: 'one' });
    expect(file!.name).toBe('one.npy');
    const whole = expecting(200, await api.get(file!.url));
    expect(whole.headers).toMatchObject({ 'accept-ranges': 'bytes', 'content-length': String(whole.body.length) });
    const part = expecting(206, await api.get(file!.url, { Range: 'bytes=10-19' }));
    expect(part.body).toEqual(whole.body.subarray(10, 20));
    expecting(416, await api.get(file!.url, { Range: 'bytes=100000-' }));
    expecting(204, await api.delete(`/v1/exports/${made1}`));
    expecting(404, await api.get(file!.url));
  });

  test('are seen by their own token and by an admin alone', async () => {
    const id = await record({ channels: [{ label: 'x' }] }, [10]);
    const reader = expecting(201, await api.post('/v1/tokens', { name: 'reader', scopes: ['read'] })).json<{
      token: string;
    }>();
    const { file, id: own } = await made({ format: 'npy', series: [id] });
    expecting(404, await api.send('GET', file!.url, { token: reader.token }));
    expecting(404, await api.send('GET', `/v1/exports/${own}`, { token: reader.token }));
    const items = expecting(200, await api.get('/v1/exports?limit=1')).json<{ items: ExportJson[]; next: string }>();
    expect(items.items.map((each) => each.id)).toEqual([own]);
    expect(items.next).toMatch(/cursor=/);
  });

  test.each([
    [{ format: 'edf' }, 400, 'series'],
    [{ format: 'pdf', series: [randomUUID()] }, 400, 'format'],
    [{ format: 'edf', series: [randomUUID()], physical: true }, 400, 'physical'],
    [{ format: 'csv', series: [randomUUID()], name: '../x' }, 400, 'name'],
    [{ format: 'csv', series: ['018f0000-0000-7000-8000-000000000000'] }, 404, 'series[0]'],
    [{ format: 'csv', where: { tag: 'nothing', eq: 'has it' } }, 422, undefined],
  ])('are not begun for %j', async (fields, status, field) => {
    const problem = expecting(status, await ask(fields)).json<Problem>();
    if (field !== undefined) expect(problem.errors[0].field).toBe(field);
  });
});
