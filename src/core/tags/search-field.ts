/** What a search may ask of a series beside its tags: fields that every series has, by type. */

export type FieldType = 'text' | 'number' | 'time' | 'instant';

/** `time` counts in ns like samples, `instant` is of the catalog's own clock. */
export const SEARCH_FIELDS = {
  name: 'text',
  description: 'text',
  project: 'text',
  unit: 'text',
  kind: 'text',
  dtype: 'text',
  codec: 'text',
  time_reference: 'text',
  time_zone: 'text',
  /** Name of the recording that it belongs to, and its id. */
  recording: 'text',
  recording_id: 'text',
  continuity: 'text',
  /** `open` or `sealed`. */
  state: 'text',
  /** Any of them, whoever calls it so. */
  external_id: 'text',
  /** Label of any channel. */
  channel: 'text',
  /** A field of the provenance, as all that follow up to derived_from. */
  subject: 'text',
  operator: 'text',
  protocol: 'text',
  sample: 'text',
  /** Its model, or what it is called. */
  instrument: 'text',
  /** Id of any series that it is made from. */
  derived_from: 'text',
  channel_count: 'number',
  rate_hz: 'number',
  rows: 'number',
  first_time: 'time',
  last_time: 'time',
  created_at: 'instant',
  updated_at: 'instant',
} as const satisfies Record<string, FieldType>;

export type SearchField = keyof typeof SEARCH_FIELDS;

/** Fields whose `eq` and `in` are led by an index. */
export const INDEXED_FIELDS: ReadonlySet<SearchField> = new Set([
  'name',
  'channel',
  'external_id',
  'subject',
  'derived_from',
  'recording',
  'recording_id',
]);

export function isSearchField(name: string): name is SearchField {
  return Object.hasOwn(SEARCH_FIELDS, name);
}
