/** The part of JSONPath that names one place of a message: `$.sensor.values[0]`, `$['room temperature']`. @see https://www.rfc-editor.org/rfc/rfc9535 */
import { VarveError } from '../../core/errors.ts';

export type JsonPath = readonly (string | number)[];

const STEP = /\.([^.[\]'"\s]+)|\[(\d+)\]|\['((?:[^'\\]|\\.)*)'\]|\["((?:[^"\\]|\\.)*)"\]/y;

/** @param option is named where it is wrong. @throws invalid-input */
export function parseJsonPath(text: string, option: string): JsonPath {
  // The dollar may be left out: `a.b`.
  const path = text.startsWith('$') ? text.slice(1) : `.${text}`;
  const steps: (string | number)[] = [];
  for (let at = 0; at < path.length; at = STEP.lastIndex) {
    STEP.lastIndex = at;
    const found = STEP.exec(path);
    if (!found) {
      const message = `${option}: ${text} is no path such as $.sensor.values[0]`;
      throw new VarveError('invalid-input', message);
    }
    const [, name, index, single, double] = found;
    if (index !== undefined) steps.push(Number(index));
    else steps.push(name ?? (single ?? double ?? '').replaceAll(/\\(.)/g, '$1'));
  }
  return steps;
}

/** @returns undefined: there is nothing */
export function valueAt(value: unknown, path: JsonPath): unknown {
  let found = value;
  for (const step of path) {
    if (typeof found !== 'object' || found === null || Array.isArray(found) !== (typeof step === 'number'))
      return undefined;
    if (!Object.hasOwn(found, step)) return undefined;
    found = (found as Record<string | number, unknown>)[step];
  }
  return found;
}
