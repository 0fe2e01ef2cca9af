/**
 * One import, from files to one commit. Files are read into spool files, in threads of their own. Then one transaction
 * makes the series, appends the rows, stores the annotations and says that the import is done. What ends before leaves
 * no more than spool files that nobody names, which the next look at the files sweeps.
 */
import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import type { Logger } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import type { DatabaseTransaction, ReadsAndWrites } from '../../catalog/database.ts';
import { forgetSpools, registerSpools } from '../../catalog/appends/spool-store.ts';
import { insertAnnotations } from '../../catalog/series/annotation-store.ts';
import {
  claimImport,
  failImport,
  finishImport,
  releaseImport,
  sameImport,
  seeImport,
  type StoredImport,
} from '../../catalog/series/import-store.ts';
import { addRecordingSource } from '../../catalog/series/recording-store.ts';
import { findSeries } from '../../catalog/series/series-store.ts';
import { isVarveError, toErrorRecord, VarveError } from '../../core/errors.ts';
import { nameKey } from '../../core/same-name.ts';
import type { AppendItem } from '../../core/rows/place-append.ts';
import { rateHz } from '../../core/signal/rate.ts';
import type { NewSeries, Series } from '../../core/signal/series.ts';
import type { DataRoot } from '../../storage/folder/data-root.ts';
import { removeSpooled } from '../../storage/folder/spool.ts';
import { runInThread } from '../../storage/threads/run-in-thread.ts';
import { timeRule } from '../append/append-samples.ts';
import type { Backpressure } from '../append/backpressure.ts';
import { createAndAppend } from '../append/create-and-append.ts';
import type { Principal } from '../principal.ts';
import { isBelow, outside } from './allowed-path.ts';
import type { DecodedFile, DecodedSeries, DecodeTask } from './decode-files.ts';
import { placeFiles, type PlacedFiles } from './place-files.ts';
import type { ImportedFile, ImportProgress, ImportRequest, SeriesOutcome } from './import-service.ts';
import { findWanted } from './manage-imports.ts';
import { seriesToCreate, shapeText, firstStart } from './series-to-create.ts';

export interface RunImportDeps extends ReadsAndWrites {
  readonly root: DataRoot;
  readonly backpressure: Backpressure;
  /** Folders that are open to imports, with their links resolved. */
  readonly importRoots: readonly string[];
  /** What series are said to come through: the program and its version. */
  readonly importer: string;
  readonly log: Logger;
}

const THREAD = new URL('./decode-thread.js', import.meta.url);
/** JavaScript memory of the thread that reads a file. Samples lie outside of it. */
const THREAD_HEAP_MB = 256;
/** How often a runner says how far it is, and hears whether it is to go on. */
const BEAT_MS = 500;
/** Series that somebody makes while an import is at them: it looks again. */
const MOST_TRIES = 3;
/** An import that cannot be served now is tried again as soon as somebody is at leisure, so long after. */
const REST_MS = 2_000;

/** Does an import, if nobody is at it. What goes wrong is its outcome. @param signal the process wants to end */
export async function runImport(deps: RunImportDeps, id: string, signal: AbortSignal): Promise<void> {
  const runner = uuidv7();
  const claimed = await claimImport(deps.writes, id, runner);
  if (claimed) await new ImportRun(deps, claimed, runner, signal).run();
}

/** A file with what is known of it in the catalog. */
interface PlannedSeries {
  readonly decoded: DecodedSeries;
  readonly input: NewSeries;
  /** Null: it is to be made. */
  readonly existing: Series | null;
  readonly outcome: SeriesOutcome;
}

class ImportRun {
  readonly #deps: RunImportDeps;
  readonly #import: StoredImport;
  readonly #request: ImportRequest;
  readonly #runner: string;
  readonly #closing: AbortSignal;
  readonly #stop = new AbortController();
  readonly #told = new Float64Array(new SharedArrayBuffer(3 * Float64Array.BYTES_PER_ELEMENT));
  readonly #spoolIds: string[] = [];
  #progress: ImportProgress = { files: 0, files_done: 0, file: null, bytes: 0, total_bytes: 0, rows: 0 };

  constructor(deps: RunImportDeps, claimed: StoredImport, runner: string, closing: AbortSignal) {
    this.#deps = deps;
    this.#import = claimed;
    this.#request = claimed.request as unknown as ImportRequest;
    this.#runner = runner;
    this.#closing = closing;
  }

  async run(): Promise<void> {
    const { writes, log } = this.#deps;
    const { id } = this.#import;
    const beats = setInterval(() => void this.#beat(), BEAT_MS);
    const onClosing = (): void => this.#stop.abort();
    this.#closing.addEventListener('abort', onClosing);
    try {
      await this.#work();
    } catch (error) {
      if (this.#closing.aborted) await releaseImport(writes, id, this.#runner);
      else if (this.#stop.signal.aborted)
        return; // cancelled, or taken over
      else if (isVarveError(error) && error.code === 'unavailable') {
        log.warn({ import: id, reason: error.message }, 'an import cannot be done now, and is tried again');
        await new Promise((resolve) => setTimeout(resolve, REST_MS));
        await releaseImport(writes, id, this.#runner);
      } else {
        if (!isVarveError(error)) log.error({ import: id, err: error }, 'an import failed');
        await failImport(writes, id, this.#runner, problemOf(error));
      }
    } finally {
      this.#closing.removeEventListener('abort', onClosing);
      clearInterval(beats);
      await this.#forgetSpools();
    }
  }

  async #work(): Promise<void> {
    const placed = await placeFiles(this.#deps, this.#import.id, this.#request);
    try {
      this.#progress = { ...this.#progress, files: placed.paths.length };
      const files = await this.#decodeAll(placed);
      const contentKey = keyOf(this.#request, files);
      const same = this.#request.dryRun
        ? null
        : await sameImport(this.#deps.writes, this.#import.projectId, contentKey);
      if (same) {
        const end = { files: same.files ?? [], contentKey, progress: this.#progress, sameAs: same.id };
        await finishImport(this.#deps.writes, this.#import.id, this.#runner, end);
      } else await this.#store(files, contentKey);
      if (!this.#request.dryRun) await placed.used();
    } finally {
      await placed.leave();
    }
  }

  async #decodeAll(placed: PlacedFiles): Promise<DecodedFile[]> {
    const files: DecodedFile[] = [];
    const refused = new Map<string, unknown>();
    for (const path of placed.paths) {
      this.#progress = { ...this.#progress, file: basename(path) };
      try {
        const file = await this.#decode(path);
        const strayed = file.paths.find((each) => !isBelow(each, placed.roots));
        if (strayed !== undefined) throw outside('paths', `${basename(path)} leads to a file outside of them`);
        files.push(file);
      } catch (error) {
        if (this.#stop.signal.aborted) throw error;
        refused.set(path, error);
      }
      this.#progress = { ...this.#progress, files_done: this.#progress.files_done + 1, file: null };
    }
    // A file that another one names is a part of it, and needs no reader of its own.
    const parts = new Set(files.flatMap(({ paths }) => paths));
    for (const [path, error] of refused) if (!parts.has(path)) throw naming(basename(path), error);
    return files;
  }

  async #decode(path: string): Promise<DecodedFile> {
    const { root, backpressure, writes } = this.#deps;
    this.#told.fill(0, 0, 2);
    const upload = await backpressure.admit(null);
    try {
      let spoolId: string | null = null;
      if (!this.#request.dryRun) {
        spoolId = uuidv7();
        await registerSpools(writes, [spoolId]);
        this.#spoolIds.push(spoolId);
      }
      const progress = this.#told.buffer;
      const task: DecodeTask = { dataRoot: root.root, spoolId, path, options: this.#request.options, progress };
      const file = await runInThread<DecodedFile>(THREAD, task, this.#stop.signal, THREAD_HEAP_MB).catch(
        (error: unknown) => {
          // The thread died: the file is to blame, and nobody else notices.
          if (isVarveError(error) || this.#stop.signal.aborted) throw error;
          throw new VarveError('unprocessable', `could not be read: ${(error as Error).message}`, { cause: error });
        },
      );
      const bytes = file.series.reduce((sum, each) => sum + each.bytes, 0);
      const chunks = file.series.reduce((sum, each) => sum + each.parts.length, 0);
      await backpressure.confirm(bytes, chunks);
      return file;
    } finally {
      upload.end();
    }
  }

  /** Plans and commits. Where somebody makes one of the series meanwhile, it plans anew. */
  async #store(files: readonly DecodedFile[], contentKey: Buffer): Promise<void> {
    const { reads, writes } = this.#deps;
    const { project, projectId, tokenId } = this.#import;
    const principal: Principal = { tokenId, scopes: ['write'], projects: { ids: [projectId], names: [project] } };
    for (let tries = 1; ; tries++) {
      const planned = await this.#plan(files);
      const all = planned.flatMap(({ series }) => series);
      const made = all.filter(({ outcome }) => outcome === 'created');
      const kept = all.filter(({ outcome }) => outcome === 'created' || outcome === 'appended');
      const idOf = (ids: readonly string[], each: PlannedSeries): string =>
        each.existing?.id ?? ids[made.indexOf(each)];
      const report = (ids: readonly string[]): ImportedFile[] =>
        planned.map(({ file, series }) =>
          reported(file, series, (each) => each.existing?.id ?? ids[made.indexOf(each)] ?? null),
        );
      const finish = async (db: DatabaseTransaction | typeof writes, ids: readonly string[]): Promise<void> => {
        const end = { files: report(ids), contentKey, progress: this.#progress, sameAs: null };
        if (await finishImport(db, this.#import.id, this.#runner, end)) return;
        this.#stop.abort();
        throw new VarveError('conflict', 'the import is not this runner’s any more');
      };
      if (kept.length === 0) return finish(writes, []);
      const done = await createAndAppend(
        { reads, writes },
        principal,
        made.map(({ input }) => input),
        (ids) => kept.flatMap((each) => itemOf(each, idOf(ids, each), tokenId, sourceOf(planned, each))),
        async (trx, ids) => {
          for (const each of kept) {
            const rows = each.decoded.annotations.map((annotation) => ({ ...annotation, id: uuidv7() }));
            if (rows.length > 0) await insertAnnotations(trx, idOf(ids, each), tokenId, rows);
          }
          const into = made[0]?.input.recording ?? kept[0]?.existing?.recording;
          if (this.#request.recording !== null && into && 'id' in into) {
            for (const { source } of files) await addRecordingSource(trx, into.id, source);
          }
          await finish(trx, ids);
        },
      );
      if (done.kind === 'refused') {
        for (const [at, error] of done.errors) throw naming(made[at].input.name, error);
      }
      if (done.kind === 'done') {
        const items = kept.filter(({ decoded }) => (decoded.rows ?? 0) > 0);
        done.results.forEach((result, at) => {
          if (result.kind === 'refused') throw naming(items[at].input.name, result.error);
        });
        return;
      }
      if (tries === MOST_TRIES) throw new VarveError('conflict', 'somebody else makes series of these names');
    }
  }

  async #plan(files: readonly DecodedFile[]): Promise<{ file: DecodedFile; series: PlannedSeries[] }[]> {
    const { reads, importer } = this.#deps;
    const { recording: called, tags, dryRun } = this.#request;
    const { project, projectId } = this.#import;
    const into = called === null ? null : await findWanted(reads, projectId, called);
    const isKnown = (sha256: string): boolean => into?.sources.some((source) => source.sha256 === sha256) ?? false;
    const names = new Set<string>();
    return Promise.all(
      files.map(async (file) => {
        const { source } = file;
        const name = this.#request.options.name ?? source.file.replace(/\.[^.]+$/, '');
        const startNs = firstStart(file.series);
        const recording = into ? { id: into.id } : { name, source, startNs };
        const inputs = file.series.map((each) => seriesToCreate(each, source, { project, tags, importer, recording }));
        const found = await findSeries(
          reads,
          inputs.map((input) => ({ project, name: input.name })),
        );
        const series = inputs.map((input, at): PlannedSeries => {
          const decoded = file.series[at];
          const existing = found[at] ?? null;
          if (names.has(nameKey(input.name))) throw taken(input.name, 'two of the files make a series of that name');
          names.add(nameKey(input.name));
          if (!existing) return { decoded, input, existing, outcome: dryRun ? 'planned' : 'created' };
          if (shapeText(existing) !== shapeText(input)) {
            throw taken(input.name, 'its number type, channels or rate are others');
          }
          if (
            sourceHash(existing) === source.sha256 ||
            (isKnown(source.sha256) && existing.recording?.id === into?.id)
          ) {
            return { decoded, input, existing, outcome: 'present' };
          }
          if (!into || existing.recording?.id !== into.id) throw taken(input.name, 'it came from another file');
          return { decoded, input, existing, outcome: dryRun ? 'planned' : 'appended' };
        });
        return { file, series };
      }),
    );
  }

  async #beat(): Promise<void> {
    const [bytes = 0, total = 0, rows = 0] = this.#told;
    this.#progress = { ...this.#progress, bytes, total_bytes: total, rows };
    const isOurs = await seeImport(this.#deps.writes, this.#import.id, this.#runner, this.#progress).catch(() => true);
    if (!isOurs) this.#stop.abort();
  }

  async #forgetSpools(): Promise<void> {
    try {
      for (const id of await forgetSpools(this.#deps.writes, this.#spoolIds)) await removeSpooled(this.#deps.root, id);
    } catch {
      // The sweep finds row and file.
    }
  }
}

function sourceOf(
  planned: readonly { file: DecodedFile; series: readonly PlannedSeries[] }[],
  each: PlannedSeries,
): string {
  return planned.find(({ series }) => series.includes(each))!.file.source.sha256;
}

/** Rows of a series; none where the file has none. */
function itemOf(
  { decoded, input, existing }: PlannedSeries,
  seriesId: string,
  tokenId: string,
  sha256: string,
): AppendItem[] {
  const { rows, parts, runs } = decoded;
  if (rows === null || rows === 0) return [];
  const { sampling } = input;
  const startNs = existing && sampling.kind === 'regular' ? sampling.startNs : null;
  const hash = Buffer.from(sha256, 'hex');
  return [
    {
      seriesId,
      rule: timeRule(existing ?? input),
      rows,
      knownVersion: null,
      runs: runs.map((run, at) => (at === 0 && run.startNs === null ? { ...run, startNs } : run)),
      parts,
      key: { key: `import-${createHash('sha256').update(`${sha256}\n${input.name}`).digest('base64url')}`, hash },
      tokenId,
    },
  ];
}

function reported(
  { source, format, notes }: DecodedFile,
  series: readonly PlannedSeries[],
  idOf: (each: PlannedSeries) => string | null,
): ImportedFile {
  return {
    file: source.file,
    format,
    sha256: source.sha256,
    notes,
    series: series.map((each) => ({
      id: idOf(each),
      name: each.input.name,
      outcome: each.outcome,
      dtype: each.input.dtype,
      channels: each.input.channels.length,
      rate_hz: each.input.sampling.kind === 'regular' ? rateHz(each.input.sampling.rate) : null,
      rows: each.decoded.rows,
      annotations: each.decoded.annotations.length,
    })),
  };
}

/** What makes an import the same as another: the bytes of the files, and what was asked of them. */
function keyOf({ options, tags, recording }: ImportRequest, files: readonly DecodedFile[]): Buffer {
  const asked = [sorted(options), sorted(tags), recording, files.map(({ source }) => source.sha256)];
  return createHash('sha256').update(JSON.stringify(asked)).digest();
}

function sorted(object: object): [string, unknown][] {
  return Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1));
}

function sourceHash({ provenance }: Pick<Series, 'provenance'>): string | undefined {
  return (provenance.source as { sha256?: string } | undefined)?.sha256;
}

function taken(name: string, why: string): VarveError {
  return new VarveError('conflict', `a series named ${name} exists: ${why}`, { slug: 'name-taken' });
}

function naming(name: string, error: unknown): unknown {
  return isVarveError(error) ? new VarveError(error.code, `${name}: ${error.message}`, error) : error;
}

/** What was not foreseen is in the log, and no business of a client's. */
function problemOf(error: unknown): ReturnType<typeof toErrorRecord> {
  if (isVarveError(error)) return toErrorRecord(error);
  return { code: 'internal', message: 'The service failed to import it. Its log has the cause.' };
}
