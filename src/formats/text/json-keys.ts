/** Keys that an object of a JSON text has twice: JSON.parse keeps the last and drops the others in silence. */

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]/gs;

interface Frame {
  /** Null: a list. */
  readonly keys: Set<string> | null;
  at: string | number;
  expectsKey: boolean;
}

/**
 * Where the first repeated key is, as a path from the outermost value; undefined if no key is repeated. About a text
 * that is no JSON it says nothing in particular.
 */
export function repeatedKey(text: string): PropertyKey[] | undefined {
  const frames: Frame[] = [];
  for (const [token] of text.matchAll(TOKEN)) {
    const top = frames.at(-1);
    if (token === '{') frames.push({ keys: new Set(), at: '', expectsKey: true });
    else if (token === '[') frames.push({ keys: null, at: 0, expectsKey: false });
    else if (token === '}' || token === ']') frames.pop();
    else if (token === ':' && top) top.expectsKey = false;
    else if (token === ',' && top) {
      if (top.keys) top.expectsKey = true;
      else top.at = Number(top.at) + 1;
    } else if (top?.keys && top.expectsKey) {
      const key = keyOf(token);
      if (key === undefined) return undefined;
      top.at = key;
      if (top.keys.has(key)) return frames.map(({ at }) => at);
      top.keys.add(key);
    }
  }
  return undefined;
}

function keyOf(token: string): string | undefined {
  if (!token.includes('\\')) return token.slice(1, -1);
  try {
    return JSON.parse(token) as string;
  } catch {
    return undefined;
  }
}
