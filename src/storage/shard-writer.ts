/** Commits to shards, off the main thread: HDF5 is synchronous, so it lives in worker threads. */
import { Worker } from 'node:worker_threads';
import { fromErrorRecord } from '../core/errors.ts';
import type { CommitRequest, CommitResult } from './shard-commit.ts';
import type { WriterReply } from './writer-thread.ts';

interface Task {
  readonly request: CommitRequest;
  resolve(result: CommitResult): void;
  reject(error: unknown): void;
}

/**
 * A thread's garbage is memory blocks, which are swept with the young heap: a large one is filled with few objects and many megabytes behind them.
 */
const YOUNG_HEAP = { maxYoungGenerationSizeMb: 4 };

export class ShardWriter {
  readonly #idle: WriterThread[];
  readonly #waiting: Task[] = [];
  readonly #all: Set<WriterThread>;
  #closed = false;

  /** @param threads commits that may run side by side, each with its own HDF5 library */
  constructor(threads: number) {
    this.#idle = Array.from({ length: threads }, () => new WriterThread());
    this.#all = new Set(this.#idle);
  }

  /**
   * Appends to one shard, atomically and durably. The caller holds the lease of its lane.
   * @throws what the file system or HDF5 said; nothing is committed then
   */
  commit(request: CommitRequest): Promise<CommitResult> {
    if (this.#closed) return Promise.reject(new Error('the shard writer is closed'));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ request, resolve, reject });
      this.#next();
    });
  }

  /** Ends the threads; a running commit is cut off, which its journal makes harmless, and those that wait are refused. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const task of this.#waiting.splice(0)) task.reject(new Error('the shard writer is closed'));
    await Promise.all([...this.#all].map((thread) => thread.end()));
  }

  #next(): void {
    const thread = this.#waiting.length > 0 ? this.#idle.pop() : undefined;
    if (!thread) return;
    const task = this.#waiting.shift()!;
    thread
      .run(task.request)
      .then(task.resolve, task.reject)
      .finally(() => {
        this.#idle.push(thread);
        this.#next();
      });
  }
}

/** One worker thread, started when first needed and replaced after any error: HDF5's state is not to be trusted then. */
class WriterThread {
  #worker: Worker | null = null;
  #onReply: (reply: WriterReply) => void = () => {};
  #onEnd: (error: unknown) => void = () => {};

  #start(): Worker {
    const worker = new Worker(new URL('./writer-thread.js', import.meta.url), { resourceLimits: YOUNG_HEAP });
    worker.on('message', (reply: WriterReply) => this.#onReply(reply));
    worker.on('error', (error) => this.#onEnd(error));
    worker.on('exit', (code) => {
      if (this.#worker === worker) this.#worker = null;
      this.#onEnd(new Error(`the writer thread ended with ${code}`));
    });
    return worker;
  }

  async run(request: CommitRequest): Promise<CommitResult> {
    const worker = (this.#worker ??= this.#start());
    try {
      const reply = await new Promise<WriterReply>((resolve, reject) => {
        this.#onReply = resolve;
        this.#onEnd = reject;
        worker.postMessage(request);
      });
      if (!reply.ok) throw fromErrorRecord(reply.error);
      return reply.result;
    } catch (error) {
      await this.end();
      throw error;
    }
  }

  async end(): Promise<void> {
    const worker = this.#worker;
    this.#worker = null;
    await worker?.terminate();
  }
}
