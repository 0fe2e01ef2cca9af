/** Makes a link that shows something to whoever has it. */
import { useSignal } from '@preact/signals';
import { dataOf, sentenceOf, type Api, type ApiSchemas } from '../api.ts';

type ShareWhat = Pick<ApiSchemas['NewShare'], 'series' | 'recording' | 'search'>;

export function ShareButton({ api, what }: { readonly api: Api; readonly what: ShareWhat }) {
  const link = useSignal<string | null>(null);
  const failure = useSignal<string | null>(null);
  const share = async (): Promise<void> => {
    failure.value = null;
    try {
      const { url } = await dataOf(api.POST('/v1/shares', { body: what }));
      link.value = new URL(url, location.origin).href;
    } catch (error) {
      failure.value = sentenceOf(error);
    }
  };
  return (
    <>
      <button type="button" class="button" onClick={() => void share()}>
        Share
      </button>
      {link.value === null ? null : (
        <label class="share-link">
          For 30 days, whoever has this link may see it:
          <input readOnly value={link.value} onFocus={(event) => event.currentTarget.select()} />
        </label>
      )}
      {failure.value === null ? null : (
        <p class="field-problem" role="alert">
          {failure}
        </p>
      )}
    </>
  );
}
