/**
 * What a search asks: a tree of conditions on tags, fields, texts, times and annotations. This file has the tree; it is read from JSON by
 * tag-tree.ts and from query parameters by tag-parameters.ts, and becomes SQL in the catalog.
 *
 * Two-valued: a condition on what a series does not have is false, so `not` and `ne` hold for it.
 */
import { invalidField, unprocessableField } from '../errors.ts';
import { INDEXED_FIELDS, type SearchField } from './search-field.ts';
import { nameKey } from '../same-name.ts';
import { patternFault, patternPrefix } from './tag-pattern.ts';
import type { TagUnit } from '../signal/tag-value.ts';

/** Branches within branches. */
export const MAX_BRANCH_DEPTH = 12;
/** Conditions of one search. */
export const MAX_CONDITIONS = 100;
/** Values of one `in`. */
export const MAX_IN_VALUES = 500;
export const MAX_VALUE_CHARS = 4096;
/** Most characters of a bound: longer texts are not kept in order. */
const MAX_BOUND_CHARS = 256;

export type Comparable =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'number'; readonly number: number }
  | { readonly type: 'boolean'; readonly boolean: boolean }
  | { readonly type: 'time'; readonly ns: bigint }
  | { readonly type: 'quantity'; readonly value: number | string; readonly unit: TagUnit };

export type Bound = 'gt' | 'gte' | 'lt' | 'lte';

export type Test =
  | { readonly op: 'exists' }
  /** Equal to one of them, whatever their types. */
  | { readonly op: 'any'; readonly values: readonly Comparable[] }
  /** Bounds of one type, which one and the same value must keep. */
  | { readonly op: 'range'; readonly bounds: readonly { readonly bound: Bound; readonly value: Comparable }[] }
  | { readonly op: 'prefix' | 'contains'; readonly text: string }
  | { readonly op: 'regex'; readonly pattern: string; readonly prefix: string };

/** What a channel must be like; what is left out may be anything. A channel without a unit has that of its series. */
export interface ChannelLike {
  readonly label?: string;
  readonly unit?: string;
  readonly location?: string;
  readonly group?: string;
  readonly filtering?: string;
  readonly reference?: string;
  readonly bad?: boolean;
}

export const CHANNEL_TEXTS = ['label', 'unit', 'location', 'group', 'filtering', 'reference'] as const;

export type Expression =
  | { readonly kind: 'and' | 'or'; readonly of: readonly Expression[] }
  | { readonly kind: 'not'; readonly of: Expression }
  | { readonly kind: 'tag'; readonly key: string; readonly test: Test }
  | { readonly kind: 'field'; readonly field: SearchField; readonly test: Test }
  /** All words of the text are in name or description. */
  | { readonly kind: 'text'; readonly text: string }
  /** Has data within `[startNs, endNs)`: gaps of a regular series do not count. */
  | { readonly kind: 'overlaps'; readonly startNs: bigint; readonly endNs: bigint }
  | { readonly kind: 'active_since'; readonly ns: bigint }
  /** Nothing has come, or was changed of its samples, for so long, by the clock of the catalog. */
  | { readonly kind: 'silent_for'; readonly seconds: number }
  /** One channel is all of this. */
  | { readonly kind: 'has_channel'; readonly like: ChannelLike }
  /** One of these. Nobody asks so in words; it says what a link shows. */
  | { readonly kind: 'ids'; readonly ids: readonly string[] }
  | {
      readonly kind: 'has_annotation';
      readonly label: string | null;
      readonly startNs: bigint | null;
      readonly endNs: bigint | null;
    };

/** What is said of a channel beside its label and its unit, which may be those of nearly all. */
const TELLING = ['location', 'group', 'filtering', 'reference'] as const;

/** True of what an index leads to. */
export function namesItsSeries(where: Expression): boolean {
  switch (where.kind) {
    case 'and':
      return where.of.some(namesItsSeries);
    case 'or':
      return where.of.every(namesItsSeries);
    case 'tag':
    case 'text':
    case 'overlaps':
    case 'has_annotation':
    case 'ids':
      return true;
    case 'field':
      return where.test.op === 'any' && where.field !== 'channel' && INDEXED_FIELDS.has(where.field);
    case 'has_channel':
      return where.like.bad === true || TELLING.some((each) => where.like[each] !== undefined);
    case 'not':
    case 'active_since':
    case 'silent_for':
      return false;
  }
}

export const BOUNDS: ReadonlySet<string> = new Set<Bound>(['gt', 'gte', 'lt', 'lte']);
export const TEXT_OPERATORS: ReadonlySet<string> = new Set(['prefix', 'contains', 'regex']);

/** @throws invalid-input naming the field */
export function textTest(op: string, text: string, field: string): Test {
  if (text === '') throw invalidField(field, 'must not be empty');
  if (text.length > MAX_VALUE_CHARS) throw invalidField(field, `must have at most ${MAX_VALUE_CHARS} characters`);
  if (op !== 'regex') return { op: op as 'prefix' | 'contains', text };
  const fault = patternFault(text);
  if (fault !== undefined) throw invalidField(field, fault);
  return { op: 'regex', pattern: text, prefix: patternPrefix(text) };
}

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };
/** The feed of changes tells no more of what is older. */
const MAX_SILENT_S = 30 * SECONDS.d;

/** `10m` and the like. @throws invalid-input naming the field */
export function silentFor(text: unknown, field: string): Expression {
  const [, digits, unit] = /^(\d{1,8})([smhd])$/.exec(typeof text === 'string' ? text : '') ?? [];
  const seconds = digits === undefined ? 0 : Number(digits) * SECONDS[unit];
  if (seconds < 1 || seconds > MAX_SILENT_S) {
    throw invalidField(field, 'must be a whole number of s, m, h or d, such as 10m, from 1s to 30d');
  }
  return { kind: 'silent_for', seconds };
}

/** @throws invalid-input for bounds of different types, unprocessable for units that do not compare */
export function rangeTest(bounds: readonly { bound: Bound; value: Comparable; field: string }[]): Test {
  const [{ value: first }] = bounds;
  for (const { value, field } of bounds) {
    if (value.type === 'boolean') throw invalidField(field, 'must be a number, a text, a time or a quantity');
    if (value.type === 'text' && value.text.length > MAX_BOUND_CHARS) {
      throw invalidField(field, `must have at most ${MAX_BOUND_CHARS} characters`);
    }
    if (value.type !== first.type) throw invalidField(field, `must be a ${first.type}, like the other bound`);
    if (value.type === 'quantity' && first.type === 'quantity' && value.unit.dimension !== first.unit.dimension) {
      throw unprocessableField(field, `${value.unit.code} cannot be compared with ${first.unit.code}`, 'unit-mismatch');
    }
  }
  return { op: 'range', bounds: bounds.map(({ bound, value }) => ({ bound, value })) };
}

/** @throws invalid-input naming the field if the text has no word */
export function withWords(text: string, field: string): Expression {
  if (!/[\p{L}\p{N}]/u.test(text)) throw invalidField(field, 'must have a word');
  if (text.length > MAX_VALUE_CHARS) throw invalidField(field, `must have at most ${MAX_VALUE_CHARS} characters`);
  return { kind: 'text', text };
}

/** @throws invalid-input naming the field */
export function overlapping(startNs: bigint, endNs: bigint, field: string): Expression {
  if (endNs <= startNs) throw invalidField(field, 'must end after it starts');
  return { kind: 'overlaps', startNs, endNs };
}

/** The same search with all its texts in the form that names are compared in. */
export function composed(where: Expression): Expression {
  switch (where.kind) {
    case 'and':
    case 'or':
      return { ...where, of: where.of.map(composed) };
    case 'not':
      return { ...where, of: composed(where.of) };
    case 'tag':
      return { ...where, key: nameKey(where.key), test: composedTest(where.test) };
    case 'field':
      return { ...where, test: composedTest(where.test) };
    case 'text':
      return { ...where, text: nameKey(where.text) };
    case 'has_channel': {
      const said = Object.entries(where.like).map(([key, value]: [string, unknown]) => [
        key,
        typeof value === 'string' ? nameKey(value) : value,
      ]);
      return { ...where, like: Object.fromEntries(said) as ChannelLike };
    }
    case 'has_annotation':
      return { ...where, label: where.label === null ? null : nameKey(where.label) };
    case 'overlaps':
    case 'active_since':
    case 'silent_for':
    case 'ids':
      return where;
  }
}

function composedTest(test: Test): Test {
  switch (test.op) {
    case 'exists':
      return test;
    case 'any':
      return { ...test, values: test.values.map(composedValue) };
    case 'range':
      return { ...test, bounds: test.bounds.map(({ bound, value }) => ({ bound, value: composedValue(value) })) };
    case 'prefix':
    case 'contains':
      return { ...test, text: nameKey(test.text) };
    case 'regex': {
      const pattern = nameKey(test.pattern);
      return { ...test, pattern, prefix: patternPrefix(pattern) };
    }
  }
}

function composedValue(value: Comparable): Comparable {
  return value.type === 'text' ? { ...value, text: nameKey(value.text) } : value;
}

export function allOf(conditions: readonly Expression[]): Expression | null {
  if (conditions.length <= 1) return conditions[0] ?? null;
  return { kind: 'and', of: conditions };
}
