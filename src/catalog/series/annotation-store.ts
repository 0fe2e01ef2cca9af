/** Annotations: marks on the time line of a series. */
import { sql } from 'kysely';
import { notFound } from '../../core/errors.ts';
import { nameKey } from '../../core/same-name.ts';
import type { Annotation, NewAnnotation } from '../../core/signal/series.ts';
import type { Database, DatabaseTransaction } from '../database.ts';

export interface AnnotationFilter {
  /** Those that touch `[startNs, endNs)`; a point touches the range it lies in. */
  readonly startNs?: bigint;
  readonly endNs?: bigint;
  readonly label?: string;
}

/** The place of an annotation in the order of its series: by start, then id. */
export interface AnnotationPosition {
  readonly startNs: bigint;
  readonly id: string;
}

/** Stores them all or none. */
export async function insertAnnotations(
  db: Database | DatabaseTransaction,
  seriesId: string,
  tokenId: string,
  annotations: ReadonlyArray<NewAnnotation & { id: string }>,
): Promise<void> {
  // One parameter for all rows: thousands of marks come with one recording, and Postgres allows 65,535 parameters.
  const rows = annotations.map((a) => ({
    id: a.id,
    start_ns: a.startNs.toString(),
    end_ns: a.endNs.toString(),
    label: a.label,
    payload: a.payload,
    channels: a.channels ?? null,
    author: a.author ?? null,
  }));
  await sql`
    insert into annotations (id, series_id, start_ns, end_ns, label, payload, channels, author, token_id)
    select id, ${seriesId}::uuid, start_ns, end_ns, label, payload, nullif(channels, 'null'), author, ${tokenId}::uuid
    from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
      as r(id uuid, start_ns bigint, end_ns bigint, label text, payload jsonb, channels jsonb, author text)`.execute(
    db,
  );
}

/** One page in order of start. */
export async function listAnnotations(
  db: Database,
  seriesId: string,
  filter: AnnotationFilter,
  page: { limit: number; after: AnnotationPosition | null },
): Promise<{ items: Annotation[]; after: AnnotationPosition | null }> {
  let query = db
    .selectFrom('annotations')
    .select(['id', 'start_ns', 'end_ns', 'label', 'payload', 'channels', 'author'])
    .where('series_id', '=', seriesId)
    .orderBy('start_ns')
    .orderBy('id')
    .limit(page.limit + 1);
  if (filter.endNs !== undefined) query = query.where('start_ns', '<', filter.endNs);
  if (filter.startNs !== undefined) {
    const start = filter.startNs;
    query = query.where((eb) => eb.or([eb('end_ns', '>', start), eb('start_ns', '>=', start)]));
  }
  if (filter.label !== undefined) query = query.where(sql`varve_nfc(label)`, '=', nameKey(filter.label));
  if (page.after) query = query.where(sql<boolean>`(start_ns, id) > (${page.after.startNs}, ${page.after.id}::uuid)`);
  const rows = await query.execute();
  const items = rows.slice(0, page.limit).map((row) => ({
    id: row.id,
    startNs: row.start_ns,
    endNs: row.end_ns,
    label: row.label,
    payload: row.payload,
    ...(row.channels && { channels: row.channels }),
    ...(row.author !== null && { author: row.author }),
  }));
  const last = items.at(-1);
  return { items, after: rows.length > page.limit && last ? { startNs: last.startNs, id: last.id } : null };
}

/** @throws not-found if the series has no such annotation */
export async function deleteAnnotation(db: Database, seriesId: string, id: string): Promise<void> {
  const { numDeletedRows } = await db
    .deleteFrom('annotations')
    .where('id', '=', id)
    .where('series_id', '=', seriesId)
    .executeTakeFirst();
  if (numDeletedRows === 0n) throw notFound('annotation', id);
}
