/** What everybody does with the service, and how long it takes. */
import { Agent } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { send, type Asked, type Service } from './http.ts';
import type { Store } from './store.ts';

const CLIENTS = 4;
const FEW_ROWS = 10;
/** As JSON they are parsed in a thread. */
const MANY_ROWS = 20_000;
const PAUSE_MS = 10;

export interface Traffic {
  /** Milliseconds of every answer, by what was asked. */
  readonly times: Map<string, number[]>;
  /** Number of answers that say that the service is busy, and when to come again. */
  busy: number;
  /** Rows that were acknowledged, by path. */
  readonly acknowledged: Map<string, number>;
  /** Whatever must not be. */
  readonly failures: string[];
}

interface Kind {
  readonly name: string;
  readonly asked: Asked;
  readonly rows?: number;
}

/** Several clients, each one request after the other, until the time is over. */
export async function ordinaryTraffic(service: Service, store: Store, seconds: number): Promise<Traffic> {
  const traffic: Traffic = { times: new Map(), busy: 0, acknowledged: new Map(), failures: [] };
  const endMs = performance.now() + seconds * 1000;
  const client = async (number: number): Promise<void> => {
    const agent = new Agent({ keepAlive: true });
    const kinds = kindsOf(store, store.growing[number % store.growing.length]);
    for (let i = number; performance.now() < endMs; i++) {
      await ask(service, traffic, kinds[i % kinds.length], agent);
      await sleep(PAUSE_MS);
    }
    agent.destroy();
  };
  await Promise.all(Array.from({ length: CLIENTS }, (_, number) => client(number)));
  return traffic;
}

async function ask(service: Service, traffic: Traffic, { name, asked, rows }: Kind, agent: Agent): Promise<void> {
  try {
    const { status, retryAfter, ms, body } = await send(service, asked, agent);
    const times = traffic.times.get(name);
    if (times) times.push(ms);
    else traffic.times.set(name, [ms]);
    if (status === 503 && retryAfter !== undefined) traffic.busy++;
    else if (status >= 300) traffic.failures.push(`${name}: ${status} ${body.toString().slice(0, 300)}`);
    else if (rows) traffic.acknowledged.set(asked.path, (traffic.acknowledged.get(asked.path) ?? 0) + rows);
  } catch (error) {
    traffic.failures.push(`${name}: not answered: ${(error as Error).message}`);
  }
}

function kindsOf({ large }: Store, growing: string): Kind[] {
  const get = (name: string, path: string): Kind => ({ name, asked: { method: 'GET', path } });
  const append = (name: string, rows: number): Kind => {
    const body = { values: Array.from({ length: rows }, (_, i) => i + 0.5) };
    return { name, rows, asked: { method: 'POST', path: growing, body } };
  };
  const id = growing.split('/')[3];
  return [
    append('append 10 rows of JSON', FEW_ROWS),
    get('read 10,000 rows as .npy', `${large}?rows=0:10000&format=npy`),
    get('read 10,000 rows as CSV', `${large}?rows=0:10000&format=csv`),
    append('append 20,000 rows of JSON', MANY_ROWS),
    get('overview of 1,000 points', `${large}?points=1000`),
    get('search', '/v1/series?tag.of=soak'),
    get('read a series', `/v1/series/${id}`),
    { name: 'change a tag', asked: { method: 'PATCH', path: `/v1/series/${id}`, body: { description: 'a soak' } } },
    get('readyz', '/readyz'),
  ];
}
