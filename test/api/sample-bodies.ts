/** Samples as bodies of requests and answers, written down once more from the contract: a second opinion on the service's formats. */
import { tableFromArrays, tableFromIPC, tableToIPC } from '@uwdata/flechette';
import { bytesOf, DTYPES, type NumberType, type Values } from './number-types.ts';

export type Format = 'json' | 'ndjson' | 'csv' | 'npy' | 'octet' | 'arrow' | 'arrow-stream';

export const MEDIA_TYPES: Readonly<Record<Format, string>> = {
  json: 'application/json',
  ndjson: 'application/x-ndjson',
  csv: 'text/csv',
  npy: 'application/x-npy',
  octet: 'application/octet-stream',
  arrow: 'application/vnd.apache.arrow.file',
  'arrow-stream': 'application/vnd.apache.arrow.stream',
};
export const FORMATS = Object.keys(MEDIA_TYPES) as Format[];

/** Rows of a series. */
export interface Samples {
  readonly dtype: NumberType;
  readonly labels: readonly string[];
  /** rows × channels. */
  readonly values: Values;
  /** ns, one a row; null for a regular series. */
  readonly times: readonly bigint[] | null;
  /** Start of a regular series. */
  readonly startNs?: bigint;
}

export interface SampleBody {
  readonly contentType: string;
  readonly body: Buffer;
  /** With its question mark, or empty: binary bodies have no other place for a start. */
  readonly query: string;
}

export function encode(format: Format, samples: Samples): SampleBody {
  const isText = format !== 'npy' && format !== 'octet';
  return {
    contentType: MEDIA_TYPES[format],
    body: Buffer.from(ENCODERS[format](samples)),
    query: isText || samples.startNs === undefined ? '' : `?start=${samples.startNs}`,
  };
}

type Row = readonly (number | bigint)[];

function rowsOf({ values, labels }: Samples): Row[] {
  return Array.from({ length: values.length / labels.length }, (_, row) => [
    ...values.subarray(row * labels.length, (row + 1) * labels.length),
  ]);
}

/** The time a row of text states: every row of an irregular series its own, of a regular one the first its start. */
function statedTime({ times, startNs }: Samples, row: number): bigint | undefined {
  return times ? times[row] : row === 0 ? startNs : undefined;
}

function jsonValue(value: number | bigint): string {
  if (typeof value === 'bigint') return value >= 2n ** 53n || value <= -(2n ** 53n) ? `"${value}"` : `${value}`;
  if (Number.isNaN(value)) return 'null';
  if (!Number.isFinite(value)) return `"${value}"`;
  return Object.is(value, -0) ? '-0' : JSON.stringify(value);
}

function jsonRow(row: Row): string {
  return `[${row.map(jsonValue).join(',')}]`;
}

function csvValue(value: number | bigint): string {
  if (typeof value === 'bigint') return String(value);
  if (Number.isNaN(value)) return '';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  return Object.is(value, -0) ? '-0' : String(value);
}

const ENCODERS: Readonly<Record<Format, (samples: Samples) => string | Uint8Array>> = {
  json(samples) {
    const values = `"values":[${rowsOf(samples).map(jsonRow).join(',')}]`;
    if (samples.times) return `{"times":[${samples.times.map((ns) => `"${ns}"`).join(',')}],${values}}`;
    return samples.startNs === undefined ? `{${values}}` : `{"start":"${samples.startNs}",${values}}`;
  },
  ndjson(samples) {
    return rowsOf(samples)
      .map((row, at) => {
        const time = statedTime(samples, at);
        return `{${time === undefined ? '' : `"time":"${time}",`}"values":${jsonRow(row)}}\n`;
      })
      .join('');
  },
  csv(samples) {
    const lines = rowsOf(samples).map((row, at) => [statedTime(samples, at) ?? '', ...row.map(csvValue)].join(','));
    return [['time', ...samples.labels].join(','), ...lines, ''].join('\n');
  },
  npy(samples) {
    const { dtype, labels, values, times } = samples;
    const rows = values.length / labels.length;
    const { npy } = DTYPES[dtype];
    const descr = times ? `[('time', '<i8'), ('values', '${npy}', (${labels.length},))]` : `'${npy}'`;
    const shape = times ? `(${rows},)` : `(${rows}, ${labels.length})`;
    const header = npyHeader(`{'descr': ${descr}, 'fortran_order': False, 'shape': ${shape}, }`);
    return Buffer.concat([header, ENCODERS.octet(samples) as Uint8Array]);
  },
  octet(samples) {
    const { values, times, labels } = samples;
    if (!times) return bytesOf(values);
    const bytes = bytesOf(values);
    const rowBytes = labels.length * values.BYTES_PER_ELEMENT;
    return Buffer.concat(times.flatMap((ns, row) => [int64(ns), bytes.subarray(row * rowBytes, (row + 1) * rowBytes)]));
  },
  arrow: (samples) => arrowTable(samples, 'file'),
  'arrow-stream': (samples) => arrowTable(samples, 'stream'),
};

/** Times are int64 ns; of a regular series with a start, the first row has it, and no other a time. */
function arrowTable({ values, labels, times, startNs, dtype }: Samples, format: 'file' | 'stream'): Uint8Array {
  const rows = values.length / labels.length;
  const stated =
    times ?? (startNs === undefined ? null : Array.from({ length: rows }, (_, row) => (row === 0 ? startNs : null)));
  const columns = labels.map((label, c): [string, Values] => [
    label,
    DTYPES[dtype].of([...values].filter((_: number | bigint, i: number) => i % labels.length === c)),
  ]);
  const time: [string, Values | (bigint | null)[]][] = stated
    ? [['time', times ? BigInt64Array.from(times) : [...stated]]]
    : [];
  return tableToIPC(tableFromArrays(Object.fromEntries([...time, ...columns])), { format }) as Uint8Array;
}

function int64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(value);
  return bytes;
}

/** The head of an `.npy` file of format version 1 with this dict, whatever it says. */
export function npyHeader(dict: string): Buffer {
  const text = `${dict}\n`;
  const head = Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, 0, 0]);
  head.writeUInt16LE(text.length, 8);
  return Buffer.concat([head, Buffer.from(text, 'latin1')]);
}

/** Rows of an answer; times are null where the format does not carry them. */
export interface Decoded {
  readonly values: Values;
  readonly times: bigint[] | null;
}

export function decode(
  format: Format,
  body: Buffer,
  { dtype, channels, irregular }: { dtype: NumberType; channels: number; irregular: boolean },
): Decoded {
  switch (format) {
    case 'json': {
      // By rows; those of one channel are its values.
      const { times, values } = JSON.parse(body.toString()) as { times: string[]; values: unknown[] };
      return { times: times.map(BigInt), values: arrayOf(dtype, values.flat()) };
    }
    case 'ndjson': {
      const lines = body.toString().split('\n').slice(0, -1);
      const rows = lines.map((line) => JSON.parse(line) as { time: string; values: unknown[] });
      return {
        times: rows.map(({ time }) => BigInt(time)),
        values: arrayOf(
          dtype,
          rows.flatMap(({ values }) => values),
        ),
      };
    }
    case 'csv': {
      const [, ...lines] = body.toString().split('\n').slice(0, -1);
      const rows = lines.map((line) => line.split(','));
      return {
        times: rows.map(([time]) => nsOf(time)),
        values: arrayOf(
          dtype,
          rows.flatMap(([, ...fields]) => fields),
        ),
      };
    }
    case 'arrow':
    case 'arrow-stream': {
      const table = tableFromIPC(body, { useBigInt: true });
      const [times, ...columns] = Array.from({ length: channels + 1 }, (_, i) =>
        table.getChildAt(i).data.flatMap((batch) => [...batch.values]),
      );
      const rows = times.map((_, row) => columns.map((column) => column[row]));
      return { times: times as bigint[], values: DTYPES[dtype].of(rows.flat()) };
    }
    case 'npy':
      return decode('octet', body.subarray(10 + body.readUInt16LE(8)), { dtype, channels, irregular });
    default: {
      if (!irregular) return { times: null, values: arrayFrom(dtype, body) };
      const recordBytes = 8 + channels * DTYPES[dtype].array.BYTES_PER_ELEMENT;
      const records = Array.from({ length: body.length / recordBytes }, (_, row) =>
        body.subarray(row * recordBytes, (row + 1) * recordBytes),
      );
      return {
        times: records.map((record) => record.readBigInt64LE()),
        values: arrayFrom(dtype, Buffer.concat(records.map((record) => record.subarray(8)))),
      };
    }
  }
}

/** From what JSON and CSV say: numbers, digits, words for what is not finite, and nothing for NaN. */
function arrayOf(dtype: NumberType, items: readonly unknown[]): Values {
  if (DTYPES[dtype].isBig) return DTYPES[dtype].of(items.map((item) => BigInt(item as string)));
  return DTYPES[dtype].of(items.map(numberOf));
}

function numberOf(item: unknown): number {
  if (typeof item !== 'string') return (item as number | null) ?? NaN;
  return item === '' ? NaN : Number(item.replace(/inf$/, 'Infinity'));
}

function arrayFrom(dtype: NumberType, bytes: Buffer): Values {
  const copy = new Uint8Array(bytes);
  return new DTYPES[dtype].array(copy.buffer);
}

/** Nanoseconds of an RFC 3339 time in UTC. */
export function nsOf(text: string): bigint {
  const [, seconds, fraction = ''] = /^(.*?)(?:\.(\d+))?Z$/.exec(text) ?? [];
  return BigInt(Date.parse(`${seconds}Z`)) * 1_000_000n + BigInt(fraction.padEnd(9, '0'));
}
