/** Turns a request's body into checked rows of canonical bytes, in memory if they are few, in a spool file if not. Runs on either side of a thread. */
import { createHash, type Hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { Batch, SampleShape } from '../../core/signal/batch.ts';
import { bytesOf, DTYPES, type SampleArray } from '../../core/numbers/dtype.ts';
import { invalidField, unprocessableField } from '../../core/errors.ts';
import type { AppendPart } from '../../core/rows/place-append.ts';
import type { DuplicateRule } from '../../core/signal/series.ts';
import type { HeardTime, Stamp } from '../../core/signal/stamps.ts';
import { formatTime, INT64_MIN, isTime, TIME_FORMS } from '../../core/time.ts';
import { extendSpan, type TimeSpan } from '../../core/signal/time-span.ts';
import { WIRE_FORMATS, type WireFormatName } from '../../formats/samples/wire-formats.ts';
import { DataRoot } from '../../storage/folder/data-root.ts';
import { SpoolWriter } from '../../storage/folder/spool.ts';

/**
 * Bytes of values of one part. A part becomes one chunk, with one checksum, and is read as a whole where it is checked.
 */
const PART_BYTES = 1024 * 1024;
/** Rows are kept in memory up to this many bytes; beyond, and if there is a spool file for them, they go there. */
const MEMORY_BYTES = 1024 * 1024;

export interface PayloadTask {
  readonly dataRoot: string;
  /** The file for what is too large for memory; its row is in the catalog. Null: the body is known to be small. */
  readonly spoolId: string | null;
  readonly format: WireFormatName;
  readonly shape: SampleShape;
  readonly duplicates: DuplicateRule;
  /** Whether to hash the canonical content with SHA-256, which is only needed to compare replays. */
  readonly hash: boolean;
}

export interface ReceivedPayload {
  readonly rows: number;
  /** Bytes of values and times together. */
  readonly bytes: number;
  /** Parts in order; all in memory, or all in the spool file. */
  readonly parts: readonly AppendPart[];
  /** Smallest and largest time of an irregular series. */
  readonly firstNs: bigint | null;
  readonly lastNs: bigint | null;
  /** Regular: the start that the body stated, and times of its rows that say something, among them the first row's. */
  readonly startNs: bigint | null;
  readonly stamps: readonly Stamp[];
  /** The last time that a row of a regular series has. */
  readonly heard: HeardTime | null;
  readonly contentHash: Uint8Array | null;
}

/**
 * @throws invalid-input or unprocessable naming what is wrong; no file is left behind then
 */
export async function receivePayload(task: PayloadTask, body: AsyncIterable<Uint8Array>): Promise<ReceivedPayload> {
  const spool = task.spoolId === null ? null : new PayloadSpool(task.dataRoot, task.spoolId);
  try {
    const received = await receiveBatches(task, WIRE_FORMATS[task.format].decode(body, task.shape), spool);
    await spool?.finish();
    return received;
  } catch (error) {
    await spool?.discard();
    throw error;
  }
}

/**
 * Makes checked rows of what was decoded.
 * @param spool for what is too large for memory, which the caller finishes or discards; null: the rows are known to be few
 * @throws as {@link receivePayload}
 */
export async function receiveBatches(
  task: Pick<PayloadTask, 'shape' | 'duplicates' | 'hash'>,
  batches: AsyncIterable<Batch> | Iterable<Batch>,
  spool: PayloadSpool | null,
): Promise<ReceivedPayload> {
  const content = new Content(task);
  const parts = new PartCutter(task.shape, spool);
  for await (const batch of batches) {
    if (batch.rows === 0) continue;
    content.add(batch);
    await parts.add(batch);
  }
  return { ...content.finish(), ...(await parts.finish()) };
}

/** The spool file of payloads, made when they no longer fit into memory. */
export class PayloadSpool {
  readonly #root: DataRoot;
  readonly #id: string;
  #memoryBytes = MEMORY_BYTES;
  #file: SpoolWriter | null = null;

  constructor(dataRoot: string, id: string) {
    this.#root = new DataRoot(dataRoot);
    this.#id = id;
  }

  /** Takes so much of the memory that there is for payloads. @returns false if there is not so much left */
  takeMemory(bytes: number): boolean {
    this.#memoryBytes -= bytes;
    return this.#memoryBytes >= 0;
  }

  async file(): Promise<SpoolWriter> {
    return (this.#file ??= await SpoolWriter.open(this.#root, this.#id));
  }

  /** Makes durable what was written. */
  async finish(): Promise<void> {
    await this.#file?.finish();
  }

  async discard(): Promise<void> {
    await this.#file?.discard();
  }
}

/**
 * Does what {@link receivePayload} does, for a body that is here as a whole and small enough to be parsed at once.
 * Nothing of it needs a file.
 */
export async function receiveSmall(task: PayloadTask, pieces: Iterable<Uint8Array>): Promise<ReceivedPayload> {
  const batches: Batch[] = [];
  for await (const batch of WIRE_FORMATS[task.format].decode(streamOf(pieces), task.shape)) batches.push(batch);
  return checkRows(batches, task, bytesOf);
}

async function* streamOf(pieces: Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* pieces;
}

/**
 * Does what {@link receivePayload} does, for rows that are few enough to be read at once. Each batch is a part, in
 * memory. @param keep gives the bytes of an array, where they are to lie @throws as there
 */
export function checkRows(
  batches: Iterable<Batch>,
  rules: Pick<PayloadTask, 'duplicates' | 'hash'>,
  keep: (array: SampleArray) => Uint8Array,
): ReceivedPayload {
  const content = new Content(rules);
  const parts: AppendPart[] = [];
  let bytes = 0;
  for (const batch of batches) {
    if (batch.rows === 0) continue;
    content.add(batch);
    const part = partOf(batch, keep);
    parts.push(part);
    bytes += part.bytes;
  }
  const { rows, firstNs, lastNs, startNs, stamps, heard, contentHash } = content.finish();
  return { rows, bytes, parts, firstNs, lastNs, startNs, stamps, heard, contentHash };
}

function partOf({ rows, values: array, times: stamps }: Batch, keep: (array: SampleArray) => Uint8Array): AppendPart {
  const values = keep(array);
  const times = stamps && keep(stamps);
  const span = stamps && extendSpan(null, stamps);
  return {
    rows,
    bytes: values.length + (times?.length ?? 0),
    firstNs: span && span.firstNs,
    lastNs: span && span.lastNs,
    sorted: span?.sorted ?? true,
    valuesCrc: crc32(values),
    timesCrc: times && crc32(times),
    place: { kind: 'memory', values, times },
  };
}

/** What is to be known of rows as a whole, gathered batch by batch. */
class Content {
  readonly #check: TimeCheck;
  readonly #hash: Hash | null;
  #rows = 0;
  #startNs: bigint | null = null;
  readonly #stamps: Stamp[] = [];
  #heard: HeardTime | null = null;

  constructor({ duplicates, hash }: Pick<PayloadTask, 'duplicates' | 'hash'>) {
    this.#check = new TimeCheck(duplicates);
    this.#hash = hash ? createHash('sha256') : null;
  }

  add({ rows, values, times, startNs, stamps, heard }: Batch): void {
    if (this.#rows === 0 && startNs !== undefined) this.#startNs = startNs;
    if (stamps) this.#stamps.push(...stamps);
    if (heard) this.#heard = heard;
    if (times) this.#check.add(times, this.#rows);
    this.#rows += rows;
    this.#hash?.update(bytesOf(values));
    if (times) this.#hash?.update(bytesOf(times));
  }

  /** @throws invalid-input `empty` */
  finish(): Omit<ReceivedPayload, 'bytes' | 'parts'> {
    const rows = this.#rows;
    const startNs = this.#startNs;
    if (rows === 0) throw invalidField('values', 'holds no rows', 'empty');
    const stamps = this.#stamps;
    if (this.#heard?.isNews) stamps.push({ ...this.#heard, begins: false, field: 'times' });
    this.#hash?.update(`|${rows}|${startNs ?? ''}`);
    for (const { row, ns } of stamps) if (row > 0) this.#hash?.update(`|${row}|${ns}`);
    const contentHash = this.#hash && new Uint8Array(this.#hash.digest());
    return {
      rows,
      startNs,
      stamps,
      heard: this.#heard,
      contentHash,
      firstNs: this.#check.min,
      lastNs: this.#check.max,
    };
  }
}

/** Rows of one part that is being gathered. */
interface OpenPart {
  rows: number;
  readonly values: Uint8Array[];
  readonly times: Uint8Array[];
  bytes: number;
  span: TimeSpan | null;
  valuesCrc: number;
  /** Where the values begin in the spool file. */
  valuesOffset: number;
}

/** Cuts rows into parts, in memory first, and from {@link MEMORY_BYTES} on in the spool file. */
class PartCutter {
  readonly #isIrregular: boolean;
  readonly #payloads: PayloadSpool | null;
  readonly #rowBytes: number;
  readonly #rowsOfPart: number;
  #parts: AppendPart[] = [];
  #open: OpenPart | null = null;
  #spool: SpoolWriter | null = null;
  #bytes = 0;

  constructor({ dtype, channelLabels, kind }: SampleShape, payloads: PayloadSpool | null) {
    this.#isIrregular = kind === 'irregular';
    this.#payloads = payloads;
    this.#rowBytes = channelLabels.length * DTYPES[dtype].bytes;
    this.#rowsOfPart = Math.max(1, Math.floor(PART_BYTES / this.#rowBytes));
  }

  async add({ rows, values, times }: Batch): Promise<void> {
    const channels = values.length / rows;
    for (let from = 0; from < rows;) {
      const part = (this.#open ??= newPart());
      const take = Math.min(rows - from, this.#rowsOfPart - part.rows);
      const some = bytesOf(values.subarray(from * channels, (from + take) * channels));
      await this.#append(part, take, some, times && times.subarray(from, from + take));
      if (part.rows === this.#rowsOfPart) await this.#close(part);
      from += take;
    }
  }

  async #append(part: OpenPart, rows: number, values: Uint8Array, times: BigInt64Array | null): Promise<void> {
    const bytes = values.length + (times?.byteLength ?? 0);
    this.#bytes += bytes;
    if (!this.#spool && this.#payloads && !this.#payloads.takeMemory(bytes)) {
      this.#spool = await this.#payloads.file();
      await this.#moveToSpool(part);
    }
    part.rows += rows;
    part.bytes += values.length + (times?.byteLength ?? 0);
    part.valuesCrc = crc32(values, part.valuesCrc);
    if (this.#spool) {
      if (part.valuesOffset < 0) part.valuesOffset = this.#spool.length;
      await this.#spool.append(values);
    } else part.values.push(values);
    if (!times) return;
    part.span = extendSpan(part.span, times);
    part.times.push(bytesOf(times));
  }

  /** What was in memory goes first. */
  async #moveToSpool(open: OpenPart): Promise<void> {
    const spool = this.#spool!;
    const moved: AppendPart[] = [];
    for (const part of this.#parts) {
      if (part.place.kind !== 'memory') continue;
      const { values, times } = part.place;
      const valuesOffset = await spool.append(values);
      const timesOffset = times ? await spool.append(times) : null;
      moved.push({ ...part, place: { kind: 'spool', spoolId: spool.id, valuesOffset, timesOffset } });
    }
    this.#parts = moved;
    open.valuesOffset = spool.length;
    for (const values of open.values.splice(0)) await spool.append(values);
  }

  async #close(part: OpenPart): Promise<void> {
    const { rows, bytes, span, valuesCrc, valuesOffset } = part;
    const times = this.#isIrregular ? joined(part.times) : null;
    const place: AppendPart['place'] = this.#spool
      ? {
          kind: 'spool',
          spoolId: this.#spool.id,
          valuesOffset,
          timesOffset: times && (await this.#spool.append(times)),
        }
      : { kind: 'memory', values: joined(part.values), times };
    this.#parts.push({
      rows,
      bytes,
      firstNs: span && span.firstNs,
      lastNs: span && span.lastNs,
      sorted: span?.sorted ?? true,
      valuesCrc,
      timesCrc: times && crc32(times),
      place,
    });
    this.#open = null;
  }

  async finish(): Promise<Pick<ReceivedPayload, 'bytes' | 'parts'>> {
    if (this.#open) await this.#close(this.#open);
    return { bytes: this.#bytes, parts: this.#parts };
  }
}

function newPart(): OpenPart {
  return { rows: 0, values: [], times: [], bytes: 0, span: null, valuesCrc: 0, valuesOffset: -1 };
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return parts.length === 1 ? parts[0] : Buffer.concat(parts);
}

/** Binary formats can say times that do not exist: NumPy's NaT, and the first and last days of int64. */
function refusedTime(times: BigInt64Array, firstRow: number): Error {
  const row = times.findIndex((ns) => !isTime(ns));
  const what = times[row] === INT64_MIN ? 'NaT, and no time' : `${times[row]}, which is not ${TIME_FORMS}`;
  return invalidField(`times[${firstRow + row}]`, `is ${what}`);
}

/** Follows the times of a body. A series whose rule is `error` takes strictly increasing times only. */
class TimeCheck {
  readonly #rule: DuplicateRule;
  #last: bigint | null = null;
  min: bigint | null = null;
  max: bigint | null = null;

  constructor(rule: DuplicateRule) {
    this.#rule = rule;
  }

  add(times: BigInt64Array, firstRow: number): void {
    let min = this.min ?? times[0];
    let max = this.max ?? times[0];
    let last = this.#last;
    const strict = this.#rule === 'error';
    for (let i = 0; i < times.length; i++) {
      const time = times[i];
      if (strict && last !== null && time <= last) {
        const what = time === last ? 'repeats' : 'goes back before';
        throw unprocessableField(
          `times[${firstRow + i}]`,
          `${formatTime(time)} ${what} the time before it, which this series' rule for duplicates forbids`,
          'time-not-increasing',
        );
      }
      if (time < min) min = time;
      if (time > max) max = time;
      last = time;
    }
    if (!isTime(min) || !isTime(max)) throw refusedTime(times, firstRow);
    this.min = min;
    this.max = max;
    this.#last = last;
  }
}
