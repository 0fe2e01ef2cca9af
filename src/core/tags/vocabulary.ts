/** A project's vocabulary: which tags its series may and must have, and with which values. */
import type { FieldError } from '../errors.ts';
import { VarveError } from '../errors.ts';
import type { Comparable } from './tag-expression.ts';
import { sameQuantity } from './quantity.ts';
import { nameKey } from '../same-name.ts';
import { listOf, sameTag, tagField } from './tag-edit.ts';
import type { ReadUnit, TagScalar, Tags } from '../signal/tag-value.ts';
import { parseTime } from '../time.ts';

export const TAG_TYPES = ['string', 'number', 'boolean', 'time', 'quantity'] as const;
export type TagType = (typeof TAG_TYPES)[number];

/** What every value of one key must be; in a list, each value. */
export interface KeyRule {
  readonly type: TagType | null;
  /** Unit of quantities: any unit of this one's dimension will do. */
  readonly unit: string | null;
  /** Null: any. */
  readonly values: readonly TagScalar[] | null;
  readonly required: boolean;
}

export interface Vocabulary {
  /** Keys that are not named are refused. */
  readonly closed: boolean;
  readonly keys: Readonly<Record<string, KeyRule>>;
}

/** Named in a message; more are counted. */
const MAX_NAMED_VALUES = 20;

/**
 * Finds what does not fit a vocabulary.
 * @param touched keys that a change sets or removes; null: all, as in a new series. What a change does not touch need
 * not fit
 * @returns one fault for each key, naming `tags.<key>`
 */
export function vocabularyFaults(
  { closed, keys }: Vocabulary,
  tags: Tags,
  touched: ReadonlySet<string> | null,
  readUnit: ReadUnit,
): FieldError[] {
  const rules = new Map(Object.entries(keys).map(([key, rule]) => [nameKey(key), rule]));
  const present = new Set(Object.keys(tags).map(nameKey));
  const changed = touched && new Set([...touched].map(nameKey));
  const faults: FieldError[] = [];
  const fault = (key: string, message: string): void => void faults.push({ field: tagField(key), message });
  for (const [key, value] of Object.entries(tags)) {
    if (changed && !changed.has(nameKey(key))) continue;
    const rule = rules.get(nameKey(key));
    if (!rule) {
      if (closed) fault(key, `is not in the vocabulary; allowed are ${named(Object.keys(keys))}`);
      continue;
    }
    if (!listOf(value).every((each) => hasType(rule, each, readUnit))) fault(key, `must be ${typeName(rule)}`);
    else if (!listOf(value).every((each) => isAmong(rule, each, readUnit))) {
      fault(key, `must be one of ${named((rule.values ?? []).map((each) => JSON.stringify(each)))}`);
    }
  }
  for (const [key, rule] of Object.entries(keys)) {
    if (!rule.required || present.has(nameKey(key)) || (changed && !changed.has(nameKey(key)))) continue;
    const allowed = rule.values ? `: one of ${named(rule.values.map((each) => JSON.stringify(each)))}` : '';
    fault(key, `is required by the vocabulary${allowed}`);
  }
  return faults;
}

/** @throws unprocessable `not-in-vocabulary` */
export function assertInVocabulary(
  vocabulary: Vocabulary | null,
  tags: Tags,
  touched: ReadonlySet<string> | null,
  readUnit: ReadUnit,
): void {
  const faults = vocabulary ? vocabularyFaults(vocabulary, tags, touched, readUnit) : [];
  if (faults.length === 0) return;
  const more = faults.length > 1 ? ` (and ${faults.length - 1} more)` : '';
  throw new VarveError('unprocessable', `${faults[0].field}: ${faults[0].message}${more}`, {
    slug: 'not-in-vocabulary',
    errors: faults,
  });
}

function hasType({ type, unit }: KeyRule, value: TagScalar, readUnit: ReadUnit): boolean {
  if (type === null) return true;
  if (typeof value !== 'object') return typeof value === type;
  if ('time' in value) return type === 'time';
  if (type !== 'quantity') return false;
  return unit === null || readUnit(unit)?.dimension === readUnit(value.unit)?.dimension;
}

function isAmong({ values }: KeyRule, value: TagScalar, readUnit: ReadUnit): boolean {
  return values === null || values.some((each) => isEqual(each, value, readUnit));
}

/** Where a search finds the values equal. */
function isEqual(a: TagScalar, b: TagScalar, readUnit: ReadUnit): boolean {
  const [one, other] = [comparableOf(a, readUnit), comparableOf(b, readUnit)];
  if (one?.type === 'quantity' && other?.type === 'quantity') return sameQuantity(one, other);
  if (one?.type === 'time' && other?.type === 'time') return one.ns === other.ns;
  if (one?.type === 'text' && other?.type === 'text') return nameKey(one.text) === nameKey(other.text);
  return sameTag(a, b);
}

/** A value of a tag as searches compare it; undefined if its unit or its time is none. */
export function comparableOf(value: TagScalar, readUnit: ReadUnit): Comparable | undefined {
  if (typeof value === 'string') return { type: 'text', text: value };
  if (typeof value === 'number') return { type: 'number', number: value };
  if (typeof value === 'boolean') return { type: 'boolean', boolean: value };
  if ('time' in value) {
    const ns = parseTime(value.time);
    return ns === undefined ? undefined : { type: 'time', ns };
  }
  const unit = readUnit(value.unit);
  return unit && { type: 'quantity', value: value.value, unit };
}

function typeName({ type, unit }: KeyRule): string {
  switch (type) {
    case 'quantity':
      return unit === null
        ? 'a quantity: {"value": number, "unit": UCUM}'
        : `a quantity in a unit that compares with ${unit}`;
    case 'time':
      return 'a time: {"time": RFC 3339}';
    case 'boolean':
      return 'true or false';
    default:
      return `a ${type}`;
  }
}

function named(values: readonly string[]): string {
  const shown = values.slice(0, MAX_NAMED_VALUES).join(', ');
  return values.length > MAX_NAMED_VALUES ? `${shown} and ${values.length - MAX_NAMED_VALUES} more` : shown || 'none';
}
