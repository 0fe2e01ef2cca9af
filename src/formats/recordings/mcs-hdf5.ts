/**
 * Recordings of Multi Channel Systems, as their DataManager exports them to HDF5: analog streams and events.
 * @see https://mcspydatatools.readthedocs.io/en/latest/api.html
 */
import { unprocessableField } from '../../core/errors.ts';
import { decimalRatio, powerOfTen, times, toFloat } from '../../core/numbers/ratio.ts';
import type { Channel, NewAnnotation } from '../../core/signal/series.ts';
import { isTime } from '../../core/time.ts';
import { datasetColumns, readColumns } from './hdf5-columns.ts';
import {
  childOf,
  childrenOf,
  exactAttribute,
  pathName,
  attributeNumber,
  plainAttributes,
  attributeText,
  valuesIn,
  type Hdf5File,
  type Hdf5Node,
} from './hdf5-file.ts';
import { plainLine, type Hdf5Series, type Hdf5Options, type TimeAxisFound } from './hdf5-series.ts';
import { rateOfPeriod } from './hdf5-times.ts';

const US_NS = 1_000n;
/** Powers of ten beyond mean no unit. */
const MAX_EXPONENT = 30;
const MAX_RECORDS = 65_536;
const MAX_EVENTS = 1_000_000;
/** .NET counts 100 ns since the year 1. */
const TICK_NS = 100n;
const TICKS_TO_1970 = 621_355_968_000_000_000n;

export function isMcs({ nodes }: Hdf5File): boolean {
  return nodes.some(({ path }) => /^\/Data\/Recording_\d+\/AnalogStream\/Stream_\d+\/ChannelData$/.test(path));
}

/** @throws unprocessable naming the stream whose ticks or channels cannot be understood */
export async function readMcs(file: Hdf5File, options: Hdf5Options, notes: string[]): Promise<Hdf5Series[]> {
  notes.push('read as a recording of Multi Channel Systems');
  const { attributes } = file.at('/Data')!;
  const begin = options.startNs ?? startOf(attributes, options, notes);
  const found: Hdf5Series[] = [];
  for (const recording of childrenOf(file, '/Data').filter(({ path }) => /\/Recording_\d+$/.test(path))) {
    const sinceUs = exactAttribute(recording.attributes.TimeStamp);
    const startNs = (begin ?? 0n) + (sinceUs === undefined ? 0n : BigInt(Math.trunc(Number(sinceUs))) * US_NS);
    const events = await eventsOf(file, recording.path, startNs);
    for (const stream of childrenOf(file, `${recording.path}/AnalogStream`)) {
      const data = file.at(childOf(stream.path, 'ChannelData'));
      const part = data && datasetColumns(data, 1);
      if (!part || part.rows === 0) continue;
      const infos = await infoOf(file, childOf(stream.path, 'InfoChannel'));
      if (infos.length === 0) throw unprocessableField(stream.path, 'has no InfoChannel', 'unsupported-recording');
      const byRow = new Map(infos.map((info, at) => [attributeNumber(info.RowIndex) ?? at, info]));
      const ticks = new Set(infos.map(({ Tick }) => attributeNumber(Tick)));
      const [tick] = ticks;
      const rate = ticks.size === 1 && tick !== undefined ? rateOfPeriod(`${tick}e-6`) : undefined;
      if (!rate) throw unprocessableField(stream.path, 'has channels without one Tick', 'unsupported-recording');
      const units = new Set(infos.map(({ Unit }) => attributeText(Unit)));
      const [unit] = units;
      found.push({
        path: `${pathName(recording.path)}/${pathName(stream.path)}`,
        source: { parts: [part], dtype: part.dtype, rows: part.rows },
        axis: await axisOf(
          file,
          stream.path,
          part.rows,
          { rate: options.rate ?? rate, startNs, isRelative: begin === undefined },
          notes,
        ),
        channels: Array.from({ length: part.columns }, (_, at) => channelOf(byRow.get(at) ?? {}, at, units.size > 1)),
        ...(units.size === 1 && unit !== undefined && { unit }),
        provenance: {
          format: 'MCS HDF5',
          file_attributes: plainAttributes(attributes),
          recording: plainAttributes(recording.attributes),
          stream: plainAttributes(stream.attributes),
        },
        annotations: events,
        why: `with a sample every ${tick} µs`,
      });
    }
  }
  return found;
}

type Info = Readonly<Record<string, unknown>>;

async function infoOf(file: Hdf5File, path: string): Promise<Info[]> {
  const node = file.at(path);
  if (node?.type?.kind !== 'record' || node.shape.length !== 1 || valuesIn(node) > MAX_RECORDS) return [];
  const { members } = node.type;
  const records = (await file.readValues(path, [0], node.shape)) as readonly (readonly unknown[])[];
  return records.map((record) => Object.fromEntries(members.map(({ name }, at) => [name, record[at]])));
}

/** physical = (raw − ADZero) × ConversionFactor × 10^Exponent */
function channelOf(info: Info, at: number, hasOwnUnit: boolean): Channel {
  const factor = attributeNumber(info.ConversionFactor) ?? 1;
  const scale = toFloat(
    times(
      decimalRatio(factor),
      powerOfTen(Math.trunc(Math.max(-MAX_EXPONENT, Math.min(MAX_EXPONENT, attributeNumber(info.Exponent) ?? 0)))),
    ),
  );
  const zero = attributeNumber(info.ADZero) ?? 0;
  const unit = attributeText(info.Unit);
  const group = attributeText(info.ElectrodeGroup) ?? attributeNumber(info.ElectrodeGroup);
  const filters = ['HighPassFilter', 'LowPassFilter'].flatMap((side) => {
    const hz = attributeText(info[`${side}CutOffFrequency`]) ?? attributeText(info[`${side}CutOff`]);
    return hz === undefined || hz === '-1' || hz === '' ? [] : [`${side === 'HighPassFilter' ? 'HP' : 'LP'}:${hz}`];
  });
  const rest = plainAttributes(info);
  return {
    label: attributeText(info.Label) ?? `channel_${at + 1}`,
    ...(hasOwnUnit && unit !== undefined && { unit }),
    ...(scale !== 0 && { scale }),
    ...(zero !== 0 && scale !== 0 && { offset: -zero * scale }),
    ...(group !== undefined && { group: plainLine(String(group), 500) || '0' }),
    ...(filters.length > 0 && { filtering: filters.join(' ') }),
    info: rest,
  };
}

/** Rows of first time, first and last sample; the recording paused between two of them. */
async function axisOf(
  file: Hdf5File,
  stream: string,
  rows: number,
  { rate, startNs, isRelative }: Omit<Extract<TimeAxisFound, { kind: 'rate' }>, 'kind'>,
  notes: string[],
): Promise<TimeAxisFound> {
  const node = file.at(childOf(stream, 'ChannelDataTimeStamps'));
  const part = node && datasetColumns(node);
  if (!part || part.columns !== 3 || part.rows === 0 || part.rows > MAX_EVENTS)
    return { kind: 'rate', rate, startNs, isRelative };
  const values = await readColumns(file, part, 0, part.rows);
  const at = (row: number, column: number): bigint => BigInt(Math.trunc(Number(values[row * 3 + column])));
  if (part.rows > 1) {
    const runs = Array.from({ length: part.rows }, (_, row) => ({
      row: Number(at(row, 1)),
      startNs: startNs + at(row, 0) * US_NS,
    }));
    notes.push(`${stream}: the recording paused ${part.rows - 1} times`);
    return { kind: 'runs', rate, runs: runs.filter(({ row }) => row < rows), isRelative };
  }
  return { kind: 'rate', rate, startNs: startNs + at(0, 0) * US_NS, isRelative };
}

function startOf(
  attributes: Readonly<Record<string, unknown>>,
  { zone }: Hdf5Options,
  notes: string[],
): bigint | undefined {
  const ticks = exactAttribute(attributes.DateInTicks);
  const ns = typeof ticks === 'bigint' ? (ticks - TICKS_TO_1970) * TICK_NS : undefined;
  if (ns === undefined || !isTime(ns)) {
    notes.push('the file has no readable date; times count from the start of the recording');
    return undefined;
  }
  notes.push(`the date of the file has no zone and was taken as ${zone?.name ?? 'UTC; --tz names its zone'}`);
  return zone ? zone.utcNs(ns) : ns;
}

/** Events of the digital inputs and of the software. */
async function eventsOf(file: Hdf5File, recording: string, startNs: bigint): Promise<NewAnnotation[]> {
  const all: NewAnnotation[] = [];
  for (const stream of childrenOf(file, `${recording}/EventStream`)) {
    const infos = await infoOf(file, childOf(stream.path, 'InfoEvent'));
    for (const entity of childrenOf(file, stream.path).filter(({ path }) => /\/EventEntity_\d+$/.test(path))) {
      for (const event of await eventsIn(file, entity, infos, startNs)) all.push(event);
    }
  }
  return all;
}

async function eventsIn(
  file: Hdf5File,
  entity: Hdf5Node,
  infos: readonly Info[],
  startNs: bigint,
): Promise<NewAnnotation[]> {
  const part = datasetColumns(entity, 1);
  if (!part || part.rows > MAX_EVENTS || part.columns < 1) return [];
  const id = Number(/\d+$/.exec(entity.path)![0]);
  const info = infos.find(({ EventID }) => attributeNumber(EventID) === id);
  const label = plainLine(attributeText(info?.Label) ?? pathName(entity.path), 200);
  const values = await readColumns(file, part, 0, part.rows);
  return Array.from({ length: part.rows }, (_, row) => {
    const begin = startNs + BigInt(Math.trunc(Number(values[row * part.columns]))) * US_NS;
    const us = part.columns > 1 ? Math.max(0, Math.trunc(Number(values[row * part.columns + 1]))) : 0;
    return { startNs: begin, endNs: begin + BigInt(us) * US_NS, label, payload: info ? plainAttributes(info) : {} };
  });
}
