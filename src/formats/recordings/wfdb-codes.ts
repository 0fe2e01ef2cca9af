/** Codes of annotations in WFDB records, and what stands for them in text. */

/** Codes that are no marks, but for a note: its text is in `aux`. */
export const WFDB_CODES = { note: 22, skip: 59, num: 60, subtype: 61, channel: 62, aux: 63 } as const;

/** Mnemonics by code, from WFDB's ecgcodes.h. */
const MNEMONICS: Readonly<Record<number, string>> = Object.fromEntries(
  // prettier-ignore
  [
    [1, 'N'], [2, 'L'], [3, 'R'], [4, 'a'], [5, 'V'], [6, 'F'], [7, 'J'], [8, 'A'], [9, 'S'], [10, 'E'], [11, 'j'], [12, '/'],
    [13, 'Q'], [14, '~'], [16, '|'], [18, 's'], [19, 'T'], [20, '*'], [21, 'D'], [22, '"'], [23, '='], [24, 'p'], [25, 'B'],
    [26, '^'], [27, 't'], [28, '+'], [29, 'u'], [30, '?'], [31, '!'], [32, '['], [33, ']'], [34, 'e'], [35, 'n'], [36, '@'],
    [37, 'x'], [38, 'f'], [39, '('], [40, ')'], [41, 'r'],
  ],
);
const CODES = new Map(Object.entries(MNEMONICS).map(([code, label]) => [label, Number(code)]));
const UNNAMED = /^code (\d{1,2})$/;

/** The mnemonic; `code 42` where there is none. */
export function labelOfCode(code: number): string {
  return MNEMONICS[code] ?? `code ${code}`;
}

/** The code that {@link labelOfCode} gives the label for; undefined: none does. */
export function codeOfLabel(label: string): number | undefined {
  const code = CODES.get(label) ?? Number(UNNAMED.exec(label)?.[1] ?? NaN);
  return code >= 1 && code < WFDB_CODES.skip ? code : undefined;
}
