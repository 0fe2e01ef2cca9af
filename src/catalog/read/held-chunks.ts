/**
 * Fresh chunks whose bytes lie in rows of Postgres. Their bytes come with the statement that plans them, packed, for a
 * flush may take them away right after. Neighbours become one chunk: a slow sensor has thousands of chunks of one row.
 */
import { crc32 } from 'node:zlib';
import { shortCrc32 } from '../../core/numbers/crc32.ts';
import type { HeldBytes } from '../../core/rows/read-plan.ts';
import type { ChunkLocation } from '../chunks/chunk-location.ts';

/** Columns of {@link heldChunks}, to be selected as they are. */
export const HELD_COLUMNS =
  'i.places as held_places, i.values as held_values, i.times as held_times, i.cut_row as held_cut_row';

export interface HeldRow {
  /** One record for each chunk; null: there are none. */
  readonly held_places: Buffer | null;
  readonly held_values: Buffer | null;
  readonly held_times: Buffer | null;
  /** First row of the first chunk that was left out for its bytes; null: none was. */
  readonly held_cut_row: bigint | null;
}

/**
 * What is sent of a chunk, big-endian, as Postgres sends numbers: as JSON they took it three times as long. Each byte
 * counts, because it is sent as two digits.
 */
const PACKED_RECORD = [
  'int8send(first_row)',
  'int4send((case when sorted then rows else -rows end)::int)',
  'int4send(generation)',
  'int4send((values_crc - 2147483648)::int)',
];
const [ROWS_AT, GENERATION_AT, VALUES_CRC_AT] = [8, 12, 16];
const RECORD_BYTES = 20;
/** What follows for an irregular series. */
const SPAN = `coalesce(int8send(first_ns) || int8send(last_ns) || int4send((times_crc - 2147483648)::int), '')`;
const [FIRST_NS_AT, LAST_NS_AT, TIMES_CRC_AT] = [20, 28, 36];
const SPAN_BYTES = 20;
/** What follows for rewritings. */
const ID = 'int8send(id)';
const ID_BYTES = 8;
/** A checksum is sent as a signed number. */
const CRC_BIAS = 2 ** 31;

const TIME_BYTES = 8;

/**
 * @param condition on `c`, a row of `fresh`
 * @param withIds for {@link toHeldRuns}
 * @param mostBytes as SQL: the first chunks that begin within so many bytes; null: all
 * @returns what a query of the series `s` is joined with
 */
export function heldChunks(condition: string, { withIds = false, mostBytes = 'null::bigint' } = {}): string {
  const record = [...PACKED_RECORD, SPAN, ...(withIds ? [ID] : [])].join(' || ');
  const isTaken = `(${mostBytes} is null or before < ${mostBytes})`;
  // In order once, in the innermost query: an aggregate that orders its rows itself sorts them anew.
  return `left join lateral (
    select string_agg(${record}, '') filter (where ${isTaken}) as places, string_agg(values, '') filter (where ${isTaken}) as values,
      string_agg(times, '') filter (where ${isTaken}) as times, min(first_row) filter (where not ${isTaken}) as cut_row
    from (
      select c.*, sum(c.bytes) over (order by c.first_row, c.id rows unbounded preceding) - c.bytes as before
      from fresh c where c.series_id = s.id and c.values is not null and ${condition} order by c.first_row, c.id) c) i on true`;
}

/** A run of rows with its own checksums, inside the bytes of a held chunk. */
export interface HeldRun {
  readonly key: string;
  readonly rows: number;
  readonly valuesLength: number;
  readonly valuesCrc: number;
  readonly timesCrc: number | null;
}

export type HeldChunk = ChunkLocation & { readonly held: HeldBytes };

/**
 * @returns in order of rows, neighbours of one generation joined. A chunk that does not match its checksums stays alone
 * and is marked unsound: only a read of it fails
 */
export function toHeldChunks(row: HeldRow): HeldChunk[] {
  return joinedRecords(row, 0).map(({ chunk }) => chunk);
}

/** Does what {@link toHeldChunks} does, and gives the chunks that were joined as well. */
export function toHeldRuns(row: HeldRow): Array<HeldChunk & { readonly runs: readonly HeldRun[] }> {
  return joinedRecords(row, ID_BYTES).map(({ chunk, records, from, count }) => {
    const runs = Array.from({ length: count }, (_, i): HeldRun => {
      const at = from + i * records.bytes;
      const rows = records.rowsAt(at);
      const timesCrc = chunk.held.times && records.crcAt(at + TIMES_CRC_AT);
      const key = `f${records.int8At(at + records.bytes - ID_BYTES)}`;
      return {
        key,
        rows,
        valuesLength: rows * records.rowBytes,
        valuesCrc: records.crcAt(at + VALUES_CRC_AT),
        timesCrc,
      };
    });
    return { ...chunk, key: runs[0]?.key ?? '', runs };
  });
}

/** Reads the numbers of records, by halves of 64 bits: thousands of BigInts take as long as the query. */
class Records {
  readonly #view: DataView;
  readonly bytes: number;
  readonly rowBytes: number;

  constructor(places: Buffer, values: Buffer, times: Buffer | null, idBytes: number) {
    this.#view = new DataView(places.buffer, places.byteOffset, places.byteLength);
    this.bytes = RECORD_BYTES + (times ? SPAN_BYTES : 0) + idBytes;
    let rows = 0;
    for (let at = 0; at < places.length; at += this.bytes) rows += this.rowsAt(at);
    this.rowBytes = values.length / rows;
  }

  rowsAt(at: number): number {
    return Math.abs(this.#view.getInt32(at + ROWS_AT));
  }

  isSortedAt(at: number): boolean {
    return this.#view.getInt32(at + ROWS_AT) > 0;
  }

  generationAt(at: number): number {
    return this.#view.getInt32(at + GENERATION_AT);
  }

  crcAt(at: number): number {
    return this.#view.getInt32(at) + CRC_BIAS;
  }

  int8At(at: number): number {
    return this.#view.getInt32(at) * 2 ** 32 + this.#view.getUint32(at + 4);
  }

  nsAt(at: number): bigint {
    return this.#view.getBigInt64(at);
  }

  isBefore(a: number, b: number): boolean {
    const [highA, highB] = [this.#view.getInt32(a), this.#view.getInt32(b)];
    return highA === highB ? this.#view.getUint32(a + 4) < this.#view.getUint32(b + 4) : highA < highB;
  }
}

/** Fresh chunks that follow each other, on their way to be one. */
interface Joining {
  readonly from: number;
  count: number;
  readonly firstRow: number;
  rows: number;
  readonly generation: number;
  /** Where its first and last times stand in the record. */
  firstNsAt: number;
  lastNsAt: number;
  isSorted: boolean;
  readonly isSound: boolean;
  /** Rows before it in all bytes. */
  readonly rowsBefore: number;
}

interface JoinedRecords {
  readonly chunk: HeldChunk;
  readonly records: Records;
  readonly from: number;
  readonly count: number;
}

function joinedRecords(
  { held_places: places, held_values: values, held_times: times }: HeldRow,
  idBytes: number,
): JoinedRecords[] {
  if (!places || !values) return [];
  const records = new Records(places, values, times, idBytes);
  const joined: Joining[] = [];
  let open: Joining | null = null;
  let rowsBefore = 0;
  for (let at = 0; at < places.length; at += records.bytes) {
    const firstRow = records.int8At(at);
    const rows = records.rowsAt(at);
    const generation = records.generationAt(at);
    const isSorted = records.isSortedAt(at);
    const [firstNsAt, lastNsAt] = [at + FIRST_NS_AT, at + LAST_NS_AT];
    const to = rowsBefore + rows;
    const isSound =
      crcOf(values, rowsBefore * records.rowBytes, to * records.rowBytes) === records.crcAt(at + VALUES_CRC_AT) &&
      (!times || crcOf(times, rowsBefore * TIME_BYTES, to * TIME_BYTES) === records.crcAt(at + TIMES_CRC_AT));
    const isNext = open?.isSound && isSound && open.generation === generation && open.firstRow + open.rows === firstRow;
    if (open && isNext) {
      open.isSorted &&= isSorted && (!times || records.isBefore(open.lastNsAt, firstNsAt));
      open.count++;
      open.rows += rows;
      if (times && records.isBefore(firstNsAt, open.firstNsAt)) open.firstNsAt = firstNsAt;
      if (times && records.isBefore(open.lastNsAt, lastNsAt)) open.lastNsAt = lastNsAt;
    } else {
      open = { from: at, count: 1, firstRow, rows, generation, firstNsAt, lastNsAt, isSorted, isSound, rowsBefore };
      joined.push(open);
    }
    rowsBefore = to;
  }
  return joined.map((each) => ({
    chunk: chunkOf(each, records, values, times),
    records,
    from: each.from,
    count: each.count,
  }));
}

/** Bytes of checksums that are computed here: more are handed over to zlib. */
const SHORT_BYTES = 64;

function crcOf(bytes: Buffer, from: number, to: number): number {
  return to - from <= SHORT_BYTES ? shortCrc32(bytes, from, to) : crc32(bytes.subarray(from, to));
}

function chunkOf(open: Joining, records: Records, allValues: Buffer, allTimes: Buffer | null): HeldChunk {
  const { firstRow, rows, generation, rowsBefore, isSound, isSorted } = open;
  const part = (bytes: Buffer, width: number): Buffer =>
    bytes.subarray(rowsBefore * width, (rowsBefore + rows) * width);
  const values = part(allValues, records.rowBytes);
  const times = allTimes && part(allTimes, TIME_BYTES);
  return {
    key: '',
    shardId: '',
    path: null,
    held: { values, times, isSound },
    firstRow,
    rows,
    generation,
    skip: 0,
    firstNs: times && records.nsAt(open.firstNsAt),
    lastNs: times && records.nsAt(open.lastNsAt),
    sorted: isSorted,
    codec: 'none',
    values: { offset: 0, length: values.length },
    valuesCrc: records.crcAt(open.from + VALUES_CRC_AT),
    timesCodec: times && 'none',
    times: times && { offset: 0, length: times.length },
    timesCrc: times && records.crcAt(open.from + TIMES_CRC_AT),
  };
}
