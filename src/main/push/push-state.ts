/** What a spool knows of its deliveries: a small file that is replaced as a whole. */
import { randomUUID } from 'node:crypto';
import { open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { VarveError } from '../../core/errors.ts';
import { syncFolder } from '../../storage/folder/sync-folder.ts';

const STATE_FILE = 'state.json';
const digits = z.string().regex(/^\d{1,19}$/);

const stateDocument = z.object({
  /** Whose sequence numbers the service is told. */
  source: z.string(),
  project: z.string(),
  /** The last record that needs nothing more: it is stored, or a dead letter. */
  delivered: digits,
  delivered_at: z.string().nullable(),
  error: z.object({ at: z.string(), message: z.string() }).nullable(),
});

export type PushState = z.output<typeof stateDocument>;

/** @returns null: the folder has none. @throws corrupt if it is not what was written */
export async function readState(folder: string): Promise<PushState | null> {
  const path = join(folder, STATE_FILE);
  try {
    return stateDocument.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    const message = `${path} is not what varve push writes: put a copy of it there, or begin with another --spool`;
    throw new VarveError('corrupt', message, { slug: 'spool-state', cause: error });
  }
}

export class StateFile {
  readonly #folder: string;
  #state: PushState;
  #saving: Promise<void> = Promise.resolve();

  private constructor(folder: string, state: PushState) {
    this.#folder = folder;
    this.#state = state;
  }

  /**
   * @param name begins the source; the rest is drawn, so that no two spools count under one name
   * @throws conflict if the spool is for another project
   */
  static async open(folder: string, { name, project }: { name: string; project: string }): Promise<StateFile> {
    const found = await readState(folder);
    if (found && found.project !== project) {
      const message = `the spool in ${folder} is for the project ${found.project}: take another --spool for ${project}`;
      throw new VarveError('conflict', message, { slug: 'spool-project' });
    }
    const source = `${name}-${randomUUID()}`;
    const state = found ?? { source, project, delivered: '0', delivered_at: null, error: null };
    const file = new StateFile(folder, state);
    if (!found) await file.save({});
    return file;
  }

  get source(): string {
    return this.#state.source;
  }

  get delivered(): bigint {
    return BigInt(this.#state.delivered);
  }

  /** Makes changes durable. */
  save(changes: Partial<Pick<PushState, 'delivered' | 'delivered_at' | 'error'>>): Promise<void> {
    this.#state = { ...this.#state, ...changes };
    this.#saving = this.#saving.catch(() => {}).then(() => replaceFile(join(this.#folder, STATE_FILE), this.#state));
    return this.#saving;
  }
}

/** Replaces a file by a JSON text. After a power cut it is the one before, or this one. */
export async function replaceFile(path: string, document: unknown): Promise<void> {
  const file = await open(`${path}.tmp`, 'w', 0o600);
  try {
    await file.writeFile(`${JSON.stringify(document, null, 2)}\n`);
    await file.datasync();
  } finally {
    await file.close();
  }
  await rename(`${path}.tmp`, path);
  await syncFolder(join(path, '..'));
}
