/** Samples of many series as one table, from the request to a stream of bytes. */
import type { Database } from '../../catalog/database.ts';
import { mediaTypeOf } from '../../formats/samples/wire-formats.ts';
import { SMALL_READ_BYTES, STREAM_BYTES, type Claim } from '../read/answer-room.ts';
import { chooseSeries, type ChosenSeries } from '../series/choose-series.ts';
import { seriesIn } from '../series/unit-conversion.ts';
import { planTable } from './plan-table.ts';
import { started, type ReadDeps } from '../read/read-samples.ts';
import { heldOfTable, plansBytes } from './table-weight.ts';
import type { TableRequest, TableStream } from './table-service.ts';

export interface QueryDeps extends Pick<ReadDeps, 'db' | 'root' | 'codec' | 'room'> {
  /** Where searches run: see DatabasePools. */
  readonly searches: Database;
}

/**
 * The series are found at one instant; the samples of each are those of one instant, not before that, when its turn comes.
 * @throws invalid-input, not-found and unprocessable naming the field; corrupt if it shows in the first bytes (later it cuts the stream); limit-exceeded; unavailable
 */
export async function querySeries(deps: QueryDeps, request: TableRequest): Promise<TableStream> {
  return deps.room.admit(SMALL_READ_BYTES, (claim) => openTable(deps, request, claim));
}

/** @throws unprocessable naming `unit` */
function chosenIn({ series: stored, selected }: ChosenSeries, unit: string): ChosenSeries {
  const series = seriesIn(stored, selected, unit);
  return { series, selected, channels: selected ? selected.map((at) => series.channels[at]) : series.channels };
}

async function openTable(deps: QueryDeps, request: TableRequest, claim: Claim): Promise<TableStream> {
  const found = await chooseSeries(deps, request.principal, request.series, request.channels);
  const { unit = null } = request;
  const chosen = unit === null ? found : found.map((each) => chosenIn(each, unit));
  const plans = await plansBytes(deps.db, request, chosen);
  claim.need(STREAM_BYTES + plans);
  const { parts, ...planned } = await planTable(deps, request, chosen);
  const { format, epoch, influx } = request;
  const bytes = plans + heldOfTable(planned.form, format, chosen);
  claim.need(bytes);
  claim.keep(bytes);
  const body = deps.codec.pipe('table', { ...planned, format, epoch, influx }, parts, request.signal);
  return { mediaType: mediaTypeOf(format), series: chosen.length, body: await started(claim.over(body)) };
}
