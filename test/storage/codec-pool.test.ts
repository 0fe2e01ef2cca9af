import { afterAll, describe, expect, test } from '@jest/globals';
import { VarveError } from '../../src/core/errors.ts';
import { CodecPool } from '../../src/storage/threads/codec-pool.ts';
import { count, die, double, echo, refuse, sendError, sum, type CountTask } from './codec-entry.ts';

const pool = new CodecPool(new URL('./codec-entry.js', import.meta.url), 2);
afterAll(() => pool.close());

/** More pieces under way than this would not be a window. */
const MOST_UNDER_WAY = 5;
const REFUSAL = {
  code: 'unprocessable',
  slug: 'torn',
  message: 'body: is torn',
  errors: [{ field: 'body', message: 'is torn' }],
};

function countTask(pieces: number): CountTask {
  return { pieces, seen: new Int32Array(new SharedArrayBuffer(8)) };
}

const rest = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await rest(5);
}

async function totalOf(task: CountTask): Promise<number> {
  let received = 0;
  for await (const bytes of pool.stream(count.name, task)) {
    expect(new Int32Array(bytes.slice().buffer)[0]).toBe(received++);
  }
  return received;
}

describe('parts into a thread, and a stream out of it', () => {
  async function* numbers(upTo: number, atEnd: () => void = () => {}): AsyncGenerator<{ number: number }> {
    try {
      for (let number = 0; number < upTo; number++) yield { number };
    } finally {
      atEnd();
    }
  }

  test('come in order and whole, also many at once', async () => {
    const all = await Promise.all(
      Array.from({ length: 40 }, async (_, i) => {
        const received: number[] = [];
        for await (const bytes of pool.pipe(echo.name, {}, numbers(i))) received.push(...bytes);
        return received;
      }),
    );
    expect(all).toEqual(Array.from({ length: 40 }, (_, i) => Array.from({ length: i }, (__, number) => number)));
  });

  test('come to their end though each needs a step of the same pool, however many there are', async () => {
    const own = new CodecPool(new URL('./codec-entry.js', import.meta.url), 1);
    async function* stepped(): AsyncGenerator<{ number: number }> {
      for (let number = 0; number < 3; number++) yield { number: await own.run<number>(double.name, { number }) };
    }
    const all = await Promise.all(
      Array.from({ length: 100 }, async () => {
        const received: number[] = [];
        for await (const bytes of own.pipe(echo.name, {}, stepped())) received.push(...bytes);
        return received;
      }),
    );
    await own.close();
    expect(all).toEqual(all.map(() => [0, 2, 4]));
  });

  test('what a part fails of comes out as it is', async () => {
    const torn = new VarveError('unprocessable', 'body: is torn', { slug: 'torn' });
    async function* failing(): AsyncGenerator<{ number: number }> {
      yield { number: 1 };
      throw torn;
    }
    const piped = pool.pipe(echo.name, {}, failing());
    expect((await piped.next()).value).toEqual(Uint8Array.of(1));
    const caught = await piped.next().catch((error: unknown) => error);
    expect(caught).toMatchObject({ code: 'unprocessable', slug: 'torn' });
    expect(caught).toBe(torn);
  });

  test('no more parts are made when the reader leaves', async () => {
    let hasEnded = false;
    for await (const bytes of pool.pipe(
      echo.name,
      {},
      numbers(1_000_000_000, () => (hasEnded = true)),
    )) {
      expect(bytes).toHaveLength(1);
      break;
    }
    await until(() => hasEnded);
  });
});

describe('a stream out of a thread', () => {
  test('comes in order and whole, also many at once', async () => {
    const tasks = Array.from({ length: 40 }, (_, i) => countTask(i * 5));
    expect(await Promise.all(tasks.map(totalOf))).toEqual(tasks.map(({ pieces }) => pieces));
  });

  test('is made no faster than it is read', async () => {
    const task = countTask(1000);
    let taken = 0;
    for await (const bytes of pool.stream(count.name, task)) {
      taken += bytes.length / 4;
      await rest(5);
      expect(Atomics.load(task.seen, 0)).toBeLessThanOrEqual(taken + MOST_UNDER_WAY);
      if (taken === 20) break;
    }
  });

  test('keeps no other waiting when nobody reads it, however many there are', async () => {
    const own = new CodecPool(new URL('./codec-entry.js', import.meta.url), 1);
    const unread = Array.from({ length: 200 }, () => own.stream(count.name, countTask(1_000_000_000)));
    await Promise.all(unread.map((stream) => stream.next()));
    expect(await own.run(double.name, { number: 21 })).toBe(42);
    let received = 0;
    for await (const _ of own.stream(count.name, countTask(100))) received++;
    expect(received).toBe(100);
    await Promise.all(unread.map((stream) => stream.return(undefined)));
    await own.close();
  });

  test('stops when its signal aborts, though nobody reads it', async () => {
    const task = countTask(1_000_000_000);
    const leaving = new AbortController();
    const stream = pool.stream(count.name, task, leaving.signal);
    await stream.next();
    leaving.abort();
    await until(() => Atomics.load(task.seen, 1) === 1);
    const rest = (async () => {
      while (!(await stream.next()).done);
    })();
    await expect(rest).rejects.toMatchObject({ name: 'AbortError' });
  });

  test('stops when its reader leaves', async () => {
    const task = countTask(1_000_000_000);
    for await (const bytes of pool.stream(count.name, task)) {
      expect(bytes).toHaveLength(4);
      break;
    }
    await until(() => Atomics.load(task.seen, 1) === 1);
  });

  test('ends in the error of its source, with all its fields', async () => {
    const stream = pool.stream(sendError.name, {});
    expect((await stream.next()).value).toHaveLength(1);
    await expect(stream.next()).rejects.toMatchObject(REFUSAL);
  });
});

describe('a body into a thread', () => {
  async function* bodyOf(pieces: number, seen: { made: number; stopped: boolean }): AsyncGenerator<Uint8Array> {
    try {
      for (let i = 0; i < pieces; i++) {
        seen.made++;
        yield Uint8Array.of(1, 2);
      }
    } finally {
      seen.stopped = true;
    }
  }

  test('gives back what the function makes of it', async () => {
    const seen = { made: 0, stopped: false };
    expect(await pool.feed(sum.name, { restMs: 0 }, bodyOf(100, seen))).toEqual({ total: 300 });
    expect(seen).toEqual({ made: 100, stopped: true });
  });

  test('is taken no faster than the function reads', async () => {
    const seen = { made: 0, stopped: false };
    const began = Date.now();
    const total = pool.feed(sum.name, { restMs: 40 }, bodyOf(30, seen));
    await rest(200);
    expect(seen.made).toBeLessThanOrEqual((Date.now() - began) / 40 + 1 + MOST_UNDER_WAY);
    expect(await total).toEqual({ total: 90 });
  });

  test('that is refused is not read to its end, and the refusal has all its fields', async () => {
    const seen = { made: 0, stopped: false };
    await expect(pool.feed(refuse.name, {}, bodyOf(1_000_000, seen))).rejects.toMatchObject(REFUSAL);
    await until(() => seen.stopped);
    expect(seen.made).toBeLessThan(100);
  });

  test('that breaks off is an error of its own, not the end of the data', async () => {
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield Uint8Array.of(1);
      throw Object.assign(new Error('aborted'), { code: 'ECONNRESET' });
    }
    await expect(pool.feed(sum.name, { restMs: 0 }, broken())).rejects.toMatchObject({ code: 'ECONNRESET' });
  });

  test('whose rest never comes does not keep its refusal back', async () => {
    let give: () => void = () => {};
    async function* stuck(): AsyncGenerator<Uint8Array> {
      yield Uint8Array.of(1);
      await new Promise<void>((resolve) => (give = resolve));
    }
    await expect(pool.feed(refuse.name, {}, stuck())).rejects.toMatchObject(REFUSAL);
    give();
  });
});

test('a call without a stream gives its result or its error', async () => {
  expect(await pool.run(double.name, { number: 21 })).toBe(42);
  await expect(pool.run(double.name, { number: -1 })).rejects.toMatchObject(REFUSAL);
});

describe('a thread that dies', () => {
  const own = new CodecPool(new URL('./codec-entry.js', import.meta.url), 1);
  afterAll(() => own.close());

  /** A call that the dying thread was still given is lost with it; those after are not. */
  async function expectReplaced(): Promise<void> {
    while ((await own.run(double.name, { number: 2 }).catch(() => null)) === null) await rest(5);
  }

  test('ends its streams in an error, and is replaced', async () => {
    const stream = own.stream(die.name, {});
    await stream.next();
    await expect(stream.next()).rejects.toThrow();
    await expectReplaced();
  });

  test('ends the calls that feed it', async () => {
    async function* body(): AsyncGenerator<Uint8Array> {
      for (;;) {
        yield Uint8Array.of(1);
        await rest(1);
      }
    }
    await expect(own.feed(die.name, {}, body())).rejects.toThrow();
    await expectReplaced();
  });

  test('an unknown function is an error', async () => {
    await expect(own.stream('nobody', {}).next()).rejects.toThrow();
    await expect(own.run('nobody', {})).rejects.toThrow();
  });
});

test('a pool that is closed ends its streams', async () => {
  const own = new CodecPool(new URL('./codec-entry.js', import.meta.url), 1);
  const task = countTask(1_000_000_000);
  const stream = own.stream(count.name, task);
  await stream.next();
  await own.close();
  const drained = (async () => {
    while (!(await stream.next()).done);
  })();
  await expect(drained).rejects.toThrow();
});
