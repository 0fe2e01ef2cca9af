/** Retention rules on the wire. */
import { z } from 'zod';
import { MAX_KEEP_DAYS } from '../../core/upkeep/retention.ts';
import type { RetentionRule, RetentionService } from '../../flows/compact/retention-service.ts';
import { instant, name, uuid } from './scalars.ts';
import { DEFAULT_PROJECT } from '../../core/signal/series.ts';
import { tags, tagsAnswer } from './tag-values-schema.ts';

const days = z.number().gt(0).max(MAX_KEEP_DAYS);

export const retentionCreate = z
  .strictObject({
    project: name.default(DEFAULT_PROJECT).meta({ description: 'Whose series it is for' }),
    tags: tags
      .default({})
      .meta({ description: 'Only series that have all of these, as they were given; none: all of the project' }),
    keep_days: days.meta({ description: 'How long samples are kept' }),
    keep_summaries_days: days
      .nullable()
      .default(null)
      .meta({ description: 'How long their summaries are kept, at least as long; null: for ever' }),
  })
  .refine((rule) => rule.keep_summaries_days === null || rule.keep_summaries_days >= rule.keep_days, {
    path: ['keep_summaries_days'],
    message: 'must be at least keep_days',
  })
  .meta({
    id: 'NewRetentionRule',
    description: 'How long samples of some series are kept',
    example: { tags: { kind: 'housekeeping' }, keep_days: 90, keep_summaries_days: 3650 },
  });

export const retentionAnswer = z
  .object({
    id: uuid.meta({ description: 'To delete it by' }),
    project: z.string().meta({ description: 'Whose series it is for' }),
    tags: tagsAnswer.meta({ description: 'Only series that have all of these' }),
    keep_days: z.number().meta({ description: 'How long samples are kept' }),
    keep_summaries_days: z
      .number()
      .nullable()
      .meta({ description: 'How long their summaries are kept; null: for ever' }),
    created_at: instant.meta({ description: 'When it was made' }),
  })
  .meta({ id: 'RetentionRule', description: 'How long samples of some series are kept' });

export function toNewRule(rule: z.output<typeof retentionCreate>): Parameters<RetentionService['create']>[0] {
  return {
    project: rule.project,
    tags: rule.tags,
    keepDays: rule.keep_days,
    keepSummariesDays: rule.keep_summaries_days,
  };
}

export function toRetentionAnswer(rule: RetentionRule): z.input<typeof retentionAnswer> {
  return {
    id: rule.id,
    project: rule.project,
    tags: rule.tags,
    keep_days: rule.keepDays,
    keep_summaries_days: rule.keepSummariesDays,
    created_at: rule.createdAt.toISOString(),
  };
}
