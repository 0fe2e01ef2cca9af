/** What the codec pool's tests run in its threads. */
import type { MessagePort } from 'node:worker_threads';
import { VarveError } from '../../src/core/errors.ts';
import { outcome, type Outcome } from '../../src/storage/threads/outcome.ts';
import { receiveStream, sendStream } from '../../src/storage/threads/port-stream.ts';

export interface CountTask {
  readonly pieces: number;
  /** [0]: pieces made, [1]: 1 once the source has been stopped. */
  readonly seen: Int32Array;
}

type WithPort<T> = T & { readonly port: MessagePort };

/** Sends numbered pieces of four bytes. */
export async function count({ port, pieces, seen }: WithPort<CountTask>): Promise<void> {
  async function* source(): AsyncGenerator<Uint8Array> {
    try {
      for (let i = 0; i < pieces; i++) {
        Atomics.add(seen, 0, 1);
        yield new Uint8Array(Int32Array.of(i).buffer);
      }
    } finally {
      Atomics.store(seen, 1, 1);
    }
  }
  await sendStream(port, source());
}

/** Sends back the numbers of its parts, as bytes. */
export async function echo({ port, parts }: WithPort<{ readonly parts: MessagePort }>): Promise<void> {
  async function* source(): AsyncGenerator<Uint8Array> {
    for await (const { number } of receiveStream<{ number: number }>(parts)) yield Uint8Array.of(number);
  }
  await sendStream(port, source());
}

async function* refusing(): AsyncGenerator<Uint8Array> {
  yield Uint8Array.of(1);
  throw refusal();
}

function refusal(): VarveError {
  const errors = [{ field: 'body', message: 'is torn' }];
  return new VarveError('unprocessable', 'body: is torn', { slug: 'torn', errors });
}

/** Sends one byte and an error. */
export async function sendError({ port }: WithPort<object>): Promise<void> {
  await sendStream(port, refusing());
}

/** Adds up the bytes of a body, resting after each piece. */
export function sum({ port, restMs }: WithPort<{ restMs: number }>): Promise<Outcome<{ total: number }>> {
  return outcome(
    (async () => {
      let total = 0;
      for await (const bytes of receiveStream(port)) {
        for (const byte of bytes) total += byte;
        await new Promise((resolve) => setTimeout(resolve, restMs));
      }
      return { total };
    })(),
  );
}

/** Refuses a body after its first piece. */
export function refuse({ port }: WithPort<object>): Promise<Outcome<never>> {
  return outcome(
    (async () => {
      await receiveStream(port).next();
      throw refusal();
    })(),
  );
}

/** Ends its thread in the middle. */
export async function die({ port }: WithPort<object>): Promise<void> {
  port.postMessage({ bytes: Uint8Array.of(1) });
  await new Promise((resolve) => setTimeout(resolve, 20));
  process.exit(3);
}

/** Needs no port. */
export function double({ number }: { number: number }): Promise<Outcome<number>> {
  return outcome(number < 0 ? Promise.reject(refusal()) : Promise.resolve(number * 2));
}

/** Says that the thread turns to what it is given. */
export function ping(): void {}
