/** Who asks, and what they may. */
import type { Scope } from '../catalog/people/access-store.ts';

export type { Scope };

/** Who asks. */
export interface Principal {
  readonly tokenId: string;
  readonly scopes: readonly Scope[];
  /** Null: all projects. Names, for what a caller names; ids, for what the catalog filters. */
  readonly projects: { readonly ids: readonly string[]; readonly names: readonly string[] } | null;
}
