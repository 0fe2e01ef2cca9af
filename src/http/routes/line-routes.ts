/** What clients of InfluxDB write to: line protocol, and whether somebody is there. */
import express, { type Request, type RequestHandler, type Response, type Router } from 'express';
import { z } from 'zod';
import type { ZodOpenApiOperationObject, ZodOpenApiPathsObject } from 'zod-openapi';
import { isVarveError, VarveError } from '../../core/errors.ts';
import type { HealthService } from '../../flows/health-service.ts';
import type { IngestService } from '../../flows/ingest/ingest-service.ts';
import {
  MAX_LINE_POINTS,
  MAX_LINE_SERIES,
  MAX_LINES_BYTES,
  type Precision,
} from '../../formats/line-protocol/line-parser.ts';
import { parseWith } from '../body/field-errors.ts';
import { openRequestBody } from '../body/request-body.ts';
import { partialWrite, V1_WRITE, V2_WRITE } from '../request/agent-answers.ts';
import { needs, principalOf } from '../request/authenticate.ts';
import { json } from '../request/operation.ts';
import { searchParamsOf } from '../request/query.ts';
import {
  agentHealth,
  agentVersion,
  LINES_EXAMPLE,
  onlyOnce,
  pingQuery,
  v1Error,
  v1WriteQuery,
  v2Error,
  v2WriteQuery,
} from '../wire/lines-schema.ts';

/** The version of the protocol that is spoken; clients read it as one of InfluxDB. */
const PROTOCOL_VERSION = '1.8.10';

/** @param admitted who may send lines, and how many at a time */
export function lineRoutes(
  ingest: IngestService,
  health: Pick<HealthService, 'ready'>,
  admitted: readonly RequestHandler[],
  version: string,
): Router {
  const router = express.Router({ caseSensitive: true });
  const protocol = `${PROTOCOL_VERSION}-varve.${version}`;

  router.post(V1_WRITE, ...admitted, needs('write'), async (req, res) => {
    const { db, precision } = parseWith(v1WriteQuery, given(req, ['db', 'precision']), 'query');
    await write(req, res, V1_WRITE, { project: db, precision, unknown: `database not found: ${JSON.stringify(db)}` });
  });

  router.post(V2_WRITE, ...admitted, needs('write'), async (req, res) => {
    const { bucket, precision } = parseWith(v2WriteQuery, given(req, ['bucket', 'precision']), 'query');
    const unknown = `bucket ${JSON.stringify(bucket)} not found`;
    await write(req, res, V2_WRITE, { project: bucket, precision, unknown });
  });

  async function write(
    req: Request,
    res: Response,
    path: string,
    { project, precision, unknown }: { project: string; precision: Precision; unknown: string },
  ): Promise<void> {
    const request = {
      principal: principalOf(res),
      project,
      precision,
      body: openRequestBody(req, MAX_LINES_BYTES),
      declaredBytes: Number(req.get('content-length')) || null,
    };
    const outcome = await ingest.lines(request).catch((error: unknown) => {
      throw isVarveError(error) && error.code === 'not-found' ? new VarveError('not-found', unknown) : error;
    });
    if (outcome.refused === 0) {
      res.status(204).end();
      return;
    }
    const { status, body } = partialWrite(path, outcome);
    res.status(status).json(body);
  }

  router.get('/ping', (req, res) => {
    const { verbose } = parseWith(pingQuery, given(req, ['verbose']), 'query');
    res.set('X-Influxdb-Version', protocol);
    if (verbose === 'true') res.json({ version: protocol });
    else res.status(204).end();
  });

  router.get('/health', async (_req, res) => {
    const { ok } = await health.ready();
    const message = ok ? 'ready for queries and writes' : 'not ready: see /readyz';
    res
      .status(ok ? 200 : 503)
      .set('Cache-Control', 'no-store')
      .json({ name: 'varve', status: ok ? 'pass' : 'fail', message, version });
  });

  return router;
}

function given(req: Request, known: readonly string[]): Record<string, string> {
  return onlyOnce(searchParamsOf(req.originalUrl), known);
}

const ABOUT_LINES = `\`measurement,tag=value field=1.5,count=3i,open=true,state="on" 1777626000000000000\` a line, as bytes or gzip. Each field of a measurement and its tags is an irregular series
\`measurement,tag=value:field\` with the tags of the line, \`_measurement\` and \`_field\`, made when it is first seen. Floats are float64, \`1i\` int64, \`1u\` uint64, booleans uint8; a text is an annotation of the
series, one a change. Values of another type than the first one's go to a second series, with the tag \`_type\`.

All good lines are stored by one commit. A line that is refused is named in the answer and keeps no other out. At most ${MAX_LINES_BYTES / 1024 / 1024} MiB, ${MAX_LINE_POINTS} values and ${MAX_LINE_SERIES} series in one
request (413). What another try may store is always 503 with \`Retry-After\`.`;

function writeOperation(
  operationId: string,
  summary: string,
  query: typeof v1WriteQuery | typeof v2WriteQuery,
  error: typeof v1Error | typeof v2Error,
): ZodOpenApiOperationObject {
  const refusals = {
    400: 'Lines were refused, which are named; all others are stored. Or the query is malformed, and nothing is',
    401: 'No valid token',
    403: 'The token does not allow this, or does not reach the project',
    404: 'There is no such project',
    413: 'Too large; nothing was stored',
    415: 'The encoding of the body is not read here',
    500: 'A fault of the service',
    503: 'Cannot be taken now; `Retry-After` says when to try again',
  };
  return {
    operationId,
    tags: ['agents'],
    summary,
    description: ABOUT_LINES,
    security: [{ token: [] }, { password: [] }],
    requestParams: { query },
    requestBody: {
      description: 'Lines',
      required: true,
      content: { 'text/plain': { schema: z.string(), example: LINES_EXAMPLE } },
    },
    responses: {
      204: { description: 'All lines are durable, and readers see them' },
      ...Object.fromEntries(
        Object.entries(refusals).map(([status, description]) => [status, { description, content: json(error) }]),
      ),
    },
  };
}

export const lineDescriptions: ZodOpenApiPathsObject = {
  [V1_WRITE]: { post: writeOperation('writeLines', 'Write lines as to InfluxDB 1', v1WriteQuery, v1Error) },
  [V2_WRITE]: { post: writeOperation('writeLines2', 'Write lines as to InfluxDB 2', v2WriteQuery, v2Error) },
  '/ping': {
    get: {
      operationId: 'ping',
      tags: ['agents'],
      summary: 'Is somebody there',
      description: 'Asks nothing of the service. Needs no token.',
      security: [],
      requestParams: { query: pingQuery },
      responses: {
        200: { description: 'With `verbose=true`', content: json(agentVersion) },
        204: { description: 'It is; `X-Influxdb-Version` tells the version of the protocol' },
      },
    },
  },
  '/health': {
    get: {
      operationId: 'agentHealth',
      tags: ['agents'],
      summary: 'Can it serve, in the words of InfluxDB 2',
      description: 'The same as `/readyz`. Needs no token.',
      security: [],
      responses: {
        200: { description: 'It can', content: json(agentHealth) },
        503: { description: 'It cannot', content: json(agentHealth) },
      },
    },
  },
};
