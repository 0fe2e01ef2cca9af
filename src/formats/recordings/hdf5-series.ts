/** From what a profile found in an HDF5 file to a series that can be imported. */
import { unprocessableField } from '../../core/errors.ts';
import { rateHz, type Rate } from '../../core/signal/rate.ts';
import type { RecordedSeries } from '../../core/signal/recording.ts';
import { parseTime } from '../../core/time.ts';
import type { Channel, Continuity, NewAnnotation, NewSeries, Tags } from '../../core/signal/series.ts';
import { distinctLabels } from './channel-labels.ts';
import { columnBatches, type ColumnSource, type RunBegin } from './hdf5-columns.ts';
import type { Hdf5File } from './hdf5-file.ts';
import { readStamps, surveyStamps, type StampSource } from './hdf5-times.ts';
import { importedSpec } from './imported-series.ts';
import type { LocalZone } from './local-start.ts';

export type TimeAxisFound =
  | { readonly kind: 'rate'; readonly rate: Rate; readonly startNs: bigint; readonly isRelative: boolean }
  | { readonly kind: 'runs'; readonly rate: Rate; readonly runs: readonly RunBegin[]; readonly isRelative: boolean }
  | { readonly kind: 'stamps'; readonly stamps: StampSource };

export interface Hdf5Series {
  /** What its name has after that of the recording. */
  readonly path: string;
  readonly source: ColumnSource;
  readonly axis: TimeAxisFound;
  readonly channels: readonly Channel[];
  readonly unit?: string;
  readonly scale?: number;
  readonly offset?: number;
  readonly missingValue?: number | bigint | null;
  readonly continuity?: Continuity | null;
  readonly resolution?: number | null;
  readonly description?: string | null;
  readonly tags?: Tags;
  readonly provenance: Readonly<Record<string, unknown>>;
  readonly annotations?: readonly NewAnnotation[];
  /** Why it has the times that it has, for a person. */
  readonly why: string;
}

export interface Hdf5Options {
  /** Name of the recording. */
  readonly name: string;
  /** Samples a second, in place of the times or the rate that the file has. */
  readonly rate?: Rate;
  /** UTC ns of what the file counts its times from, or of the first row if it has none. */
  readonly startNs?: bigint;
  /** Zone of dates and times that state none; UTC without. */
  readonly zone?: LocalZone;
  /** Datasets that are meant; without: those that are found. */
  readonly datasets?: readonly string[];
  /** Along which axis of two rows follow each other: `rows`, the first; `channels`, the second. */
  readonly orient?: 'rows' | 'channels';
  /** Path or name of the dataset, or column, that has the times. */
  readonly timeColumn?: string;
  /** What one is, in times that do not say it. */
  readonly epoch?: TimeUnitName;
}

export const TIME_UNITS_NS = {
  s: 1_000_000_000n,
  ms: 1_000_000n,
  us: 1_000n,
  ns: 1n,
} as const;
export type TimeUnitName = keyof typeof TIME_UNITS_NS;

const MAX_CHANNELS = 65_536;
const MAX_LABEL_CHARS = 200;
const MAX_NAME_CHARS = 512;
const MAX_PROVENANCE_CHARS = 40 * 1024;

/**
 * Reads the times once, if there are any, and says of them what is worth knowing.
 * @param notes get what had to be assumed @throws unprocessable for times that are none
 */
export async function recordSeries(
  file: Hdf5File,
  found: Hdf5Series,
  name: string,
  notes: string[],
): Promise<RecordedSeries> {
  const { source, channels, axis } = found;
  if (channels.length > MAX_CHANNELS) {
    const message = `has ${channels.length} channels, and a series ${MAX_CHANNELS} at most`;
    throw unprocessableField(source.parts[0].path, message, 'too-many-channels');
  }
  const labels = distinctLabels(
    channels.map(({ label }, at) => plainLine(label, MAX_LABEL_CHARS) || `channel_${at + 1}`),
  );
  const {
    sampling,
    isRelative,
    timesOf,
    rows,
    runs = [],
    why,
  } = await samplingOf(file, source, axis, found.path, notes);
  notes.push(`${found.path === '' ? name : found.path}: ${describe(source)}, ${why ?? found.why}`);
  const spec = importedSpec({
    name: plainLine(found.path === '' ? name : `${name}/${found.path}`, MAX_NAME_CHARS),
    dtype: source.dtype,
    channels: channels.map((channel, at) => ({ ...channel, label: labels[at] })),
    sampling,
    timeReference: isRelative ? 'relative' : 'utc',
    provenance: bounded(found.provenance, found.path, notes),
    tags: found.tags ?? {},
    unit: found.unit ?? null,
    scale: found.scale ?? 1,
    offset: found.offset ?? 0,
    missingValue: found.missingValue ?? null,
    continuity: found.continuity ?? null,
    resolution: found.resolution ?? null,
    description: found.description ?? null,
  });
  return {
    spec,
    rows,
    batches: () => columnBatches(file, source, timesOf, runs),
    annotations: found.annotations ?? [],
  };
}

function describe({ rows, parts, dtype }: ColumnSource): string {
  return `${rows} × ${parts.reduce((sum, { columns }) => sum + columns, 0)} ${dtype}`;
}

interface FoundSampling {
  readonly sampling: NewSeries['sampling'];
  readonly isRelative: boolean;
  readonly timesOf: ((from: number, to: number) => Promise<readonly (bigint | null)[]>) | null;
  readonly rows: number;
  /** Where it begins anew after a gap. */
  readonly runs?: readonly RunBegin[];
  readonly why?: string;
}

async function samplingOf(
  file: Hdf5File,
  source: ColumnSource,
  axis: TimeAxisFound,
  path: string,
  notes: string[],
): Promise<FoundSampling> {
  if (axis.kind === 'rate') {
    const { rate, startNs, isRelative } = axis;
    return { sampling: { kind: 'regular', rate, startNs }, isRelative, timesOf: null, rows: source.rows };
  }
  if (axis.kind === 'runs') {
    const { rate, runs, isRelative } = axis;
    const startNs = runs[0]?.startNs ?? 0n;
    return { sampling: { kind: 'regular', rate, startNs }, isRelative, timesOf: null, rows: source.rows, runs };
  }
  const { stamps } = axis;
  if (stamps.part.rows !== source.rows) {
    const message = `has ${stamps.part.rows} times for ${source.rows} rows`;
    throw unprocessableField(stamps.part.path, `${message}: name the right one by --time-column, or give --rate`);
  }
  const { rate, firstNs, stepsBack, missing } = await surveyStamps(file, stamps);
  const { isRelative } = stamps;
  if (rate && firstNs !== null && !stamps.isKept) {
    const why = `${rateHz(rate)} Hz, as all times of ${stamps.part.path} are`;
    return { sampling: { kind: 'regular', rate, startNs: firstNs }, isRelative, timesOf: null, rows: source.rows, why };
  }
  const about = path === '' ? stamps.part.path : path;
  if (missing > 0) notes.push(`${about}: ${missing} rows have no time in ${stamps.part.path}, and are left out`);
  if (stepsBack > 0)
    notes.push(`${about}: time steps back ${stepsBack} times; rows are kept, and read in order of time`);
  return {
    sampling: { kind: 'irregular' },
    isRelative,
    timesOf: (from, to) => readStamps(file, stamps, from, to),
    rows: source.rows - missing,
    why: `with the times of ${stamps.part.path}`,
  };
}

const STATED_ZONE = /(?:z|utc|gmt|[+-]\d\d:?\d\d)$/i;

/**
 * UTC ns of a date and time that a file states, with a note where its zone had to be assumed. @returns undefined if it
 * is none
 */
export function statedTime(
  text: string,
  what: string,
  { zone }: Pick<Hdf5Options, 'zone'>,
  notes: string[],
): bigint | undefined {
  const ns = parseTime(text.trim().replace(/(\.\d{9})\d+/, '$1'));
  if (ns === undefined || STATED_ZONE.test(text.trim())) return ns;
  notes.push(`${what} has no zone and was taken as ${zone?.name ?? 'UTC; --tz names its zone'}`);
  return zone ? zone.utcNs(ns) : ns;
}

/** One line without control characters or space around it. */
export function plainLine(text: string, most: number): string {
  return text
    .replace(/\p{Cc}+/gu, ' ')
    .trim()
    .slice(0, most)
    .trim();
}

/** Leaves out the longest parts of what is more than a series may say. */
function bounded(
  provenance: Readonly<Record<string, unknown>>,
  path: string,
  notes: string[],
): Readonly<Record<string, unknown>> {
  const sizes = Object.entries(provenance).map(([key, value]) => ({
    key,
    chars: JSON.stringify(value ?? null).length,
  }));
  let chars = sizes.reduce((sum, each) => sum + each.chars, 0);
  const left: string[] = [];
  for (const each of sizes.sort((a, b) => b.chars - a.chars)) {
    if (chars <= MAX_PROVENANCE_CHARS) break;
    left.push(each.key);
    chars -= each.chars;
  }
  if (left.length > 0) notes.push(`${path}: too long to keep with the series: ${left.join(', ')}`);
  return Object.fromEntries(Object.entries(provenance).filter(([key]) => !left.includes(key)));
}
