/** Looks into HDF5 files through the library, off the main thread: files to import, and shards to verify. */
import { Worker } from 'node:worker_threads';
import type { SampleArray } from '../../core/numbers/dtype.ts';
import { fromErrorRecord, type ErrorRecord } from '../../core/errors.ts';
import type { ChunkPlace } from './chunk-place.ts';
import type { FoundSummary, ShardSurvey } from './shard-survey.ts';

export interface Hdf5Object {
  /** Absolute within the file, `/a/b`. */
  readonly path: string;
  readonly kind: 'group' | 'dataset';
  readonly shape: readonly number[];
  /** As h5wasm names it: a Python struct code such as `<H`. */
  readonly dtype: string;
  readonly attributes: Readonly<Record<string, unknown>>;
}

export type Hdf5Request =
  | { readonly op: 'list'; readonly path: string }
  | { readonly op: 'read'; readonly path: string; readonly dataset: string; readonly from: number; readonly to: number }
  | { readonly op: 'close'; readonly path: string }
  | { readonly op: 'survey'; readonly path: string }
  | { readonly op: 'find-chunks'; readonly path: string; readonly seriesId: string; readonly rows: readonly number[] }
  | { readonly op: 'find-summaries'; readonly path: string; readonly seriesId: string };

/** Longest look into a shard: what a damaged file can make of the library is anybody's guess. */
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

  /** Groups and datasets below the root, parents first. @throws if it is not an HDF5 file */
  list(file: string): Promise<Hdf5Object[]> {
    return this.#ask({ op: 'list', path: file }) as Promise<Hdf5Object[]>;
  }

  /** Rows `[from, to)` of a dataset, row-major. */
  read(file: string, dataset: string, from: number, to: number): Promise<SampleArray> {
    return this.#ask({ op: 'read', path: file, dataset, from, to }) as Promise<SampleArray>;
  }

  /** Forgets a file that {@link list} or {@link read} opened. */
  async done(file: string): Promise<void> {
    await this.#ask({ op: 'close', path: file });
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
   * Asks one question about a shard that may be damaged. After an error the library's state is not to be trusted, and
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
