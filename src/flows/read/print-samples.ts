/** From planned pieces to the bytes of an answer: read, select, convert, encode. Runs on either side of a thread. */
import type { OutBatch, OutShape } from '../../core/signal/batch.ts';
import { toPhysical, type Calibration } from '../../core/signal/calibration.ts';
import { copyValues } from '../../core/numbers/copy-values.ts';
import { bytesOf, DTYPES, viewAs, type Dtype, type SampleArray } from '../../core/numbers/dtype.ts';
import { markedTimes } from '../../core/signal/marked-times.ts';
import type { RowShape } from '../../core/numbers/missing-value.ts';
import type { ClockMark } from '../../core/signal/place-run.ts';
import type { Rate } from '../../core/signal/rate.ts';
import { cutPieces, type Piece } from '../../core/rows/read-plan.ts';
import { timesOfRows, type RowRange, type Segment } from '../../core/signal/segment.ts';
import { recordBytes } from '../../formats/samples/batch-builder.ts';
import { npyHeader } from '../../formats/samples/npy.ts';
import { WIRE_FORMATS, type Spelling, type WireFormatName } from '../../formats/samples/wire-formats.ts';
import { readPieces } from '../../storage/read/chunk-reader.ts';
import { DataRoot } from '../../storage/folder/data-root.ts';
import { eachOpened, type ShardFiles } from '../../storage/read/shard-files.ts';
import { cutWindows, orderedBytes, readWindows, type AnsweredWindow, type SortTask } from './order-windows.ts';
import type { BytePart } from './read-service.ts';
import { COPIES_IN_ORDERING } from './read-weight.ts';

/**
 * Rows to answer, in order. A section says where to read them, or how to put them in order as they are read. Few rows
 * that had to be put in order are in the section themselves.
 */
export type Section =
  | { readonly kind: 'stored'; readonly pieces: readonly Piece[] }
  | {
      readonly kind: 'held';
      readonly times: BigInt64Array;
      readonly values: Uint8Array;
    }
  | {
      readonly kind: 'disordered';
      readonly task: SortTask;
      readonly windows: readonly AnsweredWindow[];
      /** Most rows of a window, which are in memory at once. */
      readonly windowRows: number;
    };

/** When the rows of a regular series are. */
export interface SeriesClock {
  readonly rate: Rate;
  /** In order of rows. */
  readonly segments: readonly Segment[];
  /** Clock marks of the rows of the answer and around them, in order of rows; null: they are not asked for. */
  readonly marks: readonly ClockMark[] | null;
  /** Times are those that the marks tell. */
  readonly isMarked: boolean;
}

/** The stored rows that make an answer. */
export interface RowsTask extends RowShape {
  readonly dataRoot: string;
  readonly sections: readonly Section[];
  /** Channels to answer, in this order; null: all. */
  readonly selected: readonly number[] | null;
  /** One calibration for each selected channel; null: raw values. */
  readonly calibrations: readonly Calibration[] | null;
  /** Regular series: for formats that have a time on every row. */
  readonly clock: SeriesClock | null;
  readonly shape: OutShape;
}

export interface PrintTask extends RowsTask {
  readonly format: WireFormatName;
  readonly spelling?: Spelling;
  /** Packed formats: print these bytes of the answer alone, and read no more than the rows that they lie in. */
  readonly part?: BytePart | null;
}

export interface PrintOptions {
  /** What is yielded is valid until the next is asked for. */
  readonly lend?: boolean;
  /**
   * Sections behind those of the task, each made when it is asked for. A part of an answer has those of its rows alone.
   */
  readonly later?: AsyncIterable<Section> | null;
}

/** @param files where shards are opened, if there is something to be shared; else each is opened for this answer */
export async function* printSamples(
  task: PrintTask,
  files: ShardFiles = eachOpened(new DataRoot(task.dataRoot)),
  options: PrintOptions = {},
): AsyncGenerator<Uint8Array> {
  if (task.part) yield* printPart(task, task.part, files, options);
  else if (canCopy(task)) yield* copyBytes(task, files, options);
  else {
    const { encode, isPacked } = WIRE_FORMATS[task.format];
    yield* encode(rowBatches(task, files, !isPacked, options.later), task.shape, task.spelling);
  }
}

async function* eachSection(
  { sections }: RowsTask,
  later: AsyncIterable<Section> | null | undefined,
): AsyncGenerator<Section> {
  yield* sections;
  if (later) yield* later;
}

/** True where the answer is what lies in the shards, byte for byte. */
export function canCopy(task: PrintTask): boolean {
  return (
    WIRE_FORMATS[task.format].isPacked &&
    task.shape.kind === 'regular' &&
    task.selected === null &&
    task.calibrations === null
  );
}

/** Bytes of the answer where they are known beforehand. */
export function printedBytes({ format, shape }: PrintTask): number | null {
  if (!WIRE_FORMATS[format].isPacked) return null;
  return headOf(format, shape).length + shape.totalRows * recordBytes(shape);
}

/** Rows of the answer, counted from its first, in which a part of it lies. */
export function rowsOfPart({ format, shape }: PrintTask, { from, to }: BytePart): RowRange {
  const head = headOf(format, shape).length;
  const rowBytes = recordBytes(shape);
  return {
    from: Math.floor(Math.max(0, from - head) / rowBytes),
    to: Math.ceil(Math.max(0, to - head) / rowBytes),
  };
}

const NO_HEAD = new Uint8Array(0);

function headOf(format: WireFormatName, shape: OutShape): Uint8Array {
  return format === 'npy' ? npyHeader(shape) : NO_HEAD;
}

/** Prints a part: the head is that of the whole answer, and what follows it are octets of the rows. */
async function* printPart(
  task: PrintTask,
  part: BytePart,
  files: ShardFiles,
  options: PrintOptions,
): AsyncGenerator<Uint8Array> {
  const { from, to } = part;
  const head = headOf(task.format, task.shape);
  if (from < Math.min(to, head.length)) yield head.subarray(from, to);
  const rows = rowsOfPart(task, part);
  let at = head.length + rows.from * recordBytes(task.shape);
  const octets: PrintTask = { ...task, format: 'octet', part: null, sections: cutSections(task, rows) };
  for await (const piece of printSamples(octets, files, options)) {
    const wanted = piece.subarray(Math.max(0, from - at), Math.max(0, to - at));
    at += piece.length;
    if (wanted.length > 0) yield wanted;
  }
}

/** @param rows counted from the first of the sections */
function cutSections({ sections, dtype, channels }: RowsTask, rows: RowRange): Section[] {
  const rowBytes = channels * DTYPES[dtype].bytes;
  let to = 0;
  return sections.map((section): Section => {
    const before = to;
    to += sectionRows(section);
    const range = { from: Math.max(0, rows.from - before), to: Math.max(0, rows.to - before) };
    if (section.kind === 'stored') return { kind: 'stored', pieces: cutPieces(section.pieces, range, rowBytes) };
    if (section.kind === 'disordered') return { ...section, windows: cutWindows(section.windows, range) };
    return {
      ...section,
      times: section.times.subarray(range.from, range.to),
      values: section.values.subarray(range.from * rowBytes, range.to * rowBytes),
    };
  });
}

export function sectionRows(section: Section): number {
  if (section.kind === 'held') return section.times.length;
  if (section.kind === 'disordered') return section.windows.reduce((sum, { rows }) => sum + rows, 0);
  return section.pieces.reduce((sum, { blocks }) => sum + blocks.reduce((rows, block) => rows + block.rows, 0), 0);
}

/** Memory that is taken while rows of a section are put in order. Rows that are held take what they are. */
export function orderingBytes(section: Section): number {
  if (section.kind === 'stored') return 0;
  if (section.kind === 'held') return section.values.byteLength + section.times.byteLength;
  const most = Math.min(sectionRows(section), section.windowRows);
  return COPIES_IN_ORDERING * orderedBytes(most, section.task.rowBytes);
}

async function* copyBytes(
  task: PrintTask,
  files: ShardFiles,
  { lend, later }: PrintOptions,
): AsyncGenerator<Uint8Array> {
  // The header goes with the first rows, not before them: that is one packet, and an error in them can still be told.
  let header = task.format === 'npy' ? headOf(task.format, task.shape) : null;
  for await (const section of eachSection(task, later)) {
    if (section.kind !== 'stored') continue; // only of irregular series
    for await (const { values } of readPieces(files, section.pieces, 'values', { lend })) {
      if (header) yield header;
      header = null;
      yield values;
    }
  }
  if (header) yield header;
}

/**
 * The rows as blocks of bytes: int64 times and values, in turn. After the rows of a regular series come two blocks of
 * pairs of int64: a row's number within this answer, and its time. The first of these has the segments of the rows:
 * where they begin, or begin anew after a gap. The second has their clock marks.
 */
export async function* rowBlocks(task: RowsTask, later?: AsyncIterable<Section>): AsyncGenerator<Uint8Array> {
  const files = eachOpened(new DataRoot(task.dataRoot));
  const starts: bigint[] = [];
  const marks: bigint[] = [];
  let written = 0;
  let nextRow = -1;
  for await (const { firstRow, rows, values, times: known } of rowBatches(task, files, true, later)) {
    const times = known as BigInt64Array;
    for (const { row, ns } of task.clock?.marks ?? []) {
      if (row >= firstRow && row < firstRow + rows) marks.push(BigInt(written + row - firstRow), ns);
    }
    for (const segment of task.clock?.segments ?? []) {
      const from = Math.max(firstRow, segment.firstRow);
      if (from >= Math.min(firstRow + rows, segment.firstRow + segment.rows)) continue;
      if (from === segment.firstRow || from !== nextRow) {
        starts.push(BigInt(written + from - firstRow), times[from - firstRow]);
      }
    }
    yield bytesOf(times);
    yield bytesOf(values);
    written += rows;
    nextRow = firstRow + rows;
  }
  if (!task.clock) return;
  yield bytesOf(BigInt64Array.from(starts));
  yield bytesOf(BigInt64Array.from(marks));
}

/** @param withTimes of regular series, too, where they are computed */
export async function* rowBatches(
  task: RowsTask,
  files: ShardFiles,
  withTimes: boolean,
  later?: AsyncIterable<Section> | null,
): AsyncGenerator<OutBatch> {
  const rowBytes = task.channels * DTYPES[task.dtype].bytes;
  for await (const section of eachSection(task, later)) {
    if (section.kind === 'held') {
      yield outBatch(task, 0, section.values, section.times);
      continue;
    }
    if (section.kind === 'disordered') {
      for await (const { values, times } of readWindows(section.task, section.windows, section.windowRows)) {
        yield outBatch(task, 0, values, times);
      }
      continue;
    }
    for await (const { piece, values, times } of readPieces(files, section.pieces)) {
      const firstRow = piece.blocks[0].firstRow;
      const range = { from: firstRow, to: firstRow + values.length / rowBytes };
      const stored = times && (viewAs('int64', times) as BigInt64Array);
      const computed = withTimes && task.clock ? clockTimes(task.clock, range) : null;
      yield outBatch(task, firstRow, values, stored ?? computed);
    }
  }
}

function clockTimes({ rate, segments, marks, isMarked }: SeriesClock, range: RowRange): BigInt64Array {
  return isMarked && marks ? markedTimes(segments, rate, marks, range) : timesOfRows(segments, rate, range);
}

function outBatch(task: RowsTask, firstRow: number, bytes: Uint8Array, times: BigInt64Array | null): OutBatch {
  const stored = viewAs(task.dtype, bytes);
  const chosen = task.selected ? pick(stored, task.channels, task.selected, task.dtype) : stored;
  const values = task.calibrations ? toPhysical(task, chosen, task.calibrations) : chosen;
  return { firstRow, rows: stored.length / task.channels, values, times };
}

/** Selected channels of rows × channels, row-major. */
function pick(values: SampleArray, channels: number, selected: readonly number[], dtype: Dtype): SampleArray {
  const rows = values.length / channels;
  const out = new DTYPES[dtype].array(rows * selected.length);
  for (let s = 0; s < selected.length; s++) {
    copyValues(out, { at: s, step: selected.length }, values, { at: selected[s], step: channels }, rows);
  }
  return out;
}
