/** Who asks, and what they may. */
import type { Scope } from '../catalog/people/access-store.ts';
import type { Expression } from '../core/tags/tag-expression.ts';

export type { Scope };

/** Who asks. */
export interface Principal {
  readonly tokenId: string;
  readonly scopes: readonly Scope[];
  /**
   * The projects that the principal may use; null: all. Names are for what a caller names, ids for what the catalog
   * filters.
   */
  readonly projects: { readonly ids: readonly string[]; readonly names: readonly string[] } | null;
  /** Whoever has only a link sees no other series than those that meet the condition. */
  readonly share?: { readonly id: string; readonly within: Expression };
}
