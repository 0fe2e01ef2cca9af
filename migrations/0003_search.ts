/**
 * Search by metadata. `series.tags` stays what the client gave; `series_tags` is derived from it by a trigger, one row
 * a value, in the same transaction. A *term* is a value as a text that sorts as the values do. It has one letter for
 * the type, then the value, quantities in base units. An *entry* is key and term in one. Equality, prefixes and ranges
 * are all ranges of entries, and (entry, series) has equality in the order of pages.
 */
import { sql, type Kysely, type Migration } from 'kysely';

const STATEMENTS = [
  // ── units of quantities: base = value × factor + shift ─────────────────────────────────────────────────────────
  `create table units (
     code text primary key,                      -- as clients write it (UCUM)
     factor double precision not null,
     shift double precision not null,
     dimension text not null)`, //               -- only what has the same dimension is compared
  // Through numeric, which keeps 15 digits: 300 um and 0.3 mm are the same number then.
  `create function varve_base(value double precision, factor double precision, shift double precision)
     returns double precision language sql immutable strict parallel safe
     return (value * factor + shift)::numeric::double precision`,
  // ── entries ────────────────────────────────────────────────────────────────────────────────────────────────────
  // Order of numbers as order of texts: the bits of a float64, turned so that they sort.
  `create function varve_sortable(value double precision) returns text language sql immutable strict parallel safe
     return (select lpad(to_hex(case when bits < 0 then ~bits else bits # (-9223372036854775808)::bigint end), 16, '0')
       from (values (('x' || encode(float8send(value + 0), 'hex'))::bit(64)::bigint)) b(bits))`,
  `create function varve_sortable(value bigint) returns text language sql immutable strict parallel safe
     return lpad(to_hex(value # (-9223372036854775808)::bigint), 16, '0')`,
  // An index entry has at most a third of a page: long texts are cut, and told apart by a hash.
  `create function varve_text_term(value text) returns text language sql immutable strict parallel safe
     return 's' || case when length(value) <= 256 then value else left(value, 256) || md5(value) end`,
  `create function varve_number_term(value double precision) returns text language sql immutable strict parallel safe
     return 'n' || varve_sortable(value)`,
  `create function varve_quantity_term(dimension text, base double precision)
     returns text language sql immutable strict parallel safe
     return 'q' || dimension || ':' || varve_sortable(base)`,
  `create function varve_time_term(ns bigint) returns text language sql immutable strict parallel safe
     return 't' || varve_sortable(ns)`,
  // Postgres' own times end at microseconds.
  `create function varve_time_ns(value text) returns bigint language sql stable strict parallel safe set timezone = 'UTC'
     return extract(epoch from regexp_replace(value, '[.,][0-9]+', '')::timestamptz)::bigint * 1000000000
       + rpad(coalesce(substring(value from '[.,]([0-9]+)'), '0'), 9, '0')::bigint`,
  `create function varve_words(name text, description text) returns tsvector language sql immutable parallel safe
     return to_tsvector('simple'::regconfig, translate(name || ' ' || coalesce(description, ''), '/_-.:,;@&=?', '           '))`,

  // ── the values of tags ─────────────────────────────────────────────────────────────────────────────────────────
  `drop index series_tags`, // of jsonb: its place is taken by the table
  `create table series_tags (
     series_id uuid not null,
     project_id uuid not null,
     key text collate "C" not null,
     entry text collate "C" not null,            -- key, U+0001, term
     number double precision,                    -- of a number; of a quantity in base units
     time_ns bigint,
     long_text text collate "C",                 -- of a text that does not fit into its entry
     primary key (entry, series_id))`,
  `create index series_tags_series on series_tags (series_id)`,
  `create index series_tags_values on series_tags (project_id, entry)`,
  // One column that all conditions are ranges of: its histogram tells the planner which condition leads.
  `alter table series_tags alter column entry set statistics 2000`,
  `alter table series_tags set (autovacuum_analyze_scale_factor = 0.02)`,

  `create function varve_tag_rows(series uuid, project uuid, tags jsonb)
     returns table (series_id uuid, project_id uuid, key text, entry text, number double precision, time_ns bigint, long_text text)
     language sql stable as $$
       select series, project, k.key, k.key || chr(1) || v.term, v.number, v.time_ns, v.long_text
       from jsonb_each(tags) k
       cross join lateral jsonb_array_elements(
         case jsonb_typeof(k.value) when 'array' then k.value else jsonb_build_array(k.value) end) e(value)
       left join units u on u.code = e.value ->> 'unit'
       cross join lateral (
         select varve_text_term(e.value #>> '{}'), null::double precision, null::bigint,
           case when length(e.value #>> '{}') > 256 then e.value #>> '{}' end
           where jsonb_typeof(e.value) = 'string'
         union all
         select varve_number_term(n), n, null, null from (select (e.value #>> '{}')::double precision
           where jsonb_typeof(e.value) = 'number') as number(n)
         union all
         select 'b' || (e.value #>> '{}'), null, null, null where jsonb_typeof(e.value) = 'boolean'
         union all
         select varve_time_term(ns), null, ns, null from (select varve_time_ns(e.value ->> 'time') where e.value ? 'time'
           and jsonb_typeof(e.value) = 'object') as time(ns)
         union all
         select varve_quantity_term(u.dimension, base), base, null, null
           from (select varve_base((e.value ->> 'value')::double precision, u.factor, u.shift)) as quantity(base)
           where u.code is not null and jsonb_typeof(e.value) = 'object'
       ) v(term, number, time_ns, long_text)
     $$`,
  // Tags of deleted series are taken out, so that counts of values need not look at the series.
  `create function varve_index_tags() returns trigger language plpgsql as $$
     begin
       if tg_op <> 'INSERT' then
         delete from series_tags t where t.series_id = old.id;
       end if;
       if tg_op <> 'DELETE' and new.deleted_at is null then
         insert into series_tags select * from varve_tag_rows(new.id, new.project_id, new.tags) on conflict do nothing;
       end if;
       return null;
     end $$`,
  `create trigger series_index_tags after insert or delete or update of tags, project_id, deleted_at on series
     for each row execute function varve_index_tags()`,
  `insert into series_tags select r.* from series s, varve_tag_rows(s.id, s.project_id, s.tags) r
     where s.deleted_at is null on conflict do nothing`,

  // ── when a series has data ─────────────────────────────────────────────────────────────────────────────────────
  // Wider than the data by a quarter, or an hour: most appends do not touch it, so they stay updates without index entries.
  `alter table series add column extent int8range`,
  `create function varve_widen(first_ns bigint, last_ns bigint) returns int8range language sql immutable strict parallel safe
     return int8range(first_ns, least(9223372036854775807,
       last_ns::numeric + greatest(3600000000000, (last_ns::numeric - first_ns) / 4) + 1)::bigint)`,
  `create function varve_extend() returns trigger language plpgsql as $$
     begin
       new.extent := varve_widen(new.first_ns, new.last_ns);
       return new;
     end $$`,
  `create trigger series_extend before insert or update of first_ns, last_ns on series for each row
     when (new.last_ns is not null and (new.extent is null or not new.extent @> int8range(new.first_ns, new.last_ns, '[]')))
     execute function varve_extend()`,
  `update series set extent = varve_widen(first_ns, last_ns) where last_ns is not null`,
  `create index series_extent on series using gist (extent) where deleted_at is null`,

  // ── other ways in ──────────────────────────────────────────────────────────────────────────────────────────────
  `create index series_words on series using gin (varve_words(name, description)) where deleted_at is null`,
  `create index series_by_name on series (name collate "C", id) where deleted_at is null`,
  `create index annotations_label on annotations (label, series_id)`,
  // How long after its first row the last of n evenly spaced rows lies.
  `create function varve_run_ns(rows bigint, rate text) returns numeric language sql immutable strict parallel safe
     return div((rows - 1)::numeric * 1000000000 * split_part(rate, '/', 2)::numeric, split_part(rate, '/', 1)::numeric)`,

  // ── for people who read the catalog with SQL: docs/sql.md ──────────────────────────────────────────────────────
  `create function varve_timestamp(ns bigint) returns timestamptz language sql immutable strict parallel safe
     return timestamptz '1970-01-01 00:00:00+00' + (ns / 1000) * interval '1 microsecond'`,
  `create view varve_series as
     select s.id, p.name as project, s.name, s.description, s.kind, s.dtype, s.channel_count, s.channels, s.unit, s.scale,
       s."offset", s.rate_hz, s.rate, s.time_reference, s.tags, s.provenance, s.rows,
       varve_timestamp(s.first_ns) as first_time, varve_timestamp(s.last_ns) as last_time, s.first_ns, s.last_ns,
       s.version, s.created_at, s.updated_at
     from series s join projects p on p.id = s.project_id where s.deleted_at is null`,
  `create view varve_tags as
     select t.series_id, p.name as project, s.name as series, t.key,
       case left(e.term, 1) when 's' then 'string' when 'n' then 'number' when 'b' then 'boolean' when 't' then 'time'
         else 'quantity' end as type,
       case when left(e.term, 1) in ('s', 'b') then coalesce(t.long_text, substr(e.term, 2)) end as text,
       t.number, case when left(e.term, 1) = 'q' then substr(split_part(e.term, ':', 1), 2) end as dimension,
       varve_timestamp(t.time_ns) as time, t.time_ns
     from series_tags t cross join lateral (select substr(t.entry, length(t.key) + 2)) e(term)
     join series s on s.id = t.series_id join projects p on p.id = t.project_id
     where s.deleted_at is null`,
  `create view varve_chunks as
     select c.series_id, p.name as project, s.name as series, c.first_row, c.rows, c.generation, h.path as shard, h.state as shard_state,
       c.values_offset, c.values_length, c.codec, varve_timestamp(c.first_ns) as first_time,
       varve_timestamp(c.last_ns) as last_time, c.first_ns, c.last_ns, c.counts, c.mins, c.maxs, c.sums
     from chunks c join series s on s.id = c.series_id join projects p on p.id = s.project_id
     join shards h on h.id = c.shard_id where s.deleted_at is null`,
];

export const search: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
  },
};
