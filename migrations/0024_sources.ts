/** Keys that are a source and its sequence number are found by source, the largest number first. Other keys cost nothing. */
import { sql, type Kysely, type Migration } from 'kysely';

const STATEMENTS = [
  `create index append_keys_source on append_keys (substr(key, strpos(key, ' ') + 1), (substr(key, 1, strpos(key, ' ') - 1)::bigint))
     where key ~ '^-?[0-9]{1,19} '`,
];

export const sources: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
  },
};
