/** An append, from the request's body to its acknowledgement. */
import { v7 as uuidv7 } from 'uuid';
import type { Database } from '../catalog/database.ts';
import { stageWrite } from '../catalog/write-store.ts';
import { invalidField, isVarveError } from '../core/errors.ts';
import { isRefusedByPostgres } from '../core/fault.ts';
import type { Series } from '../core/series.ts';
import type { CodecPool } from '../storage/codec-pool.ts';
import type { DataRoot } from '../storage/data-root.ts';
import { removeSpooled } from '../storage/spool.ts';
import { WIRE_FORMATS } from '../formats/wire-formats.ts';
import type { Backpressure } from './backpressure.ts';
import { INLINE_BYTES, receivePayload, type PayloadTask, type ReceivedPayload } from './receive-payload.ts';
import type { SeriesTurns } from './series-turns.ts';
import type { AppendOutcome, AppendRequest } from './service.ts';
import type { WriteWatch } from './watch-writes.ts';
import { awaitWrite } from './write-status.ts';

export interface StageDeps {
  /** For what is written, and for what is asked. */
  readonly writes: Database;
  readonly reads: Database;
  readonly turns: SeriesTurns;
  readonly root: DataRoot;
  readonly codec: CodecPool;
  readonly watch: WriteWatch;
  readonly backpressure: Backpressure;
  /** Asks for the lane to be drained. May be lost: the reconciler asks again. */
  readonly ring: (laneId: string) => void;
}

/**
 * Checks the body, makes it durable, asks for a drain, and waits for it to become visible.
 * @throws what is wrong with the body, what {@link Backpressure} refuses, or what {@link stageWrite} throws (nothing is stored then);
 *   unprocessable `write-failed` if the write was durable but could not be applied
 */
export async function stageAppend(deps: StageDeps, request: AppendRequest): Promise<AppendOutcome> {
  const { series } = request;
  const id = uuidv7();
  const received = await receiveBody(deps, id, request);
  const key = request.idempotencyKey;
  let staged: Awaited<ReturnType<typeof stageWrite>>;
  try {
    const startNs = agreedStart(series, request.startNs, received.startNs);
    await deps.backpressure.confirm(received.payload.bytes);
    const write = {
      id,
      seriesId: series.id,
      payload: received.payload,
      startNs,
      idempotency: key === null ? null : { key, contentHash: withStart(received.contentHash!, startNs) },
    };
    staged = await deps.turns.take(series.id, () => stageWrite(deps.writes, write));
  } catch (error) {
    // Refused for certain: the payload can go. Otherwise the row may have been committed while the answer was lost; the sweep decides later.
    if (isVarveError(error) || isRefusedByPostgres(error)) await removeSpooled(deps.root, id);
    throw error;
  }
  const replayed = staged.kind === 'replay';
  if (staged.kind === 'staged') deps.ring(staged.laneId);
  else await removeSpooled(deps.root, id);
  const { rows } = received.payload;
  return outcome(deps, { id: staged.kind === 'replay' ? staged.id : id, rows, replayed }, request);
}

/** What a request brings. */
export type BodyRequest = Pick<AppendRequest, 'series' | 'format' | 'body' | 'declaredBytes' | 'idempotencyKey'>;

/** The body, checked and kept under the write's id. @throws what is wrong with it, or what {@link Backpressure} refuses */
export async function receiveBody(deps: StageDeps, writeId: string, request: BodyRequest): Promise<ReceivedPayload> {
  const upload = await deps.backpressure.admit(request.declaredBytes, WIRE_FORMATS[request.format].heldBytes);
  try {
    return await receive(deps, writeId, { ...request, body: upload.count(request.body) });
  } finally {
    upload.end();
  }
}

/** Binary bodies of regular series are only counted and copied; small ones of any kind are parsed at once; the rest goes to a thread. */
async function receive(deps: StageDeps, writeId: string, request: BodyRequest): Promise<ReceivedPayload> {
  const { series } = request;
  const task: PayloadTask = {
    dataRoot: deps.root.root,
    writeId,
    format: request.format,
    shape: {
      dtype: series.dtype,
      channelLabels: series.channels.map((channel) => channel.label),
      kind: series.sampling.kind,
      ...(series.sampling.kind === 'regular' && { rate: series.sampling.rate }),
    },
    duplicates: series.duplicates,
    hash: request.idempotencyKey !== null,
  };
  const { small, body } = await peek(request.body);
  const copying = WIRE_FORMATS[request.format].isPacked && series.sampling.kind === 'regular';
  return small || copying ? receivePayload(task, body) : deps.codec.feed<ReceivedPayload>('receive', task, body);
}

/** Reads the first bytes of a body to see whether it is small. */
async function peek(source: AsyncIterable<Uint8Array>): Promise<{ small: boolean; body: AsyncIterable<Uint8Array> }> {
  const iterator = source[Symbol.asyncIterator]();
  const first: Uint8Array[] = [];
  let bytes = 0;
  let done = false;
  while (!done && bytes <= INLINE_BYTES) {
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

function agreedStart(series: Series, asked: bigint | null, stated: bigint | null): bigint | null {
  if (asked !== null && series.sampling.kind === 'irregular') {
    throw invalidField('start', 'an irregular series has a time on every row, and no start');
  }
  if (asked !== null && stated !== null && asked !== stated) {
    throw invalidField('start', 'the query and the body name different starts');
  }
  return asked ?? stated;
}

function withStart(hash: Uint8Array, startNs: bigint | null): Uint8Array {
  return Buffer.concat([hash, Buffer.from(startNs === null ? '' : startNs.toString())]);
}

/** What is answered to a write that brings rows. */
export async function outcome(
  deps: StageDeps,
  { id, rows, replayed }: { readonly id: string; readonly rows: number; readonly replayed: boolean },
  request: Pick<AppendRequest, 'waitMs' | 'signal'>,
): Promise<AppendOutcome> {
  const applied = await awaitWrite({ db: deps.reads, watch: deps.watch }, id, request);
  if (!applied) return { level: 'durable', write: id, rows, replayed };
  const firstRow = applied.firstRow!;
  const lastRow = firstRow + applied.rows - 1;
  return { level: 'visible', write: id, rows: applied.rows, firstRow, lastRow, commit: applied.commit, replayed };
}
