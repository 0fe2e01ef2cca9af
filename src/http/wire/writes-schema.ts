/** Writes on the wire: what an append, a replacement or a removal is answered, and what is told of it later. */
import { z } from 'zod';
import type { AppendOutcome, RemoveOutcome, WriteStatus } from '../../flows/append/append-service.ts';
import { instant, uuid } from './scalars.ts';

const write = z.string().meta({ description: 'Id of the write: GET /v1/writes/{id} tells of it' });
const level = z.literal('visible').meta({ description: 'It is durable, and readers see it' });
const commit = z.int().meta({ description: 'The change of the samples that it came with' });
const rows = z.int().meta({ description: 'Rows that were stored' });
const firstRow = z.int().optional().meta({
  description: 'Number of the first of them. Not of irregular series: their rows are numbered in order of time',
});
const lastRow = z.int().optional().meta({ description: 'Number of the last of them, inclusive' });
const removed = z.int().meta({ description: 'Rows that were there and are no more' });

export const appendAnswer = z
  .object({ write, rows, first_row: firstRow, last_row: lastRow, level, commit })
  .meta({ id: 'Stored', description: 'Rows that are durable, and that readers see' });

export const removeAnswer = z
  .object({ write, removed, level, commit })
  .meta({ id: 'Removed', description: 'A removal that is durable, and that readers see' });

export const writeAnswer = z
  .object({
    write: z.string().meta({ description: 'Id of the write' }),
    series: uuid.meta({ description: 'Id of the series' }),
    kind: z.enum(['append', 'replace', 'remove']).meta({ description: 'What it did' }),
    level,
    rows: rows.optional(),
    first_row: firstRow,
    last_row: lastRow,
    removed: removed.optional(),
    commit,
    at: instant.meta({ description: 'When it was committed' }),
  })
  .meta({ id: 'Write', description: 'An append, a replacement or a removal' });

function numbered(rows: number, firstRow: number | null): { first_row?: number; last_row?: number } {
  return firstRow === null ? {} : { first_row: firstRow, last_row: firstRow + rows - 1 };
}

export function toAppendAnswer({ write, rows, firstRow, commit }: AppendOutcome): z.input<typeof appendAnswer> {
  return { write, rows, ...numbered(rows, firstRow), level: 'visible', commit: Number(commit) };
}

export function toRemoveAnswer({ write, removed, commit }: RemoveOutcome): z.input<typeof removeAnswer> {
  return { write, removed, level: 'visible', commit: Number(commit) };
}

export function toWriteAnswer(status: WriteStatus): z.input<typeof writeAnswer> {
  const { id, seriesId, kind, rows, firstRow, commit, at } = status;
  const what = kind === 'remove' ? { removed: rows } : { rows, ...numbered(rows, firstRow) };
  return { write: id, series: seriesId, kind, level: 'visible', ...what, commit: Number(commit), at: at.toISOString() };
}
