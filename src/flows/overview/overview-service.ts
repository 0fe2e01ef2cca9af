/** Buckets, each of which stands for the rows in a span of time. */
import type { Aggregate, Every, Fill } from '../../core/overview/aggregate-span.ts';
import type { BucketFormat } from './print-overview.ts';
import type { ReadRequest } from '../read/read-service.ts';

/** What is answered instead of every row: buckets, each of which stands for the rows in a span of time. */
export type WantedBuckets =
  /** So many buckets of equal spans, or a line of so many points. */
  | { readonly by: 'points'; readonly points: number }
  | { readonly by: 'line'; readonly points: number }
  | {
      readonly by: 'every';
      readonly every: Every;
      /** IANA name of the zone whose calendar counts. */
      readonly zone: string;
      readonly aggregates: readonly Aggregate[];
      readonly fill: Fill;
    };

export interface BucketRequest extends Pick<
  ReadRequest,
  'principal' | 'ref' | 'channels' | 'physical' | 'unit' | 'signal'
> {
  /** Undefined: where the data begin and end. */
  readonly startNs?: bigint;
  readonly endNs?: bigint;
  readonly wanted: WantedBuckets;
  readonly format: BucketFormat;
}

export interface BucketStream {
  readonly mediaType: string;
  readonly commit: bigint;
  readonly version: number;
  readonly body: Uint8Array;
  /** To be called when the body has been sent, or is not to be: its memory is counted until then. */
  release(): void;
}

export interface OverviewService {
  /** @throws not-found for a series that does not exist, or is out of the principal's reach */
  buckets(request: BucketRequest): Promise<BucketStream>;
}
