import { describe, expect, test } from '@jest/globals';
import {
  ASIDE_KEPT_MS,
  ORPHAN_GRACE_MS,
  REPLACED_KEPT_MS,
  reconcile,
  type LaneFacts,
  type LeaseState,
  type Repair,
  type ShardFacts,
  type Situation,
  type StoredFile,
} from '../../src/core/reconcile.ts';

const PATH = 'shards/01/s1-7.h5';
const OLD = ORPHAN_GRACE_MS;
const YOUNG = ORPHAN_GRACE_MS - 1;

const lane = (fields: Partial<LaneFacts> = {}): LaneFacts => ({
  id: 'l1',
  lease: 'free',
  token: 7n,
  hasPending: false,
  resting: false,
  ...fields,
});
const shard = (fields: Partial<ShardFacts> = {}): ShardFacts => ({
  id: 's1',
  laneId: 'l1',
  path: PATH,
  state: 'hot',
  mayBeOpen: false,
  replacedMs: null,
  ...fields,
});
const shardFile: StoredFile = { path: PATH, ageMs: YOUNG, kind: 'shard', token: 7n };
const oldShardFile: StoredFile = { ...shardFile, ageMs: OLD };
const journal = (ageMs = YOUNG): StoredFile => ({ path: `${PATH}.journal`, ageMs, kind: 'journal', shardPath: PATH });
const payload = (ageMs: number): StoredFile => ({ path: 'spool/w1.values', ageMs, kind: 'payload', writeId: 'w1' });
const situation = (fields: Partial<Situation>): Situation => ({
  lanes: [],
  shards: [],
  writeStates: new Map(),
  files: [],
  ...fields,
});
const kinds = (fields: Partial<Situation>): Repair['kind'][] => reconcile(situation(fields)).map(({ kind }) => kind);

test('rows and files that agree need nothing', () => {
  const agreeing = situation({
    lanes: [lane({ lease: 'live', hasPending: true })],
    shards: [shard(), shard({ id: 's2', path: 'shards/02/s2-1.h5', state: 'retired' })],
    writeStates: new Map([['w1', 'pending' as const]]),
    files: [oldShardFile, { ...oldShardFile, path: 'shards/02/s2-1.h5', token: 1n }, payload(OLD)],
  });
  expect(reconcile(agreeing)).toEqual([]);
});

describe('lanes', () => {
  test.each<[LeaseState, boolean, Repair['kind'][]]>([
    ['free', false, []],
    ['free', true, ['ring']],
    ['live', true, []],
    ['expired', true, ['ring']],
    ['dead', false, ['free-lease']],
    ['dead', true, ['free-lease', 'ring']],
  ])('with a lease that is %s, and writes pending: %p', (lease, hasPending, expected) => {
    expect(kinds({ lanes: [lane({ lease, hasPending })] })).toEqual(expected);
  });

  test('that rest are not rung for', () => {
    expect(kinds({ lanes: [lane({ hasPending: true, resting: true })] })).toEqual([]);
  });

  test('are freed of the very lease that was seen', () => {
    expect(reconcile(situation({ lanes: [lane({ lease: 'dead', token: 9n })] }))).toEqual([
      { kind: 'free-lease', laneId: 'l1', token: 9n },
    ]);
  });
});

describe('shards', () => {
  test.each<[ShardFacts['state'], boolean, Repair['kind'][]]>([
    ['hot', true, []],
    ['retired', true, []],
    ['lost', true, ['mark-found']],
    ['hot', false, ['mark-lost']],
    ['retired', false, ['mark-lost']],
    ['lost', false, []],
    ['sealed', true, []],
    ['sealed', false, ['mark-lost']],
    ['replaced', true, []],
    ['replaced', false, []],
  ])('that are %s, with the file there: %p', (state, isThere, expected) => {
    expect(kinds({ shards: [shard({ state })], files: isThere ? [shardFile] : [] })).toEqual(expected);
  });
});

test('a replaced shard goes after its grace time, whether its file is there or not', () => {
  const replaced = shard({ state: 'replaced', replacedMs: REPLACED_KEPT_MS });
  expect(kinds({ shards: [replaced], files: [shardFile] })).toEqual(['drop-replaced']);
  expect(kinds({ shards: [replaced] })).toEqual(['drop-replaced']);
  expect(kinds({ shards: [{ ...replaced, replacedMs: REPLACED_KEPT_MS - 1 }], files: [shardFile] })).toEqual([]);
});

describe('journals', () => {
  test.each<[string, Partial<Situation>, Repair['kind'][]]>([
    ['nobody holds the lane', {}, ['settle']],
    ['the lane is free', { lanes: [lane()] }, ['settle']],
    ['its holder is gone', { lanes: [lane({ lease: 'dead' })] }, ['free-lease', 'settle']],
    ['somebody drains', { lanes: [lane({ lease: 'live' })] }, []],
    ['its holder is late and may live', { lanes: [lane({ lease: 'expired' })] }, []],
    ['it was left to a process that may live', { shards: [shard({ state: 'retired', mayBeOpen: true })] }, []],
    ['its process is gone', { shards: [shard({ state: 'retired' })] }, ['settle']],
  ])('when %s', (_, fields, expected) => {
    expect(kinds({ shards: [shard()], files: [shardFile, journal()], ...fields })).toEqual(expected);
  });

  test('of a missing shard are kept with its row, and go without one', () => {
    expect(kinds({ shards: [shard({ state: 'lost' })], files: [journal(OLD)] })).toEqual([]);
    expect(kinds({ files: [journal(YOUNG)] })).toEqual([]);
    expect(kinds({ files: [journal(OLD)] })).toEqual(['remove']);
  });
});

describe('a shard without a row', () => {
  test.each<[string, StoredFile, LaneFacts[], Repair['kind'][]]>([
    ['is set aside after the grace time', oldShardFile, [], ['set-aside']],
    ['is left alone before it', shardFile, [], []],
    ['is left to a live lease of its token', oldShardFile, [lane({ lease: 'live' })], []],
    ['is left to a late one, which can still publish', oldShardFile, [lane({ lease: 'expired' })], []],
    ['is not left to a process that is gone', oldShardFile, [lane({ lease: 'dead' })], ['free-lease', 'set-aside']],
    ['is not left to a lease that was given back', oldShardFile, [lane({ lease: 'free' })], ['set-aside']],
    ['is not left to a newer lease', oldShardFile, [lane({ lease: 'live', token: 8n })], ['set-aside']],
    [
      'is not left to a lane that never had the token',
      oldShardFile,
      [lane({ lease: 'live', token: 6n })],
      ['set-aside'],
    ],
  ])('%s', (_, file, lanes, expected) => {
    expect(kinds({ files: [file], lanes })).toEqual(expected);
  });

  test('takes its journal along', () => {
    expect(reconcile(situation({ files: [oldShardFile, journal(OLD)] }))).toEqual([{ kind: 'set-aside', path: PATH }]);
  });

  test('is kept aside for a week', () => {
    const aside = (ageMs: number): StoredFile => ({ path: 'shards/orphans/s1-7.h5', ageMs, kind: 'aside' });
    expect(kinds({ files: [aside(ASIDE_KEPT_MS - 1)] })).toEqual([]);
    expect(kinds({ files: [aside(ASIDE_KEPT_MS)] })).toEqual(['remove']);
  });
});

describe('payloads in the spool', () => {
  test.each<[string, number, 'pending' | 'applied' | 'failed' | undefined, Repair['kind'][]]>([
    ['an old one of a pending write stays', OLD, 'pending', []],
    ['an old one of a failed write stays for whoever looks into it', OLD, 'failed', []],
    ['one of an applied write goes at once', 0, 'applied', ['remove']],
    ['one without a write stays for the grace time', YOUNG, undefined, []],
    ['and goes after it', OLD, undefined, ['remove']],
  ])('%s', (_, ageMs, state, expected) => {
    expect(kinds({ files: [payload(ageMs)], writeStates: new Map(state && [['w1', state]]) })).toEqual(expected);
  });
});

test('unfinished files go after the grace time', () => {
  const temporary = (ageMs: number): StoredFile => ({ path: 'shards/01/x.tmp', ageMs, kind: 'temporary' });
  expect(kinds({ files: [temporary(YOUNG)] })).toEqual([]);
  expect(kinds({ files: [temporary(OLD)] })).toEqual(['remove']);
});

test('leases are freed and shards marked before lanes are rung for and journals settled', () => {
  const all = kinds({
    lanes: [lane({ lease: 'dead', hasPending: true })],
    shards: [shard(), shard({ id: 's2', path: 'shards/02/s2-1.h5' })],
    files: [shardFile, journal(), payload(OLD)],
  });
  expect(all).toEqual(['free-lease', 'mark-lost', 'ring', 'settle', 'remove']);
});
