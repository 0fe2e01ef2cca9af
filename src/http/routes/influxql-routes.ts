/** Queries of dashboards and clients that speak to InfluxDB. */
import express, { type Request, type RequestHandler, type Router } from 'express';
import type { ZodOpenApiOperationObject, ZodOpenApiPathsObject } from 'zod-openapi';
import { INFLUX_FUNCTIONS } from '../../core/influxql/influxql-statement.ts';
import { MAX_INFLUX_POINTS } from '../../formats/tables/table-influx.ts';
import type { InfluxqlService } from '../../flows/influxql/influxql-service.ts';
import { disconnectSignal } from '../body/disconnect.ts';
import { parseWith } from '../body/field-errors.ts';
import { openRequestBody } from '../body/request-body.ts';
import { sendBody } from '../body/send-body.ts';
import { V1_QUERY } from '../request/agent-answers.ts';
import { needs, principalOf } from '../request/authenticate.ts';
import { json } from '../request/operation.ts';
import { searchParamsOf } from '../request/query.ts';
import { INFLUXQL_PARAMETERS, influxqlAnswer, influxqlQuery } from '../wire/influxql-schema.ts';
import { onlyOnce, v1Error } from '../wire/lines-schema.ts';

/** Most bytes of a form. */
const MAX_FORM_BYTES = 256 * 1024;
const FORM = 'application/x-www-form-urlencoded';

/** @param admitted who may ask, and how much at a time */
export function influxqlRoutes(influxql: InfluxqlService, admitted: readonly RequestHandler[]): Router {
  const router = express.Router({ caseSensitive: true });
  const answer: RequestHandler = async (req, res) => {
    const signal = disconnectSignal(res);
    const request = parseWith(influxqlQuery, await given(req), 'query');
    const bytes = await influxql.query({ principal: principalOf(res), signal, ...request });
    res.set('Cache-Control', 'no-store');
    res.set('Content-Type', 'application/json');
    const iterator = bytes[Symbol.asyncIterator]();
    await sendBody(res, iterator, await iterator.next(), null);
  };
  router.get(V1_QUERY, ...admitted, needs('read'), answer);
  router.post(V1_QUERY, ...admitted, needs('read'), answer);
  return router;
}

/** Parameters of the query, and of a form in the body, none of them twice. */
async function given(req: Request): Promise<Record<string, string>> {
  const params = new URLSearchParams(searchParamsOf(req.originalUrl));
  if (req.method === 'POST' && (req.get('content-type') ?? '').toLowerCase().startsWith(FORM)) {
    const pieces: Uint8Array[] = [];
    for await (const piece of openRequestBody(req, MAX_FORM_BYTES)) pieces.push(piece);
    for (const [key, value] of new URLSearchParams(Buffer.concat(pieces).toString())) params.append(key, value);
  }
  const once = Object.entries(onlyOnce(params, INFLUXQL_PARAMETERS));
  // Clients send what they have no value for as nothing.
  return Object.fromEntries(once.filter(([, value]) => value !== ''));
}

function operation(operationId: string, summary: string): ZodOpenApiOperationObject {
  return {
    operationId,
    tags: ['agents'],
    summary,
    description: `This is the part of InfluxQL that dashboards send.

- \`SHOW\` tells \`DATABASES\`, \`RETENTION POLICIES\`, \`MEASUREMENTS\`, \`TAG KEYS\`, \`TAG VALUES\`, \`FIELD KEYS\` and \`SERIES\`.
- \`SELECT\` takes fields, tags and functions: ${Object.keys(INFLUX_FUNCTIONS).join(', ')}.
- Conditions are on time and tags. Rows are grouped by \`time(…)\` and tags, with \`fill\`, \`ORDER BY time\`, \`LIMIT\` and \`OFFSET\`.
- \`CREATE DATABASE\` makes a project.

What is not known is refused by its name.

Series are those with the tags \`_measurement\` and \`_field\`, as line protocol makes them. A statement looks at ${MAX_INFLUX_POINTS} points at most. What is wrong with one statement is the
\`error\` of its result, and the others are answered.`,
    requestParams: { query: influxqlQuery.in },
    responses: {
      200: {
        description: 'A result for each statement. With `chunked=true` a document a line.',
        content: json(influxqlAnswer),
      },
      ...Object.fromEntries(
        [
          [400, 'The query cannot be read'],
          [401, 'No valid token'],
          [403, 'The token does not allow this'],
          [413, 'The form is too large'],
          [503, 'Cannot be answered now'],
        ].map(([status, description]) => [status, { description: String(description), content: json(v1Error) }]),
      ),
    },
  };
}

export const influxqlDescriptions: ZodOpenApiPathsObject = {
  [V1_QUERY]: {
    get: operation('queryInfluxql', 'Ask as of InfluxDB'),
    post: operation('queryInfluxqlForm', 'Ask as of InfluxDB, by a form'),
  },
};
