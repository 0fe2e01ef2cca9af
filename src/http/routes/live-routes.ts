/** Samples as they become readable, and appends that are answered while they come. */
import type { Router } from 'express';
import { z } from 'zod';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import type { LiveEvent, LiveService, StreamEvent } from '../../flows/live/live-service.ts';
import { ITEM_FORMATS } from '../../formats/samples/item-formats.ts';
import { disconnectSignal } from '../body/disconnect.ts';
import { EVENT_MEDIA_TYPES, eventFormatOf, sendEvents, type OutEvent } from '../body/event-stream.ts';
import { throwAwayRest } from '../body/linger.ts';
import { formatOfBody } from '../body/negotiate.ts';
import { openRequestBody } from '../body/request-body.ts';
import { sendBody } from '../body/send-body.ts';
import { letGoOn } from '../body/stalled.ts';
import { needs, stillPrincipalOf } from '../request/authenticate.ts';
import { problems } from '../request/operation.ts';
import { toProblem } from '../request/problem.ts';
import { queryOf } from '../request/query.ts';
import { addressOf, describeBoth, seriesPaths, seriesRouter } from '../request/series-address.ts';
import { describedSeries } from '../wire/append-many-schema.ts';
import { liveQuery, streamQuery, toLiveEvent, toStreamLines } from '../wire/live-schema.ts';
import type { ProblemDocument } from '../wire/problem-schema.ts';
import { toChannels, toPhysicalWish } from '../wire/samples-schema.ts';
import { VarveError } from '../../core/errors.ts';

/** A client that has a stream open reads: it need not send what is thrown away. */
const LINGER_MS = 2_000;
const LAST_EVENT_ID = 'Last-Event-ID';
const LINES = ITEM_FORMATS.ndjson.mediaType;

export function liveRoutes(live: Pick<LiveService, 'followSamples' | 'appendStream'>): Router {
  const router = seriesRouter();

  router.get(seriesPaths('/samples/live'), needs('read'), async (req, res) => {
    const { ref, query } = addressOf(req, liveQuery, ['channels']);
    const format = query.format ?? eventFormatOf(req, EVENT_MEDIA_TYPES);
    // An event source that comes back has the link of its beginning.
    const known = req.get(LAST_EVENT_ID) || null;
    const events = live.followSamples({
      principal: stillPrincipalOf(res),
      ref,
      after: known ?? query.after ?? null,
      field: known === null ? 'after' : LAST_EVENT_ID,
      channels: toChannels(query),
      ...toPhysicalWish(query),
      signal: disconnectSignal(res),
    });
    await sendEvents(req, res, format, outEvents(events));
  });

  router.post('/v1/samples/stream', needs('write'), async (req, res) => {
    const { project, gaps, source = null } = queryOf(req, streamQuery);
    refuseOtherThanLines(req.get('content-type'));
    letGoOn(req);
    const events = live.appendStream({
      principal: stillPrincipalOf(res),
      body: openRequestBody(req, Infinity),
      project,
      gaps,
      source,
      describe: (spec, called) => describedSeries(spec, called, project),
    });
    const request = { path: req.path, id: res.locals.requestId };
    const pieces = streamPieces(events, (error) => toProblem(error, request).document);
    const first = await pieces.next();
    res
      .status(200)
      .set({ 'Content-Type': LINES, 'Cache-Control': 'no-store, no-transform', 'X-Accel-Buffering': 'no' });
    await sendBody(res, pieces, first, null);
    throwAwayRest(req, LINGER_MS);
  });

  return router;
}

/** @throws unsupported-media-type */
function refuseOtherThanLines(contentType: string | undefined): void {
  const mediaType = (contentType ?? '').replace(/;.*/s, '').trim().toLowerCase();
  if (mediaType === LINES) {
    formatOfBody(contentType); // which refuses other character sets
    return;
  }
  const message = `must be ${LINES}`;
  throw new VarveError('unsupported-media-type', `Content-Type: ${message}`, {
    errors: [{ field: 'Content-Type', message }],
  });
}

async function* outEvents(events: AsyncGenerator<LiveEvent>): AsyncGenerator<OutEvent> {
  for await (const event of events) yield toLiveEvent(event);
}

async function* streamPieces(
  events: AsyncGenerator<StreamEvent>,
  toDocument: (error: unknown) => ProblemDocument,
): AsyncGenerator<Uint8Array> {
  for await (const event of events) yield Buffer.from(toStreamLines(event, toDocument));
}

export const liveDescriptions: ZodOpenApiPathsObject = {
  ...describeBoth('/samples/live', ({ path, by, query }) => ({
    get: {
      operationId: `liveSamples${by}`,
      tags: ['live'],
      summary: 'Follow the rows of a series as they become readable',
      description: `Events without an end, as server-sent events or a JSON object a line (\`Accept\`, or \`format\`). The id of an event is where to go on: by \`Last-Event-ID\`, or \`after\`. What a reader has not been told yet is read when it comes
back; a slow one loses nothing.

- \`start\`: the series, its dtype and channels.
- \`rows\`: rows as \`GET …/samples\` answers them in JSON, with \`commit\` and \`rows\`. \`late\` counts those whose time is not after all told before.
- \`edit\`: \`kind\` replace or remove. Drop what you have of \`[start, end)\`, or of \`rows\` rows from \`first_row\` on; what is there now follows as \`rows\`. If all of these are null, read anew what you keep.
- \`gap\`: rows of \`[start, end)\`, or from \`first_row\` on, are passed over: \`damaged\`, or \`merged\` with rows that were told. Read that range, and of it leave out what later events of no newer commit say.
- \`heartbeat\`: every ten seconds. \`end\`: with a \`reason\`, before the service ends it.

410 \`position-gone\` says how to begin anew.`,
      requestParams: {
        path,
        query: query(liveQuery),
        header: z.object({
          [LAST_EVENT_ID]: z
            .string()
            .optional()
            .meta({ description: 'The last id that was heard, as event sources send it' }),
        }),
      },
      responses: {
        200: {
          description: 'Events',
          content: {
            [EVENT_MEDIA_TYPES.sse]: { schema: { type: 'string' } },
            [EVENT_MEDIA_TYPES.ndjson]: { schema: { type: 'string' } },
          },
        },
        ...problems(404, 406, 410),
      },
    },
  })),
  '/v1/samples/stream': {
    post: {
      operationId: 'appendStream',
      tags: ['live'],
      summary: 'Append rows by a request that goes on, answered line by line',
      description: `Lines as \`POST /v1/samples\` has them. What has come while the commit before was under way is the next commit.
Each line is answered in its turn, as soon as its rows are durable and readable: with \`line\`, \`status\` and \`commit\`, or its \`problem\`.
Read while you write: who reads no answers is not read either.

With \`source\` each line has a \`sequence\`, a whole number, which is stored once for each series. The first line of the answer, \`{"event": "open"}\`, has \`last_sequence\`: the largest that is stored. Lines that were not answered can be sent again.
\`{"event": "heartbeat"}\` comes every ten seconds. \`{"event": "end"}\` with \`status\` and \`problem\` says why the service ends the stream; lines behind the last one that was answered are to be sent again.`,
      requestParams: { query: streamQuery },
      requestBody: {
        description: 'Items, one a line, as they come',
        required: true,
        content: {
          [LINES]: {
            schema: { type: 'string' },
            example: '{"series":"plant-3/door","sequence":17,"times":["2026-05-01T09:00:00Z"],"values":[1]}\n',
          },
        },
      },
      responses: {
        200: {
          description: 'What becomes of each line, as it becomes so',
          content: { [LINES]: { schema: { type: 'string' } } },
        },
        ...problems(408, 413, 415, 507),
      },
    },
  },
};
