/** The part of Python's literal syntax that NumPy writes into `.npy` headers, read strictly. */
import { invalidField } from '../../core/errors.ts';

/** A dict is a map; tuples and lists are arrays. */
export type PythonLiteral = string | number | boolean | PythonLiteral[] | Map<string, PythonLiteral>;

/** Containers may be nested this deep; NumPy needs four levels. */
const MAX_DEPTH = 8;

/**
 * Strings (without escapes), whole numbers up to 2^53 − 1, True, False, tuples, lists and dicts with string keys.
 * @throws `invalid-input` on `body` for anything else
 */
export function parsePythonLiteral(text: string): PythonLiteral {
  const tokens = tokensOf(text);
  let at = 0;

  function items(close: string, depth: number, item: () => void): void {
    if (depth > MAX_DEPTH) throw malformed('is nested too deep');
    while (tokens[at] !== close) {
      item();
      if (tokens[at] === ',') at++;
      else if (tokens[at] !== close) throw malformed(`has ${tokens[at] ?? 'its end'} where , or ${close} belongs`);
    }
    at++;
  }

  function value(depth: number): PythonLiteral {
    const token = tokens[at++];
    if (token === '(' || token === '[') {
      const list: PythonLiteral[] = [];
      items(token === '(' ? ')' : ']', depth, () => list.push(value(depth + 1)));
      return list;
    }
    if (token === '{') {
      const map = new Map<string, PythonLiteral>();
      items('}', depth, () => {
        const key = value(depth + 1);
        if (typeof key !== 'string' || map.has(key) || tokens[at++] !== ':') throw malformed('has a malformed dict');
        map.set(key, value(depth + 1));
      });
      return map;
    }
    if (token === 'True' || token === 'False') return token === 'True';
    if (token?.startsWith("'") || token?.startsWith('"')) return token.slice(1, -1);
    if (token !== undefined && /^\d+$/.test(token)) {
      const number = Number(token);
      if (!Number.isSafeInteger(number))
        throw malformed(`has a count in its shape that no array has: ${token.slice(0, 30)}`);
      return number;
    }
    throw malformed(`has ${token ?? 'its end'} where a value belongs`);
  }

  const result = value(0);
  if (at !== tokens.length) throw malformed('goes on after its dict');
  return result;
}

function tokensOf(text: string): string[] {
  const tokens: string[] = [];
  const token = /\s*(?:('[^'\\\n]*'|"[^"\\\n]*"|\d+|True\b|False\b|[(){}[\],:])|$)/y;
  while (token.lastIndex < text.length) {
    const from = token.lastIndex;
    const match = token.exec(text);
    if (!match) throw malformed(`has something unexpected at character ${from}`);
    if (match[1] === undefined) break;
    tokens.push(match[1]);
  }
  return tokens;
}

function malformed(what: string): Error {
  return invalidField('body', `.npy header ${what}`);
}
