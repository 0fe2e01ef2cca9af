/**
 * A connection of a committer. Its statements are prepared, and are sent without waiting for those before them. Its
 * limits let everybody else get on, whatever becomes of this process.
 */
import type pg from 'pg';
import { typeParsers } from '../database.ts';
import { preparingClient } from '../preparing-client.ts';
import type { Session } from '../session.ts';
import { oneRow } from '../one-row.ts';

/** Statements that are asked together are answered in turn, after one round trip. */
export interface CommitSession extends Session {
  /** False once the connection is lost. */
  readonly isOpen: boolean;
  close(): Promise<void>;
}

/** A process that is paused inside its transaction loses it after this long: its locks keep nobody waiting for longer. */
const IDLE_IN_TRANSACTION_MS = 2_000;
const LOCK_MS = 5_000;
const STATEMENT_MS = 10_000;
/** A server that is silent for longer is left: its answer to COMMIT is asked for on another connection. */
const SILENT_MS = STATEMENT_MS + 2_000;
const TRANSACTION_MS = 30_000;
const CONNECT_MS = 5_000;
/** The first version of Postgres that knows `transaction_timeout`. */
const TRANSACTION_TIMEOUT_SINCE = 170_000;

/** @param url postgres://…; never logged. @param silentMs a server that does not answer for so long is left */
export async function openCommitSession(url: string, silentMs = SILENT_MS): Promise<CommitSession> {
  const Client = preparingClient();
  const client = new Client({
    connectionString: url,
    application_name: 'varve committer',
    connectionTimeoutMillis: CONNECT_MS,
    keepAlive: true,
    pipeline: true,
    query_timeout: silentMs,
    types: typeParsers,
    lock_timeout: LOCK_MS,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS,
    statement_timeout: STATEMENT_MS,
    options: '-c synchronous_commit=on -c jit=off',
  });
  let isOpen = true;
  const lost = (): void => void (isOpen = false);
  client.on('error', lost);
  client.on('end', lost);
  await client.connect();
  const version = await versionOf(client);
  if (version >= TRANSACTION_TIMEOUT_SINCE) await client.query(`set transaction_timeout = ${TRANSACTION_MS}`);
  return {
    get isOpen() {
      return isOpen;
    },
    query: (text, values = []) => client.query(text, [...values]) as never,
    close: () => client.end(),
  };
}

async function versionOf(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ version: number }>(
    `select current_setting('server_version_num')::int as version`,
  );
  return oneRow(rows).version;
}
