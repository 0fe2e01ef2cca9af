/**
 * Series in an HDF5 file of any shape, as h5py, PyTables and MATLAB 7.3 write them. A dataset of numbers is a series if
 * it has a time axis. That is a vector of times as long as it is, or a sampling rate. What is ambiguous is refused, with
 * the option that helps.
 */
import { invalidField, unprocessableField } from '../../core/errors.ts';
import { commonDtype, DTYPES, type Dtype } from '../../core/numbers/dtype.ts';
import { rateHz, type Rate } from '../../core/signal/rate.ts';
import type { Channel } from '../../core/signal/series.ts';
import { datasetColumns, memberColumns, readColumns, type ColumnPart } from './hdf5-columns.ts';
import {
  epochUnitNs,
  groupsAbove,
  labelsFor,
  cfPacking,
  rateAmong,
  readNamedRate,
  readSince,
  readTimeName,
  startAmong,
  timeUnitNs,
  unitAmong,
  type RateFound,
} from './hdf5-conventions.ts';
import {
  childOf,
  childrenOf,
  pathName,
  parentOf,
  plainAttributes,
  readScalar,
  attributeText,
  valuesIn,
  type Hdf5File,
  type Hdf5Node,
} from './hdf5-file.ts';
import { TIME_UNITS_NS, type Hdf5Series, type Hdf5Options, type TimeAxisFound } from './hdf5-series.ts';
import type { StampSource } from './hdf5-times.ts';
import { shortList } from './netcdf.ts';

/** More columns than this, and more than rows, are a sign of an array that lies the wrong way round. */
const MAX_CERTAIN_COLUMNS = 64;
const MAX_CHANNELS = 65_536;

/** Columns that become one series, or the vector of times of others. */
interface Candidate {
  readonly node: Hdf5Node;
  readonly parts: readonly ColumnPart[];
  readonly labels: readonly string[];
  /** Members of records that may be times. */
  readonly own: readonly StampCandidate[];
  readonly rows: number;
}

interface StampCandidate {
  readonly name: string;
  readonly node: Hdf5Node;
  readonly part: ColumnPart;
  readonly unitNs: bigint | undefined;
}

export function isMatlab({ nodes }: Hdf5File): boolean {
  return nodes.some(({ attributes }) => 'MATLAB_class' in attributes);
}

/** @throws unprocessable or invalid-input naming the dataset or the option */
export async function discoverSeries(file: Hdf5File, options: Hdf5Options, notes: string[]): Promise<Hdf5Series[]> {
  const columnMajor = isMatlab(file);
  if (columnMajor) notes.push('read as MATLAB 7.3: columns of a matrix are channels');
  const datasets = file.nodes.filter(isData);
  const chosen = options.datasets ? options.datasets.map((name) => chosenDataset(datasets, name)) : null;
  const stamps = datasets.flatMap((node) => stampCandidate(node, options) ?? []);
  const clocks = new Map<string, Promise<StampSource>>();
  const found: Hdf5Series[] = [];
  const left: string[] = [];
  for (const node of chosen ?? datasets) {
    const isClock = stamps.some((each) => each.node === node);
    if (isClock && !chosen && !options.rate) continue;
    const places = chosen ? 1 : 2;
    if (node.shape.length === 0 || valuesIn(node) < places) continue;
    const axis = await axisFor(file, node, isClock ? [] : stamps, clocks, options, columnMajor, chosen !== null);
    if (!axis) {
      left.push(`${node.path} (${node.shape.join(' × ')})`);
      continue;
    }
    const candidate = await candidateOf(file, node, axis.timeAxis, options);
    if (!candidate) {
      left.push(`${node.path} (${node.shape.join(' × ')})`);
      continue;
    }
    found.push(...seriesOf(file, candidate, axis, columnMajor));
    if (axis.note) notes.push(axis.note);
  }
  if (chosen && left.length > 0) throw noAxis(left, columnMajor);
  const kept = chosen ? found : withoutShort(found, left);
  if (kept.length === 0) throw noAxis(left, columnMajor);
  if (left.length > 0) notes.push(`left out, without times or a rate: ${shortList(left)}`);
  return kept;
}

function noAxis(left: readonly string[], isMatlabFile: boolean): Error {
  if (left.length === 0) {
    return unprocessableField(
      'body',
      `the file has no dataset of numbers that could be a series`,
      'unsupported-recording',
    );
  }
  const like = isMatlabFile ? 'such as fs' : 'such as an attribute sampling_rate';
  return unprocessableField(
    '--rate',
    `no times and no rate (${like}) are found for ${shortList(left, 5)}: give --rate, or --time-column with the name of the times`,
    'no-time-axis',
  );
}

/** Numbers or records that are no housekeeping of PyTables, and no text of MATLAB. */
function isData({ path, kind, type, attributes, shape }: Hdf5Node): boolean {
  if (kind !== 'dataset' || (type?.kind !== 'number' && type?.kind !== 'record')) return false;
  const matlab = attributeText(attributes.MATLAB_class);
  if (matlab === 'char' || matlab === 'cell' || attributes.MATLAB_empty !== undefined) return false;
  return !/\/(?:_i_|#refs#|#subsystem#)/.test(path) && shape.every((size) => size > 0);
}

/** @throws invalid-input naming `--dataset` */
function chosenDataset(datasets: readonly Hdf5Node[], name: string): Hdf5Node {
  const path = `/${name.replace(/^\/+/, '')}`;
  const exact = datasets.find((node) => node.path === path);
  if (exact) return exact;
  const named = datasets.filter((node) => pathName(node.path) === name);
  if (named.length === 1) return named[0];
  const known = shortList(datasets.map((node) => node.path));
  throw invalidField(
    '--dataset',
    named.length > 1
      ? `${name} is the name of several: ${shortList(named.map((node) => node.path))}`
      : `the file has no dataset of numbers ${name}; it has ${known}`,
  );
}

/** A dataset that may be the times of others: one axis, or two of which one has a single place. */
function stampCandidate(node: Hdf5Node, { timeColumn }: Hdf5Options): StampCandidate | undefined {
  const part = vectorOf(node);
  if (!part || part.rows < 1) return undefined;
  const name = pathName(node.path);
  const isNamed =
    timeColumn !== undefined && (node.path === `/${timeColumn.replace(/^\/+/, '')}` || name === timeColumn);
  const units = attributeText(node.attributes.units) ?? attributeText(node.attributes.unit);
  const since = units === undefined ? undefined : readSince(units, attributeText(node.attributes.calendar));
  const called = readTimeName(name);
  if (timeColumn !== undefined ? !isNamed : !called && !since) return undefined;
  return { name, node, part, unitNs: called?.unitNs };
}

function vectorOf(node: Hdf5Node): ColumnPart | undefined {
  const part = datasetColumns(node, node.shape.length === 2 && node.shape[0] === 1 ? 1 : 0);
  return part?.columns === 1 ? part : undefined;
}

interface AxisFound {
  readonly axis: TimeAxisFound;
  /** Along which the rows lie. */
  readonly timeAxis: 0 | 1;
  readonly why: string;
  readonly note?: string;
  /** How long is what it was found for by a rate of its surroundings; 0: by something of its own. */
  readonly inheritedRows: number;
}

async function axisFor(
  file: Hdf5File,
  node: Hdf5Node,
  stamps: readonly StampCandidate[],
  clocks: Map<string, Promise<StampSource>>,
  options: Hdf5Options,
  columnMajor: boolean,
  isChosen: boolean,
): Promise<AxisFound | undefined> {
  const lengths = node.type?.kind === 'record' || node.shape.length === 1 ? [node.shape[0]] : node.shape.slice(0, 2);
  const start = options.startNs ?? startAmong(node.attributes) ?? startAbove(file, node);
  const regular = (found: RateFound, why: string, isInherited: boolean): AxisFound => {
    const timeAxis = timeAxisOf(node, options, columnMajor);
    return {
      axis: { kind: 'rate', rate: found.rate, startNs: start ?? 0n, isRelative: start === undefined },
      timeAxis,
      why,
      ...(found.corrected && { note: `${node.path}: ${found.corrected}` }),
      inheritedRows: isInherited && !isChosen ? node.shape[timeAxis] : 0,
    };
  };
  if (options.rate) return regular({ rate: options.rate }, 'at the rate that was given', true);
  const rate = await rateNear(file, node);
  const own = ownStamps(node, options);
  if (own.length > 0) return stamped(file, oneOf(own, node), 0, clocks, options, rate?.rate);
  const pointed = options.timeColumn === undefined ? pointedStamps(file, node, lengths) : [];
  const groups = groupsAbove(node.path).map((group) => stamps.filter((each) => parentOf(each.node.path) === group));
  const near = [pointed, ...groups]
    .map((list) => list.filter((each) => lengths.includes(each.part.rows)))
    .find((list) => list.length > 0);
  if (near && node.shape.length <= 2) {
    const one = oneOf(near, node);
    const fits = ([0, 1] as const).filter((axis) => node.shape[axis] === one.part.rows);
    const timeAxis = fits.length === 1 ? fits[0] : timeAxisOf(node, options, columnMajor);
    return stamped(file, one, timeAxis, clocks, options, rate?.rate);
  }
  return rate && regular(rate, rate.why, rate.isInherited);
}

/** Names of times that belong to one dataset. */
const TIMES_OF = ['_time', '_times', '_timestamps', '_timestamp', '_t', '_ts'];

/** Times that a dataset points to: by its scales, by an attribute such as `time`, or by a name made of its own. */
function pointedStamps(file: Hdf5File, node: Hdf5Node, lengths: readonly number[]): StampCandidate[] {
  const scales = node.attributes.DIMENSION_LIST;
  const isTimed = (path: string): boolean =>
    readTimeName(pathName(path)) !== undefined ||
    readSince(attributeText(file.at(path)?.attributes.units) ?? '') !== undefined;
  const attached = Array.isArray(scales)
    ? scales.flatMap((each: unknown) => (Array.isArray(each) ? each.map(String) : [])).filter(isTimed)
    : [];
  const said = Object.entries(node.attributes).flatMap(([name, value]) => {
    const text = readTimeName(name) ? attributeText(value) : undefined;
    return text === undefined ? [] : [text.startsWith('/') ? text : childOf(parentOf(node.path), text)];
  });
  const beside = TIMES_OF.map((ending) => `${node.path}${ending}`);
  for (const paths of [attached, said, beside]) {
    const found = paths.flatMap((path) => {
      const target = file.at(path);
      const part = target?.kind === 'dataset' && target !== node ? vectorOf(target) : undefined;
      return target && part && lengths.includes(part.rows)
        ? [{ name: pathName(path), node: target, part, unitNs: undefined }]
        : [];
    });
    if (found.length > 0) return found.slice(0, 1);
  }
  return [];
}

type RateNear = RateFound & { readonly why: string; readonly isInherited: boolean };

/** The rate that the dataset says, or else the nearest of the groups above it, or a value beside it. */
async function rateNear(file: Hdf5File, node: Hdf5Node): Promise<RateNear | undefined> {
  const said = rateAmong(node.attributes);
  if (said) return { ...said, why: `at the rate of its attribute ${said.name}`, isInherited: false };
  for (const group of groupsAbove(node.path)) {
    const inGroup = rateAmong(file.at(group)?.attributes ?? {});
    if (inGroup)
      return { ...inGroup, why: `at the rate of the attribute ${inGroup.name} of ${group}`, isInherited: true };
    const beside = await rateBeside(file, group);
    if (beside) return { ...beside, why: `at the rate in ${beside.path}`, isInherited: true };
  }
  return undefined;
}

type RateBeside = (RateFound & { readonly path: string }) | undefined;
const ratesBeside = new WeakMap<Hdf5File, Map<string, Promise<RateBeside>>>();

/** A dataset of a group that has one value and is called as rates are. */
function rateBeside(file: Hdf5File, group: string): Promise<RateBeside> {
  const known = ratesBeside.get(file) ?? new Map<string, Promise<RateBeside>>();
  ratesBeside.set(file, known);
  let found = known.get(group);
  if (!found) known.set(group, (found = findRate(file, group)));
  return found;
}

async function findRate(file: Hdf5File, group: string): Promise<RateBeside> {
  for (const { path, kind, shape } of childrenOf(file, group)) {
    const isOne = kind === 'dataset' && shape.every((size) => size === 1);
    if (!isOne || !readNamedRate(pathName(path), 1)) continue;
    const found = readNamedRate(pathName(path), await readScalar(file, path));
    if (found) return { ...found, path };
  }
  return undefined;
}

function startAbove(file: Hdf5File, node: Hdf5Node): bigint | undefined {
  return groupsAbove(node.path)
    .map((group) => startAmong(file.at(group)?.attributes ?? {}))
    .find((ns) => ns !== undefined);
}

function ownStamps(node: Hdf5Node, { timeColumn }: Hdf5Options): StampCandidate[] {
  if (node.type?.kind !== 'record') return [];
  return node.type.members.flatMap(({ name }) => {
    const called = readTimeName(name);
    const part = memberColumns(node, name);
    if (part?.columns !== 1 || (timeColumn === undefined ? !called : name !== timeColumn)) return [];
    return [{ name, node, part, unitNs: called?.unitNs }];
  });
}

/** The one that is meant: called after the dataset, or the only one. @throws unprocessable naming `--time-column` */
function oneOf(candidates: readonly StampCandidate[], node: Hdf5Node): StampCandidate {
  if (candidates.length === 1) return candidates[0];
  const names = candidates.map((each) => (each.node === node ? each.name : each.node.path));
  throw unprocessableField(
    '--time-column',
    `${node.path} could have the times of ${shortList(names)}: name one`,
    'ambiguous-times',
  );
}

async function stamped(
  file: Hdf5File,
  candidate: StampCandidate,
  timeAxis: 0 | 1,
  clocks: Map<string, Promise<StampSource>>,
  options: Hdf5Options,
  rate: Rate | undefined,
): Promise<AxisFound> {
  const key = `${candidate.node.path}\n${candidate.name}`;
  let source = clocks.get(key);
  if (!source) clocks.set(key, (source = clockOf(file, candidate, options, rate)));
  return {
    axis: { kind: 'stamps', stamps: await source },
    timeAxis,
    why: `with the times of ${candidate.name}`,
    inheritedRows: 0,
  };
}

/** What the numbers of a vector of times count, and since when. @throws unprocessable naming `--epoch` */
async function clockOf(
  file: Hdf5File,
  { node, part, unitNs }: StampCandidate,
  options: Hdf5Options,
  rate: Rate | undefined,
): Promise<StampSource> {
  const { attributes, type } = node;
  const text =
    type?.kind === 'record' ? undefined : (attributeText(attributes.units) ?? attributeText(attributes.unit));
  const since = text === undefined ? undefined : readSince(text, attributeText(attributes.calendar));
  if (since && 'problem' in since) throw unprocessableField(node.path, since.problem, 'unsupported-recording');
  if (since) return { part, unitNs: since.unitNs, originNs: since.originNs, isRelative: false };
  const [first] = await readColumns(file, part, 0, 1);
  const said =
    (options.epoch && TIME_UNITS_NS[options.epoch]) ?? (text === undefined ? undefined : timeUnitNs(text)) ?? unitNs;
  const epoch = epochUnitNs(Number(first));
  const isFloat = DTYPES[part.dtype].kind === 'float';
  // A rate beside them says what the times count; floats alone count seconds, as nearly everywhere.
  const unit = said ?? epoch ?? (rate ? await unitByRate(file, part, rate) : isFloat ? TIME_UNITS_NS.s : undefined);
  if (unit === undefined) {
    throw unprocessableField(
      '--epoch',
      `${node.path} does not say what its times count: give --epoch s, ms, us or ns`,
      'ambiguous-times',
    );
  }
  const isEpoch = epoch === unit;
  const { startNs } = options;
  return {
    part,
    unitNs: unit,
    originNs: isEpoch ? 0n : (startNs ?? 0n),
    isRelative: !isEpoch && startNs === undefined,
  };
}

/** How far a step may be from the period of the rate. */
const STEP_TOLERANCE = 0.05;

/** The unit in which the first step is the period of a rate. */
async function unitByRate(file: Hdf5File, part: ColumnPart, rate: Rate): Promise<bigint | undefined> {
  if (part.rows < 2) return undefined;
  const [first, second] = await readColumns(file, part, 0, 2);
  const periods = (Number(second) - Number(first)) * rateHz(rate);
  return Object.values(TIME_UNITS_NS).find((unit) => Math.abs((periods * Number(unit)) / 1e9 - 1) <= STEP_TOLERANCE);
}

/** @throws unprocessable naming `--orient` where it is anybody's guess */
function timeAxisOf({ path, shape, type }: Hdf5Node, { orient }: Hdf5Options, columnMajor: boolean): 0 | 1 {
  if (type?.kind === 'record' || shape.length !== 2) return 0;
  if (shape[0] === 1) return 1;
  if (shape[1] === 1) return 0;
  const rowsAxis = columnMajor ? 1 : 0;
  if (orient !== undefined) return orient === 'rows' ? rowsAxis : ((1 - rowsAxis) as 0 | 1);
  const [rows, columns] = [shape[rowsAxis], shape[1 - rowsAxis]];
  if (columns > rows && columns > MAX_CERTAIN_COLUMNS) {
    throw unprocessableField(
      '--orient',
      `${path} has ${rows} rows and ${columns} columns: say --orient rows, or --orient channels if each row is a channel`,
      'ambiguous-orientation',
    );
  }
  return rowsAxis;
}

async function candidateOf(
  file: Hdf5File,
  node: Hdf5Node,
  timeAxis: 0 | 1,
  options: Hdf5Options,
): Promise<Candidate | undefined> {
  if (node.type?.kind === 'record') {
    const own = ownStamps(node, options);
    const members = node.type.members.filter(({ name }) => !own.some((each) => each.name === name));
    const parts = members.flatMap(({ name }) => {
      const part = memberColumns(node, name);
      return part ? [{ name, part }] : [];
    });
    if (parts.length === 0) return undefined;
    const labels = parts.flatMap(({ name, part }) =>
      Array.from({ length: part.columns }, (_, at) => (part.columns === 1 ? name : `${name}_${at + 1}`)),
    );
    return { node, parts: parts.map(({ part }) => part), labels, own, rows: node.shape[0] };
  }
  const part = datasetColumns(node, timeAxis);
  if (!part) return undefined;
  if (part.columns > MAX_CHANNELS) {
    throw unprocessableField(
      '--orient',
      `${node.path} has ${part.columns} columns; a series has ${MAX_CHANNELS} channels at most`,
      'too-many-channels',
    );
  }
  const given = part.columns === 1 ? [pathName(node.path)] : await labelsFor(file, node, part.columns);
  const labels = given ?? Array.from({ length: part.columns }, (_, at) => `channel_${at + 1}`);
  return { node, parts: [part], labels, own: [], rows: part.rows };
}

function seriesOf(
  file: Hdf5File,
  { node, parts, labels, rows }: Candidate,
  { axis, why, inheritedRows }: AxisFound,
  columnMajor: boolean,
): (Hdf5Series & { readonly inheritedRows: number })[] {
  const { attributes, path } = node;
  const provenance = {
    format: columnMajor ? 'MATLAB 7.3' : 'HDF5',
    dataset: path,
    attributes: plainAttributes(attributes),
    ...(Object.keys(file.at('/')?.attributes ?? {}).length > 0 && {
      file_attributes: plainAttributes(file.at('/')!.attributes),
    }),
  };
  const channels: Channel[] = labels.map((label) => ({ label }));
  const same = { axis, provenance, why, inheritedRows };
  if (node.type?.kind !== 'record') {
    const { dtype, ...packing } = cfPacking(parts[0].dtype, attributes, false);
    const unit = unitAmong(attributes);
    const source = { parts: parts.map((part) => ({ ...part, dtype })), dtype, rows };
    return [{ ...same, path: path.slice(1), source, channels, ...(unit !== undefined && { unit }), ...packing }];
  }
  const whole = commonDtype(parts.map((part) => part.dtype));
  const dtypes: (Dtype | undefined)[] = whole ? [whole] : [...new Set(parts.map((part) => part.dtype))];
  return dtypes.map((dtype) => {
    let column = 0;
    const own = parts
      .map((part) => ({ part, from: (column += part.columns) - part.columns }))
      .filter(({ part }) => whole !== undefined || part.dtype === dtype);
    return {
      ...same,
      path: whole ? path.slice(1) : `${path.slice(1)}/${dtype}`,
      source: { parts: own.map(({ part }) => part), dtype: dtype!, rows },
      channels: own.flatMap(({ part, from }) => channels.slice(from, from + part.columns)),
    };
  });
}

/** A rate of the surroundings is that of the longest datasets; what is shorter may be settings. */
function withoutShort(
  found: readonly (Hdf5Series & { readonly inheritedRows?: number })[],
  left: string[],
): Hdf5Series[] {
  const longest = found.reduce((most, { inheritedRows = 0 }) => Math.max(most, inheritedRows), 0);
  return found.filter(({ path, inheritedRows = 0, source }) => {
    const isShort = inheritedRows > 0 && inheritedRows < longest;
    if (isShort) left.push(`/${path} (${source.rows} rows of ${longest}; --dataset brings it)`);
    return !isShort;
  });
}
