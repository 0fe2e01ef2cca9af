/** Exports on their way: planned when they are asked for, written one after the other, told of while they are. */
import { v7 as uuidv7 } from 'uuid';
import type { ReadsAndWrites, Database } from '../../catalog/database.ts';
import {
  deleteExport,
  findExport,
  finishExport,
  listExports,
  storeExport,
  tellProgress,
  type ExportRecord,
} from '../../catalog/export-store.ts';
import { isVarveError, messageOf, notFound, VarveError } from '../../core/errors.ts';
import type { DataRoot } from '../../storage/folder/data-root.ts';
import { keepFile, removeKept } from '../../storage/export/kept-files.ts';
import type { Principal } from '../principal.ts';
import { chooseSeries } from '../series/choose-series.ts';
import { exportParts, type ExportParts, type ExportSources } from './export-parts.ts';
import type { ExportFormat, ExportRequest, ExportService, DoneFile } from './export-service.ts';

export interface ExportDeps extends ReadsAndWrites {
  readonly searches: Database;
  readonly root: DataRoot;
  readonly sources: ExportSources;
  readonly log: { warn(fields: object, message: string): void };
}

/** Exports that one process has taken and not finished: their annotations are in memory. */
export const MOST_WAITING_EXPORTS = 16;
const RETRY_AFTER_S = 10;
const TELL_EVERY_MS = 5_000;
const ZIP = { extension: 'zip', mediaType: 'application/zip' };
/** What a single file is. */
const FILES: Readonly<Record<ExportFormat, { readonly extension: string; readonly mediaType: string }>> = {
  edf: { extension: 'edf', mediaType: 'application/octet-stream' },
  wfdb: ZIP,
  csv: { extension: 'csv', mediaType: 'text/csv' },
  npy: { extension: 'npy', mediaType: 'application/x-npy' },
  arrow: { extension: 'arrow', mediaType: 'application/vnd.apache.arrow.file' },
  hdf5: { extension: 'h5', mediaType: 'application/x-hdf5' },
};

interface Job extends ExportParts {
  readonly id: string;
  readonly request: ExportRequest;
  readonly stopping: AbortController;
  written: number;
}

export class Exports implements ExportService {
  readonly #deps: ExportDeps;
  /** The first is being written. */
  readonly #jobs: Job[] = [];
  /** Exports that are planned: they have a place already. */
  #planning = 0;
  #running: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(deps: ExportDeps) {
    this.#deps = deps;
  }

  async create(request: ExportRequest): Promise<ExportRecord> {
    if (this.#isClosed || this.#jobs.length + this.#planning >= MOST_WAITING_EXPORTS) {
      throw new VarveError('unavailable', `${MOST_WAITING_EXPORTS} exports are waiting already; try again`, {
        slug: 'too-many-exports',
        retryAfterS: RETRY_AFTER_S,
      });
    }
    this.#planning++;
    try {
      return await this.#take(request);
    } finally {
      this.#planning--;
    }
  }

  async #take(request: ExportRequest): Promise<ExportRecord> {
    const { reads, writes, searches, sources } = this.#deps;
    const { principal, asked } = request;
    const chosen = await chooseSeries({ db: reads, searches }, principal, request.series, null);
    if (chosen.length === 0) throw new VarveError('unprocessable', 'where: finds no series', { slug: 'no-series' });
    const stopping = new AbortController();
    const series = chosen.map((each) => each.series);
    const parts = await exportParts(sources, request, series, stopping.signal);
    const id = uuidv7();
    await storeExport(writes, { id, tokenId: principal.tokenId, request: asked, series: series.length });
    this.#jobs.push({ id, request, stopping, ...parts, written: 0 });
    if (this.#jobs.length === 1) this.#running = this.#run();
    return this.get(principal, id);
  }

  async get(principal: Principal, id: string): Promise<ExportRecord> {
    const found = await findExport(this.#deps.writes, id, ownerOf(principal));
    if (!found) throw notFound('export', id);
    return found;
  }

  async list(
    principal: Principal,
    { limit, after }: { limit: number; after: string | null },
  ): Promise<{ items: ExportRecord[]; after: string | null }> {
    const found = await listExports(this.#deps.reads, ownerOf(principal), { limit: limit + 1, after });
    const items = found.slice(0, limit);
    return { items, after: found.length > limit ? items[limit - 1].id : null };
  }

  async delete(principal: Principal, id: string): Promise<void> {
    if (!(await deleteExport(this.#deps.writes, id, ownerOf(principal)))) throw notFound('export', id);
    // Another process that makes it finds out when it next tells how far it is.
    this.#jobs.find((job) => job.id === id)?.stopping.abort();
    await removeKept(this.#deps.root, [id]);
  }

  async file(principal: Principal, id: string): Promise<DoneFile> {
    const { state, fileName, mediaType, error } = await this.get(principal, id);
    if (state === 'done') return { path: this.#deps.root.kept(id), name: fileName!, mediaType: mediaType! };
    const message = error
      ? `the export has failed: ${error.message}`
      : `the export is ${state}: its file is not whole yet`;
    throw new VarveError('conflict', message, { slug: error ? 'export-failed' : 'export-unfinished' });
  }

  /** Gives up what is not finished. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const { stopping } of this.#jobs) stopping.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const telling = setInterval(() => void this.#tell(), TELL_EVERY_MS);
    try {
      for (let job = this.#jobs.at(0); job; job = this.#jobs.at(0)) {
        await this.#make(job);
        this.#jobs.shift();
      }
    } finally {
      clearInterval(telling);
    }
  }

  /** Says of all that they are alive. */
  async #tell(): Promise<void> {
    for (const [at, job] of this.#jobs.entries()) {
      const state = at === 0 ? 'running' : 'waiting';
      const isWanted = await tellProgress(this.#deps.writes, job.id, state, job.written).catch(() => true);
      if (!isWanted) job.stopping.abort();
    }
  }

  async #make(job: Job): Promise<void> {
    const { writes, root, log } = this.#deps;
    const { id, request, parts, notes, stopping } = job;
    try {
      if (!(await tellProgress(writes, id, 'running', 0))) return;
      const bytes = await keepFile(root, id, parts, stopping.signal, (count) => (job.written += count));
      const { extension, mediaType } = parts.length === 1 ? FILES[request.format] : ZIP;
      await finishExport(writes, id, { fileName: `${request.name}.${extension}`, mediaType, bytes, notes });
    } catch (error) {
      await removeKept(root, [id]).catch(() => {});
      const failure = isVarveError(error)
        ? { code: error.code, slug: error.slug, message: error.message }
        : { code: 'internal', slug: 'internal', message: 'the file could not be made' };
      if (!isVarveError(error) && !stopping.signal.aborted) {
        log.warn({ export: id, reason: messageOf(error) }, 'an export failed');
      }
      await finishExport(writes, id, { error: failure }).catch(() => {});
    }
  }
}

/** Whose exports a principal may see; null: all. */
function ownerOf({ tokenId, scopes }: Principal): string | null {
  return scopes.includes('admin') ? null : tokenId;
}
