/** A series as the oracle knows it: everything that was sent, in the order in which it was acknowledged. */
import { DTYPES, type Dtype } from '../../src/core/dtype.ts';
import type { DuplicateRule } from '../../src/core/series.ts';
import type { Random } from './random.ts';

/** How far a row may go back behind the newest time so far; a batch's last row is no further behind its newest. */
const BACKWARDS_NS = 5_000_000n;
const NS_PER_S = 1_000_000_000n;
const TIME_BYTES = 8;
const EPOCH_NS = 1_750_000_000n * NS_PER_S;
/** Rows of a JSON body; binary ones are measured in bytes. */
const JSON_ROWS_MAX = 60;
const SMALL_BYTES_MAX = 20_000;
/** Larger than what travels in a row of Postgres, so that the spool is used. */
const LARGE_BYTES_MAX = 300_000;
const HUGE_BYTES = 2_000_000;

export interface SeriesKind {
  readonly dtype: Dtype;
  readonly channels: number;
  /** Samples per so many seconds; null: irregular. */
  readonly rate: readonly [num: bigint, den: bigint] | null;
  readonly duplicates: DuplicateRule;
  /** Regular: chance that a batch begins after a gap. */
  readonly gaps: number;
}

/** One of each sort that storing treats differently. */
export const SERIES_KINDS: readonly SeriesKind[] = [
  { dtype: 'int16', channels: 4, rate: [1000n, 1n], duplicates: 'last', gaps: 0.2 },
  { dtype: 'float64', channels: 1, rate: [360n, 1n], duplicates: 'last', gaps: 0 },
  { dtype: 'float64', channels: 1, rate: null, duplicates: 'keep', gaps: 0 },
  { dtype: 'int32', channels: 3, rate: null, duplicates: 'last', gaps: 0 },
  { dtype: 'float32', channels: 2, rate: [501n, 2n], duplicates: 'last', gaps: 0.5 },
  { dtype: 'uint8', channels: 1, rate: null, duplicates: 'error', gaps: 0 },
];

/** One append: the same bytes and the same key at every try. */
export interface SentBatch {
  readonly key: string;
  readonly firstRow: number;
  readonly rows: number;
  /** Rows × channels, and int64 ns for irregular series, as they must be stored. */
  readonly values: Buffer;
  readonly times: BigInt64Array | null;
  readonly contentType: string;
  readonly body: Buffer;
  /** Regular: what `?start=` says. */
  readonly startNs: bigint | null;
  /** The write's id, once an answer has told it. */
  write: string | null;
}

interface SentSegment {
  readonly firstRow: number;
  readonly startNs: bigint;
}

export class ModelSeries {
  readonly name: string;
  readonly kind: SeriesKind;
  readonly id: string;
  readonly batches: SentBatch[] = [];
  readonly segments: SentSegment[] = [];
  /** Rows of all batches, the last of which may be on its way. */
  rows = 0;
  /** Rows that were answered to be visible. */
  visibleRows = 0;
  readonly rowBytes: number;
  readonly #random: Random;
  readonly #boundaries = new Set([0]);
  #newestNs = EPOCH_NS;

  constructor(name: string, id: string, kind: SeriesKind, random: Random) {
    this.name = name;
    this.id = id;
    this.kind = kind;
    this.rowBytes = kind.channels * DTYPES[kind.dtype].bytes;
    this.#random = random;
  }

  get irregular(): boolean {
    return this.kind.rate === null;
  }

  /** Bytes of a row in a binary body or answer. */
  get recordBytes(): number {
    return this.rowBytes + (this.irregular ? TIME_BYTES : 0);
  }

  /** The next append. It counts as sent. */
  nextBatch(): SentBatch {
    const random = this.#random;
    const isJson = random.chance(0.4);
    const most = random.chance(0.04) ? HUGE_BYTES : random.chance(0.35) ? LARGE_BYTES_MAX : SMALL_BYTES_MAX;
    const bytes = most === HUGE_BYTES ? most : random.between(this.recordBytes, most);
    const rows = isJson ? random.between(1, JSON_ROWS_MAX) : Math.max(1, Math.floor(bytes / this.recordBytes));
    const values = this.#randomValues(rows);
    const times = this.irregular ? this.#randomTimes(rows) : null;
    const startNs = this.irregular ? null : this.#nextStart(rows);
    const batch: SentBatch = {
      key: `${this.name}-${this.batches.length}`,
      firstRow: this.rows,
      rows,
      values,
      times,
      startNs,
      contentType: isJson ? 'application/json' : 'application/octet-stream',
      body: isJson ? this.#jsonBody(values, times) : records(values, times, this.rowBytes),
      write: null,
    };
    this.batches.push(batch);
    this.rows += rows;
    this.#boundaries.add(this.rows);
    return batch;
  }

  /** True if that many rows end with a whole batch. */
  isBoundary(rows: number): boolean {
    return this.#boundaries.has(rows);
  }

  /** The numbers of rows that can be visible, given that `least` are. */
  boundariesFrom(least: number): number[] {
    return [...this.#boundaries].filter((rows) => rows >= least);
  }

  /** Values and times of the rows `[from, to)`. */
  rowsBetween(from: number, to: number): { values: Buffer; times: BigInt64Array } {
    const values: Buffer[] = [];
    const times = new BigInt64Array(this.irregular ? to - from : 0);
    for (const batch of this.batches) {
      const first = Math.max(from, batch.firstRow);
      const end = Math.min(to, batch.firstRow + batch.rows);
      if (first >= end) continue;
      values.push(
        batch.values.subarray((first - batch.firstRow) * this.rowBytes, (end - batch.firstRow) * this.rowBytes),
      );
      if (batch.times) times.set(batch.times.subarray(first - batch.firstRow, end - batch.firstRow), first - from);
    }
    return { values: Buffer.concat(values), times };
  }

  /** What a read of the rows `[from, to)` must answer as octets. */
  octetsBetween(from: number, to: number): Buffer {
    const { values, times } = this.rowsBetween(from, to);
    return this.irregular ? records(values, times, this.rowBytes) : values;
  }

  /**
   * What a read of a range of times must answer as octets: in order of time, and of arrival where times are equal.
   * @param rows when so many were visible
   */
  octetsInTime(startNs: bigint, endNs: bigint, rows = this.rows): Buffer {
    const order: { time: bigint; row: number; values: Buffer }[] = [];
    for (const batch of this.batches) {
      const times = batch.times!;
      // No row of a batch is far after its last one.
      if (batch.firstRow >= rows || times.at(-1)! + BACKWARDS_NS < startNs) continue;
      for (let i = 0; i < times.length; i++) {
        if (times[i] < startNs || times[i] >= endNs) continue;
        const values = batch.values.subarray(i * this.rowBytes, (i + 1) * this.rowBytes);
        order.push({ time: times[i], row: batch.firstRow + i, values });
      }
    }
    order.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : a.row - b.row));
    const kept = this.kind.duplicates === 'keep' ? order : order.filter(({ time }, i) => order[i + 1]?.time !== time);
    return records(
      Buffer.concat(kept.map(({ values }) => values)),
      BigInt64Array.from(kept, ({ time }) => time),
      this.rowBytes,
    );
  }

  /** Regular: the time of a row, which may be the one after the last. */
  timeOf(row: number): bigint {
    const [num, den] = this.kind.rate!;
    const segment = this.segments.findLast(({ firstRow }) => firstRow <= row)!;
    return segment.startNs + (BigInt(row - segment.firstRow) * den * NS_PER_S) / num;
  }

  /** Values that JSON can say, too; large binary ones would not differ in any way that matters here. */
  #randomValues(rows: number): Buffer {
    const { dtype, channels } = this.kind;
    const values = new DTYPES[dtype].array(rows * channels) as Int32Array;
    const isFloat = DTYPES[dtype].kind === 'float';
    // Fractions of a power of two are the same number in either width of float.
    for (let i = 0; i < values.length; i++)
      values[i] = isFloat ? this.#random.bits() / 256 - 1000 : this.#random.bits();
    return Buffer.from(values.buffer);
  }

  /** Mostly forwards; some repeat earlier times or go back, where the series allows it. */
  #randomTimes(rows: number): BigInt64Array {
    const times = new BigInt64Array(rows);
    const random = this.#random;
    const forwards = this.kind.duplicates === 'error' || random.chance(0.6);
    for (let i = 0; i < rows; i++) {
      if (forwards || random.chance(0.7)) times[i] = this.#newestNs += BigInt(random.between(1, 1_000_000));
      else times[i] = this.#newestNs - BigInt(random.between(0, 50)) * 100_000n; // up to BACKWARDS_NS
    }
    return times;
  }

  /** Where the next rows begin: right after the last, said or unsaid, or after a gap. */
  #nextStart(rows: number): bigint | null {
    const random = this.#random;
    if (this.rows === 0) {
      this.segments.push({ firstRow: 0, startNs: EPOCH_NS });
      return EPOCH_NS;
    }
    const end = this.timeOf(this.rows);
    if (random.chance(this.kind.gaps)) {
      const startNs = end + BigInt(random.between(1, 3600)) * NS_PER_S + BigInt(random.between(0, rows));
      this.segments.push({ firstRow: this.rows, startNs });
      return startNs;
    }
    return random.chance(0.3) ? end + BigInt(random.between(-100_000, 100_000)) : null; // within half a period
  }

  #jsonBody(values: Buffer, times: BigInt64Array | null): Buffer {
    const { dtype, channels } = this.kind;
    const flat = new DTYPES[dtype].array(values.buffer, values.byteOffset, values.length / DTYPES[dtype].bytes);
    const rows = Array.from({ length: flat.length / channels }, (_, row) =>
      Array.from(flat.subarray(row * channels, (row + 1) * channels) as Int32Array),
    );
    return Buffer.from(JSON.stringify({ values: rows, ...(times && { times: Array.from(times, String) }) }));
  }
}

/** Binary rows on the wire: for irregular series a time before the values of each. */
function records(values: Buffer, times: BigInt64Array | null, rowBytes: number): Buffer {
  if (!times) return values;
  const out = Buffer.alloc(values.length + times.length * TIME_BYTES);
  for (let row = 0; row < times.length; row++) {
    const at = row * (rowBytes + TIME_BYTES);
    out.writeBigInt64LE(times[row], at);
    values.copy(out, at + TIME_BYTES, row * rowBytes, (row + 1) * rowBytes);
  }
  return out;
}
