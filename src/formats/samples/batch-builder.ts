/** A batch under construction: text formats push rows into it one by one and take it when it is full. */
import type { Batch, SampleShape } from '../../core/signal/batch.ts';
import { StampFollower } from '../../core/signal/stamps.ts';
import { DTYPES, type SampleArray } from '../../core/numbers/dtype.ts';

/** A batch a decoder yields is full at this many bytes of values and times, or … */
const FULL_BATCH_BYTES = 1024 * 1024;
/** … at this many rows, whichever comes first; a single row may be larger. */
const FULL_BATCH_ROWS = 65_536;
/** Capacity of a new batch; it doubles as rows arrive, so that a body of one row costs no megabyte. */
const FIRST_ROWS = 64;

/** Bytes of one row as it travels in binary: its values and, in an irregular series, its time. */
export function recordBytes(shape: SampleShape): number {
  return shape.channelLabels.length * DTYPES[shape.dtype].bytes + (shape.kind === 'irregular' ? 8 : 0);
}

/** Rows of a full batch of records of this many bytes. */
export function fullBatchRows(bytesPerRecord: number): number {
  return Math.max(1, Math.min(FULL_BATCH_ROWS, Math.floor(FULL_BATCH_BYTES / bytesPerRecord)));
}

export class BatchBuilder {
  /** Rows pushed since the last {@link take}. */
  rows = 0;
  readonly #shape: SampleShape;
  readonly #channels: number;
  readonly #fullRows: number;
  #capacity = 0;
  /** Capacity of the next batch, once its first row comes. */
  #nextCapacity: number;
  #values!: SampleArray;
  #times!: BigInt64Array | null;
  readonly #follower: StampFollower | null;
  /** Rows that were taken. */
  #taken = 0;
  #startNs: bigint | undefined;

  /** @param expectedRows as far as they are known: room is made for no more than these at first */
  constructor(shape: SampleShape, expectedRows = FIRST_ROWS) {
    this.#shape = shape;
    this.#channels = shape.channelLabels.length;
    this.#fullRows = fullBatchRows(recordBytes(shape));
    this.#nextCapacity = Math.max(1, Math.min(expectedRows, this.#fullRows));
    this.#follower = followerOf(shape);
  }

  get full(): boolean {
    return this.rows === this.#fullRows;
  }

  /**
   * Appends a row; the batch must not be full.
   * @param valueOf the value of channel c, already checked to fit the dtype
   * @param timeNs of the row; null: it has none, which a row of a regular series may
   * @param field what the time is called, where it is not as it should be
   * @throws what {@link StampFollower} refuses
   */
  push(valueOf: (channel: number) => number | bigint, timeNs: bigint | null, field = (): string => 'time'): void {
    if (this.rows === this.#capacity) {
      this.#allocate(this.rows === 0 ? this.#nextCapacity : Math.min(this.#capacity * 2, this.#fullRows));
    }
    const values = this.#values as { [index: number]: number | bigint };
    const start = this.rows * this.#channels;
    for (let c = 0; c < this.#channels; c++) values[start + c] = valueOf(c);
    if (this.#times) this.#times[this.rows] = timeNs!;
    else if (timeNs !== null) this.#hear(timeNs, field);
    this.rows++;
  }

  #hear(timeNs: bigint, field: () => string): void {
    const row = this.#taken + this.rows;
    if (row === 0) this.#startNs = timeNs;
    this.#follower?.add(row, timeNs, field);
  }

  /** The rows pushed so far as a batch; the builder starts again empty. */
  take(): Batch {
    const { rows } = this;
    const startNs = this.#startNs;
    this.#startNs = undefined;
    this.#taken += rows;
    const told = toldTimes(startNs, this.#follower);
    // A view of a small array costs more than the array.
    const isFull = rows === this.#capacity;
    const values = isFull ? this.#values : this.#values.subarray(0, rows * this.#channels);
    const times = (isFull ? this.#times : this.#times?.subarray(0, rows)) ?? null;
    this.rows = 0;
    this.#nextCapacity = Math.max(this.#capacity, this.#nextCapacity);
    this.#capacity = 0;
    return { rows, values, times, ...told };
  }

  /** Room for this many rows, with the rows there are. */
  #allocate(capacity: number): void {
    const values = new DTYPES[this.#shape.dtype].array(capacity * this.#channels);
    const times = this.#shape.kind === 'irregular' ? new BigInt64Array(capacity) : null;
    if (this.rows > 0) {
      (values as Float64Array).set(this.#values as Float64Array);
      times?.set(this.#times as BigInt64Array);
    }
    this.#capacity = capacity;
    this.#values = values;
    this.#times = times;
  }
}

/** What a batch says of the times of a regular series. @param startNs of its first row, if that is the first of the body and has one */
export function toldTimes(
  startNs: bigint | undefined,
  follower: StampFollower | null,
): Pick<Batch, 'startNs' | 'stamps' | 'heard'> {
  const stamps = follower?.take() ?? [];
  const heard = follower?.heard;
  return {
    ...(startNs !== undefined && { startNs }),
    ...(stamps.length > 0 && { stamps }),
    ...(heard && { heard }),
  };
}

/** @returns null where there is nothing to compare times with */
export function followerOf({ rate, startTolerance, gaps }: SampleShape): StampFollower | null {
  return rate ? new StampFollower(rate, startTolerance, gaps) : null;
}
