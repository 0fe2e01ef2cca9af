/** The state of a write on the wire. */
import { z } from 'zod';
import type { WriteStatus } from '../../flows/service.ts';
import { instant, uuid } from './scalars.ts';

export const writeAnswer = z
  .object({
    write: uuid,
    series: uuid,
    kind: z.enum(['append', 'replace', 'remove']),
    state: z.enum(['pending', 'applied', 'failed']),
    level: z.enum(['durable', 'visible']).nullable().meta({ description: 'Null for a write that failed' }),
    rows: z.int(),
    first_row: z.int().nullable(),
    last_row: z.int().nullable().meta({ description: 'Inclusive' }),
    removed: z.int().nullable().meta({ description: 'Of a removal that is visible: rows that it took away' }),
    commit: z.int().nullable(),
    error: z.object({ code: z.string(), message: z.string() }).nullable(),
    created_at: instant,
    applied_at: instant.nullable(),
  })
  .meta({ id: 'Write' });

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
