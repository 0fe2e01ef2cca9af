/** What a view asks for: the last answer stays until the next has come, so that nothing jumps. */
import { signal, type ReadonlySignal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import { isAbort, sentenceOf } from './api.ts';

interface LastAnswer<T> {
  /** Undefined before the first answer. */
  readonly data: T | undefined;
  /** What the newest question was refused with, as a sentence. */
  readonly failure: string | null;
  readonly isWaiting: boolean;
}

/**
 * Asks when the view is shown and whenever the question becomes another; the question before is aborted.
 * @param question what the answer depends on, as a text
 */
export function useAnswer<T>(
  question: string,
  ask: (abort: AbortSignal) => Promise<T>,
): ReadonlySignal<LastAnswer<T>> & { readonly again: () => void } {
  const asked = useMemo(() => {
    const state = signal<LastAnswer<T>>({ data: undefined, failure: null, isWaiting: true });
    return Object.assign(state, { again: () => {}, abort: new AbortController() });
  }, []);
  const run = (): void => {
    asked.abort.abort();
    const abort = (asked.abort = new AbortController());
    asked.value = { ...asked.peek(), isWaiting: true };
    ask(abort.signal).then(
      (data) => {
        if (!abort.signal.aborted) asked.value = { data, failure: null, isWaiting: false };
      },
      (error: unknown) => {
        if (abort.signal.aborted || isAbort(error)) return;
        asked.value = { data: asked.peek().data, failure: sentenceOf(error), isWaiting: false };
      },
    );
  };
  asked.again = run;
  useEffect(() => {
    run();
    return () => asked.abort.abort();
  }, [question]);
  return asked;
}
