/** A read, from the request to a stream of bytes. */
import { marksAround } from '../../catalog/appends/clock-store.ts';
import type { Database } from '../../catalog/database.ts';
import { readSampleSnapshot, type ChunkSelection, type SampleSnapshot } from '../../catalog/read/sample-snapshot.ts';
import type { OutDescription, OutShape } from '../../core/signal/batch.ts';
import { calibrationOf, withoutCalibration } from '../../core/signal/calibration.ts';
import { chooseChannels } from '../../core/signal/choose-channels.ts';
import { isVarveError, unprocessableField } from '../../core/errors.ts';
import { formatRate } from '../../core/signal/rate.ts';
import { DTYPES } from '../../core/numbers/dtype.ts';
import { MAX_PIECE_BYTES, type Piece } from '../../core/rows/read-plan.ts';
import type { RowRange } from '../../core/signal/segment.ts';
import type { Channel, Series } from '../../core/signal/series.ts';
import { isFile, mediaTypeOf, WIRE_FORMATS } from '../../formats/samples/wire-formats.ts';
import type { CodecPool } from '../../storage/threads/codec-pool.ts';
import type { DataRoot } from '../../storage/folder/data-root.ts';
import type { ShardFiles } from '../../storage/read/shard-files.ts';
import { jsonBytes, SMALL_READ_BYTES, STREAM_BYTES, type AnswerRoom, type Claim } from './answer-room.ts';
import { exportRows } from './export-samples.ts';
import { requireReach } from '../series/series-reach.ts';
import { seriesIn } from '../series/unit-conversion.ts';
import { laterRows, planEnough, type ChunkLimits, type Enough, type LaterRows } from './plan-pages.ts';
import { chunksOf, slice, type ReadPlan } from './plan-samples.ts';
import {
  canCopy,
  orderingBytes,
  printSamples,
  printedBytes,
  rowsOfPart,
  type PrintTask,
  type RowsTask,
  type Section,
  type SeriesClock,
} from './print-samples.ts';
import type { BytePart, ChosenPart, ReadRequest, SampleSelection, SampleStream } from './read-service.ts';
import { CHUNK_BYTES } from './read-weight.ts';

export interface ReadDeps {
  readonly db: Database;
  readonly root: DataRoot;
  readonly codec: CodecPool;
  readonly room: AnswerRoom;
  /** Shards that are kept open between reads. */
  readonly files: ShardFiles;
  /** Limits of a plan. Undefined: as is good for a service. */
  readonly chunkLimits?: ChunkLimits;
}

/**
 * Most values that are printed on the main thread. They take less than a millisecond, which is what handing over to a
 * thread costs.
 */
const PRINT_HERE_VALUES = 8_192;
const TIME_BYTES = 8;
/** A page of a plan that is made while the rows before are on their way. */
const LATER_BYTES = SMALL_READ_BYTES - STREAM_BYTES;
/** JSON has values after all times, so an answer is held in memory: larger ones are cut here and go on behind `next`. */
const MAX_JSON_VALUES = 4 * 1024 * 1024;

/**
 * @throws invalid-input naming `channels`; corrupt if a checksum fails in the first bytes (later ones cut the stream); limit-exceeded; unavailable
 */
export function readSamples(deps: ReadDeps, request: ReadRequest): Promise<SampleStream> {
  return onceMore(() => deps.room.admit(SMALL_READ_BYTES, (claim) => openStream(deps, request, claim)));
}

/**
 * It is tried once more with fresh rows: the shard may have been replaced between the catalog's answer and the read.
 */
export async function onceMore<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (isVarveError(error) && error.code === 'corrupt') return read();
    throw error;
  }
}

async function openStream(deps: ReadDeps, request: ReadRequest, claim: Claim): Promise<SampleStream> {
  const { format } = request;
  const { snapshot, plan, selected } = await planEnough(
    deps,
    request.limit ?? Infinity,
    async (enough) => {
      const { snapshot, selection } = await readSnapshot(deps, request, enough);
      const selected = chooseChannels(snapshot.series.channels, request.channels);
      const channels = (selected ?? snapshot.series.channels).length;
      const most = Math.min(
        request.limit ?? Infinity,
        format === 'json' ? Math.max(1, Math.floor(MAX_JSON_VALUES / channels)) : Infinity,
      );
      return { snapshot, selection, most, selected };
    },
    { isPaged: true, chunkLimits: deps.chunkLimits, claim },
  );
  const { series } = snapshot;
  const task = rowsTask(deps, snapshot, plan, {
    selected,
    physical: request.physical,
    unit: request.unit,
    next: plan.rest && request.linkTo(plan.rest),
    clock: await marksOf(deps, request, snapshot, plan),
  });
  const { shape } = task;
  return {
    mediaType: mediaTypeOf(format),
    ...(await sampleBody(deps, request, claim, task, series, laterRows(deps, snapshot, plan))),
    rows: plan.rows,
    firstRow: plan.firstRow,
    dtype: shape.dtype,
    channelLabels: shape.channelLabels,
    commit: series.commit,
    version: series.version,
    next: shape.next,
  };
}

/**
 * The clock marks of planned rows, for formats with a time on every row.
 * @throws unprocessable naming `time` where there are no such times
 */
async function marksOf(
  { db }: Pick<ReadDeps, 'db'>,
  { clock, format }: Pick<ReadRequest, 'clock' | 'format'>,
  { series }: SampleSnapshot,
  { sections, later }: ReadPlan,
): Promise<Pick<SeriesClock, 'marks' | 'isMarked'>> {
  const isMarked = clock === 'marks';
  if (isMarked && series.sampling.kind === 'irregular') {
    throw unprocessableField('time', 'is for regular series; the rows of this one have times of their own');
  }
  if (isMarked && !isFile(format) && WIRE_FORMATS[format].isPacked) {
    throw unprocessableField('time', `is for formats with a time on every row; the answer would be ${format}`);
  }
  if (series.sampling.kind === 'irregular' || !(isMarked || isFile(format))) return NO_MARKS;
  const pieces = sections.flatMap((section) => (section.kind === 'stored' ? section.pieces : []));
  const ranges = [...pieces.flatMap(rangesOf), ...later];
  if (ranges.length === 0) return { marks: [], isMarked };
  const from = ranges.reduce((least, range) => Math.min(least, range.from), ranges[0].from);
  const to = ranges.reduce((most, range) => Math.max(most, range.to), ranges[0].to);
  return { marks: await marksAround(db, series.id, { from, to }), isMarked };
}

const NO_MARKS = { marks: null, isMarked: false } as const;

function rangesOf({ blocks }: Piece): RowRange[] {
  return blocks.map(({ firstRow, rows }) => ({ from: firstRow, to: firstRow + rows }));
}

/**
 * Makes an answer of the planned rows. @param choice channels by number, null: all; whether calibrated, and in which
 * unit; where the rest is; clock marks @throws unprocessable naming `unit`
 */
export function rowsTask(
  { root }: Pick<ReadDeps, 'root'>,
  { series: stored, segments }: SampleSnapshot,
  plan: ReadPlan,
  {
    selected,
    physical,
    unit = null,
    next,
    clock = NO_MARKS,
  }: {
    readonly selected: readonly number[] | null;
    readonly physical: boolean;
    readonly unit?: string | null;
    readonly next: string | null;
    readonly clock?: Pick<SeriesClock, 'marks' | 'isMarked'>;
  },
): RowsTask {
  const series = unit === null ? stored : seriesIn(stored, selected, unit);
  const chosen = selected ? selected.map((index) => series.channels[index]) : series.channels;
  const shape: OutShape = {
    seriesId: series.id,
    dtype: physical ? 'float64' : series.dtype,
    channelLabels: chosen.map((channel) => channel.label),
    kind: series.sampling.kind,
    totalRows: plan.rows,
    firstRow: plan.firstRow,
    next,
    description: describeRows(series, chosen, physical),
  };
  return {
    dataRoot: root.root,
    sections: plan.sections,
    dtype: series.dtype,
    channels: series.channels.length,
    missingValue: series.missingValue,
    selected,
    calibrations: physical ? chosen.map((channel) => calibrationOf(series, channel)) : null,
    clock: series.sampling.kind === 'regular' ? { rate: series.sampling.rate, segments, ...clock } : null,
    shape,
  };
}

type SampleBody = Pick<SampleStream, 'body' | 'contentLength' | 'part'>;

const NOTHING: BytePart = { from: 0, to: 0 };

async function sampleBody(
  deps: ReadDeps,
  request: ReadRequest,
  claim: Claim,
  rows: RowsTask,
  state: Series,
  laterOf: LaterRows | null,
): Promise<SampleBody> {
  const { format, spelling, signal } = request;
  const { version, commit } = state;
  const choose = (bytes: number): ChosenPart => request.choosePart?.({ bytes, version, commit }) ?? null;
  if (isFile(format)) {
    const { bytes, read } = await exportRows(
      deps,
      rows,
      signal,
      laterOf && laterOf({ from: 0, to: rows.shape.totalRows }),
    );
    const part = choose(bytes);
    const { from, to } = part === 'unsatisfiable' ? NOTHING : (part ?? { from: 0, to: bytes });
    claim.keep(STREAM_BYTES);
    return { contentLength: bytes, body: await started(claim.over(read(from, to))), part };
  }
  const whole: PrintTask = { ...rows, format, spelling };
  const contentLength = printedBytes(whole);
  const part = contentLength === null ? null : choose(contentLength);
  const task = { ...whole, part: part === 'unsatisfiable' ? NOTHING : part };
  const wanted = task.part ? rowsOfPart(task, task.part) : { from: 0, to: task.shape.totalRows };
  const isSmall = (wanted.to - wanted.from) * task.shape.channelLabels.length <= PRINT_HERE_VALUES;
  const isReady = task.sections.every(({ kind }) => kind !== 'disordered');
  const here = canCopy(task) || (isSmall && isReady && !WIRE_FORMATS[format].inThread);
  const later = laterOf && laterOf(wanted);
  const held = heldBytes(task) + (later ? LATER_BYTES : 0);
  claim.need(held);
  claim.keep(held);
  const bytes = here
    ? printSamples(task, deps.files, { lend: true, later })
    : later
      ? deps.codec.pipe('print', task, later, signal)
      : deps.codec.stream('print', task, signal);
  return { contentLength, body: await started(claim.over(bytes)), part };
}

/** What the answer holds while its client reads. */
function heldBytes(task: PrintTask): number {
  const { totalRows, channelLabels, dtype } = task.shape;
  const values = totalRows * channelLabels.length;
  const text = Math.min(STREAM_BYTES, jsonBytes(values)) + (task.format === 'json' ? jsonBytes(values) : 0);
  const pieceRows = Math.min(totalRows, Math.ceil(MAX_PIECE_BYTES / (task.channels * DTYPES[task.dtype].bytes)));
  // With times, and converted; what is copied as it lies is neither.
  const converted = canCopy(task) ? 0 : pieceRows * (TIME_BYTES + channelLabels.length * DTYPES[dtype].bytes);
  return text + converted + task.sections.reduce((sum, section) => sum + sectionBytes(section), 0);
}

/** Rows of held sections are all in memory; others are put in order one section after the other. */
function sectionBytes(section: Section): number {
  const chunks =
    section.kind === 'stored' ? section.pieces.length : section.kind === 'held' ? 0 : section.task.chunks.length;
  return chunks * CHUNK_BYTES + orderingBytes(section);
}

function describeRows(series: Series, channels: readonly Channel[], physical: boolean): OutDescription {
  const { name, project, unit, scale, offset, missingValue, sampling, timeReference, tags } = series;
  const rate = sampling.kind === 'regular' ? formatRate(sampling.rate) : null;
  const same = { name, project, unit, rate, timeReference, tags };
  if (!physical) return { ...same, scale, offset, missingValue, channels };
  return { ...same, scale: 1, offset: 0, missingValue: null, channels: channels.map(withoutCalibration) };
}

/**
 * Series and chunks of the request, as of one instant, and the selection with its rows counted from the start. @throws
 * not-found, also for a series out of the principal's reach
 */
export async function readSnapshot(
  { db }: Pick<ReadDeps, 'db'>,
  { principal, ref, selection }: Pick<ReadRequest, 'principal' | 'ref' | 'selection'>,
  enough: Enough = {},
): Promise<{ snapshot: SampleSnapshot; selection: SampleSelection }> {
  const read = async (chunks: ChunkSelection): Promise<SampleSnapshot> => {
    const snapshot = await readSampleSnapshot(db, ref, { ...chunks, ...enough });
    requireReach(principal, ref, snapshot.series);
    return snapshot;
  };
  if (selection.by === 'time') return { snapshot: await read(chunksOf(selection)), selection };
  let { from, to } = selection;
  if ((from ?? 0) < 0 || (to ?? 0) < 0) {
    // A slice that counts from the end must know the end first.
    const { series } = await read({ by: 'rows', from: 0, to: 0 });
    // Only the chunks of an irregular series tell its end.
    if (series.sampling.kind === 'irregular') return { snapshot: await read(chunksOf({ by: 'rows' })), selection };
    ({ from, to } = slice(from, to, series.rows));
  }
  const counted = { by: 'rows', from, to } as const;
  return { snapshot: await read(chunksOf(counted)), selection: counted };
}

/** Pulls the first bytes, so that what is wrong with them becomes an error and not a cut answer. */
export async function started(body: AsyncGenerator<Uint8Array>): Promise<AsyncIterable<Uint8Array>> {
  let first: IteratorResult<Uint8Array> | null = await body.next();
  // This is not a generator around the generator: one that is left before it began would never close the files behind
  // it.
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
