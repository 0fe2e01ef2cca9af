/** Where a series has data, and where it has none. */
import { useAnswer } from '../answer.ts';
import { dataOf, type Api, type SeriesItem } from '../api.ts';
import { spelledCount, spelledSpan } from '../spelled.ts';

const SHOWN = 200;

export function AxisPart({ api, series }: { readonly api: Api; readonly series: SeriesItem }) {
  const isRegular = series.sampling.kind === 'regular';
  const { data, failure } = useAnswer(`${series.id} ${series.commit}`, async (signal) => {
    if (!isRegular) return { items: [], next: null };
    const params = { path: { id: series.id }, query: { limit: SHOWN } };
    return dataOf(api.GET('/v1/series/{id}/segments', { params, signal }));
  }).value;
  if (!isRegular) return <p class="quiet">Every row has a time of its own, so that it has no gaps.</p>;
  if (failure !== null) return <p class="quiet">{failure}</p>;
  if (!data) return <div class="skeleton skeleton-block" />;
  if (data.items.length === 0) return <p class="quiet">It has no samples.</p>;
  const isRelative = series.time_reference === 'relative';
  const time = (text: string): string =>
    isRelative ? spelledSpan(Date.parse(text) / 1000) : text.replace('T', ' ').replace(/Z$/, '');
  return (
    <div class="table-box table-low" tabIndex={0} role="region" aria-label="Segments">
      <table>
        <thead>
          <tr>
            <th scope="col">From{isRelative ? ' the start' : ' (UTC)'}</th>
            <th scope="col">Until</th>
            <th scope="col">Rows</th>
            <th scope="col">Gap before</th>
          </tr>
        </thead>
        <tbody>
          {data.items.map((each, i) => {
            const before = data.items[i - 1];
            const gap = before ? (Date.parse(each.start_time) - Date.parse(before.end_time)) / 1000 : 0;
            return (
              <tr key={each.start}>
                <td>{time(each.start_time)}</td>
                <td>{time(each.end_time)}</td>
                <td>{spelledCount(each.rows)}</td>
                <td>{before ? spelledSpan(gap) : '—'}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
      {data.next === null ? null : <p class="quiet">These are the first {SHOWN}.</p>}
    </div>
  );
}
