/** Hears of commits as they happen, over LISTEN. A wake-up, not a truth: a missed one is made up for by a poll. */
import pg from 'pg';
import { COMMIT_CHANNEL } from './publish.ts';

const RECONNECT_MS = 1_000;
const CONNECT_LIMIT_MS = 5_000;
const STATEMENT_LIMIT_MS = 10_000;

export interface CommitListener {
  close(): Promise<void>;
}

/** @param onCommit called after every publish of any process on the same database */
export function listenForCommits(url: string, onCommit: () => void, onError: (error: Error) => void): CommitListener {
  let closed = false;
  let client: pg.Client | null = null;
  let retry: NodeJS.Timeout | undefined;

  const connect = async (): Promise<void> => {
    const next = new pg.Client({
      connectionString: url,
      application_name: 'varve listener',
      keepAlive: true,
      connectionTimeoutMillis: CONNECT_LIMIT_MS,
      statement_timeout: STATEMENT_LIMIT_MS,
    });
    client = next;
    const reconnect = (error?: Error): void => {
      if (client !== next) return;
      client = null;
      if (error) onError(error);
      next.end().catch(() => {});
      if (!closed) retry = setTimeout(() => void connect(), RECONNECT_MS);
    };
    next.on('error', reconnect);
    next.on('end', () => reconnect());
    next.on('notification', onCommit);
    try {
      await next.connect();
      await next.query(`listen ${COMMIT_CHANNEL}`);
      onCommit(); // whatever was announced while we were away
    } catch (error) {
      reconnect(error as Error);
    }
  };
  const connecting = connect();

  return {
    async close() {
      closed = true;
      clearTimeout(retry);
      await connecting;
      const last = client;
      client = null;
      await last?.end().catch(() => {});
    },
  };
}
