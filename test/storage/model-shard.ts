/** A shard and what it must hold: makes commit requests, and remembers every row that was published. */
import { expect } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { Chunk } from '../../src/core/chunk.ts';
import { emptyStats, extendStats } from '../../src/core/chunk-stats.ts';
import { bytesOf, DTYPES, isBigDtype, viewAs, type Dtype } from '../../src/core/dtype.ts';
import { formatRate, nsOfRow, rateHz, type Rate } from '../../src/core/rate.ts';
import { DataRoot, shardPath } from '../../src/storage/data-root.ts';
import type { CommitPart, CommitRequest, CommitResult, SegmentStart } from '../../src/storage/shard-commit.ts';

export const RATE: Rate = { num: 30_000n, den: 1001n };
const START_NS = 1_777_593_600_000_000_000n;

/** A data root in a folder of its own. */
export function temporaryRoot(): DataRoot & { remove(): void } {
  const root = new DataRoot(mkdtempSync(join(tmpdir(), 'varve-storage-')));
  root.prepare();
  return Object.assign(root, { remove: () => rmSync(root.root, { recursive: true }) });
}

export interface SeriesShape {
  readonly dtype: Dtype;
  readonly channels: number;
  readonly irregular: boolean;
  /** Rows the series has in other shards already. */
  readonly rowsElsewhere?: number;
}

/** One payload of a commit. */
export interface PartShape {
  readonly rows: number;
  /** Tells the content of one part from another's. 0: all zero. */
  readonly seed: number;
  /** Regular series: ns between the end of the data and these rows; 0 goes on. */
  readonly gapNs?: bigint;
  readonly spooled?: boolean;
}

/** Values and times that belong to each other. */
interface Rows {
  readonly values: Uint8Array;
  readonly times: BigInt64Array | null;
}

interface State {
  readonly values: Buffer;
  readonly times: readonly bigint[];
  /** The newest evenly spaced run, and the starts of all. */
  readonly run: { readonly startNs: bigint; readonly rows: number } | null;
  readonly starts: readonly SegmentStart[];
}

export class ModelSeries {
  readonly id = randomUUID();
  readonly shape: SeriesShape;
  readonly firstRow: number;
  /** Published chunks by their first row. */
  readonly chunks = new Map<number, Chunk>();
  state: State;

  constructor(shape: SeriesShape) {
    this.shape = shape;
    this.firstRow = shape.rowsElsewhere ?? 0;
    const run = this.firstRow > 0 && !shape.irregular ? { startNs: START_NS, rows: this.firstRow } : null;
    this.state = { values: Buffer.alloc(0), times: [], run, starts: [] };
  }

  get rowBytes(): number {
    return this.shape.channels * DTYPES[this.shape.dtype].bytes;
  }

  get rows(): number {
    return this.state.values.length / this.rowBytes;
  }

  get tail(): Chunk | null {
    return [...this.chunks.values()].at(-1) ?? null;
  }
}

export class ModelShard {
  readonly id = randomUUID();
  readonly root: DataRoot;
  readonly relativePath: string;
  readonly series: ModelSeries[];
  published = false;

  constructor(root: DataRoot, series: ModelSeries[]) {
    this.root = root;
    this.series = series;
    this.relativePath = shardPath(this.id, 1n);
  }

  get path(): string {
    return this.root.resolve(this.relativePath);
  }

  /** @returns the request, and what is to be done once its result is published */
  plan(appends: readonly (readonly [ModelSeries, readonly PartShape[]])[]): {
    request: CommitRequest;
    publish(result: CommitResult): void;
  } {
    const next = appends.map(([series, parts]) => ({ series, ...appendTo(this.root, series, parts) }));
    const request: CommitRequest = {
      dataRoot: this.root.root,
      shardId: this.id,
      laneId: 'lane-1',
      path: this.relativePath,
      isNew: !this.published,
      appends: next.map(({ append }) => append),
    };
    const publish = (result: CommitResult): void => {
      if (result.kind !== 'committed') throw new Error(JSON.stringify(result));
      this.published = true;
      for (const { series, state } of next) {
        series.state = state;
        for (const chunk of result.chunks) if (chunk.seriesId === series.id) series.chunks.set(chunk.firstRow, chunk);
      }
      expect(result.shardBytes).toBe(readFileSync(this.path).length);
    };
    return { request, publish };
  }

  /** Reads every published row straight from the file, by the places and checksums of its chunks. */
  expectReadableByOffset(): void {
    const file = readFileSync(this.path);
    for (const series of this.series) {
      const { dtype, channels, irregular } = series.shape;
      const rowShape = { dtype, channels, missingValue: describeSeries(series).missingValue };
      const values: Buffer[] = [];
      const times: Buffer[] = [];
      let row = series.firstRow;
      for (const chunk of series.chunks.values()) {
        expect(chunk).toMatchObject({
          seriesId: series.id,
          shardId: this.id,
          firstRow: row,
          datasetRow: row - series.firstRow,
          codec: 'none',
        });
        const bytes = file.subarray(chunk.values.offset, chunk.values.offset + chunk.rows * series.rowBytes);
        values.push(bytes);
        expect(chunk.valuesCrc).toBe(crc32(bytes));
        const stats = extendStats(emptyStats(channels), rowShape, viewAs(dtype, bytes));
        for (const name of ['counts', 'mins', 'maxs'] as const) {
          expect(Buffer.compare(doubles(chunk.stats[name]), doubles(stats[name]))).toBe(0);
        }
        if (irregular) {
          const timeBytes = file.subarray(chunk.times!.offset, chunk.times!.offset + chunk.rows * 8);
          times.push(timeBytes);
          expect(chunk.timesCrc).toBe(crc32(timeBytes));
          const column = viewAs('int64', timeBytes) as BigInt64Array;
          const ordered = column.toSorted();
          expect([chunk.firstNs, chunk.lastNs]).toEqual([ordered[0], ordered.at(-1)]);
          expect(chunk.sorted).toBe(column.every((time, i) => i === 0 || time > column[i - 1]));
        } else {
          expect(chunk).toMatchObject({ times: null, timesCrc: null, firstNs: null, lastNs: null, sorted: true });
        }
        row += chunk.rows;
      }
      expect(Buffer.concat(values).equals(series.state.values)).toBe(true);
      if (irregular) expect(Buffer.concat(times).equals(bytesOf(BigInt64Array.from(series.state.times)))).toBe(true);
    }
  }
}

function appendTo(
  root: DataRoot,
  series: ModelSeries,
  shapes: readonly PartShape[],
): { append: CommitRequest['appends'][number]; state: State } {
  const { dtype, channels, irregular } = series.shape;
  let { run } = series.state;
  const starts: SegmentStart[] = [];
  const rows: Rows[] = [];
  const parts: CommitPart[] = [];
  let row = series.firstRow + series.rows;
  let firstRowNs: bigint | null = null;
  for (const shape of shapes) {
    const payload = rowsOf(series, shape);
    if (!irregular) {
      const endNs = run ? run.startNs + nsOfRow(RATE, run.rows) : START_NS;
      if (!run || shape.gapNs) {
        run = { startNs: endNs + (shape.gapNs ?? 0n), rows: 0 };
        starts.push({ row, startNs: run.startNs });
      }
      firstRowNs ??= run.startNs + nsOfRow(RATE, run.rows);
      run = { ...run, rows: run.rows + shape.rows };
    }
    rows.push(payload);
    parts.push(partOf(root, shape, payload));
    row += shape.rows;
  }
  const { values, times, starts: before } = series.state;
  // A shard says for its first row when it was, also where the run began in another shard.
  const begun = before.length === 0 && starts[0]?.row !== series.firstRow && firstRowNs !== null;
  const opening = begun ? [{ row: series.firstRow, startNs: firstRowNs! }] : [];
  return {
    append: {
      seriesId: series.id,
      dtype,
      channels,
      irregular,
      rateHz: irregular ? null : rateHz(RATE),
      firstRow: series.firstRow + series.rows,
      tail: series.tail,
      description: describeSeries(series),
      firstRowNs,
      segmentStarts: starts,
      parts,
    },
    state: {
      values: Buffer.concat([values, ...rows.map((part) => part.values)]),
      times: [...times, ...rows.flatMap((part) => [...(part.times ?? [])])],
      run,
      starts: [...before, ...opening, ...starts],
    },
  };
}

export function describeSeries(series: ModelSeries): CommitRequest['appends'][number]['description'] {
  const { dtype } = series.shape;
  return {
    dtype,
    name: `Maus 12/Größe ${series.shape.dtype}`,
    project: 'default',
    unit: series.shape.channels > 1 ? null : 'µV',
    scale: 0.005,
    offset: -5.12,
    rate: series.shape.irregular ? null : formatRate(RATE),
    timeReference: 'utc',
    duplicates: 'last',
    codec: 'gzip',
    continuity: 'step',
    resolution: 0.25,
    missingValue: isBigDtype(dtype) ? 9n : 9,
    timeZone: 'Europe/Berlin',
    channels: JSON.stringify(Array.from({ length: series.shape.channels }, (_, c) => ({ label: `c${c}`, unit: 'mV' }))),
    tags: JSON.stringify({ species: 'mouse', age_days: 61, anaesthetised: false, note: 'ein „Zitat“ 🐭' }),
  };
}

/** Many numbers are compared faster as bytes. */
const doubles = (numbers: readonly number[]): Uint8Array => bytesOf(Float64Array.from(numbers));

/** Every bit pattern may occur: NaN with payloads, infinities, the largest integers. */
function rowsOf(series: ModelSeries, { rows, seed }: PartShape): Rows {
  let state = seed >>> 0;
  const random = (): number => {
    state = (Math.imul(state, 1_664_525) + (seed === 0 ? 0 : 1_013_904_223)) >>> 0;
    return state >>> 24;
  };
  const values = new Uint8Array(rows * series.rowBytes);
  for (let i = 0; i < values.length; i++) values[i] = random();
  if (!series.shape.irregular) return { values, times: null };
  // Mostly forwards, now and then back or twice the same.
  let ns = START_NS + BigInt(seed) * 50_000n;
  const times = BigInt64Array.from({ length: rows }, () => (ns += BigInt(random() % 16 === 1 ? -3 : random() % 50)));
  return { values, times };
}

function partOf(root: DataRoot, { rows, spooled }: PartShape, { values, times }: Rows): CommitPart {
  const writeId = randomUUID();
  const timeBytes = times && bytesOf(times);
  if (spooled) {
    writeFileSync(root.spooled(writeId, 'values'), values);
    if (timeBytes) writeFileSync(root.spooled(writeId, 'times'), timeBytes);
  }
  return {
    writeId,
    rows,
    values: spooled ? null : values,
    times: spooled ? null : timeBytes,
    valuesCrc: crc32(values),
    timesCrc: timeBytes && crc32(timeBytes),
  };
}
