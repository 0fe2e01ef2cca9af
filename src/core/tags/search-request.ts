/** One search: what, in which order, how much of it, and what to count. */
import { invalidField } from '../errors.ts';
import { isSearchField, SEARCH_FIELDS, type SearchField } from './search-field.ts';
import type { Expression } from './tag-expression.ts';
import type { TagScalar } from '../signal/tag-value.ts';

/** Keys of one order; facets of one answer. */
const MAX_SORT_KEYS = 4;
const MAX_FACETS = 16;
const MAX_KEY_CHARS = 200;

export type SearchKey =
  { readonly by: 'tag'; readonly key: string } | { readonly by: 'field'; readonly field: SearchField };
export type SortKey = SearchKey & { readonly descending: boolean };
/** @property name as it was asked for, and is answered */
export type FacetKey = SearchKey & { readonly name: string };

/** Where a page ended: what its last series is sorted by, and its id. */
export interface SearchPosition {
  readonly values: readonly (string | null)[];
  readonly id: string;
}

export interface SearchRequest {
  /** Null: everything. */
  readonly where: Expression | null;
  readonly sort: readonly SortKey[];
  readonly facets: readonly FacetKey[];
  readonly limit: number;
  readonly after: SearchPosition | null;
  readonly explain: boolean;
}

export interface FacetValue {
  readonly value: TagScalar | null;
  readonly count: number;
  /** True: reckoned from some of the series. */
  readonly estimated: boolean;
}

/** Tags are `tag.<key>`; `name`, `-created_at` … are fields; a minus puts the largest first. @throws invalid-input */
export function parseSort(keys: readonly string[], at: (index: number) => string): SortKey[] {
  if (keys.length > MAX_SORT_KEYS)
    throw invalidField(at(MAX_SORT_KEYS), `is one too many: at most ${MAX_SORT_KEYS} keys`);
  return keys.map((text, index) => {
    const descending = text.startsWith('-');
    const name = descending ? text.slice(1) : text;
    const key = name.startsWith('tag.') ? searchKeyOf(name.slice(4), at(index)) : fieldKey(name);
    if (!key || (key.by === 'field' && key.field === 'channel')) {
      throw invalidField(at(index), `cannot be sorted by: it is no field and not tag.<key>`);
    }
    return { ...key, descending };
  });
}

/** A name alone is a tag, as is `tag.<key>`; `field.<name>` is a field. @throws invalid-input */
export function parseFacets(names: readonly string[], at: (index: number) => string): FacetKey[] {
  if (names.length > MAX_FACETS) throw invalidField(at(MAX_FACETS), `is one too many: at most ${MAX_FACETS} facets`);
  return names.map((name, index) => {
    if (names.indexOf(name) !== index) throw invalidField(at(index), 'is given more than once');
    const key = name.startsWith('field.')
      ? fieldKey(name.slice(6))
      : searchKeyOf(name.startsWith('tag.') ? name.slice(4) : name, at(index));
    if (!key || (key.by === 'field' && SEARCH_FIELDS[key.field] !== 'text')) {
      throw invalidField(at(index), 'is neither a tag nor field.<name> of a field of text');
    }
    return { ...key, name };
  });
}

function searchKeyOf(key: string, at: string): SearchKey {
  if (key === '' || key.length > MAX_KEY_CHARS) throw invalidField(at, `must have 1 to ${MAX_KEY_CHARS} characters`);
  return { by: 'tag', key };
}

function fieldKey(name: string): SearchKey | undefined {
  return isSearchField(name) ? { by: 'field', field: name } : undefined;
}
