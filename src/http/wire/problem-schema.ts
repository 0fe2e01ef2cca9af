/** The problem document of RFC 9457. */
import { z } from 'zod';

export const PROBLEM_MEDIA_TYPE = 'application/problem+json';

export const problemDocument = z
  .object({
    type: z.string().meta({ description: 'Stable name of the cause', example: 'urn:varve:problem:invalid-input' }),
    title: z.string().meta({ description: 'What kind of problem it is, in words' }),
    status: z.int().meta({ description: 'The HTTP status' }),
    detail: z.string().meta({
      description: 'What is wrong this time, and where',
      example: 'channels[1].unit: expected string, received number',
    }),
    instance: z.string().meta({ description: 'Path of the request' }),
    request_id: z.string().meta({ description: 'Also in the header X-Request-Id and in the log' }),
    errors: z
      .array(
        z.object({
          field: z.string().meta({ description: 'Path of it, such as channels[1].unit' }),
          message: z.string().meta({ description: 'What is wrong with it' }),
        }),
      )
      .meta({ description: 'Each wrong field of the body, or query parameter, or header' }),
  })
  .meta({ id: 'Problem', description: 'Why a request was refused (RFC 9457)' });

export type ProblemDocument = z.infer<typeof problemDocument>;
