/** Samples that are read, row by row. */
import type { WantedChannel } from '../../core/signal/choose-channels.ts';
import type { Series } from '../../core/signal/series.ts';
import type { Principal } from '../principal.ts';
import type { SeriesRef } from '../series/series-service.ts';
import type { AnswerFormatName, Spelling } from '../../formats/samples/wire-formats.ts';

export type SampleSelection =
  /** Half-open; undefined ends are open. */
  | {
      readonly by: 'time';
      readonly startNs?: bigint;
      readonly endNs?: bigint;
      /** For a selection of an irregular series that goes on: rows of `startNs` that came before. */
      readonly skip?: number;
      /** Irregular series: rows of the selection, at most; undefined: all. */
      readonly count?: number;
    }
  /** As a Python slice: half-open, undefined ends are open, negative counts from the end. */
  | { readonly by: 'rows'; readonly from?: number; readonly to?: number };

export interface ReadRequest {
  readonly principal: Principal;
  readonly ref: SeriesRef;
  readonly selection: SampleSelection;
  readonly format: AnswerFormatName;
  readonly spelling?: Spelling;
  /** Null: all. @throws invalid-input naming `channels` */
  readonly channels: readonly WantedChannel[] | null;
  readonly physical: boolean;
  /** Unit of the physical values; null: that of each channel. @throws unprocessable naming `unit` */
  readonly unit?: string | null;
  /** Times of a regular series: on its grid, or as its clock told them. */
  readonly clock?: 'nominal' | 'marks';
  /** At most this many rows; the rest is behind `next`. */
  readonly limit: number | null;
  /** Makes the link to the rest. */
  readonly linkTo: (rest: SampleSelection) => string;
  /** Says which part of an answer to make, if it can be made in part; null: all of it. */
  readonly choosePart?: (answer: DivisibleAnswer) => ChosenPart;
  readonly signal: AbortSignal;
}

/** Bytes `[from, to)` of an answer. */
export interface BytePart {
  readonly from: number;
  readonly to: number;
}

/** What a part is chosen by: the length of the whole answer, and the state that it is of. */
export interface DivisibleAnswer extends Pick<Series, 'version' | 'commit'> {
  readonly bytes: number;
}

export type ChosenPart = BytePart | 'unsatisfiable' | null;

export interface SampleStream {
  readonly mediaType: string;
  /** Length of the whole answer; known for files and packed formats, which can be had in part. */
  readonly contentLength: number | null;
  readonly rows: number;
  /** Null for an irregular series, whose rows have no lasting numbers. */
  readonly firstRow: number | null;
  readonly dtype: string;
  readonly channelLabels: readonly string[];
  readonly commit: bigint;
  /** Version of the series' metadata. */
  readonly version: number;
  readonly next: string | null;
  /** The bytes. A piece is valid until the next is asked for: its memory is used again. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Which part of the whole `body` is, as it was chosen; null: all. If that cannot be, it is empty. */
  readonly part: ChosenPart;
}

/** The newest rows, in order of time. */
export interface LatestRequest extends Omit<ReadRequest, 'selection' | 'limit' | 'linkTo'> {
  readonly rows: number;
}

/** @throws not-found for a series that does not exist, or is out of the principal's reach */
export interface ReadService {
  read(request: ReadRequest): Promise<SampleStream>;
  latest(request: LatestRequest): Promise<SampleStream>;
}
