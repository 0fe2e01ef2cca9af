/** Finding series: words and conditions above, facets at the side, what is found as a table. */
import { useComputed, useSignal } from '@preact/signals';
import { useAnswer } from '../answer.ts';
import { dataOf, isAbort, sentenceOf, type Api, type SeriesItem } from '../api.ts';
import { spelledCount } from '../spelled.ts';
import type { UrlState } from '../url-state.ts';
import { printConditions, readConditions, treeOf, withoutChoice, type ChipCondition } from './condition.ts';
import { ConditionBar } from './condition-bar.tsx';
import { FacetList, type FacetCount } from './facet-list.tsx';
import { groupFound } from './found.ts';
import { ResultTable } from './result-table.tsx';
import { SavedSearchList } from './saved-search-list.tsx';

const PAGE = 100;
/** Keys of tags whose values are counted: those that most series have. */
const MAX_FACETS = 6;
const FIELD_FACETS = ['field.unit', 'field.kind'];
/** More are named by their search: addresses stay short. */
const MAX_NAMED = 40;

interface FoundPage {
  readonly items: readonly SeriesItem[];
  readonly next: string | null;
  readonly facets: Readonly<Record<string, readonly FacetCount[]>>;
  /** How many there are in all; null: nobody has counted. */
  readonly count: { readonly count: number; readonly isExact: boolean } | null;
}

export function FindView({ api, url }: { readonly api: Api; readonly url: UrlState }) {
  const isShared = api.base !== '';
  const words = url.get('q') ?? '';
  const conditions = readConditions(url.get('where'));
  const sort = url.get('sort') ?? '-created_at';
  const tree = treeOf(conditions, words);
  const keys = useAnswer('keys', async (signal) => {
    if (isShared) return [];
    const { items } = await dataOf(api.GET('/v1/tags', { params: { query: { limit: 200 } }, signal }));
    return items
      .filter((each) => !each.types.includes('time'))
      .sort((a, b) => b.count - a.count)
      .slice(0, MAX_FACETS)
      .map((each) => each.key)
      .sort();
  });
  const facetKeys = isShared ? FIELD_FACETS : [...(keys.value.data ?? []), ...FIELD_FACETS];
  const isReady = !keys.value.isWaiting;
  const question = JSON.stringify([tree, sort, facetKeys]);
  const ask = async (cursor: string | undefined, signal: AbortSignal): Promise<FoundPage> => {
    if (isShared) return askShared(api, words, sort, cursor, signal);
    const facets = cursor === undefined ? facetKeys : [];
    const body = { ...(tree && { where: tree as Record<string, never> }), sort: [sort], facets, limit: PAGE, cursor };
    const answer = await dataOf(api.POST('/v1/series/search', { body, signal }));
    const facetsOf = async (key: string): Promise<[string, readonly FacetCount[]]> => {
      const where = treeOf(withoutChoice(conditions, key), words) as Record<string, never> | null;
      const body = { ...(where && { where }), facets: [key], limit: 1 };
      return [key, (await dataOf(api.POST('/v1/series/search', { body, signal }))).facets?.[key] ?? []];
    };
    // Of a key that is chosen from, the alternatives are shown, too.
    const chosen = facets.filter((key) => withoutChoice(conditions, key).length < conditions.length);
    const alternatives = Object.fromEntries(await Promise.all(chosen.map(facetsOf)));
    return {
      items: answer.items,
      next: answer.cursor,
      facets: { ...answer.facets, ...alternatives },
      count: kindCount(answer.facets),
    };
  };
  const first = useAnswer(isReady ? question : '', async (signal) =>
    isReady ? { question, ...(await ask(undefined, signal)) } : undefined,
  );
  // Pages after the first belong to the question that they continue.
  const more = useSignal<{ question: string; items: SeriesItem[]; next: string | null } | null>(null);
  const failure = useSignal<string | null>(null);
  const shown = useComputed(() => {
    const page = first.value.data;
    if (!page) return undefined;
    const added = more.value?.question === page.question ? more.value : null;
    return { ...page, items: [...page.items, ...(added?.items ?? [])], next: added ? added.next : page.next };
  });
  const loadMore = async (): Promise<void> => {
    const page = shown.peek();
    if (!page || page.next === null) return;
    try {
      const after = await ask(page.next, new AbortController().signal);
      const before = more.peek()?.question === page.question ? (more.peek()?.items ?? []) : [];
      more.value = { question: page.question, items: [...before, ...after.items], next: after.next };
    } catch (error) {
      if (!isAbort(error)) failure.value = sentenceOf(error);
    }
  };

  const page = shown.value;
  const found = page && groupFound(page.items);
  const isOld = first.value.isWaiting && page !== undefined;
  const setConditions = (next: readonly ChipCondition[]): void => url.set({ where: printConditions(next) });
  const problem = first.value.failure ?? keys.value.failure ?? failure.value;
  return (
    <div class="find">
      <h1 class="unseen">Find</h1>
      {isShared ? null : (
        <ConditionBar
          api={api}
          words={words}
          conditions={conditions}
          onWords={(text, isFinal) => url.set({ q: text }, { replace: !isFinal })}
          onConditions={setConditions}
        />
      )}
      <aside class="side">
        {isShared ? null : (
          <FacetList keys={facetKeys} facets={page?.facets} conditions={conditions} onConditions={setConditions} />
        )}
        {isShared ? null : <SavedSearchList api={api} url={url} tree={tree} sort={url.get('sort')} />}
      </aside>
      <section class="found" aria-label="Found">
        <div class="found-head">
          <p class="found-count" role="status">
            {page ? countSentence(page, found?.length ?? 0) : ' '}
          </p>
          <button
            type="button"
            class="button button-first"
            disabled={!page || page.items.length === 0}
            onClick={() => page && url.open(plotAll(page, tree))}
          >
            Plot all that are found
          </button>
        </div>
        {problem === null ? null : (
          <p class="notice notice-bad" role="alert">
            {problem}{' '}
            <button type="button" class="button" onClick={first.again}>
              Try again
            </button>
          </p>
        )}
        {found?.length === 0 ? (
          <EmptyFound isNarrowed={tree !== null} onWiden={() => url.set({ q: null, where: null })} />
        ) : (
          <ResultTable api={api} url={url} found={problem !== null && !found ? [] : found} isOld={isOld} />
        )}
        {page?.next ? (
          <button type="button" class="button more" onClick={() => void loadMore()}>
            Show more
          </button>
        ) : null}
      </section>
    </div>
  );
}

function EmptyFound({ isNarrowed, onWiden }: { readonly isNarrowed: boolean; readonly onWiden: () => void }) {
  return (
    <div class="empty">
      {isNarrowed ? (
        <>
          <p>No series meets all of these conditions.</p>
          <button type="button" class="button" onClick={onWiden}>
            Remove them all
          </button>
        </>
      ) : (
        <>
          <p>There are no series here yet.</p>
          <p>
            <code>varve import FILE</code> brings a recording in, and <a href="/docs">the API</a> takes samples as they
            come.
          </p>
        </>
      )}
    </div>
  );
}

/** A link shows few series, and takes no tree of conditions. */
async function askShared(
  api: Api,
  words: string,
  sort: string,
  cursor: string | undefined,
  signal: AbortSignal,
): Promise<FoundPage> {
  const query = { q: words === '' ? undefined : words, sort, limit: PAGE, cursor };
  const { items, next } = await dataOf(api.GET('/v1/series', { params: { query }, signal }));
  const after = next === null ? null : new URLSearchParams(next.slice(next.indexOf('?'))).get('cursor');
  return { items, next: after, facets: {}, count: null };
}

/** Every series has a kind, so that all of them are counted. */
function kindCount(facets: Readonly<Record<string, readonly FacetCount[]>> | undefined): FoundPage['count'] {
  const kinds = facets?.['field.kind'];
  if (!kinds) return null;
  return { count: kinds.reduce((sum, { count }) => sum + count, 0), isExact: !kinds.some((each) => each.estimated) };
}

function countSentence(page: FoundPage, rows: number): string {
  const total = page.next === null ? null : page.count;
  const count = total?.count ?? page.items.length;
  const series = `${total?.isExact === false ? 'about ' : ''}${spelledCount(count)} series`;
  if (page.next !== null) return `${series}, ${spelledCount(page.items.length)} shown`;
  return rows < page.items.length ? `${spelledCount(rows)} results, ${series}` : series;
}

/** A search that finds more than are shown is asked again where it is plotted. */
function plotAll(page: FoundPage, tree: ChipCondition | null): Record<string, string | null> {
  if (page.next === null && page.items.length <= MAX_NAMED)
    return { view: 'see', series: page.items.map((each) => each.id).join(',') };
  return { view: 'see', found: JSON.stringify(tree) };
}
