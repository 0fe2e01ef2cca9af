/**
 * Writes a shard: an HDF5 file that is made once and then never changes. Series go in whole, one after the other. No
 * more than a block and a batch of summary cells of a series are in memory. For a worker thread.
 */
import type { Group } from 'h5wasm/node';
import type { DataRoot } from '../folder/data-root.ts';
import { systemDisk, type Disk } from '../folder/disk.ts';
import type { Hdf5Session, OpenHdf5 } from '../hdf5/hdf5-session.ts';
import { NewFile } from '../hdf5/new-file.ts';
import { beginSeries, type SeriesToWrite, type SeriesWriter } from './series-writer.ts';
import { describeShard, type NewShard } from '../codec/shard-layout.ts';

export class ShardWriter {
  readonly #session: Hdf5Session;
  readonly #file: NewFile;
  readonly #hdf5: OpenHdf5;
  readonly #series: Group;
  #isSeriesOpen = false;
  /** HDF5 is not called again: the file is closed, or after an error its state is not to be trusted. */
  #isLeft = false;

  /** Begins the file. */
  constructor(session: Hdf5Session, root: DataRoot, shard: NewShard, disk: Disk = systemDisk) {
    this.#session = session;
    this.#file = new NewFile(root.resolve(shard.path), disk);
    try {
      this.#hdf5 = session.open(this.#file);
      this.#series = this.#hdf5.run(() => describeShard(this.#hdf5.file, shard));
    } catch (error) {
      this.#file.abort();
      throw error;
    }
  }

  /**
   * Begins a series. The one before must be finished.
   * @throws here and in what it returns: whatever the file system or HDF5 says. Then only {@link abort} is left, and
   * the session must not be used again
   */
  begin(series: SeriesToWrite): SeriesWriter {
    if (this.#isSeriesOpen) throw new Error('the series before is not finished');
    if (series.codec === 'bitshuffle-lz4') this.#session.findPlugins();
    const writer = this.#guard(() => beginSeries(this.#hdf5, this.#series, series));
    this.#isSeriesOpen = true;
    return {
      append: (row, values, times) => this.#guard(() => writer.append(row, values, times)),
      keepCells: (factor, cells) => writer.keepCells(factor, cells),
      finish: () => {
        const written = this.#guard(() => writer.finish());
        this.#isSeriesOpen = false;
        return written;
      },
    };
  }

  /** Makes the file, durably, under its own name. @returns its length in bytes */
  finish(): number {
    if (this.#isSeriesOpen) throw new Error('a series is not finished');
    this.#guard(() => this.#hdf5.close());
    this.#isLeft = true;
    return this.#file.finish();
  }

  /** Gives up: the file is gone. */
  abort(): void {
    try {
      if (!this.#isLeft) this.#hdf5.close();
    } finally {
      this.#isLeft = true;
      this.#file.abort();
    }
  }

  #guard<T>(work: () => T): T {
    try {
      return this.#hdf5.run(work);
    } catch (error) {
      this.#isLeft = true;
      throw error;
    }
  }
}
