/** Appends to many series by one request: all that is right becomes durable and readable by one commit, the rest is told item by item. */
import type { Database } from '../catalog/database.ts';
import { isVarveError, VarveError } from '../core/errors.ts';
import { fieldOfKey, keyOfLine } from '../core/idempotency.ts';
import { isOutOfDate, notStored, type AppendItem } from '../core/place-append.ts';
import { appendCreating } from './append-creating.ts';
import { keyOf, timeRule, type AppendDeps } from './append-samples.ts';
import type { AppendResult } from './committer.ts';
import { endCreation, prepareCreation, type Creation } from './create-many.ts';
import {
  findSeriesOfItems,
  nameItems,
  seriesToMake,
  targetsOf,
  type MaybeItem,
  type NamedItem,
  type Target,
} from './item-targets.ts';
import { withItems, type ItemTask, type ReceivedItem, type UploadedItems } from './receive-items.ts';
import type { ReceivedPayload } from './receive-payload.ts';
import type { AppendManyOutcome, AppendManyRequest, ItemOutcome } from './service.ts';

export interface AppendManyDeps extends AppendDeps {
  readonly reads: Database;
}

/** Series may change between question and commit; not so often in a row that a client should wait for it. */
const TRIES = 5;
const RETRY_AFTER_S = 2;

/**
 * Checks the items of the body and commits them.
 * @throws what is wrong with the body as a whole; what {@link Backpressure} or {@link Committer.submit} refuse. Nothing is stored then
 */
export async function appendMany(deps: AppendManyDeps, request: AppendManyRequest): Promise<AppendManyOutcome> {
  return withItems(deps, request, async (upload) => {
    const items = nameItems(upload.heads, request);
    for (let tries = 1; tries <= TRIES; tries++) {
      const outcome = await attempt(deps, request, { upload, items, trusts: tries === 1 });
      if (outcome !== 'again') return outcome;
    }
    const message = 'its series change faster than they can be asked for';
    throw new VarveError('unavailable', message, { slug: 'series-busy', retryAfterS: RETRY_AFTER_S });
  });
}

interface Asked {
  readonly upload: UploadedItems;
  readonly items: readonly MaybeItem[];
  /** Whether series may be remembered. */
  readonly trusts: boolean;
}

/** @returns `again` if a series is not as it was taken to be; nothing is stored then */
async function attempt(
  deps: AppendManyDeps,
  request: AppendManyRequest,
  asked: Asked,
): Promise<AppendManyOutcome | 'again'> {
  const { items, trusts } = asked;
  const found = await findSeriesOfItems(deps.memory, request.principal, items, trusts);
  const wanted = seriesToMake(items, found);
  const creation = wanted.size > 0 ? await prepareCreation(deps, request.principal, [...wanted.values()]) : null;
  let made: ReadonlySet<string> = new Set();
  try {
    const targets = targetsOf(items, found, wanted, creation);
    const checked = await check(request, asked, targets);
    if (trusts && (await wasOutOfDate(deps, request, checked))) return 'again';
    const good = checked.flatMap((each) => ('append' in each ? [each] : []));
    if (good.length === 0 || (request.atomic && good.length < checked.length)) return refusal(checked);
    const appends = good.map(({ append }) => append);
    await deps.backpressure.confirm(bytesOf(appends), good.length);
    const { results, stored } = await commit(deps, request, appends, creation);
    made = stored;
    return results.some(isOutOfDate) ? 'again' : outcomeOf(checked, results);
  } catch (error) {
    if (isVarveError(error) && isOutOfDate({ kind: 'refused', error })) return 'again';
    throw error;
  } finally {
    if (creation) await endCreation(deps.writes, creation, made);
  }
}

/** An item that can be committed, or why not; then with what was taken to be its series, if that is only remembered. */
type Checked =
  | { readonly item: NamedItem; readonly append: AppendItem }
  | { readonly item: MaybeItem; readonly error: VarveError; readonly target: Target | null };

async function check(
  request: AppendManyRequest,
  { upload, items }: Asked,
  targets: readonly (Target | { readonly error: VarveError })[],
): Promise<Checked[]> {
  const tasks = targets.map((target, i) => ('error' in target ? null : taskOf(target, items[i] as NamedItem, request)));
  const received = await upload.receive(tasks);
  return items.map((item, i): Checked => {
    const target = targets[i];
    if ('error' in target) return { item, error: target.error, target: null };
    const rows = received[i] as ReceivedItem;
    if ('error' in rows) return { item, error: rows.error, target: target.knownVersion === null ? null : target };
    return { item: item as NamedItem, append: toAppend(target, item as NamedItem, rows, request) };
  });
}

function taskOf(target: Target, item: NamedItem, request: AppendManyRequest): ItemTask {
  const { dtype, channels, sampling, duplicates } = target.series;
  const { kind } = sampling;
  const channelLabels = channels.map(({ label }) => label);
  const shape = { dtype, channelLabels, kind, ...(kind === 'regular' && { rate: sampling.rate }) };
  return { shape, duplicates, hash: keyNameOf(item, request) !== null };
}

/** The item's own key, or that of the request and the line. */
function keyNameOf({ key, line }: NamedItem, { idempotencyKey }: AppendManyRequest): string | null {
  return key ?? (idempotencyKey === null ? null : keyOfLine(idempotencyKey, line));
}

function toAppend(
  { seriesId, series, knownVersion }: Target,
  item: NamedItem,
  received: ReceivedPayload,
  request: AppendManyRequest,
): AppendItem {
  const { rows, startNs, parts } = received;
  const key = keyOf(keyNameOf(item, request), received, startNs);
  const { tokenId } = request.principal;
  return { seriesId, rule: timeRule(series), knownVersion, rows, startNs, parts, key, tokenId };
}

/** Whether items were refused for what was remembered of their series, and is not so. */
async function wasOutOfDate(
  { memory }: AppendManyDeps,
  { principal }: AppendManyRequest,
  checked: readonly Checked[],
): Promise<boolean> {
  const doubted = checked.flatMap((each) => ('error' in each && each.target ? [each] : []));
  if (doubted.length === 0) return false;
  const now = await memory.ask(
    principal,
    doubted.map(({ item }) => (item as NamedItem).ref),
  );
  return now.some((series, i) => {
    const { seriesId, knownVersion } = doubted[i].target!;
    return series instanceof Error || series.id !== seriesId || series.version !== knownVersion;
  });
}

async function commit(
  { committer, writes }: AppendManyDeps,
  { atomic, principal: { tokenId } }: AppendManyRequest,
  items: readonly AppendItem[],
  creation: Creation | null,
): Promise<{ results: readonly AppendResult[]; stored: ReadonlySet<string> }> {
  const used = new Set(items.map(({ seriesId }) => seriesId));
  const series = creation?.series.filter(({ id }) => used.has(id)) ?? [];
  if (series.length > 0) return appendCreating(writes, { items, atomic }, { series, units: creation!.units, tokenId });
  return { results: await committer.submit({ items, atomic }), stored: new Set() };
}

/** Nothing is committed: no item is good, or one is bad and they belong together. */
function refusal(checked: readonly Checked[]): AppendManyOutcome {
  const items = checked.map(
    (each): ItemOutcome => ({ line: each.item.line, error: 'error' in each ? each.error : notStored() }),
  );
  return { commit: null, items };
}

function outcomeOf(checked: readonly Checked[], results: readonly AppendResult[]): AppendManyOutcome {
  let next = 0;
  const items = checked.map((each): ItemOutcome => {
    const { line } = each.item;
    if ('error' in each) return { line, error: each.error };
    const result = results[next++];
    if (result.kind === 'refused') return { line, error: withFieldOfItem(result.error, each.item.key) };
    const { rows, firstRow, replayed } = result;
    return { line, rows, firstRow, replayed };
  });
  let commit: bigint | null = null;
  for (const each of results) if (each.kind === 'appended' && (commit === null || each.commit > commit)) ({ commit } = each);
  return { commit, items };
}

/** A key of the item's own is called by what it is there. */
function withFieldOfItem(error: VarveError, key: string | null): VarveError {
  if (key === null) return error;
  const field = fieldOfKey(key);
  const at = error.errors.findIndex((each) => each.field === field);
  if (at < 0) return error;
  const { message } = error.errors[at];
  return new VarveError(error.code, `idempotency_key: ${message}`, {
    slug: error.slug,
    errors: [{ field: 'idempotency_key', message }],
  });
}

function bytesOf(items: readonly AppendItem[]): number {
  let sum = 0;
  for (const { parts } of items) for (const { bytes } of parts) sum += bytes;
  return sum;
}
