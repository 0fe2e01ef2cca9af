/** What a write did, as its commit tells. */
import { sql } from 'kysely';
import type { Database } from '../database.ts';

export interface WriteStatus {
  readonly id: string;
  readonly seriesId: string;
  readonly projectId: string;
  readonly kind: 'append' | 'replace' | 'remove';
  /** Rows that came; of a removal, rows that were taken away. */
  readonly rows: number;
  /** Null: rows of an irregular series are numbered in order of time. */
  readonly firstRow: number | null;
  readonly commit: bigint;
  readonly at: Date;
}

const INT64_DIGITS = 19;
/** A commit and an ordinal in it. */
const WRITE_ID = new RegExp(`^([1-9]\\d{0,${INT64_DIGITS - 2}})-(0|[1-9]\\d{0,8})$`);

/** The name of a write on the wire, opaque to clients. */
export function writeId(commit: bigint, ordinal: number): string {
  return `${commit}-${ordinal}`;
}

/** @returns null if there is none, or its commit is no longer told of */
export async function readWrite(db: Database, id: string): Promise<WriteStatus | null> {
  const match = WRITE_ID.exec(id);
  if (!match) return null;
  const at = Number(match[2]) + 1;
  const { rows } = await sql<{
    series: string | null;
    project: string;
    kind: string;
    rows: bigint;
    first_row: bigint | null;
    commit: bigint;
    at: Date;
  }>`
    select series[${at}::integer] as series, project_ids[${at}::integer] as project, kinds[${at}::integer] as kind,
      rows[${at}::integer] as rows, first_rows[${at}::integer] as first_row, "commit", at
    from commits where "commit" = ${match[1]}::bigint`.execute(db);
  const row = rows.at(0);
  if (!row || row.series === null || !isKind(row.kind)) return null;
  return {
    id,
    seriesId: row.series,
    projectId: row.project,
    kind: row.kind,
    rows: Number(row.rows),
    firstRow: row.first_row === null ? null : Number(row.first_row),
    commit: row.commit,
    at: row.at,
  };
}

function isKind(kind: string): kind is WriteStatus['kind'] {
  return kind === 'append' || kind === 'replace' || kind === 'remove';
}
