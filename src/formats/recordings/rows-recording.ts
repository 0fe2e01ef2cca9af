/** Rows of text as a recording, wherever they come from: a CSV file or a sheet of a workbook. */
import { invalidField } from '../../core/errors.ts';
import { DTYPES, isBigDtype, type Dtype } from '../../core/numbers/dtype.ts';
import type { Recording } from '../../core/signal/recording.ts';
import { splitMoment } from '../text/civil-time.ts';
import { isMissingText, isNoNumber, plainNumber, styleOf, truthOf, type NumberStyle } from '../text/number-style.ts';
import type { TableRow } from '../text/table-rows.ts';
import { channelLabelOf } from './channel-labels.ts';
import { ColumnProfile } from './column-profile.ts';
import { headerName } from './header-units.ts';
import { recordingOfTable, type PlannedRow, type DecidedTable, type TablePart } from './planned-table.ts';
import { plateNameOf, readPlates } from './plate-tables.ts';
import { planColumns, type ColumnOptions, type ColumnPlan } from './column-plan.ts';
import { headerOption, tableLayoutOf, type TableLayout } from './table-layout.ts';
import { wrongCell, type FieldPlace } from './table-place.ts';
import {
  LocalTimes,
  planTime,
  wrongTime,
  type NamedColumn,
  type TimeOptions,
  type TablePlanTime,
} from './table-time.ts';

/** What a person may say of a table; all else is found. */
export interface RowsOptions extends Omit<ColumnOptions, 'plateName'>, TimeOptions {
  /** Name of the recording; series follow it after a slash. */
  readonly name: string;
  /** `.` or `,`. */
  readonly decimal?: string;
  /** `none`, the number of the line, or names with commas. */
  readonly header?: string;
}

/** A table as rows of texts. */
export interface TableText {
  readonly format: string;
  /** Rows from its beginning. */
  readonly sample: readonly TableRow[];
  /** Null: the rows come from a workbook. */
  readonly delimiter: string | null;
  /** All rows from the beginning. @param strictFrom before this line quotes may stand anywhere */
  rows(strictFrom: number): AsyncIterable<readonly TableRow[]>;
  readonly facts: Readonly<Record<string, unknown>>;
  readonly notes: readonly string[];
}

/** What an instrument says before its table is kept up to this. */
const MAX_KEPT_LINES = 200;
const MAX_KEPT_CHARS = 200;
const MAX_KEPT_COLUMNS = 256;
/** A table that is turned is held in memory. */
const MAX_TURNED_CELLS = 4_000_000;

/**
 * Makes irregular series: channels of one dtype share one. Columns of whole numbers are int64, others float64, truths
 * uint8. Columns of texts that come again and again split the rows into series and become tags; other texts become
 * annotations. Plates make a series a well.
 * @throws `invalid-input` naming the option, or line and column where something is ambiguous or wrong
 */
export async function readRowsRecording(text: TableText, options: RowsOptions): Promise<Recording> {
  const plates =
    options.header === undefined && options.timeColumn === undefined ? await readPlates(text, options) : null;
  if (plates) return plates;
  if (options.orient === 'channels') return readRowsRecording(await turned(text), { ...options, orient: 'rows' });
  const layout = tableLayoutOf(
    text.sample,
    options.header === undefined ? undefined : headerOption(options.header),
    text.delimiter,
  );
  const style = await styleOfTable(text, layout, options.decimal);
  const names = namesOfLayout(layout);
  const profiles = names.map(() => new ColumnProfile(style));
  let rows = 0;
  const comments: string[] = [];
  const scan = new DataRows(text, layout);
  for await (const part of scan.rows((comment) => comments.push(comment))) {
    for (const { line, fields } of part) {
      rows++;
      for (let column = 0; column < profiles.length; column++) profiles[column].add(fields[column], line);
    }
  }
  if (rows === 0) throw invalidField('body', 'has no rows below a header line');
  const columns = columnsOf(names, layout, profiles);
  const time = planTime(columns, options, style);
  const renamed = layout.names ? columns : numbered(columns, time.columns);
  const plan = planColumns(
    renamed,
    time.columns,
    { ...options, plateName: plateNameOf(layout.preamble) ?? options.name },
    rows,
  );
  refuseOtherStyle(renamed, plan, style);
  const notes = [...text.notes];
  if (!layout.names && options.header === undefined)
    notes.push('the first line holds data: channels are called by their numbers, --header gives names');
  if (layout.units) notes.push(`line ${(layout.headerLine ?? 0) + 1} was read as units`);
  if (layout.preamble.length > 0)
    notes.push(`${layout.preamble.length} lines before the table were kept in the provenance`);
  if (comments.length > 0) notes.push(`${comments.length} comment lines were kept in the provenance`);
  if (style.decimal === ',' && options.decimal === undefined) notes.push('commas in numbers are decimal commas');
  if (scan.repeatedHeaders > 0) notes.push(`${scan.repeatedHeaders} lines repeat the header and were left out`);
  const provenance = {
    ...(names.length <= MAX_KEPT_COLUMNS && { columns: names }),
    ...time.facts,
    ...text.facts,
    decimal: style.decimal,
    ...kept(
      'preamble',
      layout.preamble.map(({ fields }) => fields.join(text.delimiter ?? '\t').replace(/[,;\t|]+$/, '')),
    ),
    ...kept('comments', comments),
    ...noNumbers(renamed, plan),
  };
  return recordingOfTable(
    planned({
      text,
      layout,
      options,
      style,
      columns: renamed,
      time,
      plan,
      notes: [...notes, ...time.notes, ...plan.told],
      provenance,
    }),
  );
}

function namesOfLayout({ names, columns }: TableLayout): string[] {
  return Array.from({ length: columns }, (_, i) => names?.[i] ?? '');
}

function columnsOf(
  names: readonly string[],
  { units }: TableLayout,
  profiles: readonly ColumnProfile[],
): NamedColumn[] {
  const found = names.map((name) => headerName(name));
  // Where two columns differ by what stands in brackets alone, that is a part of their names.
  const labels = found.map(({ label }) => label);
  return names.map((name, i) => {
    const alone = labels.indexOf(labels[i]) === labels.lastIndexOf(labels[i]);
    const label = channelLabelOf(alone ? labels[i] : name, `column ${i + 1}`);
    return {
      name: name === '' ? `column ${i + 1}` : name,
      label,
      unit: units?.[i] ?? found[i].unit,
      profile: profiles[i],
    };
  });
}

/** Columns of a table without a header: those beside the time have numbers from 1. */
function numbered(columns: readonly NamedColumn[], time: readonly number[]): NamedColumn[] {
  let next = 1;
  return columns.map((column, i) => {
    const name = time.includes(i) ? 'time' : String(next++);
    return { ...column, name, label: name };
  });
}

function kept(key: string, lines: readonly string[]): Record<string, string[]> {
  if (lines.length === 0) return {};
  return { [key]: lines.slice(0, MAX_KEPT_LINES).map((line) => line.slice(0, MAX_KEPT_CHARS)) };
}

/** The texts that stand where a number should be, with their lines. */
function noNumbers(columns: readonly NamedColumn[], { values }: ColumnPlan): Record<string, unknown> {
  const odd = values.slice(0, MAX_KEPT_COLUMNS).flatMap(({ column }) => {
    const { name, profile } = columns[column];
    if (profile.odd.length === 0 || profile.isTruth) return [];
    return [[name, profile.odd.map(({ line, text }) => ({ line, text: text.slice(0, MAX_KEPT_CHARS) }))]];
  });
  return odd.length === 0 ? {} : { no_numbers: Object.fromEntries(odd) as Record<string, unknown> };
}

/** A number with a comma in a column of numbers with points would be bent, whichever was meant. */
function refuseOtherStyle(columns: readonly NamedColumn[], { values }: ColumnPlan, { decimal }: NumberStyle): void {
  for (const { column } of values) {
    const { name, profile } = columns[column];
    if (profile.otherNumber) {
      const other = decimal === '.' ? ',' : '.';
      throw wrongCell(
        profile.otherNumber,
        name,
        `is no number with a decimal ${decimal === '.' ? 'point' : 'comma'} as others are: --decimal ${other} says otherwise`,
      );
    }
  }
}

/** The rows of the data alone. */
class DataRows {
  repeatedHeaders = 0;
  readonly #text: TableText;
  readonly #layout: TableLayout;

  constructor(text: TableText, layout: TableLayout) {
    this.#text = text;
    this.#layout = layout;
  }

  #isHeader(fields: readonly string[]): boolean {
    const { names } = this.#layout;
    return names !== null && fields[0].trim() === names[0] && fields.every((field, i) => field.trim() === names[i]);
  }

  /** @throws `invalid-input` naming the line of a row that has too many fields or too few */
  async *rows(onComment: (text: string) => void = () => {}): AsyncGenerator<TableRow[]> {
    const { firstLine, columns, headerLine } = this.#layout;
    this.repeatedHeaders = 0;
    for await (const part of this.#text.rows(headerLine ?? firstLine)) {
      const rows: TableRow[] = [];
      for (const row of part) {
        if (row.comment !== undefined) {
          onComment(row.comment);
          continue;
        }
        if (row.line < firstLine) continue;
        const { fields, line } = row;
        if (fields.length !== columns) {
          if (fields.length > columns && fields.slice(columns).every((field) => field.trim() === '')) {
            rows.push({ line, fields: fields.slice(0, columns) });
            continue;
          }
          throw invalidField(`line ${line}`, `has ${fields.length} fields, the header ${columns}`);
        }
        if (fields[0] === '' && fields.every((field) => field.trim() === '')) continue;
        if (this.#isHeader(fields)) {
          this.repeatedHeaders++;
          continue;
        }
        rows.push(row);
      }
      yield rows;
    }
  }
}

/**
 * Whether commas in numbers are decimal. One number that can be read in one way alone decides for the whole file.
 * @throws `invalid-input` on `decimal`, naming line and field, where none does
 */
async function styleOfTable(text: TableText, layout: TableLayout, told: string | undefined): Promise<NumberStyle> {
  if (told !== undefined) {
    if (told !== '.' && told !== ',') throw invalidField('decimal', `${JSON.stringify(told)} is neither . nor ,`);
    return { decimal: told };
  }
  let open: FieldPlace | null = null;
  for await (const rows of new DataRows(text, layout).rows()) {
    for (const { line, fields } of rows) {
      for (const field of fields) {
        if (!field.includes(',')) continue;
        const style = styleOf(field);
        if (style === '.' || style === ',') return { decimal: style };
        if (style === 'either') open ??= { line, text: field };
      }
    }
  }
  // Between commas only digits in groups need quotes: who writes decimal commas takes another delimiter.
  if (open && text.delimiter !== ',') {
    throw invalidField(
      `line ${open.line}`,
      `${JSON.stringify(open.text)} may have a decimal comma or a thousands comma, and no other number decides it: --decimal , or --decimal .`,
    );
  }
  return { decimal: '.' };
}

interface RowsPlan {
  readonly text: TableText;
  readonly layout: TableLayout;
  readonly options: RowsOptions;
  readonly style: NumberStyle;
  readonly columns: readonly NamedColumn[];
  readonly time: TablePlanTime;
  readonly plan: ColumnPlan;
  readonly notes: readonly string[];
  readonly provenance: Readonly<Record<string, unknown>>;
}

function planned({ text, layout, options, style, columns, time, plan, notes, provenance }: RowsPlan): DecidedTable {
  const partOf = plan.values.map((_, place) => plan.parts.find(({ places }) => places.includes(place))!);
  const readers = plan.values.map(({ column, isTruth }, place) =>
    valueReader(columns[column].name, partOf[place], { style, isTruth }),
  );
  const timeName = time.columns.map((column) => columns[column].name).join(' + ');
  let doubled = 0;
  async function* rows(only: readonly string[] | null): AsyncGenerator<PlannedRow[]> {
    const clocks = new Map<string, LocalTimes>();
    for await (const part of new DataRows(text, layout).rows()) {
      const out: PlannedRow[] = [];
      for (const { line, fields } of part) {
        const key = plan.by.map((column) => fields[column]);
        if (only && !key.every((field, i) => field === only[i])) continue;
        const id = key.length === 0 ? '' : key.join('\n');
        let clock = clocks.get(id);
        if (!clock) clocks.set(id, (clock = new LocalTimes(options.zone?.offsetAt ?? null)));
        const written = timeText(fields, time.columns);
        const civil = time.read(written);
        if (!civil) throw wrongTime({ line, text: written }, timeName, null);
        const timeNs = clock.instant(civil);
        if (timeNs === undefined) throw wrongTime({ line, text: written }, timeName, options.zone?.name ?? '');
        out.push({
          line,
          timeNs,
          key,
          values: plan.values.map(({ column }, place) => readers[place](fields[column], line)),
          notes: plan.notes.map((column) => fields[column]),
        });
      }
      yield out;
    }
    doubled = [...clocks.values()].reduce((sum, each) => sum + each.doubled, 0);
  }
  return {
    name: options.name,
    format: text.format,
    parts: plan.parts,
    by: plan.by.map((column) => columns[column].name),
    byWasTold: options.by !== undefined,
    noteColumns: plan.notes.map((column) => columns[column].name),
    relative: time.relative,
    timeZone: options.zone && !/^[+-]/.test(options.zone.name) && !time.relative ? options.zone.name : null,
    provenance,
    notes,
    rows,
    afterwards: () =>
      doubled === 0
        ? []
        : [
            `${doubled} times were shown twice by the clock of ${options.zone?.name}, as it was set back: each was taken by the order of the rows`,
          ],
  };
}

/** A date and a clock stand together; a spreadsheet may have added midnight to the date. */
function timeText(fields: readonly string[], columns: readonly number[]): string {
  if (columns.length === 1) return fields[columns[0]];
  const [date, clock] = columns.map((column) => fields[column]);
  const parts = splitMoment(date);
  return `${parts?.clockNs === 0n && parts.date !== null ? parts.date : date.trim()} ${clock.trim()}`;
}

/** A field as a value of its part's dtype. @throws what the dtype cannot hold, naming line and column */
function valueReader(
  name: string,
  { dtype, missing }: TablePart,
  { style, isTruth }: { readonly style: NumberStyle; readonly isTruth: boolean },
): (text: string, line: number) => number | bigint {
  const { kind } = DTYPES[dtype];
  const none = kind === 'float' ? NaN : missing;
  const number = numberReader(dtype, name);
  return (text, line) => {
    const plain = isTruth ? undefined : plainNumber(text, style);
    if (plain !== undefined) return number(plain, { line, text });
    const truth = truthOf(text);
    if (truth !== undefined) return isBigDtype(dtype) ? BigInt(truth) : truth;
    if (none !== null && (isMissingText(text) || isNoNumber(text) || !isTruth)) return none;
    throw wrongCell(
      { line, text },
      name,
      isTruth ? 'is neither true nor false' : `is no number, and ${dtype} has none that stands for a missing one`,
    );
  };
}

function numberReader(dtype: Dtype, name: string): (plain: string, place: FieldPlace) => number | bigint {
  const { kind, range } = DTYPES[dtype];
  if (kind === 'float') {
    const rounded = dtype === 'float32' ? Math.fround : (value: number): number => value;
    return (plain, place) => {
      if (plain.endsWith('inf')) return plain.startsWith('-') ? -Infinity : Infinity;
      const value = Number(plain);
      if (!Number.isFinite(rounded(value))) throw wrongCell(place, name, `is beyond ${dtype}`);
      return value;
    };
  }
  return (plain, place) => {
    if (!/^[+-]?\d+(?:\.0*)?$/.test(plain)) throw wrongCell(place, name, `is not a whole number, as ${dtype} needs it`);
    const value = BigInt(plain.replace(/^\+/, '').replace(/\.0*$/, ''));
    if (!range || value < range.min || value > range.max) throw wrongCell(place, name, `is outside ${dtype}`);
    return isBigDtype(dtype) ? value : Number(value);
  };
}

/** The same table with rows for columns. @throws `limit-exceeded` for one that is too large to hold */
async function turned(text: TableText): Promise<TableText> {
  const rows: (readonly string[])[] = [];
  let cells = 0;
  for await (const part of text.rows(0)) {
    for (const { fields, comment } of part) {
      if (comment !== undefined) continue;
      cells += fields.length;
      if (cells > MAX_TURNED_CELLS)
        throw invalidField('orient', `a table is turned up to ${MAX_TURNED_CELLS.toLocaleString('en')} fields`);
      rows.push(fields);
    }
  }
  const width = rows.reduce((most, { length }) => Math.max(most, length), 0);
  const turnedRows = Array.from({ length: width }, (_, column) => ({
    line: column + 1,
    fields: rows.map((fields) => fields[column] ?? ''),
  }));
  return {
    ...text,
    sample: turnedRows.slice(0, 2000),
    rows: async function* () {
      yield turnedRows;
    },
    notes: [...text.notes, 'the table was turned: its columns are the rows of the series, and lines are counted so'],
  };
}
