/**
 * Threads for parsing and printing megabytes, so that the event loop stays free. What they run is the caller's file.
 *
 * There are two levels. A stream is fed or read by somebody who may be slow, and may need steps to go on. It keeps its
 * thread only while it works on a piece. A step has all it needs in its task, waits for nothing but the disk, and so
 * comes to its end. Each level has threads of its own, so that what waits for a step never keeps a thread from it.
 */
import { MessageChannel } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { unwrap, type Outcome } from './outcome.ts';
import { receiveStream, sendStream } from './port-stream.ts';

/** More than are ever let in: a stream is begun at once, and shares its thread with the others. */
const STREAMS_PER_THREAD = 16_384;
/** A step may hold hundreds of megabytes: one a thread. */
const STEPS_PER_THREAD = 1;
const IDLE_MS = 60_000;

export class CodecPool {
  readonly #streams: Piscina;
  readonly #steps: Piscina;
  #stepsUnderWay = 0;
  #lastStepMs = 0;

  /**
   * @param entry URL of a module that exports the functions to be called; each takes one argument, those of streams with a `port`
   * @param threads of each level; they start when there is something to do
   */
  constructor(entry: URL, threads: number) {
    const pool = (concurrentTasksPerWorker: number): Piscina =>
      new Piscina({
        filename: entry.href,
        minThreads: 0,
        maxThreads: threads,
        concurrentTasksPerWorker,
        idleTimeout: IDLE_MS,
      });
    this.#streams = pool(STREAMS_PER_THREAD);
    this.#steps = pool(STEPS_PER_THREAD);
    // Of a thread that died with nothing to do. The pool starts another when there is; unheard, the event would end the process.
    for (const each of [this.#streams, this.#steps]) each.on('error', () => {});
  }

  /** Calls a function that sends bytes into its port; yields them as they come. @param signal ends it, wherever it is */
  stream(name: string, task: object, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    return this.#receive(name, task, null, signal);
  }

  /** A step: calls a function that takes and gives plain data. */
  async run<T>(name: string, task: object): Promise<T> {
    if (this.#stepsUnderWay++ === 0) this.#lastStepMs = performance.now();
    try {
      return unwrap((await this.#steps.run(task, { name })) as Outcome<T>);
    } finally {
      this.#stepsUnderWay--;
      this.#lastStepMs = performance.now();
    }
  }

  /** Calls a function that reads `body` from its port, and gives back its result. */
  async feed<T>(name: string, task: object, body: AsyncIterable<Uint8Array>): Promise<T> {
    const { port1, port2 } = new MessageChannel();
    const run = this.#streams.run({ ...task, port: port2 }, { name, transferList: [port2] }) as Promise<Outcome<T>>;
    run.catch(() => port1.close());
    void sendStream(port1, body); // reports its errors to the reader; not waited for: after a refusal the client may never send the rest
    try {
      return unwrap(await run);
    } finally {
      port1.close();
    }
  }

  /**
   * Calls a function that takes plain data from its port `parts` and sends bytes into the other. Each part is made when the one before has been
   * worked off, so that it is as fresh as can be. Making one may take steps.
   * @param signal ends it, wherever it is
   */
  pipe(name: string, task: object, parts: AsyncIterable<object>, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    return this.#receive(name, task, parts, signal);
  }

  /** Nothing is begun before the first piece is asked for. */
  async *#receive(
    name: string,
    task: object,
    parts: AsyncIterable<object> | null,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Uint8Array> {
    signal?.throwIfAborted();
    const out = new MessageChannel();
    const into = parts && new MessageChannel();
    const run = this.#streams.run(
      { ...task, port: out.port2, ...(into && { parts: into.port2 }) },
      { name, transferList: [out.port2, ...(into ? [into.port2] : [])] },
    );
    const end = (): void => {
      out.port1.close();
      into?.port1.close();
    };
    run.catch(end); // a thread that died: the reader must not wait for it
    const failures: unknown[] = [];
    signal?.addEventListener('abort', end);
    if (parts && into) void sendStream(into.port1, telling(parts, failures), 1);
    try {
      yield* receiveStream(out.port1);
      await run;
    } catch (error) {
      signal?.throwIfAborted();
      // What the parts failed of comes back through the bytes, and has lost its class on the way.
      throw failures.length > 0 ? failures[0] : error;
    } finally {
      signal?.removeEventListener('abort', end);
      end();
    }
  }

  /** Milliseconds since a step has begun or ended, while some are under way; 0: none is. */
  get stuckMs(): number {
    return this.#stepsUnderWay === 0 ? 0 : performance.now() - this.#lastStepMs;
  }

  /** Whether the threads of streams take turns. Resolves once one has answered. */
  async ping(): Promise<void> {
    await this.#streams.run({}, { name: 'ping' });
  }

  async close(): Promise<void> {
    await Promise.all([this.#streams.destroy(), this.#steps.destroy()]);
  }
}

/** The same items. What the source fails of is kept. */
async function* telling<T>(source: AsyncIterable<T>, failures: unknown[]): AsyncGenerator<T> {
  try {
    yield* source;
  } catch (error) {
    failures.push(error);
    throw error;
  }
}
