/** Rows of many series in one request, all in one commit: each item is answered by itself, or one that is refused refuses all. */
import { setImmediate } from 'node:timers/promises';
import type { ReadsAndWrites } from '../../catalog/database.ts';
import type { SampleShape } from '../../core/signal/batch.ts';
import { invalidField, isVarveError, notFound, unprocessableField, VarveError } from '../../core/errors.ts';
import {
  isOutOfDate,
  NOT_STORED,
  notStored,
  type AppendItem,
  type AppendKey,
  type TimeRule,
} from '../../core/rows/place-append.ts';
import { keyOfLine, keyOfPair } from '../../core/idempotency.ts';
import { nameKey } from '../../core/same-name.ts';
import { runsOfStamps } from '../../core/signal/stamps.ts';
import type { GapRule } from '../../core/signal/place-run.ts';
import type { NewSeries, Series } from '../../core/signal/series.ts';
import { JSON_COPIES } from '../../formats/text/exact-json.ts';
import { ITEM_FORMATS, type ItemFormatName } from '../../formats/samples/item-formats.ts';
import { MAX_ITEMS_BYTES, type ReadItem, type SampleItem } from '../../formats/samples/sample-items.ts';
import { keyOfBody, timeRule } from './append-samples.ts';
import type { Backpressure } from './backpressure.ts';
import type { AppendResult, Committer } from './committer.ts';
import { createAndAppend } from './create-and-append.ts';
import { createMany } from '../series/create-many.ts';
import { shapeOf, type BodyRequest } from './receive-body.ts';
import { checkRows, type ReceivedPayload } from './receive-payload.ts';
import { SharedMemory } from './shared-memory.ts';
import type { SeriesMemory } from '../series/series-memory.ts';
import type { Principal } from '../principal.ts';
import type { CreateOutcome, SeriesRef } from '../series/series-service.ts';

export interface AppendManyDeps extends ReadsAndWrites {
  readonly memory: SeriesMemory;
  readonly committer: Pick<Committer, 'submit'>;
  readonly backpressure: Backpressure;
}

export interface AppendManyRequest extends Pick<BodyRequest, 'body' | 'declaredBytes'> {
  readonly principal: Principal;
  readonly format: ItemFormatName;
  /** The project of series that are called by their names. */
  readonly project: string;
  /** Whether one refused item refuses all. */
  readonly atomic: boolean;
  readonly gaps?: GapRule;
  /** The key of the request; with the number of a line it is the key of an item that has none of its own. */
  readonly idempotencyKey: string | null;
  /** Whose sequence numbers the items have, which make their keys; null: they have none. */
  readonly source: string | null;
  /** Reads what a new series is to be. @throws invalid-input naming a field of it */
  readonly describe: (spec: unknown, name: string) => NewSeries;
}

/** What is asked of items, however they come. */
export type ItemsRequest = Omit<AppendManyRequest, 'body' | 'declaredBytes'>;

/** What became of an item. */
export type ItemOutcome = {
  readonly line: number;
  /** What the body calls the series; null: its line says it. */
  readonly series: string | null;
} & (
  | {
      readonly kind: 'appended';
      readonly rows: number;
      readonly firstRow: number | null;
      readonly replayed: boolean;
      readonly commit: bigint;
    }
  | { readonly kind: 'refused'; readonly error: VarveError }
);

export interface AppendManyOutcome {
  /** The commit of what this request stored; null: it stored nothing. */
  readonly commit: bigint | null;
  /** Outcomes in the order of the body. If an atomic body was refused, these are the items that are to blame. */
  readonly items: readonly ItemOutcome[];
  /** True if an atomic body was not stored. */
  readonly isRefused: boolean;
}

/** After so many bytes of rows others get their turn: a millisecond. */
const TURN_BYTES = 64 * 1024;
/** How often one request asks for the same series anew, or finds that others have made them. */
const MOST_TRIES = 5;
const RETRY_AFTER_S = 2;

/**
 * Appends items to their series; items of one series apply in their order. An item whose series is not there may say
 * what it is to be, and then makes it. That happens before the commit, or by the commit itself if one refused item
 * refuses all.
 * @throws what is wrong with the body as a whole; what {@link Backpressure} or {@link Committer.submit} refuse, with
 * nothing stored
 */
export async function appendMany(deps: AppendManyDeps, request: AppendManyRequest): Promise<AppendManyOutcome> {
  const upload = await deps.backpressure.admit(request.declaredBytes, {
    mostHeld: MAX_ITEMS_BYTES,
    copies: JSON_COPIES,
  });
  try {
    const read = await ITEM_FORMATS[request.format].decode(upload.count(request.body));
    return await appendItems(deps, request, read);
  } finally {
    upload.end();
  }
}

/** As {@link appendMany}, of items that have been read. */
export function appendItems(
  deps: AppendManyDeps,
  request: ItemsRequest,
  read: readonly ReadItem[],
): Promise<AppendManyOutcome> {
  return new ManyAppend(deps, request, read).run();
}

/** One item on its way. */
interface Work {
  readonly line: number;
  readonly item: SampleItem | null;
  readonly target: Target | null;
  /** What a retry of the item is known by. */
  readonly known: string | null;
  rows: ReceivedPayload | null;
  key: AppendKey | null;
  error: VarveError | null;
}

/** A series as the body calls it. */
interface Target {
  readonly called: string;
  /** An id if it looks like one, and a name. Whichever of the two is found first is meant. */
  readonly refs: readonly SeriesRef[];
  readonly works: Work[];
  /** Null: it is not there, or not known yet. */
  found: FoundSeries | null;
  /** Why it is not there. */
  missing: VarveError | null;
  /** What it is to be, and the first item that can make it. */
  plan: { readonly input: NewSeries; readonly by: Work } | null;
}

/** What appending needs to know of a series, once for all items. */
interface FoundSeries {
  readonly id: string | null;
  /** The version with which the series was remembered; null: it was asked for. */
  readonly knownVersion: number | null;
  readonly shape: SampleShape;
  readonly rule: TimeRule;
  readonly duplicates: Series['duplicates'];
}

class ManyAppend {
  readonly #deps: AppendManyDeps;
  readonly #request: ItemsRequest;
  readonly #works: readonly Work[];
  readonly #targets: readonly Target[];
  readonly #memory = new SharedMemory();
  #isConfirmed = false;

  constructor(deps: AppendManyDeps, request: ItemsRequest, read: readonly ReadItem[]) {
    this.#deps = deps;
    this.#request = request;
    const targets = new Map<string, Target>();
    this.#works = read.map((each): Work => {
      if ('error' in each)
        return { line: each.line, item: null, target: null, known: null, rows: null, key: null, error: each.error };
      const { line, item } = each;
      const called = UUID.test(item.series) ? item.series.toLowerCase() : nameKey(item.series);
      const target = targets.get(called) ?? newTarget(item.series, request.project);
      targets.set(called, target);
      const error = faultOfSequence(item, request.source);
      if (error) return { line, item, target: null, known: null, rows: null, key: null, error };
      const known = keyOfItem(item, request, line);
      const work: Work = { line, item, target, known, rows: null, key: null, error: null };
      target.works.push(work);
      return work;
    });
    this.#targets = [...targets.values()];
  }

  async run(): Promise<AppendManyOutcome> {
    await this.#find(this.#targets, { mayRemember: true });
    const failed = this.#targets.filter(({ found, works }) => isRemembered(found) && works.some(({ error }) => error));
    if (failed.length > 0) await this.#find(failed, { mayRemember: false });
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      await this.#plan();
      const results = await this.#commit();
      if (results === 'again') continue;
      if (results.some(isOutOfDate)) {
        await this.#find(
          this.#targets.filter(({ found }) => isRemembered(found)),
          { mayRemember: false },
        );
        continue;
      }
      return this.#outcome(results);
    }
    const message = 'series of the request change while it is worked on';
    throw new VarveError('unavailable', message, { slug: 'series-busy', retryAfterS: RETRY_AFTER_S });
  }

  /** Finds out which series there are, and reads their items. */
  async #find(targets: readonly Target[], { mayRemember }: { mayRemember: boolean }): Promise<void> {
    const { memory } = this.#deps;
    const { principal } = this.#request;
    const unknown: Target[] = [];
    for (const target of targets) {
      target.found = null;
      target.missing = null;
      target.plan = null;
      if (!isStorable(target.called)) {
        target.missing = notFound('series', target.called);
        continue;
      }
      try {
        const series = mayRemember ? memory.remembered(principal, target.refs[0]) : undefined;
        if (series) target.found = foundSeries(series, { id: series.id, knownVersion: series.version });
        else unknown.push(target);
      } catch (error) {
        target.missing = error as VarveError;
      }
    }
    if (unknown.length > 0) {
      const asked = await memory.ask(
        principal,
        unknown.flatMap(({ refs }) => refs),
      );
      let at = 0;
      for (const target of unknown) {
        const answers = asked.slice(at, (at += target.refs.length));
        const series = answers.find((each) => !(each instanceof Error));
        if (series) target.found = foundSeries(series as Series, { id: (series as Series).id, knownVersion: null });
        else target.missing = notFound('series', target.called);
      }
    }
    await this.#read(targets.flatMap(({ works }) => works));
  }

  /** Reads the rows of items, or tells why they cannot be read. */
  async #read(works: readonly Work[]): Promise<void> {
    let bytes = 0;
    for (const work of works) {
      bytes += work.item!.weight;
      if (bytes > TURN_BYTES) {
        bytes = work.item!.weight;
        await setImmediate();
      }
      const { found, missing } = work.target!;
      if (found) this.#readRows(work, found);
      else Object.assign(work, { rows: null, error: missing });
    }
  }

  #readRows(work: Work, found: FoundSeries): void {
    const { gaps } = this.#request;
    readRows(work, gaps ? { ...found, shape: { ...found.shape, gaps } } : found, this.#memory);
  }

  /**
   * Finds for each series that is not there the item that can make it. Items before that one are refused, as if they
   * had come by themselves.
   */
  async #plan(): Promise<void> {
    for (const target of this.#targets) {
      if (target.found) continue;
      for (const [at, work] of target.works.entries()) {
        const { create } = work.item!;
        if (!create) continue;
        try {
          const input = this.#request.describe(create(), target.called);
          const found = foundSeries(input, { id: null, knownVersion: null });
          this.#readRows(work, found);
          if (work.error) continue;
          target.plan = { input, by: work };
          target.found = found;
          await this.#read(target.works.slice(at + 1));
          break;
        } catch (error) {
          refuse(work, error);
        }
      }
    }
  }

  /** @returns what became of the items that can be read; `again`: series have to be planned anew */
  async #commit(): Promise<readonly AppendResult[] | 'again'> {
    const { committer, backpressure } = this.#deps;
    const { atomic } = this.#request;
    if (atomic && this.#works.some(({ error }) => error)) return [];
    const made = this.#targets.filter(({ plan }) => plan);
    if (made.length > 0 && !atomic && !(await this.#create(made))) return 'again';
    const ready = this.#ready();
    if (ready.length === 0) return [];
    if (!this.#isConfirmed) {
      await backpressure.confirm(
        ready.reduce((sum, { rows }) => sum + rows!.bytes, 0),
        ready.length,
      );
      this.#isConfirmed = true;
    }
    const itemsOf = (): AppendItem[] => ready.map((work) => this.#itemOf(work));
    if (made.length === 0 || !atomic) return committer.submit({ items: itemsOf(), atomic });
    const done = await createAndAppend(
      this.#deps,
      this.#request.principal,
      made.map(({ plan }) => plan!.input),
      (ids) => {
        made.forEach((target, at) => (target.found = { ...target.found!, id: ids[at] }));
        return itemsOf();
      },
    );
    switch (done.kind) {
      case 'done':
        return done.results;
      case 'refused':
        for (const [at, error] of done.errors) refuseMaking(made[at].plan!.by, error);
        return [];
      case 'taken':
        await this.#find(made, { mayRemember: false });
        return 'again';
    }
  }

  /** @returns false if somebody else has made one meanwhile */
  async #create(made: readonly Target[]): Promise<boolean> {
    const inputs = made.map(({ plan }) => plan!.input);
    const { answer } = await createMany(this.#deps, this.#request.principal, inputs, null, (outcomes) => outcomes);
    const taken: Target[] = [];
    made.forEach((target, at) => {
      const { by } = target.plan!;
      const outcome: CreateOutcome = answer[at];
      target.plan = null;
      if ('id' in outcome) target.found = { ...target.found!, id: outcome.id };
      else if (isVarveError(outcome.error) && outcome.error.slug === 'name-taken') taken.push(target);
      else {
        const missing = notFound('series', target.called);
        for (const work of target.works.slice(target.works.indexOf(by))) {
          if (work.item!.create) refuseMaking(work, outcome.error);
          else refuse(work, missing);
        }
      }
    });
    if (taken.length === 0) return true;
    const early = taken.flatMap(({ works }) => works).filter(({ error }) => error);
    const errors = early.map(({ error }) => error);
    await this.#find(taken, { mayRemember: false });
    // Items before the one that was to make the series were refused by themselves, whoever has made it.
    early.forEach((work, at) => Object.assign(work, { rows: null, error: errors[at] }));
    return taken.every(({ found }) => found);
  }

  #ready(): Work[] {
    return this.#works.filter(({ error }) => !error);
  }

  #itemOf({ rows: received, key, target }: Work): AppendItem {
    const { id, rule, knownVersion } = target!.found!;
    const { rows, startNs, stamps, parts } = received!;
    const { gaps, principal } = this.#request;
    const { tokenId } = principal;
    const runs = rule.kind === 'regular' ? runsOfStamps(rows, startNs, stamps, rule, gaps) : [];
    return { seriesId: id!, rule, knownVersion, rows, runs, parts, key, tokenId };
  }

  #outcome(results: readonly AppendResult[]): AppendManyOutcome {
    const ready = this.#ready();
    results.forEach((result, at) => {
      if (result.kind === 'refused') ready[at].error = inItem(result.error, ready[at].item!);
    });
    const hasLines = this.#request.format === 'ndjson';
    let next = 0;
    const outcomes = this.#works.map((work): ItemOutcome => {
      const { line, item, error } = work;
      const series = hasLines ? null : item!.series;
      const result = ready[next] === work ? results[next++] : undefined;
      if (error) return { line, series, kind: 'refused', error };
      if (result?.kind !== 'appended') return { line, series, kind: 'refused', error: notStored() };
      const { rows, firstRow, replayed, commit } = result;
      return { line, series, kind: 'appended', rows, firstRow, replayed, commit };
    });
    const refused = outcomes.filter((each) => each.kind === 'refused');
    if (this.#request.atomic && refused.length > 0) {
      const items = refused.filter(({ error }) => error.slug !== NOT_STORED);
      return { commit: null, items, isRefused: true };
    }
    const stored = results.find((each) => each.kind === 'appended' && !each.replayed);
    return { commit: stored?.kind === 'appended' ? stored.commit : null, items: outcomes, isRefused: false };
  }
}

/** An item has a sequence number where the request has a source, and no other key beside it. */
function faultOfSequence({ key, sequence }: SampleItem, source: string | null): VarveError | null {
  if (source !== null && sequence === null) return invalidField('sequence', 'is missing: the request has a source');
  if (source === null && sequence !== null) return invalidField('sequence', 'is of a source: add ?source=');
  return sequence !== null && key !== null ? invalidField('idempotency_key', 'excludes sequence') : null;
}

function keyOfItem(
  { key, sequence }: SampleItem,
  { source, idempotencyKey }: Pick<ItemsRequest, 'source' | 'idempotencyKey'>,
  line: number,
): string | null {
  if (source !== null && sequence !== null) return keyOfPair(source, sequence);
  return key ?? (idempotencyKey === null ? null : keyOfLine(idempotencyKey, line));
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

function newTarget(series: string, project: string): Target {
  const named = { project, name: series };
  const refs = UUID.test(series) ? [{ id: series.toLowerCase() }, named] : [named];
  return { called: series, refs, works: [], found: null, missing: null, plan: null };
}

/**
 * A name with a NUL cannot be in Postgres, and half a surrogate pair would be sent as another character. So no series
 * has such a name.
 */
function isStorable(called: string): boolean {
  return !/\0|\p{Cs}/u.test(called);
}

type Described = Pick<Series, 'dtype' | 'channels' | 'sampling' | 'duplicates'>;
type Rules = Pick<FoundSeries, 'shape' | 'rule' | 'duplicates'>;

/** Rules of remembered series, which come again and again. */
const RULES = new WeakMap<Described, Rules>();

function foundSeries(series: Described, { id, knownVersion }: Pick<FoundSeries, 'id' | 'knownVersion'>): FoundSeries {
  let rules = RULES.get(series);
  if (!rules) {
    rules = { shape: shapeOf(series), rule: timeRule(series), duplicates: series.duplicates };
    RULES.set(series, rules);
  }
  return { id, knownVersion, shape: rules.shape, rule: rules.rule, duplicates: rules.duplicates };
}

function isRemembered(found: FoundSeries | null): boolean {
  return found !== null && found.knownVersion !== null;
}

function readRows(work: Work, { shape, duplicates }: FoundSeries, memory: SharedMemory): void {
  const { known } = work;
  try {
    const received = checkRows(work.item!.read(shape), { duplicates, hash: known !== null }, (array) =>
      memory.keep(array instanceof BigInt64Array ? 'int64' : shape.dtype, array),
    );
    work.rows = received;
    work.key = keyOfBody(known, received, received.startNs);
    work.error = null;
  } catch (error) {
    refuse(work, error);
  }
}

/** @throws errors that are no refusals */
function refuse(work: Work, error: unknown): void {
  if (!isVarveError(error)) throw error;
  work.rows = null;
  work.error = error;
}

function refuseMaking(work: Work, error: unknown): void {
  refuse(work, isVarveError(error) ? withinCreate(error) : error);
}

/** The error as an item has it, where the key is a field of its own. */
function inItem(error: VarveError, { key }: SampleItem): VarveError {
  if (error.slug !== 'key-reused' || key === null) return error;
  return unprocessableField('idempotency_key', 'was used for a write with other content', error.slug);
}

/** What is wrong with a series to be made, with fields as an item has them. */
export function withinCreate({ code, slug, errors, message }: VarveError): VarveError {
  const named = errors.map((each) => ({ ...each, field: fieldOfItem(each.field) }));
  const [first] = errors;
  const text =
    first && message.startsWith(first.field) ? fieldOfItem(first.field) + message.slice(first.field.length) : message;
  return new VarveError(code, text, { slug, errors: named });
}

function fieldOfItem(field: string): string {
  if (field === 'name') return 'series';
  if (field === 'project' || field === 'create') return field;
  return field.startsWith('[') ? `create${field}` : `create.${field}`;
}
