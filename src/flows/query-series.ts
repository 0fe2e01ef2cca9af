/** Samples of many series as one table, from the request to a stream of bytes. */
import type { Database } from '../catalog/database.ts';
import { mediaTypeOf } from '../formats/wire-formats.ts';
import { chooseSeries } from './choose-series.ts';
import { planTable } from './plan-table.ts';
import { started, type ReadDeps } from './read-samples.ts';
import type { TableRequest, TableStream } from './service.ts';

export interface QueryDeps extends Pick<ReadDeps, 'db' | 'root' | 'codec'> {
  /** Where searches run: see OpenDatabase. */
  readonly searches: Database;
}

/**
 * The series are found at one instant; the samples of each are those of one instant, not before that, when its turn comes.
 * @throws invalid-input, not-found and unprocessable naming the field; corrupt if it shows in the first bytes (later it cuts the stream); limit-exceeded
 */
export async function querySeries(deps: QueryDeps, request: TableRequest): Promise<TableStream> {
  const chosen = await chooseSeries(deps, request.principal, request.series, request.channels);
  const { parts, ...planned } = await planTable(deps, request, chosen);
  const { format, epoch } = request;
  const body = deps.codec.pipe('table', { ...planned, format, epoch }, parts);
  return { mediaType: mediaTypeOf(format), series: chosen.length, body: await started(body) };
}
