/**
 * Neurodata Without Borders 2: time series, their electrodes, and tables of intervals.
 * @see https://nwb-schema.readthedocs.io/en/latest/format.html
 */
import { unprocessableField } from '../../core/errors.ts';
import {
  CONTINUITIES,
  type Channel,
  type Continuity,
  type NewAnnotation,
  type Tags,
} from '../../core/signal/series.ts';
import { datasetColumns, type ColumnPart } from './hdf5-columns.ts';
import {
  childOf,
  childrenOf,
  pathName,
  attributeNumber,
  parentOf,
  plainAttributes,
  readScalar,
  readTexts,
  attributeText,
  valuesIn,
  type Hdf5File,
  type Hdf5Node,
} from './hdf5-file.ts';
import { plainLine, statedTime, type Hdf5Series, type Hdf5Options, type TimeAxisFound } from './hdf5-series.ts';
import { meantRate } from './hdf5-times.ts';

const NS = 1_000_000_000n;
const MAX_COLUMN_ROWS = 1_000_000;
const MAX_TEXT = 500;
const ELECTRODES = '/general/extracellular_ephys/electrodes';

/** Units as NWB writes them out, in UCUM's words. */
const UNITS: Readonly<Record<string, string>> = {
  volts: 'V',
  volt: 'V',
  amperes: 'A',
  ampere: 'A',
  siemens: 'S',
  ohms: 'Ohm',
  ohm: 'Ohm',
  farads: 'F',
  meters: 'm',
  meter: 'm',
  seconds: 's',
  hertz: 'Hz',
  degrees: 'deg',
};
const NO_UNIT = new Set(['n.a.', 'n/a', 'na', 'unknown', 'none', 'no unit', '']);

/** Fields of the subject that become tags. */
const SUBJECT_TAGS = ['subject_id', 'species', 'sex', 'age', 'strain', 'genotype'];

export function isNwb({ nodes }: Hdf5File): boolean {
  return attributeText(nodes[0]?.attributes.nwb_version) !== undefined;
}

/** @throws unprocessable naming the object whose times cannot be understood */
export async function readNwb(file: Hdf5File, options: Hdf5Options, notes: string[]): Promise<Hdf5Series[]> {
  const version = attributeText(file.at('/')?.attributes.nwb_version) ?? '?';
  notes.push(`read as NWB ${version}`);
  const begin = options.startNs ?? (await sessionStart(file, options, notes));
  const session = { startNs: begin ?? 0n, isRelative: begin === undefined };
  const tags = await subjectTags(file);
  const about = await aboutFile(file, version);
  const intervals = await intervalsOf(file, session.startNs, notes);
  const electrodes = await electrodesOf(file);
  const found: Hdf5Series[] = [];
  for (const group of file.nodes.filter(({ kind }) => kind === 'group')) {
    const data = file.at(childOf(group.path, 'data'));
    const hasTimes = file.at(childOf(group.path, 'timestamps')) ?? file.at(childOf(group.path, 'starting_time'));
    if (data?.kind !== 'dataset' || !hasTimes) continue;
    if (data.type?.kind === 'text') {
      for (const mark of await marksOf(file, group, data, session.startNs)) intervals.push(mark);
      continue;
    }
    const part = datasetColumns(data);
    if (!part) {
      notes.push(`left out: ${data.path} (${data.shape.join(' × ')}), which is no table of rows and channels`);
      continue;
    }
    if (part.rows === 0) continue;
    const axis = await axisOf(file, group, options, session, notes);
    found.push({
      path: group.path.slice(1),
      source: { parts: [part], dtype: part.dtype, rows: part.rows },
      axis,
      ...(await scaleOf(file, group, data, part, electrodes)),
      continuity: continuityOf(data.attributes.continuity),
      resolution: positive(attributeNumber(data.attributes.resolution)),
      description: attributeText(group.attributes.description) ?? null,
      tags,
      provenance: {
        ...about,
        neurodata_type: attributeText(group.attributes.neurodata_type),
        attributes: plainAttributes(group.attributes),
      },
      why: axis.kind === 'rate' ? 'at the rate of its starting_time' : 'with its timestamps',
    });
  }
  if (file.at('/units')) notes.push('left out: /units, times of spikes that were sorted');
  const annotated = found.some(({ path }) => path.startsWith('acquisition/'))
    ? found.filter(({ path }) => path.startsWith('acquisition/'))
    : found;
  return found.map((each) => (annotated.includes(each) ? { ...each, annotations: intervals } : each));
}

async function sessionStart(file: Hdf5File, options: Hdf5Options, notes: string[]): Promise<bigint | undefined> {
  for (const path of ['/timestamps_reference_time', '/session_start_time']) {
    const text = attributeText(await readScalar(file, path));
    const ns = text === undefined ? undefined : statedTime(text, path, options, notes);
    if (ns !== undefined) return ns;
  }
  notes.push('the file has no readable session_start_time; times count from the start of the recording');
  return undefined;
}

async function axisOf(
  file: Hdf5File,
  { path }: Hdf5Node,
  { rate: wanted }: Hdf5Options,
  { startNs, isRelative }: { startNs: bigint; isRelative: boolean },
  notes: string[],
): Promise<TimeAxisFound> {
  const starting = file.at(childOf(path, 'starting_time'));
  if (starting) {
    const seconds = attributeNumber(await readScalar(file, starting.path)) ?? 0;
    const hz = attributeNumber(starting.attributes.rate);
    const meant = wanted ? { rate: wanted, corrected: undefined } : hz === undefined ? undefined : meantRate(hz);
    if (!meant) {
      throw unprocessableField(starting.path, 'has no usable attribute `rate`: give --rate', 'unsupported-recording');
    }
    if (meant.corrected) notes.push(`${path}: ${meant.corrected}`);
    return { kind: 'rate', rate: meant.rate, startNs: startNs + secondsNs(seconds), isRelative };
  }
  const stamps = file.at(childOf(path, 'timestamps'))!;
  const part = datasetColumns(stamps);
  if (!part) throw unprocessableField(stamps.path, 'holds no numbers', 'unsupported-recording');
  if (wanted) {
    const [first] = await file.readValues(stamps.path, [0], [Math.min(1, stamps.shape[0] ?? 0)]);
    return { kind: 'rate', rate: wanted, startNs: startNs + secondsNs(attributeNumber(first) ?? 0), isRelative };
  }
  return { kind: 'stamps', stamps: { part, unitNs: NS, originNs: startNs, isRelative } };
}

export function secondsNs(seconds: number): bigint {
  const whole = Math.trunc(seconds);
  return BigInt(whole) * NS + BigInt(Math.round((seconds - whole) * 1e9));
}

type Scaled = Pick<Hdf5Series, 'channels' | 'unit' | 'scale' | 'offset'>;

async function scaleOf(
  file: Hdf5File,
  group: Hdf5Node,
  data: Hdf5Node,
  { columns }: ColumnPart,
  electrodes: Electrodes | null,
): Promise<Scaled> {
  const scale = attributeNumber(data.attributes.conversion) ?? 1;
  const offset = attributeNumber(data.attributes.offset) ?? 0;
  const said = attributeText(data.attributes.unit);
  const unit = said === undefined || NO_UNIT.has(said.toLowerCase()) ? undefined : (UNITS[said.toLowerCase()] ?? said);
  const conversions = await numbersOf(file, file.at(childOf(group.path, 'channel_conversion')));
  const rows = await numbersOf(file, file.at(childOf(group.path, 'electrodes')));
  const channels = Array.from({ length: columns }, (_, at): Channel => {
    const electrode = rows.length === columns && electrodes ? electrodes(rows[at]) : undefined;
    const label = columns === 1 ? pathName(group.path) : `channel_${at + 1}`;
    const factor = conversions.length === columns ? conversions[at] : 1;
    return { label, ...electrode, ...(factor !== 1 && factor !== 0 && { scale: factor }) };
  });
  return { channels, scale: scale === 0 ? 1 : scale, offset, ...(unit !== undefined && { unit }) };
}

async function numbersOf(file: Hdf5File, node: Hdf5Node | undefined): Promise<number[]> {
  if (node?.type?.kind !== 'number' || node.shape.length !== 1 || valuesIn(node) > MAX_COLUMN_ROWS) return [];
  return (await file.readValues(node.path, [0], node.shape)).map(Number);
}

/** What the table of electrodes says of one of its rows. */
type Electrodes = (row: number) => Channel | undefined;

const LABELS = ['channel_name', 'label', 'electrode_name', 'name'];

async function electrodesOf(file: Hdf5File): Promise<Electrodes | null> {
  if (!file.at(ELECTRODES)) return null;
  const columns = new Map<string, readonly unknown[]>();
  for (const node of childrenOf(file, ELECTRODES)) {
    if (node.kind !== 'dataset' || node.shape.length !== 1 || valuesIn(node) > MAX_COLUMN_ROWS) continue;
    if (node.type?.kind !== 'number' && node.type?.kind !== 'text') continue;
    columns.set(pathName(node.path), await file.readValues(node.path, [0], node.shape));
  }
  const labels = LABELS.map((name) => columns.get(name)).find((each) => each !== undefined);
  return (row) => {
    const cell = (name: string): unknown => columns.get(name)?.[row];
    const id = attributeNumber(cell('id')) ?? row;
    const impedance = attributeNumber(cell('imp'));
    const known = new Set(['id', 'location', 'group_name', 'filtering', 'imp', 'group', ...LABELS]);
    const info = Object.fromEntries(
      [...columns].flatMap(([name, values]) => {
        const value = values[row];
        const isSaid = typeof value === 'string' ? value !== '' : Number.isFinite(Number(value ?? NaN));
        return known.has(name) || !isSaid ? [] : [[name, typeof value === 'bigint' ? Number(value) : value]];
      }),
    );
    return {
      label: attributeText(labels?.[row]) ?? `electrode_${id}`,
      ...textField('location', cell('location')),
      ...textField('group', cell('group_name')),
      ...textField('filtering', cell('filtering')),
      ...(impedance !== undefined && impedance > 0 && { impedance_ohm: impedance }),
      info: { electrode: id, ...info },
    };
  };
}

function textField(name: 'location' | 'group' | 'filtering', value: unknown): Partial<Channel> {
  const text = attributeText(value);
  return text === undefined || text.toLowerCase() === 'unknown' ? {} : { [name]: plainLine(text, MAX_TEXT) };
}

/** Rows of the tables of intervals, such as trials and epochs. */
async function intervalsOf(file: Hdf5File, startNs: bigint, notes: string[]): Promise<NewAnnotation[]> {
  const all: NewAnnotation[] = [];
  for (const start of file.nodes.filter(({ path }) => /^\/(?:intervals|processing)\/.*start_time$/.test(path))) {
    const table = parentOf(start.path);
    const stop = file.at(childOf(table, 'stop_time'));
    if (start.shape.length !== 1 || valuesIn(start) > MAX_COLUMN_ROWS || !stop) continue;
    const starts = await numbersOf(file, start);
    const stops = await numbersOf(file, stop);
    const columns = await columnsOfTable(file, table);
    starts.forEach((from, row) => {
      const to = stops[row];
      if (!Number.isFinite(from)) return;
      all.push({
        startNs: startNs + secondsNs(from),
        endNs: startNs + secondsNs(Number.isFinite(to) && to >= from ? to : from),
        label: pathName(table),
        payload: Object.fromEntries(
          columns.flatMap(({ name, at }) => (at(row) === undefined ? [] : [[name, at(row)]])),
        ),
      });
    });
    notes.push(`${table}: ${starts.length} intervals become annotations`);
  }
  return all;
}

interface IntervalColumn {
  readonly name: string;
  at(row: number): unknown;
}

/** Columns of texts and numbers, also of several a row. */
async function columnsOfTable(file: Hdf5File, table: string): Promise<IntervalColumn[]> {
  const columns: IntervalColumn[] = [];
  for (const node of childrenOf(file, table)) {
    const name = pathName(node.path);
    if (node.kind !== 'dataset' || node.shape.length !== 1 || valuesIn(node) > MAX_COLUMN_ROWS) continue;
    if (['start_time', 'stop_time'].includes(name) || name.endsWith('_index')) continue;
    if (node.type?.kind !== 'number' && node.type?.kind !== 'text') continue;
    const values = (await file.readValues(node.path, [0], node.shape)).map(plainCell);
    const ends = await numbersOf(file, file.at(`${node.path}_index`));
    const isMany = ends.length > 0;
    columns.push({ name, at: (row) => (isMany ? values.slice(ends[row - 1] ?? 0, ends[row]) : values[row]) });
  }
  return columns;
}

function plainCell(value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  return typeof value === 'number' && !Number.isFinite(value) ? undefined : value;
}

/** Texts with times are marks. */
async function marksOf(file: Hdf5File, group: Hdf5Node, data: Hdf5Node, startNs: bigint): Promise<NewAnnotation[]> {
  const texts = await readTexts(file, data, MAX_COLUMN_ROWS);
  const times = await numbersOf(file, file.at(childOf(group.path, 'timestamps')));
  return texts.flatMap((text, row) => {
    if (!Number.isFinite(times[row])) return [];
    const ns = startNs + secondsNs(times[row]);
    return [
      { startNs: ns, endNs: ns, label: plainLine(text, 200) || pathName(group.path), payload: { series: group.path } },
    ];
  });
}

async function subjectTags(file: Hdf5File): Promise<Tags> {
  const tags: Record<string, string> = {};
  for (const key of SUBJECT_TAGS) {
    const text = attributeText(await readScalar(file, `/general/subject/${key}`));
    if (text !== undefined) tags[key] = plainLine(text, MAX_TEXT);
  }
  return tags;
}

async function aboutFile(file: Hdf5File, version: string): Promise<Record<string, unknown>> {
  const about: Record<string, unknown> = { format: 'NWB', nwb_version: version };
  const names = ['identifier', 'session_description', 'session_start_time', 'timestamps_reference_time'];
  const general = childrenOf(file, '/general').filter(({ kind, type }) => kind === 'dataset' && type?.kind === 'text');
  const subject = childrenOf(file, '/general/subject').filter(({ type }) => type?.kind === 'text');
  for (const path of [...names.map((name) => `/${name}`), ...[...general, ...subject].map((node) => node.path)]) {
    const text = attributeText(await readScalar(file, path));
    if (text !== undefined) about[path.slice(1).replace(/^general\//, '')] = text.slice(0, 2_000);
  }
  return about;
}

function continuityOf(value: unknown): Continuity | null {
  return CONTINUITIES.find((each) => each === attributeText(value)) ?? null;
}

function positive(value: number | undefined): number | null {
  return value !== undefined && value > 0 ? value : null;
}
