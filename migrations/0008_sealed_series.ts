/** Series that are sealed: they take no more samples, and say what those are by their SHA-256. */
import { sql, type Kysely, type Migration } from 'kysely';

const STATEMENTS = [
  `alter table series
     add column sealed_at timestamptz,
     add column content_hash jsonb,              -- {values, times, rows, commit}; null until it has been computed
     add check (content_hash is null or sealed_at is not null)`,
  `alter table series_history
     drop constraint series_history_action_check,
     add constraint series_history_action_check
       check (action in ('create', 'update', 'edit', 'rename', 'undo', 'delete', 'restore', 'seal', 'unseal'))`,
  `create or replace view varve_series as
     select s.id, p.name as project, s.name, s.description, s.kind, s.dtype, s.channel_count, s.channels, s.unit, s.scale,
       s."offset", s.rate_hz, s.rate, s.time_reference, s.tags, s.provenance, s.rows,
       varve_timestamp(s.first_ns) as first_time, varve_timestamp(s.last_ns) as last_time, s.first_ns, s.last_ns,
       s.version, s.created_at, s.updated_at,
       s.continuity, s.resolution, s.missing_value, s.time_zone, s.external_ids,
       case when s.sealed_at is null then 'open' else 'sealed' end as state, s.sealed_at, s.content_hash
     from series s join projects p on p.id = s.project_id where s.deleted_at is null`,
];

export const sealedSeries: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
  },
};
