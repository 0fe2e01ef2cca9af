/**
 * Quantities in base units are reckoned in decimals and rounded once. Factors have 40 digits: those of 1/60 are not those of a float64. What is stored is
 * brought up to date at the next start, by who reads units.
 */
import { sql, type Kysely, type Migration } from 'kysely';

const STATEMENTS = [
  `alter table units alter column factor type numeric, alter column shift type numeric`,
  `create function varve_base(value numeric, factor numeric, shift numeric)
     returns double precision language sql immutable parallel safe
     return (value * factor + shift)::double precision`,
  // As in 0005, but for the base of a quantity, whose value may be digits in quotes.
  `create or replace function varve_tag_rows(series uuid, project uuid, tags jsonb)
     returns table (series_id uuid, project_id uuid, key text, entry text, number double precision, time_ns bigint, long_text text)
     language sql stable as $$
       select series, project, v.key,
         v.key || chr(1) || case v.type when 'string' then varve_text_term(v.text) when 'number' then varve_number_term(v.number)
           when 'boolean' then 'b' || v.text
           else case when v.time_ns is null then varve_quantity_term(v.dimension, v.number) else varve_time_term(v.time_ns) end end,
         v.number, v.time_ns, case when v.type = 'string' and length(v.text) > 256 then v.text end
       from (
         select e.key, e.type, e.text, u.dimension,
           case when e.type = 'number' then e.text::double precision
             when e.time is null and u.code is not null
               then varve_base((e.value ->> 'value')::numeric, u.factor, u.shift) end as number,
           varve_time_ns(e.time) as time_ns
         from (
           select k.key, l.value, l.value #>> '{}' as text, jsonb_typeof(l.value) as type,
             case when jsonb_typeof(l.value) = 'object' then l.value ->> 'time' end as time,
             case when jsonb_typeof(l.value) = 'object' then l.value ->> 'unit' end as unit
           from jsonb_each(tags) k cross join lateral (
             select k.value where jsonb_typeof(k.value) <> 'array'
             union all
             select jsonb_array_elements(k.value) where jsonb_typeof(k.value) = 'array') l(value)
           offset 0
         ) e left join units u on u.code = e.unit
         where e.type in ('string', 'number', 'boolean') or e.time is not null or u.code is not null
         offset 0
       ) v
     $$`,
  `drop function varve_base(double precision, double precision, double precision)`,
];

export const exactUnits: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
  },
};
