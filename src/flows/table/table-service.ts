/** Samples of many series as one table. */
import type { LastValue, Series } from '../../core/signal/series.ts';
import type { BucketRequest, WantedBuckets } from '../overview/overview-service.ts';
import type { WantedSeries } from '../series/series-service.ts';
import type { Principal } from '../principal.ts';
import type { TableFormatName } from '../../formats/tables/table-formats.ts';
import type { EpochUnit } from '../../formats/text/epoch-text.ts';

export type AsOfDirection = 'backward' | 'forward' | 'nearest';

/** What a table has of all series, in their order. */
export type WantedTable =
  /** A row a value: of each series all rows, or its first ones. */
  | { readonly by: 'rows'; readonly most: number | null }
  /** A row a value, of the newest rows of each series. */
  | { readonly by: 'newest'; readonly rows: number }
  /** A row a bucket and channel; or, wide, a row a bucket and a column a channel. */
  | (Omit<Extract<WantedBuckets, { by: 'every' }>, 'by'> & { readonly by: 'buckets'; readonly isWide: boolean })
  /**
   * One row for each time of a clock, and one column for each channel. Values are those of the nearest row in a
   * direction, if it is near enough.
   */
  | {
      readonly by: 'as-of';
      /** A series, whose times count, or ticks counted from 1970. */
      readonly clock: { readonly seriesId: string } | { readonly everyNs: bigint };
      readonly toleranceNs: bigint;
      readonly direction: AsOfDirection;
    };

export interface TableRequest extends Pick<
  BucketRequest,
  'principal' | 'startNs' | 'endNs' | 'channels' | 'physical' | 'signal'
> {
  readonly series: WantedSeries;
  readonly wanted: WantedTable;
  readonly format: TableFormatName;
  /** CSV has times as numbers of this unit. */
  readonly epoch?: EpochUnit;
}

export interface TableStream {
  readonly mediaType: string;
  /** That were found. */
  readonly series: number;
  readonly body: AsyncIterable<Uint8Array>;
}

export interface TableService {
  /** The last values of series that the principal was shown; null where there is no row. @throws corrupt */
  lastValues(principal: Principal, series: readonly Series[]): Promise<(LastValue | null)[]>;
  /**
   * Many series as one table. Each series is as of one instant, while the answer is made.
   * @throws invalid-input, not-found and unprocessable naming the field; limit-exceeded
   */
  table(request: TableRequest): Promise<TableStream>;
}
