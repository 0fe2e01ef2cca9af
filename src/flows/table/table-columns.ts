/** The columns of tables of many series: their names, their types, and what a file says of them. */
import { TIME_COLUMN } from '../../core/signal/column-names.ts';
import { commonDtype, isBigDtype, type Dtype } from '../../core/numbers/dtype.ts';
import { invalidField, unprocessableField } from '../../core/errors.ts';
import { nameKey } from '../../core/same-name.ts';
import type { Channel, Series } from '../../core/signal/series.ts';
import type { Table, TableColumn } from '../../core/signal/sample-table.ts';
import type { ChosenSeries } from '../series/choose-series.ts';
import type { TableRequest } from './table-service.ts';

export function tableWith(
  chosen: readonly ChosenSeries[],
  columns: readonly TableColumn[],
  rows: number | null,
): Table {
  return {
    columns,
    timeReference: chosen[0]?.series.timeReference ?? 'utc',
    rows,
    about: {
      series: chosen.map(({ series, channels }) => ({
        id: series.id,
        project: series.project,
        name: series.name,
        unit: series.unit,
        channels: channels.map(({ label, unit }) => ({ label, unit: unit ?? series.unit })),
        tags: series.tags,
      })),
    },
  };
}

/** Labels of all channels, each once. */
export function allLabels(chosen: readonly ChosenSeries[]): string[] {
  return [...new Set(chosen.flatMap(({ channels }) => channels.map(({ label }) => label)))];
}

/** Places of the labels of channels among all labels. */
export function labelPlaces(channels: readonly Channel[], labels: readonly string[]): number[] {
  return channels.map(({ label }) => labels.indexOf(label));
}

export function namingColumns(chosen: readonly ChosenSeries[], labels: readonly string[]): TableColumn[] {
  return [
    { name: 'series', type: 'text', words: chosen.map(({ series }) => series.id) },
    { name: 'name', type: 'text', words: chosen.map(({ series }) => series.name) },
    { name: 'channel', type: 'text', words: labels },
  ];
}

/** @throws unprocessable where no dtype holds all values exactly */
export function sharedDtype(chosen: readonly ChosenSeries[]): Dtype {
  if (chosen.length === 0) return 'float64';
  const dtypes = [...new Set(chosen.map(({ series }) => series.dtype))];
  const dtype = commonDtype(dtypes);
  if (dtype) return dtype;
  const message = `no dtype holds the values of ${dtypes.join(' and ')} exactly; ask for physical values, which are float64, or for fewer series`;
  throw unprocessableField('physical', message, 'dtypes-mixed');
}

export function sharedUnit(chosen: readonly ChosenSeries[]): Record<string, string> {
  const units = new Set(chosen.flatMap(({ series, channels }) => channels.map(({ unit }) => unit ?? series.unit)));
  const [unit] = units;
  return units.size === 1 && unit !== null ? { unit } : {};
}

export function columnNotes(series: Series, channel: Channel): Record<string, string> {
  const unit = channel.unit ?? series.unit;
  return { series: series.id, series_name: series.name, channel: channel.label, ...(unit !== null && { unit }) };
}

interface NamedChannel {
  readonly series: Series;
  readonly channel: Channel;
  readonly name: string;
}

/**
 * A name that looks like an id. A series that has one is called by its own id, because columns of other series may be
 * called so.
 */
const LIKE_AN_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/i;

/**
 * A column is named after its series; after series and channel where there are several. Where two would have one name, or a name is that of the column of
 * times, the id takes the place of the series' name.
 */
export function eachChannel(chosen: readonly ChosenSeries[]): NamedChannel[] {
  const columns = chosen.flatMap(({ series, channels }) =>
    channels.map((channel) => {
      const suffix = channels.length === 1 ? '' : `:${channel.label}`;
      return { series, channel, suffix, name: series.name + suffix };
    }),
  );
  const uses = new Map<string, number>([[TIME_COLUMN, 1]]);
  for (const { name } of columns) uses.set(nameKey(name), (uses.get(nameKey(name)) ?? 0) + 1);
  return columns.map(({ series, channel, suffix, name }) => ({
    series,
    channel,
    name: uses.get(nameKey(name)) === 1 && !LIKE_AN_ID.test(name) ? name : series.id + suffix,
  }));
}

export function mostChannels(chosen: readonly ChosenSeries[]): number {
  return Math.max(0, ...chosen.map(({ channels }) => channels.length));
}

export function refuseNpy({ format }: TableRequest): void {
  if (format === 'npy') throw invalidField('format', 'npy is for the wide form; the long one has texts');
}

/** @throws unprocessable where NumPy has no way to say that a value is missing */
export function forNpy({ format }: TableRequest, columns: readonly TableColumn[]): readonly TableColumn[] {
  if (format !== 'npy') return columns;
  const wrong = columns.find(({ type, nullable }) => nullable && isBigDtype(type as Dtype));
  if (wrong) {
    const message = `npy has no missing value of ${wrong.type} (${JSON.stringify(wrong.name)}), and float64 would lose digits; ask for arrow, csv or physical values`;
    throw unprocessableField('format', message);
  }
  return columns;
}
