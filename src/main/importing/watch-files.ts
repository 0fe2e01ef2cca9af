/** Files as they are written: one counts when its size and its time have rested. */
import { stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { findFiles, type FoundFile } from './find-files.ts';

/** Pause between two looks. */
const LOOK_MS = 500;
/** A file that has not changed for so long is taken for finished. */
const REST_MS = 2_000;

interface Rested {
  readonly state: string;
  readonly sinceMs: number;
  readonly isTold: boolean;
}

/** Yields files that have come to rest, those that are there first; a file that changes later is told again. @param signal ends it */
export async function* restedFiles(paths: readonly string[], signal: AbortSignal): AsyncGenerator<FoundFile[]> {
  const seen = new Map<string, Rested>();
  while (!signal.aborted) {
    const rested: FoundFile[] = [];
    for (const file of await findFiles(paths)) {
      const found = await stat(file.path).catch(() => null);
      if (!found?.isFile()) continue;
      const state = `${found.size} ${found.mtimeMs}`;
      const before = seen.get(file.path);
      const nowMs = performance.now();
      if (before?.state !== state) seen.set(file.path, { state, sinceMs: nowMs, isTold: false });
      else if (!before.isTold && nowMs - before.sinceMs >= REST_MS) {
        seen.set(file.path, { ...before, isTold: true });
        rested.push({ ...file, isNamed: false });
      }
    }
    if (rested.length > 0) yield rested;
    await sleep(LOOK_MS, undefined, { signal }).catch(() => {});
  }
}
