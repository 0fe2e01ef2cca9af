/** Byte streams between threads, over a MessagePort, with back-pressure: the reader grants credits, the writer waits for them. */
import type { MessagePort } from 'node:worker_threads';
import { fromErrorRecord, toErrorRecord, type ErrorRecord } from '../core/errors.ts';

/** Pieces under way at once: enough to keep both sides busy, few enough to bound memory. */
const WINDOW = 4;

type ToReader = { readonly bytes: Uint8Array } | { readonly end: true } | { readonly error: ErrorRecord };
type ToWriter = { readonly credit: true } | { readonly cancel: true };

/** Sends everything the source yields, then its end or its error. Stops early if the reader cancels or is gone. */
export async function sendStream(port: MessagePort, source: AsyncIterable<Uint8Array>): Promise<void> {
  let credits = WINDOW;
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
  try {
    for await (const bytes of source) {
      while (credits === 0 && !cancelled) await new Promise<void>((resolve) => (wake = resolve));
      if (cancelled) return;
      credits--;
      // A copy is structured-cloned; a buffer of its own is handed over.
      const own = bytes.byteLength === bytes.buffer.byteLength ? [bytes.buffer as ArrayBuffer] : [];
      port.postMessage({ bytes } satisfies ToReader, own);
    }
    port.postMessage({ end: true } satisfies ToReader);
  } catch (error) {
    port.postMessage({ error: toErrorRecord(error) } satisfies ToReader);
  } finally {
    port.off('message', onMessage);
    port.off('close', onClose);
  }
}

/** What the other side sends. Leaving the loop early cancels the sender. */
export async function* receiveStream(port: MessagePort): AsyncGenerator<Uint8Array> {
  const queue: ToReader[] = [];
  let closed = false;
  let wake: () => void = () => {};
  port.on('message', (message: ToReader) => {
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
      yield message.bytes;
      port.postMessage({ credit: true } satisfies ToWriter);
    }
  } finally {
    port.postMessage({ cancel: true } satisfies ToWriter);
    port.close();
  }
}
