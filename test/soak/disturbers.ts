/** Clients that stand still or ask too much, for as long as they are let. */
import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { beginRequest, send, type Service } from './http.ts';
import type { Store } from './store.ts';

const STALLED_READERS = 40;
const WIDE_FORMATS = ['json', 'csv', 'ndjson', 'arrow'];
const WIDE_READERS = 24;
const STOPPED_UPLOADS = 40;
/** That come of an upload before it stops. */
const STOPPED_BYTES = 1536 * 1024;
const SILENT_UPLOADS = 600;
const PARALLEL_QUERIES = 32;
/** Longer than the service lets anybody stand still. */
const STANDING_MS = 45_000;

/** What became of them. */
export interface Disturbance {
  readonly queries: Map<number, number>;
  readonly failures: string[];
}

/** Until the signal aborts. @param times as many of each kind */
export async function disturb(
  service: Service,
  store: Store,
  signal: AbortSignal,
  times: number,
): Promise<Disturbance> {
  setMaxListeners(times * (STALLED_READERS + WIDE_READERS + STOPPED_UPLOADS + SILENT_UPLOADS), signal);
  const done: Disturbance = { queries: new Map(), failures: [] };
  const reader = (): Promise<void> =>
    standStill(() => beginRequest(service, 'GET', `${store.large}?format=csv`).pause(), signal);
  const upload = (): Promise<void> =>
    standStill(
      () =>
        beginRequest(service, 'POST', store.large, [
          'Content-Type: application/json',
          'Content-Length: 100000',
        ]).resume(),
      signal,
    );
  const wideReader = (number: number): Promise<void> => {
    const path = `${store.wide}?format=${WIDE_FORMATS[number % WIDE_FORMATS.length]}`;
    return standStill(() => beginRequest(service, 'GET', path).pause(), signal);
  };
  const stopped = (): Promise<void> =>
    standStill(() => {
      const socket = beginRequest(service, 'POST', store.large, [
        'Content-Type: application/json',
        'Content-Length: 30000000',
      ]).resume();
      socket.write('{"values":['.padEnd(STOPPED_BYTES, '[1],'));
      return socket;
    }, signal);
  const query = async (): Promise<void> => {
    while (!signal.aborted) {
      const body = { series: store.disordered, format: 'csv' };
      try {
        const { status, retryAfter } = await send(service, { method: 'POST', path: '/v1/query', body });
        done.queries.set(status, (done.queries.get(status) ?? 0) + 1);
        if (status === 503 && retryAfter !== undefined) await sleep(1_000 * Number(retryAfter));
        else if (status !== 200) done.failures.push(`a query was answered ${status}`);
      } catch (error) {
        done.failures.push(`a query was not answered: ${(error as Error).message}`);
      }
    }
  };
  await Promise.all([
    ...Array.from({ length: times * STALLED_READERS }, reader),
    ...Array.from({ length: times * WIDE_READERS }, (_, number) => wideReader(number)),
    ...Array.from({ length: times * SILENT_UPLOADS }, upload),
    ...Array.from({ length: times * STOPPED_UPLOADS }, stopped),
    ...Array.from({ length: times * PARALLEL_QUERIES }, query),
  ]);
  return done;
}

/** Opens a connection again and again: when it was cut, or has stood for long enough. */
async function standStill(open: () => ReturnType<typeof beginRequest>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const socket = open();
    await new Promise<void>((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', end);
        socket.destroy();
        resolve();
      };
      const timer = setTimeout(end, STANDING_MS);
      socket.once('close', end);
      signal.addEventListener('abort', end);
    });
  }
}
