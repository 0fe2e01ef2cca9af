/** Runs one long task in a thread of its own, and ends the thread: a library that failed, and the memory it took, go with it. */
import { setPriority, constants } from 'node:os';
import { Worker, parentPort, workerData } from 'node:worker_threads';
import { outcome, unwrap, type Outcome } from './outcome.ts';

/**
 * @param entry a module that calls {@link answerAsThread}
 * @param task plain data
 * @param signal ends the thread at once, wherever it is
 * @throws what the task threw; if the thread died, why
 */
export async function runInThread<T>(entry: URL, task: object, signal?: AbortSignal): Promise<T> {
  signal?.throwIfAborted();
  const worker = new Worker(entry, { workerData: task });
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
 * The other side. The thread runs at a lower priority than its process: who waits for an answer comes first.
 * @param canWait says that a task comes behind those of other threads, too
 */
export async function answerAsThread<T>(
  run: (task: T) => Promise<unknown>,
  canWait: (task: T) => boolean = () => false,
): Promise<void> {
  const task = workerData as T;
  // On Linux this concerns the calling thread alone; where it is not allowed, or concerns nobody, it does not matter.
  try {
    const { PRIORITY_LOW, PRIORITY_BELOW_NORMAL } = constants.priority;
    setPriority(0, canWait(task) ? PRIORITY_LOW : PRIORITY_BELOW_NORMAL);
  } catch {}
  parentPort!.postMessage(await outcome(run(task)));
}
