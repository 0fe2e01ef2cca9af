/** Tokens and projects. */
import type { Project, TokenRecord } from '../../catalog/people/access-store.ts';
import type { Principal, Scope } from '../principal.ts';

export type { Project, TokenRecord };

export interface AccessService {
  /** @throws unauthorized */
  authenticate(token: string): Promise<Principal>;
  /** @returns the token's text, once */
  createToken(input: {
    name: string;
    scopes: readonly Scope[];
    projects: readonly string[] | null;
  }): Promise<{ token: string; record: TokenRecord }>;
  listTokens(): Promise<TokenRecord[]>;
  revokeToken(id: string): Promise<void>;
  createProject(name: string): Promise<Project>;
  listProjects(principal: Principal): Promise<Project[]>;
}
