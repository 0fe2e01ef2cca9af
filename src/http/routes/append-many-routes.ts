/** Rows of many series with one request. */
import express, { type Router } from 'express';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import { VarveError } from '../../core/errors.ts';
import type { AppendService } from '../../flows/append/append-service.ts';
import { ITEM_FORMATS, type ItemFormatName } from '../../formats/samples/item-formats.ts';
import { MAX_BODY_ITEMS, MAX_ITEMS_BYTES } from '../../formats/samples/sample-items.ts';
import { needs, principalOf } from '../request/authenticate.ts';
import { LINES_KEY_HEADER, parseIdempotencyKey } from '../request/idempotency-key.ts';
import { formatOfBody } from '../body/negotiate.ts';
import { json, problems } from '../request/operation.ts';
import { toProblem } from '../request/problem.ts';
import { queryOf } from '../request/query.ts';
import { openRequestBody } from '../body/request-body.ts';
import {
  appendManyAnswer,
  appendManyQuery,
  describedSeries,
  ITEMS_EXAMPLE,
  refusedManyAnswer,
  toAppendManyAnswer,
  toRefusedMany,
} from '../wire/append-many-schema.ts';
import { PROBLEM_MEDIA_TYPE, problemDocument, type ProblemDocument } from '../wire/problem-schema.ts';

const MEDIA_TYPES = Object.values(ITEM_FORMATS).map(({ mediaType }) => mediaType);

export function appendManyRoutes(samples: Pick<AppendService, 'appendMany'>): Router {
  const router = express.Router({ caseSensitive: true });

  router.post('/v1/samples', needs('write'), async (req, res) => {
    const { project, atomic = false, gaps, source = null } = queryOf(req, appendManyQuery);
    const format = itemFormatOf(req.get('content-type'));
    const idempotencyKey = parseIdempotencyKey(req.get('idempotency-key'));
    const outcome = await samples.appendMany({
      principal: principalOf(res),
      format,
      body: openRequestBody(req, MAX_ITEMS_BYTES),
      declaredBytes: Number(req.get('content-length')) || null,
      project,
      atomic,
      gaps,
      idempotencyKey,
      source,
      describe: (spec, name) => describedSeries(spec, name, project),
    });
    const request = { path: req.path, id: res.locals.requestId };
    const toDocument = (error: unknown): ProblemDocument => toProblem(error, request).document;
    if (outcome.isRefused) res.status(422).type(PROBLEM_MEDIA_TYPE).json(toRefusedMany(outcome, toDocument));
    else res.json(toAppendManyAnswer(outcome, toDocument));
  });

  return router;
}

/** @throws unsupported-media-type listing what is read */
function itemFormatOf(contentType: string | undefined): ItemFormatName {
  const mediaType = (contentType ?? '').replace(/;.*/s, '').trim().toLowerCase();
  if (MEDIA_TYPES.includes(mediaType)) return formatOfBody(contentType) as ItemFormatName;
  const message = `must be ${MEDIA_TYPES.join(' or ')}`;
  throw new VarveError('unsupported-media-type', `Content-Type: ${message}`, {
    errors: [{ field: 'Content-Type', message }],
  });
}

export const appendManyDescriptions: ZodOpenApiPathsObject = {
  '/v1/samples': {
    post: {
      operationId: 'appendMany',
      tags: ['samples'],
      summary: 'Append rows of many series by one commit',
      description: `The body is one of two: JSON lines, one item on each, or an Arrow stream.

A line has \`series\` (an id, or a name with \`?project=\`), and \`values\` and \`start\` or \`times\` as in the JSON body of
\`POST /v1/series/{id}/samples\`. It may have an \`idempotency_key\` or, with \`?source=\`, a \`sequence\`. It may have \`create\`, which says what the series is to be if it is not there:
the body of \`POST /v1/series\` without \`name\` and \`project\`. Where the series is there, \`create\` is not looked at.

An Arrow stream has the columns \`series\` (texts, also dictionary-encoded) and \`time\`, and \`value\` or one column for each channel.
All rows of one series are one item then.

Items of one series apply in their order. An item that is refused keeps no other out, unless \`atomic=true\`. All that is stored is stored by one commit.
One request takes at most ${MAX_BODY_ITEMS} items and ${MAX_ITEMS_BYTES / 1024 / 1024} MiB; beyond that nothing is stored (413).
Nothing is stored either of a body that is cut off, or that is no UTF-8 text (400).`,
      requestParams: { query: appendManyQuery, header: LINES_KEY_HEADER },
      requestBody: {
        description: 'Items: one a line, or one a series',
        required: true,
        content: {
          [ITEM_FORMATS.ndjson.mediaType]: { schema: { type: 'string' }, example: ITEMS_EXAMPLE },
          [ITEM_FORMATS['arrow-stream'].mediaType]: {
            schema: { type: 'string', contentMediaType: ITEM_FORMATS['arrow-stream'].mediaType },
          },
        },
      },
      responses: {
        200: { description: 'What became of each item', content: json(appendManyAnswer) },
        ...problems(408, 413, 415, 507),
        422: {
          description: 'The body cannot be read as items; or `atomic=true` and an item was refused: nothing was stored',
          content: { [PROBLEM_MEDIA_TYPE]: { schema: refusedManyAnswer.or(problemDocument) } },
        },
      },
    },
  },
};
