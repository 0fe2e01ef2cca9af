/** Projects and tokens on the wire. */
import { z } from 'zod';
import type { AccessService } from '../../flows/service.ts';
import { instant, name, uuid } from './scalars.ts';

type Project = Awaited<ReturnType<AccessService['createProject']>>;
type TokenRecord = Awaited<ReturnType<AccessService['listTokens']>>[number];

export const projectCreate = z.strictObject({ name }).meta({ id: 'NewProject', example: { name: 'sleep-lab' } });

export const projectAnswer = z.object({ id: uuid, name: z.string(), created_at: instant }).meta({ id: 'Project' });

export function toProjectAnswer({ id, name: called, createdAt }: Project): z.input<typeof projectAnswer> {
  return { id, name: called, created_at: createdAt.toISOString() };
}

const scope = z.enum(['read', 'write', 'subjects', 'admin']);

export const tokenCreate = z
  .strictObject({
    name,
    scopes: z
      .array(scope)
      .min(1)
      .refine((list) => new Set(list).size === list.length, 'must not repeat a scope'),
    projects: z
      .array(name)
      .min(1)
      .nullable()
      .default(null)
      .meta({ description: 'Names of the projects the token is limited to; null: all' }),
  })
  .meta({ id: 'NewToken', example: { name: 'incubator 3', scopes: ['write'], projects: ['sleep-lab'] } });

export const tokenAnswer = z
  .object({
    id: uuid,
    name: z.string(),
    scopes: z.array(scope),
    project_ids: z.array(uuid).nullable().meta({ description: 'Null: all' }),
    created_at: instant,
  })
  .meta({ id: 'Token' });

export const createdTokenAnswer = tokenAnswer
  .extend({ token: z.string().meta({ description: 'Shown this once' }) })
  .meta({ id: 'CreatedToken' });

export function toTokenAnswer(record: TokenRecord): z.input<typeof tokenAnswer> {
  return {
    id: record.id,
    name: record.name,
    scopes: record.scopes,
    project_ids: record.projectIds,
    created_at: record.createdAt.toISOString(),
  };
}
