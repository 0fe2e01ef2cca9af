/** Projects and tokens on the wire. */
import { z } from 'zod';
import type { Project, TokenRecord } from '../../flows/people/access-service.ts';
import { instant, name, uuid } from './scalars.ts';

export const projectCreate = z
  .strictObject({ name: name.meta({ description: 'Unique; series are named within a project' }) })
  .meta({ id: 'NewProject', description: 'A project to be created', example: { name: 'sleep-lab' } });

export const projectAnswer = z
  .object({
    id: uuid.meta({ description: 'Stays, whatever else changes' }),
    name: z.string().meta({ description: 'What series and tokens say to name it' }),
    created_at: instant.meta({ description: 'When it was created' }),
  })
  .meta({
    id: 'Project',
    description: 'A room for series: tokens can be limited to some, and names are unique within one',
  });

export function toProjectAnswer({ id, name: called, createdAt }: Project): z.input<typeof projectAnswer> {
  return { id, name: called, created_at: createdAt.toISOString() };
}

const scope = z.enum(['read', 'write', 'subjects', 'admin']);
const SCOPES =
  'read: see series and samples; write: create and change them; subjects: personal data; admin: all of it, and tokens';

export const tokenCreate = z
  .strictObject({
    name: name.meta({ description: 'What it is for: shown in lists and in the history of series' }),
    scopes: z
      .array(scope)
      .min(1)
      .refine((list) => new Set(list).size === list.length, 'must not repeat a scope')
      .meta({ description: SCOPES }),
    projects: z
      .array(name)
      .min(1)
      .nullable()
      .default(null)
      .meta({ description: 'Names of the projects the token is limited to; null: all' }),
  })
  .meta({
    id: 'NewToken',
    description: 'A token to be created',
    example: { name: 'incubator 3', scopes: ['write'], projects: ['sleep-lab'] },
  });

export const tokenAnswer = z
  .object({
    id: uuid.meta({ description: 'To revoke it by; it is no secret' }),
    name: z.string().meta({ description: 'What it is for' }),
    scopes: z.array(scope).meta({ description: SCOPES }),
    project_ids: z.array(uuid).nullable().meta({ description: 'The projects it is limited to; null: all' }),
    created_at: instant.meta({ description: 'When it was created' }),
  })
  .meta({ id: 'Token', description: 'What is known of a token: never the token itself' });

export const createdTokenAnswer = tokenAnswer
  .extend({ token: z.string().meta({ description: 'Shown this once' }) })
  .meta({ id: 'CreatedToken', description: 'A new token' });

export function toTokenAnswer(record: TokenRecord): z.input<typeof tokenAnswer> {
  return {
    id: record.id,
    name: record.name,
    scopes: record.scopes,
    project_ids: record.projectIds,
    created_at: record.createdAt.toISOString(),
  };
}
