/** Links that show a part of what their maker may read. */
import { sql } from 'kysely';
import { VarveError, notFound } from '../../core/errors.ts';
import type { Database } from '../database.ts';
import type { SharedThing } from './access-store.ts';

/** Links of one token that have not ended. */
const MAX_SHARES_PER_TOKEN = 1000;
/** Links that have ended are told of for so long. */
const TOLD_DAYS = 90;
/** Links of one list, the newest of them. */
const MAX_LISTED = 10_000;

export interface ShareRecord {
  readonly id: string;
  readonly thing: SharedThing;
  readonly note: string | null;
  readonly token: { readonly id: string; readonly name: string };
  readonly createdAt: Date;
  readonly endsAt: Date;
  readonly revokedAt: Date | null;
  /** True if its token is valid no more: then it has ended with it. */
  readonly isOrphan: boolean;
}

/**
 * Stores a link, and forgets those that ended long ago.
 * @param share with the SHA-256 of its text, which is stored nowhere
 * @throws conflict `too-many-shares`
 */
export async function storeShare(
  db: Database,
  share: { id: string; hash: Buffer; tokenId: string; thing: SharedThing; note: string | null; endsAt: Date },
): Promise<void> {
  const { thing } = share;
  await db.transaction().execute(async (trx) => {
    await sql`delete from shares where least(revoked_at, ends_at) < now() - make_interval(days => ${TOLD_DAYS})`.execute(
      trx,
    );
    await trx
      .insertInto('shares')
      .values({
        id: share.id,
        hash: share.hash,
        token_id: share.tokenId,
        series: 'series' in thing ? [...thing.series] : null,
        recording: 'recording' in thing ? thing.recording : null,
        search: 'search' in thing ? JSON.stringify(thing.search) : null,
        note: share.note,
        ends_at: share.endsAt,
      })
      .execute();
    const { count } = await trx
      .selectFrom('shares')
      .select(({ fn }) => fn.countAll<bigint>().as('count'))
      .where('token_id', '=', share.tokenId)
      .where('revoked_at', 'is', null)
      .where('ends_at', '>', sql<Date>`now()`)
      .executeTakeFirstOrThrow();
    if (count <= MAX_SHARES_PER_TOKEN) return;
    const message = `this token has ${MAX_SHARES_PER_TOKEN} links that have not ended: revoke some`;
    throw new VarveError('conflict', message, { slug: 'too-many-shares' });
  });
}

/** Lists links, the newest first, and those that have ended for a while. @param tokenId whose; null: all */
export async function listShares(db: Database, tokenId: string | null): Promise<ShareRecord[]> {
  let query = selectShares(db).orderBy('s.id', 'desc').limit(MAX_LISTED);
  if (tokenId !== null) query = query.where('s.token_id', '=', tokenId);
  return (await query.execute()).map(toShare);
}

/** @throws not-found */
export async function shareById(db: Database, id: string): Promise<ShareRecord> {
  const row = await selectShares(db).where('s.id', '=', id).executeTakeFirst();
  if (!row) throw notFound('share', id);
  return toShare(row);
}

/** Ends a link at once; one that has ended stays so. @param tokenId whose it must be; null: anybody's. @throws not-found */
export async function revokeShare(db: Database, id: string, tokenId: string | null): Promise<void> {
  let query = db
    .updateTable('shares')
    .set({ revoked_at: sql<Date>`coalesce(revoked_at, now())` })
    .where('id', '=', id);
  if (tokenId !== null) query = query.where('token_id', '=', tokenId);
  if (!(await query.returning('id').executeTakeFirst())) throw notFound('share', id);
}

function selectShares(db: Database) {
  return db
    .selectFrom('shares as s')
    .innerJoin('tokens as t', 't.id', 's.token_id')
    .select(['s.id', 's.series', 's.recording', 's.search', 's.note', 's.created_at', 's.ends_at', 's.revoked_at'])
    .select(['t.id as token_id', 't.name as token_name'])
    .select(sql<boolean>`t.revoked_at is not null or t.replaced_at is not null`.as('is_orphan'));
}

type ShareRow = Awaited<ReturnType<ReturnType<typeof selectShares>['executeTakeFirstOrThrow']>>;

function toShare(row: ShareRow): ShareRecord {
  return {
    id: row.id,
    thing: row.series
      ? { series: row.series }
      : row.recording !== null
        ? { recording: row.recording }
        : { search: row.search },
    note: row.note,
    token: { id: row.token_id, name: row.token_name },
    createdAt: row.created_at,
    endsAt: row.ends_at,
    revokedAt: row.revoked_at,
    isOrphan: row.is_orphan,
  };
}
