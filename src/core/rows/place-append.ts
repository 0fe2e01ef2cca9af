/**
 * Where the rows of appends go: their numbers, their times, what is answered before, what is refused. Pure. The heads
 * are locked and the keys were looked up under that lock. So what is decided here holds once the batch commits.
 */
import { notFound, unprocessableField, VarveError } from '../errors.ts';
import { fieldOfKey } from '../idempotency.ts';
import {
  placeRun,
  reachOf,
  type Clock,
  type ClockMark,
  type NearSegment,
  type Run,
  type TimeHead,
} from '../signal/place-run.ts';
import { rowsInTime, timeWithin, type Segment } from '../signal/segment.ts';
import type { DuplicateRule } from '../signal/series.ts';
import { formatTime } from '../time.ts';

/** The head of a series, which appends lock and advance. */
export interface Head extends TimeHead {
  readonly seriesId: string;
  readonly laneId: string;
  readonly projectId: string;
  readonly firstNs: bigint | null;
  /** The number of the newest edit, and rows that edits have taken away. */
  readonly edits: number;
  readonly removed: number;
  readonly expiredNs: bigint | null;
  readonly sealedAt: Date | null;
  /** The version of the series in which its name, its channels or its start tolerance were changed last. */
  readonly shapeVersion: number;
}

/** What a series says of its rows' times. Only the start tolerance may change while the series lives. */
export type TimeRule =
  ({ readonly kind: 'regular' } & Clock) | { readonly kind: 'irregular'; readonly duplicates: DuplicateRule };

/** Rows that lie together: values, and times of an irregular series. */
export interface AppendPart {
  readonly rows: number;
  /** Bytes of values and times together. */
  readonly bytes: number;
  /** Irregular series: smallest and largest time, and whether times strictly increase. */
  readonly firstNs: bigint | null;
  readonly lastNs: bigint | null;
  readonly sorted: boolean;
  readonly valuesCrc: number;
  readonly timesCrc: number | null;
  readonly place: PartPlace;
}

export type PartPlace =
  | { readonly kind: 'memory'; readonly values: Uint8Array; readonly times: Uint8Array | null }
  | {
      readonly kind: 'spool';
      readonly spoolId: string;
      readonly valuesOffset: number;
      readonly timesOffset: number | null;
    };

/** What makes a retry store once. */
export interface AppendKey {
  readonly key: string;
  /** SHA-256 of what was asked. */
  readonly hash: Uint8Array;
}

/** Rows for one series. */
export interface AppendItem {
  readonly seriesId: string;
  readonly rule: TimeRule;
  readonly rows: number;
  /**
   * The version of the series that the body was read by, if it may have changed since then; null: it was just asked
   * for.
   */
  readonly knownVersion: number | null;
  /**
   * Regular series: rows that follow each other, and when they begin as far as the client says it. An irregular series
   * has none.
   */
  readonly runs: readonly Run[];
  readonly parts: readonly AppendPart[];
  /** Irregular series: true if one row that has expired refuses the item. Otherwise it is refused if all of them have. */
  readonly refusesExpired?: boolean;
  readonly key: AppendKey | null;
  /** Who asks; null: nobody. */
  readonly tokenId: string | null;
}

/** Items that become visible in one commit. */
export interface AppendBody {
  readonly items: readonly AppendItem[];
  /** True if one refused item refuses all. An item whose series is out of date does so in any body. */
  readonly atomic: boolean;
}

/** An append that was answered before. */
export interface KnownAppend {
  readonly hash: Uint8Array;
  /** Null: the commit that is being made. */
  readonly commit: bigint | null;
  readonly ordinal: number;
  readonly rows: number;
  readonly firstRow: number | null;
}

export type Placed =
  | {
      readonly kind: 'placed';
      readonly replayed: boolean;
      /** Null: the commit that is being made. */
      readonly commit: bigint | null;
      /** Place of the change in its commit. */
      readonly ordinal: number;
      readonly rows: number;
      /** Null: rows of an irregular series are numbered in order of time. */
      readonly firstRow: number | null;
    }
  | { readonly kind: 'refused'; readonly error: VarveError };

/** A fresh chunk to be: parts of one series that follow each other. */
export interface FreshRun {
  readonly head: Head;
  readonly firstRow: number;
  readonly rows: number;
  readonly bytes: number;
  readonly firstNs: bigint | null;
  readonly lastNs: bigint | null;
  readonly sorted: boolean;
  readonly parts: readonly AppendPart[];
}

/** An element of the commit's row, and of the change feed. */
export interface SampleChange {
  readonly kind: 'append' | 'replace' | 'remove';
  readonly seriesId: string;
  readonly projectId: string;
  readonly firstRow: number | null;
  readonly rows: number;
  readonly tokenId: string | null;
  readonly key: AppendKey | null;
}

export interface Placement {
  /** What became of each item, in the order of the bodies and their items. */
  readonly outcomes: readonly (readonly Placed[])[];
  readonly fresh: readonly FreshRun[];
  /** Heads that moved, as they are now. */
  readonly heads: readonly Head[];
  /** Segments that are followed by another now, or have lost rows; and the first rows of segments that are gone. */
  readonly closed: readonly (Segment & { readonly seriesId: string })[];
  readonly gone: readonly { readonly seriesId: string; readonly firstRow: number }[];
  /** Clock marks that are kept. */
  readonly marks: readonly (ClockMark & { readonly seriesId: string })[];
  /** Changes in the order of their ordinals. */
  readonly changes: readonly SampleChange[];
}

/** Parts in memory are joined up to this many bytes: a chunk of Postgres is read and sent as a whole. */
const MOST_JOINED_BYTES = 64 * 1024;

/** @returns what the map of known appends is keyed by */
export function appendKeyOf(seriesId: string, key: string): string {
  return `${seriesId} ${key}`;
}

/** Segments around places, in order of time, by series. */
export type Surroundings = ReadonlyMap<string, readonly NearSegment[]>;

/** Times around which the segments of a series must be known. */
export interface SegmentLook {
  readonly seriesId: string;
  readonly fromNs: bigint;
  readonly toNs: bigint;
}

/**
 * Places a batch.
 * @param heads heads of the series of all items, by id; if one is missing, there is no series
 * @param known by {@link appendKeyOf}
 * @param look finds what lies around the places of series whose heads do not tell enough, which is rare
 */
export async function placeAppends(
  bodies: readonly AppendBody[],
  heads: ReadonlyMap<string, Head>,
  known: ReadonlyMap<string, KnownAppend>,
  look: (looks: readonly SegmentLook[]) => Promise<Surroundings>,
): Promise<Placement> {
  const near = new Map<string, readonly NearSegment[]>();
  for (;;) {
    const { placement, unknown } = placeAll(bodies, heads, known, near);
    if (unknown.size === 0) return placement;
    // Items that are stored now, because more is known, may make others need a look.
    const found = await look(looksOf(bodies, heads, unknown));
    for (const id of unknown) near.set(id, found.get(id) ?? []);
  }
}

function placeAll(
  bodies: readonly AppendBody[],
  heads: ReadonlyMap<string, Head>,
  known: ReadonlyMap<string, KnownAppend>,
  near: Surroundings,
): { placement: Placement; unknown: ReadonlySet<string> } {
  const state = new Placing(heads, known, near);
  const outcomes = bodies.map((body) => state.place(body));
  return { placement: { outcomes, ...state.result() }, unknown: state.unknown };
}

/** All items of a series count: one may go on from what another has brought. */
function looksOf(
  bodies: readonly AppendBody[],
  heads: ReadonlyMap<string, Head>,
  wanted: ReadonlySet<string>,
): SegmentLook[] {
  const items = bodies.flatMap((body) => body.items.filter(({ seriesId }) => wanted.has(seriesId)));
  const rows = new Map<string, number>();
  for (const item of items) rows.set(item.seriesId, (rows.get(item.seriesId) ?? 0) + item.rows);
  return items.flatMap(({ seriesId, rule, runs }) => {
    if (rule.kind === 'irregular') return [];
    const starts = new Set([null, ...runs.map(({ startNs }) => startNs)]);
    return [...starts].map((at) => ({ seriesId, ...reachOf(heads.get(seriesId)!, rule, at, rows.get(seriesId)!) }));
  });
}

interface PlacedItem {
  readonly item: AppendItem;
  readonly before: Head;
  readonly near: readonly NearSegment[] | null;
  readonly moved: Moved;
}

/** What an item does to its series. */
interface Moved {
  readonly head: Head;
  readonly closed: readonly Segment[];
  readonly gone: readonly number[];
  readonly marks: readonly ClockMark[];
  readonly near: readonly NearSegment[] | null;
}

class Placing {
  readonly #heads: ReadonlyMap<string, Head>;
  readonly #known: ReadonlyMap<string, KnownAppend>;
  readonly #moved = new Map<string, Head>();
  readonly #new = new Map<string, KnownAppend>();
  readonly #placed: PlacedItem[] = [];
  readonly #near: Map<string, readonly NearSegment[] | null>;
  /** Series of which more must be known. */
  readonly unknown = new Set<string>();

  constructor(heads: ReadonlyMap<string, Head>, known: ReadonlyMap<string, KnownAppend>, near: Surroundings) {
    this.#heads = heads;
    this.#known = known;
    this.#near = new Map(near);
  }

  place({ items, atomic }: AppendBody): Placed[] {
    const mark = this.#placed.length;
    const outcomes = items.map((item): Placed => {
      try {
        return this.#item(item);
      } catch (error) {
        return { kind: 'refused', error: error as VarveError };
      }
    });
    const isWhole = outcomes.every(({ kind }) => kind === 'placed');
    // Whoever asks anew sends the whole body once more: it is to be one commit then, too.
    if (isWhole || !(atomic || outcomes.some(isOutOfDate))) return outcomes;
    this.#undo(mark);
    return outcomes.map((outcome) => (outcome.kind === 'refused' ? outcome : { kind: 'refused', error: notStored() }));
  }

  /** @throws VarveError */
  #item(item: AppendItem): Placed {
    const { seriesId, key } = item;
    const head = this.#moved.get(seriesId) ?? this.#heads.get(seriesId);
    if (item.knownVersion !== null && !(head && item.knownVersion >= head.shapeVersion)) throw outOfDate(seriesId);
    if (!head) throw notFound('series', seriesId);
    const earlier = key && this.#earlier(seriesId, key);
    if (earlier) return { kind: 'placed', replayed: true, ...earlier };
    refuseSealed(head);
    const near = this.#near.get(seriesId) ?? null;
    const moved = advanced(head, item, near);
    if (!moved) {
      this.unknown.add(seriesId);
      throw notStored();
    }
    const ordinal = this.#placed.length;
    this.#placed.push({ item, before: head, near, moved });
    this.#moved.set(seriesId, moved.head);
    if (near) this.#near.set(seriesId, moved.near);
    const firstRow = item.rule.kind === 'regular' ? head.rows : null;
    const { rows } = item;
    if (key) this.#new.set(appendKeyOf(seriesId, key.key), { hash: key.hash, commit: null, ordinal, rows, firstRow });
    return { kind: 'placed', replayed: false, commit: null, ordinal, rows, firstRow };
  }

  /** @throws unprocessable `key-reused` */
  #earlier(seriesId: string, { key, hash }: AppendKey): Omit<KnownAppend, 'hash'> | null {
    const id = appendKeyOf(seriesId, key);
    const earlier = this.#known.get(id) ?? this.#new.get(id);
    if (!earlier) return null;
    if (!isEqual(earlier.hash, hash)) {
      throw unprocessableField(fieldOfKey(key), 'was used for a write with other content', 'key-reused');
    }
    const { commit, ordinal, rows, firstRow } = earlier;
    return { commit, ordinal, rows, firstRow };
  }

  /** Takes back what was placed since, the newest first. */
  #undo(mark: number): void {
    for (const { item, before, near } of this.#placed.splice(mark).reverse()) {
      this.#moved.set(item.seriesId, before);
      if (near) this.#near.set(item.seriesId, near);
      if (item.key) this.#new.delete(appendKeyOf(item.seriesId, item.key.key));
    }
  }

  result(): Omit<Placement, 'outcomes'> {
    const touched = new Set(this.#placed.map(({ item }) => item.seriesId));
    return {
      fresh: runsOf(this.#placed),
      heads: [...touched].map((seriesId) => this.#moved.get(seriesId)!),
      ...this.#segments(),
      marks: this.#placed.flatMap(({ item: { seriesId }, moved }) =>
        moved.marks.map((each) => ({ seriesId, ...each })),
      ),
      changes: this.#placed.map(({ item, before }) => ({
        kind: 'append',
        seriesId: item.seriesId,
        projectId: before.projectId,
        firstRow: item.rule.kind === 'regular' ? before.rows : null,
        rows: item.rows,
        tokenId: item.tokenId,
        key: item.key,
      })),
    };
  }

  /** Puts together what becomes of segments in the end. */
  #segments(): Pick<Placement, 'closed' | 'gone'> {
    const closed = new Map<string, Placement['closed'][number]>();
    const gone = new Map<string, Placement['gone'][number]>();
    for (const { item, moved } of this.#placed) {
      const { seriesId } = item;
      for (const firstRow of moved.gone) {
        const id = `${seriesId} ${firstRow}`;
        closed.delete(id);
        gone.set(id, { seriesId, firstRow });
      }
      for (const segment of moved.closed) {
        const id = `${seriesId} ${segment.firstRow}`;
        closed.set(id, { seriesId, ...segment });
        gone.delete(id);
      }
    }
    return { closed: [...closed.values()], gone: [...gone.values()] };
  }
}

/** @throws conflict `series-sealed` */
export function refuseSealed({ seriesId, sealedAt }: Pick<Head, 'seriesId' | 'sealedAt'>): void {
  if (sealedAt === null) return;
  const message = `series ${seriesId} is sealed since ${sealedAt.toISOString()}: its samples do not change any more`;
  throw new VarveError('conflict', message, { slug: 'series-sealed' });
}

/**
 * Refuses rows that nobody would ever see.
 * @param lastNs of the rows that come
 * @param field that says when they lie
 * @throws unprocessable `expired` if all of them are so old that they have expired
 */
export function refuseExpired(expiredNs: bigint | null, lastNs: bigint, field: string): void {
  if (expiredNs === null || lastNs >= expiredNs) return;
  const message = `the rows would expire at once: samples of the series before ${formatTime(expiredNs)} have expired`;
  throw unprocessableField(field, message, 'expired');
}

/** @returns null if more must be known of the series */
function advanced(head: Head, item: AppendItem, near: readonly NearSegment[] | null): Moved | null {
  return item.rule.kind === 'regular'
    ? advancedRegular(head, item, item.rule, near)
    : advancedIrregular(head, item, item.rule);
}

/** @throws unprocessable `overlap`, `expired`, or naming `start` */
function advancedRegular(
  head: Head,
  { runs }: AppendItem,
  clock: Clock,
  known: readonly NearSegment[] | null,
): Moved | null {
  let moved: Moved = { head, closed: [], gone: [], marks: [], near: known };
  for (const run of runs) {
    const placed = placeRun(moved.head, clock, run, moved.near);
    if (!placed) return null;
    const { segment } = placed.head;
    refuseExpired(head.expiredNs, timeWithin(segment!, clock.rate, placed.head.rows - 1), run.field);
    const { firstNs } = moved.head;
    const seenNs = firstSince(segment!, clock, moved.head.rows, head.expiredNs) ?? placed.firstNs;
    const later = new Set([...placed.closed.map(({ firstRow }) => firstRow), ...placed.gone]);
    moved = {
      // This is not the segment's own start: its rows may have been removed, all of them.
      head: { ...moved.head, ...placed.head, firstNs: smallest(seenNs, firstNs) },
      closed: [...moved.closed.filter(({ firstRow }) => !later.has(firstRow)), ...placed.closed],
      gone: [...moved.gone, ...placed.gone],
      marks: [...moved.marks, ...placed.marks],
      near: placed.near,
    };
  }
  return moved;
}

/** Time of the first row from a row on that has not expired. */
function firstSince(segment: Segment, { rate }: Clock, row: number, expiredNs: bigint | null): bigint | null {
  if (expiredNs === null) return null;
  return timeWithin(segment, rate, Math.max(row, rowsInTime(segment, rate, expiredNs, expiredNs).from));
}

/** @throws conflict `time-not-increasing`; unprocessable `expired` */
function advancedIrregular(
  head: Head,
  { rows, parts, refusesExpired = false }: AppendItem,
  { duplicates }: Extract<TimeRule, { kind: 'irregular' }>,
): Moved {
  const first = parts.reduce((least, { firstNs }) => smallest(least, firstNs), parts[0].firstNs)!;
  const last = parts.reduce((most, { lastNs }) => largest(most, lastNs), parts[0].lastNs)!;
  refuseExpired(head.expiredNs, refusesExpired ? first : last, 'times');
  if (duplicates === 'error' && head.lastNs !== null && first <= head.lastNs) {
    const newest = formatTime(head.lastNs);
    throw new VarveError('conflict', `times[0]: is not after the newest stored time, ${newest}`, {
      slug: 'time-not-increasing',
      errors: [{ field: 'times[0]', message: `must be after ${newest}` }],
    });
  }
  const times = { firstNs: smallest(first, head.firstNs), lastNs: largest(last, head.lastNs) };
  return { head: { ...head, rows: head.rows + rows, ...times }, closed: [], gone: [], marks: [], near: null };
}

/** Chunks of what was placed: parts in memory of one series that follow each other become one. */
function runsOf(placed: readonly PlacedItem[]): FreshRun[] {
  const runs: OpenFreshRun[] = [];
  const open = new Map<string, number>();
  for (const { item, before } of placed) {
    let firstRow = before.rows;
    for (const part of item.parts) {
      const at = open.get(item.seriesId);
      if (at === undefined || !join(runs[at], part)) {
        open.set(item.seriesId, runs.length);
        const { rows, bytes, firstNs, lastNs, sorted } = part;
        runs.push({ head: before, firstRow, rows, bytes, firstNs, lastNs, sorted, parts: [part] });
      }
      firstRow += part.rows;
    }
  }
  return runs;
}

type OpenFreshRun = { -readonly [K in keyof FreshRun]: FreshRun[K] } & { readonly parts: AppendPart[] };

/**
 * Adds a part to a run. It grows in place: thousands of items of one body may be of one series. @returns false if they
 * stay apart
 */
function join(run: OpenFreshRun, part: AppendPart): boolean {
  const isInMemory = run.parts[0].place.kind === 'memory' && part.place.kind === 'memory';
  if (!isInMemory || run.bytes + part.bytes > MOST_JOINED_BYTES) return false;
  run.sorted = run.sorted && part.sorted && (part.firstNs === null || part.firstNs > run.lastNs!);
  run.rows += part.rows;
  run.bytes += part.bytes;
  run.firstNs = smallest(run.firstNs, part.firstNs);
  run.lastNs = largest(run.lastNs, part.lastNs);
  run.parts.push(part);
  return true;
}

const OUT_OF_DATE = 'series-changed';

/** Whoever remembered the series asks for it anew. */
export function outOfDate(seriesId: string): VarveError {
  return new VarveError('conflict', `series ${seriesId} has changed`, { slug: OUT_OF_DATE });
}

/** Whether what was remembered of a series was the reason. Nothing of the item's body was stored then. */
export function isOutOfDate(outcome: { readonly kind: string; readonly error?: VarveError }): boolean {
  return outcome.kind === 'refused' && outcome.error?.slug === OUT_OF_DATE;
}

export const NOT_STORED = 'not-stored';

/** The refusal of an item with which nothing is wrong, where one refused item refuses all. */
export function notStored(): VarveError {
  return new VarveError('unprocessable', 'another item of the request was refused, so nothing was stored', {
    slug: NOT_STORED,
  });
}

function smallest(a: bigint | null, b: bigint | null): bigint | null {
  return a === null || (b !== null && b < a) ? b : a;
}

function largest(a: bigint | null, b: bigint | null): bigint | null {
  return a === null || (b !== null && b > a) ? b : a;
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
