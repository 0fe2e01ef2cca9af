/**
 * Segments of a regular series lie in any order of time, and never overlap. A head knows its newest segment, the room
 * behind it and the last mark of its clock. So an append that goes on, or comes after a gap, needs no look at the
 * others.
 */
import { sql, type Kysely, type Migration } from 'kysely';

const STATEMENTS = [
  `alter table series add column start_tolerance double precision`, // how many samples a start may be off and still go on; null: as it is by default
  `alter table heads
     add column segment_skip bigint,             -- rows of its grid before the newest segment
     add column limit_ns bigint,                 -- where the next segment in time behind the newest one begins; null: none does
     add column mark_row bigint,                 -- the last clock mark of the newest segment
     add column mark_ns bigint,
     add column marks integer not null default 0`,
  `alter table closed_segments add column skip bigint not null default 0`,
  `create index closed_segments_time on closed_segments (series_id, start_ns)`,
  `create or replace view segments as
     select series_id, first_row, start_ns, rows, skip from closed_segments
     union all
     select series_id, segment_row, segment_ns, segment_rows, coalesce(segment_skip, 0) from heads where segment_row is not null`,
  // What a client said that the time of a row is.
  `create table clock_marks (
     series_id uuid not null references series,
     row bigint not null,
     ns bigint not null,
     primary key (series_id, row))`,
];

export const segmentsInAnyOrder: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
  },
};
