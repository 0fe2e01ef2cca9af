/** The body of a request that brings rows: let in, counted, and parsed where its size says. */
import { v7 as uuidv7 } from 'uuid';
import type { Database } from '../../catalog/database.ts';
import { forgetSpools, registerSpools } from '../../catalog/appends/spool-store.ts';
import type { SampleShape } from '../../core/signal/batch.ts';
import type { GapRule } from '../../core/signal/place-run.ts';
import type { Series } from '../../core/signal/series.ts';
import { WIRE_FORMATS, type WireFormatName } from '../../formats/samples/wire-formats.ts';
import type { CodecPool } from '../../storage/threads/codec-pool.ts';
import type { DataRoot } from '../../storage/folder/data-root.ts';
import { removeSpooled } from '../../storage/folder/spool.ts';
import type { Backpressure } from './backpressure.ts';
import { receivePayload, receiveSmall, type PayloadTask, type ReceivedPayload } from './receive-payload.ts';

export interface ReceiveDeps {
  /** Database for rows of spool files. */
  readonly writes: Database;
  readonly root: DataRoot;
  readonly codec: CodecPool;
  readonly backpressure: Backpressure;
}

/** What a request brings. */
export interface BodyRequest {
  readonly format: WireFormatName;
  /** The body, decompressed. It is read with back-pressure, and never held whole unless it is small. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Length of the body as it is sent, where the request says it. */
  readonly declaredBytes: number | null;
}

/** A body of which the first bytes have come. */
export interface BodyUpload {
  /** Whether the body is here as a whole, and may be received more than once. */
  readonly isSmall: boolean;
  /** @param hash whether the hash of the content is wanted. @throws what is wrong with the body; what Backpressure refuses */
  receive(series: Series, hash: boolean, gaps?: GapRule): Promise<ReceivedPayload>;
}

/** Bodies up to this size are parsed at once, where they arrive. */
const SMALL_BYTES = 64 * 1024;
/** Bodies that say they have no more bytes than this stay in memory until they are committed. */
const MEMORY_BODY_BYTES = 1024 * 1024;

/**
 * Lets a body in for as long as `work` takes. Nothing is left of what was not stored. @throws what Backpressure
 * refuses; what `work` throws
 */
export async function withUpload<T>(
  deps: ReceiveDeps,
  { format, body: source, declaredBytes }: BodyRequest,
  work: (upload: BodyUpload) => Promise<T>,
): Promise<T> {
  const { backpressure, writes } = deps;
  const { heldBytes: mostHeld, heldCopies: copies } = WIRE_FORMATS[format];
  const upload = await backpressure.admit(declaredBytes, { mostHeld, copies });
  const spoolIds: string[] = [];
  const pieces = upload.count(source);
  try {
    const { first, rest } = await peek(pieces);
    const isSmall = rest === null;
    const receive: BodyUpload['receive'] = async (series, hash, gaps) => {
      const inMemory = isSmall || (declaredBytes !== null && declaredBytes <= MEMORY_BODY_BYTES);
      const spoolId = inMemory ? null : uuidv7();
      if (spoolId !== null) {
        await registerSpools(writes, [spoolId]);
        spoolIds.push(spoolId);
      }
      const task = taskOf(deps, series, { spoolId, format, hash }, gaps);
      const receiving = rest === null ? receiveSmall(task, first) : receiveLarge(deps, task, chain(first, rest));
      const received = await receiving.finally(() => upload.end());
      await backpressure.confirm(received.bytes);
      return received;
    };
    return await work({ isSmall, receive });
  } finally {
    upload.end();
    // Whoever refuses the body early may not have begun to read what is still to come. That is not waited for: a client
    // may never send it.
    pieces.return(undefined).catch(() => {});
    // The row of a file that a commit names is kept, whatever became of the answer.
    if (spoolIds.length > 0) await forget(deps, spoolIds);
  }
}

function taskOf(
  { root }: Pick<ReceiveDeps, 'root'>,
  series: Series,
  how: Pick<PayloadTask, 'spoolId' | 'format' | 'hash'>,
  gaps: GapRule | undefined,
): PayloadTask {
  return { dataRoot: root.root, shape: { ...shapeOf(series), gaps }, duplicates: series.duplicates, ...how };
}

export function shapeOf({ dtype, channels, sampling }: Pick<Series, 'dtype' | 'channels' | 'sampling'>): SampleShape {
  const channelLabels = channels.map(({ label }) => label);
  const { kind } = sampling;
  if (sampling.kind === 'irregular') return { dtype, channelLabels, kind };
  const { rate, startTolerance } = sampling;
  return { dtype, channelLabels, kind, rate, startTolerance };
}

/** Binary bodies of regular series are only counted and copied; the rest goes to a thread. */
function receiveLarge(
  { codec }: Pick<ReceiveDeps, 'codec'>,
  task: PayloadTask,
  body: AsyncIterable<Uint8Array>,
): Promise<ReceivedPayload> {
  const isCopied = WIRE_FORMATS[task.format].isPacked && task.shape.kind === 'regular';
  return isCopied ? receivePayload(task, body) : codec.feed<ReceivedPayload>('receive', task, body);
}

async function forget({ writes, root }: Pick<ReceiveDeps, 'writes' | 'root'>, spoolIds: string[]): Promise<void> {
  try {
    for (const id of await forgetSpools(writes, spoolIds)) await removeSpooled(root, id);
  } catch {
    // The sweep finds row and file.
  }
}

/** Reads the first bytes of a body to see whether it is small. @returns the rest; null: there is none */
export async function peek(
  source: AsyncGenerator<Uint8Array>,
): Promise<{ first: Uint8Array[]; rest: AsyncGenerator<Uint8Array> | null }> {
  const first: Uint8Array[] = [];
  for (let bytes = 0; bytes <= SMALL_BYTES;) {
    const next = await source.next();
    if (next.done) return { first, rest: null };
    first.push(next.value);
    bytes += next.value.length;
  }
  return { first, rest: source };
}

export async function* chain(
  first: readonly Uint8Array[],
  rest: AsyncGenerator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  yield* first;
  yield* rest;
}
