import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { closeSync, copyFileSync, existsSync, mkdtempSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import fc from 'fast-check';
import { commitShard } from '../../src/storage/commit-shard.ts';
import type { Disk } from '../../src/storage/disk.ts';
import { Hdf5Session } from '../../src/storage/hdf5-session.ts';
import {
  applyJournal,
  decodeJournal,
  encodeJournal,
  journalPath,
  recoverShard,
  type Journal,
} from '../../src/storage/journal.ts';
import type { CommitStep } from '../../src/storage/shard-transaction.ts';
import { describePython } from '../support/python.ts';
import { dumpShards } from './h5py-dump.ts';
import { ModelSeries, ModelShard, temporaryRoot, type PartShape, type SeriesShape } from './model-shard.ts';
import { hastyDisk, PowerCutDisk } from './power-cut-disk.ts';

const root = temporaryRoot();
let session: Hdf5Session;

beforeAll(async () => {
  session = await Hdf5Session.start();
});

afterAll(() => root.remove());

const anyJournal: fc.Arbitrary<Journal> = fc.record({
  fileLength: fc.maxSafeNat(),
  runs: fc.array(fc.record({ offset: fc.maxSafeNat(), bytes: fc.uint8Array({ maxLength: 200 }) }), { maxLength: 5 }),
});

describe('a journal', () => {
  const sample = encodeJournal({
    fileLength: 70_000,
    runs: [
      { offset: 0, bytes: Buffer.from('superblock') },
      { offset: 5 * 2 ** 32 + 1, bytes: Buffer.alloc(300, 0xa5) },
    ],
  });

  test('is read back as it was written', () => {
    fc.assert(
      fc.property(anyJournal, (journal) => {
        const decoded = decodeJournal(encodeJournal(journal));
        expect(decoded?.fileLength).toBe(journal.fileLength);
        expect(decoded?.runs.map(({ offset, bytes }) => [offset, [...bytes]])).toEqual(
          journal.runs.map(({ offset, bytes }) => [offset, [...bytes]]),
        );
      }),
    );
  });

  test('is refused wherever it is torn', () => {
    for (let length = 0; length < sample.length; length++) expect(decodeJournal(sample.subarray(0, length))).toBeNull();
  });

  test('is refused whichever byte is damaged', () => {
    for (let at = 0; at < sample.length; at++) {
      for (const flip of [0x01, 0x80, 0xff]) {
        const damaged = Buffer.from(sample);
        damaged[at] ^= flip;
        expect(decodeJournal(damaged)).toBeNull();
      }
    }
  });

  test('is refused with anything after it, or as zeros', () => {
    expect(decodeJournal(Buffer.concat([sample, Buffer.alloc(1)]))).toBeNull();
    expect(decodeJournal(Buffer.alloc(sample.length))).toBeNull();
  });

  test('applied twice is the same as once', () => {
    const anyRuns = fc.array(fc.record({ offset: fc.nat(400), bytes: fc.uint8Array({ maxLength: 100 }) }));
    const path = join(root.root, 'twice');
    fc.assert(
      fc.property(anyRuns, fc.nat(600), fc.nat(600), (runs, before, fileLength) => {
        writeFileSync(path, Buffer.alloc(before, 0xee));
        const apply = (): Buffer => {
          const fd = openSync(path, 'r+');
          applyJournal(fd, { fileLength, runs }, hastyDisk);
          closeSync(fd);
          return readFileSync(path);
        };
        const once = apply();
        expect(once).toHaveLength(fileLength);
        expect(apply().equals(once)).toBe(true);
      }),
    );
  });
});

type Round = readonly (readonly [ModelSeries, readonly PartShape[]])[];

/** A shard with one commit, and another that is about to follow. */
interface Prepared {
  readonly shard: ModelShard;
  readonly next: Round;
}

const REGULAR: SeriesShape = { dtype: 'int16', channels: 2, irregular: false };
const IRREGULAR: SeriesShape = { dtype: 'float64', channels: 1, irregular: true };

function commitNow(shard: ModelShard, round: Round): void {
  const { request, publish } = shard.plan(round);
  publish(commitShard(session, request, undefined, hastyDisk));
}

function shardWith(first: PartShape): ModelShard {
  const shard = new ModelShard(root, [new ModelSeries(REGULAR), new ModelSeries(IRREGULAR)]);
  commitNow(
    shard,
    shard.series.map((series) => [series, [first]]),
  );
  return shard;
}

const COMMITS: [string, () => Prepared][] = [
  [
    'one row more',
    () => {
      const shard = shardWith({ rows: 100, seed: 1 });
      return { shard, next: [[shard.series[0], [{ rows: 1, seed: 2 }]]] };
    },
  ],
  [
    'rows that fill the tail chunk and need new ones',
    () => {
      const shard = shardWith({ rows: 3000, seed: 1 });
      return { shard, next: shard.series.map((series) => [series, [{ rows: 5000, seed: 2 }]]) };
    },
  ],
  [
    'a gap and a new series',
    () => {
      const shard = shardWith({ rows: 100, seed: 1 });
      const late = new ModelSeries({ dtype: 'uint8', channels: 1, irregular: false });
      shard.series.push(late);
      const parts: PartShape[] = [{ rows: 50, seed: 3, gapNs: 1_000_000_000n }];
      return {
        shard,
        next: [
          [shard.series[0], parts],
          [late, parts],
        ],
      };
    },
  ],
  [
    'a cut of rows that were never published',
    () => {
      const shard = shardWith({ rows: 100, seed: 1 });
      const lost = shard.plan(shard.series.map((series) => [series, [{ rows: 5000, seed: 9 }]]));
      commitShard(session, lost.request, undefined, hastyDisk);
      return { shard, next: shard.series.map((series) => [series, [{ rows: 5, seed: 2 }]]) };
    },
  ],
];

describe.each(COMMITS)('a commit of %s', (_, prepare) => {
  test('leaves the previous one untouched on disk until its journal is durable', () => {
    const { shard, next } = prepare();
    const previous = readFileSync(shard.path);
    const seen: Partial<Record<CommitStep, Buffer>> = {};
    const { request, publish } = shard.plan(next);
    publish(commitShard(session, request, (step) => (seen[step] = readFileSync(shard.path))));
    const committed = readFileSync(shard.path);
    for (const step of ['appended', 'synced', 'journaled'] as const) {
      expect(seen[step]?.subarray(0, previous.length).equals(previous)).toBe(true);
    }
    for (const step of ['applied', 'done'] as const) expect(seen[step]?.equals(committed)).toBe(true);
    expect(committed.equals(previous)).toBe(false);
    expect(existsSync(journalPath(shard.path))).toBe(false);
    shard.expectReadableByOffset();
  });

  test('is there or not there, and nothing between, whenever the power is cut', () => {
    const { shard, next } = prepare();
    const previous = readFileSync(shard.path);
    const disk = new PowerCutDisk([shard.path]);
    const { request, publish } = shard.plan(next);
    publish(commitShard(session, request, undefined, disk));
    const committed = readFileSync(shard.path);
    const random = randomFates(1);
    const outcomes = new Set<string>();
    for (let instant = 0; instant < disk.instants; instant++) {
      for (const survives of [() => 'whole' as const, () => 'lost' as const, random, random, random]) {
        const left = recoveredAfterCut(disk, instant, shard, survives);
        const outcome = left.equals(previous) ? 'previous' : left.equals(committed) ? 'committed' : 'torn';
        outcomes.add(outcome);
        if (outcome === 'torn') throw new Error(`torn after instant ${instant} of ${disk.instants}`);
        if (instant === disk.instants - 1) expect(outcome).toBe('committed');
      }
    }
    expect(outcomes).toEqual(new Set(['previous', 'committed']));
  });

  test('survives a second power cut, during recovery', () => {
    const { shard, next } = prepare();
    const previous = readFileSync(shard.path);
    const disk = new PowerCutDisk([shard.path]);
    const { request, publish } = shard.plan(next);
    let journaled = 0;
    publish(
      commitShard(session, request, (step) => (journaled = step === 'journaled' ? disk.instants - 1 : journaled), disk),
    );
    const committed = readFileSync(shard.path);
    const random = randomFates(2);
    // One before the journal is durable and some after it.
    for (const [first, wanted] of [
      [journaled - 3, previous],
      [journaled, committed],
      [journaled + 3, committed],
      [disk.instants - 2, committed],
    ] as const) {
      const folder = join(root.root, 'first-cut');
      disk.cutAt(first, folder, first < journaled ? () => 'lost' : random);
      const copy = join(folder, basename(shard.path));
      const recovering = new PowerCutDisk([copy, journalPath(copy)].filter((path) => existsSync(path)));
      recoverShard(copy, recovering);
      expect(readFileSync(copy).equals(wanted)).toBe(true);
      for (let instant = 0; instant < recovering.instants; instant++) {
        for (const survives of [() => 'lost' as const, random, random]) {
          expect(recoveredAfterCut(recovering, instant, shard, survives).equals(wanted)).toBe(true);
        }
      }
    }
  });

  test('can be made again after a fault of the disk at any of its operations', () => {
    for (const lasting of [false, true]) {
      for (let operation = 0; ; operation++) {
        const { shard, next } = prepare();
        const { request, publish } = shard.plan(next);
        const disk = faultyDisk(operation, lasting);
        try {
          // The fault comes when HDF5 is done: one in its midst costs the library, which is the writer thread's business.
          publish(commitShard(session, request, disk.arm, disk));
          expect(operation).toBeGreaterThan(5);
          break;
        } catch (error) {
          expect(error).toMatchObject({ code: 'EIO' });
        }
        shard.expectReadableByOffset();
        commitNow(shard, next);
        shard.expectReadableByOffset();
        expect(recoverShard(shard.path)).toBe('clean');
      }
    }
  });
});

describePython('h5py', ['h5py', 'numpy'], (run) => {
  test.each(COMMITS)('opens the file at every step of a commit of %s', (_, prepare) => {
    const { shard, next } = prepare();
    const folder = mkdtempSync(join(root.root, 'steps-'));
    const copies: Record<string, string> = {};
    const copyAs = (name: string): void => copyFileSync(shard.path, (copies[name] = join(folder, name)));
    copyAs('before');
    const { request } = shard.plan(next);
    commitShard(session, request, copyAs);
    expect(Object.keys(copies)).toEqual(['before', 'appended', 'synced', 'journaled', 'applied', 'done']);
    const [before, appended, synced, journaled, applied, done] = dumpShards(run, Object.values(copies));
    for (const dump of [appended, synced, journaled]) expect(dump).toEqual(before);
    expect(applied).toEqual(done);
    expect(done).not.toEqual(before);
  });
});

describe('recovery', () => {
  function twoCommits(): { shard: ModelShard; previous: Buffer; journal: Buffer; appended: Buffer; committed: Buffer } {
    const shard = shardWith({ rows: 100, seed: 1 });
    const previous = readFileSync(shard.path);
    const { request } = shard.plan([[shard.series[0], [{ rows: 20_000, seed: 2 }]]]);
    let journal = Buffer.alloc(0);
    let appended = Buffer.alloc(0);
    commitShard(session, request, (step) => {
      if (step !== 'journaled') return;
      journal = readFileSync(journalPath(shard.path));
      appended = readFileSync(shard.path);
    });
    return { shard, previous, journal, appended, committed: readFileSync(shard.path) };
  }

  test('applies a whole journal, once', () => {
    const { shard, journal, appended, committed } = twoCommits();
    writeFileSync(shard.path, appended);
    writeFileSync(journalPath(shard.path), journal);
    expect(recoverShard(shard.path)).toBe('applied');
    expect(readFileSync(shard.path).equals(committed)).toBe(true);
    expect(existsSync(journalPath(shard.path))).toBe(false);
    expect(recoverShard(shard.path)).toBe('clean');
  });

  test('completes a journal that was applied in part', () => {
    const { shard, journal, appended, committed } = twoCommits();
    const { runs } = decodeJournal(journal)!;
    expect(runs.length).toBeGreaterThan(1);
    for (let applied = 0; applied <= runs.length; applied++) {
      const torn = Buffer.from(appended);
      for (const { offset, bytes } of runs.slice(0, applied)) torn.set(bytes, offset);
      writeFileSync(shard.path, torn);
      writeFileSync(journalPath(shard.path), journal);
      expect(recoverShard(shard.path)).toBe('applied');
      expect(readFileSync(shard.path).equals(committed)).toBe(true);
    }
  });

  test('discards a torn journal and what it would have referred to', () => {
    const { shard, previous, journal, appended } = twoCommits();
    for (const length of [0, 7, 23, 24, journal.length - 1]) {
      writeFileSync(shard.path, appended);
      writeFileSync(journalPath(shard.path), journal.subarray(0, length));
      expect(recoverShard(shard.path)).toBe('discarded');
      expect(readFileSync(shard.path).equals(previous)).toBe(true);
      expect(existsSync(journalPath(shard.path))).toBe(false);
    }
  });

  test('cuts what lies behind the committed end', () => {
    const { shard, committed } = twoCommits();
    writeFileSync(shard.path, Buffer.concat([committed, Buffer.alloc(1)]));
    expect(recoverShard(shard.path)).toBe('cut');
    expect(readFileSync(shard.path).equals(committed)).toBe(true);
    expect(recoverShard(shard.path)).toBe('clean');
  });

  test('does not cut a file that says nothing of its end', () => {
    const path = join(root.root, 'other');
    for (const text of ['', 'short', 'no HDF5 file'.repeat(100)]) {
      writeFileSync(path, text);
      expect(recoverShard(path)).toBe('clean');
      expect(readFileSync(path, 'utf8')).toBe(text);
    }
  });

  test('of a shard that is not there says so', () => {
    expect(() => recoverShard(join(root.root, 'nowhere.h5'))).toThrow(expect.objectContaining({ code: 'ENOENT' }));
  });
});

/** What recovery makes of a copy of the shard as the power cut left it. */
function recoveredAfterCut(
  disk: PowerCutDisk,
  instant: number,
  shard: ModelShard,
  survives: () => 'whole' | 'torn' | 'lost',
): Buffer {
  const folder = join(root.root, 'cut');
  disk.cutAt(instant, folder, survives);
  const copy = join(folder, basename(shard.path));
  recoverShard(copy, hastyDisk);
  expect(existsSync(journalPath(copy))).toBe(false);
  return readFileSync(copy);
}

function randomFates(seed: number): () => 'whole' | 'torn' | 'lost' {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (['whole', 'torn', 'lost'] as const)[(state >>> 16) % 3];
  };
}

/** Once armed, the operation of that number fails, and if the fault lasts every later one. Closing works: a process that ends closes its files. */
function faultyDisk(failing: number, lasting: boolean): Disk & { arm(): void } {
  let operation = -1;
  const guarded = <A extends unknown[], R>(action: (...args: A) => R): ((...args: A) => R) => {
    return (...args) => {
      if (operation >= 0) {
        const now = operation++;
        if (now === failing || (lasting && now > failing)) {
          throw Object.assign(new Error('input/output error'), { code: 'EIO' });
        }
      }
      return action(...args);
    };
  };
  return {
    ...hastyDisk,
    open: guarded(hastyDisk.open),
    write: guarded(hastyDisk.write),
    truncate: guarded(hastyDisk.truncate),
    sync: guarded(hastyDisk.sync),
    remove: guarded(hastyDisk.remove),
    syncFolder: guarded(hastyDisk.syncFolder),
    arm: () => (operation = Math.max(operation, 0)),
  };
}
