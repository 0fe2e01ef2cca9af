/** Configuration: the environment, read once, checked, and turned into what the program can be told to do. */
import { readFileSync } from 'node:fs';
import { delimiter, isAbsolute, resolve } from 'node:path';
import { parseEnv } from 'node:util';
import { z } from 'zod';
import { VarveError } from '../../core/errors.ts';
import { DEFAULT_FLUSH_LIMITS, type FlushLimits } from '../../core/upkeep/flush-plan.ts';
import { DEFAULT_BODY_BYTES, type BackpressureLimits } from '../../flows/append/backpressure.ts';
import { DEFAULT_ROOM_LIMITS } from '../../flows/read/answer-room.ts';
import { MAX_PROJECT_SERIES } from '../../flows/ingest/line-cardinality.ts';
import { DEFAULT_HTTP_LIMITS, type HttpLimits } from '../../http/request/limits.ts';

const PostgresUrl = z.url({ protocol: /^postgres(ql)?$/, error: 'must be a postgres:// URL' });
const RedisUrl = z.url({ protocol: /^rediss?$/, error: 'must be a redis:// URL' });
const HttpUrl = z.url({ protocol: /^https?$/, error: 'must be an http:// or https:// URL' });
/** A token as the header `Authorization` can carry it. */
const Token = z.string().regex(/^[\x21-\x7e]{16,}$/, 'must be one word of at least 16 visible ASCII characters');
const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
/** The longest pause that a timer of Node knows, in whole seconds. */
const LONGEST_PAUSE_S = 2_147_483;

/** Lanes that are flushed side by side. */
export const DEFAULT_WRITERS = 2;
/** With less, one body or answer after the other would be let in. */
const LEAST_ROOM_BYTES = 64 * 1024 ** 2;

/** A number as people write it in a shell; not `0x50`, not `Infinity`, not a word. */
const DECIMAL = /^\d+(\.\d+)?([eE]\+?\d+)?$/;

function numberFrom(min: number, max: number, kind: 'whole number' | 'number') {
  return z.string().transform((text, context) => {
    const value = DECIMAL.test(text) ? Number(text) : NaN;
    if (value >= min && value <= max && (kind === 'number' || Number.isSafeInteger(value))) return value;
    const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
    context.addIssue({ code: 'custom', message: `must be a ${kind} ${range}, not ${JSON.stringify(text)}` });
    return z.NEVER;
  });
}

const wholeNumber = (min: number, max = Number.MAX_SAFE_INTEGER) => numberFrom(min, max, 'whole number');
const seconds = (max: number) => numberFrom(1, max, 'number');
const Port = wholeNumber(0, 65_535);
const Threads = wholeNumber(1, 64);

/** `*`, or origins as browsers write them, separated by commas. */
const Origins = z.string().transform((text, context): string[] => {
  const origins = text.split(',').map((each) => each.trim());
  const wrong = origins.find((each) => each !== '*' && !(URL.canParse(each) && new URL(each).origin === each));
  if (wrong === undefined) return origins;
  const message = `must be * or origins such as https://lab.example:8443, without a path, separated by commas; ${JSON.stringify(wrong)} is none`;
  context.addIssue({ code: 'custom', message });
  return z.NEVER;
});

/** Every variable Varve reads; an empty one counts as not set. */
const Environment = z.object({
  VARVE_HOST: z.string().default('127.0.0.1'),
  VARVE_PORT: Port.default(7424),
  VARVE_DATA: z.string().default('./varve-data'),
  VARVE_TOKEN: Token.optional(),
  VARVE_LOG: z
    .enum(LOG_LEVELS, { error: ({ input }) => `must be one of ${LOG_LEVELS.join(', ')}, not ${JSON.stringify(input)}` })
    .default('info'),
  VARVE_WRITERS: Threads.default(DEFAULT_WRITERS),
  VARVE_CODECS: Threads.default(2),
  VARVE_FLUSH_AGE_S: seconds(LONGEST_PAUSE_S).default(DEFAULT_FLUSH_LIMITS.ageMs / 1000),
  VARVE_COMPACT_EVERY_S: seconds(LONGEST_PAUSE_S).default(60),
  VARVE_MAX_FRESH_BYTES: wholeNumber(1).default(8 * 1024 ** 3),
  VARVE_MAX_FRESH_CHUNKS: wholeNumber(1).default(4_000_000),
  VARVE_MIN_FREE_BYTES: wholeNumber(0).default(256 * 1024 ** 2),
  VARVE_MAX_READ_BYTES: wholeNumber(LEAST_ROOM_BYTES).default(DEFAULT_ROOM_LIMITS.bytes),
  VARVE_MAX_BODY_BYTES: wholeNumber(LEAST_ROOM_BYTES).default(DEFAULT_BODY_BYTES),
  VARVE_MAX_PROJECT_SERIES: wholeNumber(0).default(MAX_PROJECT_SERIES),
  VARVE_IMPORT_ROOTS: z
    .string()
    .transform((text) => text.split(delimiter).filter((folder) => folder !== ''))
    .refine(
      (folders) => folders.every((folder) => isAbsolute(folder)),
      `must be absolute paths, with ${delimiter} between them`,
    )
    .default([]),
  VARVE_MAX_UPLOAD_BYTES: wholeNumber(1).default(16 * 1024 ** 3),
  VARVE_STALL_S: seconds(3600).default(DEFAULT_HTTP_LIMITS.stallMs / 1000),
  VARVE_MAX_CONNECTIONS: wholeNumber(1).default(DEFAULT_HTTP_LIMITS.maxConnections),
  VARVE_MAX_REQUESTS_PER_TOKEN: wholeNumber(1).default(DEFAULT_HTTP_LIMITS.maxRequestsPerToken),
  VARVE_CORS_ORIGINS: Origins.default([]),
  VARVE_POSTGRES_PORT: Port.default(0),
  VARVE_ALLOW_FSYNC_OFF: z
    .enum(['0', '1'], { error: ({ input }) => `must be 0 or 1, not ${JSON.stringify(input)}` })
    .default('0'),
  VARVE_URL: HttpUrl.optional(),
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
  /** Lanes that are flushed side by side, each by a thread. */
  readonly writerThreads: number;
  /** Threads that parse and print large bodies. */
  readonly codecThreads: number;
  readonly flushing: FlushLimits;
  /** Pause between two looks for shards to compact. */
  readonly compactEveryMs: number;
  readonly backpressure: BackpressureLimits;
  /** Memory of reads. */
  readonly maxReadBytes: number;
  /** Series of a project up to which lines make new ones. */
  readonly maxProjectSeries: number;
  /** Folders of the server whose files may be imported; none by default. */
  readonly importRoots: readonly string[];
  readonly maxUploadBytes: number;
  readonly http: HttpLimits;
  /** Pages of other origins that may read answers. */
  readonly corsOrigins: readonly string[];
  readonly database: (
    { readonly kind: 'embedded'; readonly port: number } | { readonly kind: 'server'; readonly url: string }
  ) & {
    /** For tests: a Postgres that loses what it has acknowledged when the power fails. */
    readonly allowFsyncOff: boolean;
  };
  readonly queue: { readonly kind: 'postgres' } | { readonly kind: 'redis'; readonly url: string };
  /** Where the command line finds a running service. */
  readonly serviceUrl: string;
}

/**
 * @param defaults of a command, for variables that are not set
 * @param options of a command, by the variables in whose place they stand; an empty one counts as not set
 * @throws invalid-input naming each variable that is wrong (a value only where it cannot be a secret: of numbers and choices)
 */
export function readConfig(
  defaults: Readonly<Record<string, string>> = {},
  environment: NodeJS.ProcessEnv = readEnvironment(),
  options: Readonly<Record<string, string>> = {},
): Config {
  // Windows' `set X=1 && varve` leaves a space behind the value.
  const given = Object.entries({ ...environment, ...options }).map(([name, value]) => [name, value?.trim()]);
  const set = Object.fromEntries(given.filter(([, value]) => value !== ''));
  const parsed = Environment.safeParse({ ...defaults, ...set });
  if (!parsed.success) {
    const errors = parsed.error.issues.map((issue) => ({ field: String(issue.path[0]), message: issue.message }));
    throw new VarveError('invalid-input', errors.map((e) => `${e.field} ${e.message}`).join('; '), { errors });
  }
  const env = parsed.data;
  if (!env.DATABASE_URL && env.VARVE_POSTGRES_PORT !== 0 && env.VARVE_POSTGRES_PORT === env.VARVE_PORT) {
    throw new VarveError(
      'invalid-input',
      `VARVE_POSTGRES_PORT must not be VARVE_PORT: Postgres and the service cannot both listen on ${env.VARVE_PORT}`,
    );
  }
  return {
    host: env.VARVE_HOST,
    port: env.VARVE_PORT,
    dataRoot: resolve(env.VARVE_DATA),
    firstToken: env.VARVE_TOKEN ?? null,
    logLevel: env.VARVE_LOG,
    writerThreads: env.VARVE_WRITERS,
    codecThreads: env.VARVE_CODECS,
    flushing: { ageMs: env.VARVE_FLUSH_AGE_S * 1000 },
    compactEveryMs: env.VARVE_COMPACT_EVERY_S * 1000,
    backpressure: {
      maxFreshBytes: env.VARVE_MAX_FRESH_BYTES,
      maxFreshChunks: env.VARVE_MAX_FRESH_CHUNKS,
      minFreeBytes: env.VARVE_MIN_FREE_BYTES,
      maxBodyBytes: env.VARVE_MAX_BODY_BYTES,
    },
    maxReadBytes: env.VARVE_MAX_READ_BYTES,
    maxProjectSeries: env.VARVE_MAX_PROJECT_SERIES,
    importRoots: env.VARVE_IMPORT_ROOTS,
    maxUploadBytes: env.VARVE_MAX_UPLOAD_BYTES,
    http: {
      stallMs: env.VARVE_STALL_S * 1000,
      maxConnections: env.VARVE_MAX_CONNECTIONS,
      maxRequestsPerToken: env.VARVE_MAX_REQUESTS_PER_TOKEN,
    },
    corsOrigins: env.VARVE_CORS_ORIGINS,
    database: {
      ...(env.DATABASE_URL
        ? { kind: 'server', url: env.DATABASE_URL }
        : { kind: 'embedded', port: env.VARVE_POSTGRES_PORT }),
      allowFsyncOff: env.VARVE_ALLOW_FSYNC_OFF === '1',
    },
    queue: env.REDIS_URL ? { kind: 'redis', url: env.REDIS_URL } : { kind: 'postgres' },
    serviceUrl: env.VARVE_URL ?? `http://${env.VARVE_HOST}:${env.VARVE_PORT}`,
  };
}

/**
 * The environment of the process, and below it the file `.env` of the folder it was started in. A variable that is set, even to nothing, hides the line of
 * the file.
 * @throws invalid-input if there is a file that cannot be read
 */
export function readEnvironment(file = '.env'): NodeJS.ProcessEnv {
  return { ...parseEnv(textOf(file)), ...process.env };
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return '';
    throw new VarveError('invalid-input', `the file ${file} of this folder cannot be read: ${message}`, {
      cause: error,
    });
  }
}
