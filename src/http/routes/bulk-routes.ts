/** Creating thousands of series with one request. */
import { createHash } from 'node:crypto';
import express, { type Request, type Response, type Router } from 'express';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import { invalidField, isVarveError, VarveError, messageOf } from '../../core/errors.ts';
import type { NewSeries } from '../../core/signal/series.ts';
import type { CreateOutcome, SeriesService } from '../../flows/series/series-service.ts';
import { parseJsonWithDigits } from '../../formats/text/exact-json.ts';
import { textLines } from '../../formats/text/text-lines.ts';
import { needs, principalOf } from '../request/authenticate.ts';
import { documents } from '../body/document-room.ts';
import { parseWith } from '../body/field-errors.ts';
import { KEY_HEADER, onceOf } from '../request/idempotency-key.ts';
import { assertJsonText, refuseUnstorable } from '../body/json-body.ts';
import { json, problems } from '../request/operation.ts';
import { toProblem } from '../request/problem.ts';
import { queryOf } from '../request/query.ts';
import { openRequestBody } from '../body/request-body.ts';
import { BULK_EXAMPLE, bulkAnswer, MAX_BULK_BYTES, MAX_BULK_LINES, toBulkItem } from '../wire/bulk-schema.ts';
import { noQuery } from '../wire/scalars.ts';
import { newSeries, seriesCreate } from '../wire/series-schema.ts';

const MEDIA_TYPE = 'application/x-ndjson';

export function bulkRoutes(series: Pick<SeriesService, 'createMany'>): Router {
  const router = express.Router({ caseSensitive: true });

  router.post('/v1/series/bulk', needs('write'), async (req, res) => {
    queryOf(req, noQuery);
    if (req.is(MEDIA_TYPE) === false) {
      const message = `must be ${MEDIA_TYPE}`;
      throw new VarveError('unsupported-media-type', `Content-Type: ${message}`, {
        errors: [{ field: 'Content-Type', message }],
      });
    }
    const { lines, contentHash } = await readLines(req, documents.counterFor(res));
    const inputs = lines.flatMap((each) => ('input' in each ? [each.input] : []));
    const once = onceOf(req, () => contentHash);
    const { answer, replayed } = await series.createMany(principalOf(res), inputs, once, (outcomes) =>
      answerOf(lines, outcomes, req, res),
    );
    if (replayed) res.set('Idempotency-Replayed', 'true');
    res.json(answer);
  });

  return router;
}

type BulkLine = { readonly line: number } & ({ readonly input: NewSeries } | { readonly error: unknown });

/** A line at a time: what is held is the series they describe. Empty lines are skipped, but count. */
async function readLines(
  req: Request,
  count: (bytes: number) => void,
): Promise<{ lines: BulkLine[]; contentHash: Buffer }> {
  const hash = createHash('sha256').update(`${req.method} ${req.path}\n`);
  const lines: BulkLine[] = [];
  let line = 0;
  for await (const texts of textLines(hashed(openRequestBody(req, MAX_BULK_BYTES), hash, count))) {
    for (const text of texts) {
      line++;
      if (text.trim() === '') continue;
      if (lines.length === MAX_BULK_LINES) {
        const message = `has more than ${MAX_BULK_LINES} series; send them in several requests`;
        throw new VarveError('limit-exceeded', `body: ${message}`, { errors: [{ field: 'body', message }] });
      }
      lines.push({ line, ...readLine(text) });
    }
  }
  if (lines.length === 0) throw invalidField('body', 'must have a line for each series');
  return { lines, contentHash: hash.digest() };
}

async function* hashed(
  source: AsyncIterable<Uint8Array>,
  hash: ReturnType<typeof createHash>,
  count: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  for await (const block of source) {
    count(block.byteLength);
    hash.update(block);
    yield block;
  }
}

function readLine(text: string): { input: NewSeries } | { error: unknown } {
  try {
    const value = parseLine(text);
    assertJsonText(text, 'line');
    refuseUnstorable(value);
    return { input: newSeries(parseWith(seriesCreate, value, 'line')) };
  } catch (error) {
    if (isVarveError(error)) return { error };
    throw error;
  }
}

function parseLine(text: string): unknown {
  try {
    return parseJsonWithDigits(text);
  } catch (error) {
    throw invalidField('line', `is not valid JSON: ${messageOf(error)}`);
  }
}

function answerOf(
  lines: readonly BulkLine[],
  outcomes: readonly CreateOutcome[],
  req: Request,
  res: Response,
): { items: ReturnType<typeof toBulkItem>[] } {
  const toDocument = (error: unknown): ReturnType<typeof toProblem>['document'] =>
    toProblem(error, { path: req.path, id: res.locals.requestId }).document;
  const next = outcomes.values();
  const outcomeOf = (): CreateOutcome => {
    const { value, done } = next.next();
    if (done) throw new Error('a series that was to be made has no outcome');
    return value;
  };
  return {
    items: lines.map((each) => toBulkItem(each.line, 'input' in each ? outcomeOf() : each, toDocument)),
  };
}

export const bulkDescriptions: ZodOpenApiPathsObject = {
  '/v1/series/bulk': {
    post: {
      operationId: 'createManySeries',
      tags: ['series'],
      summary: 'Create many series, one a line',
      description: `Each line is the body of \`POST /v1/series\`. What can be created is created, in one transaction. The answer has one entry for each line, in order:
its status, and the new id or the problem that the line has. Where two lines have one name, the first is created and the second is a 409.
One request takes at most ${MAX_BULK_LINES} series and ${MAX_BULK_BYTES / 1024 / 1024} MiB; beyond that nothing is stored (413).`,
      requestParams: { header: KEY_HEADER },
      requestBody: {
        description: 'One series on each line, as JSON',
        required: true,
        content: { [MEDIA_TYPE]: { schema: { type: 'string' }, example: BULK_EXAMPLE } },
      },
      responses: {
        200: { description: 'What became of each line', content: json(bulkAnswer) },
        ...problems(413, 415, 422, 507),
      },
    },
  },
};
