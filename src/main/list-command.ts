/** `varve ls` and `varve search`: series and where their data begin and end. */
import type { SeriesAnswer } from './client.ts';
import type { Config } from './config.ts';
import { connect } from './connect.ts';
import { print } from './standard-output.ts';
import { parseTagCondition } from './tag-arguments.ts';
import { tableLines, type Column } from './text-table.ts';

export interface ListCommand {
  readonly project?: string;
  readonly unit?: string;
  readonly kind?: string;
  readonly json?: boolean;
}

const COLUMNS: readonly Column<SeriesAnswer>[] = [
  { title: 'PROJECT', text: ({ project }) => project },
  { title: 'NAME', text: ({ name }) => name },
  { title: 'ROWS', right: true, text: ({ rows }) => rows.toLocaleString('en') },
  { title: 'RATE', text: ({ sampling }) => (sampling.kind === 'regular' ? `${sampling.rate_hz} Hz` : 'irregular') },
  { title: 'DTYPE', text: ({ dtype, channels }) => (channels.length > 1 ? `${dtype} × ${channels.length}` : dtype) },
  { title: 'FIRST', text: ({ first_time }) => first_time ?? '–' },
  { title: 'LAST', text: ({ last_time }) => last_time ?? '–' },
];

/** @param conditions on tags, all of which must hold, as `species=mouse` or `age_days>=60` */
export async function listSeries(config: Config, conditions: readonly string[], command: ListCommand): Promise<void> {
  const query = new URLSearchParams(conditions.map(parseTagCondition));
  for (const name of ['project', 'unit', 'kind'] as const) {
    const value = command[name];
    if (value !== undefined) query.append(name, value);
  }
  const found = connect(config).search(query);
  const lines = command.json ? jsonLines(found) : tableLines(COLUMNS, found);
  for await (const line of lines) await print(`${line}\n`);
}

/** One JSON array, an item a line, written as the pages come. */
async function* jsonLines(items: AsyncIterable<SeriesAnswer>): AsyncGenerator<string> {
  let open: string | null = null;
  for await (const item of items) {
    yield open === null ? '[' : `${open},`;
    open = JSON.stringify(item);
  }
  yield open === null ? '[]' : `${open}\n]`;
}
