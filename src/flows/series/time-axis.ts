/** Where a regular series has data in time, and what clocks said of its rows. */
import { listMarks } from '../../catalog/appends/clock-store.ts';
import type { Database } from '../../catalog/database.ts';
import { readSampleSnapshot } from '../../catalog/read/sample-snapshot.ts';
import { VarveError } from '../../core/errors.ts';
import type { ClockMark } from '../../core/signal/place-run.ts';
import type { Rate } from '../../core/signal/rate.ts';
import { withoutRows } from '../../core/signal/row-ranges.ts';
import { byTime, rowsInTime, timeWithin } from '../../core/signal/segment.ts';
import type { Series } from '../../core/signal/series.ts';
import { INT64_MAX, INT64_MIN } from '../../core/time.ts';
import { visibleSeries, requireReach } from './series-reach.ts';
import type { Principal } from '../principal.ts';
import type { SeriesRef } from './series-service.ts';
import type { DataSpan, TimeAxisService } from './time-axis-service.ts';

export function timeAxisService(db: Database): TimeAxisService {
  return {
    segments: (principal, ref, page) => listSegments(db, principal, ref, page),
    async clockMarks(principal, ref, { limit, after }) {
      const { id, sampling } = await visibleSeries(db)(principal, ref);
      regularRate(sampling);
      const marks = await listMarks(db, id, { limit: limit + 1, after });
      return pageOf<ClockMark, number>(marks, limit, ({ row }) => row);
    },
  };
}

async function listSegments(
  db: Database,
  principal: Principal,
  ref: SeriesRef,
  { startNs, endNs, limit, after }: Parameters<TimeAxisService['segments']>[2],
): Promise<{ items: DataSpan[]; after: bigint | null }> {
  const { series, segments, holes, expiredNs } = await readSampleSnapshot(db, ref, { by: 'rows', from: 0, to: 0 });
  const rate = regularRate(requireReach(principal, ref, series).sampling);
  const visibleNs = expiredNs ?? INT64_MIN;
  const spans: { firstRow: number; rows: number; startNs: bigint; endNs: bigint }[] = [];
  for (const segment of byTime(segments)) {
    const range = rowsInTime(segment, rate, visibleNs, INT64_MAX);
    for (const { from, to } of withoutRows(range.from < range.to ? [range] : [], holes)) {
      const [begin, end] = [from, to].map((row) => timeWithin(segment, rate, row));
      const last = spans.at(-1);
      // A grid that goes on in time and in rows is one span.
      if (last && last.endNs === begin && last.firstRow + last.rows === from) {
        last.rows += to - from;
        last.endNs = end;
      } else spans.push({ firstRow: from, rows: to - from, startNs: begin, endNs: end });
    }
  }
  const wanted = spans.filter(
    (span) =>
      (startNs === undefined || span.endNs > startNs) &&
      (endNs === undefined || span.startNs < endNs) &&
      (after === null || span.startNs > after),
  );
  return pageOf<DataSpan, bigint>(wanted, limit, (span) => span.startNs);
}

function pageOf<T, P>(items: readonly T[], limit: number, placeOf: (item: T) => P): { items: T[]; after: P | null } {
  const page = items.slice(0, limit);
  return { items: page, after: items.length > limit ? placeOf(page[page.length - 1]) : null };
}

/** @throws unprocessable `not-regular` */
function regularRate(sampling: Series['sampling']): Rate {
  if (sampling.kind === 'regular') return sampling.rate;
  throw new VarveError('unprocessable', 'the series is irregular: each of its rows has a time of its own', {
    slug: 'not-regular',
  });
}
