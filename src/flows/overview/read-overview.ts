/** An answer of buckets, from the request to a stream of bytes: an overview of so many points, or aggregates of spans of time. */
import type { Database } from '../../catalog/database.ts';
import {
  withOverview,
  type LocatedSummary,
  type OverviewReader,
  type OverviewSnapshot,
} from '../../catalog/read/overview-snapshot.ts';
import type { Aggregate } from '../../core/overview/aggregate-span.ts';
import { calibrationOf } from '../../core/signal/calibration.ts';
import { invalidField, VarveError } from '../../core/errors.ts';
import { chooseChannels } from '../../core/signal/choose-channels.ts';
import { DTYPES } from '../../core/numbers/dtype.ts';
import type { RowDetails } from '../../core/overview/bucket-fold.ts';
import { lineEnds, gaplessRuns, withBorders } from '../../core/overview/broken-line.ts';
import { equalBorders } from '../../core/overview/row-buckets.ts';
import { nsOfRow, type Rate } from '../../core/signal/rate.ts';
import { clipRows } from '../../core/signal/row-ranges.ts';
import { timeOfRow } from '../../core/signal/segment.ts';
import type { Channel, Series } from '../../core/signal/series.ts';
import { INT64_MAX } from '../../core/time.ts';
import { mediaTypeOf, WIRE_FORMATS } from '../../formats/samples/wire-formats.ts';
import type { CodecPool } from '../../storage/threads/codec-pool.ts';
import type { DataRoot } from '../../storage/folder/data-root.ts';
import { SMALL_READ_BYTES, STREAM_BYTES, type AnswerRoom, type Claim } from '../read/answer-room.ts';
import { chunksBytes, COPIES_IN_ORDERING, needLargerPlan, planSizeOf, type PlanClaim } from '../read/read-weight.ts';
import type { TimeRange } from '../../core/signal/time-span.ts';
import { bordersHere, bordersWithin, clampBorders, everyBorders } from './bucket-borders.ts';
import { orderedBytes } from '../read/order-windows.ts';
import { onceMore } from '../read/read-samples.ts';
import { requireReach } from '../series/series-reach.ts';
import { channelIn } from '../series/unit-conversion.ts';
import { bucketsBytes } from './bucket-weight.ts';
import { FOLD_ORDER_BYTES, type FoldTask } from './fold-overview.ts';
import { planRowFold, planTimeFold, type FoldPlan, type FoldReader, type PlanRequest } from './plan-overview.ts';
import {
  printBuckets,
  type AnsweredChannel,
  type BucketAnswer,
  type BucketPrintTask,
  type LineAnswer,
} from './print-overview.ts';
import type { BucketRequest, BucketStream } from './overview-service.ts';

export interface OverviewDeps {
  readonly db: Database;
  readonly root: DataRoot;
  readonly codec: CodecPool;
  readonly room: AnswerRoom;
}

/** Most buckets of an answer: more than any screen is wide. */
export const MAX_POINTS = 20_000;
/** Most buckets × channels: all of them are in memory. */
export const MAX_BUCKET_VALUES = 4_000_000;
/** … times what is answered of each. */
export const MAX_ANSWERED_VALUES = 12_000_000;
/** Most summary cells and rows that are folded on the main thread. */
const FOLD_HERE_VALUES = 8_192;
/**
 * A line is chosen from the extremes of this many buckets a point. Four candidates a point are as good as all rows
 * (Donckt et al., MinMaxLTTB, 2023).
 */
const BUCKETS_A_POINT = 2;
/** Minimum, maximum and mean. */
const COLUMNS_OF_POINTS = 3;
/** Transactions that a plan may take. */
const PLAN_ATTEMPTS = 5;

/**
 * @throws invalid-input naming `channels`, `points` or `every`; corrupt; limit-exceeded; not-found, also for a series out of the principal's reach
 */
export async function readBuckets(deps: OverviewDeps, request: BucketRequest): Promise<BucketStream> {
  return onceMore(() => deps.room.admit(SMALL_READ_BYTES, (claim) => answer(deps, request, claim)));
}

async function answer(deps: OverviewDeps, request: BucketRequest, claim: Claim): Promise<BucketStream> {
  const { task, commit, version } = await planned(deps, request, claim);
  const isHere = isLittle(task.fold) && !WIRE_FORMATS[request.format].inThread;
  const body = isHere ? printBuckets(task) : deps.codec.stream('buckets', task, request.signal);
  const bytes = await only(body, request.signal);
  claim.keep(bytes.byteLength);
  return {
    mediaType: mediaTypeOf(request.format),
    commit,
    version,
    body: bytes,
    release: () => claim.release(),
  };
}

interface PlannedBuckets {
  readonly task: BucketPrintTask;
  readonly commit: bigint;
  readonly version: number;
}

/**
 * Plans an answer. The borders of a calendar may take a thread, and no transaction waits for it. Where borders are
 * missing it ends, and another one begins. The range may have grown in between, seldom past the last border.
 */
async function planned(deps: OverviewDeps, request: BucketRequest, claim: Claim): Promise<PlannedBuckets> {
  const { wanted, ref } = request;
  let known: BigInt64Array | null = null;
  for (let attempt = 1; attempt <= PLAN_ATTEMPTS; attempt++) {
    const made = await withOverview(
      deps.db,
      ref,
      async (reader): Promise<PlannedBuckets | { readonly range: TimeRange }> => {
        const series = requireReach(request.principal, ref, reader.snapshot.series);
        const range = rangeOf(reader.snapshot, request);
        const borders = bordersOf(request, range, known);
        if (!borders) return { range };
        const task = await planAnswer(deps, request, reader, claim, { range, borders });
        return { task, commit: series.commit, version: series.version };
      },
    );
    if ('task' in made) return made;
    if (wanted.by === 'every') known = await everyBorders(deps.codec, wanted, made.range);
  }
  throw new VarveError('unavailable', 'the series grows faster than its buckets are found; try again');
}

function isLittle(fold: FoldTask): boolean {
  if (fold.kind === 'irregular') {
    const rows = fold.chunks.reduce((sum, chunk) => sum + chunk.rows, 0);
    return fold.shards.length === 0 && rows * fold.channels <= FOLD_HERE_VALUES;
  }
  const rows = fold.pieces.reduce((sum, { blocks }) => sum + blocks.reduce((n, block) => n + block.rows, 0), 0);
  return fold.cells.length === 0 && (rows + fold.buckets) * fold.channels <= FOLD_HERE_VALUES;
}

/** The bytes of an answer that comes in one piece, after signs of life. */
async function only(body: AsyncGenerator<Uint8Array>, signal: AbortSignal): Promise<Uint8Array> {
  for await (const piece of body) {
    signal.throwIfAborted();
    if (piece.byteLength > 0) return piece;
  }
  throw new Error('an answer of no bytes');
}

async function planAnswer(
  deps: OverviewDeps,
  request: BucketRequest,
  reader: OverviewReader,
  claim: Claim,
  { range, borders }: { readonly range: TimeRange; readonly borders: BigInt64Array },
): Promise<BucketPrintTask> {
  const { snapshot } = reader;
  const { series } = snapshot;
  const selected = chooseChannels(series.channels, request.channels);
  const channels = selected ? selected.map((index) => series.channels[index]) : series.channels;
  const { wanted } = request;
  if (wanted.by === 'line' && channels.length !== 1) {
    throw invalidField('channels', `a line is of one channel; the request has ${channels.length}`);
  }
  const named = wanted.by === 'every' ? 'every' : 'points';
  const buckets = borders.length - 1;
  if (buckets * channels.length > MAX_BUCKET_VALUES) {
    throw invalidField(
      named,
      `makes ${buckets} buckets of ${channels.length} channels; at most ${MAX_BUCKET_VALUES} values are answered`,
    );
  }
  const columns = wanted.by === 'every' ? wanted.aggregates.length : COLUMNS_OF_POINTS;
  if (buckets * channels.length * columns > MAX_ANSWERED_VALUES) {
    const message = `makes ${buckets} buckets of ${channels.length} channels with ${columns} values each; at most ${MAX_ANSWERED_VALUES} are answered`;
    throw invalidField(named, message);
  }
  const details = detailsOf(request);
  const answered = bucketsBytes(buckets * channels.length, details, columns);
  claim.need(STREAM_BYTES + answered);
  const { sampling } = series;
  const line = wanted.by === 'line' && sampling.kind === 'regular' ? lineOf(snapshot, sampling.rate, range) : null;
  const ends = line && wanted.by === 'line' ? lineEnds(line.runs, line.segments, line.rate, wanted.points / 2) : [];
  const plan: PlanRequest = {
    dataRoot: deps.root.root,
    selected,
    details,
    borders: withBorders(clampBorders(borders, range), ends),
    rule: wanted.by === 'every' ? 'fixed' : 'ends',
    fixed: new Set(ends),
  };
  const { fold, begins } = await planFold(fittingReader(reader, claim, answered), plan);
  const common = {
    format: request.format,
    seriesId: series.id,
    timeReference: series.timeReference,
    channels: channels.map((channel) => answeredChannel(series, inUnitOf(request, series, channel), request.physical)),
  };
  const printed: BucketAnswer | LineAnswer =
    wanted.by === 'line'
      ? { ...common, kind: 'line', points: wanted.points, clock: line }
      : wanted.by === 'points'
        ? { ...common, kind: 'buckets', columns: ['min', 'max', 'mean'], fill: 'null', borders: begins }
        : { ...common, kind: 'buckets', columns: wanted.aggregates, fill: wanted.fill, borders };
  return { fold, answer: printed };
}

/** Where the rows of a regular series lie in time, and where they follow each other without a gap. */
function lineOf({ segments, holes }: OverviewSnapshot, rate: Rate, { startNs, endNs }: TimeRange): LineAnswer['clock'] {
  const { axis, runs } = gaplessRuns(segments, holes, rate, startNs, endNs);
  return { rate, segments: axis, runs };
}

/**
 * Chunks, as far as the claim has room for them.
 * @param answered bytes of it that are for the answer
 * @throws limit-exceeded `too-many-chunks`
 */
export function fittingReader(
  { snapshot, chunks: read }: OverviewReader,
  claim: PlanClaim,
  answered: number,
): FoldReader {
  return {
    snapshot,
    chunks: async (wanted) => {
      const chunks = await read(wanted, planSizeOf(claim, answered));
      if (!chunks) return needLargerPlan(claim, answered);
      claim.need(STREAM_BYTES + answered + chunksBytes(chunks) + foldOrderingBytes(snapshot.series, chunks));
      return chunks;
    },
  };
}

/** Rows of an irregular series that are put in order at once. */
function foldOrderingBytes(
  { sampling, channels, dtype }: Series,
  chunks: readonly { readonly rows: number }[],
): number {
  if (sampling.kind === 'regular') return 0;
  const rows = chunks.reduce((sum, chunk) => sum + chunk.rows, 0);
  return COPIES_IN_ORDERING * Math.min(FOLD_ORDER_BYTES, orderedBytes(rows, channels.length * DTYPES[dtype].bytes));
}

export async function planFold(reader: FoldReader, plan: PlanRequest): Promise<FoldPlan> {
  const { sampling } = reader.snapshot.series;
  return sampling.kind === 'regular'
    ? planRowFold(reader, sampling.rate, plan)
    : { fold: await planTimeFold(reader, plan), begins: null };
}

function inUnitOf({ unit = null }: BucketRequest, series: Series, channel: Channel): Channel {
  return unit === null ? channel : channelIn(series, channel, unit);
}

export function answeredChannel(series: Series, channel: Channel, physical: boolean): AnsweredChannel {
  return {
    label: channel.label,
    unit: channel.unit ?? series.unit,
    calibration: physical ? calibrationOf(series, channel) : null,
  };
}

/** The range of the request, clipped to where there are data; where gaps are to be filled, as it was asked for. Empty: both ends are the same. */
function rangeOf(snapshot: OverviewSnapshot, { startNs, endNs, wanted }: BucketRequest): TimeRange {
  const data = extent(snapshot);
  const isFilled = wanted.by === 'every' && wanted.fill !== 'none';
  const start = startNs ?? data?.startNs;
  const end = endNs ?? data?.endNs;
  if (start === undefined || end === undefined || (!data && !isFilled)) return { startNs: 0n, endNs: 0n };
  if (isFilled || !data) return { startNs: start, endNs: end > start ? end : start };
  const from = start > data.startNs ? start : data.startNs;
  const to = end < data.endNs ? end : data.endNs;
  return to > from ? { startNs: from, endNs: to } : { startNs: from, endNs: from };
}

/** The range of time in which there are rows, or summaries of rows that have expired. */
function extent(snapshot: OverviewSnapshot): TimeRange | null {
  const { series, expiredNs, summariesExpiredNs } = snapshot;
  const { sampling, firstNs, lastNs } = series;
  const ranges: TimeRange[] = [];
  if (firstNs !== null && lastNs !== null) {
    // A row of a regular series stands for its period.
    const endNs = lastNs + (sampling.kind === 'regular' ? nsOfRow(sampling.rate, 1) || 1n : 1n);
    ranges.push({ startNs: firstNs, endNs: endNs < INT64_MAX ? endNs : INT64_MAX });
  }
  if (expiredNs !== null) {
    for (const block of snapshot.summaries) {
      const range = sampling.kind === 'regular' ? spanOfRows(snapshot, sampling.rate, block) : spanOfTimes(block);
      if (range) ranges.push(range);
    }
  }
  if (ranges.length === 0) return null;
  const first = ranges.reduce((a, { startNs }) => (startNs < a ? startNs : a), ranges[0].startNs);
  const endNs = ranges.reduce((a, range) => (range.endNs > a ? range.endNs : a), ranges[0].endNs);
  const startNs = summariesExpiredNs !== null && summariesExpiredNs > first ? summariesExpiredNs : first;
  return startNs < endNs ? { startNs, endNs } : null;
}

/** Null: the rows of the block have no times. */
function spanOfRows({ segments }: OverviewSnapshot, rate: Rate, block: LocatedSummary): TimeRange | null {
  const cells = { from: block.firstRow!, to: block.lastRow! + 1 };
  let span: TimeRange | null = null;
  for (const { firstRow, rows } of segments) {
    const [own] = clipRows([{ from: firstRow, to: firstRow + rows }], cells);
    if (!own) continue;
    const startNs = timeOfRow(segments, rate, own.from);
    const endNs = timeOfRow(segments, rate, own.to - 1) + 1n;
    span = {
      startNs: span && span.startNs < startNs ? span.startNs : startNs,
      endNs: span && span.endNs > endNs ? span.endNs : endNs,
    };
  }
  return span;
}

function spanOfTimes({ firstNs, lastNs }: LocatedSummary): TimeRange {
  return { startNs: firstNs!, endNs: lastNs! + 1n };
}

function detailsOf({ wanted }: BucketRequest): RowDetails {
  if (wanted.by === 'line') return { places: true };
  return wanted.by === 'points' ? {} : aggregateDetails(wanted.aggregates);
}

export function aggregateDetails(aggregates: readonly Aggregate[]): RowDetails {
  return {
    ends: aggregates.includes('first') || aggregates.includes('last'),
    spread: aggregates.includes('std'),
  };
}

/** Null where they have to be found first. @param known borders that this request has found, for a range that it had */
function bordersOf(
  { wanted }: BucketRequest,
  { startNs, endNs }: TimeRange,
  known: BigInt64Array | null,
): BigInt64Array | null {
  if (wanted.by === 'every')
    return known ? bordersWithin(known, { startNs, endNs }) : bordersHere(wanted, { startNs, endNs });
  if (startNs >= endNs) return BigInt64Array.of(startNs);
  return equalBorders(startNs, endNs, wanted.by === 'line' ? wanted.points * BUCKETS_A_POINT : wanted.points);
}
