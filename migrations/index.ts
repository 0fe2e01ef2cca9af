/** All migrations in order. A map rather than a folder read at run time, so a build contains what it needs. */
import type { Migration } from 'kysely';
import { foundation } from './0001_foundation.ts';

export const migrations: Record<string, Migration> = {
  '0001_foundation': foundation,
};
