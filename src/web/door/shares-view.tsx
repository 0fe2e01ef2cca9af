/** The links that show parts of the store, each of which can be revoked. */
import { ColumnHeads } from '../column-heads.tsx';
import { useSignal } from '@preact/signals';
import { useAnswer } from '../answer.ts';
import { dataOf, sentenceOf, type Api } from '../api.ts';
import { spelledMinute } from '../spelled.ts';

export function SharesView({ api }: { readonly api: Api }) {
  const asked = useAnswer('shares', (signal) => dataOf(api.GET('/v1/shares', { signal })));
  const refused = useSignal<string | null>(null);
  const { data } = asked.value;
  const failure = asked.value.failure ?? refused.value;
  const revoke = async (id: string): Promise<void> => {
    try {
      await api.DELETE('/v1/shares/{id}', { params: { path: { id } } });
      asked.again();
    } catch (error) {
      refused.value = sentenceOf(error);
    }
  };
  return (
    <section class="page-part">
      <h1>Shares</h1>
      {failure === null ? null : (
        <p class="notice notice-bad" role="alert">
          {failure}
        </p>
      )}
      {data?.items.length === 0 ? (
        <p class="empty">Nothing is shared. The page about a series, and what a search finds, can be.</p>
      ) : null}
      {data && data.items.length > 0 ? (
        <div class="table-box">
          <table>
            <ColumnHeads names={['What', 'Note', 'Made by', 'Ends', 'State']} unseen="Revoke" />
            <tbody>
              {data.items.map((share) => (
                <tr key={share.id}>
                  <th scope="row">{whatOf(share)}</th>
                  <td>{share.note ?? '—'}</td>
                  <td>{share.token.name}</td>
                  <td>{spelledMinute(share.expires_at)} UTC</td>
                  <td>{share.state}</td>
                  <td>
                    {share.state === 'valid' ? (
                      <button type="button" class="button" onClick={() => void revoke(share.id)}>
                        Revoke
                      </button>
                    ) : null}
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

function whatOf(share: { series?: unknown; recording?: unknown; search?: unknown }): string {
  if (Array.isArray(share.series)) return share.series.length === 1 ? 'a series' : `${share.series.length} series`;
  return share.recording ? 'a recording' : 'what a search finds';
}
