/** How the service is: what it depends on, its files, and what has happened last. */
import { ColumnHeads } from '../column-heads.tsx';
import { useAnswer } from '../answer.ts';
import { dataOf, type Api, type ApiSchemas } from '../api.ts';
import { Link } from '../link.tsx';
import { spelledAgo, spelledBytes, spelledCount, spelledSpan } from '../spelled.ts';
import type { UrlState } from '../url-state.ts';
import { gaugesOf, type Gauge } from './gauges.ts';

/** The same path tells them as streams, which are texts. */
type Changes = ApiSchemas['Changes'];

const COMMITS_SHOWN = 20;
const SHARDS_SHOWN = 50;

export function ServiceView({ api, url }: { readonly api: Api; readonly url: UrlState }) {
  return (
    <article class="trust">
      <header class="trust-head">
        <h1>Service</h1>
      </header>
      <HealthPart api={api} />
      <GaugePart api={api} />
      <CommitPart api={api} url={url} />
      <ShardPart api={api} />
    </article>
  );
}

function HealthPart({ api }: { readonly api: Api }) {
  const { data, failure } = useAnswer('ready', async (signal) => {
    // Not ready is an answer, too.
    const response = await fetch(`${api.base}/readyz`, { signal });
    const ready = (await response.json()) as {
      status: string;
      checks?: Record<string, { ok: boolean; degraded?: boolean; message?: string }>;
    };
    return ready;
  }).value;
  return (
    <section class="card" aria-label="Health">
      <h2>Health</h2>
      {failure === null ? null : <p class="quiet">{failure}</p>}
      {data ? (
        <ul class="plain">
          {Object.entries(data.checks ?? {}).map(([name, check]) => (
            <li key={name}>
              <span class={check.ok && !check.degraded ? 'dot dot-good' : 'dot dot-bad'} aria-hidden="true" /> {name}:{' '}
              {check.message ?? (check.ok ? 'works' : 'does not work')}
            </li>
          ))}
        </ul>
      ) : (
        <div class="skeleton skeleton-block" />
      )}
    </section>
  );
}

function GaugePart({ api }: { readonly api: Api }) {
  const { data, failure } = useAnswer('metrics', async (signal) =>
    gaugesOf(await (await api.raw('/metrics', { signal })).text()),
  ).value;
  return (
    <section class="card" aria-label="Queue, workers and disk">
      <h2>Queue, workers and disk</h2>
      {failure === null ? null : <p class="quiet">{failure}</p>}
      {data ? (
        <dl class="facts">
          {data.map((each) => (
            <GaugeFact key={each.name} gauge={each} />
          ))}
        </dl>
      ) : failure === null ? (
        <div class="skeleton skeleton-block" />
      ) : null}
    </section>
  );
}

function GaugeFact({ gauge: { name, help, value } }: { readonly gauge: Gauge }) {
  const text = name.endsWith('_bytes')
    ? spelledBytes(value)
    : name.endsWith('_timestamp_seconds')
      ? value === 0
        ? 'never'
        : spelledAgo(new Date(value * 1000).toISOString())
      : name.endsWith('_seconds')
        ? spelledSpan(value)
        : spelledCount(value);
  return (
    <div class="fact">
      <dt>{help}</dt>
      <dd>{text}</dd>
    </div>
  );
}

function CommitPart({ api, url }: { readonly api: Api; readonly url: UrlState }) {
  const { data, failure } = useAnswer('commits', async (signal) => {
    // Without a number the newest one is answered.
    const newest = (await dataOf(api.GET('/v1/changes', { params: { query: {} }, signal }))) as Changes;
    const after = Math.max(0, newest.after - COMMITS_SHOWN);
    const query = { after, limit: COMMITS_SHOWN };
    return ((await dataOf(api.GET('/v1/changes', { params: { query }, signal }))) as Changes).commits.reverse();
  }).value;
  return (
    <section class="card" aria-label="Recent commits">
      <h2>Recent commits</h2>
      {failure === null ? null : <p class="quiet">{failure}</p>}
      {data?.length === 0 ? <p class="quiet">Nothing has happened lately.</p> : null}
      {data ? (
        <ol class="history">
          {data.map((each) => (
            <li key={each.commit}>
              <span class="history-when">{spelledAgo(each.at)}</span> commit {each.commit}:{' '}
              {each.changes.slice(0, 3).map((change) => (
                <Link key={change.series + change.kind} url={url} to={{ view: 'series', series: change.series }}>
                  {change.kind}
                  {change.rows === null ? '' : ` ${spelledCount(change.rows)} rows`}{' '}
                </Link>
              ))}
              {each.changes.length > 3 ? `and ${each.changes.length - 3} more` : ''}
            </li>
          ))}
        </ol>
      ) : failure === null ? (
        <div class="skeleton skeleton-block" />
      ) : null}
    </section>
  );
}

function ShardPart({ api }: { readonly api: Api }) {
  const { data, failure } = useAnswer('shards', (signal) =>
    dataOf(api.GET('/v1/shards', { params: { query: { limit: SHARDS_SHOWN } }, signal })),
  ).value;
  return (
    <section class="card" aria-label="Shards">
      <h2>Shards</h2>
      {failure === null ? null : <p class="quiet">{failure}</p>}
      {data?.items.length === 0 ? <p class="quiet">No samples have been flushed to a file yet.</p> : null}
      {data && data.items.length > 0 ? (
        <div class="table-box table-low" tabIndex={0} role="region" aria-label="Files">
          <table>
            <ColumnHeads names={['File', 'State', 'Size', 'In use', 'Series', 'Made']} />
            <tbody>
              {data.items.map((shard) => (
                <tr key={shard.id}>
                  <th scope="row">
                    <code>{shard.id.slice(0, 13)}…</code>
                  </th>
                  <td>{shard.state}</td>
                  <td>{spelledBytes(shard.bytes)}</td>
                  <td>{spelledBytes(shard.live_bytes)}</td>
                  <td>{spelledCount(shard.series)}</td>
                  <td>{spelledAgo(shard.created_at)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      ) : null}
    </section>
  );
}
