/** `varve import`: recordings from files into the service. */
import { readFile } from 'node:fs/promises';
import { VarveError, isVarveError, messageOf } from '../../core/errors.ts';
import { formatRate, rateHz } from '../../core/signal/rate.ts';
import type { NewSeries } from '../../core/signal/series.ts';
import { formatTime } from '../../core/time.ts';
import type { VarveClient } from '../client/client.ts';
import type { Config } from '../process/config.ts';
import { connect } from '../client/connect.ts';
import { importRecording, rowBytes, seriesToCreate, type ImportedSeries } from '../importing/import-recording.ts';
import { openRecording } from '../../flows/import/open-recording.ts';
import { readRecordingOptions, type RecordingOptions } from '../../flows/import/recording-options.ts';
import type { OpenRecording } from '../../flows/import/source-files.ts';
import { Progress } from './progress.ts';
import { writeOut } from '../process/standard-output.ts';
import { parseTag } from './tag-arguments.ts';
import { tableLines, type TextColumn } from './text-table.ts';
import { tagText } from '../../core/signal/tag-value.ts';

export interface ImportCommand extends Omit<RecordingOptions, 'columns'> {
  readonly project: string;
  readonly tag: readonly string[];
  /** A file of options. */
  readonly map?: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

const MB = 1e6;

/** @throws what is wrong, beginning with the name of the file */
export async function importFiles(config: Config, files: readonly string[], command: ImportCommand): Promise<void> {
  if (command.name !== undefined && files.length > 1) {
    throw new VarveError('invalid-input', '--name names one recording, and there are several files');
  }
  const options = { project: command.project, tags: Object.fromEntries(command.tag.map(parseTag)) };
  const told: RecordingOptions = { ...(await mappedOptions(command.map)), ...optionsOf(command) };
  const client = command.dryRun ? null : connect(config);
  const report: FileReport[] = [];
  for (const file of files) {
    try {
      const opened = await look(file, told);
      try {
        for (const note of opened.recording.notes) process.stderr.write(`${file}: ${note}\n`);
        report.push(client ? await send(client, file, opened, options) : preview(file, opened, options));
      } finally {
        await opened.close();
      }
    } catch (error) {
      throw isVarveError(error) ? new VarveError(error.code, `${file}: ${error.message}`, error) : error;
    }
  }
  if (command.json) await writeOut(`${JSON.stringify({ files: report }, null, 2)}\n`);
  else for (const each of report) await printReport(each);
}

/** The options of the file itself; what is said on the command line wins over the mapping. */
function optionsOf({
  project: _,
  tag: __,
  map: ___,
  dryRun: ____,
  json: _____,
  ...options
}: ImportCommand): RecordingOptions {
  return options;
}

/** A mapping is small, whatever its file is. */
const MAX_MAP_BYTES = 1024 * 1024;

/** @throws `invalid-input` naming the field of the file */
async function mappedOptions(path: string | undefined): Promise<RecordingOptions> {
  if (path === undefined) return {};
  const bytes = await readFile(path).catch((error: unknown) => {
    throw new VarveError('not-found', `--map: ${messageOf(error)}`, { cause: error });
  });
  if (bytes.length > MAX_MAP_BYTES) throw new VarveError('limit-exceeded', `--map: ${path} is over 1 MiB`);
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw new VarveError('invalid-input', `--map: ${path} is no JSON: ${messageOf(error)}`, { cause: error });
  }
  return readRecordingOptions(value, '--map');
}

interface FileReport {
  readonly file: string;
  readonly sha256: string;
  readonly notes: readonly string[];
  readonly series: readonly SeriesReport[];
  /** Absent from a dry run. */
  readonly seconds?: number;
  readonly mb_per_s?: number;
}

interface SeriesReport {
  readonly id?: string;
  readonly name: string;
  readonly rows: number | null;
  readonly dtype: string;
  readonly channels: readonly string[];
  readonly rate: string | null;
  readonly rate_hz: number | null;
  readonly start: string | null;
  readonly tags: NewSeries['tags'];
  readonly annotations: number;
  readonly added_rows?: number;
  readonly added_annotations?: number;
}

async function look(file: string, options: RecordingOptions): Promise<OpenRecording> {
  let progress: Progress | null = null;
  try {
    return await openRecording(file, options, (bytes, total) => {
      progress ??= new Progress(`looking through ${file}`, total, 'bytes');
      progress.reach(bytes);
    });
  } finally {
    (progress as Progress | null)?.stop();
  }
}

async function send(
  client: VarveClient,
  file: string,
  { recording, source }: OpenRecording,
  options: { project: string; tags: NewSeries['tags'] },
): Promise<FileReport> {
  const sizes = recording.series.map((each) => (each.rows === null ? null : each.rows * rowBytes(each)));
  const total = sizes.reduce((sum, size) => (sum === null || size === null ? null : sum + size), 0);
  const progress = new Progress(`importing ${file}`, total, 'bytes');
  const begun = performance.now();
  let imported: ImportedSeries[];
  try {
    imported = await importRecording(client, recording, source, options, (bytes) => progress.add(bytes));
  } finally {
    progress.stop();
  }
  const seconds = (performance.now() - begun) / 1000;
  const bytes = imported.reduce((sum, series) => sum + series.bytes, 0);
  return {
    ...preview(file, { recording, source }, options),
    series: recording.series.map((recorded, i) => {
      const made = imported[i];
      if (!made) throw new Error('a series of the recording was not imported');
      return {
        ...describe(seriesToCreate(recorded, source, options)),
        id: made.series.id,
        tags: made.series.tags,
        rows: made.rows,
        annotations: made.annotations,
        added_rows: made.addedRows,
        added_annotations: made.addedAnnotations,
      };
    }),
    seconds: Math.round(seconds * 1000) / 1000,
    mb_per_s: Math.round((bytes / MB / seconds) * 10) / 10,
  };
}

function preview(
  file: string,
  { recording, source }: Omit<OpenRecording, 'close'>,
  options: { project: string; tags: NewSeries['tags'] },
): FileReport {
  return {
    file,
    sha256: source.sha256,
    notes: recording.notes,
    series: recording.series.map((recorded) => ({
      ...describe(seriesToCreate(recorded, source, options)),
      rows: recorded.rows,
      annotations: recorded.annotations.length,
    })),
  };
}

function describe({ name, dtype, channels, sampling, tags }: NewSeries): Omit<SeriesReport, 'rows' | 'annotations'> {
  const regular = sampling.kind === 'regular' ? sampling : null;
  return {
    name,
    dtype,
    channels: channels.map(({ label }) => label),
    rate: regular && formatRate(regular.rate),
    rate_hz: regular && rateHz(regular.rate),
    start: regular && regular.startNs !== null ? formatTime(regular.startNs) : null,
    tags,
  };
}

async function printReport(report: FileReport): Promise<void> {
  const added = report.seconds !== undefined;
  const columns: TextColumn<SeriesReport>[] = [
    { title: added ? 'SERIES' : 'WOULD CREATE', text: ({ name }) => name },
    { title: 'ROWS', right: true, text: ({ rows }) => rows?.toLocaleString('en') ?? '?' },
    { title: 'NEW', right: true, text: ({ added_rows }) => (added_rows ?? 0).toLocaleString('en') },
    { title: 'RATE', text: ({ rate_hz }) => (rate_hz === null ? 'irregular' : `${rate_hz} Hz`) },
    { title: 'DTYPE', text: ({ dtype, channels }) => `${dtype} × ${channels.length}` },
    { title: 'ANNOTATIONS', right: true, text: ({ annotations }) => annotations.toLocaleString('en') },
    { title: 'NEW', right: true, text: ({ added_annotations }) => (added_annotations ?? 0).toLocaleString('en') },
    {
      title: 'TAGS',
      text: ({ tags }) =>
        Object.entries(tags)
          .map(([key, value]) => `${key}=${tagText(value)}`)
          .join(' '),
    },
  ];
  const shown = columns.filter(({ title }) => added || title !== 'NEW');
  for await (const line of tableLines(
    shown,
    (async function* () {
      yield* report.series;
    })(),
  ))
    await writeOut(`${line}\n`);
  if (!added) return;
  const rows = report.series.reduce((sum, series) => sum + (series.rows ?? 0), 0).toLocaleString('en');
  await writeOut(`${report.file}: ${rows} rows in ${report.seconds} s, ${report.mb_per_s} MB/s\n`);
}
