/** Configuration: the environment, read once, checked, and turned into what the program can be told to do. */
import { resolve } from 'node:path';
import { z } from 'zod';
import { VarveError } from '../core/errors.ts';
import { DEFAULT_SEAL_LIMITS, type SealLimits } from '../core/seal-plan.ts';
import type { BackpressureLimits } from '../flows/backpressure.ts';

const PostgresUrl = z.url({ protocol: /^postgres(ql)?$/, error: 'must be a postgres:// URL' });
const RedisUrl = z.url({ protocol: /^rediss?$/, error: 'must be a redis:// URL' });
const Count = z.coerce.number().int().min(0);
const Port = z.coerce.number().int().min(0).max(65_535);

/** Every variable Varve reads; an empty one counts as not set. */
const Environment = z.object({
  VARVE_HOST: z.string().default('127.0.0.1'),
  VARVE_PORT: Port.default(7424),
  VARVE_DATA: z.string().default('./varve-data'),
  VARVE_TOKEN: z.string().min(16, 'must have at least 16 characters').optional(),
  VARVE_LOG: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'),
  VARVE_WRITERS: z.coerce.number().int().min(1).max(64).default(2),
  VARVE_CODECS: z.coerce.number().int().min(1).max(64).default(2),
  VARVE_SEAL_AFTER_S: z.coerce
    .number()
    .min(1)
    .default(DEFAULT_SEAL_LIMITS.hotMs / 1000),
  VARVE_SEAL_EVERY_S: z.coerce.number().min(1).default(60),
  VARVE_MAX_PENDING_BYTES: Count.min(1).default(8 * 1024 ** 3),
  VARVE_MAX_PENDING_WRITES: Count.min(1).default(100_000),
  VARVE_MIN_FREE_BYTES: Count.default(256 * 1024 ** 2),
  VARVE_POSTGRES_PORT: Port.default(0),
  VARVE_URL: z.url().optional(),
  DATABASE_URL: PostgresUrl.optional(),
  REDIS_URL: RedisUrl.optional(),
});

export interface Config {
  readonly host: string;
  readonly port: number;
  readonly dataRoot: string;
  /** Null: one is made at the first start and kept in the data folder. */
  readonly firstToken: string | null;
  readonly logLevel: string;
  /** Threads that commit to shards. */
  readonly writerThreads: number;
  /** Threads that parse and print large bodies. */
  readonly codecThreads: number;
  readonly sealing: SealLimits & { /** Pause between two looks for shards to rewrite. */ readonly everyMs: number };
  readonly backpressure: BackpressureLimits;
  readonly database:
    { readonly kind: 'embedded'; readonly port: number } | { readonly kind: 'server'; readonly url: string };
  readonly queue: { readonly kind: 'postgres' } | { readonly kind: 'redis'; readonly url: string };
  /** Where the command line finds a running service. */
  readonly serviceUrl: string;
}

/**
 * @param defaults of a command, for variables that are not set
 * @param options of a command, by the variables in whose place they stand; an empty one counts as not set
 * @throws invalid-input naming each variable that is wrong (never its value: it may hold a secret)
 */
export function readConfig(
  defaults: Readonly<Record<string, string>> = {},
  environment: NodeJS.ProcessEnv = process.env,
  options: Readonly<Record<string, string>> = {},
): Config {
  const given = Object.entries({ ...environment, ...options });
  const set = Object.fromEntries(given.filter(([, value]) => value !== ''));
  const parsed = Environment.safeParse({ ...defaults, ...set });
  if (!parsed.success) {
    const errors = parsed.error.issues.map((issue) => ({ field: String(issue.path[0]), message: issue.message }));
    throw new VarveError('invalid-input', errors.map((e) => `${e.field}: ${e.message}`).join('; '), { errors });
  }
  const env = parsed.data;
  return {
    host: env.VARVE_HOST,
    port: env.VARVE_PORT,
    dataRoot: resolve(env.VARVE_DATA),
    firstToken: env.VARVE_TOKEN ?? null,
    logLevel: env.VARVE_LOG,
    writerThreads: env.VARVE_WRITERS,
    codecThreads: env.VARVE_CODECS,
    sealing: { hotMs: env.VARVE_SEAL_AFTER_S * 1000, everyMs: env.VARVE_SEAL_EVERY_S * 1000 },
    backpressure: {
      maxPendingBytes: env.VARVE_MAX_PENDING_BYTES,
      maxPendingWrites: env.VARVE_MAX_PENDING_WRITES,
      minFreeBytes: env.VARVE_MIN_FREE_BYTES,
    },
    database: env.DATABASE_URL
      ? { kind: 'server', url: env.DATABASE_URL }
      : { kind: 'embedded', port: env.VARVE_POSTGRES_PORT },
    queue: env.REDIS_URL ? { kind: 'redis', url: env.REDIS_URL } : { kind: 'postgres' },
    serviceUrl: env.VARVE_URL ?? `http://${env.VARVE_HOST}:${env.VARVE_PORT}`,
  };
}
