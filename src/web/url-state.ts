/** The state of the page is its URL: parameters that can be read, changed and followed, and back undoes what was pushed. */
import { computed, signal, type ReadonlySignal } from '@preact/signals';

/** Changes of parameters; null or an empty text removes one. */
export type UrlChanges = Readonly<Record<string, string | null>>;

export interface UrlState {
  /** Every parameter, as it is in the address bar; read within a component or effect, it is followed. */
  readonly params: ReadonlySignal<URLSearchParams>;
  /** The value of a parameter, followed where it is read within a component or effect; null: it is not there. */
  get(key: string): string | null;
  /** A signal of one parameter alone, which tells only of its own changes. */
  follow(key: string): ReadonlySignal<string | null>;
  /** Changes some parameters, and keeps the others. With `replace`, back does not stop here: for what moves often. */
  set(changes: UrlChanges, options?: { readonly replace?: boolean }): void;
  /** Goes to these parameters alone, as a link would. */
  open(params: UrlChanges): void;
  /** Takes the place of the address before, with a path of this page; any other path becomes `/`. */
  goTo(path: string): void;
  /** The address that {@link UrlState.open} would go to. */
  href(params: UrlChanges): string;
}

/** How long a change that replaces waits for others, in ms: browsers limit how often the address may be changed. */
const REPLACE_AFTER_MS = 150;

export function createUrlState(view: Window): UrlState {
  const params = signal(new URLSearchParams());
  const followed = new Map<string, ReadonlySignal<string | null>>();
  let waiting: ReturnType<typeof setTimeout> | undefined;

  const goTo = (path: string): void => {
    const wanted = new URL(path, view.location.origin);
    const here = wanted.origin === view.location.origin ? wanted : new URL(view.location.origin);
    const [, share = ''] = /^(\/s\/[^/]+)/.exec(here.pathname) ?? [];
    const [, id] = /\/series\/([^/]+)$/.exec(here.pathname) ?? [];
    const next = new URLSearchParams(here.search);
    if (id !== undefined) changed(next, { view: 'see', series: decodeURIComponent(id) });
    view.history.replaceState(null, '', `${share || '/'}${next.size > 0 ? `?${next.toString()}` : ''}`);
    params.value = next;
  };
  const addressOf = (next: URLSearchParams): string => {
    const text = next.toString();
    return `${view.location.pathname}${text === '' ? '' : `?${text}`}`;
  };
  const flush = (): void => {
    if (waiting === undefined) return;
    clearTimeout(waiting);
    waiting = undefined;
    view.history.replaceState(null, '', addressOf(params.value));
  };
  const push = (next: URLSearchParams): void => {
    flush();
    if (next.toString() === params.value.toString()) return;
    params.value = next;
    view.history.pushState(null, '', addressOf(next));
  };
  view.addEventListener('popstate', () => {
    clearTimeout(waiting);
    waiting = undefined;
    params.value = new URLSearchParams(view.location.search);
  });
  view.addEventListener('pagehide', flush);
  // A link of the service may name a series by its path; a sign-in is no view.
  if (view.location.pathname !== '/signin') goTo(view.location.href);

  return {
    params,
    get: (key) => params.value.get(key),
    follow(key) {
      let found = followed.get(key);
      if (!found) followed.set(key, (found = computed(() => params.value.get(key))));
      return found;
    },
    set(changes, { replace = false } = {}) {
      const next = changed(new URLSearchParams(params.peek()), changes);
      if (!replace) return push(next);
      if (next.toString() === params.peek().toString()) return;
      params.value = next;
      waiting ??= setTimeout(flush, REPLACE_AFTER_MS);
    },
    open: (changes) => push(changed(new URLSearchParams(), changes)),
    goTo,
    href: (changes) => addressOf(changed(new URLSearchParams(), changes)),
  };
}

function changed(params: URLSearchParams, changes: UrlChanges): URLSearchParams {
  for (const [key, value] of Object.entries(changes)) {
    if (value === null || value === '') params.delete(key);
    else params.set(key, value);
  }
  return params;
}
