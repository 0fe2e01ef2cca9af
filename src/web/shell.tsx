/** What is around every view: where one is, who one is, light or dark, and what has gone wrong. */
import { signal, useSignal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import { useAnswer } from './answer.ts';
import { createApi, dataOf, isAbort, Refusal, sentenceOf, type Api, type ApiSchemas } from './api.ts';
import { SignIn } from './door/sign-in.tsx';
import { FindView } from './find/find-view.tsx';
import { findIds } from './find/find-ids.ts';
import { Link } from './link.tsx';
import { Opened } from './opened.tsx';
import { Theme } from './theme.tsx';
import type { UrlState } from './url-state.ts';

const loadSee = async () => (await import('./see/see-view.tsx')).SeeView;
const loadTrust = async () => (await import('./trust/trust-view.tsx')).TrustView;
const loadService = async () => (await import('./service/service-view.tsx')).ServiceView;
const loadTrash = async () => (await import('./door/trash-view.tsx')).TrashView;
const loadShares = async () => (await import('./door/shares-view.tsx')).SharesView;

/** @param base what comes before `/v1`: nothing, or `/s/{share}` */
export function Shell({ base, url }: { readonly base: string; readonly url: UrlState }) {
  const isGone = useMemo(() => signal(false), []);
  /** Undefined: not known yet; null: nobody is signed in. */
  const session = useSignal<ApiSchemas['Session'] | null | undefined>(undefined);
  const refusal = useSignal<string | null>(null);
  const api = useMemo(
    () =>
      createApi(base, (heard) => {
        isGone.value = heard?.status === 0;
        if (heard?.status === 401) session.value = null;
      }),
    [base],
  );
  const askWho = (): void => {
    refusal.value = null;
    dataOf(api.GET('/v1/session')).then(
      (who) => (session.value = who),
      (error: unknown) => {
        if (isAbort(error) || (error instanceof Refusal && error.status === 401)) return;
        refusal.value = sentenceOf(error);
      },
    );
  };
  useEffect(() => {
    if (location.pathname === '/signin' && location.hash !== '') session.value = null;
    else askWho();
  }, []);

  if (session.value === null && base === '')
    return <SignIn api={api} url={url} onSignedIn={(who) => (session.value = who)} />;
  // Each parameter by itself: those of a time line change with every move of it.
  const view = url.follow('view').value ?? 'find';
  return (
    <>
      <a class="skip" href="#main">
        To the content
      </a>
      <header class="top">
        <Link url={url} to={{}} class="brand">
          Varve
        </Link>
        <nav class="top-nav" aria-label="Views">
          <Link url={url} to={{}} current={view === 'find'}>
            Find
          </Link>
          {base === '' ? (
            <>
              <Link url={url} to={{ view: 'service' }} current={view === 'service'}>
                Service
              </Link>
              <Link url={url} to={{ view: 'shares' }} current={view === 'shares'}>
                Shares
              </Link>
              <Link url={url} to={{ view: 'trash' }} current={view === 'trash'}>
                Trash
              </Link>
            </>
          ) : null}
        </nav>
        <Theme />
        {base === '' ? <Who api={api} session={session.value} onSignedOut={() => (session.value = null)} /> : null}
        {base === '' ? null : <span class="who">shared, to read only</span>}
      </header>
      {isGone.value ? (
        <p class="notice notice-bad" role="alert">
          Varve does not answer. Is it running, and is the network there?
        </p>
      ) : null}
      <main id="main" tabIndex={-1}>
        {refusal.value === null ? (
          session.value && <View view={view} api={api} url={url} />
        ) : (
          <p class="notice notice-bad" role="alert">
            {refusal}{' '}
            <button type="button" class="button" onClick={askWho}>
              Try again
            </button>
          </p>
        )}
      </main>
    </>
  );
}

function View({ view, api, url }: { readonly view: string; readonly api: Api; readonly url: UrlState }) {
  const waiting = <div class="skeleton skeleton-view" />;
  const named = url.follow('series').value;
  const found = url.follow('found').value;
  const seriesIds = useMemo(() => named?.split(',') ?? [], [named]);
  switch (view) {
    case 'see':
      return found === null ? (
        <Opened load={loadSee} props={{ seriesIds, api, url }} waiting={waiting} />
      ) : (
        <SeeFound found={found} api={api} url={url} />
      );
    case 'series':
      return <Opened load={loadTrust} props={{ id: seriesIds[0] ?? '', api, url }} waiting={waiting} />;
    case 'service':
      return <Opened load={loadService} props={{ api, url }} waiting={waiting} />;
    case 'trash':
      return <Opened load={loadTrash} props={{ api, url }} waiting={waiting} />;
    case 'shares':
      return <Opened load={loadShares} props={{ api }} waiting={waiting} />;
    default:
      return <FindView api={api} url={url} />;
  }
}

interface SeeFoundProps {
  /** The tree of the search, as JSON. */
  readonly found: string;
  readonly api: Api;
  readonly url: UrlState;
}

/** All that a search finds, which the address has instead of hundreds of ids. */
function SeeFound({ found, api, url }: SeeFoundProps) {
  const ids = useAnswer(found, (abort) => findIds(api, found, abort)).value;
  if (ids.failure !== null) return <p class="notice notice-bad">{ids.failure}</p>;
  if (!ids.data) return <div class="skeleton skeleton-view" />;
  if (ids.data.length === 0) return <p class="empty">This search finds no series any more.</p>;
  return <Opened load={loadSee} props={{ seriesIds: ids.data, api, url }} waiting={null} />;
}

interface WhoProps {
  readonly api: Api;
  readonly session: ApiSchemas['Session'] | null | undefined;
  readonly onSignedOut: () => void;
}

function Who({ api, session, onSignedOut }: WhoProps) {
  return (
    <span class="who">
      {session?.token?.name}{' '}
      <button
        type="button"
        class="button"
        onClick={() => void api.DELETE('/v1/session').then(onSignedOut, () => undefined)}
      >
        Sign out
      </button>
    </span>
  );
}
