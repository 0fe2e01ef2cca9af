/**
 * Header (`.vhdr`) and marker (`.vmrk`) files of BrainVision.
 * @see https://www.brainproducts.com/support-resources/brainvision-core-data-format-1-0/
 */
import { invalidField, unprocessableField } from '../../core/errors.ts';
import { parseRate, type Rate } from '../../core/signal/rate.ts';
import { decodeText, labelText, oneLine } from './header-text.ts';
import { localTimeNs } from './local-start.ts';

/** Sections of lines `key=value`; others are kept as text. */
interface IniFile {
  readonly title: string;
  readonly sections: ReadonlyMap<string, ReadonlyMap<string, string>>;
  readonly comment: string;
}

const MAX_CHANNELS = 65_536;
const DTYPES = {
  INT_16: 'int16',
  UINT_16: 'uint16',
  INT_32: 'int32',
  IEEE_FLOAT_32: 'float32',
  IEEE_FLOAT_64: 'float64',
} as const;

export interface BrainVisionChannel {
  readonly label: string;
  readonly reference: string;
  /** Physical units of a stored step. */
  readonly resolution: number;
  readonly unit: string;
}

export interface BrainVisionHeader {
  readonly version: string;
  readonly dataFile: string;
  readonly markerFile: string | null;
  readonly dtype: (typeof DTYPES)[keyof typeof DTYPES];
  readonly isVectorized: boolean;
  readonly isBigEndian: boolean;
  readonly rate: Rate;
  readonly interval: string;
  /** Samples of each channel that the header promises; null: it does not say. */
  readonly points: number | null;
  readonly channels: readonly BrainVisionChannel[];
  readonly comment: string;
}

export interface BrainVisionMarker {
  readonly type: string;
  readonly description: string;
  /** Row, counted from 0. */
  readonly row: number;
  readonly rows: number;
  /** Place of its channel; null: all. */
  readonly channel: number | null;
  /** By the clock on the wall, as if that were UTC. */
  readonly localNs: bigint | null;
  readonly date: string;
}

/**
 * @param stem name of the file without its extension, which `$b` stands for
 * @throws `invalid-input` naming the file and key; `unprocessable` for formats that are not read
 */
export function parseBrainVisionHeader(bytes: Uint8Array, file: string, stem: string): BrainVisionHeader {
  const { title, sections, comment } = parseIni(bytes);
  if (!/^brain ?vision/i.test(title)) throw invalidField(file, 'does not begin as a BrainVision header does (line 1)');
  const common = sections.get('common infos') ?? new Map<string, string>();
  const key = (name: string): string => common.get(name) ?? '';
  const dataFile = key('datafile').replaceAll('$b', stem);
  if (dataFile === '') throw invalidField(file, 'names no DataFile');
  if (/^ascii$/i.test(key('dataformat'))) throw unprocessableField(file, 'has its samples as text (DataFormat=ASCII)');
  if (!/^(?:timedomain)?$/i.test(key('datatype')))
    throw unprocessableField(file, `has the DataType ${key('datatype')}`);
  const binary = sections.get('binary infos')?.get('binaryformat') ?? 'INT_16';
  const dtype = DTYPES[binary.toUpperCase() as keyof typeof DTYPES] as BrainVisionHeader['dtype'] | undefined;
  if (!dtype) throw unprocessableField(file, `has the BinaryFormat ${oneLine(binary, 40)}`);
  const interval = key('samplinginterval');
  const period = parseRate(interval);
  const rate = period && parseRate(`${1_000_000n * period.den}/${period.num}`);
  if (!rate) throw invalidField(file, `has the SamplingInterval "${oneLine(interval, 40)}"`);
  const points = Number(key('datapoints'));
  return {
    version: oneLine(title, 100),
    dataFile,
    markerFile: key('markerfile') === '' ? null : key('markerfile').replaceAll('$b', stem),
    dtype,
    isVectorized: /^vectorized$/i.test(key('dataorientation')),
    isBigEndian: /^yes$/i.test(sections.get('binary infos')?.get('usebigendianorder') ?? ''),
    rate,
    interval,
    points: Number.isSafeInteger(points) && points > 0 ? points : null,
    channels: channelsOf(key('numberofchannels'), sections.get('channel infos') ?? new Map<string, string>(), file),
    comment,
  };
}

function channelsOf(countText: string, infos: ReadonlyMap<string, string>, file: string): BrainVisionChannel[] {
  const count = Number(countText);
  if (!/^\d{1,9}$/.test(countText) || count < 1 || count > MAX_CHANNELS) {
    throw invalidField(file, `has NumberOfChannels=${oneLine(countText, 40)}`);
  }
  return Array.from({ length: count }, (_, i) => {
    const [label = '', reference = '', resolution = '', unit = ''] = (infos.get(`ch${i + 1}`) ?? '')
      .split(',')
      .map((part) => oneLine(part.replaceAll('\\1', ',')));
    const step = resolution === '' ? 1 : Number(resolution);
    if (!Number.isFinite(step)) throw invalidField(file, `has the resolution ${resolution} in Ch${i + 1}`);
    // The specification: microvolts where nothing is said.
    return { label: labelText(label, `Ch${i + 1}`), reference, resolution: step || 1, unit: unit || 'µV' };
  });
}

/** @returns markers in order of the file, and how many lines are none */
export function parseBrainVisionMarkers(bytes: Uint8Array): { markers: BrainVisionMarker[]; unreadable: number } {
  const lines = parseIni(bytes).sections.get('marker infos') ?? new Map<string, string>();
  const markers: BrainVisionMarker[] = [];
  let unreadable = 0;
  for (const line of lines.values()) {
    const [type, description = '', position, size = '1', channel = '0', date = ''] = line
      .split(',')
      .map((part) => oneLine(part.replaceAll('\\1', ',')));
    const row = Number(position) - 1;
    if (!/^\d{1,15}$/.test(position ?? '') || row < 0) {
      unreadable++;
      continue;
    }
    markers.push({
      type,
      description,
      row,
      rows: Math.max(1, Math.min(Number(size) || 1, Number.MAX_SAFE_INTEGER)),
      channel: Number(channel) > 0 ? Number(channel) - 1 : null,
      localNs: localTime(date),
      date,
    });
  }
  return { markers, unreadable };
}

/** `yyyymmddhhmmssuuuuuu`. */
function localTime(text: string): bigint | null {
  const match = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d{6})$/.exec(text);
  if (!match) return null;
  const [year, month, day, hour, minute] = match.slice(1, 6).map(Number);
  return localTimeNs(year, month, day, hour, minute, `${match[6]}.${match[7]}`) ?? null;
}

function parseIni(bytes: Uint8Array): IniFile {
  const [title = '', ...lines] = decodeText(bytes).split(/\r\n|\r|\n/);
  const sections = new Map<string, Map<string, string>>();
  const comment: string[] = [];
  let name = '';
  for (const line of lines) {
    const heading = /^\[([^\]]+)\]\s*$/.exec(line);
    // A comment is free text: brackets in it are no heading.
    if (heading && name !== 'comment') name = heading[1].trim().toLowerCase();
    else if (name === 'comment') comment.push(line);
    else if (line.trim() !== '' && !line.startsWith(';')) {
      const at = line.indexOf('=');
      if (at < 0) continue;
      const section = sections.get(name) ?? new Map<string, string>();
      sections.set(name, section.set(line.slice(0, at).trim().toLowerCase(), line.slice(at + 1).trim()));
    }
  }
  return { title: title.replace(/^\uFEFF/, ''), sections, comment: comment.join('\n').trim() };
}
