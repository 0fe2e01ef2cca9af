/** Imports, as a principal may ask for them. */
import { setTimeout as sleep } from 'node:timers/promises';
import { v7 as uuidv7 } from 'uuid';
import { answerOnce } from '../../catalog/answer-once.ts';
import type { Database, ReadsAndWrites } from '../../catalog/database.ts';
import { cancelImport, getImport, insertImport, listImports } from '../../catalog/series/import-store.ts';
import { getRecording, listRecordings, type StoredRecording } from '../../catalog/series/recording-store.ts';
import { projectIds } from '../../catalog/series/series-store.ts';
import { notFound, VarveError } from '../../core/errors.ts';
import { nameKey } from '../../core/same-name.ts';
import type { DataRoot } from '../../storage/folder/data-root.ts';
import { findUpload } from '../../storage/folder/uploads.ts';
import type { Principal } from '../principal.ts';
import { assertProject, mayUse } from '../series/series-reach.ts';
import { allowedPath } from './allowed-path.ts';
import type { ImportRequest, ImportService, ImportStatus } from './import-service.ts';

export interface ImportDeps extends ReadsAndWrites {
  readonly root: DataRoot;
  /** Folders that are open to imports, with their links resolved. */
  readonly importRoots: readonly string[];
  /** Says that there is an import to be done. */
  readonly ring: (id: string) => Promise<void>;
}

/** Pause between two looks at an import that is followed. */
const LOOK_MS = 300;
const ENDED: ReadonlySet<string> = new Set(['done', 'failed', 'cancelled']);
const ID_FORM = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export function importService({ reads, writes, root, importRoots, ring }: ImportDeps): ImportService {
  const visible = async (principal: Principal, id: string): Promise<ImportStatus> => {
    const found = await getImport(reads, id);
    if (!mayUse(principal, found.project)) throw notFound('import', id);
    return found;
  };
  /** What can be known before anything is read. */
  const check = async (principal: Principal, request: ImportRequest): Promise<string> => {
    const { project, paths, uploads, recording } = request;
    await assertProject(reads, principal, project);
    const projectId = (await projectIds(reads, [project])).get(nameKey(project))!;
    for (const [at, path] of paths.entries()) await allowedPath(path, importRoots, `paths[${at}]`);
    for (const [at, id] of uploads.entries()) {
      const upload = await findUpload(root, id);
      if (!upload || nameKey(upload.project) !== nameKey(project)) {
        throw missing(`uploads[${at}]`, `the project has no upload ${id}`);
      }
      if (!upload.isWhole) {
        const message = `has ${upload.received} of ${upload.bytes} bytes`;
        throw new VarveError('conflict', `uploads[${at}]: ${message}`, {
          slug: 'upload-incomplete',
          errors: [{ field: `uploads[${at}]`, message }],
        });
      }
    }
    if (recording !== null) await findWanted(reads, projectId, recording);
    return projectId;
  };
  return {
    async start(principal, request, once, print) {
      const projectId = await check(principal, request);
      const { tokenId } = principal;
      const id = uuidv7();
      const answered = await writes.transaction().execute(async (trx) => {
        const work = async () => {
          await insertImport(trx, { id, projectId, tokenId, request });
          return print(await getImport(trx, id));
        };
        return once ? answerOnce(trx, tokenId, once, work) : { answer: await work(), replayed: false };
      });
      if (!answered.replayed) await ring(id);
      return answered;
    },
    get: visible,
    list: (principal, question, page) =>
      listImports(reads, { ...question, projectIds: principal.projects?.ids ?? null }, page),
    async *follow(principal, id, signal) {
      let told = '';
      while (!signal.aborted) {
        const now = await visible(await principal(), id);
        const text = JSON.stringify([now.state, now.progress]);
        if (text !== told) yield now;
        told = text;
        if (ENDED.has(now.state)) return;
        await sleep(LOOK_MS, undefined, { signal }).catch(() => {});
      }
    },
    async cancel(principal, id) {
      await visible(principal, id);
      if (await cancelImport(writes, id)) return getImport(writes, id);
      const { state } = await getImport(writes, id);
      if (state === 'cancelled') return getImport(writes, id);
      throw new VarveError('conflict', `the import has ended: it is ${state}`, { slug: 'import-ended' });
    },
  };
}

/** The recording of a project that an import names by id or name. @throws not-found naming `recording` */
export async function findWanted(db: Database, projectId: string, called: string): Promise<StoredRecording> {
  const scope = { projectIds: [projectId] };
  const page = { limit: 1, after: null };
  const byName = await listRecordings(db, { ...scope, name: called }, page);
  const [named] = byName.items;
  if (named) return named;
  if (ID_FORM.test(called)) {
    const found = await getRecording(db, called).catch(() => null);
    const own = found && (await listRecordings(db, { ...scope, name: found.name }, page)).items[0];
    if (own && own.id === found.id) return own;
  }
  throw missing('recording', `the project has no recording ${called}`);
}

function missing(field: string, message: string): VarveError {
  return new VarveError('not-found', `${field}: ${message}`, { errors: [{ field, message }] });
}
