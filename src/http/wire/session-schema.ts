/** Signing in, on the wire. */
import { z } from 'zod';
import type { SignedIn } from '../../flows/people/session-service.ts';
import type { ShareRecord } from '../../flows/share/share-service.ts';
import { instant, uuid } from './scalars.ts';

const MAX_SECRET_CHARS = 4096;
const secret = z.string().min(1).max(MAX_SECRET_CHARS);

export const signInBody = z
  .strictObject({
    token: secret.optional().meta({ description: 'A token. Excludes code' }),
    code: secret.optional().meta({
      description:
        'What stands behind the # of a link that the service has printed; it can be used once. Excludes token',
    }),
  })
  .superRefine(({ token, code }, context) => {
    const wrong = (message: string): void => context.addIssue({ code: 'custom', path: ['token'], message });
    if (token === undefined && code === undefined) wrong('is required, or code');
    if (token !== undefined && code !== undefined) wrong('excludes code');
  })
  .meta({ id: 'SignIn', description: 'A token, or a code in its place', example: { token: 'varve_…' } });

export const sessionAnswer = z
  .object({
    token: z
      .object({
        id: uuid.meta({ description: 'Id of the token; it is no secret' }),
        name: z.string().meta({ description: 'What it is for' }),
      })
      .nullable()
      .meta({ description: 'The token that the session stands for, and ends with; null for whoever came by a link' }),
    scopes: z.array(z.string()).meta({ description: 'What it lets do' }),
    projects: z.array(z.string()).nullable().meta({ description: 'Names of the projects it is limited to; null: all' }),
    expires_at: instant.nullable().meta({ description: 'When the session ends by itself; null: it does not' }),
  })
  .meta({ id: 'Session', description: 'Who is signed in' });

export function toSessionAnswer({ token, principal, endsAt }: SignedIn): z.input<typeof sessionAnswer> {
  return {
    token: { id: token.id, name: token.name },
    scopes: [...principal.scopes],
    projects: principal.projects && [...principal.projects.names],
    expires_at: endsAt?.toISOString() ?? null,
  };
}

/** Whoever came by a link has no name, and is told nothing of its maker. */
export function toLinkSessionAnswer({ endsAt }: ShareRecord): z.input<typeof sessionAnswer> {
  return { token: null, scopes: ['read'], projects: null, expires_at: endsAt.toISOString() };
}
