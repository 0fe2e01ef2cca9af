/** What was deleted and can still be had back. */
import { ColumnHeads } from '../column-heads.tsx';
import { useSignal } from '@preact/signals';
import { useAnswer } from '../answer.ts';
import { dataOf, sentenceOf, type Api } from '../api.ts';
import { Link } from '../link.tsx';
import { spelledAgo, spelledCount, spelledMinute } from '../spelled.ts';
import type { UrlState } from '../url-state.ts';

export function TrashView({ api, url }: { readonly api: Api; readonly url: UrlState }) {
  const asked = useAnswer('trash', (signal) => dataOf(api.GET('/v1/trash', { params: { query: {} }, signal })));
  const refused = useSignal<string | null>(null);
  const restored = useSignal<{ id: string; name: string } | null>(null);
  const { data } = asked.value;
  const failure = refused.value ?? asked.value.failure;
  const restore = async (id: string, name: string): Promise<void> => {
    refused.value = null;
    try {
      await api.POST('/v1/series/{id}/restore', { params: { path: { id } } });
      restored.value = { id, name };
      asked.again();
    } catch (error) {
      refused.value = sentenceOf(error);
    }
  };
  return (
    <section class="page-part">
      <h1>Trash</h1>
      {failure === null ? null : (
        <p class="notice notice-bad" role="alert">
          {failure}
        </p>
      )}
      <p role="status">
        {restored.value === null ? null : (
          <>
            <Link url={url} to={{ view: 'series', series: restored.value.id }}>
              {restored.value.name}
            </Link>{' '}
            is back.
          </>
        )}
      </p>
      {data?.items.length === 0 ? <p class="empty">The trash is empty.</p> : null}
      {!data && failure === null ? <div class="skeleton skeleton-view" /> : null}
      {data && data.items.length > 0 ? (
        <div class="table-box">
          <table>
            <ColumnHeads names={['Name', 'Rows', 'Deleted', 'Can be restored until', 'Restore']} />
            <tbody>
              {data.items.map((series) => (
                <tr key={series.id}>
                  <th scope="row">{series.name}</th>
                  <td>{spelledCount(series.rows - series.removed)}</td>
                  <td>{spelledAgo(series.deleted_at)}</td>
                  <td>{spelledMinute(series.restorable_until)} UTC</td>
                  <td>
                    <button type="button" class="button" onClick={() => void restore(series.id, series.name)}>
                      Restore
                    </button>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      ) : null}
    </section>
  );
}
