/** Which rows answer a read, and where they lie. Looks into times where it must; reads no values but those that have to be put in order. */
import type { ChunkLocation } from '../../catalog/chunks/chunk-location.ts';
import type { ChunkSelection, SampleSnapshot } from '../../catalog/read/sample-snapshot.ts';
import { DTYPES } from '../../core/numbers/dtype.ts';
import { erasuresOf } from '../../core/rows/erasure.ts';
import { VarveError, unprocessableField } from '../../core/errors.ts';
import type { Rate } from '../../core/signal/rate.ts';
import { planRead, type Piece } from '../../core/rows/read-plan.ts';
import { clipRows, countRows, uniteRows, withoutRows } from '../../core/signal/row-ranges.ts';
import { selectRows, timeOfRow, type RowRange } from '../../core/signal/segment.ts';
import type { Series } from '../../core/signal/series.ts';
import { INT64_MAX, INT64_MIN, larger } from '../../core/time.ts';
import { groupByTime, lowerBound, type TimeGroup } from '../../core/rows/time-order.ts';
import { visibleSlices, type Slice } from '../../core/rows/visible-rows.ts';
import type { CodecPool } from '../../storage/threads/codec-pool.ts';
import type { DataRoot } from '../../storage/folder/data-root.ts';
import { countHere, orderHere } from './order-here.ts';
import { readChunkRows, type RestOfRows } from './order-rows.ts';
import { orderedBytes, rowsInOrderAtOnce, touchedChunks, type CountTask, type SortableChunk } from './order-windows.ts';
import type { Section } from './print-samples.ts';
import type { SampleSelection } from './read-service.ts';

export interface PlanDeps {
  readonly root: DataRoot;
  readonly codec: CodecPool;
}

/**
 * Memory that rows out of order in time take, in one answer. Fewer rows are held; more are put in order window by
 * window as they are read.
 */
export const ORDER_BYTES = 16 * 1024 * 1024;
/**
 * Most rows whose times are read to count them, for rows= of an irregular series. That takes some seconds; more are
 * refused.
 */
const MAX_COUNTED_ROWS = 32 * 1024 * 1024;

export interface PlanLimits {
  readonly orderBytes?: number;
  readonly countedRows?: number;
}

type TimeSelection = Extract<SampleSelection, { by: 'time' }>;
type RowSelection = Extract<SampleSelection, { by: 'rows' }>;

export interface ReadPlan {
  readonly sections: readonly Section[];
  readonly rows: number;
  /** Null for an irregular series, whose rows have no lasting numbers. */
  readonly firstRow: number | null;
  readonly rest: SampleSelection | null;
  /**
   * Rows of a regular series that follow those of the sections, in the order of the answer, and whose chunks the
   * snapshot does not have.
   */
  readonly later: readonly RowRange[];
  /** True if the snapshot does not have enough chunks for the plan of an irregular series. */
  readonly isCut: boolean;
}

/** @throws corrupt if the catalog contradicts itself; limit-exceeded `order-too-costly`; unprocessable naming `skip`, `count` */
export async function planSamples(
  deps: PlanDeps,
  snapshot: SampleSnapshot,
  selection: SampleSelection,
  most: number,
  { orderBytes = ORDER_BYTES, countedRows = MAX_COUNTED_ROWS }: PlanLimits = {},
): Promise<ReadPlan> {
  const { sampling } = snapshot.series;
  if (sampling.kind === 'regular') {
    refuseToGoOn(selection);
    return planRegular(snapshot, sampling.rate, selection, most);
  }
  const planning: Planning = { ...deps, snapshot, orderBytes, heldBytes: orderBytes, countedRows };
  return selection.by === 'time' ? planByTime(planning, selection, most) : planByRank(planning, selection, most);
}

/** A plan of an irregular series on its way. */
interface Planning extends PlanDeps {
  readonly snapshot: SampleSnapshot;
  readonly orderBytes: number;
  /** Bytes that are left for rows that are held … */
  heldBytes: number;
  /** … and for rows that are counted. */
  countedRows: number;
}

/** Rows of a regular series have numbers to go on by. @throws unprocessable naming the parameter */
function refuseToGoOn(selection: SampleSelection): void {
  if (selection.by === 'rows') return;
  for (const name of ['skip', 'count'] as const) {
    if (selection[name] !== undefined)
      throw unprocessableField(name, 'is of irregular series; this one has numbered rows');
  }
}

/**
 * Rows of a regular series in a range of time, in order of time. That is the order of their numbers, unless some came
 * late.
 */
function planRegular(
  { series, segments, chunks, holes, expiredNs, completeTo }: SampleSnapshot,
  rate: Rate,
  selection: SampleSelection,
  most: number,
): ReadPlan {
  const { startNs, endNs } = selection.by === 'time' ? bounds(selection) : bounds({ by: 'time' });
  const begin = expiredNs === null ? startNs : larger(startNs, expiredNs);
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
  const { before, after } = splitRows(ranges, completeTo && 'row' in completeTo ? completeTo.row : Infinity);
  const restOf = (from: number): SampleSelection =>
    selection.by === 'rows' || chosen.length === 1
      ? { by: 'rows', from, to }
      : { by: 'time', startNs: timeOfRow(segments, rate, from), endNs: selection.endNs };
  return {
    sections: [{ kind: 'stored', pieces: planSeries(series, before, visibleSlices(chunks)) }],
    later: after,
    isCut: false,
    rows,
    firstRow: ranges[0]?.from ?? chosen[0]?.from ?? 0,
    rest: restFrom === null ? null : restOf(restFrom),
  };
}

/** Ranges in the order of an answer, up to where one reaches a row, and from there on. */
export function splitRows(
  ranges: readonly RowRange[],
  row: number,
): { readonly before: readonly RowRange[]; readonly after: readonly RowRange[] } {
  const at = ranges.findIndex(({ to }) => to > row);
  if (at < 0) return { before: ranges, after: [] };
  const { from, to } = ranges[at];
  const [before, after] = [ranges.slice(0, at), ranges.slice(at + 1)];
  return from < row
    ? { before: [...before, { from, to: row }], after: [{ from: row, to }, ...after] }
    : { before, after: ranges.slice(at) };
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
async function planByRank(planning: Planning, selection: RowSelection, most: number): Promise<ReadPlan> {
  const groups = groupByTime(planning.snapshot.chunks);
  const isFromEnd = (selection.from ?? 0) < 0 || (selection.to ?? 0) < 0;
  const known = isFromEnd ? await countRowsOf(planning, groups) : Number.MAX_SAFE_INTEGER;
  const { from, to } = slice(selection.from, selection.to, known);
  const sections: Section[] = [];
  let skip = from;
  let left = Math.min(most, to - from);
  let rest: RestOfRows | null = null;
  for (const group of groups) {
    // For a page it is looked where the rest begins.
    if (left === 0 && to - from <= most) break;
    const told = toldRows(planning, group);
    if (told !== null && told <= skip) {
      skip -= told;
      continue;
    }
    if (skip > 0 && told === null) chargeCounting(planning, Math.min(skip, rowsStored(group)));
    const part = await partOf(planning, group, { ...bounds({ by: 'time' }), skip, most: left, isRanked: true });
    skip -= part.skipped;
    if (part.rows > 0) sections.push(part.section);
    left -= part.rows;
    rest = part.rest;
    if (rest) break;
  }
  const rows = Math.min(most, to - from) - left;
  const count = to === Number.MAX_SAFE_INTEGER ? undefined : to - from - rows;
  return {
    sections: joinStored(sections),
    rows,
    firstRow: null,
    rest: rest && count !== 0 ? goOn(rest, undefined, count) : null,
    later: [],
    isCut: false,
  };
}

/**
 * Selects what follows a page. Rows that come late must not shift it, so it goes on by time, and by the place among the
 * rows of one time.
 */
function goOn({ ns, skip }: RestOfRows, endNs: bigint | undefined, count: number | undefined): TimeSelection {
  return {
    by: 'time',
    startNs: ns,
    ...(endNs !== undefined && { endNs }),
    ...(skip > 0 && { skip }),
    ...(count !== undefined && { count }),
  };
}

/** @throws limit-exceeded `order-too-costly` */
async function countRowsOf(planning: Planning, groups: readonly ChunkGroup[]): Promise<number> {
  let sum = 0;
  for (const group of groups) {
    const told = toldRows(planning, group);
    if (told === null) {
      chargeCounting(planning, rowsStored(group));
      const task = countTask(planning, group, { ...bounds({ by: 'time' }), skip: 0, most: Infinity, isRanked: true });
      sum += (await countHere(planning.codec, { ...task, heldRows: 0 })).rows;
    } else sum += told;
  }
  return sum;
}

/** Rows of a group that a reader sees; null: its times must be looked into. */
function toldRows({ snapshot }: Planning, { ordered, chunks: [first] }: ChunkGroup): number | null {
  return ordered && erasuresOf(first, snapshot.erasures).length === 0 ? first.rows : null;
}

function rowsStored({ chunks }: ChunkGroup): number {
  return chunks.reduce((sum, { rows }) => sum + rows, 0);
}

/** @throws limit-exceeded `order-too-costly` */
function chargeCounting(planning: Planning, rows: number): void {
  planning.countedRows -= rows;
  if (planning.countedRows >= 0) return;
  const message = 'too many rows are out of order in time to count them; ask by time, or follow the pages';
  throw new VarveError('limit-exceeded', message, { slug: 'order-too-costly' });
}

/** Irregular series by time: rows in order of time, whatever the order they came in. */
async function planByTime(planning: Planning, selection: TimeSelection, most: number): Promise<ReadPlan> {
  const { startNs, ...range } = bounds(selection);
  const { completeTo } = planning.snapshot;
  const knownNs = completeTo && 'ns' in completeTo && completeTo.ns < range.endNs ? completeTo.ns : null;
  const endNs = knownNs ?? range.endNs;
  const { skip = 0, count = Infinity } = selection;
  const page = Math.min(most, count);
  const sections: Section[] = [];
  let rows = 0;
  let rest: RestOfRows | null = null;
  for (const group of groupByTime(planning.snapshot.chunks)) {
    if (rows === count) break;
    const part = await partOf(planning, group, { startNs, endNs, skip, most: page - rows, isRanked: false });
    if (part.rows > 0) sections.push(part.section);
    rows += part.rows;
    rest = part.rest;
    if (rest) break;
  }
  const left = count === Infinity ? undefined : count - rows;
  return {
    sections: joinStored(sections),
    rows,
    firstRow: null,
    rest: rest && left !== 0 ? goOn(rest, selection.endNs, left) : null,
    later: [],
    isCut: knownNs !== null && rest === null && left !== 0,
  };
}

/** Rows of a group that are wanted: those with times in `[startNs, endNs)`, at most so many after the first ones. */
interface WantedRows {
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly skip: number;
  /** Most rows. None: it is only looked where the rest begins. */
  readonly most: number;
  /** True if rows are skipped whatever their time; else only those of `startNs` are. */
  readonly isRanked: boolean;
}

interface SelectionPart {
  readonly section: Section;
  readonly rows: number;
  readonly skipped: number;
  /** Where the rest begins if the part was cut at the limit. */
  readonly rest: RestOfRows | null;
}

type ChunkGroup = TimeGroup<ChunkLocation>;

function partOf(planning: Planning, group: ChunkGroup, wanted: WantedRows): Promise<SelectionPart> {
  return group.ordered ? orderedPart(planning, group.chunks[0], wanted) : disorderedPart(planning, group, wanted);
}

/** Selects from a chunk whose times increase. What is wanted, and what was taken out, are ranges of its rows then. */
async function orderedPart(
  { root, snapshot: { series, erasures } }: Planning,
  chunk: ChunkLocation,
  { startNs, endNs, skip, most, isRanked }: WantedRows,
): Promise<SelectionPart> {
  const concerning = erasuresOf(chunk, erasures);
  const slices = visibleSlices([chunk]);
  let ranges = [rowsOf(chunk)];
  let rest: RestOfRows | null = null;
  let skipped = 0;
  const isUncut = concerning.length === 0 && skip === 0 && chunk.firstNs! >= startNs && chunk.lastNs! < endNs;
  if (isUncut && most === 0) {
    ranges = [];
    rest = { ns: chunk.firstNs!, skip: 0 };
  } else if (!isUncut || chunk.rows > most) {
    const { times } = await readChunkRows(root.root, planSeries(series, ranges, slices), 'times');
    const between = (from: bigint, to: bigint): RowRange => ({
      from: chunk.firstRow + lowerBound(times, from),
      to: chunk.firstRow + lowerBound(times, to),
    });
    const gone = concerning.map((erasure): RowRange => {
      const { from, to } = between(erasure.startNs, erasure.endNs);
      return { from, to: Math.min(to, erasure.beforeRow) };
    });
    const seen = withoutRows(clipRows([between(startNs, endNs)], rowsOf(chunk)), uniteRows(gone, []));
    const timeOf = (row: number): bigint => times[row - chunk.firstRow];
    // No two rows share a time.
    const inTime = seen.length > 0 && timeOf(seen[0].from) === startNs ? Math.min(skip, 1) : 0;
    skipped = Math.min(isRanked ? skip : inTime, countRows(seen));
    const wanted = firstRows(withoutFirst(seen, skipped), most);
    ({ ranges } = wanted);
    rest = wanted.restFrom === null ? null : { ns: timeOf(wanted.restFrom), skip: 0 };
  }
  return {
    section: { kind: 'stored', pieces: planSeries(series, ranges, slices) },
    rows: countRows(ranges),
    skipped,
    rest,
  };
}

/** Ranges without their first rows. */
function withoutFirst(ranges: readonly RowRange[], skip: number): RowRange[] {
  const { rows, restFrom } = firstRows(ranges, skip);
  if (rows < skip || restFrom === null) return skip === 0 ? [...ranges] : [];
  return clipRows(ranges, { from: restFrom, to: Number.MAX_SAFE_INTEGER });
}

/**
 * Few rows are put in order at once, and held. Where there are many, it is counted which windows of time have the rows
 * to answer. These windows are put in order as they are read.
 */
async function disorderedPart(planning: Planning, group: ChunkGroup, wanted: WantedRows): Promise<SelectionPart> {
  const { root, codec, snapshot } = planning;
  const { series, erasures } = snapshot;
  const rowBytes = rowBytesOf(series);
  const bytes = orderedBytes(rowsStored(group), rowBytes);
  if (bytes > planning.heldBytes || wanted.most === 0) {
    const task = countTask(planning, group, wanted);
    const { held, windows, rows, skipped, rest } = await countHere(codec, task);
    planning.heldBytes -= held ? orderedBytes(rows, rowBytes) : 0;
    const { dataRoot, duplicates, windowRows } = task;
    const chunks = touchedChunks(task.chunks, windows);
    const section: Section = held
      ? { kind: 'held', ...held }
      : { kind: 'disordered', task: { dataRoot, rowBytes, duplicates, erasures, chunks }, windows, windowRows };
    return { section, rows, skipped, rest };
  }
  const { startNs, endNs, skip, most, isRanked } = wanted;
  const { times, values, skipped, rest } = await orderHere(codec, {
    dataRoot: root.root,
    pieces: planSeries(series, group.chunks.map(rowsOf), visibleSlices(group.chunks)),
    rowBytes,
    duplicates: series.duplicates,
    erasures,
    startNs,
    endNs,
    skip,
    most,
    isSkippedInTime: !isRanked,
  });
  planning.heldBytes -= orderedBytes(times.length, rowBytes);
  return { section: { kind: 'held', times, values }, rows: times.length, skipped, rest };
}

/** @param wanted of the rows of a group */
export function countTask(
  { root, snapshot, orderBytes, heldBytes }: Pick<Planning, 'root' | 'snapshot' | 'orderBytes' | 'heldBytes'>,
  group: ChunkGroup,
  wanted: WantedRows,
): CountTask {
  const { series, erasures } = snapshot;
  const { startNs, endNs, skip, most, isRanked } = wanted;
  const rowBytes = rowBytesOf(series);
  return {
    dataRoot: root.root,
    rowBytes,
    duplicates: series.duplicates,
    erasures,
    chunks: visibleSlices(group.chunks).map((slice): SortableChunk => {
      const { generation, firstNs, lastNs, sorted } = slice.chunk;
      const range = { from: slice.from, to: slice.to };
      const pieces = planRead([range], [slice], rowBytes);
      return { firstRow: slice.from, rows: slice.to - slice.from, generation, firstNs, lastNs, sorted, pieces };
    }),
    startNs,
    endNs,
    skip,
    isSkippedInTime: !isRanked,
    most,
    windowRows: rowsInOrderAtOnce(orderBytes, rowBytes),
    heldRows: rowsInOrderAtOnce(heldBytes, rowBytes),
  };
}

function rowsOf(chunk: ChunkLocation): RowRange {
  return { from: chunk.firstRow, to: chunk.firstRow + chunk.rows };
}

/** Stored sections that follow each other become one, so that reading ahead goes across them. */
function joinStored(sections: readonly Section[]): Section[] {
  const joined: Section[] = [];
  let pieces: Piece[] | null = null;
  for (const section of sections) {
    if (section.kind !== 'stored') {
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

export function planSeries(
  series: Series,
  ranges: readonly RowRange[],
  slices: ReadonlyArray<Slice<ChunkLocation>>,
): Piece[] {
  return planRead(ranges, slices, rowBytesOf(series));
}

export function rowBytesOf(series: Series): number {
  return series.channels.length * DTYPES[series.dtype].bytes;
}
