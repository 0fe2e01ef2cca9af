import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { parseRate } from '../../src/core/signal/rate.ts';
import { importedSpec } from '../../src/formats/recordings/imported-series.ts';
import { Backpressure, type BackpressureLimits, type Upload } from '../../src/flows/append/backpressure.ts';
import { freeBytes } from '../../src/storage/folder/disk-space.ts';
import { hasTestPostgres } from '../support/postgres.ts';
import { Store } from './store.ts';

const MB = 1024 * 1024;
/** As long as numbers count as fresh. */
const FRESH_MS = 1_000;

let store: Store;

beforeEach(async () => {
  if (hasTestPostgres()) store = await Store.open();
});

afterEach(() => store?.close());

/** @param values appended one row each; a row has 4 bytes */
async function appended(values: readonly number[]): Promise<void> {
  const sampling = { kind: 'regular' as const, rate: parseRate(100)!, startNs: 0n };
  const channels = [{ label: '0' }];
  const spec = importedSpec({ name: 'r', dtype: 'int32', channels, sampling, duplicates: 'last', provenance: {} });
  const series = await store.create(spec);
  for (const value of values) await store.append(series, { values: Int32Array.of(value), times: null });
}

const suite = hasTestPostgres() ? describe : describe.skip;

function open(limits: Partial<BackpressureLimits>): Backpressure {
  return new Backpressure(store.db, store.root, {
    maxFreshBytes: 1000 * MB,
    maxFreshChunks: 1000,
    minFreeBytes: 0,
    ...limits,
  });
}

const backlogFull = { code: 'unavailable', slug: 'backlog-full', retryAfterS: expect.any(Number) };
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function* pieces(count: number, bytes: number): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < count; i++) yield new Uint8Array(bytes);
}

/** The same piece again and again: what is counted need not be made. */
async function* same(piece: Uint8Array, count: number): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < count; i++) yield piece;
}

async function drained(body: AsyncIterable<Uint8Array>): Promise<number> {
  let bytes = 0;
  for await (const piece of body) bytes += piece.byteLength;
  return bytes;
}

suite('the backlog', () => {
  test.each<[string, Partial<BackpressureLimits>]>([
    ['writes', { maxFreshChunks: 3 }],
    ['bytes', { maxFreshBytes: 3 * 4 }],
  ])(
    'is bounded in %s: an append is refused before its body, and let in again once a flush has made room',
    async (_, limits) => {
      const backpressure = open(limits);
      for (let write = 0; write < 3; write++) {
        (await backpressure.admit(4)).end();
        await backpressure.confirm(4);
      }
      await appended([0, 1, 2]);
      await expect(backpressure.admit(4)).rejects.toMatchObject(backlogFull);
      await pause(FRESH_MS);
      await expect(backpressure.admit(4)).rejects.toMatchObject(backlogFull);
      await store.flush();
      await pause(FRESH_MS);
      (await backpressure.admit(4)).end();
      expect(backpressure.refused.get('backlog-full')).toBe(2);
    },
  );

  test('of another process counts', async () => {
    await appended([1, 2, 3]);
    await expect(open({ maxFreshBytes: 12 }).admit(4)).rejects.toMatchObject(backlogFull);
    (await open({ maxFreshBytes: 13 }).admit(4)).end();
  });

  test('is not overshot by appends that were let in together', async () => {
    const backpressure = open({ maxFreshBytes: 10 * MB });
    const uploads = await Promise.all(Array.from({ length: 20 }, () => backpressure.admit(MB)));
    for (const upload of uploads) upload.end();
    const confirmed = await Promise.allSettled(uploads.map(() => backpressure.confirm(MB)));
    expect(confirmed.filter(({ status }) => status === 'fulfilled')).toHaveLength(10);
  });

  test('counts large appends that are on their way, and lets small ones in beside them', async () => {
    const backpressure = open({ maxFreshBytes: 10 * MB });
    const large = await backpressure.admit(11 * MB);
    await drained(large.count(pieces(6, MB)));
    await expect(backpressure.admit(2 * MB)).rejects.toMatchObject(backlogFull);
    await expect(backpressure.admit(null)).rejects.toMatchObject(backlogFull);
    const small = await backpressure.admit(1000);
    large.end();
    (await backpressure.admit(2 * MB)).end();
    small.end();
  });

  test('counts what has come of bodies that do not say how long they are', async () => {
    const backpressure = open({ maxFreshBytes: 10 * MB });
    const silent = await backpressure.admit(null);
    expect(await drained(silent.count(pieces(11, MB)))).toBe(11 * MB);
    await expect(backpressure.admit(null)).rejects.toMatchObject(backlogFull);
    silent.end();
    (await backpressure.admit(null)).end();
  });
});

suite('uploads', () => {
  const tooMany = { code: 'unavailable', slug: 'too-many-uploads' };

  test('that bring nothing, or little, keep nobody out', async () => {
    const backpressure = open({ minFreeBytes: 1, maxFreshBytes: Number.MAX_SAFE_INTEGER });
    const announced = Math.floor((await freeBytes(store.root)) / 4);
    const silent = await Promise.all(Array.from({ length: 2000 }, () => backpressure.admit(announced)));
    await Promise.all(silent.map((upload) => drained(upload.count(pieces(1, 1000)))));
    expect(backpressure.uploads).toBe(2000);
    const other = await backpressure.admit(announced);
    expect(await drained(other.count(pieces(10, MB)))).toBe(10 * MB);
    for (const upload of [...silent, other]) upload.end();
    expect(backpressure.uploads).toBe(0);
  });

  test('of large bodies are bounded in number; small ones are taken beside them', async () => {
    const backpressure = open({});
    const uploads = await Promise.all(Array.from({ length: 257 }, () => backpressure.admit(null)));
    const settled = await Promise.allSettled(uploads.map((upload) => drained(upload.count(pieces(2, MB)))));
    expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(256);
    expect(settled.find(({ status }) => status === 'rejected')).toMatchObject({ reason: tooMany });
    const small = await backpressure.admit(64 * 1024);
    expect(await drained(small.count(pieces(1, 64 * 1024)))).toBe(64 * 1024);
    uploads.forEach((upload) => upload.end());
    const large = await backpressure.admit(null);
    expect(await drained(large.count(pieces(2, 64 * 1024)))).toBe(128 * 1024);
  });

  test('of large bodies are half as many where the limit is', async () => {
    const backpressure = open({ maxUploads: 3 });
    const uploads = await Promise.all(Array.from({ length: 4 }, () => backpressure.admit(null)));
    const settled = await Promise.allSettled(uploads.map((upload) => drained(upload.count(pieces(2, MB)))));
    expect(settled.map(({ status }) => status).sort()).toEqual(['fulfilled', 'fulfilled', 'fulfilled', 'rejected']);
    expect(settled.find(({ status }) => status === 'rejected')).toMatchObject({ reason: tooMany });
  });

  test.each([1024, 512])('take %i MiB of memory at most, with what is made of them', async (most) => {
    const backpressure = open({ maxFreshBytes: Number.MAX_SAFE_INTEGER, maxBodyBytes: most * MB });
    const block = new Uint8Array(MB);
    const admitted = (await Promise.all(
      Array.from({ length: 3 }, () => backpressure.admit(null, { mostHeld: 32 * MB, copies: most / 32 / 2 })),
    )) as [Upload, Upload, Upload];
    const [first, second, third] = admitted;
    const body = (count: number): AsyncGenerator<Uint8Array> => same(block, count);
    expect(await drained(first.count(body(32)))).toBe(32 * MB);
    // Half of the memory has the first; large ones fill seven eighths.
    await expect(drained(second.count(body(25)))).rejects.toMatchObject(tooMany);
    second.end();
    const fits = await backpressure.admit(null, { mostHeld: 32 * MB, copies: most / 32 / 2 });
    expect(await drained(fits.count(body(24)))).toBe(24 * MB);
    await expect(drained(third.count(body(2)))).rejects.toMatchObject(tooMany);
    third.end();
    // What is small finds room beside them.
    const small = await backpressure.admit(null, { mostHeld: 32 * MB, copies: 16 });
    expect(await drained(small.count(same(new Uint8Array(1000), 10)))).toBe(10_000);
    first.end();
    fits.end();
    expect(await drained((await backpressure.admit(null)).count(body(100)))).toBe(100 * MB);
  });

  test('that are small are refused, too, when nothing is left', async () => {
    const backpressure = open({ maxBodyBytes: MB });
    const small = { mostHeld: 32 * MB, copies: 1 };
    const first = await backpressure.admit(null, small);
    await drained(first.count(same(new Uint8Array(1024), 700)));
    const second = await backpressure.admit(null, small);
    await expect(drained(second.count(same(new Uint8Array(1024), 700)))).rejects.toMatchObject(tooMany);
    first.end();
    second.end();
    await drained((await backpressure.admit(null, small)).count(same(new Uint8Array(1024), 700)));
  });

  test('that are too large for the memory have it alone', async () => {
    const backpressure = open({ maxBodyBytes: MB });
    const upload = await backpressure.admit(null, { mostHeld: 32 * MB, copies: 1 });
    expect(await drained(upload.count(pieces(8, MB)))).toBe(8 * MB);
    const other = await backpressure.admit(null);
    await expect(drained(other.count(pieces(1, 1000)))).rejects.toMatchObject(tooMany);
  });
});

suite('the disk', () => {
  const nearlyFull = { code: 'storage-full', slug: 'disk-nearly-full' };

  test('keeps a reserve: appends are refused when less would be left', async () => {
    const free = await freeBytes(store.root);
    await expect(open({ minFreeBytes: 2 * free }).admit(10)).rejects.toMatchObject(nearlyFull);
    (await open({ minFreeBytes: 1 }).admit(10)).end();
    (await open({ minFreeBytes: 0 }).admit(10 * free)).end();
  });

  test('must hold what is announced twice, in the spool and in a shard', async () => {
    const backpressure = open({ minFreeBytes: 1, maxFreshBytes: Number.MAX_SAFE_INTEGER });
    const free = await freeBytes(store.root);
    await expect(backpressure.admit(0.6 * free)).rejects.toMatchObject(nearlyFull);
    const first = await backpressure.admit(0.4 * free);
    (await backpressure.admit(0.4 * free)).end();
    // Half of what was announced has come.
    const block = { byteLength: 0.2 * free } as Uint8Array;
    for await (const _ of first.count(
      (async function* () {
        yield block;
      })(),
    ));
    await expect(backpressure.admit(0.4 * free)).rejects.toMatchObject(nearlyFull);
    first.end();
    (await backpressure.admit(0.4 * free)).end();
  });

  test('is looked at again while a body comes that did not announce itself', async () => {
    const free = await freeBytes(store.root);
    const backpressure = open({ minFreeBytes: Math.max(1, free - 64 * MB) });
    const upload = await backpressure.admit(null);
    await expect(drained(upload.count(pieces(100, MB)))).rejects.toMatchObject(nearlyFull);
    upload.end();
    expect(backpressure.uploads).toBe(0);
  });
});
