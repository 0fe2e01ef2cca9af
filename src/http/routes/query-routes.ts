/** Samples of many series as one table. */
import express, { type Router } from 'express';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import type { TableService } from '../../flows/table/table-service.ts';
import { TABLE_FORMATS } from '../../formats/tables/table-formats.ts';
import { mediaTypeOf } from '../../formats/samples/wire-formats.ts';
import { needs, principalOf } from '../request/authenticate.ts';
import { disconnectSignal } from '../body/disconnect.ts';
import { bodyOf, jsonBody } from '../body/json-body.ts';
import { formatToSend } from '../body/negotiate.ts';
import { json, problems } from '../request/operation.ts';
import { queryOf } from '../request/query.ts';
import { sendBody } from '../body/send-body.ts';
import { QUERY_EXAMPLES, queryBody, tableAnswer, toTableRequest } from '../wire/query-schema.ts';
import { noQuery } from '../wire/scalars.ts';

export function queryRoutes(samples: Pick<TableService, 'table'>): Router {
  const router = express.Router({ caseSensitive: true });

  router.post('/v1/query', needs('read'), jsonBody(), async (req, res) => {
    const signal = disconnectSignal(res);
    queryOf(req, noQuery);
    const body = bodyOf(req, queryBody);
    const format = body.format ?? formatToSend(req, TABLE_FORMATS);
    const request = { ...toTableRequest(body, format), principal: principalOf(res), signal };
    const { mediaType, series, body: bytes } = await samples.table(request);
    res.vary('Accept');
    res.set('Cache-Control', 'no-store');
    res.set('Content-Type', mediaType);
    res.set('X-Varve-Series', String(series));
    const iterator = bytes[Symbol.asyncIterator]();
    await sendBody(res, iterator, await iterator.next(), null);
  });

  return router;
}

const binary = Object.fromEntries(
  TABLE_FORMATS.filter((format) => format !== 'json').map((format) => [
    mediaTypeOf(format),
    { schema: { type: 'string' as const } },
  ]),
);

export const queryDescriptions: ZodOpenApiPathsObject = {
  '/v1/query': {
    post: {
      operationId: 'querySamples',
      tags: ['samples'],
      summary: 'Read many series as one table',
      description: `The series are named by their ids, or found by an expression at one instant. The samples of each series are read as of one instant, when its turn
comes. Answers stream. Only JSON does not, and has at most two million values.

**long**: columns \`time\`, \`series\`, \`name\`, \`channel\` and \`value\`, and one row for each value. Series follow each other, each in order of time.
Values have the smallest number type that holds those of all series exactly.
With \`every\`, the columns are \`start\`, \`end\`, \`series\`, \`name\`, \`channel\` and one for each aggregate.

**wide**: a column \`time\`, and one column for each channel of each series, named after the series.
The name has the channel in it (\`name:label\`) where the series has several, and the aggregate (\`name.mean\`) where there are several.
Where two columns would have one name, the id takes the place of the series' name.
With \`every\`, \`time\` is the start of each bucket, the same for all series.
With \`as_of\`, each row has the value of each series that is next to the row's time, if it is no farther than \`tolerance\`.
That is what \`merge_asof\` of pandas does, for any number of series.

NDJSON has one object for each row. Arrow has texts as dictionaries, units and the like in the metadata of the fields, and tags of the series in those of the schema.
npy, for the wide form, has records of \`time\` and \`values\`, as float64.`,
      requestBody: {
        description: 'Which series, which rows of them, and how to put them together',
        required: true,
        content: { 'application/json': { schema: queryBody, examples: QUERY_EXAMPLES } },
      },
      responses: {
        200: {
          description: 'The table. An answer that cannot be completed is cut off, never ended short.',
          headers: {
            'X-Varve-Series': { description: 'How many series were found', schema: { type: 'string' } },
          },
          content: { ...json(tableAnswer), ...binary },
        },
        ...problems(404, 406, 413, 415, 422),
      },
    },
  },
};
