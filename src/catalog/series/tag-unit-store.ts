/** Units of quantities, as the trigger that derives `series_tags` needs them. */
import { sql } from 'kysely';
import { decimalText } from '../../core/numbers/ratio.ts';
import type { ReadUnit, TagUnit } from '../../core/signal/tag-value.ts';
import type { Database, DatabaseTransaction } from '../database.ts';

/** Stores units, which has to happen before the series whose tags use them. */
export async function storeUnits(trx: DatabaseTransaction, units: readonly TagUnit[]): Promise<void> {
  if (units.length === 0) return;
  await trx
    .insertInto('units')
    // In one order, so that two writers of new units do not wait for each other.
    .values([...units].sort((a, b) => (a.code < b.code ? -1 : 1)).map(toRow))
    .onConflict((conflict) => conflict.column('code').doNothing())
    .execute();
}

/** Digits of a factor. The nearest float64 of what it makes depends on fewer. */
const DIGITS = 40;

function toRow({ code, factor, shift, dimension }: TagUnit): {
  code: string;
  factor: string;
  shift: string;
  dimension: string;
} {
  return { code, factor: decimalText(factor, DIGITS), shift: decimalText(shift, DIGITS), dimension };
}

/**
 * Brings the entries of tags up to date with what their units mean: an earlier version may have read some otherwise.
 * @returns how many units have changed
 */
export async function refreshUnits(db: Database, readUnit: ReadUnit): Promise<number> {
  return db.transaction().execute(async (trx) => {
    const known = await trx.selectFrom('units').select('code').execute();
    const meant = known.flatMap(({ code }) => readUnit(code) ?? []).map(toRow);
    const { rows } = await sql<{ code: string }>`
      update units u set factor = m.factor, shift = m.shift, dimension = m.dimension
      from jsonb_to_recordset(${JSON.stringify(meant)}::jsonb) as m(code text, factor numeric, shift numeric, dimension text)
      where u.code = m.code and (u.factor, u.shift, u.dimension) is distinct from (m.factor, m.shift, m.dimension)
      returning u.code`.execute(trx);
    if (rows.length === 0) return 0;
    const codes = rows.map(({ code }) => code);
    const using = sql`s.deleted_at is null and exists (
      select 1 from jsonb_path_query(s.tags, 'lax $.*[*].unit') u(code) where u.code #>> '{}' = any(${codes}::text[]))`;
    await sql`delete from series_tags t using series s where s.id = t.series_id and ${using}`.execute(trx);
    await sql`insert into series_tags select distinct on (r.entry, r.series_id) r.*
      from series s, varve_tag_rows(s.id, s.project_id, varve_nfc_json(s.tags)) r where ${using}
      order by r.entry, r.series_id`.execute(trx);
    return rows.length;
  });
}
