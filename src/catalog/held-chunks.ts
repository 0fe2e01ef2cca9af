/**
 * Fresh chunks whose bytes lie in rows of Postgres. Their bytes come with the statement that plans them, packed: a flush may take them away right after.
 * Neighbours become one chunk, for a slow sensor has thousands of one row.
 */
import { crc32 } from 'node:zlib';
import { VarveError } from '../core/errors.ts';
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

export type HeldChunk = ChunkLocation & { readonly runs: readonly HeldRun[] };

const TIME_BYTES = 8;

/** As {@link toHeldChunks}, for readers. @throws corrupt `chunk-corrupt` naming the row of the first chunk that does not match its checksums */
export function checkedHeldChunks(row: HeldRow): HeldChunk[] {
  const chunks = toHeldChunks(row);
  for (const { held, runs, firstRow, rows } of chunks) {
    const rowBytes = held!.values.length / rows;
    let at = firstRow;
    for (const run of runs) {
      const [from, to] = [at - firstRow, at - firstRow + run.rows];
      checkHeld('values', at, held!.values.subarray(from * rowBytes, to * rowBytes), run.valuesCrc);
      if (held!.times && run.timesCrc !== null)
        checkHeld('times', at, held!.times.subarray(from * TIME_BYTES, to * TIME_BYTES), run.timesCrc);
      at += run.rows;
    }
  }
  return chunks;
}

/** @throws corrupt `chunk-corrupt` */
export function checkHeld(what: 'values' | 'times', firstRow: number, bytes: Uint8Array, crc: number): void {
  if (crc32(bytes) === crc) return;
  throw new VarveError('corrupt', `fresh chunk with row ${firstRow}: ${what} do not match their checksum`, {
    slug: 'chunk-corrupt',
  });
}

/** @returns in order of rows, neighbours of one generation joined; the checksums are still to be compared */
export function toHeldChunks({ held_places: places, held_values: values, held_times: times }: HeldRow): HeldChunk[] {
  if (!places || !values) return [];
  const [ids, firstRows, rows, generations, firstNs, lastNs, sorted, valuesCrcs, timesCrcs, lengths] = places;
  const chunks: (Omit<HeldChunk, 'runs'> & { runs: HeldRun[] })[] = [];
  let valuesAt = 0;
  let timesAt = 0;
  ids.forEach((id, i) => {
    const run: HeldRun = {
      key: `f${id}`,
      rows: rows[i],
      valuesLength: lengths[i],
      valuesCrc: valuesCrcs[i],
      timesCrc: timesCrcs[i],
    };
    const [first, last] = [
      firstNs[i] === null ? null : BigInt(firstNs[i]),
      lastNs[i] === null ? null : BigInt(lastNs[i]),
    ];
    const before = chunks.at(-1);
    if (before && before.generation === generations[i] && before.firstRow + before.rows === firstRows[i]) {
      chunks[chunks.length - 1] = {
        ...before,
        rows: before.rows + rows[i],
        values: { offset: 0, length: before.values.length + lengths[i] },
        times: before.times && { offset: 0, length: before.times.length + rows[i] * TIME_BYTES },
        firstNs: first !== null && first < before.firstNs! ? first : before.firstNs,
        lastNs: last !== null && last > before.lastNs! ? last : before.lastNs,
        sorted: before.sorted && sorted[i] && (first === null || first > before.lastNs!),
      };
      before.runs.push(run);
    } else {
      const isIrregular = run.timesCrc !== null;
      chunks.push({
        key: run.key,
        shardId: '',
        path: null,
        held: { values: values.subarray(valuesAt), times: isIrregular ? times!.subarray(timesAt) : null },
        firstRow: firstRows[i],
        rows: rows[i],
        generation: generations[i],
        skip: 0,
        firstNs: first,
        lastNs: last,
        sorted: sorted[i],
        codec: 'none',
        values: { offset: 0, length: lengths[i] },
        valuesCrc: 0,
        timesCodec: isIrregular ? 'none' : null,
        times: isIrregular ? { offset: 0, length: rows[i] * TIME_BYTES } : null,
        timesCrc: isIrregular ? 0 : null,
        runs: [run],
      });
    }
    valuesAt += lengths[i];
    timesAt += run.timesCrc === null ? 0 : rows[i] * TIME_BYTES;
  });
  // Only what is theirs: a plan may be sent to a thread.
  return chunks.map((chunk) => ({
    ...chunk,
    held: {
      values: chunk.held!.values.subarray(0, chunk.values.length),
      times: chunk.held!.times && chunk.held!.times.subarray(0, chunk.times!.length),
    },
  }));
}
