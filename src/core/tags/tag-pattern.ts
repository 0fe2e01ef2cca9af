/**
 * Regular expressions of searches: the part of the language that JavaScript and Postgres read alike, without what makes matching
 * expensive. Postgres matches with automata, whose size is what counted repetition multiplies.
 */

const MAX_PATTERN_CHARS = 200;
/** Product of all counts `{m,n}`, as if each were nested in the others. */
const MAX_REPETITIONS = 1000;

/** @returns why a pattern is refused; undefined for one that is taken */
export function patternFault(pattern: string): string | undefined {
  if (pattern === '') return 'must not be empty';
  if (pattern.length > MAX_PATTERN_CHARS) return `must have at most ${MAX_PATTERN_CHARS} characters`;
  try {
    // oxlint-disable-next-line no-new -- only to see whether it is one
    new RegExp(pattern, 'u');
  } catch (error) {
    return `is no regular expression: ${(error as Error).message.split(': ').at(-1)}`;
  }
  // Behind a backslash only what means the same in both languages.
  const bare = pattern.replaceAll(/\\[dDwWsS.*+?()[\]{}|^$\\/-]/g, '');
  if (bare.includes('\\')) return 'may have no escape but \\d \\w \\s, their opposites and those of punctuation';
  const outside = bare.replaceAll(/\[[^\]]*\]/g, '');
  if (/\[[.:=]|&&|\[[^\]]*\[/.test(bare)) return 'may have no class within a class';
  if (/\(\?(?!:)/.test(outside)) return 'may have no groups but ( ) and (?: )';
  if (/[*+?}][*+?{]/.test(outside.replaceAll('(?:', '('))) return 'may have no lazy repetition';
  const counts = [...outside.matchAll(/\{(\d+)(?:,(\d*))?\}/g)].map(([, from, to]) => Number(to || from));
  const repetitions = counts.reduce((product, count) => product * Math.max(count, 1), 1);
  if (repetitions > MAX_REPETITIONS) return `may repeat at most ${MAX_REPETITIONS} times, all counts multiplied`;
  return undefined;
}

/** What every match begins with: `^m-1` of `^m-1[0-9]*`; empty if that is not known. */
export function patternPrefix(pattern: string): string {
  if (!pattern.startsWith('^') || pattern.includes('|')) return '';
  const literal = /^\^((?:[^\\.*+?()[\]{}|^$]|\\[.*+?()[\]{}|^$\\/-])*)/u.exec(pattern);
  if (!literal) return '';
  const rest = pattern.slice(literal[0].length);
  // A repetition that may be none takes its character back.
  const kept = /^[*?{]/.test(rest) ? literal[1].replace(/(?:\\.|.)$/u, '') : literal[1];
  return kept.replaceAll(/\\(.)/g, '$1');
}
