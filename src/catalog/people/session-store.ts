/** Sessions of browsers: each stands for a token. */
import { sql } from 'kysely';
import type { Database } from '../database.ts';

/** Sessions of one token; beyond, the oldest ends. */
const MAX_SESSIONS_PER_TOKEN = 100;

/** Stores a session, and forgets those that have ended. @param session with the SHA-256 of its text, which is stored nowhere */
export async function storeSession(
  db: Database,
  { hash, tokenId, endsAt }: { readonly hash: Buffer; readonly tokenId: string; readonly endsAt: Date },
): Promise<void> {
  await db.transaction().execute(async (trx) => {
    await trx
      .deleteFrom('sessions')
      .where('ends_at', '<=', sql<Date>`now()`)
      .execute();
    await sql`delete from sessions where hash in (select hash from sessions where token_id = ${tokenId}::uuid
      order by created_at desc offset ${MAX_SESSIONS_PER_TOKEN - 1})`.execute(trx);
    await trx.insertInto('sessions').values({ hash, token_id: tokenId, ends_at: endsAt }).execute();
  });
}

/** Ends a session, if there is one. */
export async function deleteSession(db: Database, hash: Buffer): Promise<void> {
  await db.deleteFrom('sessions').where('hash', '=', hash).execute();
}
