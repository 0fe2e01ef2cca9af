/** Bodies as streams, batches as arrays: what tests of formats put in and take out. */
import type { Batch, OutBatch, OutShape, SampleShape } from '../../src/core/signal/batch.ts';
import { bytesOf, DTYPES, type Dtype, type SampleArray } from '../../src/core/numbers/dtype.ts';

/** The bytes in pieces of a size, as a socket might hand them over. */
export async function* streamOf(bytes: Uint8Array | string, pieceBytes = 65_536): AsyncGenerator<Uint8Array> {
  const all = Buffer.from(bytes);
  for (let at = 0; at < all.length; at += pieceBytes) yield all.subarray(at, at + pieceBytes);
}

export async function allOf<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

export async function bytesFrom(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await allOf(pieces));
}

export async function textFrom(pieces: AsyncIterable<Uint8Array>): Promise<string> {
  return (await bytesFrom(pieces)).toString('utf8');
}

export interface Rows {
  readonly rows: number;
  /** Little-endian bytes: the one way to compare that sees every bit. */
  readonly valueBytes: Buffer;
  readonly times: bigint[] | null;
  readonly startNs: bigint | undefined;
  readonly batches: number;
}

export async function rowsOf(batches: AsyncIterable<Batch> | Iterable<Batch>): Promise<Rows> {
  const parts: Uint8Array[] = [];
  let times: bigint[] | null = null;
  let rows = 0;
  let count = 0;
  let startNs: bigint | undefined;
  for await (const batch of batches) {
    if (count++ === 0) startNs = batch.startNs;
    rows += batch.rows;
    parts.push(bytesOf(batch.values));
    if (batch.times) times = [...(times ?? []), ...batch.times];
  }
  return { rows, valueBytes: Buffer.concat(parts), times, startNs, batches: count };
}

export function arrayOf(dtype: Dtype, values: readonly (number | bigint)[]): SampleArray {
  const array: SampleArray & Record<number, number | bigint> = new DTYPES[dtype].array(values.length);
  values.forEach((value, i) => (array[i] = value));
  return array;
}

/** Rows on the way out, in batches of some rows each. */
export async function* outBatches(
  values: SampleArray,
  times: BigInt64Array,
  batchRows: number,
): AsyncGenerator<OutBatch> {
  const channels = times.length === 0 ? 1 : values.length / times.length;
  for (let row = 0; row < times.length; row += batchRows) {
    const end = Math.min(row + batchRows, times.length);
    yield {
      firstRow: row,
      rows: end - row,
      values: values.subarray(row * channels, end * channels),
      times: times.subarray(row, end),
    };
  }
}

function labels(count: number): string[] {
  return Array.from({ length: count }, (_, c) => `c${c}`);
}

export function shapeOf(dtype: Dtype, channels: number, kind: SampleShape['kind']): SampleShape {
  return { dtype, channelLabels: labels(channels), kind };
}

export function outShapeOf(shape: SampleShape, totalRows: number, next: string | null = null): OutShape {
  const channels = shape.channelLabels.map((label) => ({ label }));
  const rate = shape.kind === 'regular' ? '7/1' : null;
  const description = {
    name: 'n',
    project: 'p',
    unit: null,
    scale: 1,
    offset: 0,
    missingValue: null,
    rate,
    tags: {},
    channels,
  } as const;
  return {
    ...shape,
    seriesId: 's-1',
    totalRows,
    firstRow: 0,
    next,
    description: { ...description, timeReference: 'utc' },
  };
}
