/** Which series the items of a body go to: those that there are, and those that are to be made. */
import type { SeriesRef } from '../catalog/series-store.ts';
import { invalidField, isVarveError, type VarveError } from '../core/errors.ts';
import { nameKey } from '../core/same-name.ts';
import type { NewSeries, Series } from '../core/series.ts';
import type { BadItem, ItemHead } from '../formats/body-item.ts';
import type { Creation } from './create-many.ts';
import type { SeriesMemory } from './series-memory.ts';
import type { AppendManyRequest, Principal } from './service.ts';

/** An item that says which series it is for. */
export interface NamedItem extends ItemHead {
  readonly ref: SeriesRef;
  /** The same for all items that name a series in the same way. */
  readonly refKey: string;
  /** What the series is to be if there is none. */
  readonly spec: NewSeries | null;
}

export type MaybeItem = NamedItem | BadItem;

/** What an item's rows go to. */
export interface Target {
  readonly seriesId: string;
  readonly series: Pick<Series, 'dtype' | 'channels' | 'sampling' | 'duplicates'>;
  /** Of a series that is remembered, and may be out of date; null: it was asked for just now, or is new. */
  readonly knownVersion: number | null;
}

/** What is there, by the key of the ref. */
export type Found = ReadonlyMap<string, Target | { readonly error: VarveError }>;

/** Reads which series items name, and what those are to be that there are not. */
export function nameItems(
  heads: readonly (ItemHead | BadItem)[],
  { refOf, readSpec }: Pick<AppendManyRequest, 'refOf' | 'readSpec'>,
): MaybeItem[] {
  // Series of one body are often to be made alike.
  const specs = new Map<string, ReturnType<typeof readSpec>>();
  const specOf = (create: unknown, ref: SeriesRef): NewSeries | null => {
    if (create === undefined) return null;
    if ('id' in ref) throw invalidField('create', 'is for a series that is named: an id is given when one is made');
    const text = JSON.stringify(create);
    const spec = specs.get(text) ?? readSpec(create);
    specs.set(text, spec);
    return { ...spec, ...ref };
  };
  return heads.map((head): MaybeItem => {
    if ('error' in head) return head;
    try {
      const ref = refOf(head.series);
      const refKey = 'id' in ref ? ref.id : `name ${nameKey(ref.name)}`;
      return { ...head, ref, refKey, spec: specOf(head.create, ref) };
    } catch (error) {
      if (isVarveError(error)) return { line: head.line, error };
      throw error;
    }
  });
}

/** Asks for all that is not remembered at once. @param trusts whether what is remembered will do */
export async function findSeriesOfItems(
  memory: SeriesMemory,
  principal: Principal,
  items: readonly MaybeItem[],
  trusts: boolean,
): Promise<Found> {
  const found = new Map<string, Target | { error: VarveError }>();
  const unknown = new Map<string, SeriesRef>();
  for (const item of items) {
    if ('error' in item || found.has(item.refKey) || unknown.has(item.refKey)) continue;
    const series = trusts ? memory.remembered(principal, item.ref) : undefined;
    if (series) found.set(item.refKey, { seriesId: series.id, series, knownVersion: series.version });
    else unknown.set(item.refKey, item.ref);
  }
  if (unknown.size === 0) return found;
  const asked = await memory.ask(principal, [...unknown.values()]);
  [...unknown.keys()].forEach((key, i) => {
    const series = asked[i];
    found.set(
      key,
      series instanceof Error
        ? { error: series as VarveError }
        : { seriesId: series.id, series, knownVersion: null },
    );
  });
  return found;
}

/** What is to be made: of each series that is not there, what the first item says that would make it. */
export function seriesToMake(items: readonly MaybeItem[], found: Found): Map<string, NewSeries> {
  const wanted = new Map<string, NewSeries>();
  for (const item of items) {
    if ('error' in item || item.spec === null || wanted.has(item.refKey)) continue;
    if ('error' in found.get(item.refKey)!) wanted.set(item.refKey, item.spec);
  }
  return wanted;
}

/**
 * What each item goes to. Items apply in their order: one that comes before the one that makes its series finds none.
 * @param wanted as {@link seriesToMake} has it, in the order of the creation
 */
export function targetsOf(
  items: readonly MaybeItem[],
  found: Found,
  wanted: ReadonlyMap<string, NewSeries>,
  creation: Creation | null,
): (Target | { error: VarveError })[] {
  const made = madeTargets(wanted, creation);
  const begun = new Set<string>();
  return items.map((item) => {
    if ('error' in item) return item;
    const { refKey, spec } = item;
    const known = found.get(refKey)!;
    const target = made.get(refKey);
    if (!('error' in known) || !target) return known;
    if (spec !== null) begun.add(refKey);
    return begun.has(refKey) ? target : known;
  });
}

function madeTargets(
  wanted: ReadonlyMap<string, NewSeries>,
  creation: Creation | null,
): Map<string, Target | { error: VarveError }> {
  const made = new Map<string, Target | { error: VarveError }>();
  let next = 0;
  [...wanted].forEach(([key, series], i) => {
    const checked = creation!.checked[i];
    if ('input' in checked) made.set(key, { seriesId: creation!.series[next++].id, series, knownVersion: null });
    else if (isVarveError(checked.error)) made.set(key, { error: checked.error });
    else throw checked.error;
  });
  return made;
}
