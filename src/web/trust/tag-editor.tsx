/** The tags of a series, which can be changed one at a time; the history can undo it. */
import { useSignal } from '@preact/signals';
import { dataOf, Refusal, sentenceOf, type Api, type SeriesItem } from '../api.ts';
import { fieldText } from '../field-text.ts';
import { readTyped, type TypedAs } from '../find/condition.ts';
import { spelledValue } from '../spelled.ts';

interface TagEditorProps {
  readonly api: Api;
  readonly series: SeriesItem;
  readonly isReadOnly: boolean;
  readonly onChanged: () => void;
}

/** A new value is a number, a time, a quantity or a boolean if it can be read so. */
const ANY: readonly TypedAs[] = ['number', 'boolean', 'time', 'quantity', 'string'];
/** What begins like a quantity but has no such unit is a text. */
const NO_UNIT: readonly TypedAs[] = ANY.filter((each) => each !== 'quantity');

export function TagEditor({ api, series, isReadOnly, onChanged }: TagEditorProps) {
  const failure = useSignal<string | null>(null);
  const change = async (key: string, text: string | null): Promise<boolean> => {
    failure.value = null;
    const before = series.tags[key];
    const types = typeof before === 'string' ? (['string'] as const) : ANY;
    const send = (value: unknown): Promise<unknown> =>
      dataOf(
        api.PATCH('/v1/series/{id}', {
          params: { path: { id: series.id }, header: { 'If-Match': `"${series.version}"` } },
          body: { tags: { [key]: value as string } },
        }),
      );
    try {
      await send(text === null ? null : readTyped(text, types)).catch(async (error: unknown) => {
        const isNoUnit = error instanceof Refusal && error.status === 400 && text !== null && types === ANY;
        if (!isNoUnit) throw error;
        return send(readTyped(text, NO_UNIT));
      });
      onChanged();
      return true;
    } catch (error) {
      const isStale = error instanceof Refusal && error.status === 412;
      failure.value = isStale ? 'Somebody has changed it meanwhile; look at it again.' : sentenceOf(error);
      if (isStale) onChanged();
      return false;
    }
  };
  const tags = Object.entries(series.tags);
  return (
    <>
      {tags.length === 0 ? <p class="quiet">It has no tags yet.</p> : null}
      <ul class="chips">
        {tags.map(([key, value]) => (
          <li class="chip" key={key}>
            <span>
              <b>{key}</b> {spelledValue(value)}
            </span>
            {isReadOnly ? null : (
              <button
                type="button"
                class="chip-away"
                aria-label={`Remove ${key}`}
                onClick={() => void change(key, null)}
              >
                ×
              </button>
            )}
          </li>
        ))}
      </ul>
      {isReadOnly ? null : (
        <form
          class="bar-form"
          aria-label="Set a tag"
          onSubmit={(event) => {
            event.preventDefault();
            const form = event.currentTarget;
            const key = fieldText(form, 'key');
            const text = fieldText(form, 'value');
            if (key === '' || text === '') failure.value = 'A tag has a key and a value.';
            else void change(key, text).then((isDone) => isDone && form.reset());
          }}
        >
          <label>
            Key
            <input name="key" autocomplete="off" />
          </label>
          <label>
            Value
            <input name="value" autocomplete="off" />
          </label>
          <button type="submit" class="button">
            Set
          </button>
        </form>
      )}
      <p class="field-problem" role="alert">
        {failure}
      </p>
    </>
  );
}
