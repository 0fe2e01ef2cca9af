/** What was fetched of one series for one span: buckets with extremes, or single samples. Pure. */
import { SAMPLE_LEVEL, type WantedSpan } from './bucket-level.ts';
import type { ViewWindow } from './view-window.ts';

/**
 * Values of one span. A single sample is a bucket of one value that begins where the sample lies.
 * Times are nanoseconds after `startNs`: exact within 104 days, and beyond that far below a pixel.
 */
export interface SignalBlock extends ViewWindow {
  readonly level: number;
  /** The newest change of the series that it knows of. */
  readonly commit: number;
  /** In order. */
  readonly begins: Float64Array;
  /** The same array, if these are samples. */
  readonly ends: Float64Array;
  /** Values that a bucket stands for; of samples null, for each is one. */
  readonly counts: Float64Array | null;
  /** Channel by channel, in the order of `channels`; NaN where there is no value. */
  readonly lows: readonly Float64Array[];
  /** The same arrays, if these are samples. */
  readonly highs: readonly Float64Array[];
  /** Numbers of the channels in the series. */
  readonly channels: readonly number[];
  /** Samples that float64 has not exactly, as they came, by channel and place; null: there are none. */
  readonly digits: ReadonlyMap<string, string> | null;
}

/** Bytes that a block takes, about. */
export function blockBytes({ begins, lows, level }: SignalBlock): number {
  return begins.length * 8 * (level === SAMPLE_LEVEL ? 1 + lows.length : 3 + 2 * lows.length) + 200;
}

const TYPES = {
  '<i8': { bytes: 8, read: (view: DataView, at: number) => Number(view.getBigInt64(at, true)) },
  '<f8': { bytes: 8, read: (view: DataView, at: number) => view.getFloat64(at, true) },
  '<f4': { bytes: 4, read: (view: DataView, at: number) => view.getFloat32(at, true) },
} as const;

interface NpyLayout {
  readonly type: keyof typeof TYPES;
  readonly width: number;
  /** Bytes from the beginning of a row. */
  readonly offset: number;
}

/**
 * Reads buckets from a structured `.npy` array with the fields start, end, count, min and max.
 * @see https://numpy.org/neps/nep-0001-npy-format.html
 * @throws if it is none
 */
export function bucketsOfNpy(
  bytes: ArrayBuffer,
  span: WantedSpan,
  commit: number,
  channels: readonly number[],
): SignalBlock {
  const view = new DataView(bytes);
  if (bytes.byteLength < 12 || view.getUint32(0) !== 0x934e554d) throw new Error('the answer is no .npy array');
  const isLong = view.getUint8(6) > 1;
  const headFrom = isLong ? 12 : 10;
  const data = headFrom + (isLong ? view.getUint32(8, true) : view.getUint16(8, true));
  const head = new TextDecoder('latin1').decode(new Uint8Array(bytes, headFrom, data - headFrom));
  const rows = Number(/'shape': \((\d+),\)/.exec(head)?.[1] ?? Number.NaN);
  const { columns, rowBytes } = columnsOf(head);
  if (!(rows >= 0) || data + rows * rowBytes > bytes.byteLength) throw new Error('the .npy array is cut off');
  const offsets = (name: string): Float64Array => {
    const { offset } = columns.get(name)!;
    const { startNs } = span;
    return Float64Array.from({ length: rows }, (_, i) =>
      Number(view.getBigInt64(data + i * rowBytes + offset, true) - startNs),
    );
  };
  const numbers = ({ type, offset }: NpyLayout, channel: number): Float64Array => {
    const { bytes: size, read } = TYPES[type];
    const values = new Float64Array(rows);
    for (let i = 0, at = data + offset + channel * size; i < rows; i++, at += rowBytes) values[i] = read(view, at);
    return values;
  };
  const lists = (name: string): Float64Array[] => channels.map((_, c) => numbers(columns.get(name)!, c));
  return {
    startNs: span.startNs,
    endNs: span.endNs,
    level: span.level,
    commit,
    begins: offsets('start'),
    ends: offsets('end'),
    counts: numbers(columns.get('count')!, 0),
    lows: lists('min'),
    highs: lists('max'),
    channels,
    digits: null,
  };
}

/** @throws if a field that is needed is missing or of a type that is not known */
function columnsOf(head: string): { columns: Map<string, NpyLayout>; rowBytes: number } {
  const columns = new Map<string, NpyLayout>();
  let rowBytes = 0;
  for (const [, name, type, width] of head.matchAll(/\('(\w+)', '([^']+)'(?:, \((\d+),\))?\)/g)) {
    if (!isKnownType(type)) throw new Error(`the .npy array has a field of type ${type}`);
    const column = { type, width: Number(width ?? 1), offset: rowBytes };
    columns.set(name, column);
    rowBytes += column.width * TYPES[type].bytes;
  }
  for (const name of ['start', 'end', 'count', 'min', 'max']) {
    if (!columns.has(name)) throw new Error(`the .npy array has no field ${name}`);
  }
  return { columns, rowBytes };
}

function isKnownType(type: string): type is keyof typeof TYPES {
  return Object.hasOwn(TYPES, type);
}

/** An answer of rows in JSON, a list a channel. */
export interface RowsAnswer {
  readonly times: readonly string[];
  readonly values: readonly (readonly (number | string | null)[])[];
}

/**
 * Reads single samples.
 * @param missing the stored value that stands for none, if values are as they are stored; null: there is none
 */
export function samplesOfJson(
  { times, values }: RowsAnswer,
  span: WantedSpan,
  commit: number,
  channels: readonly number[],
  missing: string | null = null,
): SignalBlock {
  const begins = Float64Array.from(times, (text) => Number(BigInt(text) - span.startNs));
  const digits = new Map<string, string>();
  const lows = channels.map((_, c) =>
    Float64Array.from(values[c] ?? [], (value, i) => {
      if (value === null || String(value) === missing) return Number.NaN;
      if (typeof value === 'string' && /^-?\d+$/.test(value)) digits.set(`${c}:${i}`, value);
      return Number(value);
    }),
  );
  return {
    startNs: span.startNs,
    endNs: span.endNs,
    level: SAMPLE_LEVEL,
    commit,
    begins,
    ends: begins,
    counts: null,
    lows,
    highs: lows,
    channels,
    digits: digits.size > 0 ? digits : null,
  };
}
