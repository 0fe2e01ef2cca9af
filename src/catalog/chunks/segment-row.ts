/** A row of `segments`, and what it says. */
import type { Segment } from '../../core/signal/segment.ts';

export interface SegmentRow {
  readonly first_row: bigint;
  readonly start_ns: bigint;
  readonly rows: bigint;
  readonly skip: bigint;
}

export function fromSegmentRow(row: SegmentRow): Segment {
  return {
    firstRow: Number(row.first_row),
    startNs: row.start_ns,
    rows: Number(row.rows),
    skip: Number(row.skip),
  };
}
