/** What is known of a series, so that one can trust it: metadata, where it comes from, gaps, files, and who did what. */
import { ColumnHeads } from '../column-heads.tsx';
import { useSignal } from '@preact/signals';
import { useAnswer } from '../answer.ts';
import { dataOf, sentenceOf, type Api, type SeriesItem } from '../api.ts';
import { ShareButton } from '../door/share-button.tsx';
import { Link } from '../link.tsx';
import { spelledCount, spelledMinute, spelledRate, spelledSpan } from '../spelled.ts';
import type { UrlState } from '../url-state.ts';
import { AxisPart } from './axis-part.tsx';
import { DescriptionEditor } from './description-editor.tsx';
import { Fact, Facts } from './facts.tsx';
import { HistoryPart } from './history-part.tsx';
import { StoragePart } from './storage-part.tsx';
import { TagEditor } from './tag-editor.tsx';

interface TrustViewProps {
  readonly id: string;
  readonly api: Api;
  readonly url: UrlState;
}

export function TrustView({ id, api, url }: TrustViewProps) {
  const asked = useAnswer(id, (signal) => dataOf(api.GET('/v1/series/{id}', { params: { path: { id } }, signal })));
  const { data: series, failure } = asked.value;
  const isShared = api.base !== '';
  if (failure !== null) return <p class="notice notice-bad">{failure}</p>;
  if (!series) return <div class="skeleton skeleton-view" />;
  return (
    <article class="trust">
      <header class="trust-head">
        <h1>{series.name}</h1>
        <DescriptionEditor api={api} series={series} isReadOnly={isShared} onChanged={asked.again} />
        <div class="actions">
          <Link url={url} to={{ view: 'see', series: series.id }} class="button button-first">
            See it
          </Link>
          {isShared ? null : <ShareButton api={api} what={{ series: series.id }} />}
          {isShared ? null : <DeleteButton api={api} url={url} series={series} />}
        </div>
      </header>
      <Card title="What it is">
        <dl class="facts">
          <Fact name="Project" value={series.project} />
          <Fact name="Sampling" value={spelledRate(series.sampling)} />
          <Fact name="Stored as" value={series.dtype} />
          <Fact name="Rows" value={spelledCount(series.rows - series.removed)} />
          <Fact name="Removed rows" value={spelledCount(series.removed)} />
          <Fact name="First sample" value={timeText(series, series.first_time)} />
          <Fact name="Last sample" value={timeText(series, series.last_time)} />
          <Fact name="State" value={series.state} />
          <Fact
            name="SHA-256 of its samples"
            value={
              series.content_hash?.values ?? (series.state === 'sealed' ? 'is being computed' : 'of sealed series only')
            }
          />
          <Fact name="Created" value={`${spelledMinute(series.created_at)} UTC`} />
        </dl>
      </Card>
      <Card title="Tags">
        <TagEditor api={api} series={series} isReadOnly={isShared} onChanged={asked.again} />
      </Card>
      <Card title="Channels">
        <ChannelTable series={series} />
      </Card>
      <Card title="Where it comes from">
        <Facts of={series.provenance} empty="Nobody has said where it comes from." />
      </Card>
      <Card title="Segments and gaps">
        <AxisPart api={api} series={series} />
      </Card>
      <Card title="On the disk">
        <StoragePart api={api} series={series} />
      </Card>
      <Card title="Who did what">
        <HistoryPart api={api} series={series} isReadOnly={isShared} onChanged={asked.again} />
      </Card>
    </article>
  );
}

function Card({ title, children }: { readonly title: string; readonly children: preact.ComponentChildren }) {
  return (
    <section class="card" aria-label={title}>
      <h2>{title}</h2>
      {children}
    </section>
  );
}

function timeText(series: SeriesItem, time: string | null): string {
  if (time === null) return '—';
  if (series.time_reference === 'utc') return time.replace('T', ' ').replace(/Z$/, ' UTC');
  return `${spelledSpan(Date.parse(time) / 1000)} after its start`;
}

function ChannelTable({ series }: { readonly series: SeriesItem }) {
  return (
    <div class="table-box">
      <table>
        <ColumnHeads names={['Channel', 'Unit', 'Scale', 'Offset', 'Place', 'Filter', 'State']} />
        <tbody>
          {series.channels.map((channel) => (
            <tr key={channel.label}>
              <th scope="row">{channel.label}</th>
              <td>{channel.unit ?? series.unit ?? '—'}</td>
              <td>{channel.gain ? `1 / ${channel.gain}` : (channel.scale ?? series.scale)}</td>
              <td>{channel.gain ? `baseline ${channel.baseline ?? 0}` : (channel.offset ?? series.offset)}</td>
              <td>{channel.location ?? '—'}</td>
              <td>{channel.filtering ?? '—'}</td>
              <td>{channel.bad ? 'bad' : 'good'}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function DeleteButton({
  api,
  url,
  series,
}: {
  readonly api: Api;
  readonly url: UrlState;
  readonly series: SeriesItem;
}) {
  const failure = useSignal<string | null>(null);
  const isSure = useSignal(false);
  const remove = async (): Promise<void> => {
    try {
      await api.DELETE('/v1/series/{id}', { params: { path: { id: series.id } } });
      url.open({ view: 'trash' });
    } catch (error) {
      failure.value = sentenceOf(error);
    }
  };
  return (
    <>
      {isSure.value ? (
        <>
          <button type="button" class="button button-bad" onClick={() => void remove()}>
            Move it to the trash
          </button>
          <button type="button" class="button" onClick={() => (isSure.value = false)}>
            Keep it
          </button>
        </>
      ) : (
        <button type="button" class="button" onClick={() => (isSure.value = true)}>
          Delete …
        </button>
      )}
      {failure.value === null ? null : (
        <p class="field-problem" role="alert">
          {failure}
        </p>
      )}
    </>
  );
}
