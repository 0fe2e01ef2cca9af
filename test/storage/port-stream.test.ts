import { describe, expect, test } from '@jest/globals';
import { MessageChannel } from 'node:worker_threads';
import fc from 'fast-check';
import { VarveError } from '../../src/core/errors.ts';
import { receiveStream, sendStream } from '../../src/storage/threads/port-stream.ts';

/** More pieces under way than this would not be a window. */
const MOST_UNDER_WAY = 5;

async function* sourceOf(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces;
}

/** As good as endless. */
const MANY = 10_000;

/** Many numbered pieces, and what became of them. */
function counter(): { source: AsyncGenerator<Uint8Array>; made: () => number; stopped: Promise<void> } {
  let made = 0;
  let stop: () => void;
  const stopped = new Promise<void>((resolve) => (stop = resolve));
  async function* source(): AsyncGenerator<Uint8Array> {
    try {
      while (made < MANY) yield Uint8Array.of(made++);
    } finally {
      stop();
    }
  }
  return { source: source(), made: () => made, stopped };
}

/** Long enough for messages to cross many times over. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
}

test('what is sent arrives, in order and whole', async () => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 20 }),
    fc.uint8Array({ minLength: 4, maxLength: 20 }).map((bytes) => bytes.subarray(1, 3)),
    fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 15 }), async (pieces) => {
      const expected = pieces.map((bytes) => [...bytes]);
      const { port1, port2 } = new MessageChannel();
      const sending = sendStream(port1, sourceOf(pieces));
      const received: number[][] = [];
      for await (const bytes of receiveStream(port2)) received.push([...bytes]);
      await sending;
      expect(received).toEqual(expected);
    }),
    { numRuns: 50 },
  );
});

test('a part of a buffer is copied, a buffer of its own is handed over', async () => {
  const whole = new Uint8Array(1000).fill(7);
  const part = new Uint8Array(1000).fill(9).subarray(10, 20);
  const { port1, port2 } = new MessageChannel();
  const sending = sendStream(port1, sourceOf([whole, part]));
  const lengths: number[] = [];
  for await (const bytes of receiveStream(port2)) lengths.push(bytes.length);
  await sending;
  expect(lengths).toEqual([1000, 10]);
  expect(whole.length).toBe(0);
  expect(part).toEqual(new Uint8Array(10).fill(9));
});

test('a slow reader holds the source back', async () => {
  const { port1, port2 } = new MessageChannel();
  const { source, made, stopped } = counter();
  const sending = sendStream(port1, source);
  let taken = 0;
  for await (const bytes of receiveStream(port2)) {
    expect(bytes[0]).toBe(taken++);
    await settle();
    expect(made()).toBeLessThanOrEqual(taken + MOST_UNDER_WAY);
    if (taken === 30) break;
  }
  await stopped;
  await sending;
});

test('nothing is asked of the source beyond the window before the reader begins', async () => {
  const { port1, port2 } = new MessageChannel();
  const { source, made, stopped } = counter();
  const sending = sendStream(port1, source);
  await settle();
  expect(made()).toBeLessThanOrEqual(MOST_UNDER_WAY);
  port2.close();
  await stopped;
  await sending;
});

test('with a window of one, plain data are made when the one before has been worked off', async () => {
  const { port1, port2 } = new MessageChannel();
  let made = 0;
  async function* source(): AsyncGenerator<{ number: number; at: bigint }> {
    while (made < 5) yield { number: made++, at: 2n ** 62n };
  }
  const sending = sendStream(port1, source(), 1);
  let taken = 0;
  for await (const item of receiveStream<{ number: number; at: bigint }>(port2)) {
    expect(item).toEqual({ number: taken++, at: 2n ** 62n });
    await settle();
    expect(made).toBe(taken);
  }
  expect(taken).toBe(5);
  await sending;
});

describe('the source is stopped', () => {
  test.each([0, 1, 3, 10])('when the reader leaves after %s pieces', async (count) => {
    const { port1, port2 } = new MessageChannel();
    const { source, made, stopped } = counter();
    const sending = sendStream(port1, source);
    let taken = 0;
    const stream = receiveStream(port2);
    while (taken < count) {
      await stream.next();
      taken++;
    }
    if (count === 0) port2.close();
    await stream.return(undefined);
    await stopped;
    await sending;
    expect(made()).toBeLessThan(MANY);
  });

  test('when the other side is gone', async () => {
    const { port1, port2 } = new MessageChannel();
    const { source, made, stopped } = counter();
    const sending = sendStream(port1, source);
    port2.close();
    await stopped;
    await sending;
    expect(made()).toBeLessThan(MANY);
  });
});

describe('an error of the source reaches the reader', () => {
  async function caught(error: unknown): Promise<{ received: number; error: unknown }> {
    const { port1, port2 } = new MessageChannel();
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield Uint8Array.of(1);
      yield Uint8Array.of(2);
      throw error;
    }
    const sending = sendStream(port1, failing());
    let received = 0;
    try {
      for await (const bytes of receiveStream(port2)) received += bytes.length;
    } catch (found) {
      await sending;
      return { received, error: found };
    }
    throw new Error('no error came');
  }

  test('after what came before it, with all its fields', async () => {
    const errors = [{ field: 'values[3]', message: 'must be a number' }];
    const thrown = new VarveError('unavailable', 'too busy', { slug: 'busy', errors, retryAfterS: 7 });
    const { received, error } = await caught(thrown);
    expect(received).toBe(2);
    expect(error).toBeInstanceOf(VarveError);
    expect(error).toMatchObject({ code: 'unavailable', message: 'too busy', slug: 'busy', errors, retryAfterS: 7 });
  });

  test.each<[string, unknown, object]>([
    [
      "with the system's code",
      Object.assign(new Error('no space'), { code: 'ENOSPC' }),
      { code: 'ENOSPC', message: 'no space' },
    ],
    ['with its message', new RangeError('out of range'), { message: 'out of range' }],
    ['even if it is none', 'just a text', { message: 'just a text' }],
    ['even if it is nothing', undefined, { message: 'undefined' }],
  ])('%s', async (_, thrown, fields) => {
    const { error } = await caught(thrown);
    expect(error).toMatchObject(fields);
    expect(error).not.toHaveProperty('slug');
  });
});

describe('a reader whose writer is gone', () => {
  test('is told, after what had been sent', async () => {
    const { port1, port2 } = new MessageChannel();
    port1.postMessage({ item: Uint8Array.of(1) });
    port1.close();
    const stream = receiveStream(port2);
    expect((await stream.next()).value).toEqual(Uint8Array.of(1));
    await expect(stream.next()).rejects.toThrow('ended in the middle');
  });

  test('is told while it waits', async () => {
    const { port1, port2 } = new MessageChannel();
    const next = receiveStream(port2).next();
    setImmediate(() => port1.close());
    await expect(next).rejects.toThrow('ended in the middle');
  });
});
