/**
 * Series side by side at the times of a clock. Each time has the row of each series that is next to it in a direction,
 * if it is near enough. That is what pandas' `merge_asof` does, for any number of series, in one pass over all of them.
 */
import { distance } from '../../core/time.ts';
import type { OutBatch } from '../../core/signal/batch.ts';
import { bitsOf } from '../../core/numbers/copy-values.ts';
import { DTYPES, type SampleArray } from '../../core/numbers/dtype.ts';
import type { TableBatch } from '../../core/signal/sample-table.ts';
import { cutBatches, MAX_BATCH_ROWS } from '../../formats/samples/cut-batches.ts';
import { DataRoot } from '../../storage/folder/data-root.ts';
import { eachOpened } from '../../storage/read/shard-files.ts';
import { rowBatches, type RowsTask } from '../read/print-samples.ts';
import type { AsOfDirection } from './table-service.ts';

/** Evenly spaced times. */
export interface Ticks {
  readonly firstNs: bigint;
  readonly everyNs: bigint;
  readonly count: number;
}

export interface AsOf {
  /** Null: the first part is the clock. */
  readonly ticks: Ticks | null;
  readonly toleranceNs: bigint;
  readonly direction: AsOfDirection;
}

export interface AsOfPart {
  readonly rows: RowsTask;
}

/** Values that are matched before they are handed on. */
const BLOCK_VALUES = 256 * 1024;

/** Columns: time, and a column a channel of each series. */
export async function* alignAsOf(asOf: AsOf, parts: AsyncIterable<AsOfPart>): AsyncGenerator<TableBatch> {
  const tasks: RowsTask[] = [];
  for await (const { rows } of parts) tasks.push(rows);
  const clock = asOf.ticks ? null : tasks.shift()!;
  const cursors = tasks.map((task) => new RowCursor(task));
  const width = cursors.reduce((sum, { channels }) => sum + channels, 1);
  const block = Math.max(1, Math.floor(BLOCK_VALUES / width));
  try {
    for await (const times of asOf.ticks ? ticksOf(asOf.ticks, block) : timesOf(clock!, block)) {
      const columns: SampleArray[] = [times];
      const present: (Uint8Array | null)[] = [null];
      for (const cursor of cursors) {
        const matched = await match(cursor, times, asOf);
        columns.push(...matched.columns);
        present.push(...matched.columns.map(() => matched.present));
      }
      yield { rows: times.length, columns, present };
    }
  } finally {
    for (const cursor of cursors) await cursor.close();
  }
}

async function* ticksOf({ firstNs, everyNs, count }: Ticks, block: number): AsyncGenerator<BigInt64Array> {
  for (let from = 0; from < count; from += block) {
    const rows = Math.min(block, count - from);
    yield BigInt64Array.from({ length: rows }, (_, i) => firstNs + BigInt(from + i) * everyNs);
  }
}

async function* timesOf(task: RowsTask, block: number): AsyncGenerator<BigInt64Array> {
  for await (const { times } of cutBatches(batchesOf(task), Math.min(block, MAX_BATCH_ROWS))) yield times!;
}

function batchesOf(task: RowsTask): AsyncGenerator<OutBatch> {
  return rowBatches(task, eachOpened(new DataRoot(task.dataRoot)), true);
}

async function match(
  cursor: RowCursor,
  times: BigInt64Array,
  { toleranceNs, direction }: AsOf,
): Promise<{ columns: SampleArray[]; present: Uint8Array }> {
  const columns = Array.from({ length: cursor.channels }, () => cursor.emptyColumn(times.length));
  const bits = columns.map(bitsOf);
  const { words } = cursor;
  const present = new Uint8Array(times.length);
  for (let i = 0; i < times.length; i++) {
    const ns = times[i];
    // Of rows of one time the last is next from behind, and the first from ahead: what comes after the nanosecond before.
    const passedNs = direction === 'forward' ? ns - 1n : ns;
    while (!cursor.seek(passedNs)) await cursor.pull();
    const place = chooseSide(cursor.before, cursor.after, ns, direction);
    if (!place || distance(place.ns, ns) > toleranceNs) continue;
    present[i] = 1;
    for (const [c, column] of bits.entries()) {
      for (let word = 0; word < words; word++) column[i * words + word] = place.bits[place.at + c * words + word];
    }
  }
  return { columns, present };
}

/** A row where it lies. */
interface RowPlace {
  readonly ns: bigint;
  /** As {@link bitsOf} has the values of its batch. */
  readonly bits: SampleArray;
  /** Place of its first channel in `bits`. */
  readonly at: number;
}

/**
 * @param before the last row at or before the time
 * @param after the first row past it; forward: at or past it
 * @returns of two that are equally near, the one before
 */
function chooseSide<P extends { readonly ns: bigint }>(
  before: P | null,
  after: P | null,
  ns: bigint,
  direction: AsOfDirection,
): P | null {
  if (direction === 'backward') return before;
  if (direction === 'forward' || !before) return after;
  return after && distance(after.ns, ns) < distance(before.ns, ns) ? after : before;
}

/** Goes through the rows of a series in order of time, and holds the two around where it is. */
class RowCursor {
  readonly channels: number;
  /** Words that {@link bitsOf} makes of a value. */
  readonly words: number;
  before: RowPlace | null = null;
  readonly #dtype: RowsTask['shape']['dtype'];
  readonly #batches: AsyncGenerator<OutBatch>;
  #batch: OutBatch | null = null;
  /** Values of the batch, as bits. */
  #bits: SampleArray = new Uint8Array(0);
  /** First row of the batch that is not passed. */
  #next = 0;
  #hasEnded = false;

  constructor(task: RowsTask) {
    this.channels = task.shape.channelLabels.length;
    this.#dtype = task.shape.dtype;
    this.words = this.#dtype === 'float64' ? 2 : 1;
    this.#batches = batchesOf(task);
  }

  get after(): RowPlace | null {
    return this.#batch && this.#next < this.#batch.rows ? this.#place(this.#batch, this.#next) : null;
  }

  emptyColumn(rows: number): SampleArray & Record<number, number | bigint> {
    return new DTYPES[this.#dtype].array(rows);
  }

  /** Passes all rows at or before a time. @returns false if more rows must be pulled first */
  seek(ns: bigint): boolean {
    const batch = this.#batch;
    if (batch && this.#next < batch.rows) {
      const next = firstAfter(batch.times!, this.#next, ns);
      if (next > this.#next) {
        this.#next = next;
        this.before = this.#place(batch, next - 1);
      }
      if (next < batch.rows) return true;
    }
    return this.#hasEnded;
  }

  async pull(): Promise<void> {
    // Its last row alone is kept of the batch before.
    if (this.before) {
      const { ns, bits, at } = this.before;
      this.before = { ns, bits: bits.slice(at, at + this.channels * this.words), at: 0 };
    }
    const next = await this.#batches.next();
    this.#batch = next.done ? null : next.value;
    if (this.#batch) this.#bits = bitsOf(this.#batch.values);
    this.#hasEnded = next.done === true;
    this.#next = 0;
  }

  async close(): Promise<void> {
    await this.#batches.return(undefined);
  }

  #place({ times }: OutBatch, row: number): RowPlace {
    return { ns: times![row], bits: this.#bits, at: row * this.channels * this.words };
  }
}

/** The first position from one on in sorted times that is past `ns`. Looks near first: clocks mostly move by a few rows. */
function firstAfter(times: BigInt64Array, from: number, ns: bigint): number {
  let low = from;
  let step = 1;
  while (low + step <= times.length && times[low + step - 1] <= ns) {
    low += step;
    step *= 2;
  }
  let high = Math.min(times.length, low + step);
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (times[middle] <= ns) low = middle + 1;
    else high = middle;
  }
  return low;
}
