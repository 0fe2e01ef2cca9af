/** Turns a row of `summaries` into a block of summary cells, and back. */
import { sql, type Selectable } from 'kysely';
import type { Codec } from '../../core/signal/codec.ts';
import type { Dtype } from '../../core/numbers/dtype.ts';
import type { Channel, Series } from '../../core/signal/series.ts';
import type { SummaryBlock, SummaryPartName } from '../../core/overview/summary-block.ts';
import type { Database } from '../database.ts';
import type { SummariesTable } from '../tables.ts';

type PartRow = [name: SummaryPartName, offset: number, length: number, codec: Codec, crc: number];

export function toSummaryBlock(
  row: Selectable<SummariesTable>,
  { dtype, channels }: Pick<Series, 'dtype' | 'channels'>,
): SummaryBlock {
  return {
    factor: row.factor,
    firstCell: Number(row.first_cell),
    lastCell: Number(row.last_cell),
    cells: row.cells,
    firstRow: row.first_row === null ? null : Number(row.first_row),
    lastRow: row.last_row === null ? null : Number(row.last_row),
    firstNs: row.first_ns,
    lastNs: row.last_ns,
    dtype,
    channels: channels.length,
    parts: (row.parts as PartRow[]).map(([name, offset, length, codec, crc]) => ({ name, offset, length, codec, crc })),
  };
}

/** A block as one record of a JSON list. @param ordinal its position among the blocks of its series, shard and factor */
export function summaryRecord(
  seriesId: string,
  shardId: string,
  ordinal: number,
  block: SummaryBlock,
): Record<string, unknown> {
  return {
    series_id: seriesId,
    shard_id: shardId,
    factor: block.factor,
    ordinal,
    first_cell: block.firstCell,
    last_cell: block.lastCell,
    cells: block.cells,
    first_row: block.firstRow,
    last_row: block.lastRow,
    first_ns: block.firstNs?.toString() ?? null,
    last_ns: block.lastNs?.toString() ?? null,
    parts: block.parts.map(({ name, offset, length, codec, crc }): PartRow => [name, offset, length, codec, crc]),
  };
}

/** The blocks of a shard. @param only the blocks of these series; null: all */
export async function shardSummaries(
  db: Database,
  shardId: string,
  only: readonly string[] | null,
): Promise<Array<SummaryBlock & { readonly seriesId: string }>> {
  let query = db
    .selectFrom('summaries as y')
    .innerJoin('series as s', 's.id', 'y.series_id')
    .selectAll('y')
    .select(['s.dtype', 's.channels'])
    .where('y.shard_id', '=', shardId)
    .orderBy('y.series_id')
    .orderBy('y.factor')
    .orderBy('y.ordinal');
  if (only) query = query.where('y.series_id', '=', sql<string>`any(${[...only]}::uuid[])`);
  const rows = await query.execute();
  return rows.map((row) => ({
    ...toSummaryBlock(row, { dtype: row.dtype as Dtype, channels: row.channels as Channel[] }),
    seriesId: row.series_id,
  }));
}
