/** What a series is, in words, which can be changed; the history can undo it. */
import { useSignal } from '@preact/signals';
import { dataOf, sentenceOf, type Api, type SeriesItem } from '../api.ts';
import { fieldText } from '../field-text.ts';

interface DescriptionEditorProps {
  readonly api: Api;
  readonly series: SeriesItem;
  readonly isReadOnly: boolean;
  readonly onChanged: () => void;
}

export function DescriptionEditor({ api, series, isReadOnly, onChanged }: DescriptionEditorProps) {
  const isOpen = useSignal(false);
  const failure = useSignal<string | null>(null);
  const save = async (text: string): Promise<void> => {
    failure.value = null;
    try {
      const params = { path: { id: series.id }, header: { 'If-Match': `"${series.version}"` } };
      await dataOf(api.PATCH('/v1/series/{id}', { params, body: { description: text === '' ? null : text } }));
      isOpen.value = false;
      onChanged();
    } catch (error) {
      failure.value = sentenceOf(error);
    }
  };
  if (!isOpen.value) {
    return (
      <p class="description">
        {series.description ?? <span class="quiet">It has no description.</span>}{' '}
        {isReadOnly ? null : (
          <button type="button" class="button" onClick={() => (isOpen.value = true)}>
            Describe it
          </button>
        )}
      </p>
    );
  }
  return (
    <form
      class="description-form"
      onSubmit={(event) => {
        event.preventDefault();
        void save(fieldText(event.currentTarget, 'description'));
      }}
    >
      <textarea name="description" aria-label="Description" rows={3} defaultValue={series.description ?? ''} />
      <div class="actions">
        <button type="submit" class="button button-first">
          Save
        </button>
        <button type="button" class="button" onClick={() => (isOpen.value = false)}>
          Cancel
        </button>
      </div>
      <p class="field-problem" role="alert">
        {failure}
      </p>
    </form>
  );
}
