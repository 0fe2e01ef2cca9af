/**
 * Writes a sealed shard: an HDF5 file that is made once, as `<path>.tmp`, and then never changes. Series go in whole, one after the other; of one
 * no more than a block and a batch of summary cells are in memory. For a worker thread.
 */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Group } from 'h5wasm/node';
import type { DataRoot } from './data-root.ts';
import { systemDisk, type Disk } from './disk.ts';
import type { Hdf5Session, OpenHdf5 } from './hdf5-session.ts';
import { SeriesSealing, type SealedSeries, type SealedSeriesWriter } from './sealed-series.ts';
import { describeShard } from './shard-layout.ts';
import { ShardTransaction } from './shard-transaction.ts';

export type { SealedSeries, SealedSeriesWriter } from './sealed-series.ts';

export interface SealedShard {
  readonly shardId: string;
  readonly laneId: string;
  /** Relative to the data root. */
  readonly path: string;
  /** Shards whose rows this one takes over. */
  readonly parents: readonly string[];
}

export class SealedWriter {
  readonly #session: Hdf5Session;
  readonly #disk: Disk;
  readonly #path: string;
  readonly #transaction: ShardTransaction;
  readonly #hdf5: OpenHdf5;
  readonly #series: Group;
  #sealing: SeriesSealing | null = null;
  /** `left`: HDF5 is not called again, because the file is closed, or because after an error its state is not to be trusted. */
  #state: 'open' | 'left' | 'committed' = 'open';

  private constructor(session: Hdf5Session, path: string, shard: SealedShard, disk: Disk) {
    this.#session = session;
    this.#disk = disk;
    this.#path = path;
    this.#transaction = new ShardTransaction(`${path}.tmp`, true, disk);
    try {
      this.#hdf5 = session.open(this.#transaction, true);
      const { file, run } = this.#hdf5;
      this.#series = run(() => {
        const group = describeShard(file, shard.shardId, shard.laneId);
        file.create_attribute('state', 'sealed');
        file.create_attribute('parents', JSON.stringify(shard.parents));
        return group;
      });
    } catch (error) {
      this.#transaction.abort();
      throw error;
    }
  }

  /** Begins the file; one that an attempt before has left half done is replaced. */
  static create(session: Hdf5Session, root: DataRoot, shard: SealedShard, disk: Disk = systemDisk): SealedWriter {
    const path = root.resolve(shard.path);
    if (mkdirSync(dirname(path), { recursive: true })) disk.syncFolder(dirname(path));
    if (disk.exists(`${path}.tmp`)) disk.remove(`${path}.tmp`);
    return new SealedWriter(session, path, shard, disk);
  }

  /**
   * One series at a time: the one before must be finished.
   * @throws here and in what it returns: whatever the file system or HDF5 says; then only {@link abort} is left, and the session must not be used again
   */
  begin(series: SealedSeries): SealedSeriesWriter {
    if (this.#sealing && !this.#sealing.finished) throw new Error('the series before is not finished');
    if (series.codec === 'bitshuffle-lz4') this.#session.findPlugins();
    const sealing = this.#guard(() => new SeriesSealing(this.#hdf5, this.#series, series));
    this.#sealing = sealing;
    return {
      append: (row, values, times) => this.#guard(() => sealing.append(row, values, times)),
      keepCells: (factor, cells) => sealing.keepCells(factor, cells),
      finish: () => this.#guard(() => sealing.finish()),
    };
  }

  /**
   * Makes the file, durably, under its own name.
   * @returns its length in bytes
   */
  finish(): number {
    if (this.#sealing && !this.#sealing.finished) throw new Error('a series is not finished');
    this.#guard(() => this.#hdf5.close());
    this.#state = 'left';
    const bytes = this.#transaction.commit();
    this.#state = 'committed';
    this.#disk.rename(this.#transaction.path, this.#path);
    this.#disk.syncFolder(this.#path);
    return bytes;
  }

  /** Gives up: the file is gone. */
  abort(): void {
    try {
      if (this.#state === 'open') this.#hdf5.close();
    } finally {
      if (this.#state !== 'committed') this.#transaction.abort();
      else if (this.#disk.exists(this.#transaction.path)) this.#disk.remove(this.#transaction.path);
    }
  }

  #guard<T>(work: () => T): T {
    try {
      return this.#hdf5.run(work);
    } catch (error) {
      this.#state = 'left';
      throw error;
    }
  }
}
