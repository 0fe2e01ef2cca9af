/** Turns a request's body into a checked payload of canonical bytes, inline if it is small, in the spool if not. Runs on either side of a thread. */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { StagedPayload } from '../catalog/write-store.ts';
import type { Batch, SampleShape } from '../core/batch.ts';
import { bytesOf } from '../core/dtype.ts';
import { invalidField, unprocessableField } from '../core/errors.ts';
import type { DuplicateRule } from '../core/series.ts';
import { formatTime, INT64_MIN, isTime, TIME_FORMS } from '../core/time.ts';
import { WIRE_FORMATS, type WireFormatName } from '../formats/wire-formats.ts';
import { DataRoot } from '../storage/data-root.ts';
import { SpoolWriter } from '../storage/spool.ts';

/** Canonical payloads up to this size travel in a row of Postgres; larger ones go to the spool, where they are written once and sequentially. */
export const INLINE_BYTES = 64 * 1024;

export interface PayloadTask {
  readonly dataRoot: string;
  readonly writeId: string;
  readonly format: WireFormatName;
  readonly shape: SampleShape;
  readonly duplicates: DuplicateRule;
  /** SHA-256 of the canonical content is only needed to compare replays. */
  readonly hash: boolean;
}

export interface ReceivedPayload {
  readonly payload: StagedPayload;
  /** Regular: the start the body stated. */
  readonly startNs: bigint | null;
  readonly contentHash: Uint8Array | null;
}

/**
 * @throws invalid-input or unprocessable naming what is wrong; nothing is left behind then
 */
export async function receivePayload(task: PayloadTask, body: AsyncIterable<Uint8Array>): Promise<ReceivedPayload> {
  const { shape } = task;
  const irregular = shape.kind === 'irregular';
  const check = new TimeCheck(task.duplicates);
  const hash = task.hash ? createHash('sha256') : null;
  const held: Batch[] = [];
  let heldBytes = 0;
  let rows = 0;
  let startNs: bigint | null = null;
  let spool: SpoolWriter | null = null;
  const store = async (batch: Batch): Promise<void> =>
    spool!.append(bytesOf(batch.values), batch.times && bytesOf(batch.times));
  try {
    for await (const batch of WIRE_FORMATS[task.format].decode(body, shape)) {
      if (batch.rows === 0) continue;
      if (rows === 0 && batch.startNs !== undefined) startNs = batch.startNs;
      if (batch.times) check.add(batch.times, rows);
      rows += batch.rows;
      hash?.update(bytesOf(batch.values));
      if (hash && batch.times) hash.update(bytesOf(batch.times));
      if (spool) await store(batch);
      else {
        held.push(batch);
        heldBytes += batch.values.byteLength + (batch.times?.byteLength ?? 0);
        if (heldBytes > INLINE_BYTES) {
          spool = await SpoolWriter.open(new DataRoot(task.dataRoot), task.writeId, irregular);
          for (const early of held.splice(0)) await store(early);
        }
      }
    }
    if (rows === 0) throw invalidField('values', 'holds no rows', 'empty');
    if (hash) hash.update(`|${rows}|${startNs ?? ''}`);
    const contentHash = hash ? new Uint8Array(hash.digest()) : null;
    const times = { firstNs: check.min, lastNs: check.max };
    if (!spool) {
      const values = joined(held.map((batch) => bytesOf(batch.values)));
      const timeBytes = irregular ? joined(held.map((batch) => bytesOf(batch.times!))) : null;
      const payload = {
        rows,
        bytes: values.length + (timeBytes?.length ?? 0),
        inline: { values, times: timeBytes },
        valuesCrc: crc32(values),
        timesCrc: timeBytes && crc32(timeBytes),
        ...times,
      };
      return { payload, startNs, contentHash };
    }
    const spooled = await spool.finish();
    const payload = {
      rows,
      bytes: spooled.values.bytes + (spooled.times?.bytes ?? 0),
      inline: null,
      valuesCrc: spooled.values.crc,
      timesCrc: spooled.times?.crc ?? null,
      ...times,
    };
    return { payload, startNs, contentHash };
  } catch (error) {
    await spool?.discard();
    throw error;
  }
}

function joined(parts: Uint8Array[]): Uint8Array {
  return parts.length === 1 ? parts[0] : Buffer.concat(parts);
}

/** Binary formats can say times that there are none of: NumPy's NaT, and the first and last days of int64. */
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
