/**
 * Fresh chunks whose bytes lie in rows of Postgres. Their bytes come with the statement that plans them, packed: a flush may take them away right after.
 * Neighbours become one chunk, for a slow sensor has thousands of one row.
 */
import { crc32 } from 'node:zlib';
import type { HeldBytes } from '../core/read-plan.ts';
import type { ChunkLocation } from './sample-snapshot.ts';

/** Columns of {@link HELD_CHUNKS}, to be selected as they are. */
export const HELD_COLUMNS = 'i.places as held_places, i.values as held_values, i.times as held_times';

export interface HeldRow {
  /** One list a column; null: there are none. */
  readonly held_places:
    | [
        ids: number[],
        firstRows: number[],
        rows: number[],
        generations: number[],
        firstNs: (string | null)[],
        lastNs: (string | null)[],
        sorted: boolean[],
        valuesCrcs: number[],
        timesCrcs: (number | null)[],
        lengths: number[],
      ]
    | null;
  readonly held_values: Buffer | null;
  readonly held_times: Buffer | null;
}

/** @param condition on `c`, a row of `fresh`. @returns what a query of the series `s` is joined with */
export function heldChunks(condition: string): string {
  const column = (name: string): string => `to_json(array_agg(${name} order by c.first_row, c.id))`;
  const names = ['c.id', 'c.first_row', 'c.rows', 'c.generation', 'c.first_ns::text', 'c.last_ns::text', 'c.sorted'];
  const columns = [...names, 'c.values_crc', 'c.times_crc', 'octet_length(c.values)'].map(column);
  return `left join lateral (
    select case when count(*) > 0 then json_build_array(${columns.join(', ')}) end as places,
      string_agg(c.values, '' order by c.first_row, c.id) as values, string_agg(c.times, '' order by c.first_row, c.id) as times
    from fresh c where c.series_id = s.id and c.values is not null and ${condition}) i on true`;
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
  const [ids, firstRows, rows, generations, firstNs, lastNs, sorted, valuesCrcs, timesCrcs, lengths] = places;
  const chunks: HeldChunk[] = [];
  let open: Joining | null = null;
  let [valuesAt, timesAt] = [0, 0];
  for (const [i, id] of ids.entries()) {
    const run: HeldRun = {
      key: `f${id}`,
      rows: rows[i],
      valuesLength: lengths[i],
      valuesCrc: valuesCrcs[i],
      timesCrc: timesCrcs[i],
    };
    const [valuesFrom, timesFrom] = [valuesAt, timesAt];
    valuesAt += run.valuesLength;
    timesAt += run.timesCrc === null ? 0 : run.rows * TIME_BYTES;
    const isSound =
      crc32(values.subarray(valuesFrom, valuesAt)) === run.valuesCrc &&
      (run.timesCrc === null || crc32(times!.subarray(timesFrom, timesAt)) === run.timesCrc);
    const span = firstNs[i] === null ? null : { firstNs: BigInt(firstNs[i]), lastNs: BigInt(lastNs[i]!) };
    const isNext = open && open.generation === generations[i] && open.firstRow + open.rows === firstRows[i];
    if (!open || !isNext || !isSound || !open.isSound) {
      if (open)
        chunks.push(
          joined(open, values.subarray(open.valuesFrom, valuesFrom), times?.subarray(open.timesFrom, timesFrom)),
        );
      open = {
        firstRow: firstRows[i],
        rows: 0,
        generation: generations[i],
        span,
        sorted: true,
        isSound,
        valuesFrom,
        timesFrom,
        runs: [],
      };
    }
    open.sorted &&= sorted[i] && (open.runs.length === 0 || !span || span.firstNs > open.span!.lastNs);
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
