/** A body that brings rows of many series: read whole, and checked item by item once the series are known. Small ones where they arrive, larger ones in a thread. */
import type { SampleShape } from '../core/batch.ts';
import { fromErrorRecord, isVarveError, toErrorRecord, type ErrorRecord, type VarveError } from '../core/errors.ts';
import type { AppendPart } from '../core/place-append.ts';
import type { DuplicateRule } from '../core/series.ts';
import type { BadItem, BodyItem, ItemHead } from '../formats/body-item.ts';
import { ITEM_FORMATS, type ItemFormatName } from '../formats/item-formats.ts';
import type { CodecPool } from '../storage/codec-pool.ts';
import type { Backpressure } from './backpressure.ts';
import { chain, peek } from './receive-body.ts';
import { receiveRows, type ReceivedPayload } from './receive-payload.ts';

/** Most bytes of one body, decompressed: it becomes one commit, and is in memory until then. */
export const MAX_ITEMS_BYTES = 64 * 1024 * 1024;
/** Bodies up to this size are read where they arrive: handing them to a thread and back costs more than reading them. */
const HERE_BYTES = 256 * 1024;

/** How an item is to be read. */
export interface ItemTask {
  readonly shape: SampleShape;
  readonly duplicates: DuplicateRule;
  /** Whether the hash of the content is wanted. */
  readonly hash: boolean;
}

export type ReceivedItem = ReceivedPayload | { readonly error: VarveError };

export interface UploadedItems {
  readonly heads: readonly (ItemHead | BadItem)[];
  /**
   * Reads the rows of items; may be called again with other tasks.
   * @param tasks one a head; null: not wanted
   * @returns in the same order; null where nothing was wanted
   */
  receive(tasks: readonly (ItemTask | null)[]): Promise<(ReceivedItem | null)[]>;
}

interface ItemsBody {
  readonly format: ItemFormatName;
  /** Decompressed. */
  readonly body: AsyncIterable<Uint8Array>;
  readonly declaredBytes: number | null;
}

/**
 * Lets a body in for as long as `work` takes.
 * @throws what Backpressure refuses; what is wrong with the body as a whole; what `work` throws
 */
export async function withItems<T>(
  { backpressure, codec }: { readonly backpressure: Backpressure; readonly codec: CodecPool },
  { format, body, declaredBytes }: ItemsBody,
  work: (items: UploadedItems) => Promise<T>,
): Promise<T> {
  const upload = await backpressure.admit(declaredBytes, MAX_ITEMS_BYTES);
  try {
    const { first, rest } = await peek(upload.count(body), HERE_BYTES);
    const source = chain(first, rest);
    if (rest !== null) return await withItemsInThread(codec, format, source, work);
    const heads = await ITEM_FORMATS[format].read(source);
    return await work({ heads, receive: async (tasks) => receiveItems(heads, tasks) });
  } finally {
    upload.end();
  }
}

function receiveItems(items: readonly (BodyItem | BadItem)[], tasks: readonly (ItemTask | null)[]) {
  return items.map((item, i): ReceivedItem | null => {
    const task = tasks[i];
    if (!task || 'error' in item) return null;
    try {
      return receiveRows(item.batches(task.shape), task);
    } catch (error) {
      if (isVarveError(error)) return { error };
      throw error;
    }
  });
}

/** What a thread is sent: the body piece by piece, then tasks as often as anyone likes … */
export type ToItemsThread =
  { readonly bytes: Uint8Array } | { readonly end: true } | { readonly tasks: readonly (ItemTask | null)[] };
/** … and what it answers: the heads, then what tasks have brought. */
type FromItemsThread = { readonly heads: readonly HeadRecord[] } | { readonly received: readonly ItemRecord[] };
type HeadRecord = ItemHead | { readonly line: number; readonly record: ErrorRecord };
type ItemRecord = ReceivedPayload | { readonly record: ErrorRecord } | null;

async function withItemsInThread<T>(
  codec: CodecPool,
  format: ItemFormatName,
  body: AsyncIterable<Uint8Array>,
  work: (items: UploadedItems) => Promise<T>,
): Promise<T> {
  let wish: (tasks: readonly (ItemTask | null)[]) => void;
  let wished: Promise<readonly (ItemTask | null)[]>;
  const renew = (): void => void (wished = new Promise((resolve) => (wish = resolve)));
  renew();
  const parts = async function* (): AsyncGenerator<ToItemsThread> {
    for await (const bytes of body) yield { bytes };
    yield { end: true };
    for (;;) {
      const tasks = await wished;
      renew();
      yield { tasks };
    }
  };
  const answers = codec.pipe<FromItemsThread>('items', { format }, parts());
  const answer = async (): Promise<FromItemsThread> => (await answers.next()).value as FromItemsThread;
  try {
    const { heads } = (await answer()) as { heads: readonly HeadRecord[] };
    return await work({
      heads: heads.map((head) => ('record' in head ? { line: head.line, ...toError(head) } : head)),
      receive: async (tasks) => {
        wish(tasks);
        const { received } = (await answer()) as { received: readonly ItemRecord[] };
        return received.map((each) => (each && 'record' in each ? toError(each) : each));
      },
    });
  } finally {
    await answers.return(undefined);
  }
}

function toError({ record }: { readonly record: ErrorRecord }): { error: VarveError } {
  return { error: fromErrorRecord(record) as VarveError };
}

/** The thread's side. */
export async function* serveItems(
  format: ItemFormatName,
  parts: AsyncIterable<ToItemsThread>,
): AsyncGenerator<FromItemsThread> {
  const iterator = parts[Symbol.asyncIterator]();
  const items = await ITEM_FORMATS[format].read(bytesFrom(iterator));
  yield { heads: items.map(toHeadRecord) };
  for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
    const { tasks } = next.value as { tasks: readonly (ItemTask | null)[] };
    yield { received: packed(receiveItems(items, tasks).map(toItemRecord)) };
  }
}

async function* bytesFrom(iterator: AsyncIterator<ToItemsThread>): AsyncGenerator<Uint8Array> {
  for (let next = await iterator.next(); !next.done && 'bytes' in next.value; next = await iterator.next()) {
    yield next.value.bytes;
  }
}

function toHeadRecord(item: BodyItem | BadItem): HeadRecord {
  const { line } = item;
  if ('error' in item) return { line, record: toErrorRecord(item.error) };
  const { series, key, create } = item;
  return { line, series, key, create };
}

function toItemRecord(item: ReceivedItem | null): ItemRecord {
  return item && 'error' in item ? { record: toErrorRecord(item.error) } : item;
}

/** All bytes in one piece of memory: it is copied once to the other side, and not with all that lies around each of a thousand pieces. */
function packed(items: readonly ItemRecord[]): ItemRecord[] {
  let bytes = 0;
  for (const item of items) if (item && 'parts' in item) bytes += item.bytes;
  const memory = new Uint8Array(bytes);
  let at = 0;
  const move = (piece: Uint8Array): Uint8Array => {
    memory.set(piece, at);
    at += piece.length;
    return memory.subarray(at - piece.length, at);
  };
  const moved = (part: AppendPart): AppendPart => {
    if (part.place.kind !== 'memory') return part;
    const { values, times } = part.place;
    return { ...part, place: { kind: 'memory', values: move(values), times: times && move(times) } };
  };
  return items.map((item) => (item && 'parts' in item ? { ...item, parts: item.parts.map(moved) } : item));
}
