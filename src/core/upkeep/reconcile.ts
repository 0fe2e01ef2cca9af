/** What has to be repaired: a pure comparison of the rows of the catalog with the files of the data folder. */
import type { ShardState } from './shard-state.ts';

/** A file without a row, or a row of a file that is being made, is left alone this long. */
export const ORPHAN_GRACE_MS = 60 * 60 * 1000;
/** A body may be received for so long. */
export const RECEIVING_KEPT_MS = 12 * 60 * 60 * 1000;
/** A replaced shard is kept this long for readers that have asked where it is, and have not opened it yet. */
export const REPLACED_KEPT_MS = 60 * 1000;
/** A file that no row names is kept aside this long, for a catalog that was restored to an earlier day. */
export const ASIDE_KEPT_MS = 7 * 24 * 60 * 60 * 1000;
/** The clock of the catalog and that of the files may differ by so much. A file's clock ticks every few milliseconds only. */
export const CLOCK_SLACK_MS = 1000;

export interface ShardFacts {
  readonly id: string;
  readonly laneId: string;
  readonly path: string;
  readonly state: ShardState;
  /** Size of the whole file. */
  readonly bytes: number;
  /** Since its row was made. */
  readonly ageMs: number;
  /** Replaced: since when. */
  readonly replacedMs: number | null;
}

/** A spool file that a commit names, or may name yet. */
export interface SpoolFacts {
  readonly id: string;
  readonly path: string;
  readonly state: 'receiving' | 'kept';
  readonly ageMs: number;
  /** The fresh chunks that lie in it. */
  readonly chunks: readonly SpooledChunk[];
}

export interface SpooledChunk {
  readonly id: number;
  /** Where it ends in the file. */
  readonly end: number;
  /** Since it was found to be damaged; null: it was not. */
  readonly damagedMs: number | null;
}

/** A file of the data folder, as its name tells. Paths are relative to the data root. */
export type StoredFile = {
  readonly path: string;
  readonly bytes: number;
  /** Since it was last written. */
  readonly ageMs: number;
  /** Since it was last written, renamed or put here, whatever day it bears. */
  readonly changedMs: number;
} & (
  | { readonly kind: 'shard'; readonly shardId: string; /** As of which it tells the truth. */ readonly commit: bigint }
  | { readonly kind: 'spool' }
  | { readonly kind: 'temporary' }
  /** Taken out of the way: no row names it. */
  | { readonly kind: 'aside' }
);

export interface Situation {
  readonly shards: readonly ShardFacts[];
  readonly spools: readonly SpoolFacts[];
  /** The highest number that the catalog has given out. */
  readonly newestCommit: bigint;
  readonly files: readonly StoredFile[];
}

export type Repair =
  /** The file of a shard is missing, or shorter than it was; or as it was, again. */
  | { readonly kind: 'mark'; readonly shardId: string; readonly path: string; readonly as: 'lost' | 'damaged' | 'live' }
  /** Bytes of fresh chunks are missing; or may be there again. */
  | {
      readonly kind: 'mark-fresh';
      readonly path: string;
      readonly ids: readonly number[];
      readonly as: 'damaged' | 'sound';
    }
  /** Nobody makes the file any more: its row goes, then the file. */
  | { readonly kind: 'forget'; readonly of: 'shard' | 'spool'; readonly id: string; readonly path: string }
  /** Remove the file of a shard whose rows are in another, and forget it. */
  | { readonly kind: 'drop-replaced'; readonly shardId: string; readonly path: string }
  /** Take a file that no row names out of the way. */
  | { readonly kind: 'set-aside'; readonly path: string }
  | { readonly kind: 'remove'; readonly file: StoredFile; readonly reason: string };

export interface Reconciliation {
  /** In the order in which they are to be made; none of them depends on another's success. */
  readonly repairs: readonly Repair[];
  /** Catalog and files are of different days: what to say of it; null: they are not. Then nothing is marked and nothing goes: the right ones may come. */
  readonly estranged: string | null;
}

/** @param isAccepted nothing better is to be had: files of another day are what there is */
export function reconcile(situation: Situation, isAccepted = false): Reconciliation {
  const { shards, spools, files } = situation;
  const fileAt = new Map(files.map((file) => [file.path, file]));
  const named = new Set([...shards, ...spools].map(({ path }) => path));
  const wanted = [...shards.filter(isWantedShard), ...spools.filter(isWantedSpool)];
  const missing = wanted.filter(({ path }) => !fileAt.has(path));
  const unnamed = files.filter((file) => file.kind === 'shard' && !named.has(file.path));
  const estranged = estrangement({ situation, wanted, missing, unnamed });
  if (estranged !== null && !isAccepted) return { estranged, repairs: files.flatMap(unfinished) };
  // What is missed may be in a file that nobody names, or that somebody has not finished.
  const isWhole = missing.length === 0;
  const unsound = shards.filter((shard) => isWantedShard(shard) && stateOf(shard, fileAt.get(shard.path)) !== 'live');
  return {
    estranged: null,
    repairs: [
      ...shards.flatMap((shard) => repairsOfShard(shard, fileAt.get(shard.path), unsound, isWhole)),
      ...spools.flatMap((spool) => repairsOfSpool(spool, fileAt.get(spool.path), isWhole)),
      ...files.flatMap((file) => (named.has(file.path) ? [] : repairsOfFile(file, isWhole, isWhole || isAccepted))),
    ],
  };
}

/** Readers need the file. */
function isWantedShard({ state }: ShardFacts): boolean {
  return state === 'live' || state === 'lost' || state === 'damaged';
}

function isWantedSpool({ state, chunks }: SpoolFacts): boolean {
  return state === 'kept' && chunks.length > 0;
}

function stateOf({ bytes }: ShardFacts, file?: StoredFile): 'lost' | 'damaged' | 'live' {
  return !file ? 'lost' : file.bytes < bytes ? 'damaged' : 'live';
}

/** @param unsound shards that cannot be read as a whole */
function repairsOfShard(
  shard: ShardFacts,
  file: StoredFile | undefined,
  unsound: readonly ShardFacts[],
  isWhole: boolean,
): Repair[] {
  const { id, path, state, ageMs, replacedMs } = shard;
  if (state === 'replaced') {
    const isDue = replacedMs! >= REPLACED_KEPT_MS && !unsound.some((heir) => mayBeHeir(heir, shard));
    return isDue ? [{ kind: 'drop-replaced', shardId: id, path }] : [];
  }
  if (state === 'writing') {
    return ageMs >= ORPHAN_GRACE_MS && isWhole ? [{ kind: 'forget', of: 'shard', id, path }] : [];
  }
  const is = stateOf(shard, file);
  return is === state ? [] : [{ kind: 'mark', shardId: id, path, as: is }];
}

/** Whether rows of a replaced shard may be in this one: it was begun after the other, and before the other was replaced. */
function mayBeHeir(heir: ShardFacts, replaced: ShardFacts): boolean {
  return heir.laneId === replaced.laneId && heir.ageMs <= replaced.ageMs && heir.ageMs >= replaced.replacedMs!;
}

function repairsOfSpool(
  { id, path, state, ageMs, chunks }: SpoolFacts,
  file: StoredFile | undefined,
  isWhole: boolean,
): Repair[] {
  if (state === 'receiving') {
    return ageMs >= RECEIVING_KEPT_MS && isWhole ? [{ kind: 'forget', of: 'spool', id, path }] : [];
  }
  const idsOf = (of: (chunk: SpooledChunk) => boolean): number[] => chunks.filter(of).map((chunk) => chunk.id);
  const isCut = ({ end }: SpooledChunk): boolean => end > (file?.bytes ?? 0);
  const cut = idsOf((chunk) => isCut(chunk) && chunk.damagedMs === null);
  // The file was put here since: the next flush reads it, and finds out whether the bytes are the right ones.
  const back = idsOf(
    (chunk) => !isCut(chunk) && chunk.damagedMs !== null && file!.changedMs < chunk.damagedMs + CLOCK_SLACK_MS,
  );
  const mark = (ids: number[], as: 'damaged' | 'sound'): Repair[] =>
    ids.length > 0 ? [{ kind: 'mark-fresh', path, ids, as }] : [];
  return [...mark(cut, 'damaged'), ...mark(back, 'sound')];
}

/** What to do about a file without a row. @param isWhole false: it may be what is missed */
function repairsOfFile(file: StoredFile, isWhole: boolean, mayMove: boolean): Repair[] {
  const { path, ageMs, kind } = file;
  switch (kind) {
    case 'temporary':
      return unfinished(file);
    case 'aside':
      return ageMs >= ASIDE_KEPT_MS && isWhole ? [{ kind: 'remove', file, reason: 'kept aside long enough' }] : [];
    case 'shard':
    case 'spool':
      return ageMs >= ORPHAN_GRACE_MS && mayMove ? [{ kind: 'set-aside', path }] : [];
  }
}

function unfinished(file: StoredFile): Repair[] {
  if (file.kind !== 'temporary' || file.ageMs < ORPHAN_GRACE_MS) return [];
  return [{ kind: 'remove', file, reason: 'left by a process that did not finish it' }];
}

interface Comparison {
  readonly situation: Situation;
  /** Files that readers need, as the catalog has them; `missing`: those that are not there. */
  readonly wanted: ReadonlyArray<ShardFacts | SpoolFacts>;
  readonly missing: ReadonlyArray<ShardFacts | SpoolFacts>;
  /** Shards in the folder that the catalog does not name. */
  readonly unnamed: readonly StoredFile[];
}

const MEANWHILE =
  'If there is none, varve recover --accept-loss goes on without. Nothing is accepted, and nothing is taken away, meanwhile.';

function isKnownLoss(wanted: ShardFacts | SpoolFacts): boolean {
  return 'chunks' in wanted ? wanted.chunks.every(({ damagedMs }) => damagedMs !== null) : wanted.state === 'lost';
}

/** Whether one of the two was restored to another day than the other. What is known to be lost says nothing of it. */
function estrangement({ situation, wanted, missing, unnamed }: Comparison): string | null {
  const { shards, newestCommit } = situation;
  const ahead = unnamed.filter((file) => file.kind === 'shard' && file.commit > newestCommit);
  const astray = missing.filter((each) => !isKnownLoss(each));
  // Ids of shards are in order of time.
  const newestId = shards.reduce((newest, { id }) => (id > newest ? id : newest), '');
  const younger = astray.length > 0 ? unnamed.filter((file) => file.kind === 'shard' && file.shardId > newestId) : [];
  const newer = ahead.length > 0 ? ahead : younger;
  if (newer.length > 0) {
    return `${several(newer, 'of the data folder', 'is newer', 'are newer')} than the catalog, which ends with commit ${newestCommit}: Postgres was restored to an earlier day. Restore a newer dump, or make the catalog again with varve rebuild-catalog. ${MEANWHILE}`;
  }
  const missed = new Set(missing);
  const present = wanted.filter((each) => !missed.has(each));
  const areNewest = astray.every(({ ageMs }) => present.every((other) => other.ageMs > ageMs));
  const isMajority = astray.length > present.length;
  if (astray.length === 0 || !(unnamed.length > 0 || (astray.length > 1 && (areNewest || isMajority)))) return null;
  const others =
    unnamed.length > 0
      ? several(unnamed, 'that it does not name', 'is there', 'are there')
      : isMajority
        ? 'that is most of them'
        : 'all that is there is older';
  return `${several(astray, 'that the catalog names', 'is missing', 'are missing')}, and ${others}: the data folder was restored to an earlier day, or is another one. Bring the files of the same day. ${MEANWHILE}`;
}

function several(files: ReadonlyArray<{ readonly path: string }>, which: string, is: string, are: string): string {
  const [{ path }] = files;
  return files.length === 1
    ? `a file ${which} ${is} (${path})`
    : `${files.length} files ${which} ${are} (${path} among them)`;
}
