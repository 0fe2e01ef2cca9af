/** The request and the answer between a drain and the writer thread: plain data that crosses threads. */
import type { Chunk } from '../core/chunk.ts';
import type { Dtype } from '../core/dtype.ts';

/** One write's payload. */
export interface CommitPart {
  readonly writeId: string;
  readonly rows: number;
  /** Null: in the spool. */
  readonly values: Uint8Array | null;
  readonly times: Uint8Array | null;
  readonly valuesCrc: number;
  readonly timesCrc: number | null;
}

/** Rows to append to one series. */
export interface SeriesAppend {
  readonly seriesId: string;
  readonly dtype: Dtype;
  readonly channels: number;
  readonly irregular: boolean;
  readonly rateHz: number | null;
  /** Row of the series that the first appended row becomes. */
  readonly firstRow: number;
  /**
   * The newest committed chunk of the series in this shard. HDF5 rows after it were never published and are cut. One without rows says where to go
   * on; chunks before it that were never written are a hole.
   */
  readonly tail: Chunk | null;
  /** Rows of a chunk of HDF5, where that is not to be chosen; for a series that is new to the shard. */
  readonly chunkRows?: number;
  /** What describes the series; written when its group is made. */
  readonly description: SeriesDescription;
  /** Regular: the time of the first appended row, and the segments that begin among the appended rows. */
  readonly firstRowNs: bigint | null;
  readonly segmentStarts: readonly SegmentStart[];
  readonly parts: readonly CommitPart[];
}

/** Where the edits of a series are, below its group; each in a group that is called by its number. */
export const EDITS = 'edits';

/** Where a shard has the datasets of a replacement, in the place of the id of its series. */
export function editGroup(seriesId: string, generation: number): string {
  return `${seriesId}/${EDITS}/${generation}`;
}

/** An edit of one series: what later readers of the shard must know of it, and the rows that it brings for the places of others. */
export interface SeriesEdit {
  readonly seriesId: string;
  readonly dtype: Dtype;
  readonly channels: number;
  readonly irregular: boolean;
  readonly description: SeriesDescription;
  /** Rows of the series before this commit: where its datasets will begin if the edit makes its group. */
  readonly seriesRows: number;
  /** Its number among the edits of the series. */
  readonly generation: number;
  readonly change: EditChange;
}

export type EditChange =
  /** Regular: the rows from `firstRow` on have other values. */
  | { readonly kind: 'replace'; readonly firstRow: number; readonly part: CommitPart }
  /** Regular: rows `[fromRow, toRow)` are no data any more. */
  | { readonly kind: 'remove'; readonly fromRow: number; readonly toRow: number }
  /** Irregular: rows before `beforeRow` with times in `[startNs, endNs)` are no data any more; `removed` of them a reader saw. */
  | {
      readonly kind: 'erase';
      readonly startNs: bigint;
      readonly endNs: bigint;
      readonly beforeRow: number;
      readonly removed: number;
    };

export interface SegmentStart {
  readonly row: number;
  readonly startNs: bigint;
}

/** Attributes of a series' group: enough to read the shard, and to rebuild the catalog, without Varve. */
export interface SeriesDescription {
  readonly dtype: Dtype;
  readonly name: string;
  readonly project: string;
  readonly unit: string | null;
  readonly scale: number;
  readonly offset: number;
  /** Exact, `num/den`; null for irregular series. */
  readonly rate: string | null;
  readonly timeReference: string;
  readonly duplicates: string;
  readonly codec: string;
  readonly continuity: string | null;
  readonly resolution: number | null;
  readonly missingValue: number | bigint | null;
  readonly timeZone: string | null;
  /** JSON. */
  readonly channels: string;
  readonly tags: string;
}

export interface CommitRequest {
  readonly dataRoot: string;
  readonly shardId: string;
  readonly laneId: string;
  /** Relative to the data root. */
  readonly path: string;
  readonly isNew: boolean;
  readonly appends: readonly SeriesAppend[];
  readonly edits?: readonly SeriesEdit[];
}

export type CommitResult =
  | {
      readonly kind: 'committed';
      readonly shardBytes: number;
      /** Written besides what the file has grown by: to the journal, and then in place. */
      readonly rewrittenBytes: number;
      /** New and grown chunks. */
      readonly chunks: readonly Chunk[];
    }
  /** Payloads that can never be stored. Nothing was changed. */
  | { readonly kind: 'bad-payloads'; readonly writes: readonly { readonly id: string; readonly reason: string }[] };
