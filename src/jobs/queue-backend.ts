/**
 * The queue's server, Redis or Postgres. This one place knows which of the two it is, and opens the connections with
 * the options that each role needs. The queues and workers that it hands out behave alike.
 */
import { setMaxListeners, type EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  createPostgresBackend,
  createRedisBackend,
  PostgresConnection,
  PostgresQueueBackend,
  Queue,
  Worker,
  type BackendFactory,
  type ConnectionOptions,
  type IQueueBackend,
  type Processor,
} from 'bullmq';
import type { Logger } from 'pino';
import { messageOf, VarveError } from '../core/errors.ts';
import { openRedisClient } from './redis-client.ts';
import { withinLimit } from './time-limit.ts';

export type QueueBackendConfig =
  { readonly kind: 'redis'; readonly url: string } | { readonly kind: 'postgres'; readonly url: string };

export type JobQueue<Data> = Queue<Data, void, string, Data, void, string, IQueueBackend>;
type JobWorker<Data> = Worker<Data, void, string, IQueueBackend>;

export interface QueueBackend {
  readonly kind: QueueBackendConfig['kind'];
  /** A producer: its calls fail fast when the server is away. The caller closes it, before the backend. */
  queue<Data>(name: string): JobQueue<Data>;
  /**
   * A consumer: it waits out a server that is away. The caller closes it, before the backend, and where that takes too
   * long, disconnects it.
   */
  worker<Data>(name: string, processor: Processor<Data, void>, concurrency: number): JobWorker<Data>;
  /** Resolves if the server answers within {@link PING_LIMIT_MS}; otherwise throws `unavailable`. */
  ping(): Promise<void>;
  /** Ends the shared connections; never hangs, whatever the server does. */
  close(): Promise<void>;
}

/** Listeners of errors of one pool that are no leak: each queue and worker has one. */
const MOST_LISTENERS = 100;
/** Before every Redis key, so that a Redis shared with other programs stays legible. */
const REDIS_KEY_PREFIX = 'varve';
/** Connections of one process to Postgres for the queue: one listens for jobs, the others serve adds and job moves. */
const POSTGRES_POOL_SIZE = 8;
const CONNECT_LIMIT_MS = 2_000;
const PING_LIMIT_MS = 2_000;
const CLOSE_LIMIT_MS = 2_000;
/** A connection whose server fell silent is given up after this; no query of the queue takes nearly as long. */
const QUERY_LIMIT_MS = 10_000;
const LOCK_LIMIT_MS = 5_000;
/** Longest pause between two attempts to reach a server again: short, because appends wait to become visible. */
const RECONNECT_MAX_MS = 1_000;
/** Pause of a worker after the server refused it a job. BullMQ's own is 15 s after a refused connection, none after other errors. */
const WORKER_RETRY_MS = 1_000;
/** A server that is away produces the same error many times a second: one line per this span says it. */
const ERROR_LOG_EVERY_MS = 10_000;

/**
 * Opens the connections and, on Postgres, brings BullMQ's own schema (`bullmq`) up to date.
 *
 * A Redis that is away is no error: rings fail, {@link QueueBackend.ping} says so, and all works once it is back. A
 * Postgres that is away throws `unavailable`.
 * @param config its URL may carry a password and appears in no log line and no error
 */
export async function openQueueBackend(config: QueueBackendConfig, log: Logger): Promise<QueueBackend> {
  if (!URL.canParse(config.url)) throw new VarveError('invalid-input', `the ${config.kind} URL is not a URL`);
  return config.kind === 'redis' ? openRedis(config.url, log) : openPostgresQueue(config.url, log);
}

/** What the two servers differ in. */
interface Connections {
  readonly factory: BackendFactory;
  readonly producer: ConnectionOptions;
  /** Connection of one worker and how to end it once the worker has closed. */
  consumer(): { connection: ConnectionOptions; end(): void };
  ping(): Promise<unknown>;
  close(): Promise<unknown>;
}

async function openRedis(url: string, log: Logger): Promise<QueueBackend> {
  const common = {
    connectTimeout: CONNECT_LIMIT_MS,
    retryStrategy: (times: number) => Math.min(times * 50, RECONNECT_MAX_MS),
  };
  const producer = openRedisClient(url, {
    ...common,
    maxRetriesPerRequest: 1,
    enableOfflineQueue: false,
    commandTimeout: PING_LIMIT_MS,
  });
  const logError = errorLogger(log);
  producer.on('error', logError);
  await withinLimit(CONNECT_LIMIT_MS, 'redis', new Promise<void>((resolve) => producer.once('ready', resolve))).catch(
    logError,
  );
  return assemble('redis', logError, {
    factory: createRedisBackend,
    producer,
    consumer() {
      const connection = openRedisClient(url, { ...common, maxRetriesPerRequest: null });
      connection.on('error', logError);
      return { connection, end: () => connection.disconnect() };
    },
    ping: () => producer.ping(),
    close: async () => producer.disconnect(),
  });
}

async function openPostgresQueue(url: string, log: Logger): Promise<QueueBackend> {
  const connection = new PostgresConnection({
    connectionString: url,
    migrate: true,
    max: POSTGRES_POOL_SIZE,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    query_timeout: QUERY_LIMIT_MS,
    statement_timeout: QUERY_LIMIT_MS,
    lock_timeout: LOCK_LIMIT_MS,
    idle_in_transaction_session_timeout: QUERY_LIMIT_MS,
    connectionTimeoutMillis: CONNECT_LIMIT_MS,
    application_name: 'varve queue',
  });
  const logError = errorLogger(log);
  connection.on('error', logError);
  setMaxListeners(MOST_LISTENERS, connection.pool as unknown as EventEmitter);
  // BullMQ listens to the errors of some clients only; an unheard one would end the process.
  connection.pool.on('connect', (client) => client.on('error', logError));
  try {
    await connection.waitUntilReady();
  } catch (error) {
    await connection.close();
    // The driver's error may carry the URL: its message goes on, the object does not.
    throw new VarveError('unavailable', `queue: ${messageOf(error)}`, { slug: 'queue-unavailable' });
  }
  const { pool } = connection;
  return assemble('postgres', logError, {
    // Queues and workers share one pool; BullMQ leaves a pool it was given open.
    factory: (name, options, roles) =>
      alreadyReady(createPostgresBackend(name, { ...options, connection: pool }, roles)),
    producer: {},
    consumer: () => ({ connection: {}, end: () => {} }),
    ping: () => pool.query('SELECT 1'),
    close: () => connection.close(),
  });
}

/**
 * BullMQ looks at the schema once for each queue and worker, and remembers a look that failed. One that was opened just
 * when Postgres went away would never work again. We have looked when the backend was opened.
 */
function alreadyReady(backend: IQueueBackend): IQueueBackend {
  if (!(backend instanceof PostgresQueueBackend)) throw new TypeError('not a backend of BullMQ for Postgres');
  backend.connection.waitUntilReady = async () => {};
  return backend;
}

function assemble(
  kind: QueueBackendConfig['kind'],
  logError: (error: unknown) => void,
  { factory, producer, consumer, ping, close }: Connections,
): QueueBackend {
  return {
    kind,
    queue<Data>(name: string) {
      const options = { connection: producer, prefix: REDIS_KEY_PREFIX };
      const queue: JobQueue<Data> = new Queue(name, options, factory);
      return queue.on('error', logError);
    },
    worker<Data>(name: string, processor: Processor<Data, void>, concurrency: number) {
      const { connection, end } = consumer();
      const options = { connection, prefix: REDIS_KEY_PREFIX, concurrency, runRetryDelay: WORKER_RETRY_MS };
      const paced: BackendFactory = (...args) => pauseAfterRefusal(factory(...args));
      const worker: JobWorker<Data> = new Worker(name, processor, options, paced);
      return worker.on('error', logError).on('closed', end);
    },
    async ping() {
      await withinLimit(PING_LIMIT_MS, 'ping', ping()).catch((error: unknown) => {
        throw new VarveError('unavailable', `queue: ${messageOf(error)}`, { slug: 'queue-unavailable' });
      });
    },
    async close() {
      await withinLimit(CLOSE_LIMIT_MS, 'close queue', close()).catch(logError);
    },
  };
}

/**
 * Pauses a worker after a refusal. A worker with work to do asks again at once after any error but a refused
 * connection. A Postgres that refused logins was asked 75 times a second, at a quarter of a core.
 */
function pauseAfterRefusal(backend: IQueueBackend): IQueueBackend {
  const moveToActive = backend.moveToActive.bind(backend);
  backend.moveToActive = async (token, name) => {
    try {
      return await moveToActive(token, name);
    } catch (error) {
      await sleep(WORKER_RETRY_MS);
      throw error;
    }
  };
  return backend;
}

/** Logs message and code alone: the error of a refused login carries the password. Whatever it is, the server may be away. */
function errorLogger(log: Logger): (error: unknown) => void {
  let silentUntil = 0;
  let suppressed = 0;
  return (error) => {
    if (Date.now() < silentUntil) {
      suppressed++;
      return;
    }
    log.warn({ reason: messageOf(error), suppressed, fault: 'away' }, 'the queue reports an error');
    silentUntil = Date.now() + ERROR_LOG_EVERY_MS;
    suppressed = 0;
  };
}
