/** Waiting: for a while, or until something is so. */
import { setTimeout as sleep } from 'node:timers/promises';

export { sleep };

/** Asks again and again until the answer is true. @returns whether it became so within the limit */
export async function until(
  limitMs: number,
  everyMs: number,
  condition: () => boolean | Promise<boolean>,
): Promise<boolean> {
  const endMs = performance.now() + limitMs;
  for (;;) {
    if (await condition()) return true;
    if (performance.now() > endMs) return false;
    await sleep(everyMs);
  }
}

/** @throws Error naming the work if it takes longer than the limit */
export async function within<T>(limitMs: number, name: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${name}: not done after ${limitMs} ms`)), limitMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
