/** Turns a body of lines into rows by series, with the checksums of the parts that are to be stored. Runs on either side of a thread. */
import { crc32 } from 'node:zlib';
import type { AppendPart } from '../../core/rows/place-append.ts';
import { extendSpan } from '../../core/signal/time-span.ts';
import { DTYPES, type Dtype } from '../../core/numbers/dtype.ts';
import { parseLines, type LineRules, type ParsedLines } from '../../formats/line-protocol/line-parser.ts';
import { TEXT_CODE, VALUE_KINDS } from '../../formats/line-protocol/line-points.ts';

/** Rows of one part: a mebibyte of float64. It becomes one chunk, which is read as a whole where it is checked. */
const PART_ROWS = 131_072;

/** Parts in columns, as they cross threads: of each series those that follow each other, of series of texts none. */
export interface LineParts {
  readonly series: Int32Array;
  readonly rows: Int32Array;
  readonly firstNs: BigInt64Array;
  readonly lastNs: BigInt64Array;
  readonly sorted: Uint8Array;
  readonly valuesCrc: Uint32Array;
  readonly timesCrc: Uint32Array;
}

export interface ReceivedLines extends ParsedLines {
  readonly parts: LineParts;
}

/** @throws what {@link parseLines} does */
export async function receiveLines(rules: LineRules, body: AsyncIterable<Uint8Array>): Promise<ReceivedLines> {
  const pieces: Uint8Array[] = [];
  for await (const piece of body) pieces.push(piece);
  return receiveWhole(rules, pieces);
}

/** As {@link receiveLines}, of a body that is here as a whole. */
export function receiveWhole(rules: LineRules, pieces: readonly Uint8Array[]): ReceivedLines {
  return withParts(parseLines(pieces.length === 1 ? pieces[0] : Buffer.concat(pieces), rules));
}

function withParts(lines: ParsedLines): ReceivedLines {
  const { kinds, rows, times } = lines;
  const series: number[] = [];
  const partRows: number[] = [];
  rows.forEach((count, at) => {
    if (kinds[at] === TEXT_CODE) return;
    for (let from = 0; from < count; from += PART_ROWS) {
      series.push(at);
      partRows.push(Math.min(PART_ROWS, count - from));
    }
  });
  const count = series.length;
  const parts = {
    series: Int32Array.from(series),
    rows: Int32Array.from(partRows),
    firstNs: new BigInt64Array(count),
    lastNs: new BigInt64Array(count),
    sorted: new Uint8Array(count),
    valuesCrc: new Uint32Array(count),
    timesCrc: new Uint32Array(count),
  };
  const received = { ...lines, parts };
  const places = new LinePlaces(received);
  for (let part = 0; part < count; part++) {
    const { row, values, times: stamps } = places.of(part);
    const span = extendSpan(null, times.subarray(row, row + parts.rows[part]));
    parts.firstNs[part] = span.firstNs;
    parts.lastNs[part] = span.lastNs;
    parts.sorted[part] = span.sorted ? 1 : 0;
    parts.valuesCrc[part] = crc32(values);
    parts.timesCrc[part] = crc32(stamps);
  }
  return received;
}

/** Where the rows of parts lie, to be asked in their order. */
class LinePlaces {
  readonly #lines: ReceivedLines;
  readonly #times: Uint8Array;
  #series = 0;
  /** The first row of the series, and of the part within it. */
  #row = 0;
  #within = 0;

  constructor(lines: ReceivedLines) {
    this.#lines = lines;
    const { buffer, byteOffset, byteLength } = lines.times;
    this.#times = new Uint8Array(buffer, byteOffset, byteLength);
  }

  of(part: number): { readonly row: number; readonly values: Uint8Array; readonly times: Uint8Array } {
    const { parts, rows: rowsOf, kinds, values, valuesAt } = this.#lines;
    const series = parts.series[part];
    for (; this.#series < series; this.#series++) {
      this.#row += rowsOf[this.#series];
      this.#within = 0;
    }
    const rows = parts.rows[part];
    const { bytes } = DTYPES[dtypeOf(kinds[series])];
    const from = valuesAt[series] + this.#within * bytes;
    const row = this.#row + this.#within;
    this.#within += rows;
    return {
      row,
      values: values.subarray(from, from + rows * bytes),
      times: this.#times.subarray(row * 8, (row + rows) * 8),
    };
  }
}

/** @param kind of a value that is no text */
export function dtypeOf(kind: number): Dtype {
  return VALUE_KINDS[kind] as Dtype;
}

/** By series, its parts as they are to be appended; of series of texts none. */
export function partsBySeries(lines: ReceivedLines): AppendPart[][] {
  const { parts } = lines;
  const places = new LinePlaces(lines);
  const bySeries = Array.from(lines.rows, (): AppendPart[] => []);
  for (let part = 0; part < parts.series.length; part++) {
    const { values, times } = places.of(part);
    bySeries[parts.series[part]].push({
      rows: parts.rows[part],
      bytes: values.length + times.length,
      firstNs: parts.firstNs[part],
      lastNs: parts.lastNs[part],
      sorted: parts.sorted[part] === 1,
      valuesCrc: parts.valuesCrc[part],
      timesCrc: parts.timesCrc[part],
      place: { kind: 'memory', values, times },
    });
  }
  return bySeries;
}

/** The same without the points of some lines. @param isRefused by the number of a line. Series keep their places, also those that have no points any more */
export function withoutLines(lines: ReceivedLines, isRefused: (line: number) => boolean): ReceivedLines {
  const { rows, kinds, values, valuesAt, times, lines: numbers, texts } = lines;
  const kept: number[] = [];
  const left = rows.slice();
  const leftTexts: string[] = [];
  const leftValues = values.slice();
  let row = 0;
  let text = 0;
  for (let series = 0; series < rows.length; series++) {
    const isText = kinds[series] === TEXT_CODE;
    const bytes = isText ? 0 : DTYPES[dtypeOf(kinds[series])].bytes;
    let count = 0;
    for (let at = 0; at < rows[series]; at++, row++) {
      if (isText) text++;
      if (isRefused(numbers[row])) continue;
      kept.push(row);
      if (isText) leftTexts.push(texts[text - 1]);
      const from = valuesAt[series] + at * bytes;
      leftValues.copyWithin(valuesAt[series] + count * bytes, from, from + bytes);
      count++;
    }
    left[series] = count;
  }
  return withParts({
    ...lines,
    rows: left,
    values: leftValues,
    times: BigInt64Array.from(kept, (at) => times[at]),
    lines: Int32Array.from(kept, (at) => numbers[at]),
    texts: leftTexts,
  });
}
