/** The value of a tag: what a client may say of a series and search for. */

/** An instant, RFC 3339. */
export interface TimeTag {
  readonly time: string;
}

/** A number with a unit; compared in base units, so 5 mV equals 0.005 V. */
export interface QuantityTag {
  readonly value: number;
  /** UCUM code. */
  readonly unit: string;
}

export type TagScalar = string | number | boolean | TimeTag | QuantityTag;
/** A list says several things of the same kind: a condition holds if it does for one of them. */
export type TagValue = TagScalar | readonly TagScalar[];
export type Tags = Readonly<Record<string, TagValue>>;

/** A tag's value for people: `mouse`, `5 mV`, `a, b`. */
export function tagText(value: TagValue): string {
  if (Array.isArray(value)) return (value as readonly TagScalar[]).map(tagText).join(', ');
  if (typeof value !== 'object') return String(value);
  return 'time' in value ? value.time : `${(value as QuantityTag).value} ${(value as QuantityTag).unit}`;
}

/** A unit as searches need it: `base = value × factor + shift`. Only units of one dimension are compared. */
export interface TagUnit {
  readonly code: string;
  readonly factor: number;
  readonly shift: number;
  readonly dimension: string;
}

/** @returns undefined for a text that is no unit */
export type ReadUnit = (code: string) => TagUnit | undefined;

/** The units in which tags are given, each once. */
export function unitCodesOf(tags: Readonly<Record<string, TagValue | null>>): string[] {
  const codes = new Set<string>();
  const add = (value: TagScalar | null): void => {
    if (typeof value === 'object' && value !== null && 'unit' in value) codes.add(value.unit);
  };
  for (const value of Object.values(tags)) {
    if (Array.isArray(value)) (value as readonly TagScalar[]).forEach(add);
    else add(value as TagScalar | null);
  }
  return [...codes].sort();
}
