/** A read, from the request to a stream of bytes. */
import type { Database } from '../catalog/database.ts';
import { readSampleSnapshot, type ChunkLocation, type SampleSnapshot } from '../catalog/sample-snapshot.ts';
import type { OutShape } from '../core/batch.ts';
import { calibrationOf } from '../core/calibration.ts';
import { DTYPES, viewAs } from '../core/dtype.ts';
import { VarveError, invalidField, isVarveError } from '../core/errors.ts';
import { planRead, type Piece } from '../core/read-plan.ts';
import { selectRows, type RowRange } from '../core/segment.ts';
import type { Series } from '../core/series.ts';
import { INT64_MAX, INT64_MIN } from '../core/time.ts';
import { groupByTime, lowerBound, orderRows, type TimeGroup } from '../core/time-order.ts';
import { WIRE_FORMATS } from '../formats/wire-formats.ts';
import { readPieces } from '../storage/chunk-reader.ts';
import type { CodecPool } from '../storage/codec-pool.ts';
import type { DataRoot } from '../storage/data-root.ts';
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
  const { series, format } = request;
  const selected = selectChannels(series, request.channels);
  const channels = (selected ?? series.channels).length;
  const most = Math.min(
    request.limit ?? Infinity,
    format === 'json' ? Math.max(1, Math.floor(MAX_JSON_VALUES / channels)) : Infinity,
  );
  const plan =
    series.sampling.kind === 'irregular' && request.selection.by === 'time'
      ? await planByTime(deps, series, request.selection, most)
      : await planByRows(deps, series, request.selection, most);
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
    clock: series.sampling.kind === 'regular' ? { rate: series.sampling.rate, segments: plan.snapshot.segments } : null,
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
    commit: plan.snapshot.commit,
    next: shape.next,
    body,
  };
}

interface ReadPlan {
  readonly snapshot: SampleSnapshot;
  readonly sections: readonly Section[];
  readonly rows: number;
  readonly firstRow: number;
  readonly rest: SampleSelection | null;
}

/** Regular series by time or rows, irregular ones by rows: rows in the order they are stored. */
async function planByRows(deps: ReadDeps, series: Series, selection: SampleSelection, most: number): Promise<ReadPlan> {
  const { sampling } = series;
  let snapshot: SampleSnapshot;
  let range: RowRange;
  if (selection.by === 'time' && sampling.kind === 'regular') {
    const { startNs, endNs } = bounds(selection);
    snapshot = await readSampleSnapshot(deps.db, series.id, { by: 'time', startNs, endNs });
    // Segments follow each other in rows and in time, so a time range is one range of rows.
    const ranges = selectRows(snapshot.segments, sampling.rate, startNs, endNs);
    range = { from: ranges[0]?.from ?? 0, to: ranges.at(-1)?.to ?? 0 };
  } else {
    const { from, to } = selection as Extract<SampleSelection, { by: 'rows' }>;
    const absolute = (from ?? 0) >= 0 && (to ?? 0) >= 0;
    // Slices that count from the end need to know the end first; the snapshot then clamps.
    const known = absolute
      ? series
      : { rows: (await readSampleSnapshot(deps.db, series.id, { by: 'rows', from: 0, to: 0 })).rows };
    const wanted = slice(from, to, absolute ? Number.MAX_SAFE_INTEGER : known.rows);
    snapshot = await readSampleSnapshot(deps.db, series.id, { by: 'rows', ...wanted });
    const end = Math.min(wanted.to, snapshot.rows);
    range = { from: Math.min(wanted.from, end), to: end };
  }
  const to = Math.min(range.to, range.from + most);
  const pieces = planRead([{ from: range.from, to }], snapshot.chunks, rowBytesOf(series));
  return {
    snapshot,
    sections: [{ kind: 'stored', pieces }],
    rows: to - range.from,
    firstRow: range.from,
    rest: to < range.to ? { by: 'rows', from: to, to: range.to } : null,
  };
}

/** Irregular series by time: rows in order of time, whatever the order they came in. */
async function planByTime(
  deps: ReadDeps,
  series: Series,
  selection: Extract<SampleSelection, { by: 'time' }>,
  most: number,
): Promise<ReadPlan> {
  const { startNs, endNs } = bounds(selection);
  const snapshot = await readSampleSnapshot(deps.db, series.id, { by: 'time', startNs, endNs });
  const sections: Section[] = [];
  let rows = 0;
  let firstRow: number | null = null;
  let rest: SampleSelection | null = null;
  for (const group of groupByTime(snapshot.chunks)) {
    if (rows >= most) {
      rest = { by: 'time', startNs: most64(group.chunks[0].firstNs!, startNs), endNs: selection.endNs };
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
  return { snapshot, sections: joinStored(sections), rows, firstRow: firstRow ?? 0, rest };
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
    const times = (await readRows(deps, series, [chunk], 'times')).times;
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
  const bytes = group.chunks.reduce((sum, chunk) => sum + chunk.rows * rowBytes, 0);
  if (bytes > MAX_ORDERED_BYTES) {
    throw new VarveError(
      'limit-exceeded',
      `the range holds ${bytes} bytes that are out of order in time; ask for a shorter one, or by rows`,
      {
        slug: 'disorder-too-large',
      },
    );
  }
  const { times, values } = await readRows(deps, series, group.chunks, 'both');
  const order = orderRows(times, series.duplicates).filter((i) => times[i] >= startNs && times[i] < endNs);
  let count = Math.min(order.length, most);
  let restNs: bigint | null = null;
  if (count < order.length) {
    // The rest is asked for by time, so rows of one time stay together.
    while (count > 0 && times[order[count - 1]] === times[order[count]]) count--;
    restNs = times[order[count]];
  }
  const kept = order.subarray(0, count);
  const sorted = new Uint8Array(count * rowBytes);
  kept.forEach((row, i) => sorted.set(values.subarray(row * rowBytes, (row + 1) * rowBytes), i * rowBytes));
  const firstRow = group.chunks[0].firstRow;
  return {
    section: { kind: 'held', firstRow, times: BigInt64Array.from(kept, (row) => times[row]), values: sorted },
    rows: count,
    firstRow,
    restNs,
  };
}

/** All rows of some chunks, in the order they came. */
async function readRows(
  deps: ReadDeps,
  series: Series,
  chunks: readonly ChunkLocation[],
  want: 'times' | 'both',
): Promise<{ times: BigInt64Array; values: Uint8Array }> {
  const ranges = chunks.map((chunk) => ({ from: chunk.firstRow, to: chunk.firstRow + chunk.rows }));
  const times: Uint8Array[] = [];
  const values: Uint8Array[] = [];
  for await (const piece of readPieces(deps.root, planRead(ranges, chunks, rowBytesOf(series)), want)) {
    times.push(piece.times!);
    values.push(piece.values);
  }
  return { times: viewAs('int64', Buffer.concat(times)) as BigInt64Array, values: Buffer.concat(values) };
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

function bounds(selection: Extract<SampleSelection, { by: 'time' }>): { startNs: bigint; endNs: bigint } {
  return { startNs: selection.startNs ?? INT64_MIN, endNs: selection.endNs ?? INT64_MAX };
}

const most64 = (a: bigint, b: bigint): bigint => (a > b ? a : b);

function rowBytesOf(series: Series): number {
  return series.channels.length * DTYPES[series.dtype].bytes;
}
