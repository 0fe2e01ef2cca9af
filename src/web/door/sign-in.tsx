/** The door: a token, or the code of a link that the service has printed, becomes a session. */
import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { dataOf, Refusal, sentenceOf, type Api, type ApiSchemas } from '../api.ts';
import { fieldText } from '../field-text.ts';
import type { UrlState } from '../url-state.ts';

interface SignInProps {
  readonly api: Api;
  readonly url: UrlState;
  readonly onSignedIn: (who: ApiSchemas['Session']) => void;
}

export function SignIn({ api, url, onSignedIn }: SignInProps) {
  const failure = useSignal<string | null>(null);
  const isWaiting = useSignal(false);
  const signIn = (body: { token: string } | { code: string }, after: () => void): void => {
    isWaiting.value = true;
    failure.value = null;
    dataOf(api.POST('/v1/session', { body })).then(
      (who) => {
        after();
        onSignedIn(who);
      },
      (error: unknown) => {
        isWaiting.value = false;
        const isUnknown = error instanceof Refusal && (error.status === 401 || error.status === 403);
        if (!isUnknown) failure.value = sentenceOf(error);
        else if ('token' in body) failure.value = 'This token is not valid here.';
        else failure.value = 'This link has been used, or has expired. The service prints a new one when it starts.';
      },
    );
  };
  useEffect(() => {
    const code = location.hash.slice(1);
    if (location.pathname !== '/signin' || code === '') return;
    const to = new URLSearchParams(location.search).get('to') ?? '/';
    // The code is in no history, whatever becomes of it.
    history.replaceState(null, '', '/signin');
    signIn({ code }, () => url.goTo(to));
  }, []);
  return (
    <main class="door">
      <form
        class="door-form"
        onSubmit={(event) => {
          event.preventDefault();
          const token = fieldText(event.currentTarget, 'token');
          if (token === '') failure.value = 'Paste a token first.';
          else signIn({ token }, () => location.pathname === '/signin' && url.goTo('/'));
        }}
      >
        <h1 class="brand">Varve</h1>
        <p>
          Sign in with a token. The first one is in the file <code>token</code> of the service’s data folder; the
          service prints a link when it starts, which signs you in, too.
        </p>
        {/* Password managers keep a secret by a name. */}
        <input type="text" name="username" autocomplete="username" value="Varve" readOnly hidden />
        <label>
          Token
          <input type="password" name="token" autocomplete="current-password" spellcheck={false} />
        </label>
        <button type="submit" class="button button-first" disabled={isWaiting.value}>
          {isWaiting.value ? 'Signing in …' : 'Sign in'}
        </button>
        <p class="field-problem" role="alert">
          {failure}
        </p>
      </form>
    </main>
  );
}
