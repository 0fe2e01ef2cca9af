/** Tables whose columns have types, such as Parquet and Arrow, as recordings: what a table of text has to be asked, these say. */
import { invalidField, unprocessableField } from '../../core/errors.ts';
import { commonDtype, DTYPES, isBigDtype, type Dtype } from '../../core/numbers/dtype.ts';
import type { Recording } from '../../core/signal/recording.ts';
import type { Channel } from '../../core/signal/series.ts';
import { INT64_MIN, isTime, UNIT_NS } from '../../core/time.ts';
import { decimalNs } from '../text/number-style.ts';
import type { CivilTime } from '../text/civil-time.ts';
import { distinctLabels, channelLabelOf } from './channel-labels.ts';
import { headerName } from './header-units.ts';
import { recordingOfTable, type PlannedRow, type DecidedTable, type TablePart } from './planned-table.ts';
import type { ColumnOptions } from './column-plan.ts';
import { LocalTimes, wrongTime, type TimeOptions } from './table-time.ts';

export type TypedKind =
  | { readonly kind: 'number'; readonly dtype: Dtype }
  | { readonly kind: 'bool' | 'text' | 'other' }
  /** Values are bigint ns; `zoned`: they are instants, and not what a clock showed. */
  | { readonly kind: 'time'; readonly zoned: boolean; readonly relative: boolean };

export interface TypedColumn {
  readonly name: string;
  readonly type: TypedKind;
}

export type TypedCell = number | bigint | boolean | string | null | undefined;
/** The values of a column, by row. */
export type TypedCells = ArrayLike<TypedCell>;

export interface TypedBatch {
  readonly rows: number;
  /** By place of the column; undefined of one that was not asked for. */
  readonly columns: readonly (TypedCells | undefined)[];
}

export interface TypedTable {
  readonly format: string;
  readonly columns: readonly TypedColumn[];
  batches(places: readonly number[]): AsyncIterable<TypedBatch>;
  readonly notes: readonly string[];
}

export interface TypedOptions extends Omit<ColumnOptions, 'plateName' | 'dtype' | 'orient'>, TimeOptions {
  readonly name: string;
}

const TIME_NAME = /^(?:time|times|timestamps?|datetime|date|t|ts|index|__index_level_0__)$/i;
const NOTE_NAME = /note|comment|remark|message|event|bemerkung|kommentar|annotation|marker|description|status|warning/i;
/** Indexes that pandas adds to a table count its rows. */
const PANDAS_INDEX = /^__index_level_\d+__$/;
const EPOCH_DIGITS: Readonly<Record<number, 's' | 'ms' | 'us' | 'ns'>> = { 10: 's', 13: 'ms', 16: 'us', 19: 'ns' };
const ELAPSED_NS: Readonly<Record<string, bigint>> = { ...UNIT_NS, min: UNIT_NS.m, d: 24n * UNIT_NS.h };
const MAX_DISTINCT = 2000;
const UINT64_MISSING = 2n ** 64n - 1n;
const UINT8_MISSING = 255;

/** What one pass over all rows tells of a column. */
interface Seen {
  nulls: number;
  cells: number;
  readonly distinct: Set<string>;
  isSentinelUsed: boolean;
  first: TypedCell;
}

/**
 * Makes irregular series: channels of one dtype share one, and bool is uint8. Columns of texts name series or become
 * annotations as those of text tables do.
 * @throws `invalid-input` naming the option
 */
export async function readTypedRecording(table: TypedTable, options: TypedOptions): Promise<Recording> {
  const { columns } = table;
  const place = (name: string, option: string): number => {
    const found = columns.findIndex((column) => column.name === name);
    if (found >= 0) return found;
    const names = columns
      .slice(0, 20)
      .map((column) => column.name.slice(0, 60))
      .join(', ');
    throw invalidField(option, `the file has no column ${name}; it has ${names}${columns.length > 20 ? ' …' : ''}`);
  };
  const time = options.timeColumn === undefined ? timePlace(columns) : place(options.timeColumn, 'timeColumn');
  const roles = new Map(Object.entries(options.columns ?? {}).map(([name, about]) => [place(name, 'columns'), about]));
  const free = columns.flatMap((_, i) => (i === time || roles.get(i)?.role === 'ignore' ? [] : [i]));
  const isNumber = (i: number): boolean => columns[i].type.kind === 'number' || columns[i].type.kind === 'bool';
  const texts = free.filter((i) => columns[i].type.kind === 'text');
  const numbers = free.filter((i) => isNumber(i) && !PANDAS_INDEX.test(columns[i].name));
  const seen = await lookThrough(table, [...texts, ...numbers, time]);
  const isName = (i: number): boolean => {
    const { nulls, cells, distinct } = seen.get(i)!;
    return nulls === 0 && !NOTE_NAME.test(columns[i].name) && distinct.size <= cells / 2;
  };
  const by =
    options.by?.map((name) => place(name, 'by')) ??
    texts.filter((i) => roles.get(i)?.role === 'by' || (!roles.get(i)?.role && isName(i)));
  const chosen =
    options.valueColumns?.map((name) => place(name, 'valueColumns')) ??
    numbers.filter((i) => !by.includes(i) && (roles.get(i)?.role ?? 'value') === 'value');
  const wrong = chosen.find((i) => !isNumber(i));
  if (wrong !== undefined) throw invalidField('valueColumns', `${columns[wrong].name} holds no numbers`);
  if (chosen.length === 0) throw invalidField('valueColumns', 'no column holds numbers');
  const notesOf = texts.filter(
    (i) =>
      !by.includes(i) &&
      (roles.get(i)?.role === 'note' || (!roles.get(i)?.role && !isName(i) && seen.get(i)!.cells > 0)),
  );
  const left = columns.filter((_, i) => i !== time && !by.includes(i) && !chosen.includes(i) && !notesOf.includes(i));
  const told = [...table.notes];
  if (options.timeColumn === undefined) told.push(`times were taken from the column ${columns[time].name}`);
  if (!options.by && by.length > 0)
    told.push(`rows were split into series by ${by.map((i) => columns[i].name).join(', ')}`);
  if (left.length > 0)
    told.push(
      `columns left out: ${left
        .slice(0, 20)
        .map(({ name }) => name)
        .join(', ')}`,
    );
  const reader = timeReader(columns[time], seen.get(time)!, options, told);
  const channels = channelsOf(columns, chosen, roles);
  const parts = partsOf(columns, chosen, { channels, seen });
  const asked = [...new Set([time, ...by, ...chosen, ...notesOf])];
  const readers = chosen.map((_, at) => valueReader(parts.find(({ places }) => places.includes(at))!));
  async function* rows(only: readonly string[] | null): AsyncGenerator<PlannedRow[]> {
    const clocks = new Map<string, LocalTimes>();
    let line = 0;
    for await (const batch of table.batches(asked)) {
      const out: PlannedRow[] = [];
      for (let row = 0; row < batch.rows; row++) {
        line++;
        const key = by.map((i) => String(batch.columns[i]?.[row] ?? ''));
        if (only && !key.every((field, i) => field === only[i])) continue;
        const id = key.join('\n');
        let clock = clocks.get(id);
        if (!clock) clocks.set(id, (clock = new LocalTimes(options.zone?.offsetAt ?? null)));
        const cell = batch.columns[time]?.[row];
        const civil = cell === null || cell === undefined ? undefined : reader.read(cell);
        const at = civil && clock.instant(civil);
        if (at === undefined)
          throw wrongTime({ line, text: String(cell) }, columns[time].name, civil ? (options.zone?.name ?? '') : null);
        out.push({
          line,
          timeNs: at,
          key,
          values: chosen.map((i, place_) => readers[place_](batch.columns[i]?.[row])),
          notes: notesOf.map((i) => String(batch.columns[i]?.[row] ?? '')),
        });
      }
      yield out;
    }
  }
  const planned: DecidedTable = {
    name: options.name,
    format: table.format,
    parts,
    by: by.map((i) => columns[i].name),
    byWasTold: options.by !== undefined,
    noteColumns: notesOf.map((i) => columns[i].name),
    relative: reader.relative,
    timeZone: options.zone && !/^[+-]/.test(options.zone.name) && reader.isLocal ? options.zone.name : null,
    provenance: {
      ...(columns.length <= 256 && { columns: columns.map(({ name }) => name) }),
      time_column: columns[time].name,
    },
    notes: told,
    rows,
  };
  return recordingOfTable(planned);
}

function timePlace(columns: readonly TypedColumn[]): number {
  const zoned = columns.findIndex(({ type }) => type.kind === 'time' && type.zoned);
  if (zoned >= 0) return zoned;
  const time = columns.findIndex(({ type }) => type.kind === 'time');
  if (time >= 0) return time;
  const named = columns.findIndex(({ name, type }) => type.kind === 'number' && TIME_NAME.test(name));
  if (named >= 0) return named;
  throw invalidField(
    'timeColumn',
    'no column holds times; --time-column names the one that does, with --epoch or --elapsed if its times are numbers',
  );
}

async function lookThrough(table: TypedTable, places: readonly number[]): Promise<Map<number, Seen>> {
  const seen = new Map(
    places.map((place): [number, Seen] => [
      place,
      { nulls: 0, cells: 0, distinct: new Set(), isSentinelUsed: false, first: null },
    ]),
  );
  for await (const { rows, columns } of table.batches(places)) {
    for (const [place, about] of seen) {
      const cells = columns[place];
      const { type } = table.columns[place];
      const sentinel = type.kind === 'number' ? sentinelOf(type.dtype) : null;
      for (let row = 0; row < rows; row++) {
        const cell = cells?.[row];
        if (cell === null || cell === undefined || cell === '') about.nulls++;
        else {
          about.cells++;
          about.first ??= cell;
          if (cell === sentinel) about.isSentinelUsed = true;
          if (type.kind === 'text' && about.distinct.size <= MAX_DISTINCT) about.distinct.add(cell as string);
        }
      }
    }
  }
  return seen;
}

interface TypedTime {
  readonly relative: boolean;
  readonly isLocal: boolean;
  readonly read: (cell: number | bigint | boolean | string) => CivilTime | undefined;
}

function timeReader({ name, type }: TypedColumn, { first }: Seen, options: TimeOptions, told: string[]): TypedTime {
  if (type.kind === 'time') {
    const { zoned, relative } = type;
    const base = relative ? (options.startNs ?? 0n) : 0n;
    if (!zoned && !relative)
      told.push(`times without a zone were taken as ${options.zone ? `those of ${options.zone.name}` : 'UTC'}`);
    return {
      relative: relative && options.startNs === undefined,
      isLocal: !zoned && !relative,
      read: (cell) => {
        const ns = (cell as bigint) + base;
        return isTime(ns) ? { ns, zoned: zoned || relative } : undefined;
      },
    };
  }
  if (type.kind !== 'number') throw invalidField('timeColumn', `${name} holds no times`);
  const digits = String(first).replace(/\..*$/, '').replace('-', '').length;
  const epoch = options.epoch ?? (options.elapsed === undefined ? EPOCH_DIGITS[digits] : undefined);
  const unit = epoch ?? options.elapsed;
  const unitNs = unit === undefined ? undefined : ELAPSED_NS[unit];
  if (unitNs === undefined) {
    throw invalidField(
      'epoch',
      `${name} holds numbers such as ${String(first)}: --epoch s|ms|us|ns says what they count since 1970, --elapsed since the start`,
    );
  }
  if (options.epoch === undefined && epoch !== undefined)
    told.push(`numbers of ${digits} digits in ${name} were taken as ${epoch} since 1970; --epoch says otherwise`);
  const base = epoch === undefined ? (options.startNs ?? 0n) : 0n;
  return {
    relative: epoch === undefined && options.startNs === undefined,
    isLocal: false,
    read: (cell) => {
      const ns = typeof cell === 'bigint' ? cell * unitNs : decimalNs(String(cell), unitNs);
      return ns !== undefined && isTime(ns + base) ? { ns: ns + base, zoned: true } : undefined;
    },
  };
}

function channelsOf(
  columns: readonly TypedColumn[],
  chosen: readonly number[],
  roles: ReadonlyMap<number, { label?: string; unit?: string }>,
): Channel[] {
  const found = chosen.map((i) => ({ ...headerName(columns[i].name), name: columns[i].name }));
  const labels = found.map(({ label }) => label);
  const own = found.map(({ label, name }, i) =>
    channelLabelOf(labels.indexOf(label) === labels.lastIndexOf(label) ? label : name, `column ${i + 1}`),
  );
  return distinctLabels(own).map((label, i) => {
    const about = roles.get(chosen[i]);
    const unit = about?.unit ?? found[i].unit;
    return { label: about?.label ?? label, ...(unit !== null && unit !== '' && { unit }) };
  });
}

function sentinelOf(dtype: Dtype): number | bigint | null {
  return dtype === 'int64' ? INT64_MIN : dtype === 'uint64' ? UINT64_MISSING : null;
}

/** Floats share a dtype that holds all of them, and so do integers; small integers join floats, truths stay alone. */
function partsOf(
  columns: readonly TypedColumn[],
  chosen: readonly number[],
  { channels, seen }: { readonly channels: readonly Channel[]; readonly seen: ReadonlyMap<number, Seen> },
): TablePart[] {
  const dtypeOf = (i: number): Dtype => {
    const { type } = columns[i];
    if (type.kind !== 'number') return 'uint8';
    // A float says that a value is missing, and holds integers of 32 bits exactly.
    const isSmall = DTYPES[type.dtype].kind === 'int' && !isBigDtype(type.dtype);
    return isSmall && seen.get(i)!.nulls > 0 ? (commonDtype([type.dtype, 'float32']) ?? 'float64') : type.dtype;
  };
  const numbers = chosen.filter((i) => columns[i].type.kind === 'number');
  const dtypes = [...new Set(numbers.map(dtypeOf))];
  const common = dtypes.length === 0 ? 'uint8' : commonDtype(dtypes);
  const floats = dtypes.filter((dtype) => DTYPES[dtype].kind === 'float');
  const small = dtypes.filter((dtype) => !isBigDtype(dtype));
  const rest = floats.length > 0 ? commonDtype(small) : undefined;
  const parts = new Map<string, { dtype: Dtype; places: number[] }>();
  chosen.forEach((i, place) => {
    const isTruth = columns[i].type.kind !== 'number';
    const own = dtypeOf(i);
    const dtype = isTruth ? 'uint8' : (common ?? (isBigDtype(own) ? own : (rest ?? own)));
    const id = isTruth && numbers.length > 0 ? 'truths' : dtype;
    const part = parts.get(id) ?? { dtype, places: [] };
    part.places.push(place);
    parts.set(id, part);
  });
  const order = [...parts.values()].sort(
    (a, b) => Number(DTYPES[b.dtype].kind === 'float') - Number(DTYPES[a.dtype].kind === 'float'),
  );
  return order.map(({ dtype, places }, i) => {
    const isHoled = places.some((place) => seen.get(chosen[place])!.nulls > 0);
    const missing = columns[chosen[places[0]]].type.kind === 'number' ? sentinelOf(dtype) : UINT8_MISSING;
    const used = places.find((place) => seen.get(chosen[place])!.isSentinelUsed);
    if (isHoled && used !== undefined) {
      throw unprocessableField(
        `column ${channels[used].label}`,
        `has nulls beside ${String(missing)}, which would stand for them`,
      );
    }
    return {
      suffix: i === 0 ? null : places.length === 1 ? channels[places[0]].label : dtype,
      dtype,
      channels: places.map((place) => channels[place]),
      places,
      missing: isHoled ? missing : null,
      tags: {},
    };
  });
}

function valueReader({ dtype, missing }: TablePart): (cell: TypedCell) => number | bigint {
  const none = DTYPES[dtype].kind === 'float' ? NaN : (missing ?? 0);
  const isBig = isBigDtype(dtype);
  return (cell) => {
    if (cell === null || cell === undefined) return none;
    return isBig ? BigInt(cell) : Number(cell);
  };
}
