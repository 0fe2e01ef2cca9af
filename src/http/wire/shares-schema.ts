/** Links that show a part of the store, on the wire. */
import { z } from 'zod';
import { MAX_TABLE_SERIES } from '../../flows/series/choose-series.ts';
import type { ShareRecord, SharedThing } from '../../flows/share/share-service.ts';
import { bodyTime, instant, uuid } from './scalars.ts';

const MAX_NOTE_CHARS = 1000;
const DEFAULT_DAYS = 30;
const MAX_DAYS = 366;
const DAY_MS = 86_400_000;

const SEARCH = 'A tree of conditions as `where` of `POST /v1/series/search`: whatever it finds at the time';
const THINGS = ['series', 'recording', 'search'] as const;

export const shareCreate = z
  .strictObject({
    series: z
      .union([uuid.transform((id) => [id]), z.array(uuid).min(1).max(MAX_TABLE_SERIES)])
      .transform((ids) => [...new Set(ids.map((id) => id.toLowerCase()))])
      .optional()
      .meta({ description: `Id of a series, or a list of at most ${MAX_TABLE_SERIES}. Excludes recording and search` }),
    recording: uuid.optional().meta({ description: 'Id of a recording: all its series. Excludes series and search' }),
    search: z
      .unknown()
      .optional()
      .meta({ override: { type: 'object' }, description: `${SEARCH}. Excludes series and recording` }),
    expires_at: bodyTime.optional().meta({
      description: `When it ends by itself, at most ${MAX_DAYS} days ahead. Default: in ${DEFAULT_DAYS} days`,
    }),
    note: z
      .string()
      .max(MAX_NOTE_CHARS)
      .optional()
      .meta({ description: 'For whom, or what for; whoever has the link reads it, too' }),
  })
  .superRefine((body, context) => {
    const wrong = (field: string, message: string): void =>
      context.addIssue({ code: 'custom', path: [field], message });
    const [first, ...others] = THINGS.filter((name) => body[name] !== undefined);
    if (first === undefined) wrong('series', 'is required, or recording, or search');
    for (const other of others) wrong(other, `excludes ${first}`);
    if (body.expires_at === undefined) return;
    const aheadMs = Number(body.expires_at / 1_000_000n) - Date.now();
    if (aheadMs <= 0) wrong('expires_at', 'must lie ahead');
    if (aheadMs > MAX_DAYS * DAY_MS) wrong('expires_at', `must be at most ${MAX_DAYS} days ahead`);
  })
  .meta({
    id: 'NewShare',
    description: 'What a link is to show, and for how long',
    example: { series: ['0198c5e0-0000-7000-8000-000000000001'], note: 'for the reviewers' },
  });

export function toNewShare({ series, recording, search, note, expires_at }: z.output<typeof shareCreate>): {
  thing: SharedThing;
  note: string | null;
  endsAt: Date;
} {
  return {
    thing: series ? { series } : recording === undefined ? { search } : { recording },
    note: note ?? null,
    endsAt: new Date(expires_at === undefined ? Date.now() + DEFAULT_DAYS * DAY_MS : Number(expires_at / 1_000_000n)),
  };
}

const sharedParts = {
  id: uuid.meta({ description: 'To revoke it by; it is no secret' }),
  series: z.array(uuid).optional().meta({ description: 'The series that it shows' }),
  recording: uuid.optional().meta({ description: 'The recording that it shows' }),
  search: z
    .unknown()
    .optional()
    .meta({ override: { type: 'object' }, description: 'The conditions that what it shows has to meet' }),
  note: z.string().nullable().meta({ description: 'For whom, or what for' }),
  expires_at: instant.meta({ description: 'When it ends by itself' }),
};

export const sharedAnswer = z.object(sharedParts).meta({ id: 'Shared', description: 'What a link shows' });

export const shareAnswer = z
  .object({
    ...sharedParts,
    created_at: instant.meta({ description: 'When it was made' }),
    revoked_at: instant.nullable().meta({ description: 'When it was revoked; null: it was not' }),
    state: z.enum(['valid', 'expired', 'revoked', 'orphaned']).meta({
      description: 'orphaned: the token that made it is valid no more, and the link has ended with it',
    }),
    token: z
      .object({
        id: uuid.meta({ description: 'Id of the token' }),
        name: z.string().meta({ description: 'What it is for' }),
      })
      .meta({ description: 'The token that made it' }),
  })
  .meta({ id: 'Share', description: 'A link that shows a part of the store; its address is told once' });

export const createdShareAnswer = shareAnswer
  .extend({
    url: z
      .string()
      .meta({ description: 'The link: the page, and in front of /v1 the API. It is a secret, told this once' }),
  })
  .meta({ id: 'CreatedShare', description: 'A new link' });

export function toSharedAnswer({ id, thing, note, endsAt }: ShareRecord): z.input<typeof sharedAnswer> {
  return {
    id,
    ...('series' in thing ? { series: [...thing.series] } : thing),
    note,
    expires_at: endsAt.toISOString(),
  };
}

export function toShareAnswer(share: ShareRecord, now = new Date()): z.input<typeof shareAnswer> {
  const { createdAt, revokedAt, endsAt, isOrphan, token } = share;
  return {
    ...toSharedAnswer(share),
    created_at: createdAt.toISOString(),
    revoked_at: revokedAt?.toISOString() ?? null,
    state: revokedAt ? 'revoked' : endsAt <= now ? 'expired' : isOrphan ? 'orphaned' : 'valid',
    token: { id: token.id, name: token.name },
  };
}
