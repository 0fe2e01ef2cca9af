/** What a search for series asks: conditions that must all hold. */
import { VarveError } from './errors.ts';
import type { TagValue } from './series.ts';

export type TagComparison = 'eq' | 'ne' | 'gt' | 'gte' | 'lt' | 'lte' | 'exists';

export interface TagCondition {
  readonly key: string;
  readonly op: TagComparison;
  /** Any of these; more than one where a text could mean several types (`61` the number or the string). */
  readonly values: readonly TagValue[];
}

export interface SeriesFilter {
  readonly tags: readonly TagCondition[];
  readonly project?: string;
  /** Only series of these projects; null: all. */
  readonly projectIds: readonly string[] | null;
  readonly name?: string;
  readonly unit?: string;
  readonly kind?: 'regular' | 'irregular';
}

const OPERATORS: ReadonlySet<string> = new Set<TagComparison>(['eq', 'ne', 'gt', 'gte', 'lt', 'lte', 'exists']);
const TAG_PARAMETER = /^tag\.([^[\]]{1,200})(?:\[(\w+)\])?$/;

/**
 * One `tag.<key>[<op>]=<text>` parameter as a condition.
 * Equality matches the text as a string and, where it reads as one, as a number or boolean; ranges compare numbers, or
 * strings in code point order if the text is no number.
 * @throws invalid-input naming the parameter
 */
export function parseTagParameter(parameter: string, text: string): TagCondition {
  const match = TAG_PARAMETER.exec(parameter);
  const op = match?.[2] ?? 'eq';
  if (!match || !OPERATORS.has(op)) {
    throw new VarveError('invalid-input', `${parameter}: is not tag.<key> or tag.<key>[${[...OPERATORS].join('|')}]`, {
      errors: [{ field: parameter, message: 'unknown operator or malformed parameter' }],
    });
  }
  const key = match[1];
  const number = numberIn(text);
  if (op === 'exists') return { key, op, values: [text !== 'false'] };
  if (op === 'eq' || op === 'ne') {
    const values: TagValue[] = [text];
    if (number !== undefined) values.push(number);
    if (text === 'true' || text === 'false') values.push(text === 'true');
    return { key, op, values };
  }
  return { key, op: op as TagComparison, values: [number ?? text] };
}

function numberIn(text: string): number | undefined {
  if (!/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text)) return undefined;
  const value = Number(text);
  return Number.isFinite(value) ? value : undefined;
}
