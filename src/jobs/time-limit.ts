/** Waiting with an end: a queue whose server is away may never answer, and nobody here waits for ever. */
import { VarveError } from '../core/errors.ts';

/**
 * The promise's outcome, or `unavailable` after `limitMs`. The promise itself goes on; a late rejection is swallowed.
 * @param what names the wait in the error, for example `ring`
 */
export async function withinLimit<T>(limitMs: number, what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new VarveError('unavailable', `${what}: no answer within ${limitMs} ms`, { slug: 'time-limit' }));
    }, limitMs);
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
  }
}
