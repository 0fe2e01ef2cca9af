/**
 * OpenSignals recordings (PLUX, BITalino). They are HDF5 files with a group for each device, named by its MAC address.
 * Its `raw` group holds one dataset for each channel, and `nSeq`, the packet counter.
 */
import type { Batch } from '../../core/signal/batch.ts';
import { DTYPES, type Dtype, type SampleArray } from '../../core/numbers/dtype.ts';
import { unprocessableField, VarveError } from '../../core/errors.ts';
import { parseRate } from '../../core/signal/rate.ts';
import type { RecordedSeries, Recording } from '../../core/signal/recording.ts';
import type { Channel, Tags } from '../../core/signal/series.ts';
import { parseTime } from '../../core/time.ts';
import { fullBatchRows } from '../samples/batch-builder.ts';
import { importedSpec } from './imported-series.ts';

export interface Hdf5Dataset {
  /** From the root, beginning with a slash. */
  readonly path: string;
  readonly shape: readonly number[];
  readonly dtype: Dtype;
}

/** What an importer needs of an open HDF5 file. */
export interface Hdf5Tree {
  /** All datasets of numbers. */
  datasets(): Promise<readonly Hdf5Dataset[]>;
  /** Attributes of a group or dataset: strings, numbers, bigints, or arrays of them; empty if it has none. */
  attributes(path: string): Promise<Readonly<Record<string, unknown>>>;
  /** Rows `[fromRow, toRow)` of a dataset, with all its columns, row-major. */
  read(path: string, fromRow: number, toRow: number): Promise<SampleArray>;
}

export interface OpenSignalsOptions {
  /** Name of the recording; device and kind of data follow it, after slashes. */
  readonly name: string;
}

/**
 * Makes of each device one regular series of its analog channels, one of `nSeq`, and one of its digital lines. Analog
 * channels of several dtypes or lengths become one series for each. Attributes go to provenance as they are; model and
 * firmware are the instrument, too.
 * @throws `unprocessable` if the file has no such device, or a device no usable sampling rate
 */
export async function readOpenSignals(tree: Hdf5Tree, options: OpenSignalsOptions): Promise<Recording> {
  const series: RecordedSeries[] = [];
  const notes: string[] = [];
  const datasets = await tree.datasets();
  const devices = new Set(
    datasets.map(({ path }) => /^\/([^/]+)\/raw\/[^/]+$/.exec(path)?.[1]).filter((name) => name !== undefined),
  );
  for (const device of devices) {
    const own = datasets.filter(({ path }) => path.startsWith(`/${device}/`));
    series.push(...(await deviceSeries(tree, device, own, options.name, notes)));
  }
  if (series.length === 0) {
    throw new VarveError('unprocessable', 'the file has no group <device>/raw: it is no OpenSignals recording', {
      slug: 'unsupported-recording',
    });
  }
  return { series, notes };
}

async function deviceSeries(
  tree: Hdf5Tree,
  device: string,
  datasets: readonly Hdf5Dataset[],
  recording: string,
  notes: string[],
): Promise<RecordedSeries[]> {
  const attributes = plainAttributes(await tree.attributes(`/${device}`));
  const rate = parseRate(scalar(attributes['sampling rate']) ?? '');
  if (!rate) throw unprocessableField(`/${device}`, 'has no usable attribute `sampling rate`', 'unsupported-recording');
  const startNs = startOf(attributes);
  const instrument = instrumentOf(attributes);
  if (startNs === undefined)
    notes.push(`${device}: no readable date and time; times count from the start of the recording`);
  else notes.push(`${device}: date and time have no zone and were taken as UTC`);

  const series: RecordedSeries[] = [];
  for (const [kind, members] of groupsOf(device, datasets)) {
    const channels = await Promise.all(members.map((member) => channelOf(tree, member)));
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
      batches: () => batchesOf(tree, members),
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
function groupsOf(device: string, datasets: readonly Hdf5Dataset[]): Map<string, Hdf5Dataset[]> {
  const groups = new Map<string, Hdf5Dataset[]>();
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

async function channelOf(tree: Hdf5Tree, { path }: Hdf5Dataset): Promise<Channel> {
  const info = plainAttributes(await tree.attributes(path));
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

/** Attributes as JSON can hold them: typed arrays as lists, bigints as numbers where that is exact. */
function plainAttributes(attributes: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(attributes).map(([name, value]) => [name, plain(value)]));
}

function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (ArrayBuffer.isView(value)) return Array.from(value as Float64Array, plain);
  return Array.isArray(value) ? value.map(plain) : value;
}

/** Rows × datasets, the datasets read side by side. */
async function* batchesOf(tree: Hdf5Tree, members: readonly Hdf5Dataset[]): AsyncGenerator<Batch> {
  const [{ dtype, shape }] = members;
  const channels = members.length;
  const { array, bytes } = DTYPES[dtype];
  const step = fullBatchRows(channels * bytes);
  for (let from = 0; from < shape[0]; from += step) {
    const rows = Math.min(step, shape[0] - from);
    const values = new array(rows * channels);
    for (let c = 0; c < channels; c++) {
      const column = await tree.read(members[c].path, from, from + rows);
      for (let row = 0; row < rows; row++) values[row * channels + c] = column[row];
    }
    yield { rows, values, times: null };
  }
}
