/** Channels as rows, for people who read the catalog with SQL: docs/sql.md. */
import { sql, type Kysely, type Migration } from 'kysely';

export const channelsView: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    await sql
      .raw(
        `create view varve_channels as
           select s.id as series_id, p.name as project, s.name as series, (c.number - 1)::integer as channel, r.label,
             coalesce(r.unit, s.unit) as unit, r.gain, r.baseline,
             case when r.gain is null then s.scale * coalesce(r.scale, 1) end as scale,
             case when r.gain is null then coalesce(r."offset", s."offset") end as "offset",
             r.location, r."group", r.filtering, r.reference, r.impedance_ohm, coalesce(r.bad, false) as bad, r.info
           from series s join projects p on p.id = s.project_id
           cross join lateral jsonb_array_elements(s.channels) with ordinality c(value, number)
           cross join lateral jsonb_to_record(c.value) as r(label text, unit text, scale double precision, "offset" double precision,
             gain double precision, baseline double precision, location text, "group" text, filtering text, reference text,
             impedance_ohm double precision, bad boolean, info jsonb)
           where s.deleted_at is null`,
      )
      .execute(db);
  },
};
