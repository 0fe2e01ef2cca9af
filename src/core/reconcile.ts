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

export interface ShardFacts {
  readonly id: string;
  readonly path: string;
  readonly state: ShardState;
  /** Of the whole file. */
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
  /** The fresh chunks that lie in it, but for those that are known to be damaged: where in the file each ends. */
  readonly chunks: ReadonlyArray<{ readonly id: number; readonly end: number }>;
}

/** A file of the data folder, as its name tells. Paths are relative to the data root. */
export type StoredFile = {
  readonly path: string;
  readonly bytes: number;
  /** Since it was last written. */
  readonly ageMs: number;
} & (
  | { readonly kind: 'shard'; /** As of which it tells the truth. */ readonly commit: bigint }
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
  /** Listed before the rows were read. */
  readonly files: readonly StoredFile[];
}

export type Repair =
  /** The file of a shard is missing, or shorter than it was; or as it was, again. */
  | { readonly kind: 'mark'; readonly shardId: string; readonly path: string; readonly as: 'lost' | 'damaged' | 'live' }
  /** Bytes of fresh chunks are missing. */
  | { readonly kind: 'mark-fresh'; readonly path: string; readonly ids: readonly number[] }
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
  /** Catalog and files are of different days: what to say of it; null: they are not. Then only what was meant to go is taken away. */
  readonly estranged: string | null;
}

export function reconcile(situation: Situation): Reconciliation {
  const { shards, spools, files } = situation;
  const fileAt = new Map(files.map((file) => [file.path, file]));
  const named = new Set([...shards, ...spools].map(({ path }) => path));
  const estranged = estrangement(situation, fileAt, named);
  const isWhole = shards.every(({ path, state }) => !isWanted(state) || fileAt.has(path));
  const mayTakeAway = estranged === null && isWhole;
  return {
    estranged,
    repairs: [
      ...shards.flatMap((shard) => repairsOfShard(shard, fileAt.get(shard.path))),
      ...spools.flatMap((spool) => repairsOfSpool(spool, fileAt.get(spool.path), estranged !== null)),
      ...files.flatMap((file) => (named.has(file.path) ? [] : repairsOfFile(file, mayTakeAway))),
    ],
  };
}

/** Readers need the file. */
function isWanted(state: ShardState): boolean {
  return state === 'live' || state === 'lost' || state === 'damaged';
}

function repairsOfShard({ id, path, state, bytes, ageMs, replacedMs }: ShardFacts, file?: StoredFile): Repair[] {
  if (state === 'replaced')
    return replacedMs! >= REPLACED_KEPT_MS ? [{ kind: 'drop-replaced', shardId: id, path }] : [];
  if (state === 'writing') return ageMs >= ORPHAN_GRACE_MS ? [{ kind: 'forget', of: 'shard', id, path }] : [];
  const is = !file ? 'lost' : file.bytes < bytes ? 'damaged' : 'live';
  return is === state ? [] : [{ kind: 'mark', shardId: id, path, as: is }];
}

function repairsOfSpool(
  { id, path, state, ageMs, chunks }: SpoolFacts,
  file: StoredFile | undefined,
  isEstranged: boolean,
): Repair[] {
  if (state === 'receiving') return ageMs >= RECEIVING_KEPT_MS ? [{ kind: 'forget', of: 'spool', id, path }] : [];
  // The right files may still come.
  if (isEstranged) return [];
  const ids = chunks.filter(({ end }) => end > (file?.bytes ?? 0)).map((chunk) => chunk.id);
  return ids.length > 0 ? [{ kind: 'mark-fresh', path, ids }] : [];
}

/** Of a file without a row. @param mayTakeAway false: it may be what is missed */
function repairsOfFile(file: StoredFile, mayTakeAway: boolean): Repair[] {
  const { path, ageMs, kind } = file;
  const remove = (reason: string): Repair[] => [{ kind: 'remove', file, reason }];
  switch (kind) {
    case 'temporary':
      return ageMs >= ORPHAN_GRACE_MS ? remove('left by a process that did not finish it') : [];
    case 'aside':
      return ageMs >= ASIDE_KEPT_MS && mayTakeAway ? remove('kept aside long enough') : [];
    case 'shard':
    case 'spool':
      return ageMs >= ORPHAN_GRACE_MS && mayTakeAway ? [{ kind: 'set-aside', path }] : [];
  }
}

/** Whether one of the two was restored to another day than the other. */
function estrangement(
  { shards, spools, files, newestCommit }: Situation,
  fileAt: ReadonlyMap<string, StoredFile>,
  named: ReadonlySet<string>,
): string | null {
  const newer = files.filter((file) => file.kind === 'shard' && file.commit > newestCommit && !named.has(file.path));
  if (newer.length > 0) {
    return `${several(newer.length, 'file')} of the data folder, among them ${newer[0].path}, ${newer.length === 1 ? 'is' : 'are'} newer than the catalog, which ends with commit ${newestCommit}: Postgres was restored to an earlier day. Restore a newer dump, or run varve rebuild-catalog; nothing is taken away meanwhile.`;
  }
  const wanted = [
    ...shards.filter(({ state }) => isWanted(state)),
    ...spools.filter(({ state, chunks }) => state === 'kept' && chunks.length > 0),
  ];
  const missing = wanted.filter(({ path }) => !fileAt.has(path));
  const present = wanted.filter(({ path }) => fileAt.has(path));
  const unnamed = files.filter(({ kind, path }) => kind === 'shard' && !named.has(path));
  const areNewest = missing.every(({ ageMs }) => present.every((other) => other.ageMs > ageMs));
  if (missing.length === 0 || !(unnamed.length > 0 || (missing.length > 1 && areNewest))) return null;
  return `${several(missing.length, 'file')} that the catalog names, among them ${missing[0].path}, ${missing.length === 1 ? 'is' : 'are'} missing${unnamed.length > 0 ? `, and ${several(unnamed.length, 'file')} that it does not name ${unnamed.length === 1 ? 'is' : 'are'} there` : ' and all of them are newer than what is there'}: the data folder was restored to an earlier day, or is another one. Bring the files of the same day; nothing is taken away meanwhile.`;
}

function several(count: number, what: string): string {
  return count === 1 ? `a ${what}` : `${count} ${what}s`;
}
