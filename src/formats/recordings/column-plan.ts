/** What each column of a table becomes: a channel and of which dtype, a name of series, a note, or nothing. */
import { invalidField } from '../../core/errors.ts';
import type { Dtype } from '../../core/numbers/dtype.ts';
import { commonDtype } from '../../core/numbers/dtype.ts';
import type { Channel, Tags } from '../../core/signal/series.ts';
import { columnNamed, namesOf, type NamedColumn } from './table-time.ts';
import { shownField, wrongCell } from './table-place.ts';
import type { TablePart } from './planned-table.ts';
import { wellOf, looksLikePlate, temperatureOf } from './wells.ts';

/** A table that is this wide, and wider than long, lies the wrong way round more often than not. */
export const MAX_WIDE_COLUMNS = 64;
const NOTE_NAME = /note|comment|remark|message|event|bemerkung|kommentar|annotation|marker|description|status|warning/i;
const UINT8_MISSING = 255;
const INT64_MISSING = -(2n ** 63n);
const UINT64_MISSING = 2n ** 64n - 1n;

export interface ColumnOptions {
  readonly valueColumns?: readonly string[];
  readonly by?: readonly string[];
  /** By name or label of a column: what a person knows better. */
  readonly columns?: Readonly<Record<string, ToldColumn>>;
  readonly dtype?: Dtype;
  readonly orient?: 'rows' | 'channels';
  /** What the plate of wells is called. */
  readonly plateName: string;
}

/** What a mapping says of one column. */
export interface ToldColumn {
  readonly label?: string;
  readonly unit?: string;
  readonly role?: 'value' | 'by' | 'note' | 'ignore';
}

export interface ColumnPlan {
  readonly values: readonly { readonly column: number; readonly isTruth: boolean }[];
  readonly by: readonly number[];
  readonly notes: readonly number[];
  readonly parts: readonly TablePart[];
  readonly told: readonly string[];
}

/**
 * Decides for all columns but those of the time.
 * @param rows of the whole table
 * @throws `invalid-input` naming the option
 */
export function planColumns(
  columns: readonly NamedColumn[],
  time: readonly number[],
  options: ColumnOptions,
  rows: number,
): ColumnPlan {
  const told: string[] = [];
  const roles = new Map<number, ToldColumn>();
  for (const [name, about] of Object.entries(options.columns ?? {})) {
    roles.set(columnNamed(columns, name, 'columns'), about);
  }
  const role = (column: number): ToldColumn['role'] => roles.get(column)?.role;
  const free = columns
    .map((_, column) => column)
    .filter((column) => !time.includes(column) && role(column) !== 'ignore');
  const moments = free.filter(
    (c) => columns[c].profile.moments > 0 && columns[c].profile.moments >= columns[c].profile.numbers,
  );
  const candidates = free.filter((column) => !moments.includes(column) || role(column) !== undefined);
  const by =
    options.by?.map((name) => columnNamed(columns, name, 'by')) ??
    candidates.filter((column) => role(column) === 'by' || (role(column) === undefined && isName(columns[column])));
  const isValue = (column: number): boolean =>
    role(column) === 'value' ||
    (role(column) === undefined && (columns[column].profile.isNumeric || columns[column].profile.isTruth));
  const chosen =
    options.valueColumns?.map((name) => columnNamed(columns, name, 'valueColumns')) ??
    candidates.filter((column) => isValue(column) && !by.includes(column));
  if (chosen.length === 0)
    throw invalidField(
      'body',
      `none of the columns ${namesOf(columns)} holds numbers; --value-column names one that does`,
    );
  for (const column of options.valueColumns ? chosen : []) {
    const { name, profile } = columns[column];
    if (profile.firstWord) throw wrongCell(profile.firstWord, name, 'is no number');
  }
  const notes = free.filter(
    (column) =>
      !by.includes(column) &&
      !chosen.includes(column) &&
      (role(column) === 'note' ||
        (role(column) === undefined && isRemark(columns[column]) && !moments.includes(column))),
  );
  if (!options.by && by.length > 0) told.push(`rows were split into series by ${namesOf(by.map((c) => columns[c]))}`);
  const left = columns.flatMap((column, i) =>
    time.includes(i) || by.includes(i) || chosen.includes(i) || notes.includes(i) ? [] : [column],
  );
  if (left.length > 0) told.push(`columns left out: ${namesOf(left)}`);
  for (const column of chosen) tellOdd(columns[column], told);
  const plate = looksLikePlate(chosen.map((column) => columns[column].label));
  if (chosen.length > MAX_WIDE_COLUMNS && chosen.length > rows && !plate && options.orient === undefined) {
    throw invalidField(
      'orient',
      `the table has ${chosen.length} channels and ${rows} rows: --orient rows if each row is a time, --orient channels if each row is a channel`,
    );
  }
  const values = chosen.map((column) => ({
    column,
    isTruth: columns[column].profile.isTruth && options.dtype === undefined,
  }));
  const parts = partsOf(columns, chosen, {
    roles,
    told,
    dtype: options.dtype,
    plateName: plate ? options.plateName : null,
  });
  return { values, by, notes, parts, told };
}

/** Texts that come again and again, in every row, and are no remarks. */
function isName({ name, profile }: NamedColumn): boolean {
  if (profile.isNumeric || profile.isTruth || profile.moments > 0 || profile.words === 0) return false;
  if (profile.empty > 0 || NOTE_NAME.test(name)) return false;
  return profile.distinct.size <= profile.cells / 2;
}

/** Texts that are neither numbers nor names. */
function isRemark(column: NamedColumn): boolean {
  return column.profile.words > 0 && !column.profile.isNumeric && !isName(column);
}

function tellOdd({ name, profile }: NamedColumn, told: string[]): void {
  if (profile.truths > 0 && !profile.isTruth) return;
  const count = profile.noNumbers + profile.words;
  if (count === 0) return;
  const lines = profile.odd.slice(0, 5).map(({ line, text }) => `${shownField(text)} in line ${line}`);
  told.push(
    `${count} fields of ${name} are no numbers and are missing: ${lines.join(', ')}${count > lines.length ? ' …' : ''}`,
  );
}

interface PartContext {
  readonly roles: ReadonlyMap<number, ToldColumn>;
  readonly told: string[];
  readonly dtype: Dtype | undefined;
  /** Null: the columns are no wells. */
  readonly plateName: string | null;
}

function partsOf(columns: readonly NamedColumn[], chosen: readonly number[], context: PartContext): TablePart[] {
  const { told, dtype, plateName } = context;
  const numeric = chosen.filter((column) => dtype !== undefined || !columns[column].profile.isTruth);
  const main = dtype ?? mainDtype(numeric.map((column) => columns[column]));
  const byDtype = new Map<Dtype, number[]>();
  const dtypeOf = (column: number): Dtype => {
    if (!numeric.includes(column)) return 'uint8';
    return dtype ?? columnDtype(columns[column], main, told);
  };
  const dtypes = new Map(chosen.map((column) => [column, dtypeOf(column)]));
  if (plateName !== null) return platePartsOf(columns, chosen, { ...context, plateName, dtypes });
  for (const [column, type] of dtypes) byDtype.set(type, [...(byDtype.get(type) ?? []), column]);
  const order = [...byDtype].sort(([a], [b]) => Number(b === main) - Number(a === main));
  const parts = order.map(([type, members], i) => ({
    suffix: i === 0 ? null : members.length === 1 ? columns[members[0]].label : type,
    dtype: type,
    channels: members.map((column) => channelOf(columns[column], context.roles.get(column))),
    places: members.map((column) => chosen.indexOf(column)),
    missing: members.some((column) => columns[column].profile.hasHoles) ? missingOf(type) : null,
    tags: {} as Tags,
  }));
  for (const { suffix, dtype: type, channels } of parts) {
    if (suffix !== null)
      told.push(`${channels.map(({ label }) => label).join(', ')} made a series of ${type} beside that of ${main}`);
  }
  return parts;
}

/** A series a well, and one for what the whole plate shares. */
function platePartsOf(
  columns: readonly NamedColumn[],
  chosen: readonly number[],
  {
    roles,
    dtypes,
    told,
    plateName,
  }: PartContext & { readonly plateName: string; readonly dtypes: ReadonlyMap<number, Dtype> },
): TablePart[] {
  told.push('columns are wells of a plate: each made a series, with tags for plate, well, row and column');
  return chosen.map((column, place) => {
    const type = dtypes.get(column) ?? 'float64';
    const { label, unit } = columns[column];
    const well = wellOf(label);
    const channel = channelOf(columns[column], roles.get(column));
    const temperature = temperatureOf(label);
    return {
      suffix: well ? well.name : label,
      dtype: type,
      channels: [
        well
          ? { ...channel, location: well.name }
          : temperature && unit === null
            ? { ...channel, unit: 'Cel' }
            : channel,
      ],
      places: [place],
      missing: columns[column].profile.hasHoles ? missingOf(type) : null,
      tags: { plate: plateName, ...(well && { well: well.name, row: well.row, column: well.column }) },
    };
  });
}

function missingOf(dtype: Dtype): number | bigint | null {
  return dtype === 'uint8'
    ? UINT8_MISSING
    : dtype === 'int64'
      ? INT64_MISSING
      : dtype === 'uint64'
        ? UINT64_MISSING
        : null;
}

/** float64 if one column has a fraction or lacks a value that an integer could not say; int64 if all are whole. */
function mainDtype(columns: readonly NamedColumn[]): Dtype {
  if (columns.length === 0) return 'uint8';
  if (columns.some(({ profile }) => !profile.isWhole)) return 'float64';
  if (columns.every(({ profile }) => profile.fitsInt64)) {
    // float64 says that a value is missing, and holds these numbers exactly.
    return columns.some(({ profile }) => profile.hasHoles) && columns.every(({ profile }) => profile.isSafe)
      ? 'float64'
      : 'int64';
  }
  return columns.every(({ profile }) => profile.fitsUint64) ? 'uint64' : 'float64';
}

function columnDtype({ name, profile }: NamedColumn, main: Dtype, told: string[]): Dtype {
  if (!profile.isWhole || main !== 'float64') return main;
  if (profile.isSafe) return commonDtype([main, 'int32']) ?? main;
  if (profile.fitsInt64) return 'int64';
  if (profile.fitsUint64) {
    told.push(`${name} has whole numbers beyond int64, and is uint64`);
    return 'uint64';
  }
  told.push(
    `${name} has whole numbers beyond int64, of up to ${profile.mostDigits} digits: they became the nearest float64`,
  );
  return 'float64';
}

function channelOf({ label, unit }: NamedColumn, about: ToldColumn | undefined): Channel {
  const said = about?.unit ?? unit;
  return { label: about?.label ?? label, ...(said !== null && said !== '' && { unit: said }) };
}
