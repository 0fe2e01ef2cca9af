/**
 * Retention: the rules, and carrying them out. What has expired is hidden at once; compaction drops it and keeps its
 * summaries.
 */
import { v7 as uuidv7 } from 'uuid';
import type { Database, ReadsAndWrites } from '../../catalog/database.ts';
import {
  createRetentionRule,
  deleteRetentionRule,
  expireSeries,
  listRetentionRules,
  readExpirable,
  seriesToExpire,
  type ExpirableSeries,
} from '../../catalog/shards/retention-store.ts';
import { longestTerms, nextExpiry, type Expiry, type RetentionTerms } from '../../core/upkeep/retention.ts';
import { INT64_MIN } from '../../core/time.ts';
import { measureErasure, type MeasureDeps } from '../append/measure-erasure.ts';
import type { RetentionService } from './retention-service.ts';

export function retentionService({ reads, writes }: ReadsAndWrites): RetentionService {
  return {
    create: (rule) => createRetentionRule(writes, uuidv7(), rule),
    list: () => listRetentionRules(reads),
    delete: (id) => deleteRetentionRule(writes, id),
  };
}

export interface ExpireDeps extends MeasureDeps {
  readonly log: Record<'info' | 'warn', (fields: object, message: string) => void>;
}

/** A series that changes while it is measured is measured again; then its turn comes in the next round. */
const ATTEMPTS = 5;

/**
 * Lets samples expire that are old enough by now. A series that fails keeps no other from expiring.
 * @param signal ends the round after the series at hand
 * @returns the series whose samples or summaries have expired
 */
export async function expireSamples(deps: ExpireDeps, signal?: AbortSignal): Promise<string[]> {
  const expired: string[] = [];
  for (const { id, terms } of await seriesToExpire(deps.db)) {
    if (signal?.aborted) return expired;
    try {
      if (await expire(deps, id, terms)) expired.push(id);
    } catch (error) {
      deps.log.warn({ series: id, err: error }, 'samples could not expire');
    }
  }
  if (expired.length > 0) deps.log.info({ series: expired.length }, 'samples expired');
  return expired;
}

async function expire(deps: ExpireDeps, seriesId: string, terms: readonly RetentionTerms[]): Promise<boolean> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const found = await whatExpires(deps.db, seriesId, terms);
    if (!found) return false;
    const { known, expiry } = found;
    const firstNs = expiry.expiredNs === null ? null : await firstAfter(deps, known, expiry.expiredNs);
    if ((await expireSeries(deps.db, known, expiry, firstNs)) !== null) return true;
  }
  return false;
}

async function whatExpires(
  db: Database,
  seriesId: string,
  terms: readonly RetentionTerms[],
): Promise<{ known: ExpirableSeries; expiry: Expiry } | null> {
  const longest = longestTerms(terms);
  const known = longest && (await readExpirable(db, seriesId));
  if (!known?.facts) return null;
  const expiry = nextExpiry(known.facts, longest!);
  return expiry.expiredNs === null && expiry.summariesExpiredNs === null ? null : { known, expiry };
}

/** Time of the first sample that is left. In a regular series it is found under the lock. */
async function firstAfter(deps: ExpireDeps, { series }: ExpirableSeries, expiredNs: bigint): Promise<bigint | null> {
  if (series.sampling.kind === 'regular') return null;
  return (await measureErasure(deps, series, INT64_MIN, expiredNs)).firstNs;
}
