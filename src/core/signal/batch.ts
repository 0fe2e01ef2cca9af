/** Samples on the move: what a format decodes to and encodes from. */
import type { Dtype, SampleArray } from '../numbers/dtype.ts';
import type { GapRule } from './place-run.ts';
import type { Rate } from './rate.ts';
import type { HeardTime, Stamp } from './stamps.ts';
import type { Channel, Tags, TimeReference } from './series.ts';

/** What a decoder must know of a series to check and convert samples. */
export interface SampleShape {
  readonly dtype: Dtype;
  /** One label for each channel; its length is the channel count. */
  readonly channelLabels: readonly string[];
  /** Irregular series carry a time for each row; regular ones none, at most a start. */
  readonly kind: 'regular' | 'irregular';
  /** Rate of a regular series, with which the times of a body are compared. */
  readonly rate?: Rate;
  readonly startTolerance?: number | null;
  readonly gaps?: GapRule;
}

/** Consecutive rows. */
export interface Batch {
  readonly rows: number;
  /** rows × channels, row-major, in the series' dtype. */
  readonly values: SampleArray;
  /** Irregular series: int64 ns UTC, one a row, in the order given. Null for regular ones. */
  readonly times: BigInt64Array | null;
  /** Regular series: the time of the first row where the body states one (first batch only). */
  readonly startNs?: bigint;
  /** Regular series: times of later rows that say something. */
  readonly stamps?: readonly Stamp[];
  /** The last time so far that a row of the body has. */
  readonly heard?: HeardTime;
}

/** Rows on the way out: values may be physical (float64) and of selected channels; times are always known. */
export interface OutBatch {
  /** Number of the first row. In an irregular series it counts in order of arrival, which says nothing to readers. */
  readonly firstRow: number;
  readonly rows: number;
  /** rows × channels, row-major. */
  readonly values: SampleArray;
  /** int64 ns UTC, one a row; computed for regular series, and only where the format needs them (else null). */
  readonly times: BigInt64Array | null;
}

/** What an encoder must know of the rows it writes. */
export interface OutShape {
  readonly seriesId: string;
  readonly dtype: Dtype;
  readonly channelLabels: readonly string[];
  readonly kind: 'regular' | 'irregular';
  /** Rows that will follow in all; known before the first byte. */
  readonly totalRows: number;
  /** Null: rows have no numbers of their own, but for their order in time. */
  readonly firstRow: number | null;
  /** Link to the rest where the answer was cut at a limit. */
  readonly next: string | null;
  readonly description: OutDescription;
}

/** What a file of the rows says of them, for whoever opens it without the service. It holds for the values as they are sent. */
export interface OutDescription {
  readonly name: string;
  readonly project: string;
  readonly unit: string | null;
  /** Scale and offset; 1 and 0 where the values are physical already. */
  readonly scale: number;
  readonly offset: number;
  /** The missing value; null where there is none, and where it is NaN already. */
  readonly missingValue: number | bigint | null;
  /** Exact, `num/den` in Hz; null for irregular series. */
  readonly rate: string | null;
  readonly timeReference: TimeReference;
  readonly tags: Tags;
  /** Channels that are sent, in their order; without calibration where the values are physical. */
  readonly channels: readonly Channel[];
}
