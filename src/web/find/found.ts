/** What a search finds, a recording a row: the series of one file belong together. */
import type { SeriesItem } from '../api.ts';

export interface Found {
  readonly key: string;
  /** What it is called: of a series its name, of a recording what its names have in common. */
  readonly name: string;
  readonly series: readonly SeriesItem[];
}

/** In the order of the first series of each. */
export function groupFound(items: readonly SeriesItem[]): Found[] {
  const groups = new Map<string, SeriesItem[]>();
  for (const item of items) {
    const key = recordingKey(item) ?? item.id;
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  }
  return [...groups].map(([key, series]) => ({ key, name: nameOf(series), series }));
}

/** What the series of one recording share: the recording, or the file that they are from. */
function recordingKey(item: SeriesItem): string | null {
  const { recording, provenance } = item as { recording?: { id?: unknown } | null; provenance: { source?: unknown } };
  if (typeof recording?.id === 'string') return recording.id;
  const { sha256 } = (provenance.source ?? {}) as { sha256?: unknown };
  return typeof sha256 === 'string' ? `${item.project}/${sha256}` : null;
}

function nameOf(series: readonly SeriesItem[]): string {
  const [first] = series;
  if (series.length === 1) return first.name;
  const { recording } = first as { recording?: { name?: unknown } | null };
  if (typeof recording?.name === 'string') return recording.name;
  let shared = first.name;
  for (const { name } of series) while (!name.startsWith(shared)) shared = shared.slice(0, -1);
  const whole = shared.replace(/[/_.\- ]+$/, '');
  return whole === '' ? first.name : whole;
}

/** Bytes of the samples as they are, before compression. */
export function rawBytes(series: readonly SeriesItem[]): number {
  return series.reduce((sum, { dtype, channels, rows, removed, sampling }) => {
    const bytes = Number(/\d+$/.exec(dtype)?.[0] ?? 0) / 8;
    return sum + (rows - removed) * (channels.length * bytes + (sampling.kind === 'regular' ? 0 : 8));
  }, 0);
}

/** From the first to the last sample of all; null: there is none. */
export function foundSpan(series: readonly SeriesItem[]): { start: string; end: string; seconds: number } | null {
  const starts = series.flatMap((each) => each.first_time ?? []).sort((a, b) => Date.parse(a) - Date.parse(b));
  const ends = series.flatMap((each) => each.last_time ?? []).sort((a, b) => Date.parse(b) - Date.parse(a));
  if (starts.length === 0 || ends.length === 0) return null;
  return { start: starts[0], end: ends[0], seconds: (Date.parse(ends[0]) - Date.parse(starts[0])) / 1000 };
}

export function foundUnits(series: readonly SeriesItem[]): readonly string[] {
  const units = series.flatMap((each) => each.channels.map((channel) => channel.unit ?? each.unit));
  return [...new Set(units.filter((unit) => unit !== null && unit !== undefined))];
}
