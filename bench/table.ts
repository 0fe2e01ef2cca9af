/** Measurements as a Markdown table: medians, and how many times the peer's. */
import type { Machine } from './machine.ts';

export interface Measurement {
  readonly measure: string;
  /** Of which values; null: it does not matter. */
  readonly values: string | null;
  readonly unit: 's' | 'ms' | 'B' | 'MB' | 'MB/s' | '1/s';
  /** In the order they were taken. */
  readonly varve: readonly number[];
  /** Null: not measured, or no peer here. */
  readonly peer: readonly number[] | null;
}

/** The q-quantile of samples in any order, interpolated between neighbours as NumPy does. */
export function quantile(samples: readonly number[], q: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (sorted.length - 1) * q;
  const below = sorted[Math.floor(at)];
  return below + (sorted[Math.ceil(at)] - below) * (at % 1);
}

/** @param peer what the peer's column is headed with; null leaves it and the ratios out */
export function toMarkdown(measurements: readonly Measurement[], machine: Machine, peer: string | null): string {
  const head = ['measure', 'values', 'unit', 'Varve', 'p95', ...(peer ? [peer, 'ratio'] : [])];
  const right = new Set(['Varve', 'p95', peer, 'ratio']);
  const rows = measurements.map(({ measure, values, unit, varve, peer: theirs }) => {
    const ours = quantile(varve, 0.5);
    const beside = theirs && theirs.length > 0 ? quantile(theirs, 0.5) : null;
    const compared = beside === null ? ['–', '–'] : [digits(beside), `${digits(ours / beside)}×`];
    const p95 = unit === 'ms' ? digits(quantile(varve, 0.95)) : '–';
    return [measure, values ?? '–', unit, digits(ours), p95, ...(peer ? compared : [])];
  });
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const { cpu, cores, memoryGb, system, node, date } = machine;
  return [
    `${cpu}, ${cores} cores, ${memoryGb} GiB, ${system}, Node ${node}, ${peer ?? 'no peer'}, ${date}; medians`,
    '',
    line(head),
    line(head.map((title) => (right.has(title) ? '---:' : '---'))),
    ...rows.map(line),
  ].join('\n');
}

/** Three significant digits, never an exponent. */
function digits(value: number): string {
  return value >= 100 ? value.toFixed(0) : Number(value.toPrecision(3)).toString();
}
