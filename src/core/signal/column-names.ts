/**
 * What columns of samples are called beside the column `time`, which is ours. What users call a channel never takes its
 * place.
 */
import { nameKey } from '../same-name.ts';

export const TIME_COLUMN = 'time';

const LIKE_TIME = /^time_*$/;

/**
 * The label. A channel that is called `time`, or `time` with underscores, gets one underscore more. Other labels have
 * other names.
 */
export function columnName(label: string): string {
  return LIKE_TIME.test(label) ? `${label}_` : label;
}

export interface ColumnPlaces {
  /** Place of the column of times, or -1. */
  readonly time: number;
  /** Place of the column of each label. It is -1 for the first label that has none, and ends there. */
  readonly channels: readonly number[];
  /** Place of a column that is neither, or is there twice; else -1. */
  readonly unknown: number;
}

/**
 * Finds the columns of a table by their names, in any order. If two columns are called `time`, the first has the times.
 * @param columns as the table calls them
 */
export function placesOfColumns(columns: readonly string[], labels: readonly string[]): ColumnPlaces {
  const left = new Map<string, number[]>();
  columns.forEach((name, place) => {
    const key = nameKey(name);
    const places = left.get(key);
    if (places) places.push(place);
    else left.set(key, [place]);
  });
  const take = (name: string): number => left.get(nameKey(name))?.shift() ?? -1;
  const time = take(TIME_COLUMN);
  const channels: number[] = [];
  for (const label of labels) {
    const named = take(columnName(label));
    const place = named < 0 && columnName(label) !== label ? take(label) : named;
    channels.push(place);
    if (place < 0) return { time, channels, unknown: -1 };
  }
  const unknown = Math.min(Infinity, ...[...left.values()].flat());
  return { time, channels, unknown: Number.isFinite(unknown) ? unknown : -1 };
}
