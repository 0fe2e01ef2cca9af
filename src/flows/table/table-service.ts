/** Samples of many series as one table. */
import type { LastValue, Series } from '../../core/signal/series.ts';
import type { BucketRequest, WantedBuckets } from '../overview/overview-service.ts';
import type { WantedSeries } from '../series/series-service.ts';
import type { Principal } from '../principal.ts';
import type { InfluxShape } from '../../formats/tables/table-influx.ts';
import type { TableFormatName } from '../../formats/tables/table-formats.ts';
import type { EpochUnit } from '../../formats/text/epoch-text.ts';

export type AsOfDirection = 'backward' | 'forward' | 'nearest';

/** What a table has of all series, in their order. */
export type WantedTable =
  /** One row for each value: all rows of each series, or its first ones. */
  | { readonly by: 'rows'; readonly most: number | null }
  /** One row for each value, from the newest rows of each series. */
  | { readonly by: 'newest'; readonly rows: number }
  /** One row for each bucket and channel. A wide table has one row for each bucket and one column for each channel. */
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
  'principal' | 'startNs' | 'endNs' | 'channels' | 'physical' | 'unit' | 'signal'
> {
  readonly series: WantedSeries;
  readonly wanted: WantedTable;
  readonly format: TableFormatName;
  /** CSV has times as numbers of this unit. */
  readonly epoch?: EpochUnit;
  /** Puts the answer together as InfluxDB would; `format` is JSON then. */
  readonly influx?: InfluxShape;
}

export interface TableStream {
  readonly mediaType: string;
  /** Series that were found. */
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
