/** Values that are texts: each change of one is an annotation of its series. */
import { sql } from 'kysely';
import { v7 as uuidv7 } from 'uuid';
import { VALUE_AUTHOR, type KeptValue, type ValueChanges } from '../../core/signal/value-changes.ts';
import type { DatabaseTransaction } from '../database.ts';

/** As labels of annotations may have. */
const MAX_LABEL_CHARS = 512;
const EMPTY_LABEL = '(empty)';
/** Rows of one statement. */
const ROWS_AT_ONCE = 5_000;

/**
 * Locks the heads of series, waiting for whoever holds one: who adds values of one comes after the others.
 * @returns by series that are there, the version in which the name or the channels were changed last
 */
export async function lockShapes(trx: DatabaseTransaction, seriesIds: readonly string[]): Promise<Map<string, number>> {
  const { rows } = await sql<{ series_id: string; shape_version: number }>`
    select series_id, shape_version from heads where series_id = any(${seriesIds}::uuid[]) and deleted_at is null
    order by series_id for no key update`.execute(trx);
  return new Map(rows.map((row) => [row.series_id, row.shape_version]));
}

/** Times of a series between which values come. */
export interface ValueLook {
  readonly seriesId: string;
  readonly fromNs: bigint;
  readonly toNs: bigint;
}

/** What is kept from the last value before the times on, up to them, in order of time. */
export async function keptValues(
  trx: DatabaseTransaction,
  looks: readonly ValueLook[],
): Promise<Map<string, KeptValue[]>> {
  const { rows } = await sql<{ id: string; series_id: string; start_ns: bigint; text: string }>`
    with looks as (select * from unnest(${looks.map(({ seriesId }) => seriesId)}::uuid[],
      ${looks.map(({ fromNs }) => String(fromNs))}::bigint[], ${looks.map(({ toNs }) => String(toNs))}::bigint[]) as u(id, a, b))
    select k.id, k.series_id, k.start_ns, k.payload ->> 'value' as text from looks l cross join lateral (
      (select * from annotations where series_id = l.id and start_ns < l.a and author = ${VALUE_AUTHOR}
        order by start_ns desc, id desc limit 1)
      union all
      (select * from annotations where series_id = l.id and start_ns >= l.a and start_ns <= l.b and author = ${VALUE_AUTHOR})) k
    order by k.series_id, k.start_ns, k.id`.execute(trx);
  const kept = new Map<string, KeptValue[]>();
  for (const { id, series_id, start_ns: ns, text } of rows) {
    const own = kept.get(series_id) ?? [];
    kept.set(series_id, own);
    own.push({ id, ns, text: text ?? '' });
  }
  return kept;
}

export async function storeValueChanges(
  trx: DatabaseTransaction,
  changes: ReadonlyMap<string, ValueChanges>,
  tokenId: string,
): Promise<void> {
  const added = [...changes].flatMap(([seriesId, each]) =>
    each.added.map(({ ns, text }) => ({ id: uuidv7(), series_id: seriesId, ns: String(ns), ...labelAndPayload(text) })),
  );
  for (const rows of slices(added)) {
    await sql`
      insert into annotations (id, series_id, start_ns, end_ns, label, payload, author, token_id)
      select id, series_id, ns, ns, label, payload, ${VALUE_AUTHOR}, ${tokenId}::uuid
      from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as r(id uuid, series_id uuid, ns bigint, label text, payload jsonb)
      `.execute(trx);
  }
  const changed = [...changes.values()].flatMap((each) =>
    each.changed.map(({ id, text }) => ({ id, ...labelAndPayload(text) })),
  );
  for (const rows of slices(changed)) {
    await sql`
      update annotations a set label = r.label, payload = r.payload, token_id = ${tokenId}::uuid
      from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as r(id uuid, label text, payload jsonb)
      where a.id = r.id`.execute(trx);
  }
}

function* slices<T>(rows: readonly T[]): Generator<readonly T[]> {
  for (let from = 0; from < rows.length; from += ROWS_AT_ONCE) yield rows.slice(from, from + ROWS_AT_ONCE);
}

/** The label is the value as far as a label may be long; the payload has all of it. */
function labelAndPayload(text: string): { label: string; payload: { value: string } } {
  const label = text === '' ? EMPTY_LABEL : text.slice(0, MAX_LABEL_CHARS).replace(/[\uD800-\uDBFF]$/, '');
  return { label, payload: { value: text } };
}
