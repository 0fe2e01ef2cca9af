/**
 * OpenSignals recordings (PLUX, BITalino). They are HDF5 files with a group for each device, named by its MAC address.
 * Its `raw` group holds one dataset for each channel, and `nSeq`, the packet counter.
 */
import type { Batch } from '../../core/signal/batch.ts';
import { DTYPES, viewAs, type Dtype } from '../../core/numbers/dtype.ts';
import { unprocessableField, VarveError } from '../../core/errors.ts';
import { parseRate } from '../../core/signal/rate.ts';
import type { RecordedSeries, Recording } from '../../core/signal/recording.ts';
import type { Channel, Tags } from '../../core/signal/series.ts';
import { parseTime } from '../../core/time.ts';
import { fullBatchRows } from '../samples/batch-builder.ts';
import { plainAttributes, type Hdf5File } from './hdf5-file.ts';
import { importedSpec } from './imported-series.ts';
import type { LocalZone } from './local-start.ts';

interface OpenDataset {
  /** From the root, beginning with a slash. */
  readonly path: string;
  readonly shape: readonly number[];
  readonly dtype: Dtype;
}

export interface OpenSignalsOptions {
  /** Name of the recording; device and kind of data follow it, after slashes. */
  readonly name: string;
  /** Zone of its dates and times; UTC without. */
  readonly zone?: LocalZone;
}

/**
 * Makes of each device one regular series of its analog channels, one of `nSeq`, and one of its digital lines. Analog
 * channels of several dtypes or lengths become one series for each. Attributes go to provenance as they are; model and
 * firmware are the instrument, too.
 * @throws `unprocessable` if the file has no such device, or a device no usable sampling rate
 */
export async function readOpenSignals(file: Hdf5File, options: OpenSignalsOptions): Promise<Recording> {
  const series: RecordedSeries[] = [];
  const notes: string[] = [];
  const datasets = datasetsIn(file);
  const devices = new Set(datasets.map(({ path }) => DEVICE_DATA.exec(path)?.[1]).filter((name) => name !== undefined));
  for (const device of devices) {
    const own = datasets.filter(({ path }) => path.startsWith(`/${device}/`));
    series.push(...(await deviceSeries(file, device, own, options, notes)));
  }
  if (series.length === 0) {
    throw new VarveError('unprocessable', 'the file has no group <device>/raw: it is no OpenSignals recording', {
      slug: 'unsupported-recording',
    });
  }
  return { series, notes };
}

const DEVICE_DATA = /^\/([^/]+)\/raw\/[^/]+$/;

export function isOpenSignals(file: Hdf5File): boolean {
  return datasetsIn(file).some(({ path }) => {
    const device = DEVICE_DATA.exec(path)?.[1];
    return device !== undefined && file.at(`/${device}`)?.attributes['sampling rate'] !== undefined;
  });
}

/** All datasets of numbers with an axis. */
function datasetsIn({ nodes }: Hdf5File): OpenDataset[] {
  return nodes.flatMap(({ path, shape, type }) =>
    type?.kind === 'number' && type.stored === 'plain' && shape.length > 0 ? [{ path, shape, dtype: type.dtype }] : [],
  );
}

async function deviceSeries(
  file: Hdf5File,
  device: string,
  datasets: readonly OpenDataset[],
  { name: recording, zone }: OpenSignalsOptions,
  notes: string[],
): Promise<RecordedSeries[]> {
  const attributes = plainAttributes(file.at(`/${device}`)?.attributes ?? {});
  const rate = parseRate(scalar(attributes['sampling rate']) ?? '');
  if (!rate) throw unprocessableField(`/${device}`, 'has no usable attribute `sampling rate`', 'unsupported-recording');
  const localNs = startOf(attributes);
  const startNs = zone && localNs !== undefined ? zone.utcNs(localNs) : localNs;
  const instrument = instrumentOf(attributes);
  if (startNs === undefined)
    notes.push(`${device}: no readable date and time; times count from the start of the recording`);
  else notes.push(`${device}: date and time have no zone and were taken as ${zone?.name ?? 'UTC'}`);

  const series: RecordedSeries[] = [];
  for (const [kind, members] of groupsOf(device, datasets)) {
    const channels = members.map((member) => channelOf(file, member));
    const sensors = [
      ...new Set(channels.flatMap(({ info }) => (typeof info?.sensor === 'string' ? [info.sensor] : []))),
    ];
    const [{ dtype, shape }] = members;
    series.push({
      spec: importedSpec({
        name: [recording, device, ...(kind === '' ? [] : [kind])].join('/'),
        dtype,
        channels,
        sampling: { kind: 'regular', rate, startNs: startNs ?? 0n },
        timeReference: startNs === undefined ? 'relative' : 'utc',
        tags: tagsOf(device, attributes, sensors),
        provenance: {
          format: 'OpenSignals',
          device,
          datasets: members.map((member) => member.path),
          ...(Object.keys(instrument).length > 0 && { instrument }),
          attributes,
        },
      }),
      rows: shape[0],
      batches: () => batchesOf(file, members),
      annotations: [],
    });
  }
  const imported = new Set(series.flatMap(({ spec }) => spec.provenance.datasets as string[]));
  const left = datasets.filter(
    ({ path, shape }) => !imported.has(path) && !path.startsWith(`/${device}/support/`) && shape[0] > 0,
  );
  if (left.length > 0)
    notes.push(`left out: ${left.map(({ path, shape }) => `${path} (${shape.join(' × ')})`).join(', ')}`);
  if (datasets.some(({ path }) => path.startsWith(`/${device}/support/`))) {
    notes.push(`left out: /${device}/support, overviews that OpenSignals derived from the samples`);
  }
  return series;
}

/** Which datasets of a device are samples, and what their series is called after the device. */
const KINDS: readonly { readonly name: string; readonly path: RegExp }[] = [
  { name: '', path: /^raw\/channel_?\d+$/ },
  { name: 'nSeq', path: /^raw\/nSeq$/ },
  { name: 'digital', path: /^digital\/[^/]+$/ },
];

/** Datasets that make one series, by the last part of its name. Those unlike the first of their kind get a series of their own. */
function groupsOf(device: string, datasets: readonly OpenDataset[]): Map<string, OpenDataset[]> {
  const groups = new Map<string, OpenDataset[]>();
  for (const { name, path } of KINDS) {
    const members = datasets
      .filter((dataset) => path.test(dataset.path.slice(device.length + 2)) && isColumn(dataset.shape))
      .sort((a, b) => numberOf(a.path) - numberOf(b.path));
    for (const member of members) {
      const same = member.dtype === members[0].dtype && member.shape[0] === members[0].shape[0];
      const key = same ? name : [name, `${member.dtype}-${member.shape[0]}`].filter(Boolean).join('-');
      groups.set(key, [...(groups.get(key) ?? []), member]);
    }
  }
  return groups;
}

function isColumn(shape: readonly number[]): boolean {
  return shape.length === 1 || (shape.length === 2 && shape[1] === 1);
}

function numberOf(path: string): number {
  return Number(/_(\d+)$/.exec(path)?.[1] ?? 0);
}

function channelOf(file: Hdf5File, { path }: OpenDataset): Channel {
  const info = plainAttributes(file.at(path)?.attributes ?? {});
  const label = path.slice(path.lastIndexOf('/') + 1);
  return Object.keys(info).length > 0 ? { label, info } : { label };
}

/** What the file says of the device; who made it, it does not. */
function instrumentOf(attributes: Readonly<Record<string, unknown>>): Record<string, string> {
  const said = {
    model: scalar(attributes.device),
    firmware: scalar(attributes['firmware version']),
    mac_address: scalar(attributes.macaddress),
  };
  return Object.fromEntries(
    Object.entries(said).flatMap(([key, value]) => (value === undefined || value === '' ? [] : [[key, String(value)]])),
  );
}

function tagsOf(device: string, attributes: Readonly<Record<string, unknown>>, sensors: readonly string[]): Tags {
  const model = scalar(attributes.device);
  return {
    device,
    ...(typeof model === 'string' && model !== '' && { device_model: model }),
    ...(sensors.length > 0 && { sensor: sensors.join(', ') }),
  };
}

/** Dates are written without zeros: 2019-10-8. */
function startOf(attributes: Readonly<Record<string, unknown>>): bigint | undefined {
  const date = String(scalar(attributes.date) ?? '').split('-');
  const time = String(scalar(attributes.time) ?? '').split(':');
  if (date.length !== 3 || time.length !== 3) return undefined;
  const [year, month, day] = date.map((part) => part.padStart(2, '0'));
  const [hour, minute, second] = time.map((part) => part.padStart(2, '0'));
  return parseTime(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
}

/** The value, or the only item of a list of one. */
function scalar(value: unknown): number | string | undefined {
  const item: unknown = Array.isArray(value) ? value[0] : value;
  return typeof item === 'number' || typeof item === 'string' ? item : undefined;
}

/** Rows × datasets, the datasets read side by side. */
async function* batchesOf(file: Hdf5File, members: readonly OpenDataset[]): AsyncGenerator<Batch> {
  const [{ dtype, shape }] = members;
  const channels = members.length;
  const { array, bytes } = DTYPES[dtype];
  const step = fullBatchRows(channels * bytes);
  for (let from = 0; from < shape[0]; from += step) {
    const rows = Math.min(step, shape[0] - from);
    const values = new array(rows * channels);
    for (let c = 0; c < channels; c++) {
      const { path, shape: size } = members[c];
      const place = size.map((_, axis) => (axis === 0 ? from : 0));
      const bytes = await file.readBlock(path, place, [rows, ...size.slice(1)]);
      const column = viewAs(dtype, bytes);
      for (let row = 0; row < rows; row++) values[row * channels + c] = column[row];
    }
    yield { rows, values, times: null };
  }
}
