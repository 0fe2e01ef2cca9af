/** Imports of files on the server: asked for, followed and cancelled. */
import type { ImportState, StoredImport } from '../../catalog/series/import-store.ts';
import type { Tags } from '../../core/signal/series.ts';
import type { Principal } from '../principal.ts';
import type { Answered, Once } from '../series/series-service.ts';
import type { RecordingOptions } from './recording-options.ts';

export type { ImportState, StoredImport };

/** What is to be imported, as plain JSON: that is how it is kept until it is done. */
export interface ImportRequest {
  readonly project: string;
  /** Files of the server, below the folders that are open to imports. */
  readonly paths: readonly string[];
  /** Ids of uploads. */
  readonly uploads: readonly string[];
  readonly options: RecordingOptions;
  readonly tags: Tags;
  /** Id or name of a recording that the files are added to; null: each makes its own. */
  readonly recording: string | null;
  readonly dryRun: boolean;
}

/** How far a run is. */
export interface ImportProgress {
  readonly files: number;
  readonly files_done: number;
  /** The file that is being read; null: all have been. */
  readonly file: string | null;
  readonly bytes: number;
  readonly total_bytes: number;
  readonly rows: number;
}

/** `planned`: it would be created; `present`: the same file had brought it before. */
export type SeriesOutcome = 'created' | 'appended' | 'present' | 'planned';

/** What a file was, and what became of it, as plain JSON. */
export interface ImportedFile {
  readonly file: string;
  readonly format: string;
  readonly sha256: string;
  readonly notes: readonly string[];
  readonly series: readonly {
    readonly id: string | null;
    readonly name: string;
    readonly outcome: SeriesOutcome;
    readonly dtype: string;
    readonly channels: number;
    readonly rate_hz: number | null;
    readonly rows: number | null;
    readonly annotations: number;
  }[];
}

/** An import as it stands. @property files as {@link ImportedFile} has them, once they have been read */
export type ImportStatus = StoredImport;

/** Imports outside the principal's projects do not exist for it (not-found). */
export interface ImportService {
  /**
   * Asks for an import, answered once for a key. @throws not-found for an unknown project, recording, upload or path;
   * forbidden `import-roots`; invalid-input naming an option
   */
  start<A>(
    principal: Principal,
    request: ImportRequest,
    once: Once | null,
    print: (started: ImportStatus) => A,
  ): Promise<Answered<A>>;
  get(principal: Principal, id: string): Promise<ImportStatus>;
  list(
    principal: Principal,
    question: { project?: string; state?: ImportState },
    page: { limit: number; after: string | null },
  ): Promise<{ items: ImportStatus[]; after: string | null }>;
  /** Tells each change of an import until it has ended. @param principal asked anew, while it goes on */
  follow(principal: () => Promise<Principal>, id: string, signal: AbortSignal): AsyncGenerator<ImportStatus>;
  /** Cancels an import; nothing of it is stored. @throws conflict `import-ended` */
  cancel(principal: Principal, id: string): Promise<ImportStatus>;
}
