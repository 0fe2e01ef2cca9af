/** The newest rows of a series: which they are is found from what the catalog knows of its end, and then they are read like any others. */
import { readSampleSnapshot, type SampleSnapshot } from '../catalog/sample-snapshot.ts';
import { newestChunks } from '../catalog/overview-snapshot.ts';
import { notFound } from '../core/errors.ts';
import { withoutRows } from '../core/row-ranges.ts';
import { selectRows, timeOfRow, type RowRange } from '../core/segment.ts';
import { INT64_MAX, INT64_MIN } from '../core/time.ts';
import { mayUse } from './series-reach.ts';
import { seenTimes } from './order-here.ts';
import { readSamples, type ReadDeps } from './read-samples.ts';
import type { LatestRequest, SampleSelection, SampleStream } from './service.ts';

/** Newest rows that are answered at once: those of irregular series are put in order in memory. */
export const MAX_LATEST_ROWS = 1_000_000;
/** Chunks that are asked for at first; twice as many each time that they do not have enough rows. */
const FIRST_CHUNKS = 4;

/**
 * Of an irregular series rows of one time are not parted: if more than one has the oldest time, all come.
 * @throws what {@link readSamples} throws
 */
export async function readLatest(deps: ReadDeps, request: LatestRequest): Promise<SampleStream> {
  const { rows, ...read } = request;
  const snapshot = await readSampleSnapshot(deps.db, request.ref, { by: 'rows', from: 0, to: 0 });
  const { series } = snapshot;
  if (!mayUse(request.principal, series.project)) {
    throw notFound('series', 'id' in request.ref ? request.ref.id : request.ref.name);
  }
  const selection = await selectNewest(deps, snapshot, rows);
  return readSamples(deps, { ...read, ref: { id: series.id }, selection, limit: null, linkTo: () => '' });
}

/** Which rows of a series are its newest. @param snapshot needs no chunks */
export async function selectNewest(
  deps: Pick<ReadDeps, 'db' | 'root' | 'codec'>,
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
async function newestTimes(
  deps: Pick<ReadDeps, 'db' | 'root' | 'codec'>,
  seriesId: string,
  most: number,
): Promise<SampleSelection> {
  for (let wanted = FIRST_CHUNKS; ; wanted *= 2) {
    const chunks = await newestChunks(deps.db, seriesId, wanted);
    const isAll = chunks.length < wanted;
    // Rows from here on are in these chunks alone: others end before.
    const startNs = isAll ? INT64_MIN : chunks.at(-1)!.lastNs + 1n;
    const stored = chunks.filter(({ lastNs }) => lastNs >= startNs).reduce((sum, { rows }) => sum + rows, 0);
    if (!isAll && stored < most) continue;
    const times = await timesFrom(deps, seriesId, startNs);
    if (times.length === 0 && isAll) return { by: 'rows', from: 0, to: 0 };
    if (times.length >= most || isAll) {
      const startOfRows = times[Math.max(0, times.length - most)];
      const lastNs = times[times.length - 1];
      return { by: 'time', startNs: startOfRows, ...(lastNs < INT64_MAX && { endNs: lastNs + 1n }) };
    }
  }
}

/** Times that a reader sees, in order. */
async function timesFrom(
  deps: Pick<ReadDeps, 'db' | 'root' | 'codec'>,
  seriesId: string,
  startNs: bigint,
): Promise<BigInt64Array> {
  const { series, chunks, erasures } = await readSampleSnapshot(
    deps.db,
    { id: seriesId },
    { by: 'time', startNs, endNs: INT64_MAX },
  );
  return seenTimes(deps, { chunks, duplicates: series.duplicates, erasures, startNs, endNs: INT64_MAX });
}
