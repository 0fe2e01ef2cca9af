/** What SELECT answers: finds the series, and has a table of them put together as InfluxDB would. */
import type { Database } from '../../catalog/database.ts';
import { namingFaults } from '../../catalog/search/search-snapshot.ts';
import { searchSeries } from '../../catalog/search/search-store.ts';
import { VarveError } from '../../core/errors.ts';
import type { InfluxFunction, SelectStatement } from '../../core/influxql/influxql-statement.ts';
import type { Series } from '../../core/signal/series.ts';
import {
  BUCKET_AGGREGATES,
  MAX_INFLUX_POINTS,
  WHOLE_NS,
  type InfluxColumn,
  type InfluxGroup,
  type InfluxMember,
  type InfluxShape,
} from '../../formats/tables/table-influx.ts';
import { MAX_LATEST_ROWS } from '../read/latest-read.ts';
import type { TableRequest, TableService, WantedTable } from '../table/table-service.ts';
import { FIELD_TAG, MEASUREMENT_TAG } from '../../formats/line-protocol/line-names.ts';
import { expressionOf, isMeant } from './influx-conditions.ts';
import type { InfluxqlRequest } from './influxql-service.ts';
import { pointTags } from './line-key.ts';

export interface SelectDeps {
  readonly searches: Database;
  readonly tables: Pick<TableService, 'table'>;
}

/** Series of one statement. */
const MAX_SELECTED_SERIES = 10_000;
/** Functions that tell a point: only rows say which one. */
const PICKING: ReadonlySet<InfluxFunction> = new Set(['min', 'max', 'first', 'last', 'percentile']);
/** Functions that need every value. */
const OF_ROWS: ReadonlySet<InfluxFunction> = new Set(['first', 'last', 'median', 'percentile']);

/** @returns null where no series has what is asked for. @throws limit-exceeded; what is wrong with the condition */
export async function answerSelect(
  { searches, tables }: SelectDeps,
  request: InfluxqlRequest,
  statement: SelectStatement,
  { project, number, nowNs }: { readonly project: string; readonly number: number; readonly nowNs: bigint },
): Promise<AsyncIterable<Uint8Array> | null> {
  const { principal, signal, epoch, chunkRows } = request;
  const found = await foundSeries(searches, principal.projects?.ids ?? null, project, statement);
  const columns = columnsOf(statement, found);
  const fields = new Set(columns.flatMap((column) => (column.kind === 'tag' ? [] : [column.field])));
  const chosen = found.filter(({ tags }) => fields.has(tags[FIELD_TAG] as string));
  if (chosen.length === 0) return null;
  const { members, groups, sets } = membersOf(statement, chosen);
  const { group, fill, isDescending, startNs, endNs, limit, offset, seriesLimit, seriesOffset } = statement;
  const source = sourceOf(statement, columns);
  const shape: InfluxShape = {
    statement: number,
    members,
    groups,
    columns: columns.map((column) =>
      column.kind === 'tag' ? { ...column, values: sets.map((tags) => tags.get(column.alias) ?? null) } : column,
    ),
    source,
    everyNs: group.everyNs,
    startNs: startNs ?? null,
    // Buckets of the time to come are not told, unless they are asked for.
    endNs: endNs ?? (group.everyNs === null ? null : nowNs + 1n),
    fill,
    isDescending,
    limit: limit ?? null,
    offset,
    seriesLimit: seriesLimit ?? null,
    seriesOffset,
    epoch,
    chunkRows,
  };
  const ids = chosen.map(({ id }) => id);
  const table: TableRequest = {
    principal,
    signal,
    series: { by: 'ids', ids },
    channels: null,
    physical: false,
    format: 'json',
    influx: shape,
    ...tableWanted(statement, source, nowNs),
  };
  return (await tables.table(table)).body;
}

/** Series of one number a row, in the order of their tags. */
async function foundSeries(
  searches: Database,
  scope: readonly string[] | null,
  project: string,
  { from, tags }: SelectStatement,
): Promise<Series[]> {
  const question = { where: expressionOf(project, from, tags), sort: [], limit: MAX_SELECTED_SERIES, after: null };
  const { items, after } = await namingFaults(() => searchSeries(searches, question, scope));
  if (after !== null) {
    const message = `max-select-series limit exceeded: a statement looks at ${MAX_SELECTED_SERIES} series at most`;
    throw new VarveError('limit-exceeded', message, { errors: [{ field: 'q', message }] });
  }
  return items.filter(({ channels, tags: own }) => channels.length === 1 && typeof own[FIELD_TAG] === 'string');
}

/** What is asked for, by name: fields and tags of the series that are there. */
function columnsOf({ columns, group }: SelectStatement, found: readonly Series[]): InfluxColumn[] {
  const fields = [...new Set(found.map(({ tags }) => tags[FIELD_TAG] as string))].sort();
  const keys = [...new Set(found.flatMap(({ tags }) => pointTags(tags).map(([key]) => key)))];
  const isGrouped = (key: string): boolean => group.allTags || group.tags.some((match) => isMeant(match, key));
  const used = new Map<string, number>();
  // A name that is there already gets a number, as in InfluxDB.
  const distinct = (alias: string): string => {
    const times = used.get(alias) ?? 0;
    used.set(alias, times + 1);
    return times === 0 ? alias : `${alias}_${times}`;
  };
  return columns.flatMap((column): InfluxColumn[] => {
    switch (column.kind) {
      case 'all': {
        const names = [...fields, ...keys.filter((key) => !isGrouped(key) && !fields.includes(key))].sort();
        return names.map((name) =>
          fields.includes(name)
            ? { kind: 'field', field: name, alias: distinct(name) }
            : { kind: 'tag', alias: distinct(name), values: [] },
        );
      }
      case 'column': {
        const { name, alias } = column;
        if (!fields.includes(name) && keys.includes(name)) return [{ kind: 'tag', alias: distinct(alias), values: [] }];
        return [{ kind: 'field', field: name, alias: distinct(alias) }];
      }
      case 'call': {
        const { call, argument, field, alias } = column;
        const of = field === null ? fields : [field];
        const called = (name: string): string => (field === null ? `${alias ?? call}_${name}` : (alias ?? call));
        return of.map((name) => ({ kind: 'call', call, argument, field: name, alias: distinct(called(name)) }));
      }
    }
  });
}

function membersOf(
  { group }: SelectStatement,
  chosen: readonly Series[],
): { members: InfluxMember[]; groups: InfluxGroup[]; sets: ReadonlyMap<string, string>[] } {
  const keys = [...new Set(chosen.flatMap(({ tags }) => pointTags(tags).map(([key]) => key)))].sort();
  const named = group.tags.flatMap((match) =>
    'name' in match ? [match.name] : keys.filter((key) => isMeant(match, key)),
  );
  const grouped = group.allTags ? keys : [...new Set(named)].sort();
  const sets = new Map<string, number>();
  const groups = new Map<string, InfluxGroup>();
  const placed = chosen.map(({ tags, dtype }) => {
    const own = new Map(pointTags(tags));
    const name = tags[MEASUREMENT_TAG] as string;
    const setKey = JSON.stringify([name, ...own]);
    if (!sets.has(setKey)) sets.set(setKey, sets.size);
    const groupTags = Object.fromEntries(grouped.map((key) => [key, own.get(key) ?? '']));
    const groupKey = JSON.stringify([name, ...Object.values(groupTags)]);
    groups.set(groupKey, { name, tags: grouped.length > 0 ? groupTags : null });
    return { groupKey, field: tags[FIELD_TAG] as string, isBoolean: dtype === 'uint8', tagSet: sets.get(setKey)! };
  });
  const order = [...groups.keys()].sort();
  return {
    members: placed.map(({ groupKey, ...member }) => ({ ...member, group: order.indexOf(groupKey) })),
    groups: order.map((key) => groups.get(key)!),
    sets: [...sets.keys()].map(
      (key) => new Map((JSON.parse(key) as [string, ...[string, string][]]).slice(1) as [string, string][]),
    ),
  };
}

function sourceOf({ group }: SelectStatement, columns: readonly InfluxColumn[]): InfluxShape['source'] {
  const calls = columns.flatMap((column) => (column.kind === 'call' ? [column.call] : []));
  if (calls.length === 0 || calls.some((call) => OF_ROWS.has(call))) return 'rows';
  // The time of one extreme, alone, is that of its point.
  return group.everyNs === null && calls.length === 1 && PICKING.has(calls[0]) ? 'rows' : 'buckets';
}

function tableWanted(
  { columns, group, startNs, endNs, limit, offset, isDescending }: SelectStatement,
  source: InfluxShape['source'],
  nowNs: bigint,
): Pick<TableRequest, 'wanted' | 'startNs' | 'endNs'> {
  const range = { ...(startNs !== undefined && { startNs }), ...(endNs !== undefined && { endNs }) };
  if (source === 'buckets') {
    const every = { kind: 'fixed', ns: group.everyNs ?? WHOLE_NS } as const;
    return {
      ...range,
      wanted: { by: 'buckets', isWide: false, every, zone: 'UTC', aggregates: BUCKET_AGGREGATES, fill: 'none' },
    };
  }
  const isOpen = endNs === undefined || endNs > nowNs;
  const isLast = group.everyNs === null && columns.every((column) => column.kind === 'call' && column.call === 'last');
  if (isOpen && isLast) return { wanted: { by: 'newest', rows: 1 } };
  const isPlain = columns.every(({ kind }) => kind !== 'call');
  const most = isPlain && limit !== undefined ? Math.min(limit + offset, MAX_LATEST_ROWS) : null;
  if (isDescending && isOpen && most !== null) return { wanted: { by: 'newest', rows: most } };
  const first = isDescending ? null : most;
  const wanted: WantedTable = { by: 'rows', most: first ?? MAX_INFLUX_POINTS + 1 };
  return { ...range, wanted };
}
