/**
 * What readers of plates export beside one plain table, a series a well. There are blocks of several reads (BioTek Gen5),
 * wells that are rows (Tecan i-control and Magellan), plates drawn as a matrix, and lists of wells.
 */
import { invalidField } from '../../core/errors.ts';
import { instantsOf } from '../../core/place-clock.ts';
import { formatTime } from '../../core/time.ts';
import type { Batch } from '../../core/signal/batch.ts';
import type { RecordedSeries, Recording } from '../../core/signal/recording.ts';
import { readCivil, elapsedNs, datesOf, splitMoment, type CivilTime, type DateOrder } from '../text/civil-time.ts';
import { dateReader } from '../text/date-format.ts';
import { decimalNs, isMissingText, plainNumber, styleOf, type NumberStyle } from '../text/number-style.ts';
import type { TableRow } from '../text/table-rows.ts';
import { fullBatchRows } from '../samples/batch-builder.ts';
import { channelLabelOf } from './channel-labels.ts';
import { importedSpec } from './imported-series.ts';
import type { RowsOptions, TableText } from './rows-recording.ts';
import { shownField, wrongCell } from './table-place.ts';
import { temperatureOf, wellOf, type Well } from './wells.ts';

/** Plates are read whole: a day of reads each minute of 384 wells is less. */
const MAX_CELLS = 4_000_000;
/** Wells beside each other that make a header of them; fewer where a temperature stands beside them. */
const LEAST_WELLS = 3;
/** Columns of the smallest plate that is drawn as a matrix, one of six wells. */
const LEAST_COLUMNS = 3;
const MAX_KEPT_LINES = 200;
const MAX_KEPT_CHARS = 200;
const S_NS = 1_000_000_000n;
const NS_PER_MS = 1_000_000n;

const TIME_CELL = /^(?:time|zeit)(?:\s*[[(]?\s*(s|sec|min|h|hh?:mm:ss)?\s*[\])]?)?$/i;
const CYCLE_CELL = /^(?:cycle|zyklus)(?:\s*nr\.?|\s*no\.?|s)?$/i;
const SECONDS_CELL = /^([\d.,]+)\s*(s|sec|min|h)$/i;
const WELL_CELL = /^(?:wells?|well\s*(?:id|pos(?:ition)?\.?|name)?)$/i;
const PLATE_KEY = /^plate(?:\s*(?:number|name|id|nr\.?|no\.?))?:?$/i;
const DATE_KEY = /^(?:date|datum|date of measurement|measurement date):?$/i;
const CLOCK_KEY = /^(?:time|uhrzeit|zeit|time of measurement):?$/i;
const START_KEY =
  /^(?:start(?:ed)?\s*(?:time|at)?|measurement (?:start(?:ed)?|time)|date\/time|datetime|read time):?$/i;
const SECONDS_UNITS: Readonly<Record<string, bigint>> = { s: S_NS, sec: S_NS, min: 60n * S_NS, h: 3600n * S_NS };

/** A part of the file that holds values of wells. */
interface PlateBlock {
  readonly kind: 'wide' | 'tall' | 'matrix' | 'list';
  readonly from: number;
  readonly to: number;
  readonly read: string;
  /** Time of each read, since the start; null: the file has one read, at a time of its own. */
  readonly timesNs: readonly bigint[] | null;
  readonly wells: readonly PlateColumn[];
}

interface PlateColumn {
  readonly label: string;
  readonly well: Well | null;
  readonly texts: readonly { readonly text: string; readonly line: number }[];
}

/**
 * Reads a file of a plate reader.
 * @returns null if it is none, or holds one plain table, which needs no more than any table
 * @throws `invalid-input` naming the option where an end point has no time
 */
export async function readPlates(text: TableText, options: RowsOptions): Promise<Recording | null> {
  if (options.valueColumns ?? options.by ?? options.orient ?? options.columns) return null;
  const sampled = text.sample.filter(({ comment }) => comment === undefined);
  const seen = blocksOf(sampled, { decimal: '.' });
  if (seen.length === 0) return null;
  const [only] = seen;
  if (seen.length === 1 && only.kind === 'wide' && only.to === sampled.length) return null;
  const rows = await allRows(text);
  const style =
    options.decimal === ',' || options.decimal === '.' ? ({ decimal: options.decimal } as const) : styleOfRows(rows);
  const all = blocksOf(rows, style);
  const kinetic = all.filter(({ timesNs }) => timesNs !== null);
  const blocks = kinetic.length > 0 ? kinetic : all;
  const outside = rows.filter((_, i) => !blocks.some(({ from, to }) => i >= from && i < to));
  const notes = [...text.notes];
  const began = beginOf(outside, options);
  if (kinetic.length === 0 && began === null) {
    throw invalidField('start', 'the plate was read once, and the file does not say when: --start gives the time');
  }
  const startNs = kinetic.length === 0 ? instantOf(began!, options) : (options.startNs ?? 0n);
  const isRelative = kinetic.length > 0 && options.startNs === undefined;
  if (isRelative) {
    const said = began && 'text' in began ? `; the file says that it began ${began.text}` : '';
    notes.push(`times count from the start of the recording; --start makes them times of a day${said}`);
  } else if (kinetic.length === 0 && options.startNs === undefined) {
    notes.push(
      `the plate was read at ${formatTime(startNs)}, as the file says${options.zone ? '' : '; its time was taken as UTC'}`,
    );
  }
  if (all.length > blocks.length) {
    const lines = all.filter((block) => !blocks.includes(block)).map(({ from }) => rows[from].line);
    notes.push(`tables without times, from line ${lines.join(', ')} on, were left out`);
  }
  notes.push('a plate: each well made a series, with tags for plate, well, row and column');
  const plate = plateNameOf(outside) ?? options.name;
  const provenance = {
    format: text.format,
    ...text.facts,
    decimal: style.decimal,
    preamble: linesOf(outside, text.delimiter),
    ...(began && 'text' in began && { started: began.text }),
  };
  const odd: string[] = [];
  const names = new Set(blocks.map(({ read }) => read));
  const series = blocks.flatMap((block, i) => {
    const isWhole = block.wells.every(({ texts }) =>
      texts.every(({ text: cell }) => /^[+-]?\d{1,15}$/.test(cell.trim())),
    );
    const read = names.size === blocks.length ? block.read : `${block.read} (${i + 1})`;
    const times = BigInt64Array.from(block.timesNs ?? [0n], (ns) => ns + startNs);
    return block.wells.map((column): RecordedSeries => {
      const values = column.texts.map(({ text: cell, line }) =>
        numberOf(cell, { line, style, label: column.label, odd }),
      );
      const dtype = isWhole ? 'int64' : 'float64';
      const { well } = column;
      const name = well?.name ?? column.label;
      const unit = temperatureOf(column.label) ? { unit: 'Cel' } : {};
      return {
        spec: importedSpec({
          name: [options.name, ...(blocks.length > 1 ? [read] : []), name].join('/'),
          dtype,
          channels: [{ label: name, ...unit, ...(well && { location: well.name }) }],
          sampling: { kind: 'irregular' },
          timeReference: isRelative ? 'relative' : 'utc',
          tags: {
            plate,
            ...(well && { well: well.name, row: well.row, column: well.column }),
            ...(block.read !== '' && { read: block.read }),
          },
          provenance,
        }),
        rows: values.length,
        batches: () => batchesOf(times, isWhole ? BigInt64Array.from(values, BigInt) : Float64Array.from(values)),
        annotations: [],
      };
    });
  });
  if (odd.length > 0)
    notes.push(
      `${odd.length} fields are no numbers and are missing: ${odd.slice(0, 5).join(', ')}${odd.length > 5 ? ' …' : ''}`,
    );
  return { series, notes };
}

function* batchesOf(times: BigInt64Array, values: BigInt64Array | Float64Array): Generator<Batch> {
  const most = fullBatchRows(16);
  for (let row = 0; row < times.length; row += most) {
    const part = times.subarray(row, row + most);
    yield { rows: part.length, times: part, values: values.subarray(row, row + most) };
  }
}

async function allRows(text: TableText): Promise<TableRow[]> {
  const rows: TableRow[] = [];
  let cells = 0;
  for await (const part of text.rows(Infinity)) {
    for (const row of part) {
      if (row.comment !== undefined) continue;
      cells += row.fields.length;
      if (cells > MAX_CELLS)
        throw invalidField('body', `is a file of a plate reader with over ${MAX_CELLS.toLocaleString('en')} fields`);
      rows.push(row);
    }
  }
  return rows;
}

/** The name that the file has for its plate. */
export function plateNameOf(rows: readonly TableRow[]): string | null {
  const found = rows.find(({ fields }) => PLATE_KEY.test(fields[0].trim()));
  const name = found?.fields.slice(1).find((field) => field.trim() !== '');
  return name === undefined ? null : channelLabelOf(name, '') || null;
}

function linesOf(rows: readonly TableRow[], delimiter: string | null): string[] {
  return rows
    .map(({ fields }) =>
      fields
        .join(delimiter ?? '\t')
        .replace(/[,;\t|]+$/, '')
        .slice(0, MAX_KEPT_CHARS),
    )
    .filter((line) => line.trim() !== '')
    .slice(0, MAX_KEPT_LINES);
}

function styleOfRows(rows: readonly TableRow[]): NumberStyle {
  for (const { fields } of rows) {
    for (const field of fields) if (field.includes(',') && styleOf(field) === ',') return { decimal: ',' };
  }
  return { decimal: '.' };
}

function blocksOf(rows: readonly TableRow[], style: NumberStyle): PlateBlock[] {
  const blocks: PlateBlock[] = [];
  for (let at = 0; at < rows.length;) {
    const block =
      wideBlock(rows, at, style) ?? tallBlock(rows, at, style) ?? matrixBlock(rows, at) ?? listBlock(rows, at);
    if (block) blocks.push(block);
    at = block?.to ?? at + 1;
  }
  return blocks;
}

/** A header of a time and wells, and a row a read. */
function wideBlock(rows: readonly TableRow[], at: number, style: NumberStyle): PlateBlock | null {
  const { fields } = rows[at];
  const time = fields.findIndex((field) => TIME_CELL.test(field.trim()));
  if (time < 0) return null;
  const columns = fields
    .map((field, column) => ({ label: field.trim(), column }))
    .slice(time + 1)
    .filter(({ label }) => label !== '');
  const wells = columns.filter(({ label }) => wellOf(label));
  const temperatures = columns.filter(({ label }) => temperatureOf(label));
  if (
    wells.length + temperatures.length !== columns.length ||
    wells.length < (temperatures.length > 0 ? 1 : LEAST_WELLS)
  )
    return null;
  const timesNs: bigint[] = [];
  let to = at + 1;
  for (; to < rows.length; to++) {
    const text = rows[to].fields[time]?.trim() ?? '';
    const ns = elapsedNs(text) ?? plateSeconds(text, fields[time], style);
    if (ns === undefined) break;
    // Reads that were planned and not taken have a time of zero and no value.
    if (columns.every(({ column }) => isMissingText(rows[to].fields[column] ?? ''))) continue;
    timesNs.push(ns);
  }
  if (timesNs.length === 0) return null;
  const taken = rows
    .slice(at + 1, to)
    .filter((row) => columns.some(({ column }) => !isMissingText(row.fields[column] ?? '')));
  return {
    kind: 'wide',
    from: at,
    to,
    read: readName(rows, at),
    timesNs,
    wells: columns.map(({ label, column }) => ({
      label,
      well: wellOf(label) ?? null,
      texts: taken.map((row) => ({ text: row.fields[column] ?? '', line: row.line })),
    })),
  };
}

function plateSeconds(text: string, header: string, style: NumberStyle): bigint | undefined {
  const plain = plainNumber(text, style);
  const unit = TIME_CELL.exec(header.trim())?.[1]?.toLowerCase();
  return plain === undefined || unit === undefined || SECONDS_UNITS[unit] === undefined
    ? undefined
    : decimalNs(plain, SECONDS_UNITS[unit]);
}

/** Rows of wells, a column a read: above them numbers of cycles, times and temperatures. */
function tallBlock(rows: readonly TableRow[], at: number, style: NumberStyle): PlateBlock | null {
  const first = rows[at].fields[0].trim();
  const isCycle = CYCLE_CELL.test(first);
  const spelled = rows[at].fields
    .slice(1)
    .map((field) => field.trim())
    .filter((field) => field !== '');
  const isSpelled =
    spelled.length > 0 && (first === '' || WELL_CELL.test(first)) && spelled.every((field) => SECONDS_CELL.test(field));
  const isTime =
    TIME_CELL.test(first) && spelled.length > 0 && spelled.every((field) => plainNumber(field, style) !== undefined);
  if (!isCycle && !isSpelled && !isTime) return null;
  const end = rows.findIndex((row, i) => i > at && !tallLabel(row.fields[0]));
  const to = end < 0 ? rows.length : end;
  const body = rows.slice(at, to);
  const wells = body.filter(({ fields }) => wellOf(fields[0]));
  if (wells.length === 0) return null;
  const timeRow = isSpelled ? rows[at] : body.find(({ fields }) => TIME_CELL.test(fields[0].trim()));
  if (!timeRow) return null;
  const timesNs: bigint[] = [];
  const reads: number[] = [];
  timeRow.fields.slice(1).forEach((field, i) => {
    const text = field.trim();
    const match = isSpelled ? SECONDS_CELL.exec(text) : null;
    const plain = plainNumber(match ? match[1] : text, style);
    const ns = match
      ? plain && decimalNs(plain, SECONDS_UNITS[match[2].toLowerCase()])
      : (elapsedNs(text) ?? plateSeconds(text, timeRow.fields[0], style));
    if (typeof ns !== 'bigint') return;
    timesNs.push(ns);
    reads.push(i + 1);
  });
  if (timesNs.length === 0) return null;
  const temperatures = body.filter(({ fields }) => temperatureOf(fields[0]));
  return {
    kind: 'tall',
    from: at,
    to,
    read: readName(rows, at),
    timesNs,
    wells: [...temperatures, ...wells].map((row) => ({
      label: channelLabelOf(row.fields[0], 'temperature'),
      well: wellOf(row.fields[0]) ?? null,
      texts: reads.map((column) => ({ text: (row.fields[column] ?? '').replace(/\s*°C$/, ''), line: row.line })),
    })),
  };
}

function tallLabel(field: string): boolean {
  const label = field.trim();
  return TIME_CELL.test(label) || CYCLE_CELL.test(label) || temperatureOf(label) || wellOf(label) !== undefined;
}

/** A plate as it lies on the table: columns 1, 2, 3 … and rows A, B, C … */
function matrixBlock(rows: readonly TableRow[], at: number): PlateBlock | null {
  const { fields } = rows[at];
  const one = fields.findIndex((field) => field.trim() === '1');
  if (one < 1 || fields.slice(0, one).some((field) => !/^(?:<>)?$/.test(field.trim()))) return null;
  let width = 1;
  while (fields[one + width]?.trim() === String(width + 1)) width++;
  if (width < LEAST_COLUMNS || width > 24) return null;
  const wells: PlateColumn[] = [];
  let to = at + 1;
  let read = '';
  for (let row = 0; to < rows.length; to++, row++) {
    const line = rows[to];
    const letter = line.fields[one - 1].trim();
    if (letter !== String.fromCharCode(65 + row) || row > 15) break;
    read = line.fields[one + width]?.trim() || read;
    for (let column = 1; column <= width; column++) {
      const text = line.fields[one + column - 1] ?? '';
      if (isMissingText(text)) continue;
      const name = `${letter}${column}`;
      wells.push({ label: name, well: wellOf(name) ?? null, texts: [{ text, line: line.line }] });
    }
  }
  if (wells.length === 0) return null;
  return { kind: 'matrix', from: at, to, read: read || readName(rows, at), timesNs: null, wells };
}

/** A header with the word well, and a row a well. */
function listBlock(rows: readonly TableRow[], at: number): PlateBlock | null {
  const { fields } = rows[at];
  const heads = fields
    .map((field, column) => ({ field: field.trim(), column }))
    .filter(({ field }) => WELL_CELL.test(field));
  const next = rows[at + 1];
  const head = heads.find(({ column }) => next && wellOf(next.fields[column] ?? ''));
  if (!head || !next || fields.some((field) => TIME_CELL.test(field.trim()))) return null;
  let to = at + 1;
  while (to < rows.length && wellOf(rows[to].fields[head.column] ?? '')) to++;
  const body = rows.slice(at + 1, to);
  const values = fields
    .map((field, column) => ({ read: field.trim(), column }))
    .filter(
      ({ column, read }) =>
        column !== head.column &&
        read !== '' &&
        body.every(
          (row) =>
            isMissingText(row.fields[column] ?? '') ||
            plainNumber(row.fields[column], { decimal: '.' }) !== undefined ||
            plainNumber(row.fields[column], { decimal: ',' }) !== undefined,
        ),
    )
    .filter(({ column }) => body.some((row) => !isMissingText(row.fields[column] ?? '')));
  const seen = new Set(body.map((row) => row.fields[head.column]));
  if (values.length !== 1 || seen.size !== body.length) return null;
  const [{ read, column }] = values;
  return {
    kind: 'list',
    from: at,
    to,
    read: channelLabelOf(read, ''),
    timesNs: null,
    wells: body.map((row) => {
      const well = wellOf(row.fields[head.column])!;
      return { label: well.name, well, texts: [{ text: row.fields[column] ?? '', line: row.line }] };
    }),
  };
}

/** What stands alone in a line right above a block: `600`, `OD600:600`, `Label1`. */
function readName(rows: readonly TableRow[], at: number): string {
  for (let above = at - 1; above >= Math.max(0, at - 3); above--) {
    const said = rows[above].fields.map((field) => field.trim()).filter((field) => field !== '');
    if (said.length === 1 && said[0].length <= 60) return channelLabelOf(said[0].replace(/^label:\s*/i, ''), '');
    if (said.length > 1) return '';
  }
  return '';
}

type Begin = { readonly ns: bigint } | { readonly civil: CivilTime; readonly text: string };

/** When the plate was read, as was told or as the file says; null: it says nothing. */
function beginOf(rows: readonly TableRow[], options: RowsOptions): Begin | null {
  if (options.startNs !== undefined) return { ns: options.startNs };
  const said = (key: RegExp): { text: string; line: number } | null => {
    for (const { fields, line } of rows) {
      const at = fields.findIndex((field) => key.test(field.trim()));
      const text = at < 0 ? undefined : fields.slice(at + 1).find((field) => field.trim() !== '');
      if (text !== undefined && splitMoment(text)) return { text: text.trim(), line };
    }
    return null;
  };
  const start = said(START_KEY);
  const date = said(DATE_KEY);
  const clock = said(CLOCK_KEY);
  const whole =
    start ??
    (date && {
      line: date.line,
      text: clock && (splitMoment(date.text)?.clockNs ?? null) === null ? `${date.text} ${clock.text}` : date.text,
    });
  if (!whole) return null;
  const reader = options.dateFormat === undefined ? undefined : dateReader(options.dateFormat);
  const orders = Object.keys(datesOf(splitMoment(whole.text)?.date ?? '')) as DateOrder[];
  const days = new Set(Object.values(datesOf(splitMoment(whole.text)?.date ?? '')));
  if (!reader && days.size > 1)
    return {
      text: whole.text,
      get civil(): CivilTime {
        throw wrongCell(
          whole,
          'date',
          `may be ${orders.join(' or ')}: --date-format says which, or --start gives the time`,
        );
      },
    };
  const civil = reader ? reader(whole.text) : orders.length > 0 ? readCivil(whole.text, orders[0]) : undefined;
  return civil ? { civil, text: whole.text } : null;
}

function instantOf(begin: Begin, { zone }: RowsOptions): bigint {
  if ('ns' in begin) return begin.ns;
  const { civil, text } = begin;
  if (civil.zoned || !zone) return civil.ns;
  const below = ((civil.ns % NS_PER_MS) + NS_PER_MS) % NS_PER_MS;
  const [instant] = instantsOf(Number((civil.ns - below) / NS_PER_MS), zone.offsetAt);
  if (instant === undefined) throw invalidField('tz', `the clock of ${zone.name} skipped ${shownField(text)}`);
  return BigInt(instant) * NS_PER_MS + below;
}

function numberOf(
  text: string,
  {
    line,
    style,
    label,
    odd,
  }: { readonly line: number; readonly style: NumberStyle; readonly label: string; readonly odd: string[] },
): number {
  const plain = plainNumber(text, style);
  if (plain !== undefined)
    return plain.endsWith('inf') ? (plain.startsWith('-') ? -Infinity : Infinity) : Number(plain);
  if (!isMissingText(text)) odd.push(`${shownField(text)} of ${label} in line ${line}`);
  return NaN;
}
