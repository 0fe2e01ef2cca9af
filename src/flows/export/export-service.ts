/** Exports: files of a selection, made in the background and fetched when they are done. */
import type { ExportRecord } from '../../catalog/export-store.ts';
import type { AnswerFormatName } from '../../formats/samples/wire-formats.ts';
import type { Principal } from '../principal.ts';
import type { WantedSeries } from '../series/series-service.ts';

export type { ExportRecord };

/** `edf` and `wfdb` are one recording of all series; of the others there is a file for each series. */
export const EXPORT_FORMATS = ['edf', 'wfdb', 'csv', 'npy', 'arrow', 'hdf5'] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number] & (AnswerFormatName | 'edf' | 'wfdb');

export interface ExportRequest {
  readonly principal: Principal;
  readonly format: ExportFormat;
  readonly series: WantedSeries;
  /** Half-open; undefined ends are open. */
  readonly startNs?: bigint;
  readonly endNs?: bigint;
  /** Calibrated values where the format has them stored. */
  readonly physical: boolean;
  /** Name of the file, without an extension. */
  readonly name: string;
  /** As it was asked for, to be told again. */
  readonly asked: unknown;
}

/** The file of an export that is done. */
export interface DoneFile {
  readonly path: string;
  readonly name: string;
  readonly mediaType: string;
}

/** An export is its token's alone; an admin's token sees all. */
export interface ExportService {
  /** @throws as reading the series does; limit-exceeded; too-many-requests */
  create(request: ExportRequest): Promise<ExportRecord>;
  /** @throws not-found */
  get(principal: Principal, id: string): Promise<ExportRecord>;
  /** Newest first. @param page after: id of the one that the page before ended with */
  list(
    principal: Principal,
    page: { limit: number; after: string | null },
  ): Promise<{ items: ExportRecord[]; after: string | null }>;
  /** Ends one that is being made. @throws not-found */
  delete(principal: Principal, id: string): Promise<void>;
  /** @throws not-found; conflict `export-unfinished`, or what it failed of */
  file(principal: Principal, id: string): Promise<DoneFile>;
}
