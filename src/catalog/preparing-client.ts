/** A Postgres client that prepares what it is asked often, and leaves a server that has fallen silent. */
import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import pg from 'pg';

/**
 * Planning the snapshot of a read takes 0.45 ms, running it 0.1 ms: a statement that is prepared once a connection is planned once.
 * Texts beyond this many are sent as they are, so a server's memory stays bounded.
 */
const MAX_PREPARED = 200;

type Query = (...args: unknown[]) => unknown;
/** What pg says when `query_timeout` has passed. */
const SILENT_SERVER = 'Query read timeout';

/** A drop-in for pg.Client, for the connections of one pool: `query(text, values)` becomes a named statement. */
export function preparingClient(): typeof pg.Client {
  const names = new Map<string, string>();
  const nameOf = (text: string): string | undefined => {
    let name = names.get(text);
    if (name === undefined && names.size < MAX_PREPARED) {
      name = `v${createHash('sha256').update(text).digest('hex').slice(0, 20)}`;
      names.set(text, name);
    }
    return name;
  };
  return class PreparingClient extends pg.Client {
    constructor(config?: string | pg.ClientConfig) {
      super(config);
      const send = this.query.bind(this) as Query;
      const prepared: Query = (text, values, ...rest) => {
        const name = typeof text === 'string' && Array.isArray(values) ? nameOf(text) : undefined;
        const answer = name === undefined ? send(text, values, ...rest) : send({ name, text, values }, ...rest);
        // Whatever is asked next on this connection would wait behind the question that was given up.
        if (answer instanceof Promise) {
          answer.catch(({ message }: Error) => message === SILENT_SERVER && leave(this));
        }
        return answer;
      };
      this.query = prepared as typeof this.query;
    }
  };
}

function leave(client: pg.Client): void {
  const { connection } = client as unknown as { connection: { stream: Socket } };
  connection.stream.destroy();
}
