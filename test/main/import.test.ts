import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Batch } from '../../src/core/signal/batch.ts';
import type { Recording } from '../../src/core/signal/recording.ts';
import { formatTime } from '../../src/core/time.ts';
import { importedSpec } from '../../src/formats/recordings/imported-series.ts';
import { unpackRecords } from '../../src/formats/binary/packed-records.ts';
import { VarveClient, type AnnotationAnswer, type SeriesAnswer } from '../../src/main/client/client.ts';
import { importRecording } from '../../src/main/importing/import-recording.ts';
import { brainVisionFiles } from '../formats/brainvision-bytes.ts';
import { edfFile, tal } from '../formats/edf-bytes.ts';
import { openEphysFiles } from '../formats/open-ephys-bytes.ts';
import { samples, streamFooter, streamHeader, xdfFile, type XdfStreamBytes } from '../formats/xdf-bytes.ts';
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

  test('fNIRS: every value is there, and the stimuli are annotations', async () => {
    const expected = expectedOf('fnirs/neuro_run01.snirf') as { dataTimeSeries: ExpectedArray };
    const [report] = await importJson(sharedDataPath('fnirs/neuro_run01.snirf'));
    expect(report).toMatchObject({ name: 'neuro_run01/data1', rows: 8000, added_annotations: 6 });
    expect(sha256(await bytesOf(report.name, {}))).toBe(expected.dataTimeSeries.sha256_le);
    const first = (await annotationsOf(report.id))[0];
    expect([first.start, first.end, first.payload]).toEqual([
      '1589645269487886700',
      '1589645274487886700',
      { value: 1 },
    ]);
  });

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

describe('recordings of several kinds, laid out by hand', () => {
  const START = 1_777_627_810_000_000_000n;

  async function segmentsOf(id: string): Promise<[number, bigint][]> {
    const response = await fetch(`${service.url}/v1/series/${id}/segments`, {
      headers: { Authorization: `Bearer ${service.token}` },
    });
    const { items } = (await response.json()) as { items: { first_row: number; start: string }[] };
    return items.map(({ first_row, start }) => [first_row, BigInt(start)]);
  }

  test('EDF+D comes in by its content, with its gaps down to one sample, and a second import adds nothing', async () => {
    const path = join(folder, 'night.rec');
    // After two thousand samples one is missing: a slow clock would explain it, but the file says it.
    const records = Array.from({ length: 4 }, (_, r) => [Array.from({ length: 1000 }, (__, i) => r * 1000 + i)]);
    const stamps = ['+0', '+1', '+2.001', '+60'];
    const tals = stamps.map((stamp, r) => [tal(stamp, '', ''), ...(r === 1 ? [tal('+1.5', '2', 'Lidschluß')] : [])]);
    await writeFile(path, edfFile({ reserved: 'EDF+D', records, tals }));
    const [report] = await importJson(path, '--tz', 'Europe/Berlin');
    const inBerlin = START - 7_200_000_000_000n;
    expect(report).toMatchObject({ name: 'night', rows: 4000, added_rows: 4000, added_annotations: 1 });
    expect(await segmentsOf(report.id)).toEqual([
      [0, inBerlin],
      [2000, inBerlin + 2_001_000_000n],
      [3000, inBerlin + 60_000_000_000n],
    ]);
    const raw = await bytesOf('night', {});
    expect([...new Int16Array(new Uint8Array(raw).buffer)]).toEqual(records.flat(2));
    const physical = await bytesOf('night', { physical: 'true', rows: '10:11' });
    expect(new Float64Array(new Uint8Array(physical).buffer)[0]).toBeCloseTo(1, 9);
    expect(await client.getSeries({ id: report.id })).toMatchObject({ time_zone: 'Europe/Berlin' });
    const [again] = await importJson(path, '--tz', 'Europe/Berlin');
    expect(again).toMatchObject({ added_rows: 0, added_annotations: 0 });
    expect(await segmentsOf(report.id)).toHaveLength(3);
  });

  test('a start that is given takes the place of that of the file, which stays in the provenance', async () => {
    const path = join(folder, 'shifted.edf');
    await writeFile(path, edfFile({ records: [[[1, 2]]] }));
    const [report] = await importJson(path, '--start', '2020-01-01T00:00:00Z');
    const series = await client.getSeries({ id: report.id });
    expect(series).toMatchObject({ first_time: '2020-01-01T00:00:00Z', provenance: { start: '01.05.26 09.30.10' } });
  });

  test('BrainVision: markers of a channel name it', async () => {
    const files = brainVisionFiles({
      values: Int16Array.of(1, 2, 3, 4),
      format: 'INT_16',
      channels: ['Fp1,,0.5,uV', 'Fp2,,0.5,uV'],
      markers: ['Stimulus,S  1,2,1,2'],
    });
    for (const [name, bytes] of Object.entries(files)) await writeFile(join(folder, name), bytes);
    const [report] = await importJson(join(folder, 'r.vhdr'));
    expect(await annotationsOf(report.id)).toMatchObject([{ label: 'S  1', channels: ['Fp2'] }]);
    const { provenance } = await client.getSeries({ id: report.id });
    expect(provenance.source).toMatchObject({ file: 'r.vhdr', files: ['r.vhdr', 'r.eeg', 'r.vmrk'] });
  });

  test('Open Ephys: a recording has the name of its folders', async () => {
    const place = join(folder, 'Record Node 101/experiment1/recording1');
    const files = openEphysFiles({ values: Int16Array.of(1, 2, 3, 4), numbers: [7, 9] });
    for (const [name, bytes] of Object.entries(files)) {
      await mkdir(dirname(join(place, name)), { recursive: true });
      await writeFile(join(place, name), bytes);
    }
    const [report] = await importJson(join(place, 'structure.oebin'));
    expect(report).toMatchObject({ name: 'Record Node 101/experiment1/recording1', rows: 2 });
    expect(await segmentsOf(report.id)).toHaveLength(2);
  });

  test('XDF: a stream of markers is a series of annotations', async () => {
    const path = join(folder, 'lab.xdf');
    const marks: XdfStreamBytes = { id: 1, name: 'marks', format: 'string', hz: 0, channels: ['m'] };
    await writeFile(path, xdfFile(streamHeader(marks), samples(marks, [[1.5, ['go']]]), streamFooter(1, 1)));
    const [report] = await importJson(path);
    expect(report).toMatchObject({ name: 'lab/marks', rows: 0, annotations: 1, added_annotations: 1 });
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

describe('of many files', () => {
  const TABLE = 'time,a\n2026-05-01,1\n2026-05-02,3\n';

  async function lay(name: string, files: Readonly<Record<string, string | Uint8Array>>): Promise<string> {
    const root = join(folder, name);
    for (const [path, content] of Object.entries(files)) {
      await mkdir(join(root, path, '..'), { recursive: true });
      await writeFile(join(root, path), content);
    }
    return root;
  }

  interface Report {
    readonly file: string;
    readonly outcome: string;
    readonly reason?: string;
  }

  test('a folder is imported with one command, whose summary says what happened to each file; one that is bad stops no other', async () => {
    const root = await lay('mixed', {
      'a/one.csv': TABLE,
      'a/two.csv': TABLE.replace('3', '4'),
      'broken.csv': 'time,a\nnever,1\n',
      'lead.hea': 'lead 1 100 2\nlead.dat 16 200 12 0 0 0 0 lead\n',
      'lead.dat': new Uint8Array(4),
      'notes.docx': 'x',
      '.hidden.csv': TABLE,
    });
    const first = await varve('import', root, '--project', 'default', '--tag', 'batch=mixed');
    expect(first.code).toBe(1);
    expect(first.stderr).toMatch(/^varve: .*broken\.csv: /m);
    const rows = (name: string): string =>
      first.stdout.split('\n').find((line) => line.startsWith(`${root}/`) && line.includes(`/${name} `)) ?? '';
    expect(rows('one.csv')).toMatch(/csv +1 +2 +imported$/);
    expect(rows('two.csv')).toMatch(/csv +1 +2 +imported$/);
    expect(rows('broken.csv')).toMatch(/refused: .+/);
    expect(rows('lead.hea')).toMatch(/wfdb +1 +2 +imported$/);
    expect(rows('lead.dat')).toMatch(/skipped: is a part of/);
    expect(rows('notes.docx')).toMatch(/skipped: its name does not say its format/);
    expect(rows('hidden')).toBe('');
    expect(first.stdout).toContain('6 files: 3 imported, 1 refused, 2 skipped');

    const again = await varve('import', join(root, '**/*.csv'), '--json', '--tag', 'batch=mixed');
    const { files } = JSON.parse(again.stdout) as { files: Report[] };
    expect(files.map(({ file, outcome }) => [file.slice(root.length + 1), outcome])).toEqual([
      ['a/one.csv', 'already there'],
      ['a/two.csv', 'already there'],
      ['broken.csv', 'refused'],
    ]);
    const good = await varve('import', join(root, 'a'), '--tag', 'batch=mixed');
    expect([good.code, good.stdout]).toEqual([0, expect.stringContaining('2 files: 2 already there')]);
    const listed = await varve('ls', '--recording', 'one', '--json');
    expect(JSON.parse(listed.stdout)).toMatchObject([{ name: 'one', recording: { name: 'one' } }]);
  });

  test('another file is added to a recording that is there, once', async () => {
    const root = await lay('days', { 'mon/log.csv': TABLE, 'tue/log.csv': TABLE.replaceAll('2026-05', '2026-06') });
    expect((await varve('import', join(root, 'mon/log.csv'))).code).toBe(0);
    const refused = await varve('import', join(root, 'tue/log.csv'));
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('--into')]);
    for (const outcome of ['imported', 'already there']) {
      const { stdout } = await varve('import', join(root, 'tue/log.csv'), '--into', 'log', '--json');
      expect((JSON.parse(stdout) as { files: Report[] }).files).toMatchObject([{ outcome }]);
      expect(await client.getSeries({ project: 'default', name: 'log' })).toMatchObject({ rows: 4 });
    }
    expect((await client.findRecording('default', 'log')).sources).toHaveLength(2);
    expect((await varve('import', join(root, 'tue/log.csv'), '--into', 'nobody')).stderr).toContain(
      'no recording nobody',
    );
  });

  test('a folder that is watched is imported as its files come to rest', async () => {
    const root = await lay('watched', { 'early.csv': TABLE });
    const child = spawnVarve(['import', '--watch', root], { VARVE_URL: service.url, VARVE_DATA: service.dataRoot });
    const stdout = textOf(child.stdout);
    const until = async (text: string): Promise<void> => {
      for (let tries = 0; !stdout().includes(text) && tries < 400; tries++) await new Promise((r) => setTimeout(r, 50));
      expect(stdout()).toContain(text);
    };
    await until('early.csv: imported');
    await writeFile(join(root, 'late.csv'), TABLE.replace('1', '7'));
    await until('late.csv: imported');
    child.kill('SIGINT');
    expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(0);
  }, 40_000);
});

describe('what goes wrong is said in one line', () => {
  test.each([
    ['a file that is not there', ['import', 'nowhere.csv'], 'nowhere.csv: there is no such file'],
    ['a file that is no recording', ['import', process.execPath], 'is a program, which is not read'],
    ['a series that is not there', ['cat', 'nobody'], 'no series nobody'],
    ['a condition that is none', ['search', '=x'], '=x is not key=value'],
    ['a tag without a value', ['import', 'x.csv', '--tag', 'mouse'], '--tag: mouse is not key=value'],
    ['a project that is not there', ['import', 'PATH', '--project', 'nix'], 'no project nix'],
    ['an option of another format', ['import', 'PATH', '--rate', '5'], '--rate: is for npy, npz and hdf5 files'],
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
