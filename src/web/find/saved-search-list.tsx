/** Searches that a project keeps by name, and a place to keep this one. */
import { useSignal } from '@preact/signals';
import { useAnswer } from '../answer.ts';
import { dataOf, sentenceOf, type Api } from '../api.ts';
import { ShareButton } from '../door/share-button.tsx';
import { fieldText } from '../field-text.ts';
import { Link } from '../link.tsx';
import type { UrlState } from '../url-state.ts';
import { chipsOf, printConditions, type ChipCondition } from './condition.ts';

interface SavedSearchListProps {
  readonly api: Api;
  readonly url: UrlState;
  /** What is searched for now; null: everything. */
  readonly tree: ChipCondition | null;
  readonly sort: string | null;
}

export function SavedSearchList({ api, url, tree, sort }: SavedSearchListProps) {
  const asked = useAnswer('saved', (signal) => dataOf(api.GET('/v1/searches', { signal })));
  const failure = useSignal<string | null>(null);
  const attempt = async (change: Promise<unknown>): Promise<boolean> => {
    failure.value = null;
    try {
      await change;
      asked.again();
      return true;
    } catch (error) {
      failure.value = sentenceOf(error);
      return false;
    }
  };
  const items = asked.value.data?.items ?? [];
  if (items.length === 0 && tree === null) return null;
  return (
    <section class="saved" aria-label="Saved searches">
      <h2 class="side-title">Saved searches</h2>
      <ul>
        {items.map((saved) => (
          <li key={saved.id}>
            <Link
              url={url}
              to={{
                where: printConditions(chipsOf(saved.where)),
                sort: saved.sort[0] ?? null,
              }}
            >
              {saved.name}
            </Link>
            <button
              type="button"
              class="chip-away"
              aria-label={`Forget ${saved.name}`}
              onClick={() => void attempt(api.DELETE('/v1/searches/{id}', { params: { path: { id: saved.id } } }))}
            >
              ×
            </button>
          </li>
        ))}
      </ul>
      {tree === null ? null : (
        <>
          <form
            class="saved-form"
            onSubmit={(event) => {
              event.preventDefault();
              const form = event.currentTarget;
              const name = fieldText(form, 'name');
              if (name === '') failure.value = 'A saved search has a name.';
              else {
                const body = { name, where: tree as Record<string, never>, sort: sort === null ? [] : [sort] };
                void attempt(api.POST('/v1/searches', { body })).then((isDone) => isDone && form.reset());
              }
            }}
          >
            <input name="name" aria-label="Name of this search" placeholder="Name of this search" autocomplete="off" />
            <button type="submit" class="button">
              Save
            </button>
          </form>
          <div class="actions">
            <ShareButton key={JSON.stringify(tree)} api={api} what={{ search: tree as Record<string, never> }} />
          </div>
        </>
      )}
      <p class="field-problem" role="alert">
        {failure}
      </p>
    </section>
  );
}
