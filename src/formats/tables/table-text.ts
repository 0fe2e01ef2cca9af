/** Tables as text: CSV, NDJSON, and JSON of columns. */
import type { NumberType, Table, TableBatch, TableColumn } from '../../core/signal/sample-table.ts';
import { VarveError } from '../../core/errors.ts';
import { csvField, csvTimeWriter } from '../text/csv-fields.ts';
import type { EpochUnit } from '../text/epoch-text.ts';
import { csvValueWriter, jsonValueWriter } from '../text/number-text.ts';
import { encodeTextRows, inPieces, jsonListText } from '../text/text-rows.ts';

/** JSON has one column after the other, so an answer is held as text until its last row has come. */
export const MAX_JSON_CELLS = 2 * 1024 * 1024;

/** How a format spells what cells are made of. */
interface CellSpelling {
  readonly number: (type: NumberType) => (value: number | bigint) => string;
  readonly time: (ns: bigint) => string;
  readonly text: (text: string) => string;
  readonly missing: string;
}

const JSON_SPELLING: CellSpelling = {
  number: jsonValueWriter,
  time: (ns) => `"${ns}"`,
  text: (text) => JSON.stringify(text),
  missing: 'null',
};

type CellWriter = (batch: TableBatch, row: number) => string;

/** A header line, then one line for each row. A missing value is an empty field, as NaN is. */
export function encodeTableCsv(
  batches: AsyncIterable<TableBatch>,
  { columns }: Table,
  { epoch }: { readonly epoch?: EpochUnit } = {},
): AsyncGenerator<Uint8Array> {
  const spelling = { number: csvValueWriter, time: csvTimeWriter(epoch), text: csvField, missing: '' };
  const cells = columns.map((column, c) => cellWriter(column, c, spelling));
  const head = `${columns.map(({ name }) => csvField(name)).join(',')}\n`;
  return encodeTextRows(batches, head, (batch, row) => `${cells.map((write) => write(batch, row)).join(',')}\n`);
}

/** An object a line, with the names of the columns. Times are integer nanoseconds as strings. */
export function encodeTableNdjson(batches: AsyncIterable<TableBatch>, { columns }: Table): AsyncGenerator<Uint8Array> {
  const cells = columns.map((column, c): CellWriter => {
    const name = `${c === 0 ? '' : ','}${JSON.stringify(column.name)}:`;
    const write = cellWriter(column, c, JSON_SPELLING);
    return (batch, row) => name + write(batch, row);
  });
  return encodeTextRows(batches, '', (batch, row) => `{${cells.map((write) => write(batch, row)).join('')}}\n`);
}

/**
 * `{…about, "columns": [{"name", "type", …}], "rows": n, "data": {"<name>": […], …}}`
 * @throws limit-exceeded beyond two million cells
 */
export async function* encodeTableJson(
  batches: AsyncIterable<TableBatch>,
  { columns, about }: Table,
): AsyncGenerator<Uint8Array> {
  const lists = columns.map((column, c) => ({ write: cellWriter(column, c, JSON_SPELLING), parts: [] as string[] }));
  let rows = 0;
  for await (const batch of batches) {
    rows += batch.rows;
    if (rows * columns.length > MAX_JSON_CELLS) throw tooMuchJson();
    if (batch.rows === 0) continue;
    for (const { write, parts } of lists) {
      parts.push(Array.from({ length: batch.rows }, (_, row) => write(batch, row)).join(','));
    }
  }
  const described = columns.map(({ name, type, about: more }) => ({ name, type, ...more }));
  const head = Object.entries({ ...about, columns: described, rows });
  function* texts(): Generator<string> {
    yield `{${head.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',')},"data":{`;
    for (const [c, { parts }] of lists.entries()) {
      yield `${c === 0 ? '' : ','}${JSON.stringify(columns[c].name)}:`;
      yield* jsonListText(parts);
    }
    yield '}}';
  }
  yield* inPieces(texts());
}

function tooMuchJson(): Error {
  const message = `a JSON answer has at most ${MAX_JSON_CELLS} values; ask for ndjson, csv or arrow, which stream, or for less`;
  return new VarveError('limit-exceeded', `format: ${message}`, { errors: [{ field: 'format', message }] });
}

function cellWriter(column: TableColumn, c: number, spelling: CellSpelling): CellWriter {
  const write = plainWriter(column, c, spelling);
  if (!column.nullable) return write;
  return (batch, row) => (batch.present[c]?.[row] === 0 ? spelling.missing : write(batch, row));
}

function plainWriter({ type, words = [] }: TableColumn, c: number, spelling: CellSpelling): CellWriter {
  if (type === 'time') return ({ columns }, row) => spelling.time(columns[c][row] as bigint);
  if (type === 'text') {
    const spelled = words.map(spelling.text);
    return ({ columns }, row) => spelled[Number(columns[c][row])];
  }
  const write = spelling.number(type);
  return ({ columns }, row) => write(columns[c][row]);
}
