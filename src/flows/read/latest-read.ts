/**
 * The newest rows of a series. The catalog knows where the series ends, which tells which rows these are. Then they are
 * read like any others.
 */
import { readSampleSnapshot, type SampleSnapshot } from '../../catalog/read/sample-snapshot.ts';
import { newestChunks } from '../../catalog/read/overview-snapshot.ts';
import { erasuresOf } from '../../core/rows/erasure.ts';
import { withoutRows } from '../../core/signal/row-ranges.ts';
import { selectRows, timeOfRow, type RowRange } from '../../core/signal/segment.ts';
import { INT64_MAX, INT64_MIN } from '../../core/time.ts';
import { groupByTime } from '../../core/rows/time-order.ts';
import { requireReach } from '../series/series-reach.ts';
import { SMALL_READ_BYTES, STREAM_BYTES } from './answer-room.ts';
import { countHere } from './order-here.ts';
import { countTask, ORDER_BYTES } from './plan-samples.ts';
import { readSamples, type ReadDeps } from './read-samples.ts';
import { needLargerPlan, planSizeOf, snapshotBytes, type PlanClaim } from './read-weight.ts';
import type { LatestRequest, SampleSelection, SampleStream } from './read-service.ts';

interface NewestDeps extends Pick<ReadDeps, 'db' | 'root' | 'codec'> {
  /** That looking for them must fit in; undefined: it may take any size. */
  readonly claim?: PlanClaim;
}

/** Newest rows that are answered at once: those of irregular series are put in order in memory. */
export const MAX_LATEST_ROWS = 1_000_000;
/** Chunks that are asked for at first; twice as many each time that they do not have enough rows. */
const FIRST_CHUNKS = 4;

/**
 * Reads the newest rows. In an irregular series rows of one time are not parted: if several have the oldest time, all
 * of them come.
 * @throws what {@link readSamples} throws
 */
export async function readLatest(deps: ReadDeps, request: LatestRequest): Promise<SampleStream> {
  const { rows, ...read } = request;
  const { id, selection } = await deps.room.during(SMALL_READ_BYTES, async (claim) => {
    const snapshot = await readSampleSnapshot(deps.db, request.ref, { by: 'rows', from: 0, to: 0 });
    const { id } = requireReach(request.principal, request.ref, snapshot.series);
    return { id, selection: await selectNewest({ ...deps, claim }, snapshot, rows) };
  });
  return readSamples(deps, { ...read, ref: { id }, selection, limit: null, linkTo: () => '' });
}

/** Which rows of a series are its newest. @param snapshot needs no chunks */
export async function selectNewest(
  deps: NewestDeps,
  { series, segments, holes, expiredNs }: SampleSnapshot,
  rows: number,
): Promise<SampleSelection> {
  const { sampling } = series;
  if (sampling.kind === 'irregular') return newestTimes(deps, series.id, rows);
  const inTime = selectRows(segments, sampling.rate, expiredNs ?? INT64_MIN, INT64_MAX);
  const newest = newestRows(withoutRows(inTime, holes), rows);
  const from = newest[0]?.from ?? 0;
  return inTime.length > 1
    ? { by: 'time', startNs: timeOfRow(segments, sampling.rate, from) }
    : { by: 'rows', from, to: newest.at(-1)?.to ?? 0 };
}

/** @param seen rows that are there, in order of time. @returns the last of them */
function newestRows(seen: readonly RowRange[], most: number): RowRange[] {
  const newest: RowRange[] = [];
  let left = most;
  for (let i = seen.length - 1; i >= 0 && left > 0; i--) {
    const { from, to } = seen[i];
    newest.push({ from: Math.max(from, to - left), to });
    left -= to - from;
  }
  return newest.reverse();
}

/** The span of time of the newest rows of an irregular series. Reads the times of the chunks that end last. */
async function newestTimes(deps: NewestDeps, seriesId: string, most: number): Promise<SampleSelection> {
  for (let wanted = FIRST_CHUNKS; ; wanted *= 2) {
    const chunks = await newestChunks(deps.db, seriesId, wanted);
    const isAll = chunks.length < wanted;
    // Rows from here on are in these chunks alone: others end before.
    const startNs = isAll ? INT64_MIN : chunks.at(-1)!.lastNs + 1n;
    const stored = chunks.filter(({ lastNs }) => lastNs >= startNs).reduce((sum, { rows }) => sum + rows, 0);
    if (!isAll && stored < most) continue;
    const newest = await newestFrom(deps, seriesId, startNs, most);
    if (newest.rows === 0 && isAll) return { by: 'rows', from: 0, to: 0 };
    if (newest.rows >= most || isAll) {
      const { firstNs, lastNs } = newest;
      return { by: 'time', startNs: firstNs, ...(lastNs < INT64_MAX && { endNs: lastNs + 1n }) };
    }
  }
}

/**
 * Times of the newest rows that a reader sees from a time on: as many as are wanted, or all. Groups are looked into
 * from the last one back.
 */
async function newestFrom(
  { db, root, codec, claim }: NewestDeps,
  seriesId: string,
  startNs: bigint,
  most: number,
): Promise<{ readonly rows: number; readonly firstNs: bigint; readonly lastNs: bigint }> {
  const range = { startNs, endNs: INT64_MAX };
  const size = claim && planSizeOf(claim);
  const enough = size && { atMost: size.chunks, mostHeldBytes: size.heldBytes };
  const snapshot = await readSampleSnapshot(db, { id: seriesId }, { by: 'time', ...range, ...enough });
  if (claim) {
    if (snapshot.isCut) needLargerPlan(claim);
    claim.need(STREAM_BYTES + snapshotBytes(snapshot, ORDER_BYTES));
  }
  let [rows, firstNs, lastNs] = [0, startNs, startNs];
  for (const group of groupByTime(snapshot.chunks).toReversed()) {
    const [first] = group.chunks;
    const isTold = group.ordered && first.firstNs! >= startNs && erasuresOf(first, snapshot.erasures).length === 0;
    const wanted = { ...range, skip: 0, isRanked: true, most: Infinity };
    const task = countTask({ root, snapshot, orderBytes: ORDER_BYTES, heldBytes: 0 }, group, wanted);
    const count = isTold ? first.rows : (await countHere(codec, { ...task, heldRows: 0 })).rows;
    if (count === 0) continue;
    const timeAt = async (row: number): Promise<bigint> => {
      if (isTold && row === 0) return first.firstNs!;
      if (isTold && row === count - 1) return first.lastNs!;
      return (await countHere(codec, { ...task, skip: row, most: 0 })).rest!.ns;
    };
    if (rows === 0) lastNs = await timeAt(count - 1);
    const from = Math.max(0, count - (most - rows));
    firstNs = rows === 0 && from === count - 1 ? lastNs : await timeAt(from);
    rows += count - from;
    if (rows === most) break;
  }
  return { rows, firstNs, lastNs };
}
