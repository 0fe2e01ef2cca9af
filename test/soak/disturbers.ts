/** Clients that stand still or ask too much, for as long as they are let. */
import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { beginRequest, send, type Service } from './http.ts';
import type { Store } from './store.ts';

const STALLED_READERS = 40;
const SILENT_UPLOADS = 600;
const PARALLEL_QUERIES = 32;
/** Longer than the service lets anybody stand still. */
const STANDING_MS = 45_000;

/** What became of them. */
export interface Disturbance {
  readonly queries: Map<number, number>;
  readonly failures: string[];
}

/** Until the signal aborts. */
export async function disturb(service: Service, store: Store, signal: AbortSignal): Promise<Disturbance> {
  setMaxListeners(STALLED_READERS + SILENT_UPLOADS, signal);
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
    ...Array.from({ length: STALLED_READERS }, reader),
    ...Array.from({ length: SILENT_UPLOADS }, upload),
    ...Array.from({ length: PARALLEL_QUERIES }, query),
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
