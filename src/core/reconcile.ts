/** What has to be repaired: a pure comparison of the rows of the catalog with the files of the data folder. */

import type { ShardState } from './shard-state.ts';

/** A file without a row is left alone this long: whoever made it may be about to write the row. */
export const ORPHAN_GRACE_MS = 60 * 60 * 1000;
/** A replaced shard is kept this long for readers that have asked where it is, and have not opened it yet. */
export const REPLACED_KEPT_MS = 60 * 1000;
/** A shard that nobody published is kept aside this long, for a catalog that was restored to an earlier day. */
export const ASIDE_KEPT_MS = 7 * 24 * 60 * 60 * 1000;

/**
 * Who may be draining a lane. `free`: nobody. `live`: the holder, in time. `expired`: the holder is late, and may still run. `dead`: its process is
 * certainly gone, and with it every file it had open.
 */
export type LeaseState = 'free' | 'live' | 'expired' | 'dead';

export interface LaneFacts {
  readonly id: string;
  readonly lease: LeaseState;
  readonly token: bigint;
  readonly hasPending: boolean;
  /** After an outage of the system: not to be rung for yet. */
  readonly resting: boolean;
}

export interface ShardFacts {
  readonly id: string;
  readonly laneId: string;
  readonly path: string;
  readonly state: ShardState;
  /** Replaced: since when. */
  readonly replacedMs: number | null;
  /** Retired while somebody may have had it open, who may still. */
  readonly mayBeOpen: boolean;
}

/** A file of the data folder, as its name tells. Paths are relative to the data root. */
export type StoredFile = {
  readonly path: string;
  /** Since it was last written. */
  readonly ageMs: number;
} & (
  | { readonly kind: 'shard'; /** Of the lease under which it was made. */ readonly token: bigint }
  | { readonly kind: 'journal'; readonly shardPath: string }
  | { readonly kind: 'payload'; readonly writeId: string }
  | { readonly kind: 'temporary' }
  /** A shard that nobody published, taken out of the way. */
  | { readonly kind: 'aside' }
);

export interface Situation {
  /** Lanes with a lease or pending writes; any other lane is free and has nothing to do. */
  readonly lanes: readonly LaneFacts[];
  readonly shards: readonly ShardFacts[];
  /** States of the writes whose payloads are in the spool. */
  readonly writeStates: ReadonlyMap<string, 'pending' | 'applied' | 'failed'>;
  /** Listed before the rows were read. */
  readonly files: readonly StoredFile[];
}

export type Repair =
  /** Take a lease from a process that is gone, rather than wait until it expires. */
  | { readonly kind: 'free-lease'; readonly laneId: string; readonly token: bigint }
  /** The file of a shard is missing. */
  | { readonly kind: 'mark-lost'; readonly shardId: string; readonly path: string }
  | { readonly kind: 'mark-found'; readonly shardId: string; readonly path: string }
  /** Complete or discard a journal that was left behind. */
  | { readonly kind: 'settle'; readonly laneId: string; readonly path: string }
  /** Ask for a drain. */
  | { readonly kind: 'ring'; readonly laneId: string }
  /** Remove the file of a shard whose rows are in another, and forget it. */
  | { readonly kind: 'drop-replaced'; readonly shardId: string; readonly path: string }
  /** Take a shard that nobody can publish any more out of the way. */
  | { readonly kind: 'set-aside'; readonly path: string }
  | { readonly kind: 'remove'; readonly file: StoredFile; readonly reason: string };

/** @returns repairs in the order in which they are to be made; none of them depends on another's success */
export function reconcile({ lanes, shards, writeStates, files }: Situation): Repair[] {
  const laneOf = new Map(lanes.map((lane) => [lane.id, lane]));
  const paths = new Set(files.map((file) => file.path));
  const shardAt = new Map(shards.map((shard) => [shard.path, shard]));
  return [
    ...lanes
      .filter(({ lease }) => lease === 'dead')
      .map(({ id, token }): Repair => ({ kind: 'free-lease', laneId: id, token })),
    ...shards
      .filter(({ path, state }) => state !== 'replaced' && (state === 'lost') === paths.has(path))
      .map(({ id, path, state }): Repair => ({
        kind: state === 'lost' ? 'mark-found' : 'mark-lost',
        shardId: id,
        path,
      })),
    ...shards
      .filter(({ state, replacedMs }) => state === 'replaced' && replacedMs! >= REPLACED_KEPT_MS)
      .map(({ id, path }): Repair => ({ kind: 'drop-replaced', shardId: id, path })),
    ...lanes
      .filter(({ hasPending, resting, lease }) => hasPending && !resting && lease !== 'live')
      .map(({ id }): Repair => ({ kind: 'ring', laneId: id })),
    ...files.flatMap((file) => repairsOf(file, { laneOf, paths, shardAt, lanes, writeStates })),
  ];
}

interface Known {
  readonly laneOf: ReadonlyMap<string, LaneFacts>;
  readonly paths: ReadonlySet<string>;
  readonly shardAt: ReadonlyMap<string, ShardFacts>;
  readonly lanes: readonly LaneFacts[];
  readonly writeStates: Situation['writeStates'];
}

function repairsOf(file: StoredFile, known: Known): Repair[] {
  const { path, ageMs } = file;
  const isOld = ageMs >= ORPHAN_GRACE_MS;
  const remove = (reason: string): Repair[] => [{ kind: 'remove', file, reason }];
  switch (file.kind) {
    case 'temporary':
      return isOld ? remove('left by a process that did not finish it') : [];
    case 'aside':
      return ageMs >= ASIDE_KEPT_MS ? remove('kept aside long enough') : [];
    case 'payload': {
      const state = known.writeStates.get(file.writeId);
      if (state === 'applied') return remove('its samples are in a shard');
      return state === undefined && isOld ? remove('no write refers to it') : [];
    }
    case 'shard':
      return isOld && !known.shardAt.has(path) && !canBePublished(file.token, known.lanes)
        ? [{ kind: 'set-aside', path }]
        : [];
    case 'journal': {
      const shard = known.shardAt.get(file.shardPath);
      if (!shard) return isOld && !known.paths.has(file.shardPath) ? remove('its shard is gone') : [];
      const lease = known.laneOf.get(shard.laneId)?.lease ?? 'free';
      const isFree = (lease === 'free' || lease === 'dead') && !shard.mayBeOpen;
      return isFree && known.paths.has(file.shardPath)
        ? [{ kind: 'settle', laneId: shard.laneId, path: shard.path }]
        : [];
    }
  }
}

/**
 * A file's name has the token of its lease but not the lane. Tokens of a lane only rise, and a lease that was released publishes no more: only a lane whose
 * current lease has this very token, held by a process that may still run, can be the one.
 */
function canBePublished(token: bigint, lanes: readonly LaneFacts[]): boolean {
  return lanes.some((lane) => lane.token === token && (lane.lease === 'live' || lane.lease === 'expired'));
}
