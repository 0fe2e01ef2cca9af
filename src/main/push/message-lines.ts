/** A message of MQTT whose payload is JSON, as a line of line protocol. */
import { messageOf, VarveError } from '../../core/errors.ts';
import { parseTime } from '../../core/time.ts';
import { keyTextOf } from '../../formats/line-protocol/line-names.ts';
import { timeInNs } from '../../formats/line-protocol/line-shape.ts';
import type { Precision } from '../../formats/line-protocol/line-parser.ts';
import { longInteger, parseExactJson } from '../../formats/text/exact-json.ts';
import { parseJsonPath, valueAt, type JsonPath } from './json-path.ts';
import { matchTopic, type TopicTemplate } from './topic-template.ts';

export interface FieldRule {
  readonly name: string;
  readonly type: MessageType | null;
  readonly path: JsonPath;
}

const MESSAGE_TYPES = ['float', 'int', 'text', 'bool'] as const;
type MessageType = (typeof MESSAGE_TYPES)[number];

export interface MessageRules {
  readonly templates: readonly TopicTemplate[];
  /** Where the topic does not say it. */
  readonly measurement: string;
  /** None: every number, boolean and text of the payload, by its name. */
  readonly fields: readonly FieldRule[];
  /** Where the time is; null: the message has the time of its arrival. */
  readonly time: JsonPath | null;
  readonly precision: Precision;
}

/** The name of a payload that is one value. */
const ONLY_FIELD = 'value';
const FIELD_OPTION = /^([^:=]+)(?::(\w+))?=(.+)$/;

/** `temperature=$.temp` or `count:int=$.n`. @throws invalid-input */
export function parseField(text: string): FieldRule {
  const [, name, type, path] = FIELD_OPTION.exec(text) ?? [];
  const known = MESSAGE_TYPES.find((each) => each === type) ?? null;
  if (name === undefined || path === undefined || (type !== undefined && known === null)) {
    const message = `--field ${text}: must be name=path or name:type=path, with one of ${MESSAGE_TYPES.join(', ')}`;
    throw new VarveError('invalid-input', message);
  }
  return { name, type: known, path: parseJsonPath(path, `--field ${name}`) };
}

/** @returns the line; or why there is none */
export function lineOfMessage(
  topic: string,
  payload: Uint8Array,
  rules: MessageRules,
  nowNs: () => bigint,
): { readonly line: string } | { readonly fault: string } {
  try {
    return { line: readMessage(topic, payload, rules, nowNs) };
  } catch (error) {
    if (error instanceof MessageFault) return { fault: error.message };
    throw error;
  }
}

class MessageFault extends Error {}

function readMessage(topic: string, payload: Uint8Array, rules: MessageRules, nowNs: () => bigint): string {
  const parts = rules.templates.reduce<ReturnType<typeof matchTopic>>(
    (found, template) => found ?? matchTopic(template, topic),
    null,
  );
  if (parts === null) throw new MessageFault('its topic matches no template');
  const { measurement, tags } = parts;
  const names = [...tags.flat(), measurement ?? ''];
  if (names.some((name) => /[\n\r\0]|\\$/.test(name)))
    throw new MessageFault('its topic has a character that no tag can have');
  const value = jsonOf(payload);
  const fields = fieldsOf(value, rules.fields);
  if (fields.length === 0) throw new MessageFault('its payload has no field that is asked for');
  const ns = rules.time === null ? nowNs() : timeOf(valueAt(value, rules.time), rules.precision);
  return `${keyTextOf({ measurement: measurement ?? rules.measurement, tags })} ${fields.join(',')} ${ns}`;
}

function jsonOf(payload: Uint8Array): unknown {
  try {
    return parseExactJson(new TextDecoder('utf-8', { fatal: true }).decode(payload), 'payload');
  } catch (error) {
    throw new MessageFault(messageOf(error));
  }
}

function fieldsOf(value: unknown, rules: readonly FieldRule[]): string[] {
  if (rules.length === 0) return [...allFields(value, '')];
  return rules.flatMap(({ name, type, path }) => {
    const found = valueAt(value, path);
    return found === undefined || found === null ? [] : [messageField(name, found, type)];
  });
}

/** Members of members have names with points between. */
function* allFields(value: unknown, name: string): Generator<string> {
  if (value === null) return;
  if (typeof value !== 'object') yield messageField(name || ONLY_FIELD, value, null);
  else if (Array.isArray(value))
    throw new MessageFault(`${name || 'payload'}: is a list; name what is meant of it by --field`);
  else for (const [key, each] of Object.entries(value)) yield* allFields(each, name === '' ? key : `${name}.${key}`);
}

function messageField(name: string, value: unknown, type: MessageType | null): string {
  if (/[\n\r\0]|\\$/.test(name) || name === '') throw new MessageFault(`${JSON.stringify(name)} cannot name a field`);
  return `${name.replaceAll(/[,= ]/g, String.raw`\$&`)}=${valueText(name, value, type)}`;
}

function valueText(name: string, value: unknown, type: MessageType | null): string {
  const digits = digitsOf(value);
  if (typeof value === 'number' || digits !== undefined) {
    if (type === null || type === 'float') return floatText(name, value as number, digits, type);
    if (type === 'int' && (digits !== undefined || Number.isSafeInteger(value))) return `${digits ?? String(value)}i`;
    if (type === 'text') return quoted(digits ?? String(value));
  } else if (typeof value === 'boolean') {
    if (type === null || type === 'bool') return String(value);
    if (type === 'text') return quoted(String(value));
  } else if (typeof value === 'string' && (type === null || type === 'text')) return quoted(value);
  throw new MessageFault(`${name}: ${JSON.stringify(value)} is no ${type ?? 'number, boolean or text'}`);
}

/** The digits of a long integer, as the parser of exact JSON gives it. */
function digitsOf(value: unknown): string | undefined {
  const digits = longInteger(value);
  return digits !== undefined && /^-?\d+$/.test(digits) ? digits : undefined;
}

/** A long integer that no float64 holds stays what it is, as an integer. */
function floatText(name: string, value: number, digits: string | undefined, type: MessageType | null): string {
  if (digits === undefined) return Object.is(value, -0) ? '-0' : String(value);
  const exact = BigInt(digits);
  if (BigInt(Number(digits)) === exact) return digits;
  if (type === null && BigInt.asIntN(64, exact) === exact) return `${digits}i`;
  if (type === null && BigInt.asUintN(64, exact) === exact) return `${digits}u`;
  throw new MessageFault(`${name}: no number here holds ${digits}`);
}

function quoted(text: string): string {
  return `"${text.replaceAll(/["\\]/g, String.raw`\$&`)}"`;
}

function timeOf(value: unknown, precision: Precision): bigint {
  const text = digitsOf(value) ?? (typeof value === 'number' ? String(value) : value);
  const ns =
    typeof text !== 'string' ? null : (timeInNs(text, precision) ?? (/^[+-]?\d+$/.test(text) ? null : parseTime(text)));
  if (ns === null || ns === undefined) {
    throw new MessageFault(
      value === undefined
        ? 'its payload has no time where --time says'
        : `its time ${JSON.stringify(text)} cannot be read`,
    );
  }
  return ns;
}
