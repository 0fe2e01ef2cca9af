/** Units of quantities, as the trigger that derives `series_tags` needs them. */
import type { TagUnit } from '../core/tag-value.ts';
import type { DatabaseTransaction } from './database.ts';

/** Before the series whose tags use them. */
export async function storeUnits(trx: DatabaseTransaction, units: readonly TagUnit[]): Promise<void> {
  if (units.length === 0) return;
  await trx
    .insertInto('units')
    // In one order, so that two writers of new units do not wait for each other.
    .values([...units].sort((a, b) => (a.code < b.code ? -1 : 1)).map((unit) => ({ ...unit })))
    .onConflict((conflict) => conflict.column('code').doNothing())
    .execute();
}
