/** Conditions from query parameters, where everything is text: `tag.species=mouse`, `tag.depth[gte]=300 um`. */
import { invalidField } from '../errors.ts';
import { isLongInteger } from '../numbers/long-integer.ts';
import {
  BOUNDS,
  MAX_IN_VALUES,
  overlapping,
  rangeTest,
  TEXT_OPERATORS,
  textTest,
  type Bound,
  type Comparable,
  type Expression,
} from './tag-expression.ts';
import type { ReadUnit } from '../signal/tag-value.ts';
import { parseBound } from '../time.ts';

const OPERATORS: readonly string[] = ['eq', 'ne', 'in', 'exists', ...TEXT_OPERATORS, ...BOUNDS];
const TAG_PARAMETER = /^tag\.(.{1,200}?)(?:\[([^[\]]*)\])?$/su;
const NUMBER = String.raw`[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?`;
const WHOLE_NUMBER = new RegExp(`^${NUMBER}$`);
const QUANTITY = new RegExp(`^(${NUMBER}) (\\S+)$`);

/**
 * One `tag.<key>[<op>]=<text>` parameter as a condition. A key that has brackets needs an operator behind it: `tag.a[b][eq]`.
 * Equality matches the text as a string and as whatever else it reads as: a number, a boolean, a time, a quantity (`5 mV`). Ranges compare
 * numbers or quantities if the text is one; else strings in code point order, and times if it reads as one.
 * @throws invalid-input naming the parameter
 */
export function parseTagParameter(parameter: string, text: string, readUnit: ReadUnit): Expression {
  const [, key, op = 'eq'] = TAG_PARAMETER.exec(parameter) ?? [];
  // Without an operator nobody could tell a key with brackets from one with a misspelt operator.
  const isPlain = key !== undefined && (!/[[\]]/.test(key) || parameter !== `tag.${key}`);
  if (!isPlain || !OPERATORS.includes(op)) {
    const forms = `is not tag.<key> or tag.<key>[op] with one of ${OPERATORS.join(', ')}`;
    throw invalidField(parameter, `${forms}; a key with brackets needs an operator behind it, as in tag.a[b][eq]`);
  }
  if (TEXT_OPERATORS.has(op)) return { kind: 'tag', key, test: textTest(op, text, parameter) };
  if (BOUNDS.has(op)) {
    const readings = readingsOf(text, readUnit);
    const numeric = readings.filter(({ type }) => type === 'number' || type === 'quantity');
    const compared = numeric.length > 0 ? numeric : readings.filter(({ type }) => type !== 'boolean');
    const ranges = compared.map((value): Expression => {
      return { kind: 'tag', key, test: rangeTest([{ bound: op as Bound, value, field: parameter }]) };
    });
    return ranges.length === 1 ? ranges[0] : { kind: 'or', of: ranges };
  }
  if (op === 'exists') {
    const exists: Expression = { kind: 'tag', key, test: { op: 'exists' } };
    if (text !== 'true' && text !== 'false') throw invalidField(parameter, 'must be true or false');
    return text === 'false' ? { kind: 'not', of: exists } : exists;
  }
  const texts = op === 'in' ? text.split(',') : [text];
  if (texts.length > MAX_IN_VALUES) throw invalidField(parameter, `must have at most ${MAX_IN_VALUES} values`);
  const values = texts.flatMap((each) => readingsOf(each, readUnit));
  const any: Expression = { kind: 'tag', key, test: { op: 'any', values } };
  return op === 'ne' ? { kind: 'not', of: any } : any;
}

/** `start,end`. @throws invalid-input naming the parameter */
export function parseOverlaps(parameter: string, text: string): Expression {
  const [startNs, endNs, more] = text.split(',').map((part) => parseBound(part));
  if (startNs === undefined || endNs === undefined || more !== undefined || text.split(',').length !== 2) {
    throw invalidField(parameter, 'must be start,end: two RFC 3339 times or integer nanoseconds UTC');
  }
  return overlapping(startNs, endNs, parameter);
}

/** All that a text may mean, the text itself first. */
function readingsOf(text: string, readUnit: ReadUnit): Comparable[] {
  const readings: Comparable[] = [{ type: 'text', text }];
  const [, value, code] = QUANTITY.exec(text) ?? [];
  const unit = code === undefined ? undefined : readUnit(code);
  const ns = text.includes('T') ? parseBound(text) : undefined;
  // An integer past 2^53 is kept as a text: the number next to it is another one.
  const isNumber = WHOLE_NUMBER.test(text) && Number.isFinite(Number(text)) && !isLongInteger(text);
  if (isNumber) readings.push({ type: 'number', number: Number(text) });
  if (unit && Number.isFinite(Number(value))) {
    readings.push({ type: 'quantity', value: isLongInteger(value) ? value : Number(value), unit });
  }
  if (ns !== undefined) readings.push({ type: 'time', ns });
  if (text === 'true' || text === 'false') readings.push({ type: 'boolean', boolean: text === 'true' });
  return readings;
}
