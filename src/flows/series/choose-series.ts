/** Which series, and which channels of them, a question about many is about. */
import type { Database } from '../../catalog/database.ts';
import { namingFaults } from '../../catalog/search/search-snapshot.ts';
import { searchSeries, seriesByIds } from '../../catalog/search/search-store.ts';
import { chooseChannels, type WantedChannel } from '../../core/signal/choose-channels.ts';
import { isVarveError, invalidField, unprocessableField, VarveError } from '../../core/errors.ts';
import type { Channel, Series } from '../../core/signal/series.ts';
import type { Principal } from '../principal.ts';
import { outOfReach, withinShare } from './series-reach.ts';
import type { WantedSeries } from './series-service.ts';

/** Series of one answer. */
export const MAX_TABLE_SERIES = 1000;

export interface ChosenSeries {
  readonly series: Series;
  /** Channels by number, in the order they are answered; null: all. */
  readonly selected: readonly number[] | null;
  readonly channels: readonly Channel[];
}

/**
 * Finds the series of a request, in the order given, or that of the search.
 * @param searches where searches run: see DatabasePools
 * @throws not-found naming `series[i]`; limit-exceeded naming `where`; invalid-input naming `channels`; unprocessable
 * where times mean different things
 */
export async function chooseSeries(
  { db, searches }: { readonly db: Database; readonly searches: Database },
  principal: Principal,
  wanted: WantedSeries,
  channels: readonly WantedChannel[] | null,
): Promise<ChosenSeries[]> {
  const found = await (wanted.by === 'ids' ? byIds(db, principal, wanted.ids) : bySearch(searches, principal, wanted));
  const other = found.find(({ timeReference }) => timeReference !== found[0].timeReference);
  if (other) {
    const message = `${quotedName(found[0])} and ${quotedName(other)} do not count time from the same point: one is in UTC, the other relative to its start`;
    throw unprocessableField(wanted.by === 'ids' ? 'series' : 'where', message, 'time-reference-mixed');
  }
  return found.map((series) => {
    const selected = channelsOf(series, channels);
    return {
      series,
      selected,
      channels: selected ? selected.map((index) => series.channels[index]) : series.channels,
    };
  });
}

async function byIds(db: Database, principal: Principal, ids: readonly string[]): Promise<Series[]> {
  const scope = principal.projects?.ids ?? null;
  const where = withinShare(principal, null);
  const found = new Map((await seriesByIds(db, ids, scope, where)).map((series) => [series.id, series]));
  return ids.map((id, index) => {
    const series = found.get(id.toLowerCase());
    if (series) return series;
    if (principal.share) throw outOfReach(principal, { id });
    const field = `series[${index}]`;
    throw new VarveError('not-found', `no series ${id}`, { errors: [{ field, message: 'is not there' }] });
  });
}

async function bySearch(
  searches: Database,
  principal: Principal,
  { where, sort }: Extract<WantedSeries, { by: 'search' }>,
): Promise<Series[]> {
  const question = { where: withinShare(principal, where), sort, limit: MAX_TABLE_SERIES, after: null };
  const { items, after } = await namingFaults(() => searchSeries(searches, question, principal.projects?.ids ?? null));
  if (after === null) return items;
  const message = `finds more than ${MAX_TABLE_SERIES} series, the most of one answer; ask for fewer`;
  throw new VarveError('limit-exceeded', `where: ${message}`, { errors: [{ field: 'where', message }] });
}

function channelsOf(series: Series, wanted: readonly WantedChannel[] | null): number[] | null {
  try {
    return chooseChannels(series.channels, wanted);
  } catch (error) {
    if (!isVarveError(error)) throw error;
    throw invalidField('channels', `of ${quotedName(series)}: ${error.errors[0].message}`);
  }
}

export function quotedName({ name }: Series): string {
  return JSON.stringify(name);
}
