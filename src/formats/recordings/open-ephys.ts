/**
 * Recordings of the Open Ephys GUI in its binary format: `structure.oebin` and folders below it.
 * @see https://open-ephys.github.io/gui-docs/User-Manual/Recording-data/Binary-format.html
 */
import { invalidField } from '../../core/errors.ts';
import { nsOfRow, parseRate, type Rate } from '../../core/signal/rate.ts';
import type { RecordedSeries, Recording } from '../../core/signal/recording.ts';
import type { Channel, NewAnnotation } from '../../core/signal/series.ts';
import { isTime } from '../../core/time.ts';
import { decodeNpy, readNpyHeader } from '../samples/npy.ts';
import { distinctLabels } from './channel-labels.ts';
import { cutAtGaps, gapsAmong, type SegmentBegin } from './cut-at-gaps.ts';
import { flatBatches } from './flat-frames.ts';
import { unitOfAll, decodeText, labelText, oneLine, someOf } from './header-text.ts';
import { importedSpec } from './imported-series.ts';
import { startAt } from './local-start.ts';
import { readNpyItems, type NpyItem } from './npy-items.ts';
import { neededSize, partOfFile, readWhole, type FileOptions, type RecordingFiles } from './recording-files.ts';

const MAX_CHANNELS = 65_536;
const MAX_STREAMS = 1000;
const MAX_LABEL_CHARS = 512;

interface OpenEphysStream {
  readonly folder: string;
  readonly rate: Rate;
  readonly channels: readonly Channel[];
  readonly rows: number;
  /** Where sample numbers leap, with the numbers of the first rows after that. */
  readonly numbered: readonly { readonly row: number; readonly number: bigint }[];
  /** Seconds of the first sample by the common clock of the recording; null: it has none. */
  readonly firstStamp: number | null;
}

type OebinObject = Readonly<Record<string, unknown>>;

/**
 * Makes one regular int16 series of each continuous stream. Where sample numbers leap there is a gap. Digital events are
 * annotations from on to off, messages are points; they belong to the stream whose sample numbers they count.
 * @param file the `structure.oebin`
 * @throws `invalid-input` naming file and field; `not-found` naming a file that is missing
 */
export async function readOpenEphys(files: RecordingFiles, file: string, options: FileOptions): Promise<Recording> {
  const structure = parseStructure(await readWhole(files, file), file);
  const version = structure['GUI version'];
  const notes: string[] = [];
  const sources = [file];
  const streams: OpenEphysStream[] = [];
  for (const entry of entriesOfList(structure, 'continuous', file)) {
    streams.push(await streamOf(files, file, entry, sources, notes));
  }
  if (streams.length === 0) throw invalidField(file, 'has no continuous stream');
  const softwareNs = await softwareStart(files, sources);
  const given = options.startNs ?? softwareNs;
  const start = startAt(null, given === null ? {} : { startNs: given }, options.startNs === undefined ? [] : notes);
  if (given === null) notes.push('the recording does not say when it began: times count from its start');
  const stamps = streams.flatMap(({ firstStamp }) => firstStamp ?? []);
  const earliest = Math.min(...stamps);
  const names = distinctLabels(streams.map(({ folder }) => folder));
  const startsNs = streams.map(({ firstStamp }) => {
    const afterNs = firstStamp === null ? NaN : Math.round((firstStamp - earliest) * 1e9);
    return Number.isSafeInteger(afterNs) ? start.startNs + BigInt(afterNs) : start.startNs;
  });
  const marks = await marksOf(files, file, structure, streams, startsNs, sources, notes);
  const series = streams.map((stream, s): RecordedSeries => {
    const begins = stream.numbered.map(({ row, number }): SegmentBegin => {
      return { row, startNs: timeOf(stream, startsNs[s], number) };
    });
    const { gaps, early } = gapsAmong(begins, stream.rate);
    if (gaps.length > 1) notes.push(`gaps in the sample numbers of ${names[s]}: ${gaps.length - 1}`);
    if (early > 0) notes.push(`sample numbers of ${names[s]} step back ${early} times; rows follow at once there`);
    const { folder, rate, channels, rows, firstStamp } = stream;
    const flat = {
      file: `${folder}/continuous.dat`,
      fromByte: 0,
      rows,
      channels: channels.length,
      dtype: 'int16',
    } as const;
    return {
      spec: importedSpec({
        name: streams.length === 1 ? options.name : `${options.name}/${names[s].replace(/^continuous\//, '')}`,
        dtype: 'int16',
        channels,
        unit: unitOfAll(channels),
        sampling: { kind: 'regular', rate, startNs: startsNs[s] },
        timeReference: start.timeReference,
        provenance: {
          format: 'Open Ephys binary',
          ...(typeof version === 'string' && { gui_version: oneLine(version) }),
          stream: folder,
          first_sample_number: String(stream.numbered[0]?.number ?? 0n),
          ...(firstStamp !== null && { first_timestamp_s: firstStamp }),
          ...(softwareNs !== null && { software_time_ms: String(softwareNs / 1_000_000n) }),
        },
      }),
      rows,
      batches: () => cutAtGaps(flatBatches(files, flat), gaps, channels.length),
      annotations: marks[s],
    };
  });
  return { series, notes, sources };
}

function timeOf({ rate, numbered }: OpenEphysStream, startNs: bigint, number: bigint): bigint {
  const rows = number - (numbered[0]?.number ?? 0n);
  return startNs + (rows < 0n ? -nsOfRow(rate, -rows) : nsOfRow(rate, rows));
}

function parseStructure(bytes: Uint8Array, file: string): OebinObject {
  let value: unknown;
  try {
    value = JSON.parse(decodeText(bytes));
  } catch {
    throw invalidField(file, 'is no JSON');
  }
  if (typeof value !== 'object' || value === null) throw invalidField(file, 'is no JSON object');
  return value as OebinObject;
}

function entriesOfList(structure: OebinObject, key: string, file: string): OebinObject[] {
  const list = structure[key] ?? [];
  if (!Array.isArray(list) || list.length > MAX_STREAMS || !list.every((each) => typeof each === 'object' && each)) {
    throw invalidField(file, `has no usable list "${key}"`);
  }
  return list as OebinObject[];
}

function folderOf(entry: OebinObject, parent: string, file: string): string {
  const name = entry.folder_name ?? entry.folder;
  if (typeof name !== 'string' || name === '') throw invalidField(file, 'has a stream without folder_name');
  const folder = name.replace(/\/+$/, '');
  return folder.startsWith(`${parent}/`) ? folder : `${parent}/${folder}`;
}

async function streamOf(
  files: RecordingFiles,
  file: string,
  entry: OebinObject,
  sources: string[],
  notes: string[],
): Promise<OpenEphysStream> {
  const folder = folderOf(entry, 'continuous', file);
  const rate = parseRate(Number(entry.sample_rate));
  if (!rate) throw invalidField(file, `has the sample_rate ${oneLine(String(entry.sample_rate), 40)} of ${folder}`);
  const listed = Array.isArray(entry.channels) ? (entry.channels as unknown[]) : [];
  if (listed.length < 1 || listed.length > MAX_CHANNELS)
    throw invalidField(file, `has ${listed.length} channels in ${folder}`);
  const channels = channelsOf(listed, notes);
  const data = `${folder}/continuous.dat`;
  const size = await neededSize(files, data, file);
  sources.push(data);
  const frameBytes = channels.length * 2;
  const rows = Math.floor(size / frameBytes);
  if (rows === 0) throw invalidField(data, `ends at byte ${size}, before its first sample is whole`);
  if (size % frameBytes !== 0)
    notes.push(`${data}: ${size % frameBytes} bytes after the last whole sample were left out`);
  const [numbers, stamps] = [`${folder}/sample_numbers.npy`, `${folder}/timestamps.npy`];
  const isNew = (await files.size(numbers)) !== null;
  const numberFile = isNew ? numbers : (await files.size(stamps)) === null ? null : stamps;
  if (numberFile === null) notes.push(`${folder} has no sample numbers: its rows follow one another`);
  else sources.push(numberFile);
  const { leaps, count } = numberFile === null ? { leaps: [], count: rows } : await leapsOf(files, numberFile, rows);
  if (count < rows) notes.push(`${numberFile} has ${count} of ${rows} numbers; the rows after them follow one another`);
  if (count > rows) notes.push(`${data} was cut off: ${rows} of ${count} samples are there`);
  const first = isNew && (await files.size(stamps)) !== null ? (await readNpyItems(files, stamps, 1))[0] : undefined;
  if (isNew && first !== undefined) sources.push(stamps);
  return { folder, rate, channels, rows, numbered: leaps, firstStamp: typeof first === 'number' ? first : null };
}

function channelsOf(listed: readonly unknown[], notes: string[]): Channel[] {
  const infos = listed.map((each) => (typeof each === 'object' && each !== null ? (each as OebinObject) : {}));
  const labels = distinctLabels(
    infos.map(({ channel_name: name }, i) => labelText(typeof name === 'string' ? name : '', `channel ${i}`)),
  );
  const raw: string[] = [];
  const channels = infos.map(({ bit_volts: step, units }, i): Channel => {
    if (typeof step !== 'number' || !Number.isFinite(step) || step === 0) {
      raw.push(labels[i]);
      return { label: labels[i] };
    }
    // Some versions leave the unit empty; their steps are microvolts.
    const unit = typeof units === 'string' && units !== '' ? oneLine(units, 100) : 'uV';
    return { label: labels[i], unit, scale: step, offset: 0 };
  });
  if (raw.length > 0) notes.push(`channels without bit_volts stay raw: ${someOf(raw)}`);
  return channels;
}

/** Rows whose sample number is not the one after the row in front. */
async function leapsOf(
  files: RecordingFiles,
  name: string,
  rows: number,
): Promise<{ leaps: { row: number; number: bigint }[]; count: number }> {
  const size = await neededSize(files, name, name);
  const header = readNpyHeader(await partOfFile(files, name, 0, Math.min(size, 65_536)));
  if (header?.dtype !== 'int64' || header.channels !== 1)
    throw invalidField(name, 'is no column of int64 sample numbers');
  const whole = Math.min(header.rows, Math.floor((size - 64) / 8));
  const leaps: { row: number; number: bigint }[] = [];
  let row = 0;
  let expected: bigint | undefined;
  try {
    for await (const { values } of decodeNpy(files.open(name), {
      dtype: 'int64',
      channelLabels: ['n'],
      kind: 'regular',
    })) {
      for (const number of values as BigInt64Array) {
        if (row >= rows) break;
        if (number !== expected) leaps.push({ row, number });
        expected = number + 1n;
        row++;
      }
    }
  } catch (error) {
    // It ends early: the rows after it follow one another.
    if (row === 0) throw error;
  }
  return { leaps, count: Math.min(whole, Math.max(row, header.rows)) };
}

/** When the recording began by the clock of the computer, UTC; null: it does not say. */
async function softwareStart(files: RecordingFiles, sources: string[]): Promise<bigint | null> {
  const name = 'sync_messages.txt';
  if ((await files.size(name)) === null) return null;
  sources.push(name);
  const text = decodeText(await readWhole(files, name));
  const match = /Software Time \(milliseconds since midnight Jan 1st 1970 UTC\): *(\d{1,15})/i.exec(text);
  const ns = match ? BigInt(match[1]) * 1_000_000n : null;
  return ns !== null && isTime(ns) ? ns : null;
}

/** Annotations of each stream. */
async function marksOf(
  files: RecordingFiles,
  file: string,
  structure: OebinObject,
  streams: readonly OpenEphysStream[],
  startsNs: readonly bigint[],
  sources: string[],
  notes: string[],
): Promise<NewAnnotation[][]> {
  const marks: NewAnnotation[][] = streams.map(() => []);
  for (const entry of entriesOfList(structure, 'events', file)) {
    const folder = folderOf(entry, 'events', file);
    const own = streams.findIndex((stream) => folder.split('/')[1] === stream.folder.split('/')[1]);
    const s = Math.max(own, 0);
    const columns = await columnsOf(files, folder, sources);
    const numbers = columns.sample_numbers ?? columns.timestamps;
    if (!numbers) {
      notes.push(`${folder} has no sample numbers and was left out`);
      continue;
    }
    const ns = (i: number): bigint => {
      const number = numbers[i];
      return typeof number === 'bigint' ? timeOf(streams[s], startsNs[s], number) : startsNs[s];
    };
    const found = columns.text
      ? messageMarks(columns.text, numbers.length, ns)
      : lineMarks(columns.states ?? columns.channel_states ?? [], numbers.length, ns);
    const usable = found.filter(({ startNs, endNs }) => isTime(startNs) && isTime(endNs));
    if (usable.length < found.length) notes.push(`events of ${folder} outside the years 1678 to 2261 were left out`);
    for (const mark of usable) marks[s].push(mark);
  }
  return marks;
}

const EVENT_COLUMNS = ['sample_numbers', 'timestamps', 'text', 'states', 'channel_states'] as const;

async function columnsOf(
  files: RecordingFiles,
  folder: string,
  sources: string[],
): Promise<Partial<Record<(typeof EVENT_COLUMNS)[number], NpyItem[]>>> {
  const columns: Partial<Record<(typeof EVENT_COLUMNS)[number], NpyItem[]>> = {};
  for (const column of EVENT_COLUMNS) {
    const name = `${folder}/${column}.npy`;
    if ((await files.size(name)) === null) continue;
    sources.push(name);
    columns[column] = await readNpyItems(files, name);
  }
  return columns;
}

function messageMarks(texts: readonly NpyItem[], count: number, ns: (i: number) => bigint): NewAnnotation[] {
  return texts.slice(0, count).map((text, i) => {
    const label = oneLine(String(text), MAX_LABEL_CHARS) || 'message';
    return { startNs: ns(i), endNs: ns(i), label, payload: { event: 'message' } };
  });
}

/** Lines go on (their number) and off (its negative); what does not go off is a point. */
function lineMarks(states: readonly NpyItem[], count: number, ns: (i: number) => bigint): NewAnnotation[] {
  const marks: NewAnnotation[] = [];
  const on = new Map<number, number>();
  const add = (line: number, from: number, to: number): void => {
    marks.push({ startNs: ns(from), endNs: ns(to), label: `TTL ${line}`, payload: { event: 'TTL', line } });
  };
  states.slice(0, count).forEach((each, i) => {
    const state = Number(each);
    const line = Math.abs(state);
    const from = on.get(line);
    if (state > 0) {
      if (from !== undefined) add(line, from, from);
      on.set(line, i);
    } else if (from === undefined || ns(i) < ns(from)) {
      add(line, i, i);
    } else {
      add(line, from, i);
      on.delete(line);
    }
  });
  for (const [line, from] of on) add(line, from, from);
  return marks.sort((a, b) => (a.startNs < b.startNs ? -1 : a.startNs > b.startNs ? 1 : 0));
}
