/** Tokens and projects: who may do what. */
import { createHash, randomBytes } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';
import {
  createProject,
  findToken,
  listProjects,
  listTokens,
  revokeToken,
  storeToken,
  type TokenRecord,
} from '../catalog/access-store.ts';
import type { Database } from '../catalog/database.ts';
import { VarveError, notFound } from '../core/errors.ts';
import type { AccessService, Principal } from './service.ts';

/** A token that was found is trusted this long without asking again: a revoked one works for at most as long. */
const TRUST_MS = 5_000;
const DEFAULT_PROJECT = 'default';

export function accessService(db: Database): AccessService {
  const trusted = new Map<string, { principal: Principal; until: number }>();
  return {
    async authenticate(token) {
      const hash = hashOf(token);
      const key = hash.toString('hex');
      const known = trusted.get(key);
      if (known && known.until > Date.now()) return known.principal;
      trusted.delete(key);
      const record = await findToken(db, hash);
      if (!record) {
        throw new VarveError('unauthorized', 'the token is unknown or has been revoked', { slug: 'invalid-token' });
      }
      const principal = await principalOf(db, record);
      trusted.set(key, { principal, until: Date.now() + TRUST_MS });
      return principal;
    },
    async createToken(input) {
      const projectIds = input.projects && (await idsOfProjects(db, input.projects));
      const token = newToken();
      const record = { id: uuidv7(), name: input.name, hash: hashOf(token), scopes: input.scopes, projectIds };
      await storeToken(db, record);
      return { token, record: (await findToken(db, record.hash))! };
    },
    listTokens: () => listTokens(db),
    async revokeToken(id) {
      await revokeToken(db, id);
      trusted.clear();
    },
    createProject: (name) => createProject(db, uuidv7(), name),
    listProjects: (principal) => listProjects(db, principal.projects?.ids ?? null),
  };
}

/** A new token: recognisable, and beyond guessing. */
export function newToken(): string {
  return `varve_${randomBytes(24).toString('base64url')}`;
}

/** What every start makes sure of: the default project, and that the first token works with all rights. */
export async function ensureAccess(db: Database, firstToken: string): Promise<void> {
  const projects = await listProjects(db, null);
  if (!projects.some((project) => project.name === DEFAULT_PROJECT)) {
    await createProject(db, uuidv7(), DEFAULT_PROJECT).catch((error: { code?: string }) => {
      if (error.code !== 'conflict') throw error; // another process was faster
    });
  }
  await storeToken(db, { id: uuidv7(), name: 'first', hash: hashOf(firstToken), scopes: ['admin'], projectIds: null });
}

/** Makes another token with all rights. @returns the token, which is stored as a hash only */
export async function recoverAccess(db: Database): Promise<string> {
  const token = newToken();
  await storeToken(db, { id: uuidv7(), name: 'recovered', hash: hashOf(token), scopes: ['admin'], projectIds: null });
  return token;
}

function hashOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

async function principalOf(db: Database, record: TokenRecord): Promise<Principal> {
  if (!record.projectIds) return { tokenId: record.id, scopes: record.scopes, projects: null };
  const projects = await listProjects(db, record.projectIds);
  return {
    tokenId: record.id,
    scopes: record.scopes,
    projects: { ids: projects.map((project) => project.id), names: projects.map((project) => project.name) },
  };
}

async function idsOfProjects(db: Database, names: readonly string[]): Promise<string[]> {
  const projects = new Map((await listProjects(db, null)).map((project) => [project.name, project.id]));
  return names.map((name) => {
    const id = projects.get(name);
    if (id === undefined) throw notFound('project', name);
    return id;
  });
}
