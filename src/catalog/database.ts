/** The connections to Postgres: pools by what they are for, each with limits of time, typed by kysely. */
import { CompiledQuery, Kysely, PostgresDialect, type DatabaseConnection, type Transaction } from 'kysely';
import pg from 'pg';
import { preparingClient } from './preparing-client.ts';
import type { Tables } from './tables.ts';

export type Database = Kysely<Tables>;
export type DatabaseTransaction = Transaction<Tables>;

/** Postgres type oids whose values would lose precision as JavaScript numbers. */
const INT8 = 20;
const INT8_ARRAY = 1016;
type TypeParser = (text: string) => unknown;
const builtInParser = pg.types.getTypeParser as (oid: number, format?: string) => TypeParser;
const parseInt8Array = builtInParser(INT8_ARRAY) as (text: string) => (string | null)[];

function getTypeParser(oid: number, format?: string): TypeParser {
  if (oid === INT8) return BigInt;
  if (oid === INT8_ARRAY) return (text) => parseInt8Array(text).map((each) => (each === null ? null : BigInt(each)));
  return builtInParser(oid, format);
}

/** 64-bit integers come back as bigint. */
export const typeParsers = { getTypeParser: getTypeParser as typeof pg.types.getTypeParser };

/**
 * Limits of a session, in milliseconds; 0: no limit. Postgres ends what takes longer. The client itself gives up a
 * server that does not even do that: a process that was stopped answers nothing.
 */
export interface SessionLimits {
  readonly statementMs: number;
  /** Longest wait for a row or a table that another session holds. */
  readonly lockMs: number;
  /** How long a transaction may wait for us: a client that was stopped gives back what it holds. */
  readonly idleMs: number;
  /** Longest transaction; from Postgres 17 on. */
  readonly transactionMs: number;
}

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;

/** Limits of what answers a request: it is told soon that it cannot be served. */
const READ_LIMITS = { statementMs: 30_000, lockMs: 5_000, idleMs: 30_000, transactionMs: MINUTE_MS };
const WRITE_LIMITS = READ_LIMITS;
/**
 * Limits of flushes, compaction and recovery. They are few, nobody waits for one of them alone, and half of one done is
 * work to do again.
 */
const JOB_LIMITS = {
  statementMs: 10 * MINUTE_MS,
  lockMs: MINUTE_MS,
  idleMs: MINUTE_MS,
  transactionMs: 30 * MINUTE_MS,
};
/** Limits of a search. A search that no index helps reads all series, and takes no longer than this. */
export const MAX_SEARCH_MS = 10_000;
const SEARCH_LIMITS = { ...READ_LIMITS, statementMs: MAX_SEARCH_MS };
/** Edits of a million series take minutes, in statements that look for a thousand of them at a time. */
const EDIT_LIMITS = { ...JOB_LIMITS, statementMs: MAX_SEARCH_MS };
/** Migrations and what runs without a service: somebody sits before it. */
const UNLIMITED = { statementMs: 0, lockMs: 0, idleMs: 0, transactionMs: 0 };

/** Connections of each pool; whoever finds none free waits for CONNECTION_WAIT_MS. The docs add them up: see docs/limits.md. */
export const READ_CONNECTIONS = 16;
export const WRITE_CONNECTIONS = 12;
const SEARCH_CONNECTIONS = 8;
const EDIT_CONNECTIONS = 4;
/** After this wait an answer says that the service is busy. */
const CONNECTION_WAIT_MS = 5_000;
/** A server that has not ended a statement so long after its limit is given up. */
const SILENCE_MS = 5_000;
/** A peer that vanished is noticed though nothing is sent. */
const KEEP_ALIVE_MS = 10_000;

export interface OpenDatabase {
  readonly db: Database;
  close(): Promise<void>;
}

/**
 * Pools of connections that keep each other waiting for nothing: a lock that stops all of one pool leaves the others
 * free.
 */
export interface DatabasePools {
  readonly reads: Database;
  readonly writes: Database;
  /** For flushes, compaction, recovery and expiry. */
  readonly jobs: Database;
  /**
   * For statements that are built to measure. They are planned each time for the values that they are given. A plan for
   * any value would not know a rare one from a frequent one.
   */
  readonly searches: Database;
  /** For edits of all series that a search finds. */
  readonly edits: Database;
  close(): Promise<void>;
}

/** What most services are made of. */
export type ReadsAndWrites = Pick<DatabasePools, 'reads' | 'writes'>;

interface PoolListener {
  /** Told about errors of idle connections (a restart of Postgres); without a listener they would end the process. */
  onError(error: Error): void;
}

/** One pool without limits of time. @param url postgres://…; never logged */
export function openDatabase(url: string, { poolSize, onError }: PoolListener & { poolSize: number }): OpenDatabase {
  const db = open(url, { max: poolSize, limits: UNLIMITED, onError });
  return { db, close: () => db.destroy() };
}

/** The pools of a service. @param url postgres://…; never logged. @param jobs connections for jobs */
export function openDatabasePools(url: string, { jobs, onError }: PoolListener & { jobs: number }): DatabasePools {
  const custom = { options: CUSTOM_PLANS, onError };
  const pools = {
    reads: open(url, { max: READ_CONNECTIONS, limits: READ_LIMITS, onError }),
    writes: open(url, { max: WRITE_CONNECTIONS, limits: WRITE_LIMITS, onError }),
    jobs: open(url, { max: jobs, limits: JOB_LIMITS, onError }),
    searches: open(url, { max: SEARCH_CONNECTIONS, limits: SEARCH_LIMITS, ...custom }),
    edits: open(url, { max: EDIT_CONNECTIONS, limits: EDIT_LIMITS, silenceMs: 10 * MINUTE_MS, ...custom }),
  };
  return {
    ...pools,
    close: async () => {
      await Promise.all(Object.values(pools).map((pool) => pool.destroy()));
    },
  };
}

/** Compiling costs more than it saves. What is prepared is parsed once, which saves 0.1 ms, and still planned for each value. */
const CUSTOM_PLANS = '-c jit=off -c plan_cache_mode=force_custom_plan';

interface PoolOptions extends PoolListener {
  readonly max: number;
  readonly limits: SessionLimits;
  /** It is longer where transactions raise the limit of a statement. */
  readonly silenceMs?: number;
  readonly options?: string;
}

/** Connections are made when they are needed. */
function open(url: string, { max, limits, silenceMs = SILENCE_MS, options, onError }: PoolOptions): Database {
  const pool = new pg.Pool({
    connectionString: url,
    connectionTimeoutMillis: CONNECTION_WAIT_MS,
    application_name: 'varve',
    types: typeParsers,
    Client: preparingClient(),
    max,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    ...sessionLimits(limits),
    query_timeout: limits.statementMs === 0 ? undefined : limits.statementMs + silenceMs,
    options,
  });
  pool.on('error', onError);
  // A connection may break while it is lent out and between two statements. The next statement says so; without a listener
  // the event would end the process, for the pool listens to idle clients only.
  pool.on('connect', (client) => client.on('error', () => {}));
  const onCreateConnection = (connection: DatabaseConnection): Promise<void> => limitTransactions(connection, limits);
  return new Kysely<Tables>({ dialect: new PostgresDialect({ pool, onCreateConnection }) });
}

/** The settings of a connection, as pg wants them. 0 is what Postgres has by itself. */
function sessionLimits({ statementMs, lockMs, idleMs }: SessionLimits): pg.ClientConfig {
  return { statement_timeout: statementMs, lock_timeout: lockMs, idle_in_transaction_session_timeout: idleMs };
}

/** A setting that an older server does not know would refuse the connection if it came with it. */
async function limitTransactions(connection: DatabaseConnection, { transactionMs }: SessionLimits): Promise<void> {
  if (transactionMs === 0) return;
  await connection.executeQuery(
    CompiledQuery.raw(
      `select set_config('transaction_timeout', '${transactionMs}', false)
       where current_setting('server_version_num')::int >= 170000`,
    ),
  );
}
