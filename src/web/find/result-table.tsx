/** What was found: a recording or a series a row, with its shape. */
import type { Api } from '../api.ts';
import { Link } from '../link.tsx';
import { spelledAgo, spelledBytes, spelledDay, spelledRate, spelledSpan, spelledValue } from '../spelled.ts';
import type { UrlState } from '../url-state.ts';
import { rawBytes, foundSpan, foundUnits, type Found } from './found.ts';
import { Sparkline } from './sparkline.tsx';

const UNITS_SHOWN = 3;
const TAGS_SHOWN = 4;
const SKELETON_ROWS = 8;

/** Columns, and what each sorts by. */
const COLUMNS: readonly (readonly [string, string | null])[] = [
  ['Name', 'name'],
  ['Shape', null],
  ['Unit', null],
  ['Rate', 'rate_hz'],
  ['Span', 'first_time'],
  ['Size', 'rows'],
  ['Last sample', 'last_time'],
];

interface ResultTableProps {
  readonly api: Api;
  readonly url: UrlState;
  /** Undefined: has not come yet. */
  readonly found: readonly Found[] | undefined;
  readonly isOld: boolean;
}

export function ResultTable({ api, url, found, isOld }: ResultTableProps) {
  const sort = url.get('sort') ?? '';
  return (
    <div class="table-box">
      <table class={isOld ? 'results is-old' : 'results'} aria-busy={isOld}>
        <thead>
          <tr>
            {COLUMNS.map(([title, field]) => (
              <th key={title} scope="col" aria-sort={ariaSort(sort, field)}>
                {field === null ? (
                  title
                ) : (
                  <button type="button" class="sort" onClick={() => url.set({ sort: nextSort(sort, field) })}>
                    {title}
                    <span aria-hidden="true">{sort === field ? ' ↑' : sort === `-${field}` ? ' ↓' : ''}</span>
                  </button>
                )}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {found
            ? found.map((each) => <FoundRow key={each.key} api={api} url={url} found={each} />)
            : Array.from({ length: SKELETON_ROWS }, (_, i) => (
                <tr key={i}>
                  {COLUMNS.map(([title]) => (
                    <td key={title}>
                      <div class="skeleton skeleton-line" />
                    </td>
                  ))}
                </tr>
              ))}
        </tbody>
      </table>
    </div>
  );
}

function FoundRow({ api, url, found }: { readonly api: Api; readonly url: UrlState; readonly found: Found }) {
  const { series, name } = found;
  const [first] = series;
  const span = foundSpan(series);
  const units = foundUnits(series);
  const rates = [...new Set(series.map((each) => spelledRate(each.sampling)))];
  const channels = series.reduce((sum, each) => sum + each.channels.length, 0);
  const tags = Object.entries(first.tags).slice(0, TAGS_SHOWN);
  const what = [
    ...(series.length > 1 ? [`${series.length} series`] : []),
    ...(channels > series.length ? [`${channels} channels`] : []),
  ];
  return (
    <tr>
      <th scope="row">
        <Link url={url} to={{ view: 'see', series: series.map((each) => each.id).join(',') }}>
          {name}
        </Link>{' '}
        <Link url={url} to={{ view: 'series', series: first.id }} class="about" label={`About ${name}`}>
          about
        </Link>
        <div class="row-tags">
          {[...what, ...tags.map(([key, value]) => `${key} ${spelledValue(value)}`)].join(' · ')}
        </div>
      </th>
      <td>
        <Sparkline api={api} series={first} />
      </td>
      <td>
        {units.slice(0, UNITS_SHOWN).join(', ') || '—'}
        {units.length > UNITS_SHOWN ? ' …' : ''}
      </td>
      <td>{rates.slice(0, 2).join(', ')}</td>
      <td>
        {span ? spelledSpan(span.seconds) : 'no samples'}
        <div class="row-tags">{span && first.time_reference === 'utc' ? spelledDay(span.start) : ''}</div>
      </td>
      <td>{spelledBytes(rawBytes(series))}</td>
      <td>
        {span && first.time_reference === 'utc' ? (
          <time dateTime={span.end} title={span.end}>
            {spelledAgo(span.end)}
          </time>
        ) : (
          '—'
        )}
      </td>
    </tr>
  );
}

function ariaSort(sort: string, field: string | null): 'ascending' | 'descending' | undefined {
  if (field === null) return undefined;
  return sort === field ? 'ascending' : sort === `-${field}` ? 'descending' : undefined;
}

/** Up, down, and as it was. */
function nextSort(sort: string, field: string): string | null {
  if (sort === field) return `-${field}`;
  return sort === `-${field}` ? null : field;
}
