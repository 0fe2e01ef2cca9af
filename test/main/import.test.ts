import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Batch } from '../../src/core/signal/batch.ts';
import type { Recording } from '../../src/core/signal/recording.ts';
import { formatTime } from '../../src/core/time.ts';
import { importedSpec } from '../../src/formats/recordings/imported-series.ts';
import { unpackRecords } from '../../src/formats/binary/packed-records.ts';
import { VarveClient, type AnnotationAnswer, type SeriesAnswer } from '../../src/main/client/client.ts';
import { importRecording } from '../../src/main/importing/import-recording.ts';
import { runVarve, spawnVarve, textOf, type Finished } from '../support/command.ts';
import { startService, type RunningService } from '../support/service.ts';
import { describeRecordings, expectedOf, sharedDataPath } from '../support/shared-data.ts';

let service: RunningService;
let client: VarveClient;
let folder: string;

beforeAll(async () => {
  service = await startService();
  client = new VarveClient(service.url, service.token);
  folder = await mkdtemp(join(tmpdir(), 'varve-import-'));
});

afterAll(async () => {
  await service?.drop();
  await rm(folder, { recursive: true, force: true });
});

/** Runs a command against the service. */
function varve(...args: string[]): Promise<Finished> {
  return runVarve(args, { VARVE_URL: service.url, VARVE_DATA: service.dataRoot });
}

/** Imports files and returns what the command reports of their series. */
async function importJson(...args: string[]): Promise<SeriesReport[]> {
  const { code, stdout, stderr } = await varve('import', '--json', ...args);
  if (code !== 0) throw new Error(stderr);
  const { files } = JSON.parse(stdout) as { files: { series: SeriesReport[] }[] };
  return files.flatMap(({ series }) => series);
}

interface SeriesReport {
  readonly id: string;
  readonly name: string;
  readonly rows: number;
  readonly added_rows: number;
  readonly annotations: number;
  readonly added_annotations: number;
}

/** What EXPECTED.json says of an array. */
interface ExpectedArray {
  readonly n: number;
  readonly dtype: string;
  readonly sha256_le: string;
}

interface ExpectedWfdb {
  readonly channels: readonly { label: string; raw: ExpectedArray; physical_float64: ExpectedArray }[];
  readonly annotations: { readonly n: number; readonly first: unknown[]; readonly last: unknown[] };
}

interface ExpectedCsv {
  readonly rows: number;
  readonly empty: number;
  readonly time_ns: ExpectedArray;
  readonly value: ExpectedArray;
}

type ExpectedReactors = Record<string, { time_first: string; time_last: string; od: ExpectedArray }>;

async function bytesOf(name: string, query: Record<string, string>): Promise<Buffer> {
  const ref = { project: 'default', name };
  const answer = await client.readSamples(ref, new URLSearchParams({ ...query, format: 'octet' }));
  const pieces: Uint8Array[] = [];
  for await (const piece of answer.body) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function irregularRows(name: string, channel: string): Promise<{ times: BigInt64Array; values: Float64Array }> {
  const { times, values } = unpackRecords(await bytesOf(name, { channels: channel }), 'float64', 1);
  return { times, values: values as Float64Array };
}

async function annotationsOf(id: string): Promise<AnnotationAnswer[]> {
  const all: AnnotationAnswer[] = [];
  for await (const annotation of client.annotations(id)) all.push(annotation);
  return all;
}

async function allSeries(): Promise<SeriesAnswer[]> {
  const all: SeriesAnswer[] = [];
  for await (const series of client.search(new URLSearchParams())) all.push(series);
  return all;
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function bytesUnder(array: Float64Array | BigInt64Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

describeRecordings('real recordings, through the command line and back over HTTP', () => {
  const OD = 'bioreactor/example_2_Pio_Experiment_od_readings.csv';

  test('WFDB: both leads raw and in mV, and every annotation, bit for bit', async () => {
    const expected = expectedOf('wfdb/100.hea') as ExpectedWfdb;
    const [report] = await importJson(sharedDataPath('wfdb/100'), '--tag', 'record=100', '--tag', 'species=human');
    expect(report).toMatchObject({ name: '100', rows: 650_000, added_rows: 650_000, added_annotations: 2274 });
    for (const { label, raw, physical_float64: physical } of expected.channels) {
      expect(sha256(await bytesOf('100', { channels: label }))).toBe(raw.sha256_le);
      expect(sha256(await bytesOf('100', { channels: label, physical: 'true' }))).toBe(physical.sha256_le);
    }
    const marks = (await annotationsOf(report.id)).map(({ payload, label }) => [payload.sample, label]);
    expect(marks).toHaveLength(expected.annotations.n);
    expect(marks.slice(0, 6)).toEqual(expected.annotations.first);
    expect(marks.slice(-3)).toEqual(expected.annotations.last);
    const series = await client.getSeries({ id: report.id });
    expect(series.sampling).toMatchObject({ kind: 'regular', rate: '360/1' });
    expect(series.provenance).toMatchObject({
      source: { file: '100.hea', files: ['100.hea', '100.dat', '100.atr'] },
      importer: expect.stringMatching(/^varve \d/),
    });
  });

  test('the checksum in the provenance is that of the files one after the other', async () => {
    const files = ['100.hea', '100.dat', '100.atr'].map((name) => readFile(sharedDataPath(`wfdb/${name}`)));
    const { provenance } = await client.getSeries({ project: 'default', name: '100' });
    expect(provenance.source).toMatchObject({ sha256: sha256(Buffer.concat(await Promise.all(files))) });
  });

  test('tags find the record, a number by comparison', async () => {
    for (const conditions of [['record=100'], ['record>=100', 'species=human'], ['species!=mouse', 'record']]) {
      const { stdout } = await varve('search', '--json', ...conditions);
      expect((JSON.parse(stdout) as SeriesAnswer[]).map(({ name }) => name)).toEqual(['100']);
    }
    expect((await varve('search', '--json', 'record>100')).stdout).toBe('[]\n');
  });

  test.each(['eeg_sample_closed_open_eyes', 'loft_time_subject_1'])(
    'OpenSignals %s: every raw dataset is there',
    async (name) => {
      const expected = expectedOf(`opensignals/${name}.h5`) as Record<string, ExpectedArray>;
      await importJson(sharedDataPath(`opensignals/${name}.h5`));
      for (const [path, { n, dtype, sha256_le }] of Object.entries(expected)) {
        const [device, , dataset] = path.split('/');
        const seriesName = `${name}/${device}${dataset === 'nSeq' ? '/nSeq' : ''}`;
        const series = await client.getSeries({ project: 'default', name: seriesName });
        const hash = sha256(await bytesOf(seriesName, { channels: dataset }));
        expect([series.rows, series.dtype, hash]).toEqual([n, dtype, sha256_le]);
      }
    },
  );

  test('groundwater: times and values of every row, the empty ones too', async () => {
    const expected = expectedOf('groundwater/B49F0232_1.csv') as ExpectedCsv;
    const [report] = await importJson(sharedDataPath('groundwater/B49F0232_1.csv'), '--name', 'well');
    const { times, values } = await irregularRows('well', '0');
    expect([report.rows, times.length]).toEqual([expected.rows, expected.rows]);
    expect(sha256(bytesUnder(times))).toBe(expected.time_ns.sha256_le);
    expect(sha256(bytesUnder(values))).toBe(expected.value.sha256_le);
    expect(values.filter(Number.isNaN)).toHaveLength(expected.empty);
  });

  const bioreactorArgs = ['--name', 'od', '--value-column', 'od_reading', '--by', 'pioreactor_unit'];

  test('bioreactors in long form: a series a vessel, each with its own rows', async () => {
    const expected = expectedOf(OD) as ExpectedReactors;
    const reports = await importJson(sharedDataPath(OD), ...bioreactorArgs);
    expect(reports.map(({ name }) => name)).toEqual(Object.keys(expected).map((unit) => `od/${unit}`));
    const lines = (await readFile(sharedDataPath(OD), 'utf8')).trim().split('\n');
    const rows = lines.slice(1).map((line) => line.split(','));
    for (const [unit, { time_first, time_last, od }] of Object.entries(expected)) {
      const { times, values } = await irregularRows(`od/${unit}`, 'od_reading');
      expect(times).toHaveLength(od.n);
      expect([times[0], times[times.length - 1]].map(formatTime)).toEqual(
        [time_first, time_last].map((time) => time.replace(/0+Z$/, 'Z')),
      );
      // The expected hash is of pandas' quick parser, which rounds; these are the numbers that the text means.
      expect([...values]).toEqual(rows.filter((row) => row[2] === unit).map((row) => Number(row[4])));
    }
  });

  test('importing all of it again adds nothing', async () => {
    const before = await allSeries();
    const again = [
      ...(await importJson(sharedDataPath('wfdb/100.hea'))),
      ...(await importJson(sharedDataPath('opensignals/loft_time_subject_1.h5'))),
      ...(await importJson(sharedDataPath(OD), ...bioreactorArgs)),
    ];
    expect(again).toHaveLength(1 + 6 + 4);
    for (const series of again) expect(series).toMatchObject({ added_rows: 0, added_annotations: 0 });
    expect(await allSeries()).toEqual(before);
    expect(await annotationsOf(again[0].id)).toHaveLength(2274);
  });

  test('a dry run lists what would be created and creates nothing', async () => {
    const before = await allSeries();
    const { code, stdout } = await varve('import', '--dry-run', '--project', 'x', sharedDataPath(OD));
    expect([code, stdout]).toEqual([0, expect.stringMatching(/WOULD CREATE[^]*P06 +5,712 +irregular[^]*P10/)]);
    expect(await allSeries()).toEqual(before);
  });

  test('ls shows a line a series', async () => {
    const { stdout } = await varve('ls', '--project', 'default');
    const lines = stdout.split('\n').map((line) => line.split(/ {2,}/).map((cell) => cell.trim()));
    expect(lines[0]).toEqual(['PROJECT', 'NAME', 'ROWS', 'RATE', 'DTYPE', 'FIRST', 'LAST']);
    expect(lines).toContainEqual([
      'default',
      '100',
      '650,000',
      '360 Hz',
      'int16 × 2',
      '1970-01-01T00:00:00Z',
      '1970-01-01T00:30:05.552777777Z',
    ]);
  });

  test('cat prints a range in physical units', async () => {
    const { stdout } = await varve('cat', '100', '--rows', '-2:', '--physical', '--channels', 'V5');
    expect(stdout.split('\n').map((line) => line.split(',')[1])).toEqual(['V5', '-0.335', '0', undefined]);
  });

  test('cat prints JSON by rows', async () => {
    const { stdout } = await varve('cat', '100', '--rows', ':2', '--format', 'json');
    expect(JSON.parse(stdout)).toMatchObject({
      orient: 'rows',
      values: [
        [995, 1011],
        [995, 1011],
      ],
    });
  });

  test('cat writes a whole file, in the format its name says', async () => {
    const path = join(folder, 'lead.npy');
    const { code } = await varve('cat', '100', '--channels', 'MLII', '--out', path);
    const bytes = await readFile(path);
    expect(code).toBe(0);
    expect(bytes.subarray(1, 6).toString()).toBe('NUMPY');
    expect(sha256(bytes.subarray(-2 * 650_000))).toBe(
      (expectedOf('wfdb/100.hea') as ExpectedWfdb).channels[0].raw.sha256_le,
    );
  });

  test.each([
    ['lead.h5', '\x89HDF\r\n'],
    ['lead.feather', 'ARROW1'],
    ['lead.ndjson', '{"time'],
  ])('cat writes %s', async (name, beginning) => {
    const path = join(folder, name);
    expect((await varve('cat', '100', '--rows', '0:10', '--out', path)).code).toBe(0);
    expect((await readFile(path)).subarray(0, 6).toString('latin1')).toBe(beginning);
  });

  test('cat ends quietly when its reader has seen enough', async () => {
    const env = { VARVE_URL: service.url, VARVE_TOKEN: service.token };
    const child = spawnVarve(['cat', '100'], env);
    const stderr = textOf(child.stderr);
    child.stdout.once('data', () => child.stdout.destroy());
    const code = await new Promise((resolve) => child.once('exit', resolve));
    expect([code, stderr()]).toEqual([0, '']);
  });
});

describe('an import that is interrupted', () => {
  const ROWS = 65_536;
  const BATCHES = 40;

  /** Batches of 512 KiB, so three requests; it fails before batch `failAt`. */
  function recording(failAt = Infinity): Recording {
    function* batches(): Generator<Batch> {
      for (let batch = 0; batch < BATCHES; batch++) {
        if (batch === failAt) throw new Error('the power is gone');
        yield { rows: ROWS, values: Float64Array.from({ length: ROWS }, (_, i) => batch * ROWS + i), times: null };
      }
    }
    const spec = importedSpec({
      name: 'interrupted',
      dtype: 'float64',
      channels: [{ label: 'x' }],
      sampling: { kind: 'regular', rate: { num: 1000n, den: 1n }, startNs: 0n },
      provenance: {},
    });
    const annotations = Array.from({ length: 12_000 }, (_, i) => {
      // Every second one equals the one before it.
      const ns = BigInt(i >> 1);
      return { startNs: ns, endNs: ns, label: 'tick', payload: {} };
    });
    return { series: [{ spec, rows: ROWS * BATCHES, batches, annotations }], notes: [] };
  }

  const source = { file: 'run.bin', sha256: 'a'.repeat(64) };
  const options = { project: 'default', tags: {} };

  test('goes on where it stopped, without a row lost or doubled', async () => {
    await expect(importRecording(client, recording(35), source, options)).rejects.toThrow('the power is gone');
    const { id, rows } = await client.getSeries({ project: 'default', name: 'interrupted' });
    expect(rows).toBe(2 * 16 * ROWS);
    const [imported] = await importRecording(client, recording(), source, options);
    expect(imported).toMatchObject({ rows: BATCHES * ROWS, addedRows: 8 * ROWS, addedAnnotations: 12_000 });
    const bytes = await bytesOf('interrupted', {});
    const values = new Float64Array(bytes.buffer, bytes.byteOffset, bytes.length / 8);
    expect(values.findIndex((value, i) => value !== i)).toBe(-1);
    expect(values).toHaveLength(BATCHES * ROWS);
    expect(await annotationsOf(id)).toHaveLength(12_000);
  });

  test('adds the annotations that are missing, equal ones counted', async () => {
    const whole = recording();
    const [series] = whole.series;
    const more = { startNs: 0n, endNs: 0n, label: 'tick', payload: {} };
    const again = { ...whole, series: [{ ...series, annotations: [...series.annotations, more] }] };
    const [imported] = await importRecording(client, again, source, options);
    expect(imported).toMatchObject({ addedRows: 0, addedAnnotations: 1, annotations: 12_001 });
  });

  test('is not mixed with another file under the same name', async () => {
    const other = { file: 'run.bin', sha256: 'b'.repeat(64) };
    await expect(importRecording(client, recording(), other, options)).rejects.toThrow(
      /series named interrupted exists and came from another run\.bin/,
    );
  });

  test('is not continued with other options', async () => {
    const path = join(folder, 'options.csv');
    await writeFile(path, 'time,a,b\n2026-05-01,1,2\n2026-05-02,3,4\n');
    await importJson(path);
    const { code, stderr } = await varve('import', path, '--value-column', 'a');
    expect([code, stderr]).toEqual([1, expect.stringContaining('imported from the same file with other options')]);
  });
});

describe('what goes wrong is said in one line', () => {
  test.each([
    ['a file that is not there', ['import', 'nowhere.csv'], 'nowhere.csv: there is no such file'],
    ['a file that is no recording', ['import', process.execPath], 'is a program, which is not read'],
    ['a series that is not there', ['cat', 'nobody'], 'no series nobody'],
    ['a condition that is none', ['search', '=x'], '=x is not key=value'],
    ['a tag without a value', ['import', 'x.csv', '--tag', 'mouse'], '--tag: mouse is not key=value'],
    ['a project that is not there', ['import', 'PATH', '--project', 'nix'], 'no project nix'],
    ['an option of another format', ['import', 'PATH', '--rate', '5'], '--rate: is for npy and npz files'],
    ['a column that is not there', ['import', 'PATH', '--value-column', 'z'], 'the file has no column z'],
  ])('%s', async (_, args, message) => {
    const path = join(folder, 'small.csv');
    await writeFile(path, 'time,a\n2026-05-01,1\n2026-05-02,3\n');
    const { code, stdout, stderr } = await varve(...args.map((arg) => (arg === 'PATH' ? path : arg)));
    expect([code, stdout, stderr]).toEqual([1, '', expect.stringContaining(message)]);
    expect(stderr.split('\n').filter((line) => line.startsWith('varve: '))).toHaveLength(1);
    expect(stderr).not.toContain('    at ');
  });

  test('a service that does not answer, with its address and how to start one', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const url = `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
    other.close();
    const { code, stderr } = await runVarve(['ls'], { VARVE_URL: url, VARVE_TOKEN: service.token });
    expect([code, stderr]).toEqual([
      1,
      `varve: no Varve answers at ${url} (ECONNREFUSED): start one with \`varve serve\`, or name another with --port or --url\n`,
    ]);
  });

  test('a token that is unknown', async () => {
    const env = { VARVE_URL: service.url, VARVE_TOKEN: 'x'.repeat(30) };
    const { code, stderr } = await runVarve(['ls'], env);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^varve: .*token.*\n$/)]);
  });
});
