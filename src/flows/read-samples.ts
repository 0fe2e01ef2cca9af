/** A read, from the request to a stream of bytes. */
import type { Database } from '../catalog/database.ts';
import {
  readSampleSnapshot,
  type ChunkLocation,
  type ChunkSelection,
  type SampleSnapshot,
} from '../catalog/sample-snapshot.ts';
import type { OutShape } from '../core/batch.ts';
import { calibrationOf } from '../core/calibration.ts';
import { DTYPES } from '../core/dtype.ts';
import { VarveError, invalidField, isVarveError, notFound } from '../core/errors.ts';
import { planRead, type Piece } from '../core/read-plan.ts';
import { selectRows, type RowRange } from '../core/segment.ts';
import type { Series } from '../core/series.ts';
import { INT64_MAX, INT64_MIN } from '../core/time.ts';
import { groupByTime, lowerBound, type TimeGroup } from '../core/time-order.ts';
import { WIRE_FORMATS } from '../formats/wire-formats.ts';
import type { CodecPool } from '../storage/codec-pool.ts';
import type { DataRoot } from '../storage/data-root.ts';
import { mayUse } from './manage-series.ts';
import { orderStoredRows, readRows, type OrderTask, type OrderedRows } from './order-rows.ts';
import { canCopy, printSamples, printedBytes, type PrintTask, type Section } from './print-samples.ts';
import type { ReadRequest, SampleSelection, SampleStream } from './service.ts';

export interface ReadDeps {
  readonly db: Database;
  readonly root: DataRoot;
  readonly codec: CodecPool;
}

/** Values printed on the main thread: fewer take less than a millisecond, which is what handing over to a thread costs. */
const PRINT_HERE_VALUES = 8_192;
/** JSON lists one column after another, so an answer is held as text: larger ones are cut here and go on behind `next`. */
const MAX_JSON_VALUES = 4 * 1024 * 1024;
/** Rows out of order in time are put in order in memory; sealing does it for good. */
const MAX_ORDERED_BYTES = 256 * 1024 * 1024;

/**
 * @throws invalid-input naming `channels`; corrupt if a checksum fails in the first bytes (later ones cut the stream); limit-exceeded
 */
export async function readSamples(deps: ReadDeps, request: ReadRequest): Promise<SampleStream> {
  try {
    return await openStream(deps, request);
  } catch (error) {
    // Once more with fresh rows: the shard may have been replaced between the catalog's answer and the read.
    if (isVarveError(error) && error.code === 'corrupt') return openStream(deps, request);
    throw error;
  }
}

async function openStream(deps: ReadDeps, request: ReadRequest): Promise<SampleStream> {
  const { format } = request;
  const { snapshot, selection } = await readSnapshot(deps, request);
  const { series } = snapshot;
  const selected = selectChannels(series, request.channels);
  const channels = (selected ?? series.channels).length;
  const most = Math.min(
    request.limit ?? Infinity,
    format === 'json' ? Math.max(1, Math.floor(MAX_JSON_VALUES / channels)) : Infinity,
  );
  const plan =
    series.sampling.kind === 'irregular' && selection.by === 'time'
      ? await planByTime(deps, snapshot, selection, most)
      : planByRows(snapshot, selection, most);
  const chosen = selected ? selected.map((index) => series.channels[index]) : series.channels;
  const shape: OutShape = {
    seriesId: series.id,
    dtype: request.physical ? 'float64' : series.dtype,
    channelLabels: chosen.map((channel) => channel.label),
    kind: series.sampling.kind,
    totalRows: plan.rows,
    firstRow: plan.firstRow,
    next: plan.rest && request.linkTo(plan.rest),
  };
  const task: PrintTask = {
    dataRoot: deps.root.root,
    format,
    sections: plan.sections,
    dtype: series.dtype,
    channels: series.channels.length,
    selected,
    calibrations: request.physical ? chosen.map((channel) => calibrationOf(series, channel)) : null,
    clock: series.sampling.kind === 'regular' ? { rate: series.sampling.rate, segments: snapshot.segments } : null,
    shape,
  };
  const here = canCopy(task) || plan.rows * channels <= PRINT_HERE_VALUES;
  const body = await started(here ? printSamples(task) : deps.codec.stream('print', task));
  return {
    mediaType: WIRE_FORMATS[format].mediaType,
    contentLength: printedBytes(task),
    rows: plan.rows,
    firstRow: plan.firstRow,
    dtype: shape.dtype,
    channelLabels: shape.channelLabels,
    commit: series.commit,
    next: shape.next,
    body,
  };
}

type TimeSelection = Extract<SampleSelection, { by: 'time' }>;

/**
 * Series and chunks of the request, of one instant, and the selection with its rows counted from the start.
 * @throws not-found, also for a series out of the principal's reach
 */
async function readSnapshot(
  { db }: ReadDeps,
  { principal, ref, selection }: ReadRequest,
): Promise<{ snapshot: SampleSnapshot; selection: SampleSelection }> {
  const read = async (chunks: ChunkSelection): Promise<SampleSnapshot> => {
    const snapshot = await readSampleSnapshot(db, ref, chunks);
    if (!mayUse(principal, snapshot.series.project)) throw notFound('series', 'id' in ref ? ref.id : ref.name);
    return snapshot;
  };
  if (selection.by === 'time') return { snapshot: await read({ by: 'time', ...bounds(selection) }), selection };
  let { from, to } = selection;
  if ((from ?? 0) < 0 || (to ?? 0) < 0) {
    // A slice that counts from the end must know the end first.
    const { series } = await read({ by: 'rows', from: 0, to: 0 });
    ({ from, to } = slice(from, to, series.rows));
  }
  const snapshot = await read({ by: 'rows', from: from ?? 0, to: to ?? Number.MAX_SAFE_INTEGER });
  return { snapshot, selection: { by: 'rows', from, to } };
}

interface ReadPlan {
  readonly sections: readonly Section[];
  readonly rows: number;
  readonly firstRow: number;
  readonly rest: SampleSelection | null;
}

/** Regular series by time or rows, irregular ones by rows: rows in the order they are stored. */
function planByRows({ series, segments, chunks }: SampleSnapshot, selection: SampleSelection, most: number): ReadPlan {
  let range: RowRange;
  if (selection.by === 'time') {
    if (series.sampling.kind !== 'regular') throw new Error('an irregular series has no rows by time');
    const { startNs, endNs } = bounds(selection);
    // Segments follow each other in rows and in time, so a time range is one range of rows.
    const ranges = selectRows(segments, series.sampling.rate, startNs, endNs);
    range = { from: ranges[0]?.from ?? 0, to: ranges.at(-1)?.to ?? 0 };
  } else {
    range = slice(selection.from, selection.to, series.rows);
  }
  const to = Math.min(range.to, range.from + most);
  return {
    sections: [{ kind: 'stored', pieces: planRead([{ from: range.from, to }], chunks, rowBytesOf(series)) }],
    rows: to - range.from,
    firstRow: range.from,
    rest: to < range.to ? { by: 'rows', from: to, to: range.to } : null,
  };
}

/** Irregular series by time: rows in order of time, whatever the order they came in. */
async function planByTime(
  deps: ReadDeps,
  { series, chunks }: SampleSnapshot,
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
      ? await orderedPart(deps, series, group.chunks[0], startNs, endNs, most - rows)
      : await disorderedPart(deps, series, group, startNs, endNs, most - rows);
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

async function orderedPart(
  deps: ReadDeps,
  series: Series,
  chunk: ChunkLocation,
  startNs: bigint,
  endNs: bigint,
  most: number,
): Promise<Part> {
  let from = 0;
  let to = chunk.rows;
  let restNs: bigint | null = null;
  if (chunk.firstNs! < startNs || chunk.lastNs! >= endNs || chunk.rows > most) {
    const { times } = await readRows(deps.root.root, planRead([rowsOf(chunk)], [chunk], rowBytesOf(series)), 'times');
    from = lowerBound(times, startNs);
    to = lowerBound(times, endNs);
    if (to - from > most) {
      to = from + most;
      restNs = times[to];
    }
  }
  const range = { from: chunk.firstRow + from, to: chunk.firstRow + Math.max(from, to) };
  return {
    section: { kind: 'stored', pieces: planRead([range], [chunk], rowBytesOf(series)) },
    rows: range.to - range.from,
    firstRow: range.from,
    restNs,
  };
}

async function disorderedPart(
  deps: ReadDeps,
  series: Series,
  group: TimeGroup<ChunkLocation>,
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
  const task: OrderTask = {
    dataRoot: deps.root.root,
    pieces: planRead(group.chunks.map(rowsOf), group.chunks, rowBytes),
    rowBytes,
    duplicates: series.duplicates,
    startNs,
    endNs,
    most,
  };
  const { times, values, restNs } =
    stored <= PRINT_HERE_VALUES ? await orderStoredRows(task) : await deps.codec.run<OrderedRows>('order', task);
  const firstRow = group.chunks[0].firstRow;
  return { section: { kind: 'held', firstRow, times, values }, rows: times.length, firstRow, restNs };
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

/** Pulls the first bytes, so that what is wrong with them becomes an error and not a cut answer. */
async function started(body: AsyncGenerator<Uint8Array>): Promise<AsyncIterable<Uint8Array>> {
  let first: IteratorResult<Uint8Array> | null = await body.next();
  // Not a generator around the generator: one that is left before it began would never close the files behind it.
  const iterator: AsyncIterator<Uint8Array> = {
    next() {
      const result = first;
      first = null;
      return result ? Promise.resolve(result) : body.next();
    },
    return: () => body.return(undefined),
  };
  return { [Symbol.asyncIterator]: () => iterator };
}

function selectChannels(series: Series, wanted: readonly string[] | null): number[] | null {
  if (!wanted) return null;
  return wanted.map((name) => {
    const byLabel = series.channels.findIndex((channel) => channel.label === name);
    if (byLabel >= 0) return byLabel;
    const index = /^\d+$/.test(name) ? Number(name) : NaN;
    if (index < series.channels.length) return index;
    const known = series.channels.slice(0, 20).map((channel) => channel.label);
    throw invalidField('channels', `the series has no channel ${JSON.stringify(name)}; it has ${known.join(', ')}`);
  });
}

/** A Python slice with step 1 over `rows` rows. */
function slice(from: number | undefined, to: number | undefined, rows: number): RowRange {
  const clamp = (at: number): number => Math.max(0, Math.min(rows, at < 0 ? rows + at : at));
  const start = clamp(from ?? 0);
  return { from: start, to: Math.max(start, clamp(to ?? rows)) };
}

function bounds(selection: TimeSelection): { startNs: bigint; endNs: bigint } {
  return { startNs: selection.startNs ?? INT64_MIN, endNs: selection.endNs ?? INT64_MAX };
}

function earliest({ chunks }: TimeGroup<ChunkLocation>): bigint {
  return chunks.reduce((first, { firstNs }) => (firstNs! < first ? firstNs! : first), chunks[0].firstNs!);
}

const most64 = (a: bigint, b: bigint): bigint => (a > b ? a : b);

function rowBytesOf(series: Series): number {
  return series.channels.length * DTYPES[series.dtype].bytes;
}
