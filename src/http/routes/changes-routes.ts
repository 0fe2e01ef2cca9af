/** The feed of changes: what became readable, in the order in which it did. */
import express, { type Request, type Router } from 'express';
import { z } from 'zod';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import { invalidField } from '../../core/errors.ts';
import type { ChangeEvent, LiveService } from '../../flows/live/live-service.ts';
import { disconnectSignal } from '../body/disconnect.ts';
import { EVENT_MEDIA_TYPES, eventFormatOf, HEARTBEAT, sendEvents, type OutEvent } from '../body/event-stream.ts';
import { needs, stillPrincipalOf } from '../request/authenticate.ts';
import { json, problems } from '../request/operation.ts';
import { queryOf, searchParamsOf } from '../request/query.ts';
import {
  changesAnswer,
  changesQuery,
  DEFAULT_COMMITS,
  toChangesAnswer,
  toCommitAnswer,
} from '../wire/changes-schema.ts';

const OFFERED = { json: 'application/json', ...EVENT_MEDIA_TYPES } as const;
const LAST_EVENT_ID = 'Last-Event-ID';

export function changesRoutes(live: Pick<LiveService, 'changes' | 'followChanges'>): Router {
  const router = express.Router({ caseSensitive: true });

  router.get('/v1/changes', needs('read'), async (req, res) => {
    const query = queryOf(req, changesQuery);
    const format = query.format ?? eventFormatOf(req, OFFERED);
    const known = lastEventOf(req);
    const { project = null, limit = DEFAULT_COMMITS, wait = 0 } = query;
    const request = {
      principal: stillPrincipalOf(res),
      after: known ?? (query.after === undefined ? null : BigInt(query.after)),
      field: known === null ? 'after' : LAST_EVENT_ID,
      project,
      signal: disconnectSignal(res),
    };
    if (format !== 'json') {
      await sendEvents(req, res, format, outEvents(live.followChanges(request)));
      return;
    }
    const page = await live.changes({ ...request, limit, waitMs: wait * 1000 });
    res.vary('Accept');
    res.set('Cache-Control', 'no-store');
    res.json(toChangesAnswer(page, linkAfter(req.originalUrl, page.after)));
  });

  return router;
}

/** What an event source that comes back has heard last; its link is still that of its beginning. @throws invalid-input naming the header */
function lastEventOf(req: Request): bigint | null {
  const text = req.get(LAST_EVENT_ID);
  if (text === undefined || text === '') return null;
  if (!/^\d{1,16}$/.test(text)) throw invalidField(LAST_EVENT_ID, 'must be the number of a commit');
  return BigInt(text);
}

function linkAfter(url: string, after: bigint): string {
  const params = searchParamsOf(url);
  params.set('after', String(after));
  return `${url.split('?', 1)[0]}?${params.toString()}`;
}

async function* outEvents(events: AsyncGenerator<ChangeEvent>): AsyncGenerator<OutEvent> {
  for await (const event of events) {
    switch (event.kind) {
      case 'commit':
        yield {
          event: 'commit',
          id: String(event.commit.commit),
          data: JSON.stringify(toCommitAnswer(event.commit)),
        };
        break;
      case 'heartbeat':
        yield { event: HEARTBEAT, id: String(event.after), data: '{}' };
        break;
      case 'end':
        yield { event: 'end', id: null, data: JSON.stringify({ reason: event.reason, detail: event.detail }) };
    }
  }
}

export const changesDescriptions: ZodOpenApiPathsObject = {
  '/v1/changes': {
    get: {
      operationId: 'changes',
      tags: ['live'],
      summary: 'Follow what changes, commit by commit',
      description: `Every commit becomes readable as a whole, in the order of its number, and none is left out. Whoever goes on with \`after\` misses nothing, over restarts and crashes.
Only changes in projects that the token reaches are told; \`after\` moves on over others. What is told can be read. Commits are kept for 30 days.
If one after \`after\` is forgotten, the answer is 410 \`changes-gone\`, and says how to begin anew.

As JSON a page, which waits for \`wait\` seconds if it would be empty.

With \`Accept: text/event-stream\` (or \`application/x-ndjson\`) events come without an end. \`commit\` has the number as its id. \`heartbeat\` comes every ten seconds, as a comment with an id.
\`end\` has a \`reason\`, and comes before the service ends the answer. \`Last-Event-ID\` goes on, and comes before \`after\`.`,
      requestParams: {
        query: changesQuery,
        header: z.object({
          [LAST_EVENT_ID]: z
            .string()
            .optional()
            .meta({ description: 'The last id that was heard, as event sources send it' }),
        }),
      },
      responses: {
        200: {
          description: 'What has changed',
          content: {
            ...json(changesAnswer),
            [EVENT_MEDIA_TYPES.sse]: { schema: { type: 'string' } },
            [EVENT_MEDIA_TYPES.ndjson]: { schema: { type: 'string' } },
          },
        },
        ...problems(404, 406, 410),
      },
    },
  },
};
