/**
 * Statistics of a chunk are one value, drawn in src/storage/FORMAT.md. It has exact sums of integers, sums of floats in
 * two doubles, and what the variances of several chunks are merged of. Chunks of before have none, and their rows are
 * read. Summaries of before had neither sums nor deviations, and are gone.
 */
import { sql, type Kysely, type Migration } from 'kysely';

const STATEMENTS = [
  `drop view varve_chunks`,
  `drop view located_chunks`,
  `alter table chunks drop column counts, drop column mins, drop column maxs, drop column sums, add column stats bytea`,
  `delete from summaries`,

  `create view located_chunks as
     select 'c' || c.id as key, c.series_id, c.generation, c.first_row, c.rows, c.skip, c.shard_id, h.path, c.first_ns, c.last_ns, c.sorted, c.codec,
       c.values_offset, c.values_length, c.values_crc, c.times_codec, c.times_offset, c.times_length, c.times_crc,
       null::bytea as values, null::bytea as times, c.stats
     from chunks c join shards h on h.id = c.shard_id
     union all
     select 'f' || f.id, f.series_id, f.generation, f.first_row, f.rows, 0, f.spool_id, 'spool/' || f.spool_id, f.first_ns, f.last_ns, f.sorted, 'none',
       f.values_offset, f.bytes - case when f.times_crc is null then 0 else 8 * f.rows end, f.values_crc,
       case when f.times_crc is not null then 'none' end, f.times_offset, case when f.times_crc is not null then 8 * f.rows end, f.times_crc,
       f.values, f.times, null
     from fresh f`,

  // ── for people who read the catalog with SQL: docs/sql.md ──────────────────────────────────────────────────────
  // A number of a dtype among bytes, little-endian. Floats by their shortest text, which means the same number.
  `create function varve_number(bytes bytea, at integer, dtype text) returns numeric language plpgsql immutable strict parallel safe as $$
   declare
     width integer := case when dtype like '%64' then 8 when dtype like '%32' then 4 when dtype like '%16' then 2 else 1 end;
     mantissa integer := case width when 8 then 52 else 23 end;
     bits numeric := 0;
     exponent integer;
     fraction numeric;
     power integer;
     float double precision;
   begin
     for i in reverse width - 1 .. 0 loop bits := bits * 256 + get_byte(bytes, at + i); end loop;
     if dtype like 'uint%' then return bits; end if;
     if dtype like 'int%' then return bits - case when bits >= 2::numeric ^ (8 * width - 1) then trunc(2::numeric ^ (8 * width)) else 0 end; end if;
     fraction := mod(bits, trunc(2::numeric ^ mantissa));
     exponent := mod(div(bits, trunc(2::numeric ^ mantissa)), trunc(2::numeric ^ (8 * width - 1 - mantissa)));
     power := greatest(exponent, 1) - (case width when 8 then 1023 else 127 end) - mantissa;
     float := (fraction + case when exponent = 0 then 0 else trunc(2::numeric ^ mantissa) end)::double precision
       * 2::double precision ^ (power / 2) * 2::double precision ^ (power - power / 2);
     return (case when bits >= 2::numeric ^ (8 * width - 1) then -float else float end)::text::numeric;
   end $$`,
  // Columns of the statistics of a chunk, an element a channel; NaN where no value counts.
  `create function varve_stats(dtype text, channels integer, stats bytea, out counts bigint[], out mins numeric[], out maxs numeric[], out sums numeric[])
   language plpgsql immutable strict parallel safe as $$
   declare
     width integer := case when dtype like '%64' then 8 when dtype like '%32' then 4 when dtype like '%16' then 2 else 1 end;
     sums_at integer := (4 + 2 * width) * channels;
     most numeric;
     sum numeric;
   begin
     for c in 0 .. channels - 1 loop
       counts[c + 1] := varve_number(stats, 4 * c, 'uint32');
       if counts[c + 1] = 0 then
         mins[c + 1] := 'NaN'; maxs[c + 1] := 'NaN'; sums[c + 1] := 0;
         continue;
       end if;
       mins[c + 1] := varve_number(stats, 4 * channels + width * c, dtype);
       maxs[c + 1] := varve_number(stats, (4 + width) * channels + width * c, dtype);
       if dtype like 'float%' then
         sum := varve_number(stats, sums_at + 8 * c, 'float64');
         most := greatest(-mins[c + 1], maxs[c + 1]);
         sums[c + 1] := case when most >= 2::numeric ^ 480 then sum * 2::numeric ^ 600
           when most > 0 and most * 2::numeric ^ 450 <= 1 then sum / 2::numeric ^ 900 else sum end;
       elsif width = 8 then
         sums[c + 1] := varve_number(stats, sums_at + 8 * c, 'uint64')
           + varve_number(stats, sums_at + 8 * (channels + c), 'int64') * 18446744073709551616;
       else
         sums[c + 1] := varve_number(stats, sums_at + 8 * c, 'int64');
       end if;
     end loop;
   end $$`,
  // Functions in the list, not beside the tables: who asks for other columns does not pay for them.
  `create view varve_chunks as
     select c.series_id, p.name as project, s.name as series, c.first_row, c.rows, c.generation, h.path as shard, h.state as shard_state,
       c.values_offset, c.values_length, c.codec, varve_timestamp(c.first_ns) as first_time,
       varve_timestamp(c.last_ns) as last_time, c.first_ns, c.last_ns,
       (varve_stats(s.dtype, s.channel_count, c.stats)).counts, (varve_stats(s.dtype, s.channel_count, c.stats)).mins,
       (varve_stats(s.dtype, s.channel_count, c.stats)).maxs, (varve_stats(s.dtype, s.channel_count, c.stats)).sums
     from chunks c join series s on s.id = c.series_id join projects p on p.id = s.project_id
     join shards h on h.id = c.shard_id where s.deleted_at is null
     union all
     select f.series_id, p.name, s.name, f.first_row, f.rows, f.generation, null, 'fresh',
       f.values_offset, f.bytes - case s.kind when 'irregular' then 8 * f.rows else 0 end, 'none', varve_timestamp(f.first_ns),
       varve_timestamp(f.last_ns), f.first_ns, f.last_ns, null, null, null, null
     from fresh f join series s on s.id = f.series_id join projects p on p.id = s.project_id where s.deleted_at is null`,
];

export const exactStatistics: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
  },
};
