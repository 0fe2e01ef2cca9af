/**
 * What NWB, EDF+ and WFDB headers say of a recording: columns where people filter, JSON where they only read. Series
 * are found by channel and by foreign id, too.
 */
import { sql, type Kysely, type Migration } from 'kysely';

const STATEMENTS = [
  `alter table series
     add column continuity text check (continuity in ('continuous', 'step', 'instantaneous')),
     add column resolution double precision,
     add column missing_value text,              -- a stored value, in decimal digits: 64-bit integers stay exact
     add column time_zone text,
     add column external_ids jsonb not null default '{}'`,

  // A creation needs none: what a series was created as is what it is, less what has changed since.
  `alter table series_history alter column changes drop not null`,

  // ── other ways in; series that have nothing to be found by are in neither ──────────────────────────────────────
  `create function varve_external_ids(ids jsonb) returns text[] language sql immutable parallel safe
     return array(select value from jsonb_each_text(ids))`,
  `create index series_external_ids on series using gin (varve_external_ids(external_ids))
     where deleted_at is null and external_ids <> '{}'`,
  `create index series_channels on series using gin (channels jsonb_path_ops)
     where deleted_at is null and channels <> '[{"label": "value"}]'`,

  // ── for people who read the catalog with SQL: docs/sql.md ──────────────────────────────────────────────────────
  `create or replace view varve_series as
     select s.id, p.name as project, s.name, s.description, s.kind, s.dtype, s.channel_count, s.channels, s.unit, s.scale,
       s."offset", s.rate_hz, s.rate, s.time_reference, s.tags, s.provenance, s.rows,
       varve_timestamp(s.first_ns) as first_time, varve_timestamp(s.last_ns) as last_time, s.first_ns, s.last_ns,
       s.version, s.created_at, s.updated_at,
       s.continuity, s.resolution, s.missing_value, s.time_zone, s.external_ids
     from series s join projects p on p.id = s.project_id where s.deleted_at is null`,
  `create or replace view varve_channels as
     select s.id as series_id, p.name as project, s.name as series, (c.number - 1)::integer as channel, r.label,
       coalesce(r.unit, s.unit) as unit, r.gain, r.baseline,
       case when r.gain is null then coalesce((r.physical_max - r.physical_min) / (r.digital_max - r.digital_min),
         s.scale * coalesce(r.scale, 1)) end as scale,
       case when r.gain is null then coalesce(
         r.physical_min - r.digital_min * (r.physical_max - r.physical_min) / (r.digital_max - r.digital_min),
         r."offset", s."offset") end as "offset",
       r.location, r."group", r.filtering, r.reference, r.impedance_ohm, coalesce(r.bad, false) as bad, r.info,
       r.digital_min, r.digital_max, r.physical_min, r.physical_max
     from series s join projects p on p.id = s.project_id
     cross join lateral jsonb_array_elements(s.channels) with ordinality c(value, number)
     cross join lateral jsonb_to_record(c.value) as r(label text, unit text, scale double precision, "offset" double precision,
       gain double precision, baseline double precision, location text, "group" text, filtering text, reference text,
       impedance_ohm double precision, bad boolean, info jsonb, digital_min double precision, digital_max double precision,
       physical_min double precision, physical_max double precision)
     where s.deleted_at is null`,
];

export const fullMetadata: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
  },
};
