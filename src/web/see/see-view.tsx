/** Series on a time line. */
import type { Api } from '../api.ts';
import type { UrlState } from '../url-state.ts';

export interface SeeViewProps {
  readonly seriesIds: readonly string[];
  readonly api: Api;
  readonly url: UrlState;
}

export function SeeView({ seriesIds }: SeeViewProps) {
  return <p>{seriesIds.length} series</p>;
}
