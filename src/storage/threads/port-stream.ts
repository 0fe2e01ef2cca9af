/** Streams between threads, over a MessagePort, with back-pressure: the reader grants credits, the writer waits for them. */
import type { MessagePort } from 'node:worker_threads';
import { fromErrorRecord, toErrorRecord, type ErrorRecord } from '../../core/errors.ts';

/** Pieces under way at once: enough to keep both sides busy, few enough to bound memory. */
const WINDOW = 4;

type ToReader<T> = { readonly item: T } | { readonly end: true } | { readonly error: ErrorRecord };
type ToWriter = { readonly credit: true } | { readonly cancel: true };

/**
 * Sends everything the source yields, bytes or plain data, then its end or its error. Stops early if the reader cancels or is gone.
 * @param window items under way at once; the source is asked for one when there is room for it
 */
export async function sendStream<T extends object>(
  port: MessagePort,
  source: AsyncIterable<T>,
  window = WINDOW,
): Promise<void> {
  let credits = window;
  let cancelled = false;
  let wake: () => void = () => {};
  const onMessage = (message: ToWriter): void => {
    if ('cancel' in message) cancelled = true;
    else credits++;
    wake();
  };
  const onClose = (): void => {
    cancelled = true;
    wake();
  };
  port.on('message', onMessage);
  port.on('close', onClose);
  const room = async (): Promise<boolean> => {
    while (credits === 0 && !cancelled) await new Promise<void>((resolve) => (wake = resolve));
    return !cancelled;
  };
  try {
    const iterator = source[Symbol.asyncIterator]();
    try {
      while (await room()) {
        const next = await iterator.next();
        if (next.done) {
          port.postMessage({ end: true } satisfies ToReader<T>);
          return;
        }
        credits--;
        port.postMessage({ item: next.value } satisfies ToReader<T>, ownBuffer(next.value));
      }
    } finally {
      await iterator.return?.();
    }
  } catch (error) {
    port.postMessage({ error: toErrorRecord(error) } satisfies ToReader<never>);
  } finally {
    port.off('message', onMessage);
    port.off('close', onClose);
  }
}

/** A view of a part of a buffer is cloned; bytes that have a buffer of their own are handed over. */
function ownBuffer(item: object): ArrayBuffer[] {
  return item instanceof Uint8Array && item.byteLength === item.buffer.byteLength ? [item.buffer as ArrayBuffer] : [];
}

/** What the other side sends. Leaving the loop early cancels the sender. */
export async function* receiveStream<T extends object = Uint8Array>(port: MessagePort): AsyncGenerator<T> {
  const queue: ToReader<T>[] = [];
  let closed = false;
  let wake: () => void = () => {};
  port.on('message', (message: ToReader<T>) => {
    queue.push(message);
    wake();
  });
  port.on('close', () => {
    closed = true;
    wake();
  });
  try {
    for (;;) {
      while (queue.length === 0) {
        if (closed) throw new Error('the other thread ended in the middle of a stream');
        await new Promise<void>((resolve) => (wake = resolve));
      }
      const message = queue.shift()!;
      if ('end' in message) return;
      if ('error' in message) throw fromErrorRecord(message.error);
      yield message.item;
      port.postMessage({ credit: true } satisfies ToWriter);
    }
  } finally {
    port.postMessage({ cancel: true } satisfies ToWriter);
    port.close();
  }
}
