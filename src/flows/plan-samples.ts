/** Which rows answer a read, and where they lie. Looks into times where it must; reads no values but those that have to be put in order. */
import type { ChunkLocation, ChunkSelection, SampleSnapshot } from '../catalog/sample-snapshot.ts';
import { DTYPES } from '../core/dtype.ts';
import { erasuresOf } from '../core/erasure.ts';
import { VarveError, invalidField } from '../core/errors.ts';
import type { Rate } from '../core/rate.ts';
import { planRead, type Piece } from '../core/read-plan.ts';
import { clipRows, countRows, uniteRows, withoutRows } from '../core/row-ranges.ts';
import { selectRows, timeOfRow, type RowRange } from '../core/segment.ts';
import type { Series } from '../core/series.ts';
import { INT64_MAX, INT64_MIN } from '../core/time.ts';
import { groupByTime, lowerBound, type TimeGroup } from '../core/time-order.ts';
import { visibleSlices, type Slice } from '../core/visible-rows.ts';
import type { CodecPool } from '../storage/codec-pool.ts';
import type { DataRoot } from '../storage/data-root.ts';
import { orderHere, seenTimes } from './order-here.ts';
import { readRows } from './order-rows.ts';
import type { Section } from './print-samples.ts';
import type { SampleSelection } from './service.ts';

export interface PlanDeps {
  readonly root: DataRoot;
  readonly codec: CodecPool;
}

/** Rows out of order in time are put in order in memory; compaction does it for good. */
export const MAX_ORDERED_BYTES = 256 * 1024 * 1024;

const TIME_BYTES = 8;

type TimeSelection = Extract<SampleSelection, { by: 'time' }>;
type RowSelection = Extract<SampleSelection, { by: 'rows' }>;

export interface ReadPlan {
  readonly sections: readonly Section[];
  readonly rows: number;
  /** Null: of an irregular series, whose rows have no numbers that last. */
  readonly firstRow: number | null;
  readonly rest: SampleSelection | null;
}

/** @throws corrupt if the catalog contradicts itself; limit-exceeded `disorder-too-large`; invalid-input naming `limit` */
export async function planSamples(
  deps: PlanDeps,
  snapshot: SampleSnapshot,
  selection: SampleSelection,
  most: number,
): Promise<ReadPlan> {
  const { sampling } = snapshot.series;
  if (sampling.kind === 'regular') return planRegular(snapshot, sampling.rate, selection, most);
  return selection.by === 'time'
    ? planByTime(deps, snapshot, selection, most)
    : planByRank(deps, snapshot, selection, most);
}

/** Regular series: rows of a range of time in order of time, which is that of their numbers unless some came late. */
function planRegular(
  { series, segments, chunks, holes, expiredNs }: SampleSnapshot,
  rate: Rate,
  selection: SampleSelection,
  most: number,
): ReadPlan {
  const { startNs, endNs } = selection.by === 'time' ? bounds(selection) : bounds({ by: 'time' });
  const begin = expiredNs === null ? startNs : most64(startNs, expiredNs);
  // A series that was never cut, and a range that no time limits, need no look at the segments.
  const inTime =
    selection.by === 'rows' && expiredNs === null
      ? [{ from: 0, to: series.rows }]
      : selectRows(segments, rate, begin, endNs);
  const chosen =
    selection.by === 'rows'
      ? clipRows(uniteRows(inTime, []), slice(selection.from, selection.to, series.rows))
      : inTime;
  const { ranges, rows, restFrom } = firstRows(withoutRows(chosen, holes), most);
  const to = chosen.at(-1)?.to ?? 0;
  const restOf = (from: number): SampleSelection =>
    selection.by === 'rows' || chosen.length === 1
      ? { by: 'rows', from, to }
      : { by: 'time', startNs: timeOfRow(segments, rate, from), endNs: selection.endNs };
  return {
    sections: [{ kind: 'stored', pieces: planSeries(series, ranges, visibleSlices(chunks)) }],
    rows,
    firstRow: ranges[0]?.from ?? chosen[0]?.from ?? 0,
    rest: restFrom === null ? null : restOf(restFrom),
  };
}

/** The first `most` rows of some ranges, and where the rest begins. */
function firstRows(
  ranges: readonly RowRange[],
  most: number,
): { ranges: RowRange[]; rows: number; restFrom: number | null } {
  const taken: RowRange[] = [];
  let rows = 0;
  for (const { from, to } of ranges) {
    if (rows === most) return { ranges: taken, rows, restFrom: from };
    const end = Math.min(to, from + most - rows);
    taken.push({ from, to: end });
    rows += end - from;
    if (end < to) return { ranges: taken, rows, restFrom: end };
  }
  return { ranges: taken, rows, restFrom: null };
}

/** Irregular series by rows: counted in order of time. */
async function planByRank(
  deps: PlanDeps,
  snapshot: SampleSnapshot,
  selection: Extract<SampleSelection, { by: 'rows' }>,
  most: number,
): Promise<ReadPlan> {
  const counting = new Counting(deps, snapshot);
  const isFromEnd = (selection.from ?? 0) < 0 || (selection.to ?? 0) < 0;
  const known = isFromEnd ? await counting.all() : Number.MAX_SAFE_INTEGER;
  const { from, to } = slice(selection.from, selection.to, known);
  const sections: Section[] = [];
  let skip = from;
  let left = Math.min(most, to - from);
  let isMore = false;
  for (const group of groupByTime(snapshot.chunks)) {
    if (left === 0) {
      // All that was asked for, or a page of it: then one row more is worth a link.
      isMore = to - from > most && (await counting.of(group)) > 0;
      if (isMore || to - from <= most) break;
      continue;
    }
    if (skip > 0) {
      const count = await counting.of(group);
      if (skip >= count) {
        skip -= count;
        continue;
      }
    }
    const part = await partOf(deps, snapshot, group, { ...bounds({ by: 'time' }), skip, most: left, isByRank: true });
    skip = 0;
    if (part.rows > 0) sections.push(part.section);
    left -= part.rows;
    if (part.restNs !== null) {
      isMore = true;
      break;
    }
  }
  const rows = Math.min(most, to - from) - left;
  const next = from + rows;
  return {
    sections: joinStored(sections),
    rows,
    firstRow: null,
    rest: isMore && next < to ? { by: 'rows', from: next, to } : null,
  };
}

/** Times that are read to count rows: more are refused. */
const MAX_COUNTED_BYTES = MAX_ORDERED_BYTES;

/** How many rows of groups a reader sees. Looks into times only where chunks do not tell. */
class Counting {
  readonly #deps: PlanDeps;
  readonly #snapshot: SampleSnapshot;
  readonly #known = new Map<number, number>();
  #bytes = 0;

  constructor(deps: PlanDeps, snapshot: SampleSnapshot) {
    this.#deps = deps;
    this.#snapshot = snapshot;
  }

  async all(): Promise<number> {
    let sum = 0;
    for (const group of groupByTime(this.#snapshot.chunks)) sum += await this.of(group);
    return sum;
  }

  /** @throws limit-exceeded `order-too-costly` */
  async of({ ordered, chunks }: TimeGroup<ChunkLocation>): Promise<number> {
    const { series, erasures } = this.#snapshot;
    const [first] = chunks;
    if (ordered && erasuresOf(first, erasures).length === 0) return first.rows;
    const known = this.#known.get(first.firstRow);
    if (known !== undefined) return known;
    this.#bytes += chunks.reduce((sum, { rows }) => sum + rows * TIME_BYTES, 0);
    if (this.#bytes > MAX_COUNTED_BYTES) {
      const message = 'too many rows are out of order in time to count them; ask by time';
      throw new VarveError('limit-exceeded', message, { slug: 'order-too-costly' });
    }
    const { startNs, endNs } = bounds({ by: 'time' });
    const times = await seenTimes(this.#deps, { chunks, duplicates: series.duplicates, erasures, startNs, endNs });
    this.#known.set(first.firstRow, times.length);
    return times.length;
  }
}

/** Irregular series by time: rows in order of time, whatever the order they came in. */
async function planByTime(
  deps: PlanDeps,
  snapshot: SampleSnapshot,
  selection: TimeSelection,
  most: number,
): Promise<ReadPlan> {
  const { startNs, endNs } = bounds(selection);
  const sections: Section[] = [];
  let rows = 0;
  let rest: SampleSelection | null = null;
  for (const group of groupByTime(snapshot.chunks)) {
    if (rows >= most) {
      const restNs = await firstTime(deps, snapshot, group, { startNs, endNs });
      if (restNs === null) continue;
      rest = { by: 'time', startNs: restNs, endNs: selection.endNs };
      break;
    }
    const part = await partOf(deps, snapshot, group, { startNs, endNs, skip: 0, most: most - rows, isByRank: false });
    if (part.rows > 0) {
      sections.push(part.section);
      rows += part.rows;
    }
    if (part.restNs !== null) {
      if (rows === 0) {
        throw invalidField('limit', `more than ${most} rows share one time; ask for more of them, or by rows`);
      }
      rest = { by: 'time', startNs: part.restNs, endNs: selection.endNs };
      break;
    }
  }
  return { sections: joinStored(sections), rows, firstRow: null, rest };
}

/** Rows of a group that are wanted: of those with times in `[startNs, endNs)`, at most so many after the first ones. */
interface Wanted {
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly skip: number;
  readonly most: number;
  /** Rows are counted: those of one time may be parted. */
  readonly isByRank: boolean;
}

interface Part {
  readonly section: Section;
  readonly rows: number;
  /** Time at which the rest begins if the part was cut at the limit. */
  readonly restNs: bigint | null;
}

function partOf(
  deps: PlanDeps,
  snapshot: SampleSnapshot,
  group: TimeGroup<ChunkLocation>,
  wanted: Wanted,
): Promise<Part> {
  return group.ordered
    ? orderedPart(deps, snapshot, group.chunks[0], wanted)
    : disorderedPart(deps, snapshot, group, wanted);
}

/** Of a chunk whose times increase: what is wanted, and what was taken out, are ranges of its rows. */
async function orderedPart(
  deps: PlanDeps,
  { series, erasures }: SampleSnapshot,
  chunk: ChunkLocation,
  { startNs, endNs, skip, most }: Wanted,
): Promise<Part> {
  const concerning = erasuresOf(chunk, erasures);
  const slices = visibleSlices([chunk]);
  let ranges = [rowsOf(chunk)];
  let restNs: bigint | null = null;
  if (concerning.length > 0 || chunk.firstNs! < startNs || chunk.lastNs! >= endNs || chunk.rows > most || skip > 0) {
    const { times } = await readRows(deps.root.root, planSeries(series, ranges, slices), 'times');
    const between = (from: bigint, to: bigint): RowRange => ({
      from: chunk.firstRow + lowerBound(times, from),
      to: chunk.firstRow + lowerBound(times, to),
    });
    const gone = concerning.map((erasure): RowRange => {
      const { from, to } = between(erasure.startNs, erasure.endNs);
      return { from, to: Math.min(to, erasure.beforeRow) };
    });
    const seen = withoutRows(clipRows([between(startNs, endNs)], rowsOf(chunk)), uniteRows(gone, []));
    const wanted = firstRows(withoutFirst(seen, skip), most);
    ({ ranges } = wanted);
    restNs = wanted.restFrom === null ? null : times[wanted.restFrom - chunk.firstRow];
  }
  return {
    section: { kind: 'stored', pieces: planSeries(series, ranges, slices) },
    rows: countRows(ranges),
    restNs,
  };
}

/** Ranges without their first rows. */
function withoutFirst(ranges: readonly RowRange[], skip: number): RowRange[] {
  const { rows, restFrom } = firstRows(ranges, skip);
  if (rows < skip || restFrom === null) return skip === 0 ? [...ranges] : [];
  return clipRows(ranges, { from: restFrom, to: Number.MAX_SAFE_INTEGER });
}

async function disorderedPart(
  deps: PlanDeps,
  { series, erasures }: SampleSnapshot,
  group: TimeGroup<ChunkLocation>,
  { startNs, endNs, skip, most, isByRank }: Wanted,
): Promise<Part> {
  const rowBytes = rowBytesOf(series);
  const stored = group.chunks.reduce((sum, chunk) => sum + chunk.rows, 0);
  if (stored * rowBytes > MAX_ORDERED_BYTES) {
    throw new VarveError(
      'limit-exceeded',
      `the range holds ${stored} rows that are out of order in time; ask for a shorter one, or by rows`,
      { slug: 'disorder-too-large' },
    );
  }
  const { times, values, restNs } = await orderHere(deps.codec, {
    dataRoot: deps.root.root,
    pieces: planSeries(series, group.chunks.map(rowsOf), visibleSlices(group.chunks)),
    rowBytes,
    duplicates: series.duplicates,
    erasures,
    startNs,
    endNs,
    skip,
    most,
    isByRank,
  });
  return { section: { kind: 'held', times, values }, rows: times.length, restNs };
}

function rowsOf(chunk: ChunkLocation): RowRange {
  return { from: chunk.firstRow, to: chunk.firstRow + chunk.rows };
}

/** Stored sections that follow each other become one, so that reading ahead goes across them. */
function joinStored(sections: readonly Section[]): Section[] {
  const joined: Section[] = [];
  let pieces: Piece[] | null = null;
  for (const section of sections) {
    if (section.kind === 'held') {
      joined.push(section);
      pieces = null;
    } else if (pieces) pieces.push(...section.pieces);
    else joined.push({ kind: 'stored', pieces: (pieces = [...section.pieces]) });
  }
  return joined;
}

/** A Python slice with step 1 over `rows` rows. */
export function slice(from: number | undefined, to: number | undefined, rows: number): RowRange {
  const clamp = (at: number): number => Math.max(0, Math.min(rows, at < 0 ? rows + at : at));
  const start = clamp(from ?? 0);
  return { from: start, to: Math.max(start, clamp(to ?? rows)) };
}

/** What a plan of the selection needs to know. @param selection rows counted from the start */
export function chunksOf(selection: SampleSelection): ChunkSelection {
  if (selection.by === 'time') return { by: 'time', ...bounds(selection) };
  return chunksOfRows(selection);
}

/** Rows counted from the start. */
export function chunksOfRows({ from, to }: RowSelection): Extract<ChunkSelection, { by: 'rows' }> {
  return { by: 'rows', from: from ?? 0, to: to ?? Number.MAX_SAFE_INTEGER };
}

function bounds(selection: TimeSelection): { startNs: bigint; endNs: bigint } {
  return { startNs: selection.startNs ?? INT64_MIN, endNs: selection.endNs ?? INT64_MAX };
}

/** Of the first row of a group in a range that a reader sees; null: there is none. What was taken out may still be in chunks. */
async function firstTime(
  deps: PlanDeps,
  { series, erasures }: SampleSnapshot,
  { ordered, chunks }: TimeGroup<ChunkLocation>,
  range: { startNs: bigint; endNs: bigint },
): Promise<bigint | null> {
  const [{ firstNs }] = chunks;
  const isTold = ordered && firstNs! >= range.startNs && erasuresOf(chunks[0], erasures).length === 0;
  if (isTold) return firstNs! < range.endNs ? firstNs : null;
  const times = await seenTimes(deps, { chunks, duplicates: series.duplicates, erasures, ...range });
  return times.at(0) ?? null;
}

const most64 = (a: bigint, b: bigint): bigint => (a > b ? a : b);

function planSeries(series: Series, ranges: readonly RowRange[], slices: ReadonlyArray<Slice<ChunkLocation>>): Piece[] {
  return planRead(ranges, slices, rowBytesOf(series));
}

export function rowBytesOf(series: Series): number {
  return series.channels.length * DTYPES[series.dtype].bytes;
}
