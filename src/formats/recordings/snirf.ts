/**
 * SNIRF, the shared format of near-infrared spectroscopy: time points, measurement lists, stimuli.
 * @see https://github.com/fNIRS/snirf/blob/master/snirf_specification.md
 */
import { unprocessableField } from '../../core/errors.ts';
import type { Channel, NewAnnotation, Tags } from '../../core/signal/series.ts';
import { datasetColumns, readColumns } from './hdf5-columns.ts';
import {
  childOf,
  childrenOf,
  pathName,
  attributeNumber,
  readScalar,
  readTexts,
  attributeText,
  valuesIn,
  type Hdf5File,
  type Hdf5Node,
} from './hdf5-file.ts';
import { plainLine, statedTime, type Hdf5Series, type Hdf5Options, type TimeAxisFound } from './hdf5-series.ts';
import { meantRate, rateOfPeriod } from './hdf5-times.ts';
import { secondsNs } from './nwb.ts';

const MAX_ITEMS = 100_000;

/** By what the file calls them; the letter m alone is one of many misspellings. */
const TIME_UNITS: Readonly<Record<string, bigint>> = {
  s: 1_000_000_000n,
  sec: 1_000_000_000n,
  second: 1_000_000_000n,
  seconds: 1_000_000_000n,
  ms: 1_000_000n,
  us: 1_000n,
  µs: 1_000n,
  μs: 1_000n,
  ns: 1n,
};

export function isSnirf(file: Hdf5File): boolean {
  return file.nodes.some(({ path }) => /^\/nirs\d*\/data\d+\/dataTimeSeries$/.test(path));
}

/** @throws unprocessable naming the dataset whose times cannot be understood */
export async function readSnirf(file: Hdf5File, options: Hdf5Options, notes: string[]): Promise<Hdf5Series[]> {
  const version = attributeText(await readScalar(file, '/formatVersion'));
  notes.push(`read as SNIRF ${version ?? ''}`.trim());
  const found: Hdf5Series[] = [];
  const groups = childrenOf(file, '/').filter(({ path, kind }) => kind === 'group' && /^\/nirs\d*$/.test(path));
  for (const { path: nirs } of groups) {
    const meta = await textsIn(file, childOf(nirs, 'metaDataTags'));
    const begin = options.startNs ?? startOf(meta, nirs, options, notes);
    const clock = { originNs: begin ?? 0n, isRelative: begin === undefined, unitNs: timeUnitOf(meta, nirs) };
    const probe = await probeOf(file, childOf(nirs, 'probe'));
    const stimuli = await stimuliOf(file, nirs, clock.originNs);
    const prefix = groups.length > 1 ? `${pathName(nirs)}/` : '';
    const about = { format: 'SNIRF', ...(version !== undefined && { version }), metaDataTags: meta, probe };
    for (const group of childrenOf(file, nirs).filter(({ path }) => /\/(?:data|aux)\d*$/.test(path))) {
      const data = file.at(childOf(group.path, 'dataTimeSeries'));
      const part = data && datasetColumns(data);
      if (!part || part.rows === 0) continue;
      const isData = pathName(group.path).startsWith('data');
      const label = attributeText(await readScalar(file, childOf(group.path, 'name'))) ?? pathName(group.path);
      const channels = isData
        ? await measurementsOf(file, group.path, part.columns, probe)
        : Array.from({ length: part.columns }, (_, at) => ({
            label: part.columns === 1 ? label : `${label}_${at + 1}`,
          }));
      const unit = attributeText(await readScalar(file, childOf(group.path, 'dataUnit')));
      found.push({
        path: `${prefix}${pathName(group.path)}`,
        source: { parts: [part], dtype: part.dtype, rows: part.rows },
        axis: await axisOf(file, group.path, part.rows, clock, options, notes),
        channels,
        ...(unit !== undefined && { unit }),
        tags: tagsOf(meta),
        provenance: isData ? about : { ...about, probe: undefined },
        annotations: isData ? stimuli : [],
        why: 'at the rate that its time says',
      });
    }
  }
  return found;
}

interface NirsClock {
  readonly originNs: bigint;
  readonly isRelative: boolean;
  readonly unitNs: bigint;
}

/** Time has a value for each row, or two: where it begins, and the step. */
async function axisOf(
  file: Hdf5File,
  group: string,
  rows: number,
  { originNs, isRelative, unitNs }: NirsClock,
  { rate: wanted }: Hdf5Options,
  notes: string[],
): Promise<TimeAxisFound> {
  const time = file.at(childOf(group, 'time'));
  const part = time && datasetColumns(time.shape.length === 2 && time.shape[0] === 1 ? turned(time) : time);
  const offset = attributeNumber(await readScalar(file, childOf(group, 'timeOffset'))) ?? 0;
  const shiftNs = originNs + BigInt(Math.round(offset * Number(unitNs)));
  if (!part)
    throw unprocessableField(childOf(group, 'time'), 'is missing, or holds no numbers', 'unsupported-recording');
  const isStep = part.rows === 2 && rows !== 2;
  if (!isStep && !wanted) return { kind: 'stamps', stamps: { part, unitNs, originNs: shiftNs, isRelative } };
  const values = await readColumns(file, part, 0, Math.min(2, part.rows));
  const [first, step] = [Number(values[0] ?? 0), Number(values[1] ?? 0)];
  const unitS = Number(unitNs) / 1e9;
  const startNs = shiftNs + secondsNs(first * unitS);
  if (wanted) return { kind: 'rate', rate: wanted, startNs, isRelative };
  const meant = meantRate(1 / (step * unitS));
  // What the step says is exact, unless its rate is a round one.
  const isRound = meant !== undefined && String(1 / (step * unitS)).length < 12;
  const rate = meant && (meant.corrected ?? isRound) ? meant.rate : rateOfPeriod(scaledText(step, unitNs));
  if (!rate)
    throw unprocessableField(childOf(group, 'time'), `has the step ${step}: give --rate`, 'unsupported-recording');
  notes.push(`${group}/time has two values for ${rows} rows: a start of ${first} and a step of ${step}`);
  return { kind: 'rate', rate, startNs, isRelative };
}

/** The decimal of the step, in seconds. */
function scaledText(step: number, unitNs: bigint): string {
  const [mantissa, exponent = '0'] = String(step).split('e');
  return `${mantissa}e${Number(exponent) + String(unitNs).length - 10}`;
}

function turned(node: Hdf5Node): Hdf5Node {
  return { ...node, shape: [...node.shape].reverse() };
}

function timeUnitOf(meta: Readonly<Record<string, string>>, nirs: string): bigint {
  const text = meta.TimeUnit ?? 's';
  const unit = TIME_UNITS[text.trim()] ?? TIME_UNITS[text.trim().toLowerCase()];
  if (unit === undefined) {
    throw unprocessableField(`${nirs}/metaDataTags/TimeUnit`, `${text} is no unit of time`, 'unsupported-recording');
  }
  return unit;
}

function startOf(
  { MeasurementDate: date = '', MeasurementTime: time = '' }: Readonly<Record<string, string>>,
  nirs: string,
  options: Hdf5Options,
  notes: string[],
): bigint | undefined {
  const ns = statedTime(`${date}T${time}`, `${nirs}: the time of measurement`, options, notes);
  if (ns === undefined) {
    notes.push(`${nirs}: no readable date and time of measurement; times count from the start of the recording`);
  }
  return ns;
}

interface Probe {
  readonly wavelengths?: readonly number[];
  readonly sourceLabels?: readonly string[];
  readonly detectorLabels?: readonly string[];
  readonly [field: string]: unknown;
}

/** All of the probe that is short enough. */
async function probeOf(file: Hdf5File, path: string): Promise<Probe> {
  const probe: Record<string, unknown> = {};
  for (const node of childrenOf(file, path)) {
    if (node.kind !== 'dataset' || valuesIn(node) > MAX_ITEMS || valuesIn(node) === 0) continue;
    if (node.type?.kind !== 'number' && node.type?.kind !== 'text') continue;
    const values = await file.readValues(
      node.path,
      node.shape.map(() => 0),
      node.shape,
    );
    const plain = values.map((value) => (typeof value === 'bigint' ? Number(value) : value));
    probe[pathName(node.path)] =
      node.shape.length === 2 ? inRows(plain, node.shape[1]) : node.shape.length === 0 ? plain[0] : plain;
  }
  return probe;
}

function inRows(values: readonly unknown[], width: number): unknown[][] {
  return Array.from({ length: values.length / width }, (_, row) => values.slice(row * width, (row + 1) * width));
}

const MEASUREMENT_FIELDS = [
  'sourceIndex',
  'detectorIndex',
  'wavelengthIndex',
  'wavelengthActual',
  'dataType',
  'dataTypeIndex',
  'moduleIndex',
  'sourcePower',
  'detectorGain',
] as const;

/** One channel a column, of a group for each or of lists for all. */
async function measurementsOf(file: Hdf5File, data: string, columns: number, probe: Probe): Promise<Channel[]> {
  const lists = childOf(data, 'measurementLists');
  const isListed = file.at(lists) !== undefined;
  const column = async (name: string): Promise<readonly unknown[]> => {
    const node = file.at(childOf(lists, name));
    return isListed && node && valuesIn(node) <= MAX_ITEMS ? file.readValues(node.path, [0], node.shape) : [];
  };
  const listed = new Map<string, readonly unknown[]>();
  if (isListed)
    for (const name of [...MEASUREMENT_FIELDS, 'dataTypeLabel', 'dataUnit']) listed.set(name, await column(name));
  const channels: Channel[] = [];
  for (let at = 0; at < columns; at++) {
    const field = async (name: string): Promise<unknown> =>
      isListed ? listed.get(name)?.[at] : readScalar(file, `${data}/measurementList${at + 1}/${name}`);
    const info: Record<string, unknown> = {};
    for (const name of MEASUREMENT_FIELDS) {
      const value = attributeNumber(await field(name));
      if (value !== undefined) info[name] = value;
    }
    const kind = attributeText(await field('dataTypeLabel'));
    const unit = attributeText(await field('dataUnit'));
    const {
      sourceIndex: source,
      detectorIndex: detector,
      wavelengthIndex,
    } = info as Record<string, number | undefined>;
    const wavelength =
      wavelengthIndex === undefined ? undefined : attributeNumber(probe.wavelengths?.[wavelengthIndex - 1]);
    if (wavelength !== undefined) info.wavelength_nm = wavelength;
    if (kind !== undefined) info.dataTypeLabel = kind;
    const isPaired = source !== undefined && detector !== undefined;
    const pair = isPaired
      ? `${attributeText(probe.sourceLabels?.[source - 1]) ?? `S${source}`}_${attributeText(probe.detectorLabels?.[detector - 1]) ?? `D${detector}`}`
      : `channel_${at + 1}`;
    const label = [pair, kind ?? (wavelength === undefined ? undefined : String(wavelength))].filter(Boolean).join(' ');
    channels.push({
      label,
      ...(unit !== undefined && { unit }),
      ...(isPaired && { group: pair }),
      ...(Object.keys(info).length > 0 && { info }),
    });
  }
  return channels;
}

/** Rows of start, duration and value; the first two in seconds, whatever the unit of time. */
async function stimuliOf(file: Hdf5File, nirs: string, originNs: bigint): Promise<NewAnnotation[]> {
  const all: NewAnnotation[] = [];
  for (const group of childrenOf(file, nirs).filter(({ path }) => /\/stim\d*$/.test(path))) {
    const label = attributeText(await readScalar(file, childOf(group.path, 'name'))) ?? pathName(group.path);
    const data = file.at(childOf(group.path, 'data'));
    const part = data && datasetColumns(data);
    if (!part || part.rows > MAX_ITEMS || part.columns < 1) continue;
    const names = await readTexts(file, file.at(childOf(group.path, 'dataLabels')), MAX_ITEMS);
    const values = await readColumns(file, part, 0, part.rows);
    for (let row = 0; row < part.rows; row++) {
      const cells = Array.from({ length: part.columns }, (_, c) => Number(values[row * part.columns + c]));
      const [start, duration = 0] = cells;
      if (!Number.isFinite(start)) continue;
      const startNs = originNs + secondsNs(start);
      const payload = Object.fromEntries(
        cells
          .slice(2)
          .flatMap((value, at) =>
            Number.isFinite(value) ? [[names[at + 2] ?? (at === 0 ? 'value' : `column_${at + 3}`), value]] : [],
          ),
      );
      const endNs = Number.isFinite(duration) && duration > 0 ? startNs + secondsNs(duration) : startNs;
      all.push({ startNs, endNs, label: plainLine(label, 200) || pathName(group.path), payload });
    }
  }
  return all;
}

async function textsIn(file: Hdf5File, path: string): Promise<Record<string, string>> {
  const texts: Record<string, string> = {};
  for (const node of childrenOf(file, path)) {
    const value = node.kind === 'dataset' ? await readScalar(file, node.path) : undefined;
    const text = attributeText(value) ?? attributeNumber(value);
    if (text !== undefined) texts[pathName(node.path)] = String(text);
  }
  return texts;
}

function tagsOf({ SubjectID }: Readonly<Record<string, string>>): Tags {
  return SubjectID === undefined ? {} : { subject_id: plainLine(SubjectID, 500) };
}
