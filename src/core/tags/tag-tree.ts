/** A tree of conditions from JSON. Errors name the place: `where.and[1].range.gte`. */
import { invalidField, unprocessableField } from '../errors.ts';
import { isLongInteger } from '../numbers/long-integer.ts';
import { isSearchField, SEARCH_FIELDS, type FieldType } from './search-field.ts';
import {
  BOUNDS,
  CHANNEL_TEXTS,
  MAX_CONDITIONS,
  MAX_BRANCH_DEPTH,
  MAX_IN_VALUES,
  MAX_VALUE_CHARS,
  overlapping,
  rangeTest,
  silentFor,
  TEXT_OPERATORS,
  textTest,
  withWords,
  type Bound,
  type Comparable,
  type Expression,
  type Test,
} from './tag-expression.ts';
import { parseBound, parseTime } from '../time.ts';
import type { ReadUnit } from '../signal/tag-value.ts';

const MAX_KEY_CHARS = 200;
const OPERATORS = ['eq', 'ne', 'in', 'exists', ...TEXT_OPERATORS, ...BOUNDS, 'range'];

const KINDS = [
  'and',
  'or',
  'not',
  'tag',
  'field',
  'text',
  'overlaps',
  'active_since',
  'silent_for',
  'has_channel',
  'has_annotation',
] as const;

type Json = Readonly<Record<string, unknown>>;

interface Reading {
  readonly readUnit: ReadUnit;
  conditions: number;
}

/**
 * @param path what to call the tree in errors
 * @throws invalid-input, or unprocessable for an unknown unit or units that do not compare
 */
export function readExpression(tree: unknown, path: string, readUnit: ReadUnit): Expression {
  return read(tree, path, 1, { readUnit, conditions: 0 });
}

function read(node: unknown, path: string, depth: number, reading: Reading): Expression {
  if (depth > MAX_BRANCH_DEPTH) throw invalidField(path, `is nested more than ${MAX_BRANCH_DEPTH} deep`);
  if (!isObject(node)) throw invalidField(path, 'must be an object');
  const keys = Object.keys(node);
  const kind = KINDS.find((each) => keys.includes(each));
  if (kind === undefined) throw invalidField(path, `must have one of ${KINDS.join(', ')}`);
  const at = `${path}.${kind}`;
  const value = node[kind];
  if (kind === 'tag' || kind === 'field') return readLeaf(kind, node, path, reading);
  const stray = keys.find((key) => key !== kind);
  if (stray !== undefined) throw invalidField(`${path}.${stray}`, `does not go with ${kind}`);
  if (kind === 'and' || kind === 'or') {
    if (!Array.isArray(value) || value.length === 0) throw invalidField(at, 'must be a list of conditions');
    return { kind, of: value.map((each, index) => read(each, `${at}[${index}]`, depth + 1, reading)) };
  }
  if (kind === 'not') return { kind, of: read(value, at, depth + 1, reading) };
  count(path, reading);
  if (kind === 'text') return withWords(textAt(value, at), at);
  if (kind === 'silent_for') return silentFor(value, at);
  if (kind === 'active_since') return { kind, ns: timeAt(value, at) };
  if (kind === 'overlaps') {
    const [startNs, endNs] = spanAt(value, at);
    return overlapping(startNs, endNs, at);
  }
  if (kind === 'has_channel') return readChannel(value, at);
  return readAnnotation(value, at);
}

function readChannel(value: unknown, at: string): Expression {
  if (!isObject(value)) throw invalidField(at, 'must be an object');
  const known: readonly string[] = [...CHANNEL_TEXTS, 'bad'];
  const unknown = Object.keys(value).find((key) => !known.includes(key));
  if (unknown !== undefined) throw invalidField(`${at}.${unknown}`, `is not known here; there are ${known.join(', ')}`);
  if (Object.keys(value).length === 0) throw invalidField(at, `needs one of ${known.join(', ')}`);
  for (const key of CHANNEL_TEXTS) if (value[key] !== undefined) textAt(value[key], `${at}.${key}`);
  if (value.bad !== undefined && typeof value.bad !== 'boolean') {
    throw invalidField(`${at}.bad`, 'must be true or false');
  }
  return { kind: 'has_channel', like: value };
}

function readAnnotation(value: unknown, at: string): Expression {
  if (!isObject(value)) throw invalidField(at, 'must be an object');
  const { label = null, overlaps, ...stray } = value;
  const [unknown] = Object.keys(stray);
  if (unknown !== undefined) throw invalidField(`${at}.${unknown}`, 'is not known here');
  if (label !== null) textAt(label, `${at}.label`);
  const span = overlaps === undefined ? null : spanAt(overlaps, `${at}.overlaps`);
  if (span) overlapping(...span, `${at}.overlaps`);
  return {
    kind: 'has_annotation',
    label: label as string | null,
    startNs: span?.[0] ?? null,
    endNs: span?.[1] ?? null,
  };
}

function readLeaf(kind: 'tag' | 'field', node: Json, path: string, reading: Reading): Expression {
  count(path, reading);
  const { [kind]: named, ...tests } = node;
  const name = textAt(named, `${path}.${kind}`);
  if (name === '' || name.length > MAX_KEY_CHARS) {
    throw invalidField(`${path}.${kind}`, `must have 1 to ${MAX_KEY_CHARS} characters`);
  }
  if (kind === 'tag') {
    return readTests(tests, path, (test) => ({ kind, key: name, test }), tagValueReader(reading.readUnit));
  }
  if (!isSearchField(name)) {
    throw invalidField(`${path}.field`, `must be one of ${Object.keys(SEARCH_FIELDS).join(', ')}`);
  }
  const type = SEARCH_FIELDS[name];
  const [wrong] = type === 'text' ? [] : Object.keys(tests).filter((op) => TEXT_OPERATORS.has(op));
  if (wrong !== undefined) throw invalidField(`${path}.${wrong}`, `does not apply to ${name}, which is no text`);
  const leaf = (test: Test): Expression => ({ kind: 'field', field: name, test });
  return readTests(tests, path, leaf, fieldValueReader(type));
}

/** @param readTime reads more as a bound than as a value */
type ReadValue = (value: unknown, path: string, readTime?: typeof parseBound) => Comparable;

/** One operator; or several bounds, which belong together. */
function readTests(tests: Json, path: string, leaf: (test: Test) => Expression, readValue: ReadValue): Expression {
  const ops = Object.keys(tests);
  const unknown = ops.find((op) => !OPERATORS.includes(op));
  if (unknown !== undefined)
    throw invalidField(`${path}.${unknown}`, `is no operator; there are ${OPERATORS.join(', ')}`);
  if (ops.length === 0) throw invalidField(path, `needs an operator: ${OPERATORS.join(', ')}`);
  if (ops.every((op) => BOUNDS.has(op))) return leaf(boundsTest(tests, path, readValue));
  if (ops.length > 1) throw invalidField(`${path}.${ops[1]}`, 'must be a condition of its own');
  const [op] = ops;
  const at = `${path}.${op}`;
  const value = tests[op];
  switch (op) {
    case 'eq':
      return leaf({ op: 'any', values: [readValue(value, at)] });
    case 'ne':
      return { kind: 'not', of: leaf({ op: 'any', values: [readValue(value, at)] }) };
    case 'in':
      if (!Array.isArray(value) || value.length === 0 || value.length > MAX_IN_VALUES) {
        throw invalidField(at, `must be a list of 1 to ${MAX_IN_VALUES} values`);
      }
      return leaf({ op: 'any', values: value.map((each, index) => readValue(each, `${at}[${index}]`)) });
    case 'exists':
      if (typeof value !== 'boolean') throw invalidField(at, 'must be true or false');
      return value ? leaf({ op: 'exists' }) : { kind: 'not', of: leaf({ op: 'exists' }) };
    case 'range': {
      if (!isObject(value)) throw invalidField(at, 'must be an object');
      const stray = Object.keys(value).find((each) => !BOUNDS.has(each));
      if (stray !== undefined) throw invalidField(`${at}.${stray}`, 'must be gt, gte, lt or lte');
      if (Object.keys(value).length === 0) throw invalidField(at, 'needs gt, gte, lt or lte');
      return leaf(boundsTest(value, at, readValue));
    }
    default:
      return leaf(textTest(op, textAt(value, at), at));
  }
}

function boundsTest(bounds: Json, path: string, readValue: ReadValue): Test {
  return rangeTest(
    Object.entries(bounds).map(([bound, value]) => {
      const field = `${path}.${bound}`;
      return { bound: bound as Bound, value: readValue(value, field, parseBound), field };
    }),
  );
}

function tagValueReader(readUnit: ReadUnit): ReadValue {
  return (value, path, readTime = parseValue) => {
    if (typeof value === 'string') return { type: 'text', text: textAt(value, path) };
    if (typeof value === 'number') return { type: 'number', number: numberAt(value, path) };
    if (typeof value === 'boolean') return { type: 'boolean', boolean: value };
    const keys = isObject(value) ? Object.keys(value).sort().join() : '';
    if (isObject(value) && keys === 'time') return { type: 'time', ns: timeAt(value.time, `${path}.time`, readTime) };
    if (isObject(value) && keys === 'unit,value') {
      const isDigits = typeof value.value === 'string' && isLongInteger(value.value);
      const number = isDigits ? (value.value as string) : numberAt(value.value, `${path}.value`);
      const code = textAt(value.unit, `${path}.unit`);
      const unit = readUnit(code);
      if (!unit) throw unprocessableField(`${path}.unit`, `${JSON.stringify(code)} is no UCUM unit`, 'unknown-unit');
      return { type: 'quantity', value: number, unit };
    }
    throw invalidField(path, 'must be a text, a number, true or false, {"time": …} or {"value": …, "unit": …}');
  };
}

function fieldValueReader(type: FieldType): ReadValue {
  return (value, path, readTime = parseValue) => {
    if (type === 'text') return { type: 'text', text: textAt(value, path) };
    if (type === 'number') return { type: 'number', number: numberAt(value, path) };
    return { type: 'time', ns: timeAt(isObject(value) ? value.time : value, path, readTime) };
  };
}

function spanAt(value: unknown, path: string): [startNs: bigint, endNs: bigint] {
  if (!Array.isArray(value) || value.length !== 2) throw invalidField(path, 'must be [start, end]');
  return [timeAt(value[0], `${path}[0]`), timeAt(value[1], `${path}[1]`)];
}

/** A time that something can have. */
function parseValue(value: string | number): bigint | undefined {
  return typeof value === 'string' || Number.isSafeInteger(value) ? parseTime(String(value)) : undefined;
}

function timeAt(value: unknown, path: string, readTime = parseBound): bigint {
  const ns = typeof value === 'string' || typeof value === 'number' ? readTime(value) : undefined;
  if (ns === undefined) throw invalidField(path, 'must be an RFC 3339 time, or integer nanoseconds UTC');
  return ns;
}

function numberAt(value: unknown, path: string): number {
  // JSON can say 1e999, which is read as infinity.
  if (typeof value !== 'number' || !Number.isFinite(value)) throw invalidField(path, 'must be a finite number');
  return value;
}

function textAt(value: unknown, path: string): string {
  if (typeof value !== 'string') throw invalidField(path, 'must be a text');
  if (value.length > MAX_VALUE_CHARS) throw invalidField(path, `must have at most ${MAX_VALUE_CHARS} characters`);
  return value;
}

function count(path: string, reading: Reading): void {
  reading.conditions += 1;
  if (reading.conditions > MAX_CONDITIONS) {
    throw invalidField(path, `is one condition too many; at most ${MAX_CONDITIONS} are read`);
  }
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
