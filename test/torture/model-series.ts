/** A series as the oracle knows it: everything that was sent, in the order in which it was acknowledged. */
import { DTYPES, type Dtype } from '../../src/core/numbers/dtype.ts';
import type { DuplicateRule } from '../../src/core/signal/series.ts';
import type { Random } from './random.ts';

const NS_PER_S = 1_000_000_000n;
const TIME_BYTES = 8;
const EPOCH_NS = 1_750_000_000n * NS_PER_S;
/** Rows of a JSON body; binary ones are measured in bytes. */
const JSON_ROWS_MAX = 60;
const SMALL_BYTES_MAX = 20_000;
/** Larger than what travels in a row of Postgres, so that the spool is used. */
const LARGE_BYTES_MAX = 300_000;
const HUGE_BYTES = 2_000_000;
/** Edits: how many rows, or how much time, and how far back most of them are. */
const EDITED_ROWS_MAX = 3_000;
const EDITED_NS_MAX = 50_000_000;
const RECENT_ROWS = 20_000;
const RECENT_WRITES = 10;

export interface SeriesKind {
  readonly dtype: Dtype;
  readonly channels: number;
  /** Samples per so many seconds; null: irregular. */
  readonly rate: readonly [num: bigint, den: bigint] | null;
  readonly duplicates: DuplicateRule;
  /** Regular: chance that an append begins after a gap. */
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

/** Half-open. */
interface Span<T> {
  readonly from: T;
  readonly to: T;
}

/** One append, replacement or removal: the same bytes and the same key at every try. */
export interface SentWrite {
  readonly key: string;
  readonly kind: 'append' | 'replace' | 'remove';
  /** That are sent. */
  readonly rows: number;
  /** Regular: the rows that it is about; irregular: those that it gives a place in the order of arrival. */
  readonly at: Span<number>;
  /** Range of an edit. */
  readonly range: Span<bigint> | null;
  /** Rows × channels, and int64 ns for irregular series, as they must be stored. */
  readonly values: Buffer;
  readonly times: BigInt64Array | null;
  /** Irregular: smallest and largest of the times. */
  readonly span: Span<bigint> | null;
  readonly contentType: string;
  readonly body: Buffer;
  /** Regular append: what `?start=` says. */
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
  /** The last of which may be on its way. */
  readonly writes: SentWrite[] = [];
  readonly segments: SentSegment[] = [];
  /** Row numbers that all writes have given out. */
  rows = 0;
  /** Writes that were answered: the first so many. */
  acknowledged = 0;
  readonly rowBytes: number;
  readonly #random: Random;
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

  get newestNs(): bigint {
    return this.#newestNs;
  }

  get edits(): number {
    return this.writes.filter(({ kind }) => kind !== 'append').length;
  }

  /** The next write. It counts as sent. */
  next(): SentWrite {
    const random = this.#random;
    if (this.rows === 0 || random.chance(0.75)) return this.#append();
    return this.irregular ? this.#editTimes() : this.#editRows();
  }

  #append(): SentWrite {
    const random = this.#random;
    const isJson = random.chance(0.4);
    const most = random.chance(0.04) ? HUGE_BYTES : random.chance(0.35) ? LARGE_BYTES_MAX : SMALL_BYTES_MAX;
    const recordBytes = this.rowBytes + (this.irregular ? TIME_BYTES : 0);
    const bytes = most === HUGE_BYTES ? most : random.between(recordBytes, most);
    const rows = isJson ? random.between(1, JSON_ROWS_MAX) : Math.max(1, Math.floor(bytes / recordBytes));
    const times = this.irregular ? this.#randomTimes(rows) : null;
    const startNs = this.irregular ? null : this.#nextStart(rows);
    const at = { from: this.rows, to: this.rows + rows };
    this.rows += rows;
    return this.#sent('append', at, null, this.#randomValues(rows), times, isJson, startNs);
  }

  /** Rows of a regular series get other values, or none. */
  #editRows(): SentWrite {
    const random = this.#random;
    const count = Math.min(this.rows, random.between(1, EDITED_ROWS_MAX));
    const oldest = random.chance(0.7) ? Math.max(0, this.rows - RECENT_ROWS) : 0;
    const from = Math.max(0, random.between(oldest, this.rows) - count);
    const at = { from, to: from + count };
    const range = { from: this.timeOf(from), to: this.timeOf(at.to - 1) + 1n };
    // What removes nothing is told from what removes something by no row that is read.
    if (random.chance(0.5) && this.rowsOf(at).length > 0) return this.#sent('remove', at, range, Buffer.alloc(0), null);
    const isJson = count <= JSON_ROWS_MAX && random.chance(0.5);
    return this.#sent('replace', at, range, this.#randomValues(count), null, isJson);
  }

  /** A range of time of an irregular series gets other rows, or none. */
  #editTimes(): SentWrite {
    const random = this.#random;
    const about = this.writes.filter(({ times }) => times !== null && times.length > 0);
    const { times: known } = random.pick(random.chance(0.7) ? about.slice(-RECENT_WRITES) : about);
    const from = known![random.between(0, known!.length - 1)] - BigInt(random.between(0, EDITED_NS_MAX));
    const end = from + BigInt(random.between(1_000, EDITED_NS_MAX));
    const range = { from, to: end > this.#newestNs ? this.#newestNs + 1n : end };
    if (range.to - range.from < BigInt(JSON_ROWS_MAX)) return this.#append();
    const nothing = { from: this.rows, to: this.rows };
    if (random.chance(0.5)) return this.#sent('remove', nothing, range, Buffer.alloc(0), null);
    const rows = random.between(1, JSON_ROWS_MAX);
    const room = Number(range.to - range.from);
    const offsets = new Set<number>();
    while (offsets.size < rows) offsets.add(random.between(0, room - 1));
    const order = this.kind.duplicates === 'error' ? [...offsets].sort((a, b) => a - b) : [...offsets];
    const times = BigInt64Array.from(order, (offset) => range.from + BigInt(offset));
    const at = { from: this.rows, to: this.rows + rows };
    this.rows += rows;
    return this.#sent('replace', at, range, this.#randomValues(rows), times, random.chance(0.5));
  }

  #sent(
    kind: SentWrite['kind'],
    at: Span<number>,
    range: Span<bigint> | null,
    values: Buffer,
    times: BigInt64Array | null,
    isJson = false,
    startNs: bigint | null = null,
  ): SentWrite {
    const write: SentWrite = {
      key: `${this.name}-${this.writes.length}`,
      kind,
      rows: values.length / this.rowBytes,
      at,
      range,
      values,
      times,
      span: times && spanOf(times),
      startNs,
      contentType: isJson ? 'application/json' : 'application/octet-stream',
      body: isJson ? this.#jsonBody(values, times) : records(values, times, this.rowBytes),
      write: null,
    };
    this.writes.push(write);
    return write;
  }

  /**
   * Regular: what a read of rows must answer as octets.
   * @param writes how many of them readers see
   */
  rowsOf({ from, to }: Span<number>, writes = this.writes.length): Buffer {
    const values: Buffer[] = [];
    const isThere = new Uint8Array(Math.max(0, to - from));
    const whole = Buffer.alloc(isThere.length * this.rowBytes);
    for (const { kind, at, values: sent } of this.writes.slice(0, writes)) {
      const [first, end] = [Math.max(from, at.from), Math.min(to, at.to)];
      if (first >= end) continue;
      isThere.fill(kind === 'remove' ? 0 : 1, first - from, end - from);
      if (kind !== 'remove') {
        sent.copy(
          whole,
          (first - from) * this.rowBytes,
          (first - at.from) * this.rowBytes,
          (end - at.from) * this.rowBytes,
        );
      }
    }
    for (let row = 0; row < isThere.length;) {
      const begin = row;
      const state = isThere[begin];
      while (row < isThere.length && isThere[row] === state) row++;
      if (state === 1) values.push(whole.subarray(begin * this.rowBytes, row * this.rowBytes));
    }
    return Buffer.concat(values);
  }

  /** Regular: the values that a chunk has which has taken in so many edits, removed rows among them. */
  chunkValues({ from, to }: Span<number>, edits: number): Buffer {
    const whole = Buffer.alloc((to - from) * this.rowBytes);
    let edit = 0;
    for (const { kind, at, values } of this.writes) {
      if (kind !== 'append' && ++edit > edits) continue;
      const [first, end] = [Math.max(from, at.from), Math.min(to, at.to)];
      if (kind === 'remove' || first >= end) continue;
      values.copy(
        whole,
        (first - from) * this.rowBytes,
        (first - at.from) * this.rowBytes,
        (end - at.from) * this.rowBytes,
      );
    }
    return whole;
  }

  /** Regular: edits of some rows, to be read by people. */
  writesOver({ from, to }: Span<number>): string[] {
    const edits = this.writes.filter(({ kind }) => kind !== 'append');
    return edits.flatMap(({ kind, at }, i) =>
      at.from < to && at.to > from ? [`${i + 1} ${kind} ${at.from}:${at.to}`] : [],
    );
  }

  /**
   * Irregular: what a read of a range of times must answer as octets: in order of time, and of arrival where times are equal.
   * @param writes how many of them readers see
   */
  octetsInTime(startNs: bigint, endNs: bigint, writes = this.writes.length): Buffer {
    const order = this.#inTime(startNs, endNs, writes);
    const kept = this.kind.duplicates === 'keep' ? order : order.filter(({ time }, i) => order[i + 1]?.time !== time);
    return records(
      Buffer.concat(kept.map(({ values }) => values)),
      BigInt64Array.from(kept, ({ time }) => time),
      this.rowBytes,
    );
  }

  /** How many rows a removal takes away: those that are read, and at most those too that another one of the same time hides. */
  removedBy(write: SentWrite): Span<number> {
    const before = this.writes.indexOf(write);
    if (!this.irregular) {
      const rows = this.rowsOf(write.at, before).length / this.rowBytes;
      return { from: rows, to: rows };
    }
    const { from, to } = write.range!;
    const recordBytes = this.rowBytes + TIME_BYTES;
    return {
      from: this.octetsInTime(from, to, before).length / recordBytes,
      to: this.#inTime(from, to, before).length,
    };
  }

  #inTime(startNs: bigint, endNs: bigint, writes: number): { time: bigint; values: Buffer }[] {
    const seen = this.writes.slice(0, writes);
    const order: { time: bigint; row: number; values: Buffer }[] = [];
    seen.forEach(({ times, span, at, values }, n) => {
      if (!times || !span || span.from >= endNs || span.to <= startNs) return;
      const erased = seen.slice(n + 1).flatMap(({ range }) => range ?? []);
      for (let i = 0; i < times.length; i++) {
        const time = times[i];
        if (time < startNs || time >= endNs || erased.some(({ from, to }) => time >= from && time < to)) continue;
        order.push({ time, row: at.from + i, values: values.subarray(i * this.rowBytes, (i + 1) * this.rowBytes) });
      }
    });
    return order.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : a.row - b.row));
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
      else times[i] = this.#newestNs - BigInt(random.between(0, 50)) * 100_000n;
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
    const jitter = random.chance(0.3) ? BigInt(random.between(-100_000, 100_000)) : null; // within half a period
    // Without a start, rows would go on after the last that is left: here they go on where the removed ones ended.
    const isLastThere = this.rowsOf({ from: this.rows - 1, to: this.rows }).length > 0;
    return jitter === null ? (isLastThere ? null : end) : end + jitter;
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

function spanOf(times: BigInt64Array): Span<bigint> {
  let [from, to] = [times[0], times[0]];
  for (const time of times) {
    if (time < from) from = time;
    if (time > to) to = time;
  }
  return { from, to: to + 1n };
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
