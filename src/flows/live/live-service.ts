/** What happens, as it happens: changes, rows of a series, and appends that are answered while they come. */
import type { ChangeKind } from '../../catalog/commit-feed.ts';
import type { WantedChannel } from '../../core/signal/choose-channels.ts';
import type { NewSeries } from '../../core/signal/series.ts';
import type { GapRule } from '../../core/signal/place-run.ts';
import type { ItemOutcome } from '../append/append-many.ts';
import type { Principal } from '../principal.ts';
import type { SeriesRef } from '../series/series-service.ts';

export type { ChangeKind };

/** Who asks, as long as it takes: asked again before anything is told. @throws unauthorized once the token is revoked */
export type StillPrincipal = () => Promise<Principal>;

export interface ChangesRequest {
  readonly principal: StillPrincipal;
  /** The last commit that is known; null: begin with what comes next. */
  readonly after: bigint | null;
  /** What the client calls `after`. */
  readonly field: string;
  /** Null: all that are in reach. */
  readonly project: string | null;
  readonly signal: AbortSignal;
}

export interface ChangesPageRequest extends ChangesRequest {
  /** Commits of the page, at most. */
  readonly limit: number;
  /** How long an empty page may wait for a commit. */
  readonly waitMs: number;
}

export interface ToldChange {
  readonly seriesId: string;
  readonly project: string;
  readonly kind: ChangeKind;
  /** Null: the rows have no numbers of their own. */
  readonly firstRow: number | null;
  readonly rows: number | null;
}

export interface ToldCommit {
  readonly commit: bigint;
  readonly at: Date;
  readonly changes: readonly ToldChange[];
}

export interface ChangesPage {
  readonly commits: readonly ToldCommit[];
  /** The last commit that was looked at, whether it is told or out of reach. */
  readonly after: bigint;
  /** There are more that could be told now. */
  readonly hasMore: boolean;
}

/** Why a stream ends that could go on. */
export type EndReason = 'stopping' | 'unauthorized' | 'not-found' | 'gone' | 'renew';

export type ChangeEvent =
  | { readonly kind: 'commit'; readonly commit: ToldCommit }
  /** All up to this commit is told. */
  | { readonly kind: 'heartbeat'; readonly after: bigint }
  | { readonly kind: 'end'; readonly reason: EndReason; readonly detail: string };

export interface LiveRequest {
  readonly principal: StillPrincipal;
  readonly ref: SeriesRef;
  /** Where the reader stands: a position that was told, or the number of a commit; null: begin with what comes next. */
  readonly after: string | null;
  readonly field: string;
  /** Null: all. */
  readonly channels: readonly WantedChannel[] | null;
  readonly physical: boolean;
  readonly unit?: string | null;
  readonly signal: AbortSignal;
}

interface WithPosition {
  /** Where a reader stands that has taken this in; null: only with what follows. */
  readonly position: string | null;
}

export type LiveEvent = WithPosition &
  (
    | {
        readonly kind: 'start';
        readonly seriesId: string;
        readonly dtype: string;
        readonly channelLabels: readonly string[];
        readonly sampling: 'regular' | 'irregular';
        readonly commit: bigint;
      }
    | {
        readonly kind: 'rows';
        readonly rows: number;
        /** Those of them whose time is not after all that was told before. */
        readonly late: number;
        readonly commit: bigint;
        /** As `GET …/samples` answers them in JSON. */
        readonly json: string;
      }
    | {
        /** Rows of a range are gone; what has come in their place follows as rows, unless nothing of the range is known. */
        readonly kind: 'edit';
        readonly edit: 'replace' | 'remove' | null;
        readonly commit: bigint;
        readonly firstRow: number | null;
        readonly rows: number | null;
        readonly startNs: bigint | null;
        readonly endNs: bigint | null;
      }
    | {
        /** Rows that are passed over: they cannot be read, or not be told from those that were told. */
        readonly kind: 'gap';
        readonly reason: 'damaged' | 'merged';
        readonly commit: bigint;
        readonly firstRow: number | null;
        readonly rows: number | null;
        readonly startNs: bigint | null;
        readonly endNs: bigint | null;
      }
    | { readonly kind: 'heartbeat' }
    | { readonly kind: 'end'; readonly reason: EndReason; readonly detail: string }
  );

export interface AppendStreamRequest {
  readonly principal: StillPrincipal;
  /** Decompressed lines. */
  readonly body: AsyncIterable<Uint8Array>;
  /** In which series are called by their names. */
  readonly project: string;
  readonly gaps?: GapRule;
  /** Whose sequence numbers the items have; null: they have none. */
  readonly source: string | null;
  readonly describe: (spec: unknown, name: string) => NewSeries;
}

/** What became of a line. */
export interface AnsweredItem {
  readonly item: ItemOutcome;
  /** As the line has it; null: none. */
  readonly sequence: bigint | null;
}

export type StreamEvent =
  | { readonly kind: 'open'; readonly source: string | null; readonly lastSequence: bigint | null }
  /** In the order of the lines. */
  | { readonly kind: 'items'; readonly items: readonly AnsweredItem[] }
  | { readonly kind: 'heartbeat' }
  /** Lines after the last one that was answered are not stored, or nobody knows. */
  | { readonly kind: 'end'; readonly reason: EndReason | 'refused'; readonly error: unknown };

/** @throws unavailable `too-many-live-readers`, `too-many-streams` where all places are taken */
export interface LiveService {
  /** @throws gone `changes-gone` if a commit after `after` is forgotten, or `after` is none of this store; not-found for a project */
  changes(request: ChangesPageRequest): Promise<ChangesPage>;
  /** Throws as {@link LiveService.changes}, before the first event. */
  followChanges(request: ChangesRequest): AsyncGenerator<ChangeEvent>;
  /** Throws before the first event: not-found; invalid-input naming `channels` or the position; gone `position-gone`. */
  followSamples(request: LiveRequest): AsyncGenerator<LiveEvent>;
  /** Throws before the first event what keeps any append out. */
  appendStream(request: AppendStreamRequest): AsyncGenerator<StreamEvent>;
}
