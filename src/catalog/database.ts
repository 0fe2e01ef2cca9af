/** The connection to Postgres: one pool, typed by kysely. */
import { Kysely, PostgresDialect, type Transaction } from 'kysely';
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

export interface OpenDatabase {
  readonly db: Database;
  /**
   * For statements that are built to measure: planned each time for the values they are given (a plan for any value would not know a rare one
   * from a frequent one), and limited in time. Its connections are its own: slow searches keep no writes waiting.
   */
  readonly searches: Database;
  close(): Promise<void>;
}

/**
 * @param url postgres://…; never logged
 * @param onError told about errors of idle connections (a restart of Postgres); without a listener they would end the process
 */
export function openDatabase(url: string, options: { poolSize: number; onError(error: Error): void }): OpenDatabase {
  const shared: pg.PoolConfig = {
    connectionString: url,
    connectionTimeoutMillis: 5_000,
    application_name: 'varve',
    types: typeParsers,
  };
  const db = open({ ...shared, Client: preparingClient(), max: options.poolSize }, options.onError);
  const searches = open(
    { ...shared, Client: preparingClient(), max: Math.min(options.poolSize, MOST_SEARCHES), ...SEARCH_SETTINGS },
    options.onError,
  );
  return {
    db,
    searches,
    close: async () => {
      await Promise.all([db.destroy(), searches.destroy()]);
    },
  };
}

/** Connections are made when they are needed. */
function open(config: pg.PoolConfig, onError: (error: Error) => void): Database {
  const pool = new pg.Pool(config);
  pool.on('error', onError);
  // A connection may break while it is lent out and between two statements. The next statement says so; without a listener
  // the event would end the process, for the pool listens to idle clients only.
  pool.on('connect', (client) => client.on('error', () => {}));
  return new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
}

/** At a time; others wait for their turn. */
const MOST_SEARCHES = 8;
/** What no index helps reads all series; longer than this a search does not. */
export const MAX_SEARCH_MS = 10_000;
/** Compiling costs more than it saves. What is prepared is parsed once, which saves 0.1 ms, and still planned for each value. */
const SEARCH_SETTINGS: pg.PoolConfig = {
  statement_timeout: MAX_SEARCH_MS,
  options: '-c jit=off -c plan_cache_mode=force_custom_plan',
};
