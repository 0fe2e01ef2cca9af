/**
 * Parquet files as recordings, a group of rows at a time.
 * @see https://parquet.apache.org/docs/file-format/
 */
import type { FileMetaData, ParquetParsers, SchemaElement } from 'hyparquet';
import { VarveError, invalidField, isVarveError, messageOf } from '../../core/errors.ts';
import type { Dtype } from '../../core/numbers/dtype.ts';
import type { Recording } from '../../core/signal/recording.ts';
import { UNIT_NS } from '../../core/time.ts';
import {
  readTypedRecording,
  type TypedBatch,
  type TypedCells,
  type TypedColumn,
  type TypedKind,
  type TypedOptions,
} from './typed-recording.ts';

/** Bytes of a file by their place. */
export interface RandomFile {
  readonly byteLength: number;
  slice(start: number, end?: number): Promise<ArrayBuffer>;
}

/** A group is held whole. */
const MAX_GROUP_BYTES = 512 * 1024 * 1024;
const MAX_GROUP_VALUES = 32_000_000;
const MAX_COLUMNS = 65_536;
/** A decimal of more digits is no float64. */
const MAX_DECIMAL_DIGITS = 15;

/** Times as bigint ns, where the library would make dates of them. */
const PARSERS: Partial<ParquetParsers> = {
  timestampFromMilliseconds: (value: bigint | null) => value && value * UNIT_NS.ms,
  timestampFromMicroseconds: (value: bigint | null) => value && value * UNIT_NS.us,
  timestampFromNanoseconds: (value: bigint | null) => value,
  dateFromDays: (days: number | null) => (typeof days === 'number' ? BigInt(days) * 24n * UNIT_NS.h : days),
};

/** @throws `invalid-input` on `body` if it is no Parquet file, or damaged; `limit-exceeded` for one whose groups are too large */
export async function readParquetRecording(file: RandomFile, options: TypedOptions): Promise<Recording> {
  const { parquetMetadataAsync, parquetRead } = await import('hyparquet');
  const { compressors } = await import('hyparquet-compressors');
  const metadata = await orDamagedFile(() => parquetMetadataAsync(file));
  const columns = columnsOf(metadata);
  for (const { total_byte_size, num_rows } of metadata.row_groups) {
    const values = Number(num_rows) * columns.length;
    if (Number(total_byte_size) > MAX_GROUP_BYTES || values > MAX_GROUP_VALUES || !(values >= 0)) {
      throw new VarveError(
        'limit-exceeded',
        'body: its groups of rows are too large: write it with smaller ones (row_group_size)',
      );
    }
  }
  async function* batches(places: readonly number[]): AsyncGenerator<TypedBatch> {
    let rowStart = 0;
    for (const { num_rows } of metadata.row_groups) {
      const rows = Number(num_rows);
      if (rows === 0) continue;
      const from = rowStart;
      const cells: (TypedCells | undefined)[] = columns.map(() => undefined);
      const partsOf = new Map<string, { columnData: TypedCells; rowStart: number }[]>();
      await orDamagedFile(() =>
        parquetRead({
          file,
          metadata,
          columns: places.map((place) => columns[place].name),
          rowStart: from,
          rowEnd: from + rows,
          compressors,
          parsers: PARSERS,
          geoparquet: false,
          onChunk: ({ columnName, columnData, rowStart: at }) => {
            partsOf.set(columnName, [
              ...(partsOf.get(columnName) ?? []),
              { columnData: columnData as TypedCells, rowStart: at },
            ]);
          },
        }),
      );
      for (const place of places) cells[place] = joined(partsOf.get(columns[place].name) ?? [], from, rows);
      yield { rows, columns: cells };
      rowStart += rows;
    }
  }
  return readTypedRecording({ format: 'Parquet', columns, batches, notes: [] }, options);
}

function joined(
  parts: readonly { columnData: TypedCells; rowStart: number }[],
  from: number,
  rows: number,
): TypedCells {
  const [only] = parts;
  if (parts.length === 1 && only.rowStart === from && only.columnData.length === rows) return only.columnData;
  const all: unknown[] = [];
  for (const { columnData, rowStart } of parts) {
    for (let i = 0; i < columnData.length; i++) {
      if (rowStart + i >= from && rowStart + i < from + rows) all[rowStart + i - from] = columnData[i];
    }
  }
  if (parts.length === 0 || all.length !== rows)
    throw invalidField('body', 'is damaged: a column has fewer rows than its group');
  return all as TypedCells;
}

/** What the library throws is about the bytes. */
async function orDamagedFile<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (isVarveError(error)) throw error;
    throw invalidField('body', `is no Parquet file, or is damaged: ${messageOf(error).slice(0, 200)}`);
  }
}

function columnsOf({ schema, row_groups: groups }: FileMetaData): TypedColumn[] {
  const root = schema[0]?.num_children ?? 0;
  if (root > MAX_COLUMNS)
    throw new VarveError('limit-exceeded', `body: has ${root} columns; at most ${MAX_COLUMNS} are read`);
  const columns: TypedColumn[] = [];
  for (let at = 1; at < schema.length;) {
    const element = schema[at];
    const isFlat = !element.num_children && element.repetition_type !== 'REPEATED';
    columns.push({ name: element.name, type: isFlat ? kindOf(element) : { kind: 'other' } });
    at += 1 + descendants(schema, at);
  }
  if (groups.some((group) => group.columns.some(({ meta_data: about }) => !about)))
    throw invalidField('body', 'is a damaged Parquet file');
  return columns;
}

function descendants(schema: readonly SchemaElement[], at: number): number {
  let count = 0;
  for (let left = schema[at]?.num_children ?? 0; left > 0 && at + count + 1 < schema.length; left--) {
    count++;
    left += schema[at + count].num_children ?? 0;
  }
  return count;
}

const INTEGERS: Readonly<Record<string, Dtype>> = {
  INT_8: 'int8',
  INT_16: 'int16',
  INT_32: 'int32',
  INT_64: 'int64',
  UINT_8: 'uint8',
  UINT_16: 'uint16',
  UINT_32: 'uint32',
  UINT_64: 'uint64',
};

function kindOf({ type, converted_type: converted, logical_type: logical, precision }: SchemaElement): TypedKind {
  if (logical?.type === 'TIMESTAMP') return { kind: 'time', zoned: logical.isAdjustedToUTC, relative: false };
  if (converted === 'TIMESTAMP_MILLIS' || converted === 'TIMESTAMP_MICROS')
    return { kind: 'time', zoned: true, relative: false };
  if (converted === 'DATE' || type === 'INT96') return { kind: 'time', zoned: false, relative: false };
  if (converted === 'DECIMAL')
    return (precision ?? 99) <= MAX_DECIMAL_DIGITS ? { kind: 'number', dtype: 'float64' } : { kind: 'other' };
  if (logical?.type === 'FLOAT16') return { kind: 'number', dtype: 'float32' };
  if (logical?.type === 'INTEGER')
    return { kind: 'number', dtype: `${logical.isSigned ? '' : 'u'}int${logical.bitWidth}` as Dtype };
  if (converted !== undefined && INTEGERS[converted]) return { kind: 'number', dtype: INTEGERS[converted] };
  if (converted === 'UTF8' || converted === 'ENUM' || logical?.type === 'STRING' || logical?.type === 'ENUM')
    return { kind: 'text' };
  if (converted !== undefined || logical !== undefined) return { kind: 'other' };
  switch (type) {
    case 'BOOLEAN':
      return { kind: 'bool' };
    case 'INT32':
      return { kind: 'number', dtype: 'int32' };
    case 'INT64':
      return { kind: 'number', dtype: 'int64' };
    case 'FLOAT':
      return { kind: 'number', dtype: 'float32' };
    case 'DOUBLE':
      return { kind: 'number', dtype: 'float64' };
    default:
      return { kind: 'other' };
  }
}
