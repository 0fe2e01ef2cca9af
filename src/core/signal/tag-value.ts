/** The value of a tag: what a client may say of a series and search for. */
import type { Ratio } from '../numbers/ratio.ts';

/** An instant, RFC 3339. */
export interface TimeTag {
  readonly time: string;
}

/** A number with a unit; compared in base units, so 5 mV equals 0.005 V. */
export interface QuantityTag {
  /** A number, or the digits of an integer past 2^53. */
  readonly value: number | string;
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

/** A unit as searches need it: `base = value × factor + shift`, exactly. Only units of one dimension are compared. */
export interface TagUnit {
  readonly code: string;
  readonly factor: Ratio;
  readonly shift: Ratio;
  readonly dimension: string;
}

/** @returns undefined for a text that is no unit */
export type ReadUnit = (code: string) => TagUnit | undefined;

/** The value itself; a list gives its values one by one. */
export function scalarsOf(value: TagValue | null): readonly TagScalar[] {
  if (value === null) return [];
  return Array.isArray(value) ? (value as readonly TagScalar[]) : [value as TagScalar];
}

/** The units in which tags are given, each once. */
export function unitCodesOf(tags: Readonly<Record<string, TagValue | null>>): string[] {
  const codes = Object.values(tags)
    .flatMap(scalarsOf)
    .flatMap((value) => (typeof value === 'object' && 'unit' in value ? [value.unit] : []));
  return [...new Set(codes)].sort();
}
