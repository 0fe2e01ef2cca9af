/** Changes of tags as values: setting, removing, renaming, merging, and putting back. */
import { keyedAs, nameKey } from '../same-name.ts';
import type { TagScalar, Tags, TagValue } from '../signal/tag-value.ts';

/** Tags of one series; values of one tag. */
export const MAX_TAGS = 256;
export const MAX_TAG_LIST = 100;

export interface TagEdit {
  readonly set: Tags;
  readonly remove: readonly string[];
}

/** A key that is set takes the place of the same one in another spelling. */
export function editTags(tags: Tags, { set, remove }: TagEdit): Tags {
  return { ...withoutKeys(tags, [...remove, ...Object.keys(set)]), ...set };
}

/** The object without these keys, however it writes them. */
export function withoutKeys<T>(object: Readonly<Record<string, T>>, keys: readonly string[]): Record<string, T> {
  const gone = new Set(keys.map(nameKey));
  return Object.fromEntries(Object.entries(object).filter(([key]) => !gone.has(nameKey(key))));
}

/**
 * The tag `from` becomes `to`. If both are there, their values are united in one list, equal ones once and those of
 * `to` first. If one value is left, it is no list. Quantities are equal if they are written alike.
 */
export function renameTag(tags: Tags, from: string, to: string): Tags {
  const fromKey = keyedAs(tags, from);
  if (fromKey === undefined || nameKey(from) === nameKey(to)) return tags;
  const { [fromKey]: moved, ...rest } = tags;
  const toKey = keyedAs(rest, to);
  if (toKey === undefined) return { ...rest, [to]: moved };
  const united: TagScalar[] = [];
  for (const value of [...listOf(rest[toKey]), ...listOf(moved)]) {
    if (!united.some((each) => sameScalar(each, value))) united.push(value);
  }
  const wasList = Array.isArray(rest[toKey]) || Array.isArray(moved);
  return { ...withoutKeys(rest, [to]), [to]: united.length === 1 && !wasList ? united[0] : united };
}

function sameScalar(a: TagScalar, b: TagScalar): boolean {
  return typeof a === 'string' && typeof b === 'string' ? nameKey(a) === nameKey(b) : sameTag(a, b);
}

/** One changed field of a series; null: not there. */
export interface FieldChange {
  readonly field: string;
  readonly old: unknown;
  readonly new: unknown;
}

const TAG_FIELD = 'tags.';

export function tagField(key: string): string {
  return TAG_FIELD + key;
}

/**
 * Takes changes of tags back where the tag still is what they made it.
 * @returns the tags, and the fields that have changed since
 */
export function undoTagChanges(tags: Tags, changes: readonly FieldChange[]): { tags: Tags; changedSince: string[] } {
  const result: Record<string, TagValue> = { ...tags };
  const changedSince: string[] = [];
  for (const change of changes) {
    const key = change.field.slice(TAG_FIELD.length);
    const current = Object.hasOwn(tags, key) ? tags[key] : null;
    if (!sameTag(current, change.new)) changedSince.push(change.field);
    else if (change.old === null) delete result[key];
    else result[key] = change.old as TagValue;
  }
  return { tags: result, changedSince };
}

/** Equal as JSON: the order of a quantity's members does not count, that of a list does. */
export function sameTag(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length &&
    keys.every(
      (key) =>
        Object.hasOwn(b, key) && sameTag((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]),
    )
  );
}

export function listOf(value: TagValue): readonly TagScalar[] {
  return Array.isArray(value) ? (value as readonly TagScalar[]) : [value as TagScalar];
}

/** One request that has changed many series. */
export interface MetadataEdit {
  readonly id: string;
  readonly kind: 'edit' | 'rename' | 'undo';
  readonly at: Date;
  readonly token: { readonly id: string; readonly name: string } | null;
  /** As it was asked. */
  readonly request: unknown;
  readonly series: number;
  /** The edit that undid it. */
  readonly undoneBy: string | null;
}
