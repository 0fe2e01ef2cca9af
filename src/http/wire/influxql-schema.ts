/** Queries of InfluxQL on the wire, and their answers. */
import { z } from 'zod';
import { MAX_QUERY_CHARS } from '../../core/influxql/influxql-parser.ts';
import { PRECISION_NAMES } from './lines-schema.ts';
import { name } from './scalars.ts';

/** Rows of a document, where the request has no number of its own. */
const DEFAULT_CHUNK_ROWS = 10_000;
const MAX_CHUNK_ROWS = 100_000;

/** Clients send more than is needed here; what is not known is not looked at. */
export const influxqlQuery = z
  .object({
    q: z.string().min(1).max(MAX_QUERY_CHARS).meta({ description: 'Statements, with semicolons between them' }),
    db: name.optional().meta({ description: 'The project that is asked, where a statement names none' }),
    epoch: z
      .enum(Object.keys(PRECISION_NAMES) as [keyof typeof PRECISION_NAMES, ...(keyof typeof PRECISION_NAMES)[]])
      .optional()
      .meta({ description: 'Times as whole numbers of this unit; without it as RFC 3339' }),
    chunked: z.enum(['true', 'false']).optional().meta({ description: 'true: a document a line' }),
    chunk_size: z.coerce
      .number()
      .int()
      .min(1)
      .max(MAX_CHUNK_ROWS)
      .optional()
      .meta({ description: `Rows of a document, with chunked; ${DEFAULT_CHUNK_ROWS} without it` }),
    pretty: z.string().optional().meta({ description: 'Not looked at' }),
    rp: z.string().optional().meta({ description: 'Not looked at' }),
    u: z.string().optional().meta({ description: 'Not looked at' }),
    p: z.string().optional().meta({ description: 'The token, where no header says it' }),
  })
  .transform(({ q, db, epoch, chunked, chunk_size: chunkRows }) => ({
    query: q,
    database: db ?? null,
    epoch: epoch === undefined ? ('rfc3339' as const) : PRECISION_NAMES[epoch],
    chunkRows: chunked === 'true' ? (chunkRows ?? DEFAULT_CHUNK_ROWS) : null,
  }));

export const INFLUXQL_PARAMETERS = ['q', 'db', 'epoch', 'chunked', 'chunk_size'] as const;

const cell = z.union([z.string(), z.number(), z.boolean()]).nullable();

export const influxqlAnswer = z
  .object({
    results: z
      .array(
        z.object({
          statement_id: z.int().meta({ description: 'Place of the statement in the query, from 0' }),
          series: z
            .array(
              z.object({
                name: z.string().optional().meta({ description: 'The measurement' }),
                tags: z.record(z.string(), z.string()).optional().meta({ description: 'What the rows are grouped by' }),
                columns: z.array(z.string()).meta({ description: 'Names of the columns; the first is the time' }),
                values: z.array(z.array(cell)).meta({ description: 'Rows, in order of time' }),
                partial: z.boolean().optional().meta({ description: 'More rows follow in the next document' }),
              }),
            )
            .optional()
            .meta({ description: 'Left out where nothing is found' }),
          partial: z.boolean().optional().meta({ description: 'More of the statement follows' }),
          error: z.string().optional().meta({ description: 'Why the statement has no answer' }),
        }),
      )
      .meta({ description: 'One for each statement' }),
  })
  .meta({
    id: 'InfluxqlAnswer',
    description: 'What a query of InfluxQL found',
    example: {
      results: [
        {
          statement_id: 0,
          series: [{ name: 'oven', columns: ['time', 'mean'], values: [['2026-05-01T09:00:00Z', 451.2]] }],
        },
      ],
    },
  });
