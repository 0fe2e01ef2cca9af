/** Samples that come, take the place of others, or go. */
import type { WriteStatus } from '../../catalog/appends/write-store.ts';
import type { GapRule } from '../../core/signal/place-run.ts';
import type { AppendManyOutcome, AppendManyRequest } from './append-many.ts';
import type { BodyRequest } from './receive-body.ts';
import type { Principal } from '../principal.ts';
import type { SeriesRef } from '../series/series-service.ts';

export type { WriteStatus };

export interface AppendRequest extends BodyRequest {
  readonly principal: Principal;
  readonly ref: SeriesRef;
  /** From `?start=`; a start inside the body must not contradict it. */
  readonly startNs: bigint | null;
  readonly gaps?: GapRule;
  readonly idempotencyKey: string | null;
}

/** The rows are durable, and readers see them. */
export interface AppendOutcome {
  readonly write: string;
  readonly rows: number;
  /** Null: rows of an irregular series are numbered in order of time. */
  readonly firstRow: number | null;
  readonly commit: bigint;
  readonly replayed: boolean;
}

/** `[startNs, endNs)`; null: open. */
export interface EditRange {
  readonly startNs: bigint | null;
  readonly endNs: bigint | null;
}

/** The body's rows come in the place of those in the range. */
export interface ReplaceRequest extends AppendRequest, EditRange {}

export interface RemoveRequest extends Pick<AppendRequest, 'principal' | 'ref' | 'idempotencyKey'>, EditRange {}

export interface RemoveOutcome {
  readonly write: string;
  /** How many rows are gone. */
  readonly removed: number;
  readonly commit: bigint;
  readonly replayed: boolean;
}

/** @throws not-found for a series that does not exist, or is out of the principal's reach */
export interface AppendService {
  append(request: AppendRequest): Promise<AppendOutcome>;
  /** Rows of many series, by one commit. What is wrong with an item is in its outcome. */
  appendMany(request: AppendManyRequest): Promise<AppendManyOutcome>;
  replace(request: ReplaceRequest): Promise<AppendOutcome>;
  remove(request: RemoveRequest): Promise<RemoveOutcome>;
  /** What a write did. @throws not-found, also for writes to series outside the principal's projects */
  write(principal: Principal, id: string): Promise<WriteStatus>;
}
