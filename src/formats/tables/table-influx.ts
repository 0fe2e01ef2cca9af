/**
 * Tables as InfluxDB 1 answers them: a list of series, each of one measurement and one set of tags, with columns and rows.
 * @see https://docs.influxdata.com/influxdb/v1/tools/api/#query-http-endpoint
 */
import { VarveError } from '../../core/errors.ts';
import { fillGaps } from '../../core/overview/aggregate-span.ts';
import type { InfluxFill, InfluxFunction } from '../../core/influxql/influxql-statement.ts';
import type { TableBatch } from '../../core/signal/sample-table.ts';
import { formatTime, INT64_MAX, UNIT_NS } from '../../core/time.ts';

/** Points that one statement may look at, and rows that it may answer: they are held until the last has come. */
export const MAX_INFLUX_POINTS = 1_000_000;

export type InfluxEpoch = 'rfc3339' | keyof typeof UNIT_NS;

/** A series of Varve as a member of a series of the answer. */
export interface InfluxMember {
  /** Place of the series of the answer. */
  readonly group: number;
  readonly field: string;
  readonly isBoolean: boolean;
  /** Rows of one time and one set of tags are one row; place among all sets. */
  readonly tagSet: number;
}

export interface InfluxGroup {
  readonly name: string;
  readonly tags: Readonly<Record<string, string>> | null;
}

export type InfluxColumn =
  | { readonly kind: 'field'; readonly field: string; readonly alias: string }
  /** A value for each set of tags; null: it has none. */
  | { readonly kind: 'tag'; readonly alias: string; readonly values: readonly (string | null)[] }
  | {
      readonly kind: 'call';
      readonly call: InfluxFunction;
      readonly argument: number | null;
      readonly field: string;
      readonly alias: string;
    };

/** How the answer to a statement is put together. Plain data: it goes to a thread. */
export interface InfluxShape {
  readonly statement: number;
  readonly members: readonly InfluxMember[];
  readonly groups: readonly InfluxGroup[];
  readonly columns: readonly InfluxColumn[];
  /** What comes: rows as they are stored, or aggregates of buckets. */
  readonly source: 'rows' | 'buckets';
  /** Null: one bucket for all. */
  readonly everyNs: bigint | null;
  /** The range, as far as it is known; the end is exclusive. */
  readonly startNs: bigint | null;
  readonly endNs: bigint | null;
  readonly fill: InfluxFill | null;
  readonly isDescending: boolean;
  readonly limit: number | null;
  readonly offset: number;
  readonly seriesLimit: number | null;
  readonly seriesOffset: number;
  readonly epoch: InfluxEpoch;
  /** Rows of a document; null: one document has all. */
  readonly chunkRows: number | null;
}

type InfluxValue = number | bigint;
type Cell = InfluxValue | string | boolean | null;
interface InfluxRow {
  readonly ns: bigint;
  readonly cells: readonly Cell[];
}

/** @yields the result of the statement as JSON; with `chunkRows` a line for each document */
export async function* encodeInflux(
  batches: AsyncIterable<TableBatch>,
  shape: InfluxShape,
): AsyncGenerator<Uint8Array> {
  const isPlain = !shape.columns.some(({ kind }) => kind === 'call');
  const groups = isPlain ? await plainRows(batches, shape) : await calledRows(batches, shape);
  const filled = groups.map((rows, group) => ({ group, rows })).filter(({ rows }) => rows.length > 0);
  const { seriesOffset, seriesLimit } = shape;
  const shown = filled.slice(seriesOffset, seriesLimit === null ? undefined : seriesOffset + seriesLimit);
  yield* printed(shown, shape);
}

function tooMany(): Error {
  const message = `max-select-point limit exceeded: a statement looks at ${MAX_INFLUX_POINTS} points at most; ask for a shorter time, for a LIMIT, or for mean, sum, count, min or max GROUP BY time(…)`;
  return new VarveError('limit-exceeded', message, { errors: [{ field: 'q', message }] });
}

/** Columns of rows as they are stored: time, place of the series, …, value last. The newest may lie before the range. */
function* pointsOf(
  { rows, columns }: TableBatch,
  { startNs, endNs }: InfluxShape,
): Generator<{ ns: bigint; member: number; value: InfluxValue }> {
  const [times, members] = columns;
  const values = columns[columns.length - 1];
  for (let i = 0; i < rows; i++) {
    const ns = times[i] as bigint;
    if ((startNs !== null && ns < startNs) || (endNs !== null && ns >= endNs)) continue;
    yield { ns, member: Number(members[i]), value: values[i] };
  }
}

async function plainRows(batches: AsyncIterable<TableBatch>, shape: InfluxShape): Promise<InfluxRow[][]> {
  const { members, columns, groups, isDescending, limit, offset } = shape;
  const places = new Map<string, number[]>();
  columns.forEach((column, at) => {
    if (column.kind === 'field') places.set(column.field, [...(places.get(column.field) ?? []), at]);
  });
  const tagged = columns.flatMap((column, at) => (column.kind === 'tag' ? [{ at, values: column.values }] : []));
  // Rows of one time are told apart by their sets of tags.
  const rows = groups.map(() => new Map<number, Map<bigint, Cell[]>>());
  let points = 0;
  for await (const batch of batches) {
    points += batch.rows;
    if (points > MAX_INFLUX_POINTS) throw tooMany();
    for (const { ns, member, value } of pointsOf(batch, shape)) {
      const { group, field, tagSet, isBoolean } = members[member];
      const ofGroup = rows[group];
      let ofSet = ofGroup.get(tagSet);
      if (!ofSet) ofGroup.set(tagSet, (ofSet = new Map()));
      let cells = ofSet.get(ns);
      if (!cells) {
        ofSet.set(ns, (cells = new Array<Cell>(columns.length).fill(null)));
        for (const { at, values } of tagged) cells[at] = values[tagSet];
      }
      for (const at of places.get(field) ?? []) cells[at] = isBoolean ? value !== 0 : value;
    }
  }
  return rows.map((ofGroup) => {
    const all = [...ofGroup.values()].flatMap((ofSet) =>
      Array.from(ofSet, ([ns, cells]): InfluxRow => ({ ns, cells })),
    );
    all.sort((a, b) => (a.ns < b.ns ? -1 : a.ns > b.ns ? 1 : 0));
    if (isDescending) all.reverse();
    return all.slice(offset, limit === null ? undefined : offset + limit);
  });
}

/** Points of one field of one group in one bucket, with what can be told of them. */
interface Heap {
  count: number;
  sum: InfluxValue;
  min: InfluxValue;
  max: InfluxValue;
  /** Sum of squares of the distances from the mean. */
  squares: number;
  /** Points in the order they came; empty where buckets were told. */
  readonly points: { ns: bigint; value: InfluxValue }[];
}

const newHeap = (): Heap => ({ count: 0, sum: 0n, min: 0, max: 0, squares: 0, points: [] });

/** Integers are added exactly; with a float among them as floats. */
function sumOf(a: InfluxValue, b: InfluxValue): InfluxValue {
  if (typeof a === 'bigint' && typeof b === 'bigint') return a + b;
  if (typeof a === 'bigint' && a === 0n) return b;
  return Number(a) + Number(b);
}

const isLess = (a: InfluxValue, b: InfluxValue): boolean => a < b;

/** Chan's formula: what is known of two sets of values becomes what is known of both. */
function addTold(heap: Heap, told: Omit<Heap, 'points'>): void {
  if (told.count === 0) return;
  if (heap.count === 0) Object.assign(heap, told);
  else {
    const distance = Number(told.sum) / told.count - Number(heap.sum) / heap.count;
    heap.squares += told.squares + (distance * distance * heap.count * told.count) / (heap.count + told.count);
    heap.count += told.count;
    heap.sum = sumOf(heap.sum, told.sum);
    if (isLess(told.min, heap.min)) heap.min = told.min;
    if (isLess(heap.max, told.max)) heap.max = told.max;
  }
}

async function calledRows(batches: AsyncIterable<TableBatch>, shape: InfluxShape): Promise<InfluxRow[][]> {
  const { members, groups, everyNs, source } = shape;
  /** By group, field and bucket. */
  const heaps = groups.map(() => new Map<string, Map<bigint, Heap>>());
  const heapOf = (member: number, ns: bigint): Heap => {
    const { group, field } = members[member];
    const bucket = everyNs === null ? 0n : floorTo(ns, everyNs);
    const ofGroup = heaps[group];
    let ofField = ofGroup.get(field);
    if (!ofField) ofGroup.set(field, (ofField = new Map()));
    let heap = ofField.get(bucket);
    if (!heap) ofField.set(bucket, (heap = newHeap()));
    return heap;
  };
  let points = 0;
  for await (const batch of batches) {
    points += batch.rows;
    if (points > MAX_INFLUX_POINTS) throw tooMany();
    if (source === 'rows') {
      for (const { ns, member, value } of pointsOf(batch, shape)) {
        // NaN is no value to InfluxDB.
        if (value === value) heapOf(member, ns).points.push({ ns, value });
      }
    } else for (const { ns, member, told } of bucketsOf(batch)) addTold(heapOf(member, ns), told);
  }
  for (const ofGroup of heaps)
    for (const ofField of ofGroup.values()) for (const heap of ofField.values()) settle(heap);
  return heaps.map((ofGroup) => (everyNs === null ? wholeRow(ofGroup, shape) : bucketRows(ofGroup, shape, everyNs)));
}

/** What points say, as buckets would. */
function settle(heap: Heap): void {
  const { points } = heap;
  if (points.length === 0) return;
  points.sort((a, b) => (a.ns < b.ns ? -1 : a.ns > b.ns ? 1 : 0));
  heap.count = points.length;
  heap.min = heap.max = points[0].value;
  heap.sum = 0n;
  for (const { value } of points) {
    heap.sum = sumOf(heap.sum, value);
    if (isLess(value, heap.min)) heap.min = value;
    if (isLess(heap.max, value)) heap.max = value;
  }
  const mean = Number(heap.sum) / heap.count;
  heap.squares = points.reduce((sum, { value }) => sum + (Number(value) - mean) ** 2, 0);
}

/** Columns of buckets: start, end, place of the series, …, then count, sum, min, max and std, in this order. */
function* bucketsOf({
  rows,
  columns,
  present,
}: TableBatch): Generator<{ ns: bigint; member: number; told: Omit<Heap, 'points'> }> {
  const [starts, , members] = columns;
  const first = columns.length - BUCKET_AGGREGATES.length;
  const [counts, sums, mins, maxs, stds] = columns.slice(first);
  const hasStd = present[columns.length - 1];
  for (let i = 0; i < rows; i++) {
    const count = Number(counts[i]);
    if (count === 0) continue;
    const std = hasStd && hasStd[i] === 0 ? 0 : Number(stds[i]);
    const squares = count > 1 ? std * std * (count - 1) : 0;
    const told = { count, sum: sums[i], min: mins[i], max: maxs[i], squares };
    yield { ns: starts[i] as bigint, member: Number(members[i]), told };
  }
}

/** What is asked of buckets. */
export const BUCKET_AGGREGATES = ['count', 'sum', 'min', 'max', 'std'] as const;

const floorTo = (ns: bigint, every: bigint): bigint => {
  const into = ns % every;
  return ns - (into < 0n ? into + every : into);
};

type OfGroup = ReadonlyMap<string, ReadonlyMap<bigint, Heap>>;

/** One row. A function that picks a point, alone, tells the time of it. */
function wholeRow(ofGroup: OfGroup, { columns, startNs }: InfluxShape): InfluxRow[] {
  const calls = columns.filter((column) => column.kind === 'call');
  const told = calls.map(({ call, argument, field }) => {
    const heap = ofGroup.get(field)?.get(0n);
    return heap && heap.count > 0 ? answerOf(heap, call, argument) : null;
  });
  if (told.every((each) => each === null)) return [];
  const only = told.length === 1 ? told[0] : null;
  return [{ ns: only?.ns ?? startNs ?? 0n, cells: told.map((each) => each?.value ?? null) }];
}

function bucketRows(ofGroup: OfGroup, shape: InfluxShape, everyNs: bigint): InfluxRow[] {
  const { columns, fill, startNs, endNs, isDescending, limit, offset } = shape;
  const calls = columns.filter((column) => column.kind === 'call');
  const seen = [...new Set([...ofGroup.values()].flatMap((ofField) => [...ofField.keys()]))];
  if (seen.length === 0) return [];
  seen.sort((a, b) => (a < b ? -1 : 1));
  let at = seen;
  if (fill !== 'none') {
    const first = startNs === null ? seen[0] : floorTo(startNs, everyNs);
    const last = endNs === null ? seen[seen.length - 1] : floorTo(endNs - 1n, everyNs);
    const count = (last - first) / everyNs + 1n;
    if (count > BigInt(MAX_INFLUX_POINTS)) throw tooMany();
    at = Array.from({ length: Number(count) }, (_, i) => first + BigInt(i) * everyNs);
  }
  const values = calls.map(({ call, argument, field }) => {
    const ofField = ofGroup.get(field);
    const found = at.map((bucket): InfluxValue | null => {
      const heap = ofField?.get(bucket);
      return heap && heap.count > 0 ? (answerOf(heap, call, argument)?.value ?? null) : null;
    });
    return filledIn(found, at, fill ?? (call === 'count' ? { number: 0 } : 'null'));
  });
  const rows = at.map((ns, i): InfluxRow => ({ ns, cells: values.map((column) => column[i]) }));
  const kept = fill === 'none' ? rows.filter(({ cells }) => cells.some((cell) => cell !== null)) : rows;
  if (isDescending) kept.reverse();
  return kept.slice(offset, limit === null ? undefined : offset + limit);
}

function filledIn(
  values: readonly (InfluxValue | null)[],
  at: readonly bigint[],
  fill: InfluxFill,
): (InfluxValue | null)[] {
  if (fill === 'none' || fill === 'null') return [...values];
  if (typeof fill === 'object') return values.map((value) => value ?? fill.number);
  return fillGaps(values, BigInt64Array.from(at), fill);
}

/** @returns the value, and of a function that picks a point the time of that */
function answerOf(
  heap: Heap,
  call: InfluxFunction,
  argument: number | null,
): { readonly value: InfluxValue; readonly ns: bigint | null } | null {
  const { count, sum, min, max, squares, points } = heap;
  const plain = (value: InfluxValue): { value: InfluxValue; ns: null } => ({ value, ns: null });
  const picked = (value: InfluxValue): { value: InfluxValue; ns: bigint | null } => ({
    value,
    ns: points.find((point) => point.value === value)?.ns ?? null,
  });
  switch (call) {
    case 'count':
      return plain(count);
    case 'sum':
      return plain(sum);
    case 'mean':
      return plain(Number(sum) / count);
    case 'spread':
      return plain(typeof max === 'bigint' && typeof min === 'bigint' ? max - min : Number(max) - Number(min));
    case 'stddev':
      return count < 2 ? null : plain(Math.sqrt(squares / (count - 1)));
    case 'min':
      return picked(min);
    case 'max':
      return picked(max);
    case 'first':
      return points[0];
    case 'last':
      return points[points.length - 1];
    case 'median': {
      const sorted = inOrder(points);
      const middle = sorted.length >> 1;
      if (sorted.length % 2 === 1) return plain(sorted[middle].value);
      return plain((Number(sorted[middle - 1].value) + Number(sorted[middle].value)) / 2);
    }
    case 'percentile': {
      // The nearest rank, as InfluxDB has it.
      const at = Math.floor((points.length * argument!) / 100 + 0.5) - 1;
      return at < 0 || at >= points.length ? null : inOrder(points)[at];
    }
  }
}

function inOrder<T extends { readonly value: InfluxValue }>(points: readonly T[]): T[] {
  return [...points].sort((a, b) => (a.value < b.value ? -1 : a.value > b.value ? 1 : 0));
}

/** Texts are gathered up to so many characters. */
const PIECE_CHARS = 64 * 1024;

function* printed(
  shown: readonly { readonly group: number; readonly rows: readonly InfluxRow[] }[],
  shape: InfluxShape,
): Generator<Uint8Array> {
  const { statement, groups, columns, epoch, chunkRows } = shape;
  const names = JSON.stringify(['time', ...columns.map(({ alias }) => alias)]);
  let text = '';
  const piece = (): Uint8Array => {
    const bytes = Buffer.from(text);
    text = '';
    return bytes;
  };
  const head = ({ name, tags }: InfluxGroup): string =>
    `{"name":${JSON.stringify(name)},${tags ? `"tags":${JSON.stringify(tags)},` : ''}"columns":${names},"values":[`;
  if (chunkRows === null) {
    text = `{"statement_id":${statement}${shown.length > 0 ? ',"series":[' : ''}`;
    for (const [n, { group, rows }] of shown.entries()) {
      text += `${n === 0 ? '' : ','}${head(groups[group])}`;
      for (const [i, row] of rows.entries()) {
        text += (i === 0 ? '' : ',') + rowText(row, epoch);
        if (text.length > PIECE_CHARS) yield piece();
      }
      text += ']}';
    }
    text += shown.length > 0 ? ']}' : '}';
    yield piece();
    return;
  }
  if (shown.length === 0) yield Buffer.from(`{"results":[{"statement_id":${statement}}]}\n`);
  for (const [n, { group, rows }] of shown.entries()) {
    for (let from = 0; from < rows.length; from += chunkRows) {
      const isLast = from + chunkRows >= rows.length;
      const isAll = isLast && n === shown.length - 1;
      const values = rows.slice(from, from + chunkRows).map((row) => rowText(row, epoch));
      const series = `${head(groups[group])}${values.join(',')}]${isLast ? '' : ',"partial":true'}}`;
      const result = `{"statement_id":${statement},"series":[${series}]${isAll ? '' : ',"partial":true'}}`;
      yield Buffer.from(`{"results":[${result}]}\n`);
    }
  }
}

function rowText({ ns, cells }: InfluxRow, epoch: InfluxEpoch): string {
  return `[${timeText(ns, epoch)}${cells.map((cell) => `,${cellText(cell)}`).join('')}]`;
}

/** Whole units, rounded down, as InfluxDB tells them. */
function timeText(ns: bigint, epoch: InfluxEpoch): string {
  if (epoch === 'rfc3339') return `"${formatTime(ns)}"`;
  return String(floorTo(ns, UNIT_NS[epoch]) / UNIT_NS[epoch]);
}

/** JSON has no NaN and no infinities. */
function cellText(cell: Cell): string {
  if (typeof cell === 'number') return Number.isFinite(cell) ? String(Object.is(cell, -0) ? '-0' : cell) : 'null';
  return typeof cell === 'bigint' ? String(cell) : JSON.stringify(cell);
}

/** A bucket that holds all of time behind 1970, and one that holds all before. */
export const WHOLE_NS = INT64_MAX;
