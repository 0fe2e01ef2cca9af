/** Looks into HDF5 files through the library, off the main thread: files to import, and shards to verify. */
import { Worker } from 'node:worker_threads';
import { fromErrorRecord, type ErrorRecord } from '../../core/errors.ts';
import type { ChunkPlace } from './chunk-place.ts';
import type { Hdf5Object } from './foreign-file.ts';
import type { FoundSummary, ShardSurvey } from './shard-survey.ts';

export type Hdf5Request =
  | { readonly op: 'list'; readonly path: string }
  | { readonly op: 'close'; readonly path: string }
  | {
      readonly op: 'read-block' | 'read-values';
      readonly path: string;
      readonly dataset: string;
      readonly from: readonly number[];
      readonly count: readonly number[];
    }
  | { readonly op: 'survey'; readonly path: string }
  | { readonly op: 'find-chunks'; readonly path: string; readonly seriesId: string; readonly rows: readonly number[] }
  | { readonly op: 'find-summaries'; readonly path: string; readonly seriesId: string };

/** Longest look into a file: what a damaged file can make of the library is anybody's guess. */
const LOOK_LIMIT_MS = 120_000;

interface Reply {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: ErrorRecord;
}

export class Hdf5Reader {
  #worker: Worker | null = null;
  #nextId = 0;
  readonly #waiting = new Map<number, { resolve(result: unknown): void; reject(error: unknown): void }>();

  /** The root, groups and datasets, parents first, each once. @throws Error in one sentence if HDF5 cannot read them */
  list(file: string): Promise<Hdf5Object[]> {
    return this.#look({ op: 'list', path: file }) as Promise<Hdf5Object[]>;
  }

  /** A block of a dataset as it lies, atoms little-endian. @param from place along each axis; `count` how many */
  readBlock(file: string, dataset: string, from: readonly number[], count: readonly number[]): Promise<Uint8Array> {
    return this.#look({ op: 'read-block', path: file, dataset, from, count }) as Promise<Uint8Array>;
  }

  /** A block of texts, references (as paths) or records (as lists of their members), one after the other. */
  readValues(file: string, dataset: string, from: readonly number[], count: readonly number[]): Promise<unknown[]> {
    return this.#look({ op: 'read-values', path: file, dataset, from, count }) as Promise<unknown[]>;
  }

  /** Forgets a file that was listed or read. */
  async done(file: string): Promise<void> {
    if (this.#worker) await this.#look({ op: 'close', path: file });
  }

  /** Lets the process end though the thread waits for questions; the next one holds it again. */
  rest(): void {
    this.#worker?.unref();
  }

  /** What a shard says of itself. @throws if HDF5 cannot open it, or it is no shard */
  survey(shard: string): Promise<ShardSurvey> {
    return this.#look({ op: 'survey', path: shard }) as Promise<ShardSurvey>;
  }

  /**
   * Where a shard's chunks lie, with one place for each of the rows. @param rows of the series' datasets, at which
   * chunks begin @throws if HDF5 cannot read the series' group
   */
  async findChunks(shard: string, seriesId: string, rows: readonly number[]): Promise<ChunkPlace[]> {
    const places = (await this.#look({ op: 'find-chunks', path: shard, seriesId, rows })) as ChunkPlace[];
    if (places.some(({ problem }) => problem !== null)) await this.close();
    return places;
  }

  /** Where the summaries of a series lie in a shard. @throws if HDF5 cannot read one of them */
  findSummaries(shard: string, seriesId: string): Promise<FoundSummary[]> {
    return this.#look({ op: 'find-summaries', path: shard, seriesId }) as Promise<FoundSummary[]>;
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
  }

  /**
   * Asks one question about a file that may be damaged. After an error the library's state is not to be trusted, and
   * its thread is replaced.
   */
  async #look(request: Hdf5Request): Promise<unknown> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise((_, reject) => {
      const error = new Error(`HDF5 did not answer within ${LOOK_LIMIT_MS / 1000} s`);
      timer = setTimeout(() => reject(error), LOOK_LIMIT_MS);
    });
    try {
      return await Promise.race([this.#ask(request), late]);
    } catch (error) {
      await this.close();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  #ask(request: Hdf5Request): Promise<unknown> {
    this.#worker ??= this.#start();
    const worker = this.#worker;
    worker.ref();
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      worker.postMessage({ id, request });
    });
  }

  #start(): Worker {
    const worker = new Worker(new URL('./hdf5-thread.js', import.meta.url));
    worker.on('message', ({ id, result, error }: Reply) => {
      const waiter = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error) waiter?.reject(fromErrorRecord(error));
      else waiter?.resolve(result);
    });
    const fail = (error: Error): void => {
      if (this.#worker === worker) this.#worker = null;
      for (const waiter of this.#waiting.values()) waiter.reject(error);
      this.#waiting.clear();
    };
    worker.on('error', fail);
    worker.on('exit', () => fail(new Error('the HDF5 thread ended')));
    return worker;
  }
}
