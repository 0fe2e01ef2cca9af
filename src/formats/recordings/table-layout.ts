/** How a table of text is laid out: between which characters, under which header, and from which line on. */
import { invalidField } from '../../core/errors.ts';
import { splitMoment } from '../text/civil-time.ts';
import { isMissingText, isNoNumber, plainNumber, truthOf } from '../text/number-style.ts';
import { tableRows, WHITE_SPACE, type TableDialect, type TableRow } from '../text/table-rows.ts';
import { unitCode } from './header-units.ts';

const DELIMITERS = ['\t', ';', ',', '|'] as const;
const DELIMITER_NAMES: Readonly<Record<string, string>> = {
  '\t': 'tab',
  ';': 'semicolon',
  ',': 'comma',
  '|': 'bar',
  [WHITE_SPACE]: 'white space',
};
/** Words for characters that are hard to type. */
const DELIMITER_WORDS: Readonly<Record<string, string>> = {
  tab: '\t',
  '\\t': '\t',
  comma: ',',
  semicolon: ';',
  pipe: '|',
  space: WHITE_SPACE,
  spaces: WHITE_SPACE,
};
const COMMENT = '#';
/** Rows that tell which columns hold numbers and times. */
const TELLING_ROWS = 200;

export interface TableLayout {
  /** Names of the columns as they stand; null where there is no header. */
  readonly names: readonly string[] | null;
  readonly columns: number;
  readonly headerLine: number | null;
  /** Units from a line of their own, one a column; null: there is none. */
  readonly units: readonly (string | null)[] | null;
  /** Rows from this line on are data. */
  readonly firstLine: number;
  /** Rows before the header. */
  readonly preamble: readonly TableRow[];
}

/** A character that is given by name or as it is. @throws invalid-input on `delimiter` */
export function delimiterOf(text: string): string {
  const delimiter = DELIMITER_WORDS[text.toLowerCase()] ?? text;
  if (delimiter.length === 1 && !/["\r\n\d.]/.test(delimiter)) return delimiter;
  throw invalidField(
    'delimiter',
    `${JSON.stringify(text)} is not one character, nor tab, comma, semicolon, pipe or space`,
  );
}

export function delimiterName(delimiter: string): string {
  return DELIMITER_NAMES[delimiter] ?? JSON.stringify(delimiter);
}

/** What a line may begin with that names the delimiter, as Excel reads it. */
const SEP_LINE = /^sep=(.)\s*$/i;

/**
 * The delimiter under which most rows have the same number of fields, and fields that are numbers, times or empty.
 * @param head the beginning of the file
 */
export async function sniffDialect(
  head: Uint8Array,
  told: string | undefined,
): Promise<TableDialect & { why: string }> {
  if (told !== undefined) return { delimiter: told, comment: COMMENT, why: 'as it was given' };
  const firstLine = new TextDecoder()
    .decode(head.subarray(0, 20))
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)[0];
  const said = SEP_LINE.exec(firstLine);
  if (said) return { delimiter: said[1], comment: COMMENT, why: 'as the first line says' };
  let best = { delimiter: ',', score: 0 };
  for (const delimiter of [...DELIMITERS, WHITE_SPACE]) {
    const rows = (await headRows(head, { delimiter, comment: COMMENT })).filter((row) => row.comment === undefined);
    const score = scoreOf(rows);
    // White space is between words, too: it must do better than all others.
    if (score > best.score * (delimiter === WHITE_SPACE ? 1.5 : 1)) best = { delimiter, score };
  }
  return { delimiter: best.delimiter, comment: COMMENT, why: 'which splits the most lines alike' };
}

/** Rows of the beginning of a file, which may end within one. */
export async function headRows(head: Uint8Array, dialect: TableDialect): Promise<TableRow[]> {
  const rows: TableRow[] = [];
  async function* once(): AsyncGenerator<Uint8Array> {
    yield head;
  }
  for await (const part of tableRows(once(), dialect, Infinity)) rows.push(...part);
  return rows;
}

function scoreOf(rows: readonly TableRow[]): number {
  if (rows.length === 0) return 0;
  const width = usualWidth(rows);
  if (width < 2) return 0;
  const alike = rows.filter(({ fields }) => fields.length === width);
  let typed = 0;
  let cells = 0;
  for (const { fields } of alike.slice(-TELLING_ROWS)) {
    for (const field of fields) {
      cells++;
      if (isMissingText(field) || isTyped(field)) typed++;
    }
  }
  return (alike.length / rows.length) * (0.05 + typed / cells);
}

/** The number of fields that most rows have. */
function usualWidth(rows: readonly TableRow[]): number {
  const counts = new Map<number, number>();
  for (const { fields } of rows) counts.set(fields.length, (counts.get(fields.length) ?? 0) + 1);
  let [width, most] = [0, 0];
  for (const [fields, count] of counts) {
    // A preamble has few fields: of two numbers that are as frequent the larger one is the table's.
    if (fields > 1 && (count > most || (count === most && fields > width))) [width, most] = [fields, count];
  }
  return width;
}

/** A number in any style, a time, or a truth. */
function isTyped(text: string): boolean {
  return (
    plainNumber(text, { decimal: '.' }) !== undefined ||
    plainNumber(text, { decimal: ',' }) !== undefined ||
    truthOf(text) !== undefined ||
    splitMoment(text) !== undefined
  );
}

/** How the first line is to be taken: `none`, the number of the line that is the header, or names for the columns. */
export type HeaderOption = 'none' | number | readonly string[];

/** @param text `none`, a number, or names with commas */
export function headerOption(text: string): HeaderOption {
  if (/^none$/i.test(text.trim())) return 'none';
  if (/^\d+$/.test(text.trim())) return Number(text);
  return text.split(',').map((name) => name.trim());
}

/**
 * Finds the table among the rows at the beginning of a file. The header is the line above the longest run of rows whose
 * first telling column holds numbers or times.
 * @param delimiter null: the rows come from a workbook
 * @throws `invalid-input` on `header` or naming the line
 */
export function tableLayoutOf(
  all: readonly TableRow[],
  header: HeaderOption | undefined,
  delimiter: string | null,
): TableLayout {
  const rows = all.filter(
    (row) => row.comment === undefined && !(row.line === 1 && SEP_LINE.test(row.fields.join(''))),
  );
  const told = typeof header === 'number' ? rows.findIndex(({ line }) => line === header) : -1;
  if (typeof header === 'number' && told < 0)
    throw invalidField('header', `there is no line ${header} to be the header`);
  const width = told >= 0 ? rows[told].fields.length : usualWidth(rows);
  if (width < 2)
    throw invalidField('body', 'is no table: no delimiter splits its lines into columns; --delimiter names it');
  const telling = tellingColumns(
    rows.filter(({ fields }) => fields.length >= width),
    width,
  );
  if (telling.length === 0) {
    if (told >= 0 || rows.length === 1) throw invalidField('body', 'has no rows below a header line');
    throw invalidField('body', 'has no column of numbers or times');
  }
  const kindOf = (row: TableRow): RowKind => rowKind(row, width, telling);
  let first = told + 1;
  if (told < 0) first = longestRun(rows, kindOf);
  if (first < 0) throw invalidField('body', 'has no rows below a header line');
  const toa5 = rows[0]?.fields[0] === 'TOA5' && rows.length > 4 ? 1 : -1;
  const at = (index: number): TableRow | undefined => rows[index];
  let headerAt = told >= 0 ? told : -1;
  let unitsAt = -1;
  if (toa5 > 0 && told < 0) {
    [headerAt, unitsAt, first] = [1, 2, 4];
  } else if (told >= 0) {
    const next = at(first);
    if (next && isUnitsRow(next, kindOf(next))) unitsAt = first++;
  } else {
    const above = at(first - 1);
    const higher = at(first - 2);
    if (above && isUnitsRow(above, kindOf(above)) && higher && isHeaderRow(higher, kindOf(higher), width)) {
      [headerAt, unitsAt] = [first - 2, first - 1];
    } else if (above && isHeaderRow(above, kindOf(above), width)) {
      // Names may be numbers, but not below a line of names: then it is a row whose time cannot be read.
      const isNamed = higher && isHeaderRow(higher, kindOf(higher), width) && !higher.fields.some(isTyped);
      if (isNamed && above.fields.some(isTyped)) {
        const text = JSON.stringify(above.fields[telling[0]]);
        throw invalidField(`line ${above.line}`, `has ${text}, which is no time and no number`);
      }
      headerAt = first - 1;
    } else if (above && above.fields.length > 1 && !above.fields.some(isTyped) && above.fields.length !== width) {
      throw invalidField(
        `line ${above.line}`,
        `has ${above.fields.length} names, the rows below have ${width} fields; --header gives the names`,
      );
    }
  }
  const preambleEnd = headerAt >= 0 ? headerAt : unitsAt >= 0 ? unitsAt : first;
  if (told < 0 && toa5 < 0) refuseLostRows(rows, preambleEnd, { kindOf, telling, width });
  const units = unitsAt < 0 ? null : rows[unitsAt].fields.map((text) => unitsCell(text));
  let names = headerAt < 0 || header === 'none' ? null : rows[headerAt].fields.map((name) => name.trim());
  if (names === null && header === undefined)
    names = commentedHeader(all, { firstLine: rows[first]?.line ?? 0, width, delimiter });
  if (Array.isArray(header)) {
    if (header.length !== width) throw invalidField('header', `names ${header.length} columns, the table has ${width}`);
    names = [...header];
  }
  return {
    names,
    columns: width,
    headerLine: headerAt < 0 ? null : rows[headerAt].line,
    units,
    firstLine: rows[first]?.line ?? Infinity,
    preamble: rows.slice(0, preambleEnd),
  };
}

/**
 * What stands above a table is no row of it. Lines of a preamble may have as many fields, but few of them hold anything.
 * @throws `invalid-input` naming the line behind which the table would begin anew
 */
function refuseLostRows(
  rows: readonly TableRow[],
  end: number,
  { kindOf, telling, width }: { kindOf: (row: TableRow) => RowKind; telling: readonly number[]; width: number },
): void {
  const lost = rows.slice(0, end).findIndex((row, i) => {
    if (kindOf(row) !== 'data') return false;
    const typed = telling.filter((column) => isTyped(row.fields[column])).length;
    const above = rows[i - 1];
    const names = above?.fields.filter((text) => text.trim() !== '').length ?? 0;
    const isNamed = names === width && isHeaderRow(above, kindOf(above), width) && !above.fields.some(isTyped);
    return isNamed || typed * 2 > telling.length;
  });
  if (lost < 0) return;
  const odd = rows.slice(lost).find((row) => kindOf(row) !== 'data' && kindOf(row) !== 'nothing') ?? rows[end];
  const columns = rows[lost].fields.length;
  const reason =
    odd.fields.length === columns
      ? 'is no row of the table that begins above it'
      : `has ${odd.fields.length} fields, the rows above it have ${columns}`;
  throw invalidField(`line ${odd.line}`, `${reason}; --header LINE begins the table below it`);
}

type RowKind = 'data' | 'words' | 'nothing' | 'other';

/** The columns of numbers and times; the first of them, or the first of times, tells rows from headers. */
function tellingColumns(rows: readonly TableRow[], width: number): number[] {
  const last = rows.slice(-Math.min(TELLING_ROWS, Math.ceil(rows.length / 2)));
  const telling: number[] = [];
  let moment = -1;
  for (let column = 0; column < width; column++) {
    let [typed, words, moments] = [0, 0, 0];
    for (const { fields } of last) {
      const text = fields[column] ?? '';
      if (isMissingText(text) || isNoNumber(text)) continue;
      if (!isTyped(text)) words++;
      else typed++;
      if (splitMoment(text)) moments++;
    }
    if (typed === 0 || typed < words) continue;
    if (moment < 0 && moments >= words + (typed - moments)) {
      moment = column;
      telling.unshift(column);
    } else telling.push(column);
  }
  return telling;
}

function rowKind({ fields }: TableRow, width: number, telling: readonly number[]): RowKind {
  if (fields.length < width || (fields.length > width && fields.slice(width).some((text) => text.trim() !== ''))) {
    return 'other';
  }
  const key = fields[telling[0]];
  if (!isMissingText(key)) return isTyped(key) || isNoNumber(key) ? 'data' : 'words';
  const rest = telling
    .slice(1)
    .map((column) => fields[column])
    .filter((text) => !isMissingText(text));
  if (rest.length === 0) return 'nothing';
  return rest.some(isTyped) ? 'data' : 'words';
}

/** Where the longest run of rows begins; a header that is there again does not end it. */
function longestRun(rows: readonly TableRow[], kindOf: (row: TableRow) => RowKind): number {
  let best = { from: -1, count: 0 };
  let from = -1;
  let count = 0;
  rows.forEach((row, i) => {
    const kind = kindOf(row);
    if (kind === 'data' || (from >= 0 && kind === 'nothing')) {
      if (from < 0) [from, count] = [i, 0];
      count++;
    } else if (from < 1 || row.fields.join('\n') !== rows[from - 1].fields.join('\n')) {
      from = -1;
    }
    // Of two runs of the same length the lower one is the table: what stands above is a preamble.
    if (from >= 0 && count >= best.count) best = { from, count };
  });
  return best.from;
}

function isHeaderRow({ fields }: TableRow, kind: RowKind, width: number): boolean {
  return (
    fields.length >= width && (kind === 'words' || (kind === 'nothing' && fields.some((text) => text.trim() !== '')))
  );
}

const TIME_UNIT = /^[[(]?(?:utc|gmt|[hdmsy:./\-_ ]+(?:\.?[0sf]*)|iso ?8601|date|time|datetime|local|ts)[\])]?$/i;

/** A row of units has nothing else, and at least one that is known. */
function isUnitsRow({ fields }: TableRow, kind: RowKind): boolean {
  if (kind === 'data' || kind === 'other') return false;
  const said = fields.map((text) => text.trim()).filter((text) => text !== '');
  const known = said.filter((text) => unitCode(unbracketed(text)) !== undefined);
  return (
    known.length > 0 &&
    said.every(
      (text) =>
        known.includes(text) ||
        TIME_UNIT.test(text) ||
        /^[[(].{1,20}[\])]$/.test(text) ||
        /^[-–]+$/.test(text) ||
        text === 'RN',
    )
  );
}

function unbracketed(text: string): string {
  return text.trim().replace(/^[[(]\s*(.*?)\s*[\])]$/, '$1');
}

function unitsCell(text: string): string | null {
  const unit = unbracketed(text);
  return unit === '' || /^[-–]+$/.test(unit) ? null : (unitCode(unit) ?? unit);
}

/** The last comment right above the data, if it names as many columns: `# time,temp`. */
function commentedHeader(
  all: readonly TableRow[],
  { firstLine, width, delimiter }: { firstLine: number; width: number; delimiter: string | null },
): string[] | null {
  const comment = all.findLast((row) => row.comment !== undefined && row.line < firstLine)?.comment;
  if (comment === undefined || delimiter === null) return null;
  const text = comment.replace(/^#+\s*/, '');
  const names = text.split(delimiter === WHITE_SPACE ? /\s+/ : delimiter).map((name) => name.trim());
  return names.length === width && names.every((name) => name !== '' && !isTyped(name)) ? names : null;
}
