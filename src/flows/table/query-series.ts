/** Samples of many series as one table, from the request to a stream of bytes. */
import type { Database } from '../../catalog/database.ts';
import { MAX_JSON_CELLS } from '../../formats/tables/table-text.ts';
import { mediaTypeOf } from '../../formats/samples/wire-formats.ts';
import { jsonBytes, STREAM_BYTES } from '../read/answer-room.ts';
import { chooseSeries, type ChosenSeries } from '../series/choose-series.ts';
import { planTable } from './plan-table.ts';
import { started, type ReadDeps } from '../read/read-samples.ts';
import type { TableRequest, TableStream } from './table-service.ts';

export interface QueryDeps extends Pick<ReadDeps, 'db' | 'root' | 'codec' | 'room'> {
  /** Where searches run: see DatabasePools. */
  readonly searches: Database;
}

/**
 * The series are found at one instant; the samples of each are those of one instant, not before that, when its turn comes.
 * @throws invalid-input, not-found and unprocessable naming the field; corrupt if it shows in the first bytes (later it cuts the stream); limit-exceeded
 */
export async function querySeries(deps: QueryDeps, request: TableRequest): Promise<TableStream> {
  const chosen = await chooseSeries(deps, request.principal, request.series, request.channels);
  const { parts, ...planned } = await planTable(deps, request, chosen);
  const { format, epoch, influx } = request;
  const body = deps.codec.pipe('table', { ...planned, format, epoch, influx }, parts, request.signal);
  const held = STREAM_BYTES + (format === 'json' ? jsonBytes(mostValues(chosen)) : 0);
  return { mediaType: mediaTypeOf(format), series: chosen.length, body: await started(deps.room.hold(held, body)) };
}

/** Most values of a table of JSON. */
function mostValues(chosen: readonly ChosenSeries[]): number {
  const stored = chosen.reduce((sum, { series, channels }) => sum + series.rows * channels.length, 0);
  return Math.min(MAX_JSON_CELLS, stored);
}
