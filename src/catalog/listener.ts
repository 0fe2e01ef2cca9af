/**
 * Hears of what Postgres notifies, over LISTEN. A notification wakes up and is no truth: what is said while the
 * connection is down is never heard.
 */
import pg from 'pg';

const RECONNECT_MS = 1_000;
const CONNECT_LIMIT_MS = 5_000;
const STATEMENT_LIMIT_MS = 10_000;

export interface Listener {
  /** False while news may come that is not heard. */
  readonly isListening: boolean;
  close(): Promise<void>;
}

/** @param onNews called after every notification of the channel by any process, and whenever listening begins again */
export function listenTo(url: string, channel: string, onNews: () => void, onError: (error: Error) => void): Listener {
  let closed = false;
  let listening = false;
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
      listening = false;
      if (error) onError(error);
      next.end().catch(() => {});
      if (!closed) retry = setTimeout(() => void connect(), RECONNECT_MS);
    };
    next.on('error', reconnect);
    next.on('end', () => reconnect());
    next.on('notification', onNews);
    try {
      await next.connect();
      await next.query(`listen ${channel}`);
      listening = client === next;
      onNews(); // whatever was announced while we were away
    } catch (error) {
      reconnect(error as Error);
    }
  };
  const connecting = connect();

  return {
    get isListening() {
      return listening;
    },
    async close() {
      closed = true;
      clearTimeout(retry);
      await connecting;
      const last = client;
      client = null;
      listening = false;
      await last?.end().catch(() => {});
    },
  };
}
