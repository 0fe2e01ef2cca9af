/** The state of a write on the wire. */
import { z } from 'zod';
import type { WriteStatus } from '../../flows/service.ts';
import { instant, uuid } from './scalars.ts';

export const writeAnswer = z
  .object({
    write: uuid.meta({ description: 'Of the write' }),
    series: uuid.meta({ description: 'Id of the series' }),
    kind: z.enum(['append', 'replace', 'remove']).meta({ description: 'What it does' }),
    state: z
      .enum(['pending', 'applied', 'failed'])
      .meta({ description: 'pending: stored, not visible yet; applied: visible; failed: put aside, error says why' }),
    level: z
      .enum(['durable', 'visible'])
      .nullable()
      .meta({ description: 'durable: stored; visible: readers see it; null for a write that failed' }),
    rows: z.int().meta({ description: 'Rows that it brings' }),
    first_row: z.int().nullable().meta({ description: 'Number of the first of them, once it is known' }),
    last_row: z.int().nullable().meta({ description: 'Number of the last of them, inclusive' }),
    removed: z.int().nullable().meta({ description: 'Of a removal that is visible: rows that it took away' }),
    commit: z.int().nullable().meta({ description: 'The change of the samples that made it visible' }),
    error: z
      .object({
        code: z.string().meta({ description: 'Stable name of the cause' }),
        message: z.string().meta({ description: 'The cause, in words' }),
      })
      .nullable()
      .meta({ description: 'Why it failed; null: it has not' }),
    created_at: instant.meta({ description: 'When it was acknowledged' }),
    applied_at: instant.nullable().meta({ description: 'When it became visible' }),
  })
  .meta({ id: 'Write', description: 'What became of an append, a replacement or a removal' });

const LEVELS = { pending: 'durable', applied: 'visible', failed: null } as const;

export function toWriteAnswer(write: WriteStatus): z.input<typeof writeAnswer> {
  return {
    write: write.id,
    series: write.seriesId,
    kind: write.kind,
    state: write.state,
    level: LEVELS[write.state],
    rows: write.rows,
    first_row: write.firstRow,
    last_row: write.firstRow === null ? null : write.firstRow + write.rows - 1,
    removed: write.removed,
    commit: write.commit === null ? null : Number(write.commit),
    error: write.error,
    created_at: write.createdAt.toISOString(),
    applied_at: write.appliedAt?.toISOString() ?? null,
  };
}
