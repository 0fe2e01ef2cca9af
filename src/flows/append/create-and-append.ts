/** Makes series and appends to them and to others in one transaction: all of it is there by one commit, or nothing. */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  heldElsewhere,
  keepSpools,
  knownAppends,
  lockHeads,
  prepareCommit,
  segmentsNear,
  type CommitTrace,
} from '../../catalog/appends/append-commit.ts';
import type { DatabaseTransaction, ReadsAndWrites } from '../../catalog/database.ts';
import { insertSeries, type SeriesToInsert } from '../../catalog/series/series-insert.ts';
import { sessionOf } from '../../catalog/session.ts';
import { placeAppends, type AppendItem } from '../../core/rows/place-append.ts';
import type { NewSeries } from '../../core/signal/series.ts';
import type { TagUnit } from '../../core/signal/tag-value.ts';
import { commitTold } from './commit-told.ts';
import {
  LOCKED_MS,
  LOCKED_PAUSE_MS,
  materialize,
  spoolsOf,
  toResult,
  unavailable,
  type AppendResult,
} from './committer.ts';
import { checkAll, wantedOf, withLanes } from '../series/create-many.ts';
import type { Principal } from '../principal.ts';

export type CreatedAndAppended =
  | { readonly kind: 'done'; readonly results: readonly AppendResult[] }
  /** Why a series cannot be made, by the place of its input. Nothing was stored. */
  | { readonly kind: 'refused'; readonly errors: ReadonlyMap<number, unknown> }
  /** Somebody has made one of the series meanwhile. Nothing was stored. */
  | { readonly kind: 'taken' };

/** What else a transaction is to store. @param ids of the new series */
export type AlsoStore = (trx: DatabaseTransaction, ids: readonly string[]) => Promise<void>;

/**
 * @param itemsOf gives what is appended, from the ids of the new series; its spool files are registered
 * @param also stores what is to be there by the same commit. What it throws undoes all
 * @throws unavailable `series-busy`, `payload-removed`, with nothing stored
 */
export async function createAndAppend(
  { reads, writes }: ReadsAndWrites,
  principal: Principal,
  inputs: readonly NewSeries[],
  itemsOf: (ids: readonly string[]) => readonly AppendItem[],
  also: AlsoStore = async () => {},
): Promise<CreatedAndAppended> {
  const { checked, units } = await checkAll(reads, principal, inputs);
  const errors = new Map(checked.flatMap((each, at) => ('error' in each ? [[at, each.error] as const] : [])));
  if (errors.size > 0) return { kind: 'refused', errors };
  const { tokenId } = principal;
  return withLanes<CreatedAndAppended>(writes, wantedOf(checked), async (series) => {
    const ids = series.map(({ id }) => id);
    const items = itemsOf(ids);
    const store = (trx: DatabaseTransaction): Promise<void> => also(trx, ids);
    const untilMs = performance.now() + LOCKED_MS;
    // Between two tries no locks of our own are held.
    for (;;) {
      const result = await undoable<CreatedAndAppended | 'held'>((undo) =>
        commitTold(writes, (trx, told) => allWithin(trx, { series, units, tokenId, items, store, undo, told })),
      );
      if (result !== 'held') {
        const isStored = result.kind === 'done' && result.results.every(({ kind }) => kind === 'appended');
        return { stored: new Set(isStored ? series.map(({ id }) => id) : []), result };
      }
      if (performance.now() > untilMs) {
        throw unavailable('series-busy', 'something else keeps a series of the request locked');
      }
      await sleep(LOCKED_PAUSE_MS);
    }
  });
}

interface All {
  readonly series: readonly SeriesToInsert[];
  readonly units: readonly TagUnit[];
  readonly tokenId: string;
  readonly items: readonly AppendItem[];
  readonly store: (trx: DatabaseTransaction) => Promise<void>;
  readonly undo: Undo<CreatedAndAppended | 'held'>;
  readonly told: (trace: CommitTrace) => void;
}

async function allWithin(
  trx: DatabaseTransaction,
  { series, units, tokenId, items, store, undo, told }: All,
): Promise<CreatedAndAppended> {
  const inserted = await insertSeries(trx, series, units, tokenId);
  if (inserted.stored.size < series.length) return undo({ kind: 'taken' });
  const session = sessionOf(trx);
  const ids = [...new Set(items.map(({ seriesId }) => seriesId))];
  const heads = await lockHeads(session, ids);
  const missing = ids.filter((id) => !heads.has(id));
  if (missing.length > 0 && (await heldElsewhere(session, missing)).size > 0) return undo('held');
  const keys = items.flatMap(({ seriesId, key }) => (key ? [{ seriesId, key: key.key }] : []));
  const known = await knownAppends(session, keys);
  const placement = await placeAppends([{ items, atomic: true }], heads, known, (looks) =>
    segmentsNear(session, looks),
  );
  const [outcomes] = placement.outcomes;
  if (outcomes.some(({ kind }) => kind === 'refused')) {
    return undo({ kind: 'done', results: outcomes.map((each) => toResult(each, null)) });
  }
  const spoolIds = [...new Set(spoolsOf(items))];
  const kept = spoolIds.length === 0 ? new Set() : await keepSpools(session, spoolIds);
  if (kept.size < spoolIds.length) {
    throw unavailable('payload-removed', 'the samples took so long to come that they were swept');
  }
  await store(trx);
  const { commit, trace } = await prepareCommit(session, {
    ...placement,
    fresh: placement.fresh.map(materialize),
    changes: [...inserted.changes.map((each) => ({ ...each, kind: 'create' as const })), ...placement.changes],
  });
  told(trace);
  return { kind: 'done', results: outcomes.map((each) => toResult(each, commit)) };
}

type Undo<T> = (result: T) => never;

/** Runs a transaction that may give a result and be rolled back all the same. */
async function undoable<T>(work: (undo: Undo<T>) => Promise<T>): Promise<T> {
  let undone: { readonly result: T } | undefined;
  try {
    return await work((result) => {
      undone = { result };
      throw new Error('rolled back');
    });
  } catch (error) {
    if (undone) return undone.result;
    throw error;
  }
}
