/** Measurements as a Markdown table: medians, and how many times Varve's each peer's is. */
import type { Machine } from './machine.ts';

export interface Measurement {
  readonly measure: string;
  /** Which values it is about; null: it does not matter. */
  readonly values: string | null;
  readonly unit: 's' | 'ms' | 'B' | 'MB' | 'MB/s' | '1/s';
  /** In the order they were taken. */
  readonly varve: readonly number[];
  /** Measurements of those beside it, by the names that head their columns. */
  readonly peers?: Readonly<Record<string, readonly number[]>>;
}

/** Where nothing was measured. */
const NOTHING = '–';

/** The q-quantile of samples in any order, interpolated between neighbours as NumPy does. */
export function quantile(samples: readonly number[], q: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (sorted.length - 1) * q;
  const below = sorted[Math.floor(at)];
  return below + (sorted[Math.ceil(at)] - below) * (at % 1);
}

/** A column for each peer that any of the measurements knows. @param notes lines below the table */
export function toMarkdown(measurements: readonly Measurement[], machine: Machine, notes: readonly string[]): string {
  const peers = [...new Set(measurements.flatMap(({ peers = {} }) => Object.keys(peers)))];
  const head = ['measure', 'values', 'Varve', 'p95', ...peers];
  const rows = measurements.map(({ measure, values, unit, varve, peers: theirs = {} }) => {
    const ours = median(varve);
    const beside = peers.map((peer) => {
      const middle = median(theirs[peer] ?? []);
      return middle === null ? NOTHING : `${digits(middle)} ${unit}${ratio(middle, ours)}`;
    });
    const p95 = unit === 'ms' && varve.length > 0 ? digits(quantile(varve, 0.95)) : NOTHING;
    return [measure, values ?? NOTHING, ours === null ? NOTHING : `${digits(ours)} ${unit}`, p95, ...beside];
  });
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const { cpu, cores, memoryGb, system, node, date } = machine;
  return [
    `${cpu}, ${cores} cores, ${memoryGb} GiB, ${system}, Node ${node}, ${date}; medians, and in brackets how many times Varve's`,
    '',
    line(head),
    line(head.map((_, column) => (column < 2 ? '---' : '---:'))),
    ...rows.map(line),
    ...(notes.length > 0 ? ['', ...notes.map((note) => `- ${note}`)] : []),
  ].join('\n');
}

function median(samples: readonly number[]): number | null {
  return samples.length === 0 ? null : quantile(samples, 0.5);
}

function ratio(theirs: number, ours: number | null): string {
  return ours ? ` (${rounded(theirs / ours)}×)` : '';
}

/** Two significant digits, never an exponent. */
function rounded(value: number): string {
  return value >= 10 ? value.toFixed(0) : Number(value.toPrecision(value >= 1 ? 2 : 1)).toString();
}

/** Three significant digits, never an exponent. */
function digits(value: number): string {
  return value >= 100 ? value.toFixed(0) : Number(value.toPrecision(3)).toString();
}
