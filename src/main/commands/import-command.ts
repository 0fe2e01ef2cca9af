/** `varve import`: recordings from files into the service. */
import { basename, dirname, resolve } from 'node:path';
import { VarveError, isVarveError } from '../../core/errors.ts';
import { formatRate, rateHz } from '../../core/signal/rate.ts';
import type { NewSeries } from '../../core/signal/series.ts';
import { formatTime } from '../../core/time.ts';
import type { RecordingJson, VarveClient } from '../client/client.ts';
import type { Config } from '../process/config.ts';
import { connect } from '../client/connect.ts';
import { findFiles, type FoundFile } from '../importing/find-files.ts';
import {
  importRecording,
  placeOf,
  rowBytes,
  type ImportedSeries,
  type ImportOptions,
} from '../importing/import-recording.ts';
import { restedFiles } from '../importing/watch-files.ts';
import { NO_RECORDING, openRecording } from '../../flows/import/open-recording.ts';
import { firstStart, seriesToCreate } from '../../flows/import/series-to-create.ts';
import type { RecordingOptions } from '../../flows/import/recording-options.ts';
import { mappedOptions } from './mapped-options.ts';
import { Progress } from './progress.ts';
import { writeOut } from '../process/standard-output.ts';
import { untilStopped } from '../process/until-stopped.ts';
import { parseTag } from './tag-arguments.ts';
import { tableLines, type TextColumn } from './text-table.ts';
import { tagText } from '../../core/signal/tag-value.ts';

export interface ImportCommand extends RecordingOptions {
  readonly project: string;
  readonly tag: readonly string[];
  /** A file of options. */
  readonly map?: string;
  readonly dryRun?: boolean;
  /** Id or name of a recording that is there. */
  readonly into?: string;
  readonly watch?: boolean;
  readonly json?: boolean;
}

const MB = 1e6;

/** What became of a file. */
type FileOutcome = 'imported' | 'already there' | 'planned' | 'skipped' | 'refused';

interface FileReport {
  readonly file: string;
  readonly outcome: FileOutcome;
  /** Why it was skipped or refused. */
  readonly reason?: string;
  /** Absent of a file that could not be read. */
  readonly format?: string;
  readonly sha256?: string;
  readonly notes: readonly string[];
  readonly series: readonly SeriesReport[];
  /** Absent from a dry run. */
  readonly seconds?: number;
  readonly mb_per_s?: number;
}

/** What a run of the command is to do with each file. */
interface CommandRun {
  readonly command: ImportCommand;
  /** Null: a dry run. */
  readonly client: VarveClient | null;
  readonly tags: NewSeries['tags'];
  /** The recording that is added to; null: each file makes its own. */
  readonly into: RecordingJson | null;
  /** Files that others have named as theirs, by what named them. */
  readonly parts: Map<string, string>;
}

/**
 * Imports the files that paths, folders and patterns mean. One that is refused does not stop the others. With `watch` it goes on until it is told to
 * stop.
 * @returns false if a file was refused
 * @throws what is wrong with the command as a whole
 */
export async function importPaths(config: Config, paths: readonly string[], given: ImportCommand): Promise<boolean> {
  const command: ImportCommand = { ...(await mappedOptions(given.map)), ...given };
  const client = command.dryRun ? null : connect(config);
  const into = command.into === undefined ? null : await connect(config).findRecording(command.project, command.into);
  const tags = Object.fromEntries(command.tag.map(parseTag));
  const run: CommandRun = { command, client, tags, into, parts: new Map() };
  if (command.watch) return importRested(run, paths);
  const files = await findFiles(paths);
  if (command.name !== undefined && files.length > 1) {
    throw new VarveError('invalid-input', '--name names one recording, and there are several files');
  }
  const reports = await importAll(run, files);
  if (command.json) await writeOut(`${JSON.stringify({ files: reports }, null, 2)}\n`);
  else if (files.length === 1) for (const each of reports) await printReport(each);
  else await printSummary(reports);
  if (files.length === 0) process.stderr.write('varve: there are no such files\n');
  return files.length > 0 && reports.every(({ outcome }) => outcome !== 'refused');
}

async function importAll(run: CommandRun, files: readonly FoundFile[]): Promise<FileReport[]> {
  const reports: FileReport[] = [];
  const progress = files.length > 1 ? new Progress('importing', files.length, 'files') : null;
  for (const file of files) {
    reports.push(await importOne(run, file, progress === null));
    progress?.add(1);
  }
  progress?.stop();
  // A part may have come before the file that names it.
  const settled = reports.map((report): FileReport => {
    const owner = run.parts.get(resolve(report.file));
    if (report.outcome !== 'refused' || owner === undefined) return report;
    return { ...report, outcome: 'skipped', reason: `is a part of ${owner}` };
  });
  for (const { file, outcome, reason } of settled) {
    if (outcome === 'refused') process.stderr.write(`varve: ${file}: ${reason}\n`);
  }
  return settled;
}

async function importRested(run: CommandRun, paths: readonly string[]): Promise<boolean> {
  const stopping = new AbortController();
  let isGood = true;
  const importing = (async () => {
    for await (const files of restedFiles(paths, stopping.signal)) {
      for (const report of await importAll(run, files)) {
        isGood &&= report.outcome !== 'refused';
        const line = run.command.json ? JSON.stringify(report) : `${report.file}: ${outcomeText(report)}`;
        await writeOut(`${line}\n`);
      }
    }
  })();
  process.stderr.write('varve: watching; Ctrl-C ends it\n');
  const stopped = untilStopped(async () => stopping.abort());
  await Promise.race([stopped, importing]);
  stopping.abort();
  await importing;
  return isGood;
}

async function importOne(run: CommandRun, { path: file, isNamed }: FoundFile, isAlone: boolean): Promise<FileReport> {
  const { command, client, parts } = run;
  const none = { file, notes: [], series: [] };
  const owner = parts.get(resolve(file));
  if (owner !== undefined) return { ...none, outcome: 'skipped', reason: `is a part of ${owner}` };
  try {
    const opened = await look(file, command, isAlone);
    try {
      for (const each of opened.source.files ?? []) parts.set(resolve(dirname(file), each), basename(file));
      parts.delete(resolve(file));
      for (const note of opened.recording.notes) process.stderr.write(`${file}: ${note}\n`);
      return client ? await send(run, client, file, opened, isAlone) : preview(run, file, opened);
    } finally {
      await opened.close();
    }
  } catch (error) {
    if (!isVarveError(error)) throw error;
    // A service that is away takes none of the others either.
    if (error.slug === 'unreachable' || error.code === 'unauthorized' || error.code === 'forbidden') throw error;
    const isStray = !isNamed && NO_RECORDING.has(error.slug);
    return { ...none, outcome: isStray ? 'skipped' : 'refused', reason: error.message };
  }
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

type Opened = Awaited<ReturnType<typeof openRecording>>;

async function look(file: string, command: ImportCommand, isAlone: boolean): Promise<Opened> {
  let progress: Progress | null = null;
  try {
    return await openRecording(file, command, (bytes, total) => {
      if (!isAlone) return;
      progress ??= new Progress(`looking through ${file}`, total, 'bytes');
      progress.reach(bytes);
    });
  } finally {
    (progress as Progress | null)?.stop();
  }
}

function optionsOf({ command, tags, into }: CommandRun, { recording, source }: Opened): ImportOptions {
  const name = command.name ?? source.file.replace(/\.[^.]+$/, '');
  const wish = into ? { id: into.id } : { name, source, startNs: firstStart(recording.series) };
  return { project: command.project, tags, recording: wish };
}

async function send(
  run: CommandRun,
  client: VarveClient,
  file: string,
  opened: Opened,
  isAlone: boolean,
): Promise<FileReport> {
  const { recording, source } = opened;
  const options = optionsOf(run, opened);
  const sizes = recording.series.map((each) => (each.rows === null ? null : each.rows * rowBytes(each)));
  const total = sizes.reduce((sum, size) => (sum === null || size === null ? null : sum + size), 0);
  const progress = isAlone ? new Progress(`importing ${file}`, total, 'bytes') : null;
  const begun = performance.now();
  let imported: ImportedSeries[];
  try {
    imported = await importRecording(client, recording, source, options, (bytes) => progress?.add(bytes));
    const isNews = run.into?.sources.every(({ sha256 }) => sha256 !== source.sha256);
    if (run.into && isNews) await client.addSource(run.into.id, source);
  } finally {
    progress?.stop();
  }
  const seconds = (performance.now() - begun) / 1000;
  const bytes = imported.reduce((sum, series) => sum + series.bytes, 0);
  const isNew = imported.some(
    ({ isCreated, addedRows, addedAnnotations }) => isCreated || addedRows + addedAnnotations > 0,
  );
  return {
    ...preview(run, file, opened),
    outcome: isNew ? 'imported' : 'already there',
    series: recording.series.map((recorded, i) => {
      const made = imported[i];
      if (!made) throw new Error('a series of the recording was not imported');
      return {
        ...describe(seriesToCreate(recorded, source, placeOf(options))),
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

function preview(run: CommandRun, file: string, opened: Opened): FileReport {
  const { recording, source, format } = opened;
  const place = placeOf(optionsOf(run, opened));
  return {
    file,
    outcome: 'planned',
    format,
    sha256: source.sha256,
    notes: recording.notes,
    series: recording.series.map((recorded) => ({
      ...describe(seriesToCreate(recorded, source, place)),
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
  if (report.outcome === 'refused') return;
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

function outcomeText({ outcome, reason }: FileReport): string {
  return reason === undefined ? outcome : `${outcome}: ${reason}`;
}

const SUMMARY: readonly TextColumn<FileReport>[] = [
  { title: 'FILE', text: ({ file }) => file },
  { title: 'FORMAT', text: ({ format }) => format ?? '–' },
  { title: 'SERIES', right: true, text: ({ series }) => series.length.toLocaleString('en') },
  { title: 'ROWS', right: true, text: ({ series }) => rowsText(series) },
  { title: 'OUTCOME', text: outcomeText },
];

function rowsText(series: readonly SeriesReport[]): string {
  const rows = series.map((each) => each.rows);
  return rows.includes(null) ? '?' : rows.reduce<number>((sum, each) => sum + (each ?? 0), 0).toLocaleString('en');
}

async function printSummary(reports: readonly FileReport[]): Promise<void> {
  for await (const line of tableLines(SUMMARY, reports)) await writeOut(`${line}\n`);
  const counts = new Map<FileOutcome, number>();
  for (const { outcome } of reports) counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  const parts = [...counts].map(([outcome, count]) => `${count.toLocaleString('en')} ${outcome}`);
  if (parts.length > 0) await writeOut(`${reports.length.toLocaleString('en')} files: ${parts.join(', ')}\n`);
}
