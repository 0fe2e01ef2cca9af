import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  ASIDE_KEPT_MS,
  ORPHAN_GRACE_MS,
  CLOCK_SLACK_MS,
  RECEIVING_KEPT_MS,
  REPLACED_KEPT_MS,
  reconcile,
  type Repair,
  type ShardFacts,
  type Situation,
  type SpooledChunk,
  type SpoolFacts,
  type StoredFile,
} from '../../src/core/upkeep/reconcile.ts';
import { SHARD_STATES, type ShardState } from '../../src/core/upkeep/shard-state.ts';

const PATH = 'shards/01/s1-7.h5';
const OLD = ORPHAN_GRACE_MS;
const YOUNG = ORPHAN_GRACE_MS - 1;
const BYTES = 1000;

const shard = (fields: Partial<ShardFacts> = {}): ShardFacts => ({
  id: 's1',
  laneId: 'l1',
  path: PATH,
  state: 'live',
  bytes: BYTES,
  ageMs: OLD,
  replacedMs: null,
  ...fields,
});
const shardFile = (fields: Partial<Extract<StoredFile, { kind: 'shard' }>> = {}): StoredFile => ({
  path: PATH,
  bytes: BYTES,
  ageMs: OLD,
  changedMs: OLD,
  kind: 'shard',
  shardId: 's1',
  commit: 7n,
  ...fields,
});
const spool = (fields: Partial<SpoolFacts> = {}): SpoolFacts => ({
  id: 'w1',
  path: 'spool/w1',
  state: 'kept',
  ageMs: 0,
  chunks: [chunk(1, 400), chunk(2, BYTES)],
  ...fields,
});
const chunk = (id: number, end: number, damagedMs: number | null = null): SpooledChunk => ({ id, end, damagedMs });
const spoolFile = (fields: Partial<StoredFile> = {}): StoredFile =>
  ({ path: 'spool/w1', bytes: BYTES, ageMs: OLD, changedMs: OLD, kind: 'spool', ...fields }) as StoredFile;
const other = (kind: 'temporary' | 'aside', path: string, ageMs: number): StoredFile => ({
  path,
  bytes: 1,
  ageMs,
  changedMs: ageMs,
  kind,
});
const situation = (fields: Partial<Situation>): Situation => ({
  shards: [],
  spools: [],
  newestCommit: 10n,
  files: [],
  ...fields,
});
const repairs = (fields: Partial<Situation>): readonly Repair[] => reconcile(situation(fields)).repairs;
const kinds = (fields: Partial<Situation>): Repair['kind'][] => repairs(fields).map(({ kind }) => kind);
/** One of many, all of one lane; the higher, the newer. */
const nth = (n: number, fields: Partial<ShardFacts> = {}): ShardFacts =>
  shard({ id: `s${n}`, path: `shards/0${n}/s${n}-${n}.h5`, ageMs: 1e9 - n * 1000, ...fields });
const fileOf = (n: number): StoredFile =>
  shardFile({ path: `shards/0${n}/s${n}-${n}.h5`, shardId: `s${n}`, commit: BigInt(n) });

test('rows and files that agree need nothing', () => {
  const agreeing = {
    shards: [shard(), nth(2), nth(3, { state: 'writing', ageMs: 0 })],
    spools: [spool(), spool({ id: 'w2', path: 'spool/w2', state: 'receiving', chunks: [] })],
    files: [shardFile(), fileOf(2), spoolFile()],
  };
  expect(reconcile(situation(agreeing))).toEqual({ repairs: [], estranged: null });
});

describe('a shard', () => {
  const marked = (as: 'lost' | 'damaged' | 'live'): Repair[] => [{ kind: 'mark', shardId: 's1', path: PATH, as }];
  test.each<[ShardState, number | null, Repair[]]>([
    ['live', BYTES, []],
    ['live', BYTES - 1, marked('damaged')],
    ['live', 0, marked('damaged')],
    ['live', null, marked('lost')],
    ['lost', null, []],
    ['lost', BYTES, marked('live')],
    ['lost', BYTES - 1, marked('damaged')],
    ['damaged', BYTES - 1, []],
    ['damaged', BYTES, marked('live')],
    ['damaged', null, marked('lost')],
    ['writing', null, []],
    ['writing', 3, []],
  ])('that is %s, with a file of %p bytes', (state, bytes, expected) => {
    const files = bytes === null ? [] : [shardFile({ bytes })];
    expect(repairs({ shards: [shard({ state, ageMs: YOUNG })], files })).toEqual(expected);
  });

  test('that nobody finishes is forgotten after the grace time, whether its file is there or not', () => {
    const forgotten: Repair[] = [{ kind: 'forget', of: 'shard', id: 's1', path: PATH }];
    expect(repairs({ shards: [shard({ state: 'writing' })], files: [shardFile()] })).toEqual(forgotten);
    expect(repairs({ shards: [shard({ state: 'writing' })] })).toEqual(forgotten);
  });

  test('that was replaced goes after its grace time, whether its file is there or not', () => {
    const replaced = shard({ state: 'replaced', replacedMs: REPLACED_KEPT_MS });
    expect(kinds({ shards: [replaced], files: [shardFile()] })).toEqual(['drop-replaced']);
    expect(kinds({ shards: [replaced] })).toEqual(['drop-replaced']);
    expect(kinds({ shards: [{ ...replaced, replacedMs: REPLACED_KEPT_MS - 1 }], files: [shardFile()] })).toEqual([]);
  });

  test.each<[string, Partial<ShardFacts>, number | null, boolean]>([
    ['that is whole', {}, BYTES, false],
    ['that is lost', {}, null, true],
    ['that is short', {}, BYTES - 1, true],
    ['that is lost, of another lane', { laneId: 'l2' }, null, false],
    ['that is lost, and was begun before it', { ageMs: 3 * OLD }, null, false],
    ['that is lost, and was begun after it was replaced', { ageMs: OLD / 2 }, null, false],
  ])('that was replaced by one %s: is kept %p', (_, fields, bytes, isKept) => {
    const replaced = shard({ state: 'replaced', ageMs: 2 * OLD, replacedMs: OLD });
    const heir = nth(2, { ageMs: OLD + 1000, ...fields });
    const files = [shardFile(), ...(bytes === null ? [] : [{ ...fileOf(2), bytes }])];
    expect(kinds({ shards: [replaced, heir], files }).includes('drop-replaced')).toBe(!isKept);
  });
});

describe('a spool file', () => {
  test('that is short takes only the chunks with it that it does not reach', () => {
    expect(repairs({ spools: [spool()], files: [spoolFile({ bytes: BYTES - 1 })] })).toEqual([
      { kind: 'mark-fresh', path: 'spool/w1', ids: [2], as: 'damaged' },
    ]);
    expect(repairs({ spools: [spool()] })).toMatchObject([{ ids: [1, 2], as: 'damaged' }]);
  });

  test('that is back is read again, and one that has not changed since is not', () => {
    const damaged = spool({ chunks: [chunk(1, 400, 5000), chunk(2, BYTES, 5000)] });
    expect(repairs({ spools: [damaged] })).toEqual([]);
    expect(repairs({ spools: [damaged], files: [spoolFile({ changedMs: 5000 + CLOCK_SLACK_MS })] })).toEqual([]);
    expect(repairs({ spools: [damaged], files: [spoolFile({ changedMs: 5000 })] })).toHaveLength(1);
    expect(repairs({ spools: [damaged], files: [spoolFile({ changedMs: 4000 })] })).toEqual([
      { kind: 'mark-fresh', path: 'spool/w1', ids: [1, 2], as: 'sound' },
    ]);
    expect(repairs({ spools: [damaged], files: [spoolFile({ changedMs: 4000, bytes: 400 })] })).toMatchObject([
      { ids: [1], as: 'sound' },
    ]);
  });

  test('that nobody receives any more is forgotten, row first', () => {
    const receiving = (ageMs: number): SpoolFacts => spool({ state: 'receiving', ageMs, chunks: [] });
    expect(kinds({ spools: [receiving(RECEIVING_KEPT_MS - 1)], files: [spoolFile()] })).toEqual([]);
    expect(repairs({ spools: [receiving(RECEIVING_KEPT_MS)], files: [spoolFile()] })).toEqual([
      { kind: 'forget', of: 'spool', id: 'w1', path: 'spool/w1' },
    ]);
  });
});

describe('a file without a row', () => {
  test('is set aside after the grace time, and kept aside for a week', () => {
    expect(kinds({ files: [shardFile({ ageMs: YOUNG }), spoolFile({ ageMs: YOUNG })] })).toEqual([]);
    expect(repairs({ files: [shardFile(), spoolFile()] })).toEqual([
      { kind: 'set-aside', path: PATH },
      { kind: 'set-aside', path: 'spool/w1' },
    ]);
    expect(kinds({ files: [other('aside', 'shards/orphans/x', ASIDE_KEPT_MS - 1)] })).toEqual([]);
    expect(kinds({ files: [other('aside', 'shards/orphans/x', ASIDE_KEPT_MS)] })).toEqual(['remove']);
  });

  test('stays where it is while a shard is lost: it may have its rows', () => {
    const lost = nth(2, { state: 'lost' });
    const files = [shardFile(), spoolFile(), other('aside', 'shards/orphans/x', ASIDE_KEPT_MS)];
    expect(repairs({ shards: [lost], files })).toEqual([]);
    expect(repairs({ shards: [lost, shard({ state: 'writing' })], files })).toEqual([]);
  });

  test('that somebody did not finish goes after the grace time, whatever is lost', () => {
    const temporary = (ageMs: number): StoredFile => other('temporary', `${PATH}.tmp`, ageMs);
    expect(kinds({ files: [temporary(YOUNG)] })).toEqual([]);
    expect(kinds({ files: [temporary(OLD)] })).toEqual(['remove']);
    expect(kinds({ shards: [nth(2, { state: 'lost' })], files: [temporary(OLD)] })).toEqual(['remove']);
  });
});

describe('catalog and files of different days', () => {
  const five = [1, 2, 3, 4, 5].map((n) => nth(n));
  const filesBut = (...gone: number[]): StoredFile[] =>
    [1, 2, 3, 4, 5].filter((n) => !gone.includes(n)).map((n) => fileOf(n));

  test.each<[string, Partial<Situation>, RegExp]>([
    [
      'a file that is newer than the newest commit: an older dump',
      { shards: five, files: [...filesBut(), shardFile({ commit: 11n, shardId: 's9', path: 'shards/09/s9-11.h5' })] },
      /^a file of the data folder is newer \(shards\/09\/s9-11\.h5\) than the catalog, which ends with commit 10: Postgres was restored/,
    ],
    [
      'files that were compacted after the dump, into one of no newer commit',
      { shards: five, files: [...filesBut(1, 2), shardFile({ commit: 5n, shardId: 's9', path: 'shards/09/s9-5.h5' })] },
      /Postgres was restored to an earlier day/,
    ],
    [
      'files from before the newest flushes',
      { shards: five, files: filesBut(4, 5) },
      /^2 files that the catalog names are missing \(shards\/04\/s4-4\.h5 among them\), and all that is there is older: the data folder was restored/,
    ],
    [
      'files from before a compaction',
      { shards: five.slice(1), files: [fileOf(1), ...filesBut(1, 5)] },
      /^a file that the catalog names is missing .*, and a file that it does not name is there .*: the data folder was restored/,
    ],
    ['a folder that has next to nothing', { shards: five, files: filesBut(1, 3, 5) }, /that is most of them: the data/],
    [
      'newest spool files missing, too',
      { shards: five, spools: [spool()], files: filesBut(5) },
      /^2 files that the catalog names are missing/,
    ],
  ])('are told as that, and nothing is marked, set aside or taken away: %s', (_, fields, expected) => {
    const leftovers = [
      nth(8, { state: 'writing', ageMs: 10 * OLD }),
      nth(9, { state: 'replaced', ageMs: 10 * OLD, replacedMs: OLD }),
    ].map((each) => ({ ...each, id: `a${each.id}` }));
    const found = reconcile(
      situation({
        ...fields,
        shards: [...fields.shards!, ...leftovers],
        files: [...fields.files!, other('aside', 'shards/orphans/x', ASIDE_KEPT_MS)],
      }),
    );
    expect(found.estranged).toMatch(expected);
    expect(found.estranged).toContain('varve recover --accept-loss');
    expect(found.repairs).toEqual([]);
  });

  test.each<[string, Partial<Situation>]>([
    ['one shard is lost', { shards: five, files: filesBut(5) }],
    ['two are, and newer ones are there', { shards: five, files: filesBut(2, 3) }],
    ['shards are short', { shards: five, files: filesBut().map((file) => ({ ...file, bytes: 3 })) }],
    ['what is missing was told already', { shards: five.map((s) => ({ ...s, state: 'lost' })), files: [] }],
    ['there is an orphan', { shards: five.slice(1), files: filesBut() }],
  ])('are not told where %s', (_, fields) => {
    expect(reconcile(situation(fields)).estranged).toBeNull();
  });

  test('go on as they are once that is accepted', () => {
    const files = [fileOf(1), fileOf(2), shardFile({ commit: 11n, shardId: 's9', path: 'shards/09/s9-11.h5' })];
    const found = reconcile(situation({ shards: five.slice(1), files }), true);
    expect(found.estranged).toBeNull();
    expect(found.repairs).toEqual([
      ...[3, 4, 5].map((n) => ({ kind: 'mark', shardId: `s${n}`, path: fileOf(n).path, as: 'lost' })),
      { kind: 'set-aside', path: fileOf(1).path },
      { kind: 'set-aside', path: 'shards/09/s9-11.h5' },
    ]);
  });
});

describe('whatever there is', () => {
  const facts = fc.record({
    state: fc.constantFrom(...SHARD_STATES),
    ageMs: fc.integer({ min: 0, max: 2 * ASIDE_KEPT_MS }),
    /** Size of its file; null: there is none. */
    bytes: fc.option(fc.integer({ min: 0, max: BYTES + 1 })),
    isNamed: fc.boolean(),
    commit: fc.integer({ min: 1, max: 11 }),
  });
  const situations = fc.array(facts, { maxLength: 8 }).map((all): Situation => {
    const at = all.map((each, n) => ({ ...each, path: `shards/0${n}/s${n}-${each.commit}.h5`, id: `s${n}` }));
    return situation({
      shards: at
        .filter(({ isNamed }) => isNamed)
        .map(({ id, path, state, ageMs }) =>
          shard({ id, path, state, ageMs, replacedMs: state === 'replaced' ? ageMs / 2 : null }),
        ),
      files: at.flatMap(({ id: shardId, path, bytes, ageMs, commit }) =>
        bytes === null ? [] : [shardFile({ path, shardId, bytes, ageMs, commit: BigInt(commit) })],
      ),
    });
  });
  const isNeeded = ({ state }: ShardFacts): boolean => state === 'live' || state === 'lost' || state === 'damaged';

  test('no file that readers need is touched, and no file of which no row is known is removed', () => {
    fc.assert(
      fc.property(situations, fc.boolean(), (given, isAccepted) => {
        const needed = new Set(given.shards.filter(isNeeded).map(({ path }) => path));
        for (const repair of reconcile(given, isAccepted).repairs) {
          if (repair.kind === 'mark') continue;
          expect(repair.kind).not.toBe('remove');
          expect(needed.has((repair as Extract<Repair, { kind: 'set-aside' }>).path)).toBe(false);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('what was repaired needs no repair', () => {
    fc.assert(
      fc.property(situations, (given) => {
        const { repairs: all } = reconcile(given, true);
        const marks = new Map(all.flatMap((each) => (each.kind === 'mark' ? [[each.shardId, each.as]] : [])));
        const goneRows = new Set(
          all.flatMap((each) =>
            each.kind === 'forget' ? [each.id] : each.kind === 'drop-replaced' ? [each.shardId] : [],
          ),
        );
        const gonePaths = new Set(
          all.flatMap((each) => (each.kind === 'mark' ? [] : [(each as { path: string }).path])),
        );
        const after = {
          ...given,
          shards: given.shards
            .filter(({ id }) => !goneRows.has(id))
            .map((each) => ({ ...each, state: marks.get(each.id) ?? each.state })),
          files: given.files.filter(({ path }) => !gonePaths.has(path)),
        };
        expect(reconcile(after, true).repairs).toEqual([]);
      }),
      { numRuns: 2000 },
    );
  });

  test('nothing but what nobody has finished is touched while the two are of different days', () => {
    fc.assert(
      fc.property(situations, (given) => {
        const { estranged, repairs: all } = reconcile(given);
        if (estranged !== null) expect(all).toEqual([]);
      }),
      { numRuns: 2000 },
    );
  });
});
