/** Threads for parsing and printing megabytes, so that the event loop stays free. What they run is the caller's file. */
import { MessageChannel } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { unwrap, type Outcome } from './outcome.ts';
import { receiveStream, sendStream } from './port-stream.ts';

/** Streams a thread serves at once: they mostly wait for their clients. */
const STREAMS_PER_THREAD = 16;

export class CodecPool {
  readonly #pool: Piscina;

  /** @param entry URL of a module that exports the functions to be called; each takes one argument that has a `port` */
  constructor(entry: URL, threads: number) {
    this.#pool = new Piscina({
      filename: entry.href,
      minThreads: 0,
      maxThreads: threads,
      concurrentTasksPerWorker: STREAMS_PER_THREAD,
      idleTimeout: 60_000,
    });
    // Of a thread that died with nothing to do. The pool starts another when there is; unheard, the event would end the process.
    this.#pool.on('error', () => {});
  }

  /** Calls a function that sends bytes into its port; yields them as they come. */
  async *stream(name: string, task: object): AsyncGenerator<Uint8Array> {
    const { port1, port2 } = new MessageChannel();
    const run = this.#pool.run({ ...task, port: port2 }, { name, transferList: [port2] });
    run.catch(() => port1.close()); // a thread that died: the reader must not wait for it
    yield* receiveStream(port1);
    await run;
  }

  /** Calls a function, and gives back its result. */
  async run<T>(name: string, task: object): Promise<T> {
    return unwrap((await this.#pool.run(task, { name })) as Outcome<T>);
  }

  /** Calls a function that reads `body` from its port, and gives back its result. */
  async feed<T>(name: string, task: object, body: AsyncIterable<Uint8Array>): Promise<T> {
    const { port1, port2 } = new MessageChannel();
    const run = this.#pool.run({ ...task, port: port2 }, { name, transferList: [port2] }) as Promise<Outcome<T>>;
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
   * worked off, so that it is as fresh as can be.
   */
  async *pipe(name: string, task: object, parts: AsyncIterable<object>): AsyncGenerator<Uint8Array> {
    const out = new MessageChannel();
    const into = new MessageChannel();
    const run = this.#pool.run(
      { ...task, port: out.port2, parts: into.port2 },
      { name, transferList: [out.port2, into.port2] },
    );
    run.catch(() => out.port1.close());
    void sendStream(into.port1, parts, 1); // its errors come back through the bytes
    try {
      yield* receiveStream(out.port1);
      await run;
    } finally {
      into.port1.close();
    }
  }

  async close(): Promise<void> {
    await this.#pool.destroy();
  }
}
