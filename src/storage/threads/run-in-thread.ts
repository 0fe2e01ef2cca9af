/**
 * Runs one long task in a thread of its own, and ends the thread. A library that failed, and the memory it took, go
 * with it.
 */
import { setPriority, constants } from 'node:os';
import { Worker, parentPort, workerData } from 'node:worker_threads';
import { outcome, unwrap, type Outcome } from './outcome.ts';

/**
 * @param entry a module that calls {@link answerAsThread}
 * @param task plain data
 * @param signal ends the thread at once, wherever it is
 * @param heapMb most memory of its JavaScript; a thread that needs more dies, and the process lives on
 * @throws what the task threw; if the thread died, why
 */
export async function runInThread<T>(entry: URL, task: object, signal?: AbortSignal, heapMb?: number): Promise<T> {
  signal?.throwIfAborted();
  const resourceLimits = heapMb === undefined ? {} : { maxOldGenerationSizeMb: heapMb };
  const worker = new Worker(entry, { workerData: task, resourceLimits });
  const end = (): void => void worker.terminate();
  signal?.addEventListener('abort', end);
  try {
    const answer = await new Promise<Outcome<T>>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
      worker.once('exit', (code) =>
        reject(signal?.aborted ? signal.reason : new Error(`the thread ended with ${code}`)),
      );
    });
    return unwrap(answer);
  } finally {
    signal?.removeEventListener('abort', end);
    await worker.terminate();
  }
}

/**
 * Priority of a thread, as niceness. `below` is below the rest of the process, for whoever waits for an answer comes
 * first; `low` is behind all others.
 */
export type ThreadPriority = keyof typeof NICENESS;
const { PRIORITY_NORMAL, PRIORITY_BELOW_NORMAL, PRIORITY_LOW } = constants.priority;
const NICENESS = { normal: PRIORITY_NORMAL, below: PRIORITY_BELOW_NORMAL, low: PRIORITY_LOW } as const;

/** The other side. */
export async function answerAsThread<T>(
  run: (task: T) => Promise<unknown>,
  priorityOf: (task: T) => ThreadPriority = () => 'below',
): Promise<void> {
  const task = workerData as T;
  // On Linux this concerns the calling thread alone; where it is not allowed, or concerns nobody, it does not matter.
  try {
    setPriority(0, NICENESS[priorityOf(task)]);
  } catch {}
  parentPort!.postMessage(await outcome(run(task)));
}
