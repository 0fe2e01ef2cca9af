import { describe, expect, test } from '@jest/globals';
import {
  ASIDE_KEPT_MS,
  ORPHAN_GRACE_MS,
  RECEIVING_KEPT_MS,
  REPLACED_KEPT_MS,
  reconcile,
  type Reconciliation,
  type Repair,
  type ShardFacts,
  type Situation,
  type SpoolFacts,
  type StoredFile,
} from '../../src/core/reconcile.ts';

const PATH = 'shards/01/s1-7.h5';
const SPOOL = 'spool/p1';
const OLD = ORPHAN_GRACE_MS;
const YOUNG = ORPHAN_GRACE_MS - 1;

const shard = (fields: Partial<ShardFacts> = {}): ShardFacts => ({
  id: 's1',
  path: PATH,
  state: 'live',
  bytes: 100,
  ageMs: OLD,
  replacedMs: null,
  ...fields,
});
const spool = (fields: Partial<SpoolFacts> = {}): SpoolFacts => ({
  id: 'p1',
  path: SPOOL,
  state: 'kept',
  ageMs: YOUNG,
  chunks: [
    { id: 1, end: 50 },
    { id: 2, end: 80 },
  ],
  ...fields,
});
const file = (path: string, fields: Partial<Pick<StoredFile, 'bytes' | 'ageMs'>> = {}, commit = 7n): StoredFile => {
  const base = { path, bytes: 100, ageMs: OLD, ...fields };
  if (path.startsWith('spool/')) return { ...base, kind: 'spool' };
  if (path.startsWith('shards/orphans/')) return { ...base, kind: 'aside' };
  return path.endsWith('.tmp') ? { ...base, kind: 'temporary' } : { ...base, kind: 'shard', commit };
};
const look = (fields: Partial<Situation>): Reconciliation =>
  reconcile({ shards: [], spools: [], newestCommit: 7n, files: [], ...fields });
const repairs = (fields: Partial<Situation>): readonly Repair[] => look(fields).repairs;
const kinds = (fields: Partial<Situation>): Repair['kind'][] => repairs(fields).map(({ kind }) => kind);

test('rows and files that agree need nothing', () => {
  expect(look({ shards: [shard()], spools: [spool()], files: [file(PATH), file(SPOOL)] })).toEqual({
    repairs: [],
    estranged: null,
  });
});

describe('shards', () => {
  test.each<[ShardFacts['state'], number | null, Repair[]]>([
    ['live', null, [{ kind: 'mark', shardId: 's1', path: PATH, as: 'lost' }]],
    ['live', 99, [{ kind: 'mark', shardId: 's1', path: PATH, as: 'damaged' }]],
    ['live', 101, []],
    ['lost', null, []],
    ['lost', 100, [{ kind: 'mark', shardId: 's1', path: PATH, as: 'live' }]],
    ['lost', 99, [{ kind: 'mark', shardId: 's1', path: PATH, as: 'damaged' }]],
    ['damaged', 99, []],
    ['damaged', 100, [{ kind: 'mark', shardId: 's1', path: PATH, as: 'live' }]],
  ])('that are %s, with a file of %p bytes', (state, bytes, expected) => {
    const files = bytes === null ? [] : [file(PATH, { bytes })];
    expect(repairs({ shards: [shard({ state })], files })).toEqual(expected);
  });

  test('that are being written are forgotten when nobody can be at it any more, with their file or without', () => {
    for (const files of [[], [file(PATH)], [file(`${PATH}.tmp`, { ageMs: YOUNG })]]) {
      expect(repairs({ shards: [shard({ state: 'writing' })], files })).toEqual([
        { kind: 'forget', of: 'shard', id: 's1', path: PATH },
      ]);
      expect(repairs({ shards: [shard({ state: 'writing', ageMs: YOUNG })], files })).toEqual([]);
    }
  });

  test('that were replaced go when nobody can have asked for them any more', () => {
    const replaced = (replacedMs: number) => ({
      shards: [shard({ state: 'replaced', replacedMs })],
      files: [file(PATH)],
    });
    expect(kinds(replaced(REPLACED_KEPT_MS - 1))).toEqual([]);
    expect(repairs(replaced(REPLACED_KEPT_MS))).toEqual([{ kind: 'drop-replaced', shardId: 's1', path: PATH }]);
  });
});

describe('the spool', () => {
  test('says which chunks lie where its file does not reach', () => {
    const of = (bytes: number | null) => ({ spools: [spool()], files: bytes === null ? [] : [file(SPOOL, { bytes })] });
    expect(repairs(of(80))).toEqual([]);
    expect(repairs(of(79))).toEqual([{ kind: 'mark-fresh', path: SPOOL, ids: [2] }]);
    expect(repairs(of(null))).toEqual([{ kind: 'mark-fresh', path: SPOOL, ids: [1, 2] }]);
  });

  test('forgets what is not received any more', () => {
    const receiving = (ageMs: number) => ({
      spools: [spool({ state: 'receiving', ageMs, chunks: [] })],
      files: [file(SPOOL)],
    });
    expect(repairs(receiving(RECEIVING_KEPT_MS - 1))).toEqual([]);
    expect(repairs(receiving(RECEIVING_KEPT_MS))).toEqual([{ kind: 'forget', of: 'spool', id: 'p1', path: SPOOL }]);
  });
});

describe('files that no row names', () => {
  test.each([
    ['a shard', PATH, ['set-aside']],
    ['a spool file', SPOOL, ['set-aside']],
    ['one that was begun', `${PATH}.tmp`, ['remove']],
  ])('%s is left alone for an hour', (_, path, expected) => {
    expect(kinds({ files: [file(path, { ageMs: YOUNG })] })).toEqual([]);
    expect(kinds({ files: [file(path)] })).toEqual(expected);
  });

  test('are kept aside for a week', () => {
    const path = 'shards/orphans/s1-7.h5';
    expect(kinds({ files: [file(path, { ageMs: ASIDE_KEPT_MS - 1 })] })).toEqual([]);
    expect(kinds({ files: [file(path, { ageMs: ASIDE_KEPT_MS })] })).toEqual(['remove']);
  });

  test('stay where they are while a shard is missing: they may be what is needed', () => {
    const files = [file('shards/02/s2-6.h5'), file(SPOOL), file('shards/orphans/s3-5.h5', { ageMs: ASIDE_KEPT_MS })];
    expect(kinds({ shards: [shard({ state: 'lost' })], files })).toEqual([]);
  });
});

describe('catalog and files of different days', () => {
  test('a file that tells of a later commit than the last: the catalog is older, and nothing is taken away', () => {
    const files = [file('shards/02/s2-8.h5', {}, 8n), file(SPOOL), file(PATH)];
    const { repairs: found, estranged } = look({ shards: [shard()], files });
    expect(estranged).toMatch(
      /^a file of the data folder, among them shards\/02\/s2-8\.h5, is newer than the catalog, which ends with commit 7/,
    );
    expect(found).toEqual([]);
  });

  test('a file that is missing, and one that no row names: the files are older', () => {
    const files = [file('shards/02/s2-6.h5', {}, 6n)];
    const { repairs: found, estranged } = look({ shards: [shard()], spools: [spool()], files });
    expect(estranged).toMatch(
      /^2 files that the catalog names, .* are missing, and a file that it does not name is there/,
    );
    expect(found).toEqual([{ kind: 'mark', shardId: 's1', path: PATH, as: 'lost' }]);
  });

  test('all that is newer than the rest is missing: the files are older', () => {
    const shards = ['a', 'b', 'c'].map((id, n) => shard({ id, path: `shards/0${n}/${id}-${n}.h5`, ageMs: OLD - n }));
    expect(look({ shards, files: [file(shards[0].path)] }).estranged).toMatch(
      /all of them are newer than what is there/,
    );
    expect(look({ shards, files: [file(shards[2].path)] }).estranged).toBeNull();
    expect(look({ shards, files: shards.slice(0, 2).map(({ path }) => file(path)) }).estranged).toBeNull();
  });

  test('one missing shard, or one that is short, is damage', () => {
    expect(look({ shards: [shard()] }).estranged).toBeNull();
    expect(look({ shards: [shard()], files: [file(PATH, { bytes: 5 })] }).estranged).toBeNull();
  });
});
