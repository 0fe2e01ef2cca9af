/**
 * Fresh chunks whose bytes lie in rows of Postgres. Their bytes come with the statement that plans them, packed: a flush may take them away right after.
 * Neighbours become one chunk, for a slow sensor has thousands of one row.
 */
import { crc32 } from 'node:zlib';
import type { HeldBytes } from '../core/read-plan.ts';
import type { ChunkLocation } from './sample-snapshot.ts';

/** Columns of {@link heldChunks}, to be selected as they are. */
export const HELD_COLUMNS = 'i.places as held_places, i.values as held_values, i.times as held_times';

export interface HeldRow {
  /** A record of {@link RECORD_BYTES} a chunk; null: there are none. */
  readonly held_places: Buffer | null;
  readonly held_values: Buffer | null;
  readonly held_times: Buffer | null;
}

/** Big-endian, as Postgres sends numbers: as JSON they took it three times as long. */
const RECORD = [
  'int8send(id)',
  'int8send(first_row)',
  'int8send(rows)',
  'int8send(generation)',
  'int8send(coalesce(first_ns, 0))',
  'int8send(coalesce(last_ns, 0))',
  'int8send(sorted::int)',
  'int8send(values_crc)',
  'int8send(coalesce(times_crc, -1))',
  'int8send(octet_length(values))',
];
const NUMBER_BYTES = 8;
const RECORD_BYTES = RECORD.length * NUMBER_BYTES;

/** @param condition on `c`, a row of `fresh`. @returns what a query of the series `s` is joined with */
export function heldChunks(condition: string): string {
  // In order once, in the innermost query: an aggregate that orders its rows itself sorts them anew.
  return `left join lateral (
    select string_agg(${RECORD.join(' || ')}, '') as places, string_agg(values, '') as values, string_agg(times, '') as times
    from (select * from fresh c where c.series_id = s.id and c.values is not null and ${condition} order by c.first_row, c.id) c) i on true`;
}

/** A run of rows with its own checksums, inside the bytes of a held chunk. */
export interface HeldRun {
  readonly key: string;
  readonly rows: number;
  readonly valuesLength: number;
  readonly valuesCrc: number;
  readonly timesCrc: number | null;
}

export type HeldChunk = ChunkLocation & { readonly held: HeldBytes; readonly runs: readonly HeldRun[] };

const TIME_BYTES = 8;

/**
 * @returns in order of rows, neighbours of one generation joined. What does not match its checksums stays alone, and is told to be unsound: only who reads it
 * fails.
 */
export function toHeldChunks({ held_places: places, held_values: values, held_times: times }: HeldRow): HeldChunk[] {
  if (!places || !values) return [];
  const chunks: HeldChunk[] = [];
  let open: Joining | null = null;
  let [valuesAt, timesAt] = [0, 0];
  for (let at = 0; at < places.length; at += RECORD_BYTES) {
    const int = (column: number): number => {
      const from = at + column * NUMBER_BYTES;
      return places.readInt32BE(from) * 2 ** 32 + places.readUInt32BE(from + 4);
    };
    const [firstRow, generation, timesCrc] = [int(1), int(3), int(8)];
    const isIrregular = timesCrc >= 0;
    const run: HeldRun = {
      key: `f${int(0)}`,
      rows: int(2),
      valuesLength: int(9),
      valuesCrc: int(7),
      timesCrc: isIrregular ? timesCrc : null,
    };
    const span = isIrregular
      ? { firstNs: places.readBigInt64BE(at + 4 * NUMBER_BYTES), lastNs: places.readBigInt64BE(at + 5 * NUMBER_BYTES) }
      : null;
    const isSorted = int(6) === 1;
    const [valuesFrom, timesFrom] = [valuesAt, timesAt];
    valuesAt += run.valuesLength;
    timesAt += run.timesCrc === null ? 0 : run.rows * TIME_BYTES;
    const isSound =
      crc32(values.subarray(valuesFrom, valuesAt)) === run.valuesCrc &&
      (run.timesCrc === null || crc32(times!.subarray(timesFrom, timesAt)) === run.timesCrc);
    const isNext = open && open.generation === generation && open.firstRow + open.rows === firstRow;
    if (!open || !isNext || !isSound || !open.isSound) {
      if (open)
        chunks.push(
          joined(open, values.subarray(open.valuesFrom, valuesFrom), times?.subarray(open.timesFrom, timesFrom)),
        );
      open = {
        firstRow,
        rows: 0,
        generation,
        span,
        sorted: true,
        isSound,
        valuesFrom,
        timesFrom,
        runs: [],
      };
    }
    open.sorted &&= isSorted && (open.runs.length === 0 || !span || span.firstNs > open.span!.lastNs);
    open.rows += run.rows;
    open.runs.push(run);
    if (span && open.span) {
      if (span.firstNs < open.span.firstNs) open.span.firstNs = span.firstNs;
      if (span.lastNs > open.span.lastNs) open.span.lastNs = span.lastNs;
    }
  }
  if (open) chunks.push(joined(open, values.subarray(open.valuesFrom), times?.subarray(open.timesFrom)));
  return chunks;
}

/** Fresh chunks that follow each other, on their way to be one. */
interface Joining {
  readonly firstRow: number;
  rows: number;
  readonly generation: number;
  readonly span: { firstNs: bigint; lastNs: bigint } | null;
  sorted: boolean;
  readonly isSound: boolean;
  /** In all bytes. */
  readonly valuesFrom: number;
  readonly timesFrom: number;
  readonly runs: HeldRun[];
}

function joined(
  { firstRow, rows, generation, ...open }: Joining,
  values: Buffer,
  times: Buffer | undefined,
): HeldChunk {
  const { span, sorted, isSound, runs } = open;
  const isIrregular = span !== null;
  return {
    key: runs[0].key,
    shardId: '',
    path: null,
    held: { values, times: isIrregular ? times! : null, isSound },
    firstRow,
    rows,
    generation,
    skip: 0,
    firstNs: span && span.firstNs,
    lastNs: span && span.lastNs,
    sorted,
    codec: 'none',
    values: { offset: 0, length: values.length },
    valuesCrc: runs[0].valuesCrc,
    timesCodec: isIrregular ? 'none' : null,
    times: isIrregular ? { offset: 0, length: times!.length } : null,
    timesCrc: runs[0].timesCrc,
    runs,
  };
}
