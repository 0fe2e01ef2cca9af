/** Tokens and projects: who may do what. */
import { v7 as uuidv7 } from 'uuid';
import {
  createProject,
  findToken,
  listProjects,
  listTokens,
  revokeToken,
  storeFirstToken,
  storeToken,
} from '../../catalog/people/access-store.ts';
import type { Database, ReadsAndWrites } from '../../catalog/database.ts';
import { VarveError, notFound } from '../../core/errors.ts';
import { nameKey } from '../../core/same-name.ts';
import { DEFAULT_PROJECT } from '../../core/signal/series.ts';
import type { AccessService } from './access-service.ts';
import { hashOf, newSecret } from './secret.ts';
import type { TokenMemory } from './token-memory.ts';

export function accessService({ reads, writes: db }: ReadsAndWrites, tokens: TokenMemory): AccessService {
  return {
    async authenticate(token) {
      const principal = await tokens.principal(hashOf('token', token));
      if (principal) return principal;
      throw new VarveError('unauthorized', 'the token is unknown or has been revoked', { slug: 'invalid-token' });
    },
    async createToken(input) {
      const projectIds = input.projects && (await idsOfProjects(reads, input.projects));
      const token = newToken();
      const record = { id: uuidv7(), name: input.name, hash: hashOf('token', token), scopes: input.scopes, projectIds };
      await storeToken(db, record);
      tokens.forget();
      return { token, record: (await findToken(db, record.hash))! };
    },
    listTokens: () => listTokens(reads),
    async revokeToken(id) {
      await revokeToken(db, id);
      tokens.forget();
    },
    createProject: (name) => createProject(db, uuidv7(), name),
    listProjects: (principal) => listProjects(reads, principal.projects?.ids ?? null),
  };
}

/** A new token: recognisable, and beyond guessing. */
export function newToken(): string {
  return `varve_${newSecret()}`;
}

/** What every start makes sure of: the default project, and that the first token, and no former one, works with all rights. */
export async function ensureAccess(db: Database, firstToken: string): Promise<void> {
  const projects = await listProjects(db, null);
  if (!projects.some((project) => project.name === DEFAULT_PROJECT)) {
    await createProject(db, uuidv7(), DEFAULT_PROJECT).catch((error: { code?: string }) => {
      if (error.code !== 'conflict') throw error; // another process was faster
    });
  }
  await storeFirstToken(db, { id: uuidv7(), name: 'first', hash: hashOf('token', firstToken) });
}

/** Makes another token with all rights. @returns the token, which is stored as a hash only */
export async function recoverAccess(db: Database): Promise<string> {
  const token = newToken();
  await storeToken(db, {
    id: uuidv7(),
    name: 'recovered',
    hash: hashOf('token', token),
    scopes: ['admin'],
    projectIds: null,
  });
  return token;
}

async function idsOfProjects(db: Database, names: readonly string[]): Promise<string[]> {
  const projects = new Map((await listProjects(db, null)).map((project) => [nameKey(project.name), project.id]));
  return names.map((name) => {
    const id = projects.get(nameKey(name));
    if (id === undefined) throw notFound('project', name);
    return id;
  });
}
