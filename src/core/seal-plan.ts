/** Which shards of a lane are to be rewritten as one sealed shard, and why. Pure. */
import type { ShardState } from './shard-state.ts';

export interface SealableShard {
  readonly id: string;
  readonly state: Exclude<ShardState, 'replaced' | 'lost'>;
  /** Of the file. */
  readonly bytes: number;
  /** Since it was made. */
  readonly ageMs: number;
  /** Stored bytes whose rows were removed, replaced or have expired, or were left over by an earlier rewriting. */
  readonly deadBytes: number;
  /** Other sealed shards of the lane that hold rows of the same time range of an irregular series. */
  readonly overlaps: readonly string[];
}

export type SealReason =
  /** Takes no more appends: full, or left by a worker. */
  | 'retired'
  /** Is appended to for so long that what lies in it should be compressed. */
  | 'old'
  /** Somebody asked for it. */
  | 'asked'
  /** Much of what it stores is no data any more. */
  | 'dead-rows'
  /** Holds rows between whose times another one's lie. */
  | 'overlap'
  /** One of many that are small. */
  | 'small';

export interface SealStep {
  readonly laneId: string;
  readonly reason: SealReason;
  /** In their order. */
  readonly shards: readonly SealableShard[];
  /** One of them is the lane's hot shard, which must take no more appends first. */
  readonly retire: string | null;
}

export interface SealLimits {
  /** A hot shard of this age is sealed, whatever its size. */
  readonly hotMs: number;
}

export const DEFAULT_SEAL_LIMITS: SealLimits = { hotMs: 24 * 60 * 60 * 1000 };

/** Shards that are rewritten together have at most this many bytes, unless one alone has more. */
export const MAX_INPUT_BYTES = 2 * 1024 ** 3;
/** This share of a sealed shard is worth its rewriting. */
const DEAD_SHARE = 0.3;
/** Sealed shards below this are small … */
const SMALL_BYTES = 64 * 1024 ** 2;
/** … and this many of them, one after the other, become one: each byte is rewritten about log(n) times, as in a log-structured merge tree. */
const SMALL_RUN = 4;

/**
 * @param shards of one lane, in the order they were made
 * @param all seal what can be sealed now, whatever its age and size
 * @returns steps that do not share a shard, the most useful first
 */
export function planSeals(
  laneId: string,
  shards: readonly SealableShard[],
  limits: SealLimits = DEFAULT_SEAL_LIMITS,
  all = false,
): SealStep[] {
  const taken = new Set<string>();
  const steps: SealStep[] = [];
  const take = (reason: SealReason, chosen: readonly SealableShard[]): void => {
    const free = chosen.filter(({ id }) => !taken.has(id));
    for (const batch of batches(free)) {
      for (const { id } of batch) taken.add(id);
      const retire = batch.find(({ state }) => state === 'hot')?.id ?? null;
      steps.push({ laneId, reason: retire === null || all ? reason : 'old', shards: batch, retire });
    }
  };
  const isDue = ({ state, ageMs }: SealableShard): boolean =>
    state === 'retired' || (state === 'hot' && (all || ageMs >= limits.hotMs));
  take(all ? 'asked' : 'retired', shards.filter(isDue));

  const sealed = shards.filter(({ state }) => state === 'sealed');
  for (const shard of sealed) if (shard.deadBytes > shard.bytes * DEAD_SHARE) take('dead-rows', [shard]);
  for (const group of overlapping(sealed)) if (totalBytes(group) <= MAX_INPUT_BYTES) take('overlap', group);
  for (const run of smallRuns(sealed.filter(({ id }) => !taken.has(id)))) {
    if (run.length >= (all ? 2 : SMALL_RUN)) take('small', run);
  }
  return steps;
}

/** Cut where the limit on the bytes of one rewriting is reached. */
function batches(shards: readonly SealableShard[]): SealableShard[][] {
  const all: SealableShard[][] = [];
  let bytes = 0;
  for (const shard of shards) {
    const open = all.at(-1);
    if (open && bytes + shard.bytes <= MAX_INPUT_BYTES) {
      open.push(shard);
      bytes += shard.bytes;
    } else {
      all.push([shard]);
      bytes = shard.bytes;
    }
  }
  return all;
}

/** Groups of two or more that are connected by overlaps. */
function overlapping(shards: readonly SealableShard[]): SealableShard[][] {
  const groups: SealableShard[][] = [];
  const seen = new Set<string>();
  for (const first of shards) {
    if (seen.has(first.id)) continue;
    const ids = new Set([first.id]);
    for (const id of ids) {
      for (const shard of shards) {
        if (shard.id === id) for (const other of shard.overlaps) ids.add(other);
        else if (shard.overlaps.includes(id)) ids.add(shard.id);
      }
    }
    const group = shards.filter(({ id }) => ids.has(id));
    for (const { id } of group) seen.add(id);
    if (group.length > 1) groups.push(group);
  }
  return groups;
}

/** Small shards that follow each other. */
function smallRuns(shards: readonly SealableShard[]): SealableShard[][] {
  const runs: SealableShard[][] = [[]];
  for (const shard of shards) {
    if (shard.bytes < SMALL_BYTES) runs.at(-1)!.push(shard);
    else runs.push([]);
  }
  return runs.filter((run) => run.length > 0);
}

function totalBytes(shards: readonly SealableShard[]): number {
  return shards.reduce((sum, { bytes }) => sum + bytes, 0);
}
