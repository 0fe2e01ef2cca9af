/** Findings as lines for a terminal. */
import type { Finding } from '../../flows/finding.ts';
import { writeOut } from '../process/standard-output.ts';
import { tableLines, type TextColumn } from './text-table.ts';

const COLUMNS: readonly TextColumn<Finding>[] = [
  { title: 'KIND', text: ({ kind }) => kind },
  { title: 'SERIES', text: ({ series }) => series ?? '–' },
  { title: 'ROW', right: true, text: ({ row }) => row?.toLocaleString('en') ?? '–' },
  { title: 'FILE', text: ({ path }) => path ?? '–' },
  { title: 'PROBLEM', text: ({ message }) => message },
];

export async function printFindings(findings: readonly Finding[]): Promise<void> {
  for await (const line of tableLines(COLUMNS, findings)) await writeOut(`${line}\n`);
}

/** `3 findings`, `1 note`, … */
export function countedNoun(count: number, noun: string): string {
  return `${count} ${count === 1 ? noun : `${noun}s`}`;
}
