/** Conditions of a search, as the API reads them, and as chips show them. */
import { spelledValue } from '../spelled.ts';

/** A node of an expression: what the chips make, or anything else that the API takes. */
export type ChipCondition = Readonly<Record<string, unknown>>;
export type TypedAs = 'string' | 'number' | 'boolean' | 'time' | 'quantity';

/** What a chip may say between key and value. */
export const CHIP_OPERATORS: Readonly<Record<string, string>> = {
  eq: 'is',
  ne: 'is not',
  gt: '>',
  gte: '≥',
  lt: '<',
  lte: '≤',
  contains: 'contains',
  prefix: 'begins with',
  exists: 'is there',
};
/** Fields that can be searched beside tags, with the type of what they are compared with. */
export const FIELDS: Readonly<Record<string, TypedAs>> = {
  name: 'string',
  unit: 'string',
  kind: 'string',
  channel: 'string',
  project: 'string',
  dtype: 'string',
  state: 'string',
  subject: 'string',
  operator: 'string',
  instrument: 'string',
  rate_hz: 'number',
  channel_count: 'number',
  rows: 'number',
  first_time: 'time',
  last_time: 'time',
};
const FIELD_KEY = 'field.';
const IN_WORDS: Readonly<Record<string, string>> = { ...CHIP_OPERATORS, in: 'is' };

/** @param key a tag, or `field.` and a field */
export function makeCondition(key: string, operator: string, value: unknown): ChipCondition {
  const subject = key.startsWith(FIELD_KEY) ? { field: key.slice(FIELD_KEY.length) } : { tag: key };
  return { ...subject, [operator]: operator === 'exists' ? true : value };
}

/** The parts of a condition that a chip shows; a key alone for what the chips cannot make. */
export function chipParts(condition: ChipCondition): { key: string; operator: string; value: string } {
  const { tag, field, ...rest } = condition;
  const key = typeof tag === 'string' ? tag : typeof field === 'string' ? FIELD_KEY + field : null;
  const [operator, value] = Object.entries(rest)[0] ?? [];
  if (key === null || operator === undefined || IN_WORDS[operator] === undefined)
    return { key: JSON.stringify(condition), operator: '', value: '' };
  if (operator === 'exists') return { key, operator: value === false ? 'is not there' : 'is there', value: '' };
  const text = Array.isArray(value) ? value.map(spelledValue).join(' or ') : spelledValue(value);
  return { key, operator: IN_WORDS[operator], value: text };
}

/** The name of a key for people. */
export function keyName(key: string): string {
  return key.startsWith(FIELD_KEY) ? key.slice(FIELD_KEY.length).replaceAll('_', ' ') : key;
}

/** A text as the type that its key has; null: it cannot be read so. */
export function readTyped(text: string, types: readonly TypedAs[]): unknown {
  const trimmed = text.trim();
  for (const type of types) {
    if (type === 'number' && trimmed !== '' && Number.isFinite(Number(trimmed))) {
      return Number.isSafeInteger(Number(trimmed)) || /[.e]/i.test(trimmed) ? Number(trimmed) : trimmed;
    }
    if (type === 'boolean' && /^(?:true|false)$/.test(trimmed)) return trimmed === 'true';
    if (type === 'time' && /^\d{4}-\d\d(?:-\d\d)?/.test(trimmed)) return { time: wholeTime(trimmed) };
    const quantity = type === 'quantity' && /^([+-]?[\d.]+(?:e[+-]?\d+)?)\s*(\S.*)$/i.exec(trimmed);
    if (quantity) return { value: Number(quantity[1]), unit: quantity[2] };
  }
  return types.length === 0 || types.includes('string') ? trimmed : null;
}

function wholeTime(text: string): string {
  const day = /^\d{4}-\d\d$/.test(text) ? `${text}-01` : text;
  const whole = day.length === 10 ? `${day}T00:00:00` : day.replace(' ', 'T');
  return /(?:Z|[+-]\d\d:?\d\d)$/i.test(whole) ? whole : `${whole}Z`;
}

/** Conditions of the address; what is none is no condition. */
export function readConditions(text: string | null): readonly ChipCondition[] {
  if (text === null) return [];
  try {
    const read: unknown = JSON.parse(text);
    const list = Array.isArray(read) ? read : [read];
    return list.filter((each): each is ChipCondition => typeof each === 'object' && each !== null);
  } catch {
    return [];
  }
}

export function printConditions(conditions: readonly ChipCondition[]): string | null {
  return conditions.length === 0 ? null : JSON.stringify(conditions);
}

/** The tree that the API searches for; null: everything. */
export function treeOf(conditions: readonly ChipCondition[], words: string | null): ChipCondition | null {
  const all = [...conditions, ...(words === null || words.trim() === '' ? [] : [{ text: words.trim() }])];
  return all.length === 0 ? null : all.length === 1 ? all[0] : { and: all };
}

/** The conditions of a tree, as chips show them. */
export function chipsOf(tree: ChipCondition | null): readonly ChipCondition[] {
  if (tree === null) return [];
  return Array.isArray(tree.and) ? (tree.and as ChipCondition[]) : [tree];
}

/** True if a value of a facet is among what the conditions choose. */
export function isChosen(conditions: readonly ChipCondition[], key: string, value: unknown): boolean {
  return chosen(conditions, key).some((each) => same(each, value));
}

/** Chooses a value of a facet, beside others of the same key, or no longer. */
export function toggle(conditions: readonly ChipCondition[], key: string, value: unknown): readonly ChipCondition[] {
  const before = chosen(conditions, key);
  const after = before.some((each) => same(each, value))
    ? before.filter((each) => !same(each, value))
    : [...before, value];
  const others = withoutChoice(conditions, key);
  if (after.length === 0) return others;
  return [...others, after.length === 1 ? makeCondition(key, 'eq', after[0]) : makeCondition(key, 'in', after)];
}

/** The conditions without what is chosen of a key: what else there is of it is counted among what these find. */
export function withoutChoice(conditions: readonly ChipCondition[], key: string): readonly ChipCondition[] {
  return conditions.filter((each) => !isChoice(each, key));
}

function chosen(conditions: readonly ChipCondition[], key: string): readonly unknown[] {
  return conditions
    .filter((each) => isChoice(each, key))
    .flatMap((each) => (Array.isArray(each.in) ? (each.in as unknown[]) : [each.eq]));
}

function isChoice(condition: ChipCondition, key: string): boolean {
  const isOfKey = key.startsWith(FIELD_KEY) ? condition.field === key.slice(FIELD_KEY.length) : condition.tag === key;
  return isOfKey && ('eq' in condition || 'in' in condition);
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
