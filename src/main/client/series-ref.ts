/** How a command line names a series. */
import { isUuid } from '../../http/wire/scalars.ts';
import type { SeriesRef } from '../../flows/series/series-service.ts';

/** @param text id, or name in the project */
export function seriesRef(text: string, project: string): SeriesRef {
  return isUuid(text) ? { id: text } : { project, name: text };
}
