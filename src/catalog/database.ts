/** The connection to Postgres: one pool, typed by kysely. */
import { Kysely, PostgresDialect, type Transaction } from 'kysely';
import pg from 'pg';
import { PreparingClient } from './preparing-client.ts';
import type { Tables } from './tables.ts';

export type Database = Kysely<Tables>;
export type DatabaseTransaction = Transaction<Tables>;

/** Postgres type oids whose values would lose precision as JavaScript numbers. */
const INT8 = 20;
const INT8_ARRAY = 1016;
type TypeParser = (text: string) => unknown;
const builtInParser = pg.types.getTypeParser as (oid: number, format?: string) => TypeParser;
const parseInt8Array = builtInParser(INT8_ARRAY) as (text: string) => string[];

function getTypeParser(oid: number, format?: string): TypeParser {
  if (oid === INT8) return BigInt;
  if (oid === INT8_ARRAY) return (text) => parseInt8Array(text).map(BigInt);
  return builtInParser(oid, format);
}

export interface OpenDatabase {
  readonly db: Database;
  close(): Promise<void>;
}

/**
 * @param url postgres://…; never logged
 * @param onError told about errors of idle connections (a restart of Postgres); without a listener they would end the process
 */
export function openDatabase(url: string, options: { poolSize: number; onError(error: Error): void }): OpenDatabase {
  const pool = new pg.Pool({
    Client: PreparingClient,
    connectionString: url,
    max: options.poolSize,
    connectionTimeoutMillis: 5_000,
    application_name: 'varve',
    types: { getTypeParser: getTypeParser as typeof pg.types.getTypeParser },
  });
  pool.on('error', options.onError);
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
  return { db, close: () => db.destroy() };
}
