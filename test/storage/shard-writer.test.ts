import { afterAll, describe, expect, test } from '@jest/globals';
import { createHash, randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { DTYPE_NAMES } from '../../src/core/dtype.ts';
import { journalPath } from '../../src/storage/journal.ts';
import type { CommitPart, CommitRequest } from '../../src/storage/shard-commit.ts';
import { ShardWriter } from '../../src/storage/shard-writer.ts';
import { describePython } from '../support/python.ts';
import { withFileSizeLimit } from './file-size-limit.ts';
import { dumpBytes, dumpHeader } from './h5dump.ts';
import { expectAsPublished } from './h5py-dump.ts';
import { ModelSeries, ModelShard, temporaryRoot, type PartShape, type SeriesShape } from './model-shard.ts';
import { describeProgram } from './program.ts';

const root = temporaryRoot();
const writer = new ShardWriter(2);

afterAll(async () => {
  await writer.close();
  root.remove();
});

async function commit(shard: ModelShard, ...appends: [ModelSeries, PartShape[]][]): Promise<void> {
  const { request, publish } = shard.plan(appends);
  publish(await writer.commit(request));
}

function shardOf(...shapes: SeriesShape[]): ModelShard {
  return new ModelShard(
    root,
    shapes.map((shape) => new ModelSeries(shape)),
  );
}

/** What is made once, by the first test that needs it. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}

/** All ten types, alone and of three channels, regular and irregular, in five commits with growing tail chunks. */
const everyType = once(async () => {
  const shard = shardOf(
    ...DTYPE_NAMES.flatMap((dtype) =>
      [1, 3].flatMap((channels) => [false, true].map((irregular) => ({ dtype, channels, irregular }))),
    ),
  );
  const chunkfuls = (series: ModelSeries, chunks: number): number => Math.ceil((16_384 / series.rowBytes) * chunks);
  const rounds: ((series: ModelSeries) => PartShape[])[] = [
    () => [{ rows: 100, seed: 1 }],
    (series) => [
      { rows: 1, seed: 2 },
      { rows: 50, seed: 3, gapNs: 5_000_000_000n },
      { rows: chunkfuls(series, 0.3), seed: 4, spooled: true },
    ],
    (series) => [{ rows: chunkfuls(series, 2.5), seed: 5, gapNs: 1n }],
    () => [{ rows: 7, seed: 0 }],
    () => [{ rows: 1, seed: 6 }],
  ];
  for (const round of rounds) {
    await commit(shard, ...shard.series.map((series): [ModelSeries, PartShape[]] => [series, round(series)]));
    shard.expectReadableByOffset();
  }
  return shard;
});

/** Random appends to several series of one shard; now and then a commit that the catalog never publishes. */
const randomShards = once(async () => {
  const seriesShape = fc.record({
    dtype: fc.constantFrom(...DTYPE_NAMES),
    channels: fc.constantFrom(1, 1, 2, 3, 70),
    irregular: fc.boolean(),
    rowsElsewhere: fc.constantFrom(0, 0, 12_345),
  });
  const part = fc.record({
    kib: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 40 })),
    more: fc.integer({ min: 1, max: 9 }),
    seed: fc.nat(1000),
    gapNs: fc.constantFrom(0n, 0n, 60_000_000_000n),
    spooled: fc.boolean(),
  });
  const append = fc.tuple(fc.nat(3), fc.array(part, { minLength: 1, maxLength: 3 }));
  const round = fc.record({ appends: fc.array(append, { minLength: 1, maxLength: 4 }), lost: fc.boolean() });
  const shards: ModelShard[] = [];
  await fc.assert(
    fc.asyncProperty(
      fc.array(seriesShape, { minLength: 1, maxLength: 4 }),
      fc.array(round, { minLength: 1, maxLength: 6 }),
      async (shapes, rounds) => {
        const shard = shardOf(...shapes);
        /** Series with rows in the file that were not published: what a drain does next is to write them anew. */
        const dirty = new Set<ModelSeries>();
        for (const { appends, lost } of rounds) {
          const bySeries = new Map(
            appends.map(([index, parts]) => {
              const series = shard.series[index % shard.series.length];
              const rowsIn = (kib: number): number => Math.floor((kib * 1024) / series.rowBytes);
              return [series, parts.map(({ kib, more, ...rest }) => ({ rows: rowsIn(kib) + more, ...rest }))];
            }),
          );
          const { request, publish } = shard.plan([...bySeries]);
          const result = await writer.commit(request);
          const forget = lost && shard.published; // a shard that the catalog does not know is never opened again
          if (!forget) publish(result);
          for (const series of bySeries.keys()) {
            if (forget) dirty.add(series);
            else dirty.delete(series);
          }
          shard.expectReadableByOffset();
        }
        const again = [...dirty].map((series): [ModelSeries, PartShape[]] => [series, [{ rows: 3, seed: 99 }]]);
        if (again.length > 0) await commit(shard, ...again);
        shard.expectReadableByOffset();
        shards.push(shard);
      },
    ),
    { numRuns: 30 },
  );
  return shards;
});

/** A shard on a disk that was full for a while, in the midst of a commit of new chunks and a new series. */
const struckShard = once(async () => {
  const shape: SeriesShape = { dtype: 'uint8', channels: 1, irregular: false };
  const shard = shardOf(shape, shape);
  const [early, late] = shard.series;
  await commit(shard, [early, [{ rows: 50_000, seed: 1 }]]);
  const before = hashOf(shard.path);
  const { request } = shard.plan([
    [late, [{ rows: 20_000, seed: 2 }]],
    [early, [{ rows: 3_000_000, seed: 3 }]],
  ]);
  await withFileSizeLimit(1024 * 1024, async () => {
    await expect(writer.commit(request)).rejects.toMatchObject({ code: 'EFBIG' });
    expect(hashOf(shard.path)).toBe(before);
    await commit(shard, [early, [{ rows: 70, seed: 4 }]]);
  });
  await commit(shard, [early, [{ rows: 1_500_000, seed: 5 }]], [late, [{ rows: 20_000, seed: 2 }]]);
  shard.expectReadableByOffset();
  return shard;
});

test('after every commit each published row is read by its chunk: all types, channels and kinds', async () => {
  await everyType();
});

test('after every commit each published row is read by its chunk: whatever is appended and lost', async () => {
  expect(await randomShards()).toHaveLength(30);
});

test.each<[string, SeriesShape, number]>([
  ['rows of 20 KB, so that a chunk is one row and one time', { dtype: 'int64', channels: 2500, irregular: true }, 7],
  ['rows wider than the largest chunk', { dtype: 'float64', channels: 131_100, irregular: true }, 1],
  ['a chunk of exactly the largest size', { dtype: 'int16', channels: 512, irregular: false }, 1024],
  ['many chunks of the largest size', { dtype: 'uint8', channels: 1, irregular: false }, 1_500_000],
])('every chunk is found: %s', async (_, shape, rows) => {
  const shard = shardOf(shape);
  for (const seed of [1, 2]) {
    await commit(shard, [shard.series[0], [{ rows, seed }]]);
    shard.expectReadableByOffset();
  }
});

describePython('h5py', ['h5py', 'numpy'], (run) => {
  test('reads every type value for value, and finds each chunk where the catalog was told', async () => {
    expectAsPublished(run, [await everyType()]);
  });

  test('reads the same after random appends, of which some were lost', async () => {
    expectAsPublished(run, await randomShards());
  });

  test('reads a commit that ran again with other rows as if the first had never been', async () => {
    const shard = shardOf(
      { dtype: 'int16', channels: 2, irregular: false },
      { dtype: 'float32', channels: 1, irregular: true },
      { dtype: 'int8', channels: 1, irregular: false },
    );
    const [regular, irregular, late] = shard.series;
    const both = (parts: PartShape[]): [ModelSeries, PartShape[]][] => [
      [regular, parts],
      [irregular, parts],
    ];
    await commit(shard, ...both([{ rows: 1000, seed: 1 }]));
    const lost: PartShape[] = [
      { rows: 500, seed: 2 },
      { rows: 60_000, seed: 3, gapNs: 7_000_000_000n },
    ];
    await writer.commit(shard.plan([...both(lost), [late, lost]]).request);
    shard.expectReadableByOffset();
    await commit(shard, ...both([{ rows: 10, seed: 4 }]), [late, [{ rows: 5, seed: 5 }]]);
    shard.expectReadableByOffset();
    expectAsPublished(run, [shard]);
  });

  test('reads descriptions longer than 64 KiB', async () => {
    const shard = shardOf({ dtype: 'int16', channels: 1, irregular: false });
    const { request, publish } = shard.plan([[shard.series[0], [{ rows: 10, seed: 1 }]]]);
    const channels = JSON.stringify([{ label: 'c0', info: { note: 'ß'.repeat(100_000) } }]);
    const [append] = request.appends;
    const description = { ...append.description, channels };
    publish(await writer.commit({ ...request, appends: [{ ...append, description }] }));
    shard.expectReadableByOffset();
    const script = `
import sys, h5py
with h5py.File(sys.stdin.read(), 'r') as file:
    sys.stdout.buffer.write(file['series/${append.seriesId}'].attrs['channels'].encode())`;
    expect(run(script, shard.path).toString()).toBe(channels);
  });
});

describeProgram('h5dump', 'h5dump', () => {
  test('reads every type value for value', async () => {
    const shard = await everyType();
    const header = dumpHeader(shard.path);
    const scratch = join(root.root, 'h5dump.bin');
    for (const series of shard.series) {
      expect(header).toContain(`GROUP "${series.id}"`);
      if (series.shape.channels > 1) continue;
      const bytes = dumpBytes(shard.path, `/series/${series.id}/values`, scratch);
      expect(bytes.equals(series.state.values)).toBe(true);
    }
  });

  test('reads what random appends left', async () => {
    for (const shard of (await randomShards()).slice(0, 10)) dumpHeader(shard.path);
  });
});

describe('a payload that cannot be stored is named, and nothing is changed', () => {
  type Spoil = (part: CommitPart) => CommitPart;
  const cutFile = (part: CommitPart, name: 'values' | 'times'): CommitPart => {
    truncateSync(root.spooled(part.writeId, name), 8);
    return part;
  };
  const removeFile = (part: CommitPart, name: 'values' | 'times'): CommitPart => {
    rmSync(root.spooled(part.writeId, name));
    return part;
  };
  const flipByte = (part: CommitPart): CommitPart => {
    const path = root.spooled(part.writeId, 'values');
    const bytes = readFileSync(path);
    bytes[bytes.length - 1] ^= 1;
    writeFileSync(path, bytes);
    return part;
  };
  const CASES: [string, boolean, Spoil, string][] = [
    ['wrong checksum of values', false, (part) => ({ ...part, valuesCrc: part.valuesCrc ^ 1 }), 'checksum'],
    ['wrong checksum of times', false, (part) => ({ ...part, timesCrc: part.timesCrc! ^ 1 }), 'checksum'],
    ['too few bytes of values', false, (part) => ({ ...part, values: part.values!.subarray(1) }), 'bytes'],
    ['too few times', false, (part) => ({ ...part, times: part.times!.subarray(8) }), 'bytes'],
    ['more bytes than rows', false, (part) => ({ ...part, rows: part.rows - 1 }), 'bytes'],
    ['a spooled file that is missing', true, (part) => removeFile(part, 'values'), 'missing'],
    ['spooled times that are missing', true, (part) => removeFile(part, 'times'), 'missing'],
    ['a spooled file cut short', true, (part) => cutFile(part, 'values'), 'bytes'],
    ['spooled times cut short', true, (part) => cutFile(part, 'times'), 'bytes'],
    ['a flipped bit in the spool', true, flipByte, 'checksum'],
  ];

  /** Spoils the last payload of the second series, so that much has been written when it is found. */
  function spoiled(shard: ModelShard, spooled: boolean, spoil: Spoil): { request: CommitRequest; writeId: string } {
    const parts: PartShape[] = [
      { rows: 20_000, seed: 2, spooled },
      { rows: 300, seed: 3, spooled },
    ];
    const { request } = shard.plan(shard.series.map((series) => [series, parts]));
    const [first, second] = request.appends;
    const bad = spoil(second.parts[1]);
    return {
      request: { ...request, appends: [first, { ...second, parts: [second.parts[0], bad] }] },
      writeId: bad.writeId,
    };
  }

  const SHAPES: SeriesShape[] = [
    { dtype: 'int16', channels: 2, irregular: false },
    { dtype: 'float64', channels: 1, irregular: true },
  ];

  test.each(CASES)('%s', async (_, spooled, spoil, reason) => {
    const shard = shardOf(...SHAPES);
    for (const series of shard.series) await commit(shard, [series, [{ rows: 1000, seed: 1 }]]);
    const before = hashOf(shard.path);
    const { request, writeId } = spoiled(shard, spooled, spoil);
    expect(await writer.commit(request)).toEqual({
      kind: 'bad-payloads',
      writes: [{ id: writeId, reason: expect.stringContaining(reason) }],
    });
    expect(hashOf(shard.path)).toBe(before);
    expect(existsSync(journalPath(shard.path))).toBe(false);

    await commit(shard, ...shard.series.map((series): [ModelSeries, PartShape[]] => [series, [{ rows: 9, seed: 4 }]]));
    shard.expectReadableByOffset();
  });

  test('a new shard leaves no file', async () => {
    const shard = shardOf(...SHAPES);
    const { request } = spoiled(shard, false, (part) => ({ ...part, valuesCrc: 0 }));
    expect(await writer.commit(request)).toMatchObject({ kind: 'bad-payloads' });
    expect(filesOf(shard)).toEqual([]);
    await commit(shard, [shard.series[0], [{ rows: 9, seed: 4 }]]);
    shard.expectReadableByOffset();
  });
});

describe('a fault rejects the commit, and the writer works again afterwards', () => {
  const one: SeriesShape = { dtype: 'int32', channels: 1, irregular: false };
  const worksAgain = async (): Promise<void> => {
    const shard = shardOf(one);
    await commit(shard, [shard.series[0], [{ rows: 10, seed: 1 }]]);
    shard.expectReadableByOffset();
  };

  test('a folder that is a file', async () => {
    writeFileSync(join(root.root, 'shards', 'not-a-folder'), '');
    const shard = shardOf(one);
    const { request } = shard.plan([[shard.series[0], [{ rows: 10, seed: 1 }]]]);
    await expect(writer.commit({ ...request, path: 'shards/not-a-folder/x.h5' })).rejects.toMatchObject({
      code: expect.stringMatching(/^(ENOTDIR|EEXIST)$/),
    });
    await worksAgain();
  });

  test('a shard that is gone', async () => {
    const shard = shardOf(one);
    await commit(shard, [shard.series[0], [{ rows: 10, seed: 1 }]]);
    const { request } = shard.plan([[shard.series[0], [{ rows: 10, seed: 2 }]]]);
    rmSync(shard.path);
    await expect(writer.commit(request)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(filesOf(shard)).toEqual([]);
    await worksAgain();
  });

  test('a new shard whose name is taken: the file is not touched', async () => {
    const shard = shardOf(one);
    await commit(shard, [shard.series[0], [{ rows: 10, seed: 1 }]]);
    const before = hashOf(shard.path);
    const { request } = shard.plan([[shard.series[0], [{ rows: 10, seed: 2 }]]]);
    await expect(writer.commit({ ...request, isNew: true })).rejects.toMatchObject({ code: 'EEXIST' });
    expect(hashOf(shard.path)).toBe(before);
    await worksAgain();
  });

  test('a file that is no HDF5', async () => {
    const shard = shardOf(one);
    await commit(shard, [shard.series[0], [{ rows: 10, seed: 1 }]]);
    const { request } = shard.plan([[shard.series[0], [{ rows: 10, seed: 2 }]]]);
    writeFileSync(shard.path, 'this is no HDF5 file, however long one reads it'.repeat(100));
    const before = hashOf(shard.path);
    await expect(writer.commit(request)).rejects.toThrow();
    expect(hashOf(shard.path)).toBe(before);
    await worksAgain();
  });

  test('a tail chunk that is not where the catalog says', async () => {
    const shard = shardOf(one);
    const [series] = shard.series;
    await commit(shard, [series, [{ rows: 10, seed: 1 }]]);
    const before = hashOf(shard.path);
    const { request } = shard.plan([[series, [{ rows: 10, seed: 2 }]]]);
    const tail = { ...series.tail!, values: { ...series.tail!.values, offset: 4 } };
    await expect(writer.commit({ ...request, appends: [{ ...request.appends[0], tail }] })).rejects.toThrow(
      'expected 4',
    );
    expect(hashOf(shard.path)).toBe(before);
    await commit(shard, [series, [{ rows: 10, seed: 3 }]]);
    shard.expectReadableByOffset();
  });

  test('a path out of the data root', async () => {
    const shard = shardOf(one);
    const { request } = shard.plan([[shard.series[0], [{ rows: 10, seed: 1 }]]]);
    const path = `../${randomUUID()}.h5`;
    await expect(writer.commit({ ...request, path })).rejects.toThrow('leaves the data root');
    expect(existsSync(join(root.root, path))).toBe(false);
    await worksAgain();
  });
});

describeProgram('prlimit', 'a full disk', () => {
  test('in the midst of a commit rejects it and leaves the previous one; once there is room, writing goes on', async () => {
    await struckShard();
  });

  describePython('and h5py', ['h5py', 'numpy'], (run) => {
    test('reads what was written before and after', async () => {
      expectAsPublished(run, [await struckShard()]);
    });
  });

  test('leaves nothing of a new shard', async () => {
    const shard = shardOf({ dtype: 'uint8', channels: 1, irregular: false });
    const { request } = shard.plan([[shard.series[0], [{ rows: 3_000_000, seed: 2 }]]]);
    await withFileSizeLimit(1024 * 1024, async () => {
      await expect(writer.commit(request)).rejects.toMatchObject({ code: 'EFBIG' });
    });
    expect(filesOf(shard)).toEqual([]);
  });
});

describe('threads', () => {
  const one: SeriesShape = { dtype: 'int32', channels: 1, irregular: false };

  /** The threads that are given work from now on. */
  function watchThreads(): { threads: Set<Worker>; done(): void } {
    const threads = new Set<Worker>();
    const { postMessage } = Worker.prototype;
    Worker.prototype.postMessage = function (this: Worker, ...message) {
      threads.add(this);
      postMessage.apply(this, message);
    };
    return { threads, done: () => (Worker.prototype.postMessage = postMessage) };
  }

  test.each(['idle', 'at work'])('one that dies while it is %s is replaced', async (when) => {
    const own = new ShardWriter(1);
    const { threads, done } = watchThreads();
    try {
      const shard = shardOf(one);
      const { request, publish } = shard.plan([[shard.series[0], [{ rows: 10, seed: 1 }]]]);
      publish(await own.commit(request));
      const [thread] = threads;
      const next = shard.plan([[shard.series[0], [{ rows: 200_000, seed: 2 }]]]);
      if (when === 'idle') await thread.terminate();
      else {
        const cut = own.commit(next.request);
        await thread.terminate();
        await expect(cut).rejects.toThrow('the writer thread ended');
      }
      next.publish(await own.commit(next.request));
      shard.expectReadableByOffset();
      expect(threads.size).toBe(2);
    } finally {
      done();
      await own.close();
    }
  });

  test('commits to several shards run side by side, those beyond the threads wait their turn', async () => {
    const own = new ShardWriter(2);
    const shards = Array.from({ length: 6 }, () => shardOf(one));
    await Promise.all(
      shards.map(async (shard) => {
        const { request, publish } = shard.plan([[shard.series[0], [{ rows: 100, seed: 1 }]]]);
        publish(await own.commit(request));
        shard.expectReadableByOffset();
      }),
    );
    await own.close();
  });

  test('when the writer is closed, commits that wait are refused and never done', async () => {
    const own = new ShardWriter(1);
    const shards = Array.from({ length: 3 }, () => shardOf(one));
    const commits = shards.map((shard) => own.commit(shard.plan([[shard.series[0], [{ rows: 10, seed: 1 }]]]).request));
    const outcomes = Promise.allSettled(commits);
    await own.close();
    expect((await outcomes).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    expect(shards.slice(1).flatMap(filesOf)).toEqual([]);
    await expect(commits[1]).rejects.toThrow('closed');
    await expect(own.commit(shards[1].plan([]).request)).rejects.toThrow('closed');
  });
});

function hashOf(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

/** Names of the shard's own files. */
function filesOf(shard: ModelShard): string[] {
  return readdirSync(join(root.root, 'shards'), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.includes(shard.id),
  );
}
