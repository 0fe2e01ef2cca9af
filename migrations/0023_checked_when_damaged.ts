/**
 * A part of an uncompressed chunk can be read without the rest, and is not compared with the checksum then. A chunk
 * that is known to be damaged is read as a whole, as a compressed one is: its codec is told to be `checked`.
 */
import { sql, type Kysely, type Migration } from 'kysely';

const codecOf = (table: string, column: string): string =>
  `case when ${table}.damaged_at is not null and ${column} = 'none' then 'checked' else ${column} end`;

const STATEMENTS = [
  `create or replace view located_chunks as
     select 'c' || c.id as key, c.series_id, c.generation, c.first_row, c.rows, c.skip, c.shard_id, h.path, c.first_ns, c.last_ns, c.sorted,
       ${codecOf('c', 'c.codec')} as codec, c.values_offset, c.values_length, c.values_crc,
       ${codecOf('c', 'c.times_codec')} as times_codec, c.times_offset, c.times_length, c.times_crc,
       null::bytea as values, null::bytea as times, c.stats
     from chunks c join shards h on h.id = c.shard_id
     union all
     select 'f' || f.id, f.series_id, f.generation, f.first_row, f.rows, 0, f.spool_id, 'spool/' || f.spool_id, f.first_ns, f.last_ns, f.sorted,
       ${codecOf('f', `'none'`)}, f.values_offset, f.bytes - case when f.times_crc is null then 0 else 8 * f.rows end, f.values_crc,
       case when f.times_crc is not null then ${codecOf('f', `'none'`)} end, f.times_offset, case when f.times_crc is not null then 8 * f.rows end, f.times_crc,
       f.values, f.times, null
     from fresh f`,
];

export const checkedWhenDamaged: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
  },
};
