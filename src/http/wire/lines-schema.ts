/** Queries and answers of the routes for agents that speak InfluxDB's protocol. */
import { z } from 'zod';
import { invalidField } from '../../core/errors.ts';
import { MAX_TOLD_LINES, type Precision } from '../../formats/line-protocol/line-parser.ts';
import { name } from './scalars.ts';

/** What clients call units of time. */
export const PRECISION_NAMES = {
  n: 'ns',
  ns: 'ns',
  u: 'us',
  us: 'us',
  µ: 'us',
  ms: 'ms',
  s: 's',
  m: 'm',
  h: 'h',
} as const satisfies Record<string, Precision>;

const precision = z
  .enum(Object.keys(PRECISION_NAMES) as [keyof typeof PRECISION_NAMES, ...(keyof typeof PRECISION_NAMES)[]], {
    error: 'invalid precision: it must be n or ns, u or us, ms, s, m or h',
  })
  .default('ns')
  .transform((given): Precision => PRECISION_NAMES[given])
  .meta({ description: 'What times are counted in' });

/** Clients send more than is needed here; what is not known is not looked at. */
export const v1WriteQuery = z.object({
  db: name.meta({ description: 'The project that the series belong to' }),
  precision,
  rp: z.string().optional().meta({ description: 'Not looked at' }),
  consistency: z.string().optional().meta({ description: 'Not looked at' }),
  u: z.string().optional().meta({ description: 'Not looked at' }),
  p: z.string().optional().meta({ description: 'The token, where no header says it' }),
});

export const v2WriteQuery = z.object({
  bucket: name.meta({ description: 'The project that the series belong to' }),
  precision,
  org: z.string().optional().meta({ description: 'Not looked at' }),
});

export const v1Error = z
  .object({ error: z.string().meta({ description: 'What is wrong; of lines which, and why' }) })
  .meta({
    id: 'AgentError1',
    description: 'An error as InfluxDB 1 has it',
    example: { error: "partial write: line 2: unable to parse 'oven value=': missing field value dropped=1" },
  });

export const v2Error = z
  .object({
    code: z.string().meta({ description: 'What kind of error it is' }),
    message: z.string().meta({ description: 'What is wrong; of lines which, and why' }),
    dropped: z.int().optional().meta({ description: 'Lines that were refused; all others are stored' }),
    lines: z
      .array(
        z.object({
          line: z.int().meta({ description: 'Number of the line, from 1' }),
          reason: z.string().meta({ description: 'Why it was refused' }),
        }),
      )
      .max(MAX_TOLD_LINES)
      .optional()
      .meta({ description: 'Those of them that are told of' }),
  })
  .meta({
    id: 'AgentError2',
    description: 'An error as InfluxDB 2 has it',
    example: { code: 'not found', message: 'bucket "lab" not found' },
  });

export const LINES_EXAMPLE = `oven,plant=3 temperature=451.2,open=false 1777626000000000000
oven,plant=3 temperature=451.4,state="heating" 1777626001000000000`;

/** @throws invalid-input naming the parameter, which agents may send but not twice */
export function onlyOnce(params: URLSearchParams, known: readonly string[]): Record<string, string> {
  const given: Record<string, string> = {};
  for (const each of known) {
    const [value, ...others] = params.getAll(each);
    if (others.length > 0) throw invalidField(each, 'is given more than once');
    if (value !== undefined) given[each] = value;
  }
  return given;
}

export const pingQuery = z.object({ verbose: z.string().optional().meta({ description: 'true: answer the version' }) });

export const agentVersion = z
  .object({ version: z.string().meta({ description: 'The versions of the protocol and of the service' }) })
  .meta({ id: 'AgentVersion', description: 'What a client of InfluxDB may ask for' });

export const agentHealth = z
  .object({
    name: z.string().meta({ description: 'What the service is called' }),
    status: z.enum(['pass', 'fail']).meta({ description: 'Whether it takes lines and questions' }),
    message: z.string().meta({ description: 'The same, in words' }),
    version: z.string().meta({ description: 'The version of the service' }),
  })
  .meta({ id: 'AgentHealth', description: 'How the service is, as InfluxDB 2 says it' });
