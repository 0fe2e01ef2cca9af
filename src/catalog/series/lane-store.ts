/** Places in lanes for new series. */
import { sql } from 'kysely';
import { OPEN_LANES, planPlaces, SERIES_PER_LANE, type LanePlaces } from '../../core/upkeep/lane-plan.ts';
import type { DatabaseTransaction } from '../database.ts';
import { oneRow } from '../one-row.ts';

/** Counts the places as taken. They are to be used by the same transaction, or given back: see {@link returnPlaces}. */
export async function takePlaces(
  trx: DatabaseTransaction,
  count: number,
  newId: () => string,
): Promise<readonly LanePlaces[]> {
  // Only lanes that are free to lock count, so creators neither wait for each other nor for a swap.
  const { rows: lanes } = await sql<{ id: string; series: number }>`
    select id, series_count as series from lanes where series_count < ${SERIES_PER_LANE}
    order by series_count, id limit ${OPEN_LANES} for no key update skip locked`.execute(trx);
  let open = lanes.length;
  if (open > 0 && open < OPEN_LANES) {
    const { rows } = await sql<{ n: number }>`
      select count(*)::int as n from lanes where series_count < ${SERIES_PER_LANE}`.execute(trx);
    open = oneRow(rows).n;
  }
  const plan = planPlaces(lanes, open, count, newId);
  const made = plan.filter(({ isNew }) => isNew);
  if (made.length > 0) {
    await trx
      .insertInto('lanes')
      .values(made.map(({ id, places }) => ({ id, series_count: places })))
      .execute();
  }
  await addToCounts(
    trx,
    plan.filter(({ isNew }) => !isNew).map(({ id, places }) => ({ id, change: places })),
  );
  return plan;
}

/** Places that were taken and turned out not to be needed. */
export async function returnPlaces(
  trx: DatabaseTransaction,
  unused: readonly { readonly id: string; readonly places: number }[],
): Promise<void> {
  await addToCounts(
    trx,
    unused.map(({ id, places }) => ({ id, change: -places })),
  );
}

async function addToCounts(
  trx: DatabaseTransaction,
  changes: readonly { id: string; change: number }[],
): Promise<void> {
  if (changes.length === 0) return;
  // In one order, so that two who take or return places do not wait for each other.
  const ids = changes.map(({ id }) => id);
  if (ids.length > 1) {
    await sql`select from lanes where id = any(${ids}::uuid[]) order by id for no key update`.execute(trx);
  }
  await sql`
    update lanes set series_count = series_count + c.change
    from unnest(${ids}::uuid[], ${changes.map(({ change }) => change)}::integer[]) as c(id, change)
    where lanes.id = c.id`.execute(trx);
}
