/** Appends of which some make their series: series, rows and what is told of them are one transaction. */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  heldElsewhere,
  knownAppends,
  lockHeads,
  prepareCommit,
  type Session,
} from '../catalog/append-commit.ts';
import type { Database, DatabaseTransaction } from '../catalog/database.ts';
import { insertSeries, type SeriesToInsert } from '../catalog/series-insert.ts';
import { sessionOf } from '../catalog/transaction-session.ts';
import { VarveError } from '../core/errors.ts';
import { outOfDate, placeAppends, type AppendBody, type Placed } from '../core/place-append.ts';
import type { TagUnit } from '../core/tag-value.ts';
import { keysOf, materialize, mayTryAgain, toResult, type AppendResult } from './committer.ts';

/** Series that somebody else keeps locked are waited for this long. */
const LOCKED_MS = 2_000;
const LOCKED_PAUSE_MS = 5;
/** Further tries of what another transaction was in the way of. */
const TRIES = 2;
const RETRY_AFTER_S = 2;

/** What is to be made along with the rows. */
export interface SeriesToMake {
  readonly series: readonly SeriesToInsert[];
  readonly units: readonly TagUnit[];
  readonly tokenId: string | null;
}

export interface CreatingResult {
  readonly results: AppendResult[];
  /** Ids of the series that were made: each of them has rows. */
  readonly stored: ReadonlySet<string>;
}

/**
 * @param body as {@link Committer.submit} takes it, with items of series that are to be made
 * @returns what became of each item; a series none of whose items was stored is not made
 * @throws conflict `series-changed` if somebody else has made one of the series; unavailable `series-busy`; what Postgres answers. Nothing is stored then
 */
export async function appendCreating(db: Database, body: AppendBody, making: SeriesToMake): Promise<CreatingResult> {
  const until = performance.now() + LOCKED_MS;
  for (let triesLeft = TRIES; ;) {
    try {
      return await db.transaction().execute((trx) => attempt(trx, body, making));
    } catch (error) {
      if (error instanceof Undone) return afterUndoing(db, body, making, error.outcomes);
      if (error instanceof Locked) {
        if (performance.now() > until) throw busy();
        await sleep(LOCKED_PAUSE_MS);
      } else if (!mayTryAgain(error)) throw error;
      else if (triesLeft-- === 0) throw busy(error);
    }
  }
}

/** Ends a transaction that found heads locked. */
class Locked extends Error {}

/** Ends a transaction that has made series which turned out to get no rows. */
class Undone extends Error {
  readonly outcomes: readonly Placed[];

  constructor(outcomes: readonly Placed[]) {
    super('series were made that get no rows');
    this.outcomes = outcomes;
  }
}

async function attempt(trx: DatabaseTransaction, body: AppendBody, making: SeriesToMake): Promise<CreatingResult> {
  const session = sessionOf(trx);
  const heads = await lockExisting(session, body, making);
  const { stored } = await insertSeries(trx, making.series, making.units, making.tokenId);
  for (const { id, input } of making.series) if (!stored.has(id)) throw outOfDate(input.name);
  for (const [id, head] of await lockHeads(session, [...stored])) heads.set(id, head);
  const known = await knownAppends(session, keysOf([{ body }]));
  const placement = placeAppends([body], heads, known);
  const [outcomes] = placement.outcomes;
  const used = seriesPlaced(body, outcomes);
  if (making.series.some(({ id }) => !used.has(id))) throw new Undone(outcomes);
  const created = making.series.map(({ id: seriesId, projectId }) => ({ seriesId, projectId, tokenId: making.tokenId }));
  const { commit } = await prepareCommit(session, { ...placement, fresh: placement.fresh.map(materialize), created });
  // What the commit tells of the series comes before what it tells of their rows.
  const results = outcomes.map((placed) => toResult(placed, commit, created.length));
  return { results, stored };
}

/** @throws Locked */
async function lockExisting(
  session: Session,
  { items }: AppendBody,
  { series }: SeriesToMake,
): Promise<Awaited<ReturnType<typeof lockHeads>>> {
  const isNew = new Set(series.map(({ id }) => id));
  const existing = [...new Set(items.map(({ seriesId }) => seriesId))].filter((id) => !isNew.has(id));
  const heads = await lockHeads(session, existing);
  const missing = existing.filter((id) => !heads.has(id));
  if (missing.length > 0 && (await heldElsewhere(session, missing)).size > 0) throw new Locked();
  return heads;
}

function seriesPlaced({ items }: AppendBody, outcomes: readonly Placed[]): Set<string> {
  return new Set(items.filter((_, i) => outcomes[i].kind === 'placed').map(({ seriesId }) => seriesId));
}

/** What can be stored is, without the series that get no rows. */
async function afterUndoing(
  db: Database,
  body: AppendBody,
  making: SeriesToMake,
  outcomes: readonly Placed[],
): Promise<CreatingResult> {
  const used = seriesPlaced(body, outcomes);
  const isKept = body.items.map(({ seriesId }) => used.has(seriesId));
  if (used.size === 0) return { results: outcomes.map((each) => toResult(each, null)), stored: new Set() };
  const items = body.items.filter((_, i) => isKept[i]);
  const series = making.series.filter(({ id }) => used.has(id));
  const { results, stored } = await appendCreating(db, { ...body, items }, { ...making, series });
  let next = 0;
  return { results: outcomes.map((each, i) => (isKept[i] ? results[next++] : toResult(each, null))), stored };
}

function busy(cause?: unknown): VarveError {
  const message = 'something else keeps one of the series locked';
  return new VarveError('unavailable', message, { slug: 'series-busy', retryAfterS: RETRY_AFTER_S, cause });
}
