/** Which catalog this is: a data folder bears the id of the catalog that knows its shards. */
import type { Database } from './database.ts';

export interface CatalogIdentity {
  readonly id: string;
  readonly hasShards: boolean;
}

export async function readCatalogIdentity(db: Database): Promise<CatalogIdentity> {
  const { id } = await db.selectFrom('catalog_identity').select('id').executeTakeFirstOrThrow();
  const shards = await db.selectFrom('shards').select('id').limit(1).execute();
  return { id, hasShards: shards.length > 0 };
}
