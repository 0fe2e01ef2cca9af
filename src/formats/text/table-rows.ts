/**
 * Rows of a table that people and instruments wrote. Fields are as in RFC 4180, with any delimiter between them. There may
 * be lines of comments, and before the table whatever the instrument had to say.
 */
import { invalidField, VarveError } from '../../core/errors.ts';
import type { CsvRow } from './csv-rows.ts';
import { hasOddQuotes, splitQuoted } from './csv-rows.ts';
import { MAX_LINE_CHARS, textLines } from './text-lines.ts';

/** A field may hold line ends, but no table has one of so many lines. */
const MAX_FIELD_LINES = 200;
/** Between fields stands white space of any length. */
export const WHITE_SPACE = ' ';

export interface TableRow extends CsvRow {
  /** The whole line, of one that is a comment. */
  readonly comment?: string;
}

export interface TableDialect {
  /** A character, or {@link WHITE_SPACE}. */
  readonly delimiter: string;
  /** What a line begins with that is a comment; null: there are none. */
  readonly comment: string | null;
}

/**
 * Rows in order, those of each piece of the source together, without empty lines. Comments are rows without fields.
 * @param strictFrom lines before this are split as well as it goes, whatever quotes they have
 * @throws `invalid-input` naming the line for quotes that RFC 4180 does not allow; `limit-exceeded` for a record over 1 MiB
 */
export async function* tableRows(
  source: AsyncIterable<Uint8Array>,
  { delimiter, comment }: TableDialect,
  strictFrom = 0,
): AsyncGenerator<TableRow[]> {
  let line = 0;
  let open: { readonly line: number; readonly parts: string[]; chars: number; even: boolean } | null = null;
  const split = (text: string, at: number): string[] => {
    if (delimiter === WHITE_SPACE && !text.includes('"')) return text.trim().split(/\s+/);
    if (!text.includes('"')) return text.split(delimiter);
    if (at >= strictFrom) return splitQuoted(text, delimiter, at);
    return splitLeniently(text, delimiter, at);
  };
  for await (const lines of textLines(source)) {
    const rows: TableRow[] = [];
    for (const text of lines) {
      line++;
      if (!open) {
        if (text.trim() === '') continue;
        if (comment !== null && text.startsWith(comment)) {
          rows.push({ line, fields: [], comment: text });
          continue;
        }
        if (!hasOddQuotes(text)) {
          rows.push({ line, fields: split(text, line) });
          continue;
        }
      }
      open ??= { line, parts: [], chars: 0, even: true };
      open.parts.push(text);
      open.chars += text.length;
      if (hasOddQuotes(text)) open.even = !open.even;
      if (open.even) rows.push({ line: open.line, fields: split(open.parts.join('\n'), open.line) });
      else if (open.chars > MAX_LINE_CHARS) throw tooLong(open.line);
      else if (open.parts.length < MAX_FIELD_LINES) continue;
      else if (open.line >= strictFrom) throw neverClosed(open.line);
      else for (const [i, part] of open.parts.entries()) rows.push({ line: open.line + i, fields: split(part, 0) });
      open = null;
    }
    yield rows;
  }
  if (!open) return;
  if (open.line >= strictFrom) throw neverClosed(open.line);
  const { line: from, parts } = open;
  yield parts.map((part, i) => ({ line: from + i, fields: part.split(delimiter) }));
}

function tooLong(line: number): Error {
  return new VarveError('limit-exceeded', `the record at line ${line} is longer than ${MAX_LINE_CHARS} characters`);
}

function neverClosed(line: number): Error {
  return invalidField(`line ${line}`, 'has a quote that is never closed');
}

function splitLeniently(text: string, delimiter: string, line: number): string[] {
  try {
    return splitQuoted(text, delimiter, line);
  } catch {
    return delimiter === WHITE_SPACE ? text.trim().split(/\s+/) : text.split(delimiter);
  }
}
