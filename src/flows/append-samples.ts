/** An append, from the request's body to its acknowledgement: durable, readable and in the change feed by one commit. */
import { v7 as uuidv7 } from 'uuid';
import type { Database } from '../catalog/database.ts';
import { forgetSpools, registerSpools } from '../catalog/spool-store.ts';
import { invalidField } from '../core/errors.ts';
import type { AppendKey, TimeRule } from '../core/place-append.ts';
import type { Series } from '../core/series.ts';
import { WIRE_FORMATS } from '../formats/wire-formats.ts';
import type { CodecPool } from '../storage/codec-pool.ts';
import type { DataRoot } from '../storage/data-root.ts';
import { removeSpooled } from '../storage/spool.ts';
import type { Backpressure } from './backpressure.ts';
import type { AppendResult, Committer } from './committer.ts';
import { receivePayload, type PayloadTask, type ReceivedPayload } from './receive-payload.ts';
import type { AppendOutcome, AppendRequest } from './service.ts';

export interface AppendDeps {
  readonly db: Database;
  readonly root: DataRoot;
  readonly codec: CodecPool;
  readonly committer: Pick<Committer, 'submit'>;
  readonly backpressure: Backpressure;
}

/** Bodies up to this size are parsed at once, where they arrive. */
const SMALL_BYTES = 64 * 1024;
/** Bodies that say they have no more stay in memory until they are committed. */
const MEMORY_BODY_BYTES = 1024 * 1024;

/**
 * Checks the body and commits it.
 * @throws what is wrong with the body, what {@link Backpressure} or {@link Committer.submit} refuse; unprocessable `overlap`, `expired`, `key-reused`;
 *   conflict `time-not-increasing`, `series-sealed`; not-found
 */
export async function appendSamples(deps: AppendDeps, request: AppendRequest): Promise<AppendOutcome> {
  const { series, idempotencyKey, tokenId } = request;
  return withBody(deps, request, async (received) => {
    const startNs = agreedStart(series, request.startNs, received.startNs);
    const { rows, parts } = received;
    const key = keyOf(idempotencyKey, received, startNs);
    const item = { seriesId: series.id, rule: timeRule(series), rows, startNs, parts, key, tokenId };
    const [result] = await deps.committer.submit({ items: [item], atomic: false });
    return toOutcome(result);
  });
}

/** @throws what refused it */
export function toOutcome(result: AppendResult): AppendOutcome {
  if (result.kind === 'refused') throw result.error;
  const { commit, ordinal, rows, firstRow, replayed } = result;
  return { write: writeId(commit, ordinal), rows, firstRow, commit, replayed };
}

/** What a write is called on the wire: opaque to clients. */
export function writeId(commit: bigint, ordinal: number): string {
  return `${commit}-${ordinal}`;
}

export function timeRule({ sampling, duplicates }: Series): TimeRule {
  return sampling.kind === 'regular' ? sampling : { kind: 'irregular', duplicates };
}

/** What a request brings. */
export type BodyRequest = Pick<AppendRequest, 'series' | 'format' | 'body' | 'declaredBytes' | 'idempotencyKey'>;

/**
 * The body, checked, for as long as `work` takes. Where nothing was stored, its file is removed.
 * @throws what is wrong with the body; what Backpressure refuses; what `work` throws
 */
export async function withBody<T>(
  deps: Pick<AppendDeps, 'db' | 'root' | 'codec' | 'backpressure'>,
  request: BodyRequest,
  work: (received: ReceivedPayload) => Promise<T>,
): Promise<T> {
  const upload = await deps.backpressure.admit(request.declaredBytes);
  const { small, body } = await peek(upload.count(request.body)).catch((error: unknown) => {
    upload.end();
    throw error;
  });
  const isSmall = small || (request.declaredBytes !== null && request.declaredBytes <= MEMORY_BODY_BYTES);
  const spoolId = isSmall ? null : uuidv7();
  try {
    if (spoolId !== null) await registerSpools(deps.db, [spoolId]);
    const received = await receive(deps, request, { small, spoolId, body }).finally(() => upload.end());
    await deps.backpressure.confirm(received.bytes);
    return await work(received);
  } finally {
    upload.end();
    // Of a file that a commit names, the row is kept, whatever became of the answer.
    if (spoolId !== null) await forget(deps, spoolId);
  }
}

async function forget({ db, root }: Pick<AppendDeps, 'db' | 'root'>, spoolId: string): Promise<void> {
  try {
    for (const id of await forgetSpools(db, [spoolId])) await removeSpooled(root, id);
  } catch {
    // The sweep finds row and file.
  }
}

/** Binary bodies of regular series are only counted and copied; small ones of any kind are parsed at once; the rest goes to a thread. */
async function receive(
  { root, codec }: Pick<AppendDeps, 'root' | 'codec'>,
  { series, format, idempotencyKey }: BodyRequest,
  { small, spoolId, body }: { small: boolean; spoolId: string | null; body: AsyncIterable<Uint8Array> },
): Promise<ReceivedPayload> {
  const task: PayloadTask = {
    dataRoot: root.root,
    spoolId,
    format,
    shape: {
      dtype: series.dtype,
      channelLabels: series.channels.map((channel) => channel.label),
      kind: series.sampling.kind,
    },
    duplicates: series.duplicates,
    hash: idempotencyKey !== null,
  };
  const copying = WIRE_FORMATS[format].isPacked && series.sampling.kind === 'regular';
  return small || copying ? receivePayload(task, body) : codec.feed<ReceivedPayload>('receive', task, body);
}

/** Reads the first bytes of a body to see whether it is small. */
async function peek(source: AsyncIterable<Uint8Array>): Promise<{ small: boolean; body: AsyncIterable<Uint8Array> }> {
  const iterator = source[Symbol.asyncIterator]();
  const first: Uint8Array[] = [];
  let bytes = 0;
  let done = false;
  while (!done && bytes <= SMALL_BYTES) {
    const next = await iterator.next();
    if (next.done) done = true;
    else {
      first.push(next.value);
      bytes += next.value.length;
    }
  }
  const whole = done;
  async function* rest(): AsyncGenerator<Uint8Array> {
    try {
      yield* first;
      if (whole) return;
      for (let next = await iterator.next(); !next.done; next = await iterator.next()) yield next.value;
    } finally {
      await iterator.return?.();
    }
  }
  return { small: whole, body: rest() };
}

/** @throws invalid-input naming `start` */
function agreedStart(series: Series, asked: bigint | null, stated: bigint | null): bigint | null {
  if (asked !== null && series.sampling.kind === 'irregular') {
    throw invalidField('start', 'an irregular series has a time on every row, and no start');
  }
  if (asked !== null && stated !== null && asked !== stated) {
    throw invalidField('start', 'the query and the body name different starts');
  }
  return asked ?? stated;
}

function keyOf(key: string | null, { contentHash }: ReceivedPayload, startNs: bigint | null): AppendKey | null {
  if (key === null) return null;
  return { key, hash: Buffer.concat([contentHash!, Buffer.from(startNs === null ? '' : startNs.toString())]) };
}
