/** Appending to many series with one request. */
import express, { type Router } from 'express';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import { VarveError } from '../core/errors.ts';
import { NOT_STORED } from '../core/place-append.ts';
import { MAX_ITEMS_BYTES } from '../flows/receive-items.ts';
import type { ItemOutcome, SampleService } from '../flows/service.ts';
import { MAX_ITEMS } from '../formats/body-item.ts';
import { ITEM_FORMATS, type ItemFormatName } from '../formats/item-formats.ts';
import { needs, principalOf } from './authenticate.ts';
import { parseIdempotencyKey } from './idempotency-key.ts';
import { formatAmong } from './negotiate.ts';
import { json, problems } from './operation.ts';
import { toProblem } from './problem.ts';
import { queryOf } from './query.ts';
import { openRequestBody } from './request-body.ts';
import { bodyHeaders } from './sample-routes.ts';
import {
  appendItem,
  APPEND_MANY_EXAMPLE,
  appendManyAnswer,
  appendManyQuery,
  itemRef,
  readSpec,
  refusedManyAnswer,
  toAppendManyAnswer,
  toItemAnswer,
} from './wire/append-many.ts';
import { PROBLEM_MEDIA_TYPE, type ProblemDocument } from './wire/problem.ts';

const FORMATS = Object.keys(ITEM_FORMATS) as ItemFormatName[];
/** Problems that one answer tells of in the field `errors`; the list of items has all. */
const MAX_NAMED_ITEMS = 100;

export function appendManyRoutes(samples: Pick<SampleService, 'appendMany'>): Router {
  const router = express.Router({ caseSensitive: true });

  router.post('/v1/samples', needs('write'), async (req, res) => {
    const { project, atomic = false } = queryOf(req, appendManyQuery);
    const format = formatAmong(FORMATS, (name) => ITEM_FORMATS[name].mediaType, req.get('content-type'));
    const idempotencyKey = parseIdempotencyKey(req.get('idempotency-key'));
    const outcome = await samples.appendMany({
      principal: principalOf(res),
      format,
      body: openRequestBody(req, MAX_ITEMS_BYTES),
      declaredBytes: Number(req.get('content-length')) || null,
      atomic,
      idempotencyKey,
      refOf: itemRef(project),
      readSpec,
    });
    const at = { path: req.path, id: res.locals.requestId };
    const toDocument = (error: VarveError): ProblemDocument => toProblem(error, at).document;
    const blamed = outcome.items.filter(isToBlame);
    if (!atomic || blamed.length === 0) {
      res.json(toAppendManyAnswer(outcome, toDocument));
      return;
    }
    const { status, document } = toProblem(refusal(blamed, outcome.items.length), at);
    const items = blamed.map((each) => toItemAnswer(each, toDocument));
    res.status(status).type(PROBLEM_MEDIA_TYPE).json({ ...document, items });
  });

  return router;
}

type RefusedItem = Extract<ItemOutcome, { error: VarveError }>;

function isToBlame(item: ItemOutcome): item is RefusedItem {
  return 'error' in item && item.error.slug !== NOT_STORED;
}

/** Of items that belong together. */
function refusal(blamed: readonly RefusedItem[], items: number): VarveError {
  const named = blamed.slice(0, MAX_NAMED_ITEMS).map(({ line, error }) => ({ field: `line ${line}`, message: error.message }));
  const message = `${blamed.length} of ${items} items were refused, so nothing was stored: line ${blamed[0].line}: ${blamed[0].error.message}`;
  return new VarveError('unprocessable', message, { slug: 'items-refused', errors: named });
}

export const appendManyDescriptions: ZodOpenApiPathsObject = {
  '/v1/samples': {
    post: {
      operationId: 'appendManySamples',
      tags: ['samples'],
      summary: 'Append rows to many series in one commit',
      description: `NDJSON has an item a line: a series, by id or by name, and its rows as a JSON body of one series has them. An Arrow stream has the columns \`series\`
(texts, plain or dictionary-encoded), \`time\`, and \`value\` or a column for each channel; there the rows of a series are one item. Items of one series apply in their order. What is
right is stored, all in one commit; the answer tells of each item, in order, its rows, or the problem that it has. With \`atomic=true\` one refused item refuses all.
At most ${MAX_ITEMS} items and ${MAX_ITEMS_BYTES / 1024 / 1024} MiB in one request; beyond that (413), and if the body breaks off or is no text at all (400), nothing is stored.
With the header \`Idempotency-Key\`, an item without a key of its own gets one of the header's and its line: the same body may be sent again as a whole.`,
      requestParams: { query: appendManyQuery, header: bodyHeaders },
      requestBody: {
        description: 'An item a line, or an Arrow stream',
        required: true,
        content: {
          [ITEM_FORMATS.ndjson.mediaType]: { schema: appendItem, example: APPEND_MANY_EXAMPLE },
          [ITEM_FORMATS['arrow-stream'].mediaType]: {
            schema: { type: 'string', contentMediaType: ITEM_FORMATS['arrow-stream'].mediaType },
          },
        },
      },
      responses: {
        200: { description: 'What became of each item', content: json(appendManyAnswer) },
        ...problems(408, 413, 415, 507),
        422: {
          description: 'With `atomic=true`: an item was refused, and nothing is stored',
          content: { [PROBLEM_MEDIA_TYPE]: { schema: refusedManyAnswer } },
        },
      },
    },
  },
};
