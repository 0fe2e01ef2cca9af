/** Who changed what of a series, and when; changes of one field can be undone. */
import { useSignal } from '@preact/signals';
import { useAnswer } from '../answer.ts';
import { dataOf, sentenceOf, type Api, type ApiSchemas, type SeriesItem } from '../api.ts';
import { spelledMinute, spelledValue } from '../spelled.ts';

type Entry = ApiSchemas['SeriesHistory']['items'][number];
type EntryChange = Entry['changes'][number];

const SHOWN = 100;

interface HistoryPartProps {
  readonly api: Api;
  readonly series: SeriesItem;
  readonly isReadOnly: boolean;
  readonly onChanged: () => void;
}

export function HistoryPart({ api, series, isReadOnly, onChanged }: HistoryPartProps) {
  const undoFailure = useSignal<string | null>(null);
  const { data, failure } = useAnswer(`${series.id} ${series.version} ${series.state}`, (signal) => {
    const params = { path: { id: series.id }, query: { limit: SHOWN } };
    return dataOf(api.GET('/v1/series/{id}/history', { params, signal }));
  }).value;
  if (failure !== null) return <p class="quiet">{failure}</p>;
  if (!data) return <div class="skeleton skeleton-block" />;
  const undo = async (changes: readonly EntryChange[]): Promise<void> => {
    undoFailure.value = null;
    try {
      const params = { path: { id: series.id }, header: { 'If-Match': `"${series.version}"` } };
      await dataOf(api.PATCH('/v1/series/{id}', { params, body: before(changes) }));
      onChanged();
    } catch (error) {
      undoFailure.value = sentenceOf(error);
    }
  };
  return (
    <>
      <p class="field-problem" role="alert">
        {undoFailure}
      </p>
      <ol class="history">
        {data.items.map((entry) => (
          <li key={entry.id}>
            <span class="history-when">{spelledMinute(entry.at)} UTC</span> <b>{entry.token?.name ?? 'the service'}</b>{' '}
            {entry.action === 'create' ? 'created it' : entry.action}
            {entry.action === 'create'
              ? null
              : entry.changes.map((each) => (
                  <div key={each.field} class="row-tags">
                    {each.field}: {spelledValue(each.old)} → {spelledValue(each.new)}
                  </div>
                ))}
            {!isReadOnly && canUndo(entry) ? (
              <button type="button" class="button" onClick={() => void undo(entry.changes)}>
                Undo
              </button>
            ) : null}
          </li>
        ))}
      </ol>
    </>
  );
}

/** Fields that a change gives back as they were. */
function canUndo({ action, changes }: Entry): boolean {
  const isEdit = action === 'update' || action === 'edit' || action === 'undo';
  return (
    isEdit && changes.length > 0 && changes.every((each) => /^(?:tags\.|description$|unit$|name$)/.test(each.field))
  );
}

function before(changes: readonly EntryChange[]): ApiSchemas['SeriesPatch'] {
  const patch: Record<string, unknown> = {};
  const tags: Record<string, unknown> = {};
  for (const { field, old } of changes) {
    if (field.startsWith('tags.')) tags[field.slice('tags.'.length)] = old ?? null;
    else patch[field] = old ?? null;
  }
  return { ...patch, ...(Object.keys(tags).length > 0 && { tags }) } as ApiSchemas['SeriesPatch'];
}
