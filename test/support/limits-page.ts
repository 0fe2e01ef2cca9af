/** The table of docs/limits.md that adds up what one process takes. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from './project-root.ts';

export interface LimitRow {
  /** Name of the constant, and the file that has it; null: it was measured. */
  readonly name: string | null;
  readonly file: string | null;
  /** In MiB where it is bytes. */
  readonly value: number | null;
  /** MiB that each of the value takes. */
  readonly eachMib: number | null;
  readonly mib: number;
  readonly test: string;
}

const page = readFileSync(join(projectRoot(), 'docs/limits.md'), 'utf8');

export function readLimits(): { readonly rows: readonly LimitRow[]; readonly page: string } {
  const rows = cells().filter(([what]) => !what.startsWith('**'));
  return {
    page,
    rows: rows.map(([, limit, value, each, mib, test]): LimitRow => {
      const [, name, file] = /^`(.+)` in `(.+)`$/.exec(limit) ?? [];
      return {
        name: name ?? null,
        file: file ?? null,
        value: value === '' ? null : numberOf(value),
        eachMib: each === '' ? null : numberOf(each) / (each.endsWith('KiB') ? 1024 : 1),
        mib: numberOf(mib),
        test,
      };
    }),
  };
}

/** In MiB. */
export function sumOfLimits(): number {
  return numberOf(cells().find(([what]) => what === '**sum**')![4]);
}

function cells(): string[][] {
  const section = page.slice(page.indexOf('## What it adds up to'));
  const lines = section.split('\n').filter((line) => line.startsWith('|'));
  return lines.slice(2).map((line) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  );
}

function numberOf(text: string): number {
  return Number(/[\d,.]+/.exec(text)![0].replaceAll(',', ''));
}
