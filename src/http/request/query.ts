/** Query parameters: every one known, none given twice unless it is a list. */
import { isUtf8 } from 'node:buffer';
import type { Request } from 'express';
import type { z } from 'zod';
import { invalidField } from '../../core/errors.ts';
import { parseWith } from '../body/field-errors.ts';

/**
 * The parameters of a request in order. Express's own parser drops what comes after the thousandth.
 * @throws invalid-input naming the parameter whose percent-encoded bytes are not UTF-8
 */
export function searchParamsOf(url: string): URLSearchParams {
  const mark = url.indexOf('?');
  const text = mark === -1 ? '' : url.slice(mark + 1);
  const params = new URLSearchParams(text);
  // A replacement character is what is made of bytes that are no text, or was sent as such.
  if (![...params].some((pair) => pair.join('').includes('\uFFFD'))) return params;
  for (const part of text.split('&')) {
    if (isUtf8(percentDecoded(part))) continue;
    const [name = ''] = new URLSearchParams(part).keys();
    throw invalidField(name.replaceAll('\uFFFD', '?'), 'is not UTF-8 text, percent-encoded');
  }
  return params;
}

function percentDecoded(text: string): Buffer {
  const bytes = text.replaceAll(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
  return Buffer.from(bytes, 'latin1');
}

/**
 * The query as a strict schema reads it.
 * @param schema of an object whose input fields are strings; of a list `name[]` a list of strings, each as it was given
 * @param options parameters that may be repeated (their values are joined by commas), and those to be read elsewhere
 * @throws invalid-input naming the parameter
 */
export function queryOf<S extends z.ZodType>(
  req: Pick<Request, 'originalUrl'>,
  schema: S,
  { lists = [], skip = () => false }: { lists?: readonly string[]; skip?: (name: string) => boolean } = {},
): z.output<S> {
  const given: Record<string, string | string[]> = {};
  const define = (name: string, value: string | string[]): void =>
    void Object.defineProperty(given, name, { value, enumerable: true, configurable: true });
  for (const [name, value] of searchParamsOf(req.originalUrl)) {
    if (skip(name)) continue;
    refuseNul(name, value);
    if (name.endsWith('[]') && lists.includes(name.slice(0, -2))) {
      const before = Object.hasOwn(given, name) ? given[name] : undefined;
      define(name, [...(before ?? []), value]);
    } else if (Object.hasOwn(given, name)) {
      if (!lists.includes(name)) throw invalidField(name, 'is given more than once');
      define(name, `${String(given[name])},${value}`);
    } else {
      define(name, value);
    }
  }
  return parseWith(schema, given, 'query');
}

/** Postgres has no NUL in its texts. @throws invalid-input naming the parameter */
export function refuseNul(parameter: string, value: string): void {
  if (parameter.includes('\0') || value.includes('\0')) throw invalidField(parameter, 'has a NUL character');
}
