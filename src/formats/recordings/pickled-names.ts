/** Lists of names as PyTables pickles them into attributes, with protocol 0. Nothing else of pickle is read, and nothing is run. */

type Pickled = string | number | null | Pickled[];

const MARK = Symbol('mark');
const MAX_CHARS = 1024 * 1024;

/** @returns undefined for what is no list of texts, numbers, or lists of them */
export function readPickledNames(text: string): string[] | undefined {
  const value = text.length <= MAX_CHARS ? readPickle(text) : undefined;
  return Array.isArray(value) ? value.map(nameText) : undefined;
}

/** A pickled text or number by itself. */
export function readPickledName(text: string): string | undefined {
  const value = text.length <= MAX_CHARS ? readPickle(text) : undefined;
  return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined;
}

function nameText(value: Pickled): string {
  return Array.isArray(value) ? value.map(nameText).join(', ') : String(value ?? '');
}

/** @see https://github.com/python/cpython/blob/3.11/Lib/pickletools.py */
function readPickle(text: string): Pickled | undefined {
  const stack: (Pickled | typeof MARK)[] = [];
  const memo = new Map<string, Pickled>();
  let at = 0;
  const line = (): string => {
    const end = text.indexOf('\n', at);
    if (end < 0) throw new RangeError('a line of the pickle does not end');
    const found = text.slice(at, end);
    at = end + 1;
    return found;
  };
  const sinceMark = (): Pickled[] => {
    const mark = stack.lastIndexOf(MARK);
    if (mark < 0) throw new RangeError('the pickle has no mark');
    return stack.splice(mark).slice(1) as Pickled[];
  };
  try {
    while (at < text.length) {
      const op = text[at++];
      if (op === '.') return stack.at(-1) === MARK ? undefined : (stack.at(-1) as Pickled | undefined);
      if (op === '(') stack.push(MARK);
      else if (op === 'l' || op === 't') stack.push(sinceMark());
      else if (op === 'V')
        stack.push(line().replace(/\\u([0-9a-f]{4})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16))));
      else if (op === 'S') stack.push(line().slice(1, -1));
      else if (op === 'I' || op === 'L' || op === 'F') stack.push(Number(line().replace(/L$/, '')));
      else if (op === 'N') stack.push(null);
      else if (op === 'p') memo.set(line(), stack.at(-1) as Pickled);
      else if (op === 'g') stack.push(memo.get(line()) ?? null);
      else if (op === 'a') {
        const item = stack.pop() as Pickled;
        (stack.at(-1) as Pickled[]).push(item);
      } else return undefined;
    }
  } catch {
    return undefined;
  }
  return undefined;
}
