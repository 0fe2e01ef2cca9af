/** What is around every view. */
import type { Api } from './api.ts';
import { Opened } from './opened.tsx';
import type { UrlState } from './url-state.ts';

const loadSee = async () => (await import('./see/see-view.tsx')).SeeView;

export function Shell({ api, url }: { readonly api: Api; readonly url: UrlState }) {
  const seriesIds = url.get('series')?.split(',') ?? [];
  return <Opened load={loadSee} props={{ seriesIds, api, url }} waiting={null} />;
}
