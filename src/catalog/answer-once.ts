/** Requests with a key of their client's. The second request with a key gets the answer of the first. */
import { sql } from 'kysely';
import { VarveError } from '../core/errors.ts';
import type { DatabaseTransaction } from './database.ts';

/** Answers are kept twice as long as clients are promised. Each use of a key removes some older ones. */
const KEPT_HOURS = 48;
const REMOVED_AT_ONCE = 10;

export interface Once {
  readonly key: string;
  /** SHA-256 of what was asked. */
  readonly contentHash: Buffer;
}

export interface Answered<A> {
  /** The answer, as JSON. */
  readonly answer: A;
  readonly replayed: boolean;
}

/**
 * Answers a request once for its key. The answer is kept if and only if the transaction commits; a second request with
 * the key waits for that.
 * @param work whose answer is plain JSON
 * @throws unprocessable `key-reused` if the key was used for something else
 */
export async function answerOnce<A>(
  trx: DatabaseTransaction,
  tokenId: string,
  { key, contentHash }: Once,
  work: () => Promise<A>,
): Promise<Answered<A>> {
  const { rows } = await sql`
    with old as (
      delete from request_keys where (token_id, key) in (
        select token_id, key from request_keys where created_at < now() - make_interval(hours => ${KEPT_HOURS})
        order by created_at limit ${REMOVED_AT_ONCE} for update skip locked))
    insert into request_keys (token_id, key, content_hash) values (${tokenId}::uuid, ${key}, ${contentHash})
    on conflict do nothing returning key`.execute(trx);
  if (rows.length === 0) {
    const known = await trx
      .selectFrom('request_keys')
      .select(['content_hash', 'answer'])
      .where('token_id', '=', tokenId)
      .where('key', '=', key)
      .executeTakeFirstOrThrow();
    if (known.content_hash.equals(contentHash)) return { answer: known.answer as A, replayed: true };
    const message = 'was used for another request';
    throw new VarveError('unprocessable', `Idempotency-Key: ${message}`, {
      slug: 'key-reused',
      errors: [{ field: 'Idempotency-Key', message }],
    });
  }
  const answer = await work();
  await trx
    .updateTable('request_keys')
    .set({ answer: JSON.stringify(answer) })
    .where('token_id', '=', tokenId)
    .where('key', '=', key)
    .execute();
  return { answer, replayed: false };
}
