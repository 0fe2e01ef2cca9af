/** Where a regular series has data, and the marks of its clock. */
import type { ClockMark } from '../../core/signal/place-run.ts';
import type { Principal } from '../principal.ts';
import type { SeriesRef } from './series-service.ts';

/** Rows of a regular series that follow each other evenly. */
export interface DataSpan {
  readonly firstRow: number;
  readonly rows: number;
  readonly startNs: bigint;
  /** Time of the row that would follow. */
  readonly endNs: bigint;
}

/**
 * The time axis of regular series. @throws not-found, also out of the principal's reach; unprocessable `not-regular`
 */
export interface TimeAxisService {
  /**
   * Lists segments that touch the range, in order of time. @param page after: start of the one that the page before
   * ended with
   */
  segments(
    principal: Principal,
    ref: SeriesRef,
    page: {
      readonly startNs?: bigint;
      readonly endNs?: bigint;
      readonly limit: number;
      readonly after: bigint | null;
    },
  ): Promise<{ items: DataSpan[]; after: bigint | null }>;
  /** Lists clock marks, in order of rows. @param page after: row of the one that the page before ended with */
  clockMarks(
    principal: Principal,
    ref: SeriesRef,
    page: { readonly limit: number; readonly after: number | null },
  ): Promise<{ items: ClockMark[]; after: number | null }>;
}
