/** `varve ls` and `varve search`: series and where their data begin and end. */
import { invalidField, messageOf } from '../../core/errors.ts';
import { parseJsonWithDigits } from '../../formats/text/exact-json.ts';
import { isUuid } from '../../http/wire/scalars.ts';
import { tagText } from '../../core/signal/tag-value.ts';
import type { Facets, SeriesAnswer, SeriesQuestion } from '../client/client.ts';
import type { Config } from '../process/config.ts';
import { connect } from '../client/connect.ts';
import { writeOut } from '../process/standard-output.ts';
import { parseTagCondition } from './tag-arguments.ts';
import { tableLines, type TextColumn } from './text-table.ts';

export interface ListCommand {
  readonly project?: string;
  /** Id or name. */
  readonly recording?: string;
  readonly unit?: string;
  readonly kind?: string;
  readonly json?: boolean;
  /** A tree of conditions, as JSON. */
  readonly where?: string;
  /** As the query parameters of the same names. */
  readonly sort?: string;
  readonly facets?: string;
  readonly limit?: string;
}

const COLUMNS: readonly TextColumn<SeriesAnswer>[] = [
  { title: 'PROJECT', text: ({ project }) => project },
  { title: 'NAME', text: ({ name }) => name },
  { title: 'ROWS', right: true, text: ({ rows }) => rows.toLocaleString('en') },
  { title: 'RATE', text: ({ sampling }) => (sampling.kind === 'regular' ? `${sampling.rate_hz} Hz` : 'irregular') },
  { title: 'DTYPE', text: ({ dtype, channels }) => (channels.length > 1 ? `${dtype} × ${channels.length}` : dtype) },
  { title: 'FIRST', text: ({ first_time }) => first_time ?? '–' },
  { title: 'LAST', text: ({ last_time }) => last_time ?? '–' },
];

/**
 * @param conditions on tags, all of which must hold, as `species=mouse`, `age_days>=60` or `subject[prefix]=m-1`
 * @throws invalid-input
 */
export async function listSeries(config: Config, conditions: readonly string[], command: ListCommand): Promise<void> {
  const client = connect(config);
  const question = listQuestion(conditions, command);
  const limit = limitOf(command.limit);
  const facets = command.facets === undefined ? null : await client.facets(question, command.facets.split(','));
  let count = 0;
  const found = firstOf(client.search(question), limit, () => count++);
  for await (const line of command.json ? jsonLines(found) : tableLines(COLUMNS, found)) {
    if (facets && command.json && line.startsWith('['))
      await writeOut(`{"facets":${JSON.stringify(facets)},"items":${line}\n`);
    else await writeOut(`${line}\n`);
  }
  if (facets && command.json) await writeOut('}\n');
  else if (facets && count > 0) await printFacets(facets);
  // To find nothing is no failure; an empty array says it to programs.
  if (count === 0 && !command.json) process.stderr.write(`varve: ${nothing(conditions, command)}\n`);
}

function nothing(conditions: readonly string[], { where, unit, kind, project, recording }: ListCommand): string {
  if (
    conditions.length > 0 ||
    where !== undefined ||
    unit !== undefined ||
    kind !== undefined ||
    recording !== undefined
  ) {
    return 'no series meets these conditions';
  }
  return project === undefined ? 'there are no series' : `there are no series in project ${project}`;
}

function listQuestion(conditions: readonly string[], command: ListCommand): SeriesQuestion {
  const fields = (['project', 'unit', 'kind'] as const).flatMap((name) => {
    const value = command[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  if (command.where !== undefined) {
    if (conditions.length > 0) throw invalidField('--where', 'stands in place of conditions, not beside them');
    const recording = command.recording === undefined ? [] : [recordingCondition(command.recording)];
    const and = [parseWhere(command.where), ...recording, ...fields.map(([field, value]) => ({ field, eq: value }))];
    return { where: and.length === 1 ? and[0] : { and }, sort: command.sort?.split(',') ?? [] };
  }
  const query = new URLSearchParams(conditions.map(parseTagCondition));
  for (const [name, value] of fields) query.append(name, value);
  if (command.recording !== undefined) query.append('recording', command.recording);
  if (command.sort !== undefined) query.append('sort', command.sort);
  return query;
}

function recordingCondition(called: string): object {
  return { field: isUuid(called) ? 'recording_id' : 'recording', eq: called };
}

function parseWhere(text: string): unknown {
  try {
    return parseJsonWithDigits(text);
  } catch (error) {
    throw invalidField('--where', `is not valid JSON: ${messageOf(error)}`);
  }
}

/** @throws invalid-input */
function limitOf(text: string | undefined): number {
  if (text === undefined) return Infinity;
  if (!/^[1-9]\d{0,8}$/.test(text)) throw invalidField('--limit', 'must be a whole number from 1');
  return Number(text);
}

async function* firstOf<T>(items: AsyncIterable<T>, limit: number, onItem: () => void): AsyncGenerator<T> {
  let count = 0;
  for await (const item of items) {
    onItem();
    yield item;
    count++;
    if (count === limit) return;
  }
}

interface FacetLine {
  readonly facet: string;
  readonly value: string;
  readonly count: string;
}

const FACET_COLUMNS: readonly TextColumn<FacetLine>[] = [
  { title: 'FACET', text: ({ facet }) => facet },
  { title: 'VALUE', text: ({ value }) => value },
  { title: 'SERIES', right: true, text: ({ count }) => count },
];

async function printFacets(facets: Facets): Promise<void> {
  const lines = Object.entries(facets).flatMap(([facet, values]) =>
    values.map(({ value, count, estimated }) => ({
      facet,
      value: value === null ? '–' : tagText(value),
      count: `${estimated ? '~' : ''}${count.toLocaleString('en')}`,
    })),
  );
  await writeOut('\n');
  for await (const line of tableLines(FACET_COLUMNS, lines)) await writeOut(`${line}\n`);
}

/** One JSON array with an item on each line, written as the pages come. */
async function* jsonLines(items: AsyncIterable<SeriesAnswer>): AsyncGenerator<string> {
  let open: string | null = null;
  for await (const item of items) {
    yield open === null ? '[' : `${open},`;
    open = JSON.stringify(item);
  }
  yield open === null ? '[]' : `${open}\n]`;
}
