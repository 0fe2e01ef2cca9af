/** A replacement or a removal of a range of samples, from the request to its acknowledgement. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { v7 as uuidv7 } from 'uuid';
import { stageEdit, type NewEdit } from '../catalog/edit-store.ts';
import type { Staged, StagedPayload } from '../catalog/staging.ts';
import { viewAs } from '../core/dtype.ts';
import { invalidField, isVarveError, unprocessableField } from '../core/errors.ts';
import { isRefusedByPostgres } from '../core/fault.ts';
import { formatTime, INT64_MAX, INT64_MIN } from '../core/time.ts';
import { removeSpooled } from '../storage/spool.ts';
import type { AppendOutcome, EditRange, RemoveOutcome, RemoveRequest, ReplaceRequest } from './service.ts';
import { outcome, receiveBody, type StageDeps } from './stage-append.ts';
import { awaitWrite } from './write-status.ts';

const NS_BYTES = 8;

/**
 * Puts the rows of the body in the place of those in a range: in a regular series the same number of them, in an irregular one any.
 * @throws what is wrong with the body, what Backpressure refuses, or what {@link stageEdit} throws (nothing is stored then); unprocessable naming
 *   `times[i]` for a time outside of the range; unprocessable `write-failed` if it was durable but could not be applied
 */
export async function replaceSamples(deps: StageDeps, request: ReplaceRequest): Promise<AppendOutcome> {
  const { series } = request;
  const range = bounds(request);
  const id = uuidv7();
  const { payload, startNs: statedStartNs, contentHash } = await receiveBody(deps, id, request);
  const staged = await stage(deps, {
    edit: { id, seriesId: series.id, ...range, payload, statedStartNs },
    key: request.idempotencyKey,
    contentHash,
    check: () => checkTimes(deps, id, payload, range),
  });
  return outcome(deps, { ...staged, rows: payload.rows }, request);
}

/**
 * Takes away the rows of a range. Those that are left keep their numbers and times.
 * @throws as {@link replaceSamples}
 */
export async function removeSamples(deps: StageDeps, request: RemoveRequest): Promise<RemoveOutcome> {
  const { series } = request;
  const upload = await deps.backpressure.admit(0);
  upload.end();
  const staged = await stage(deps, {
    edit: { id: uuidv7(), seriesId: series.id, ...bounds(request), payload: null, statedStartNs: null },
    key: request.idempotencyKey,
    contentHash: null,
    check: () => Promise.resolve(),
  });
  const applied = await awaitWrite({ db: deps.reads, watch: deps.watch }, staged.id, request);
  const { id: write, replayed } = staged;
  if (!applied) return { level: 'durable', write, replayed };
  return { level: 'visible', write, removed: applied.removed ?? 0, commit: applied.commit, replayed };
}

interface Staging {
  readonly edit: Omit<NewEdit, 'idempotency'>;
  readonly key: string | null;
  /** Of the body; null where there is none. */
  readonly contentHash: Uint8Array | null;
  /** What must hold before anything is stored. */
  readonly check: () => Promise<void>;
}

async function stage(
  deps: StageDeps,
  { edit, key, contentHash, check }: Staging,
): Promise<{ id: string; replayed: boolean }> {
  const { id, payload } = edit;
  let staged: Staged;
  try {
    await check();
    await deps.backpressure.confirm(payload?.bytes ?? 0);
    const idempotency = key === null ? null : { key, contentHash: hashOfEdit(edit, contentHash) };
    staged = await deps.turns.take(edit.seriesId, () => stageEdit(deps.writes, { ...edit, idempotency }));
  } catch (error) {
    // Refused for certain: the payload can go. Otherwise the row may have been committed while the answer was lost; the sweep decides later.
    if (payload && (isVarveError(error) || isRefusedByPostgres(error))) await removeSpooled(deps.root, id);
    throw error;
  }
  if (staged.kind === 'staged') {
    deps.ring(staged.laneId);
    return { id, replayed: false };
  }
  if (payload) await removeSpooled(deps.root, id);
  return { id: staged.id, replayed: true };
}

/** @throws invalid-input naming `end` */
function bounds({ startNs, endNs }: EditRange): { startNs: bigint; endNs: bigint } {
  const range = { startNs: startNs ?? INT64_MIN, endNs: endNs ?? INT64_MAX };
  if (range.startNs >= range.endNs) throw invalidField('end', 'must be after start');
  return range;
}

/** What was asked, so that a key that comes back with something else is found out: an append of the same rows is something else, too. */
function hashOfEdit({ startNs, endNs, payload }: Omit<NewEdit, 'idempotency'>, body: Uint8Array | null): Uint8Array {
  const hash = createHash('sha256').update(`${payload ? 'replace' : 'remove'}|${startNs}|${endNs}|`);
  return hash.update(body ?? '').digest();
}

/** Irregular series: the body's times lie in the range. @throws unprocessable `outside-range` naming the first that does not */
async function checkTimes(
  deps: StageDeps,
  writeId: string,
  { firstNs, lastNs, inline }: StagedPayload,
  { startNs, endNs }: { startNs: bigint; endNs: bigint },
): Promise<void> {
  if (firstNs === null || lastNs === null || (firstNs >= startNs && lastNs < endNs)) return;
  // Few bodies come here; the search ends with the first time that is wrong.
  const pieces = inline ? [inline.times!] : spooledTimes(deps, writeId);
  let row = 0;
  for await (const piece of pieces) {
    for (const ns of viewAs('int64', piece) as BigInt64Array) {
      if (ns < startNs || ns >= endNs) {
        const message = `${formatTime(ns)} is outside of the range that is replaced`;
        throw unprocessableField(`times[${row}]`, message, 'outside-range');
      }
      row++;
    }
  }
}

/** In pieces of whole times. */
async function* spooledTimes({ root }: StageDeps, writeId: string): AsyncGenerator<Uint8Array> {
  const file = createReadStream(root.spooled(writeId, 'times'), { highWaterMark: NS_BYTES * 8192 });
  let rest: Buffer = Buffer.alloc(0);
  for await (const piece of file as AsyncIterable<Buffer>) {
    const bytes = Buffer.concat([rest, piece]);
    const whole = bytes.length - (bytes.length % NS_BYTES);
    rest = bytes.subarray(whole);
    yield Uint8Array.from(bytes.subarray(0, whole));
  }
}
