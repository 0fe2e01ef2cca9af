/** A queue on the disk: what was acknowledged is there after whatever ended the process, in its order, and nothing else is. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { DiskQueue, surveyQueue, type QueueDamage } from '../../src/storage/queue/disk-queue.ts';
import { MAX_PAYLOAD_BYTES } from '../../src/storage/queue/queue-record.ts';

let folder: string;
let damages: QueueDamage[];
let opened: DiskQueue[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'varve-queue-'));
  damages = [];
  opened = [];
});

afterEach(async () => {
  for (const queue of opened) await queue.close();
  rmSync(folder, { recursive: true });
});

async function openQueue(at = folder, segmentBytes = 1024): Promise<DiskQueue> {
  const queue = await DiskQueue.open(at, { segmentBytes, onDamage: (damage) => damages.push(damage) });
  opened.push(queue);
  return queue;
}

async function close(queue: DiskQueue): Promise<void> {
  opened.splice(opened.indexOf(queue), 1);
  await queue.close();
}

const entries = (...texts: string[]) => texts.map((text) => ({ kind: 1, payload: Buffer.from(text) }));
const segments = (): string[] => readdirSync(folder).filter((name) => name.endsWith('.queue'));

async function textsBehind(queue: DiskQueue, after: bigint, mostRecords = 1000): Promise<string[]> {
  const records = await queue.read(after, { mostRecords, mostBytes: 1e6 });
  return records.map(({ sequence, payload }) => `${sequence} ${Buffer.from(payload).toString()}`);
}

describe('a queue on the disk', () => {
  test('gives what was appended in its order, also after another start, and goes on counting', async () => {
    const queue = await openQueue();
    expect(await queue.append(entries('a', 'b'))).toBe(2n);
    expect(await Promise.all([queue.append(entries('c')), queue.append(entries('d', 'é'))])).toEqual([3n, 5n]);
    expect(await textsBehind(queue, 0n, 2)).toEqual(['1 a', '2 b']);
    expect(await textsBehind(queue, 2n)).toEqual(['3 c', '4 d', '5 é']);
    await close(queue);
    const again = await openQueue();
    expect(await textsBehind(again, 1n)).toEqual(['2 b', '3 c', '4 d', '5 é']);
    expect(await again.append(entries('f'))).toBe(6n);
    expect(await surveyQueue(folder, 4n)).toMatchObject({ records: 2, oldestMs: expect.any(Number) });
    expect(damages).toEqual([]);
  });

  test('that was cut off at any byte has whole appends, all of those before, and takes more', async () => {
    const queue = await openQueue(folder, 1e6);
    await queue.append(entries('first'));
    const [name] = segments();
    const before = readFileSync(join(folder, name)).length;
    await queue.append(entries('second', 'third'), 'mark 1');
    await close(queue);
    const whole = readFileSync(join(folder, name));
    const copy = mkdtempSync(join(tmpdir(), 'varve-queue-cut-'));
    try {
      for (let length = 0; length <= whole.length; length += 3) {
        writeFileSync(join(copy, name), whole.subarray(0, length));
        const cut = await openQueue(copy, 1e6);
        const expected =
          length < before ? [] : length < whole.length ? ['1 first'] : ['1 first', '2 second', '3 third'];
        expect([length, await textsBehind(cut, 0n), cut.mark]).toEqual([
          length,
          expected,
          expected[2] ? 'mark 1' : null,
        ]);
        const next = await cut.append(entries('next'));
        expect(await textsBehind(cut, next - 1n)).toEqual([`${expected.length + 1} next`]);
        await close(cut);
      }
    } finally {
      rmSync(copy, { recursive: true });
    }
    expect(damages.every(({ kind }) => kind === 'cut')).toBe(true);
    expect(damages.length).toBeGreaterThan(50);
  });

  test('passes over a record that is damaged, says so, keeps a copy, and gives all others', async () => {
    const queue = await openQueue(folder, 1e6);
    for (const text of ['one', 'two', 'three']) await queue.append(entries(text));
    await close(queue);
    const path = join(folder, segments()[0]);
    const bytes = readFileSync(path);
    bytes[bytes.indexOf('two')] ^= 1;
    writeFileSync(path, bytes);
    const again = await openQueue(folder, 1e6);
    expect(await textsBehind(again, 0n)).toEqual(['1 one', '3 three']);
    expect(damages).toEqual([{ kind: 'damaged', path: `${path}.damaged`, bytes: 43 }]);
    expect(readFileSync(`${path}.damaged`).equals(bytes)).toBe(true);
    expect(await again.append(entries('four'))).toBe(4n);
  });

  test('lets go of segments that are released, and keeps its mark, its origins and its count without them', async () => {
    const queue = await openQueue(folder, 300);
    await queue.append([{ kind: 1, payload: Buffer.from('from a broker'), origin: 77n }], 'so far');
    for (let at = 0; at < 20; at++) await queue.append(entries('x'.repeat(100)));
    expect(segments().length).toBeGreaterThan(5);
    const held = queue.bytes;
    await queue.release(21n);
    expect(segments().length).toBe(1);
    expect(queue.bytes).toBeLessThan(held / 5);
    await close(queue);
    const again = await openQueue(folder, 300);
    expect([again.last, again.mark, again.knows(77n), again.knows(78n)]).toEqual([21n, 'so far', true, false]);
    expect(await textsBehind(again, 21n)).toEqual([]);
    expect(await again.append(entries('y'))).toBe(22n);
    expect(await textsBehind(again, 21n)).toEqual(['22 y']);
  });

  test('is of one process at a time', async () => {
    await openQueue();
    await expect(openQueue()).rejects.toMatchObject({ code: 'conflict', slug: 'queue-in-use' });
  });

  test('gives large records one by one, and takes none that it could not give', async () => {
    const queue = await openQueue(folder, 1e6);
    const large = Buffer.alloc(MAX_PAYLOAD_BYTES, 'z');
    await queue.append([{ kind: 1, payload: large }]);
    await queue.append([{ kind: 2, payload: large }]);
    const limits = { mostRecords: 10, mostBytes: 100 };
    for (const [after, kind] of [
      [0n, 1],
      [1n, 2],
    ] as const) {
      const [record, ...rest] = await queue.read(after, limits);
      expect([record.kind, rest.length, large.equals(record.payload)]).toEqual([kind, 0, true]);
    }
    const tooLarge = queue.append([{ kind: 1, payload: Buffer.alloc(MAX_PAYLOAD_BYTES + 1) }]);
    await expect(tooLarge).rejects.toMatchObject({ slug: 'record-too-large' });
    expect(queue.last).toBe(2n);
  });

  test('is not misled by a segment that was begun and never written', async () => {
    const queue = await openQueue(folder, 100);
    await queue.append(entries('a'.repeat(100)), 'kept');
    await close(queue);
    writeFileSync(join(folder, `${'2'.padStart(20, '0')}.queue`), '');
    const again = await openQueue(folder, 100);
    expect([again.last, again.mark]).toEqual([1n, 'kept']);
    expect(await again.append(entries('b'))).toBe(2n);
    expect(await textsBehind(again, 1n)).toEqual(['2 b']);
  });
});
