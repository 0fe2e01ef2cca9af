/** Which rows answer a read, and where they lie. Looks into times where it must; reads no values but those that have to be put in order. */
import type { ChunkLocation, ChunkSelection, SampleSnapshot } from '../catalog/sample-snapshot.ts';
import { DTYPES } from '../core/dtype.ts';
import { erasuresOf, type Erasure } from '../core/erasure.ts';
import { VarveError, invalidField } from '../core/errors.ts';
import type { Rate } from '../core/rate.ts';
import { planRead, type Piece } from '../core/read-plan.ts';
import { clipRows, countRows, uniteRows, withoutRows } from '../core/row-ranges.ts';
import { selectRows, type RowRange } from '../core/segment.ts';
import type { Series } from '../core/series.ts';
import { INT64_MAX, INT64_MIN } from '../core/time.ts';
import { groupByTime, lowerBound, type TimeGroup } from '../core/time-order.ts';
import { visibleSlices, type Slice } from '../core/visible-rows.ts';
import type { CodecPool } from '../storage/codec-pool.ts';
import type { DataRoot } from '../storage/data-root.ts';
import { orderHere } from './order-here.ts';
import { readRows } from './order-rows.ts';
import type { Section } from './print-samples.ts';
import type { SampleSelection } from './service.ts';

export interface PlanDeps {
  readonly root: DataRoot;
  readonly codec: CodecPool;
}

/** Rows out of order in time are put in order in memory; sealing does it for good. */
export const MAX_ORDERED_BYTES = 256 * 1024 * 1024;

type TimeSelection = Extract<SampleSelection, { by: 'time' }>;

export interface ReadPlan {
  readonly sections: readonly Section[];
  readonly rows: number;
  readonly firstRow: number;
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
    : planByArrival(deps, snapshot, selection, most);
}

/** Regular series: rows in their order, which is that of time. */
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
  const chosen = selection.by === 'rows' ? clipRows(inTime, slice(selection.from, selection.to, series.rows)) : inTime;
  const { ranges, rows, restFrom } = firstRows(withoutRows(chosen, holes), most);
  const to = chosen.at(-1)?.to ?? 0;
  return {
    sections: [{ kind: 'stored', pieces: planSeries(series, ranges, visibleSlices(chunks)) }],
    rows,
    firstRow: ranges[0]?.from ?? chosen[0]?.from ?? 0,
    rest: restFrom === null ? null : { by: 'rows', from: restFrom, to },
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

/** Irregular series by rows: as they came, or as sealing has numbered them. */
async function planByArrival(
  deps: PlanDeps,
  { series, chunks, erasures }: SampleSnapshot,
  selection: Extract<SampleSelection, { by: 'rows' }>,
  most: number,
): Promise<ReadPlan> {
  const range = slice(selection.from, selection.to, series.rows);
  const sections: Section[] = [];
  let rows = 0;
  let firstRow: number | null = null;
  let restFrom: number | null = null;
  for (const chunk of chunks) {
    // Numbers between chunks are vacant: sealing dropped rows that were superseded or taken out.
    const [wanted] = clipRows([rowsOf(chunk)], range);
    if (!wanted) continue;
    if (rows >= most) {
      restFrom = wanted.from;
      break;
    }
    const concerning = erasuresOf(chunk, erasures);
    const part =
      concerning.length === 0
        ? storedRows(series, chunk, { from: wanted.from, to: Math.min(wanted.to, wanted.from + most - rows) })
        : await heldRows(deps, series, chunk, wanted, concerning, most - rows);
    if (part.rows > 0) {
      sections.push(part.section);
      rows += part.rows;
      firstRow ??= part.firstRow;
    }
    if (part.nextRow < wanted.to) {
      restFrom = part.nextRow;
      break;
    }
  }
  return {
    sections: joinStored(sections),
    rows,
    firstRow: firstRow ?? range.from,
    rest: restFrom === null ? null : { by: 'rows', from: restFrom, to: range.to },
  };
}

interface ArrivalPart {
  readonly section: Section;
  readonly rows: number;
  readonly firstRow: number;
  /** Where the rest begins. */
  readonly nextRow: number;
}

function storedRows(series: Series, chunk: ChunkLocation, range: RowRange): ArrivalPart {
  const pieces = planSeries(series, [range], visibleSlices([chunk]));
  const rows = range.to - range.from;
  return { section: { kind: 'stored', pieces }, rows, firstRow: range.from, nextRow: range.to };
}

async function heldRows(
  deps: PlanDeps,
  series: Series,
  chunk: ChunkLocation,
  range: RowRange,
  erasures: readonly Erasure[],
  most: number,
): Promise<ArrivalPart> {
  const { times, values, rows } = await orderHere(deps.codec, {
    dataRoot: deps.root.root,
    pieces: planSeries(series, [range], visibleSlices([chunk])),
    rowBytes: rowBytesOf(series),
    order: { by: 'arrival' },
    erasures,
    ...bounds({ by: 'time' }),
    most,
  });
  const firstRow = rows[0] ?? range.from;
  const nextRow = times.length === most ? rows[most - 1] + 1 : range.to;
  const lastRow = rows.at(-1) ?? firstRow;
  return { section: { kind: 'held', firstRow, lastRow, times, values }, rows: times.length, firstRow, nextRow };
}

/** Irregular series by time: rows in order of time, whatever the order they came in. */
async function planByTime(
  deps: PlanDeps,
  { series, chunks, erasures }: SampleSnapshot,
  selection: TimeSelection,
  most: number,
): Promise<ReadPlan> {
  const { startNs, endNs } = bounds(selection);
  const sections: Section[] = [];
  let rows = 0;
  let firstRow: number | null = null;
  let rest: SampleSelection | null = null;
  for (const group of groupByTime(chunks)) {
    if (rows >= most) {
      rest = { by: 'time', startNs: most64(earliest(group), startNs), endNs: selection.endNs };
      break;
    }
    const part = group.ordered
      ? await orderedPart(deps, series, group.chunks[0], erasures, startNs, endNs, most - rows)
      : await disorderedPart(deps, series, group, erasures, startNs, endNs, most - rows);
    if (part.rows > 0) {
      sections.push(part.section);
      rows += part.rows;
      firstRow ??= part.firstRow;
    }
    if (part.restNs !== null) {
      if (rows === 0) {
        throw invalidField('limit', `more than ${most} rows share one time; ask for more of them, or by rows`);
      }
      rest = { by: 'time', startNs: part.restNs, endNs: selection.endNs };
      break;
    }
  }
  return { sections: joinStored(sections), rows, firstRow: firstRow ?? 0, rest };
}

interface Part {
  readonly section: Section;
  readonly rows: number;
  readonly firstRow: number;
  /** Time at which the rest begins if the part was cut at the limit. */
  readonly restNs: bigint | null;
}

/** Of a chunk whose times increase: what is wanted, and what was taken out, are ranges of its rows. */
async function orderedPart(
  deps: PlanDeps,
  series: Series,
  chunk: ChunkLocation,
  erasures: readonly Erasure[],
  startNs: bigint,
  endNs: bigint,
  most: number,
): Promise<Part> {
  const concerning = erasuresOf(chunk, erasures);
  const slices = visibleSlices([chunk]);
  let ranges = [rowsOf(chunk)];
  let restNs: bigint | null = null;
  if (concerning.length > 0 || chunk.firstNs! < startNs || chunk.lastNs! >= endNs || chunk.rows > most) {
    const { times } = await readRows(deps.root.root, planSeries(series, ranges, slices), 'times');
    const between = (from: bigint, to: bigint): RowRange => ({
      from: chunk.firstRow + lowerBound(times, from),
      to: chunk.firstRow + lowerBound(times, to),
    });
    const gone = concerning.map((erasure): RowRange => {
      const { from, to } = between(erasure.startNs, erasure.endNs);
      return { from, to: Math.min(to, erasure.beforeRow) };
    });
    const wanted = firstRows(
      withoutRows(clipRows([between(startNs, endNs)], rowsOf(chunk)), uniteRows(gone, [])),
      most,
    );
    ({ ranges } = wanted);
    restNs = wanted.restFrom === null ? null : times[wanted.restFrom - chunk.firstRow];
  }
  return {
    section: { kind: 'stored', pieces: planSeries(series, ranges, slices) },
    rows: countRows(ranges),
    firstRow: ranges[0]?.from ?? chunk.firstRow,
    restNs,
  };
}

async function disorderedPart(
  deps: PlanDeps,
  series: Series,
  group: TimeGroup<ChunkLocation>,
  erasures: readonly Erasure[],
  startNs: bigint,
  endNs: bigint,
  most: number,
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
  const {
    times,
    values,
    rows: numbers,
    restNs,
  } = await orderHere(deps.codec, {
    dataRoot: deps.root.root,
    pieces: planSeries(series, group.chunks.map(rowsOf), visibleSlices(group.chunks)),
    rowBytes,
    order: { by: 'time', duplicates: series.duplicates },
    erasures,
    startNs,
    endNs,
    most,
  });
  const firstRow = group.chunks[0].firstRow;
  const lastRow = numbers.at(-1) ?? firstRow;
  return { section: { kind: 'held', firstRow, lastRow, times, values }, rows: times.length, firstRow, restNs };
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
  return { by: 'rows', from: selection.from ?? 0, to: selection.to ?? Number.MAX_SAFE_INTEGER };
}

function bounds(selection: TimeSelection): { startNs: bigint; endNs: bigint } {
  return { startNs: selection.startNs ?? INT64_MIN, endNs: selection.endNs ?? INT64_MAX };
}

function earliest({ chunks }: TimeGroup<ChunkLocation>): bigint {
  return chunks.reduce((first, { firstNs }) => (firstNs! < first ? firstNs! : first), chunks[0].firstNs!);
}

const most64 = (a: bigint, b: bigint): bigint => (a > b ? a : b);

function planSeries(series: Series, ranges: readonly RowRange[], slices: ReadonlyArray<Slice<ChunkLocation>>): Piece[] {
  return planRead(ranges, slices, rowBytesOf(series));
}

export function rowBytesOf(series: Series): number {
  return series.channels.length * DTYPES[series.dtype].bytes;
}
