/** What a change of metadata has changed: field by field, tags and provenance key by key. */
import { UNSAID, type Series } from '../signal/series.ts';
import { sameTag, tagField, type FieldChange } from './tag-edit.ts';

export type HistoryAction = 'create' | 'update' | 'edit' | 'rename' | 'undo' | 'delete' | 'restore' | 'seal' | 'unseal';

/** What a client describes a series by, and may change. */
export type DescribedFields = Pick<
  Series,
  | 'name'
  | 'description'
  | 'unit'
  | 'scale'
  | 'offset'
  | 'channels'
  | 'tags'
  | 'continuity'
  | 'resolution'
  | 'timeZone'
  | 'externalIds'
  | 'provenance'
> & { /** Tolerance of a regular series, in samples. */ readonly startTolerance: number | null };

/** One entry of a series' history. */
export interface HistoryEntry {
  readonly id: string;
  readonly action: HistoryAction;
  readonly at: Date;
  /** Null: it was no request. */
  readonly token: { readonly id: string; readonly name: string } | null;
  /** Id of a change of many series at once. */
  readonly editId: string | null;
  readonly changes: readonly FieldChange[];
}

/** With the names that clients know them by. */
const SINGLE_FIELDS = [
  ['name', 'name'],
  ['description', 'description'],
  ['unit', 'unit'],
  ['scale', 'scale'],
  ['offset', 'offset'],
  ['channels', 'channels'],
  ['continuity', 'continuity'],
  ['resolution', 'resolution'],
  ['timeZone', 'time_zone'],
  ['startTolerance', 'sampling.start_tolerance'],
] as const satisfies readonly (readonly [keyof DescribedFields, string])[];

/** Changed key by key; with what comes before the key. */
const KEYED_FIELDS = [
  ['tags', tagField('')],
  ['externalIds', 'external_ids.'],
  ['provenance', 'provenance.'],
] as const satisfies readonly (readonly [keyof DescribedFields, string])[];

/** What a series is before it is created; what it keeps of this is no change. */
export const UNDESCRIBED = {
  name: null,
  description: null,
  unit: null,
  scale: 1,
  offset: 0,
  channels: null,
  tags: {},
  ...UNSAID,
  provenance: {},
  startTolerance: null,
} as const;

export function changesBetween(before: DescribedFields | typeof UNDESCRIBED, after: DescribedFields): FieldChange[] {
  const changes: FieldChange[] = [];
  for (const [key, field] of SINGLE_FIELDS) {
    if (!sameTag(before[key], after[key])) changes.push({ field, old: before[key], new: after[key] });
  }
  for (const [key, prefix] of KEYED_FIELDS) {
    changes.push(...changesOfKeys(before[key], after[key], (name) => prefix + name));
  }
  return changes;
}

/**
 * What a series was created as, told from what it is.
 * @param first by field, what it had before the first change of it; fields that a client does not describe it by are left out
 */
export function changesOfCreation(now: DescribedFields, first: Keyed): FieldChange[] {
  const single = SINGLE_FIELDS.flatMap(([key, field]) => (Object.hasOwn(first, field) ? [[key, first[field]]] : []));
  const keyed = KEYED_FIELDS.map(([key, prefix]) => {
    const changed = Object.entries(first).filter(([field]) => field.startsWith(prefix));
    return [
      key,
      { ...now[key], ...Object.fromEntries(changed.map(([field, old]) => [field.slice(prefix.length), old])) },
    ];
  });
  const created = { ...now, ...Object.fromEntries([...single, ...keyed]) } as DescribedFields;
  return changesBetween(UNDESCRIBED, created);
}

type Keyed = Readonly<Record<string, unknown>>;

export function changesOfKeys(before: Keyed, after: Keyed, fieldOf: (key: string) => string): FieldChange[] {
  const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  return keys.flatMap((key) => {
    const old = Object.hasOwn(before, key) ? before[key] : null;
    const now = Object.hasOwn(after, key) ? after[key] : null;
    return sameTag(old, now) ? [] : [{ field: fieldOf(key), old, new: now }];
  });
}
