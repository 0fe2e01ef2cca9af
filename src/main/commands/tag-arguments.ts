/** Tags as people type them: `key=value` to set one, `key>=value` to search by one. */
import { parseJsonWithDigits } from '../../formats/text/exact-json.ts';
import { invalidField } from '../../core/errors.ts';
import { isLongInteger } from '../../core/numbers/long-integer.ts';
import type { TagValue } from '../../core/signal/series.ts';

const OPERATORS = { '=': '', '!=': '[ne]', '>': '[gt]', '>=': '[gte]', '<': '[lt]', '<=': '[lte]' } as const;
const CONDITION = /^([^<>=!]+)(>=|<=|!=|=|>|<)(.*)$/s;
/** A number written in no unusual way: `007` and `+1` are names. */
const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;

/**
 * A tag as it is written on the command line:
 * - `species=mouse` is a text, `age_days=61` a number, `anaesthetised=false` a boolean;
 * - `cage="61"` is a text all the same, and so is `serial=12345678901234567891`, which is past 2^53, as the service
 *   has it;
 * - lists, times and quantities are JSON: `depth={"value":300,"unit":"um"}`.
 * @throws invalid-input
 */
export function parseTag(text: string): [key: string, value: TagValue] {
  const [, key = '', operator, value = ''] = CONDITION.exec(text) ?? [];
  if (operator !== '=') throw invalidField('--tag', `${text} is not key=value`);
  if (/^".*"$/s.test(value)) return [key, value.slice(1, -1)];
  if (value === 'true' || value === 'false') return [key, value === 'true'];
  if (/^[[{].*[\]}]$/s.test(value)) return [key, jsonOf(value)];
  return [key, NUMBER.test(value) && Number.isFinite(Number(value)) && !isLongInteger(value) ? Number(value) : value];
}

/** A text may well begin with a bracket: what is no JSON is one. */
function jsonOf(text: string): TagValue {
  try {
    return parseJsonWithDigits(text) as TagValue;
  } catch {
    return text;
  }
}

/**
 * A condition as the query parameter of a search: `age_days>=60` becomes `tag.age_days[gte]=60`. A key alone asks that
 * the tag is there; a key with `!` before it, that it is not.
 * @throws invalid-input
 */
export function parseTagCondition(text: string): [parameter: string, value: string] {
  const [, key = '', operator, value = ''] = CONDITION.exec(text) ?? [];
  if (operator !== undefined) return [`tag.${key}${OPERATORS[operator as keyof typeof OPERATORS]}`, value];
  const [, not, name] = /^(!?)([^<>=!]+)$/.exec(text) ?? [];
  if (name === undefined) throw invalidField('condition', `${text} is not key=value, key>=value or the like`);
  return [`tag.${name}[exists]`, String(not === '')];
}
