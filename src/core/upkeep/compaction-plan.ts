/** Which shards of a lane are to become one, and why. Pure. */

export interface CompactableShard {
  readonly id: string;
  /** 0: made by a flush; 1: by compaction, so that it has summaries. */
  readonly level: number;
  /** Size of the file … */
  readonly bytes: number;
  readonly dataBytes: number;
  /** Since it was made. */
  readonly ageMs: number;
  /** Rows in it are to expire, which they may not before there are summaries of them. */
  readonly isWanted: boolean;
  /** Stored bytes whose rows were removed, replaced or have expired. */
  readonly deadBytes: number;
  /** Other shards with rows of the same time range of an irregular series, and the share of this one's rows that lie there. */
  readonly overlap: { readonly others: readonly string[]; readonly share: number } | null;
}

export type CompactionReason =
  /** Several neighbours of one size. */
  | 'size'
  /** Much of what it stores is no data any more. */
  | 'dead-rows'
  /** Rows lie between those of others: reads must put them in order. */
  | 'overlap'
  /** It has no summaries, and has waited long for neighbours, or its rows are to expire. */
  | 'summaries'
  /** Somebody asked for it. */
  | 'asked';

export interface CompactionStep {
  readonly laneId: string;
  readonly reason: CompactionReason;
  /** In the order in which their rows came. */
  readonly shards: readonly CompactableShard[];
}

/** Shards that become one have at most this many bytes together, unless one alone has more. */
export const MAX_INPUT_BYTES = 2 * 1024 ** 3;
/** So many neighbours of one size class become one of the next: each byte is rewritten once a class. */
const TIER_SHARDS = 4;
/** Shards of this size are left as they are … */
const LARGE_BYTES = 64 * 1024 ** 2;
/** … and classes are counted from this one. */
const CLASS_BYTES = 1024 ** 2;
/** This share of dead bytes is worth a rewriting. */
const DEAD_SHARE = 0.3;
/**
 * Disorder that is worth a compaction. Either this share of a shard's rows lies among others of its size. Or overlaps
 * are so deep that reads are slow, whatever the sizes.
 */
const OVERLAP_SHARE = 0.1;
const OVERLAP_DEPTH = 16;
/** Without summaries overviews read every row. */
const UNSUMMARISED_MS = 24 * 60 * 60 * 1000;

/** Shards of one class differ by less than the factor of a tier; below 1 MiB the classes are negative. */
export function sizeClass(dataBytes: number): number {
  return Math.floor(Math.log(Math.max(1, dataBytes) / CLASS_BYTES) / Math.log(TIER_SHARDS));
}

/**
 * @param shards of one lane, in the order in which their rows came
 * @param all compact what can be, whatever its size and age
 * @returns steps that do not share a shard, the most useful first
 */
export function planCompactions(laneId: string, shards: readonly CompactableShard[], all = false): CompactionStep[] {
  const taken = new Set<string>();
  const steps: CompactionStep[] = [];
  const take = (reason: CompactionReason, chosen: readonly CompactableShard[], least = 1): void => {
    const free = chosen.filter(({ id }) => !taken.has(id));
    if (free.length < least) return;
    for (const batch of batches(free)) {
      if (batch.length < least) continue;
      for (const { id } of batch) taken.add(id);
      steps.push({ laneId, reason, shards: batch });
    }
  };
  if (all) {
    const isDone = shards.length === 1 && shards[0].level > 0 && shards[0].deadBytes === 0;
    if (!isDone) take('asked', shards);
    return steps;
  }
  for (const shard of shards)
    if (shard.deadBytes >= shard.dataBytes * DEAD_SHARE && shard.deadBytes > 0) take('dead-rows', [shard]);
  for (const group of disordered(shards)) take('overlap', group, 2);
  for (const run of tiers(shards, taken)) take('size', run, TIER_SHARDS);
  const isDue = ({ level, ageMs, isWanted }: CompactableShard): boolean =>
    level === 0 && (isWanted || ageMs >= UNSUMMARISED_MS);
  take('summaries', shards.filter(isDue));
  return steps;
}

/** Cut where the limit on the bytes of one rewriting is reached. */
function batches(shards: readonly CompactableShard[]): CompactableShard[][] {
  const cut: CompactableShard[][] = [];
  let bytes = 0;
  for (const shard of shards) {
    const open = cut.at(-1);
    if (open && bytes + shard.bytes <= MAX_INPUT_BYTES) {
      open.push(shard);
      bytes += shard.bytes;
    } else {
      cut.push([shard]);
      bytes = shard.bytes;
    }
  }
  return cut;
}

/** Neighbours of one class, as long as they are. */
function tiers(shards: readonly CompactableShard[], taken: ReadonlySet<string>): CompactableShard[][] {
  const runs: CompactableShard[][] = [];
  let open: CompactableShard[] = [];
  for (const shard of shards) {
    const isSmall = shard.dataBytes < LARGE_BYTES && !taken.has(shard.id);
    if (!isSmall) open = [];
    else if (open.length > 0 && sizeClass(open[0].dataBytes) === sizeClass(shard.dataBytes)) open.push(shard);
    else runs.push((open = [shard]));
  }
  return runs;
}

/**
 * Groups of shards that are connected by overlaps. Where much overlaps they are of one class; where it is deep, of any.
 */
function disordered(shards: readonly CompactableShard[]): CompactableShard[][] {
  const isDeep = ({ overlap }: CompactableShard): boolean => overlap !== null && overlap.others.length > OVERLAP_DEPTH;
  const isWide = ({ overlap }: CompactableShard): boolean => overlap !== null && overlap.share >= OVERLAP_SHARE;
  const deep = connected(shards, () => true).filter((group) => group.some(isDeep));
  const isTaken = new Set(deep.flat().map(({ id }) => id));
  const rest = shards.filter(({ id }) => !isTaken.has(id));
  const alike = (a: CompactableShard, b: CompactableShard): boolean =>
    sizeClass(a.dataBytes) === sizeClass(b.dataBytes);
  return [...deep, ...connected(rest, alike).filter((group) => group.some(isWide))];
}

function connected(
  shards: readonly CompactableShard[],
  mayJoin: (a: CompactableShard, b: CompactableShard) => boolean,
): CompactableShard[][] {
  const touches = (a: CompactableShard, b: CompactableShard): boolean =>
    (a.overlap?.others.includes(b.id) ?? false) || (b.overlap?.others.includes(a.id) ?? false);
  const seen = new Set<CompactableShard>();
  const groups: CompactableShard[][] = [];
  for (const first of shards) {
    if (seen.has(first)) continue;
    const group = new Set([first]);
    for (const shard of group) {
      for (const other of shards)
        if (!group.has(other) && touches(shard, other) && mayJoin(shard, other)) group.add(other);
    }
    for (const shard of group) seen.add(shard);
    if (group.size > 1) groups.push(shards.filter((shard) => group.has(shard)));
  }
  return groups;
}
