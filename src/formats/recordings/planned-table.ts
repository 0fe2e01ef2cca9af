/**
 * A table of which everything has been decided, as a recording. It says which columns are channels of which series, which
 * make series of their own, and which are notes.
 */
import { VarveError } from '../../core/errors.ts';
import { DTYPES, type Dtype } from '../../core/numbers/dtype.ts';
import type { Batch, SampleShape } from '../../core/signal/batch.ts';
import type { RecordedSeries, Recording } from '../../core/signal/recording.ts';
import type { Channel, NewAnnotation, Tags, TagValue } from '../../core/signal/series.ts';
import { BatchBuilder } from '../samples/batch-builder.ts';
import { distinctLabels } from './channel-labels.ts';
import { importedSpec } from './imported-series.ts';

/** Each series reads the file again, so there is a limit to their number. */
const MAX_SERIES = 1000;
/** Notes are held in memory until they are sent. */
const MAX_NOTES = 100_000;
const MAX_NOTE_CHARS = 512;

/** Channels that share a dtype, and so a series. */
export interface TablePart {
  /** Behind the name of the recording; null: it has the name alone. */
  readonly suffix: string | null;
  readonly dtype: Dtype;
  readonly channels: readonly Channel[];
  /** Places of the channels among the values of a row. */
  readonly places: readonly number[];
  /** What stands where there is no value, in a dtype without NaN; null: every row has one. */
  readonly missing: number | bigint | null;
  readonly tags: Tags;
}

export interface PlannedRow {
  readonly line: number;
  readonly timeNs: bigint;
  readonly key: readonly string[];
  /** In the dtype of their part. */
  readonly values: readonly (number | bigint)[];
  readonly notes: readonly string[];
}

export interface DecidedTable {
  readonly name: string;
  readonly format: string;
  readonly parts: readonly TablePart[];
  /** Names of the columns whose values make series. */
  readonly by: readonly string[];
  /** Values of `by` name series where they were asked for, whether or not they differ. */
  readonly byWasTold: boolean;
  /** Names of the columns whose texts are annotations. */
  readonly noteColumns: readonly string[];
  readonly relative: boolean;
  readonly timeZone: string | null;
  readonly provenance: Readonly<Record<string, unknown>>;
  readonly notes: readonly string[];
  /** All rows in order, from the beginning. @param only the key of those that are wanted; null: of all */
  rows(only: readonly string[] | null): AsyncIterable<readonly PlannedRow[]>;
  /** What is known once all rows were read. */
  afterwards?(): readonly string[];
}

interface Group {
  readonly key: readonly string[];
  rows: number;
  lastNs: bigint;
  readonly annotations: NewAnnotation[];
}

/**
 * Reads all rows once to check and count them, and again for each series when its batches are asked for. Rows keep the
 * order of the file.
 * @throws what a row is refused for; `limit-exceeded` for over 1,000 series
 */
export async function recordingOfTable(table: DecidedTable): Promise<Recording> {
  const notes = [...table.notes];
  const groups = new Map<string, Group>();
  let backward = 0;
  let noted = 0;
  for await (const rows of table.rows(null)) {
    for (const { timeNs, key, notes: texts } of rows) {
      const group = groupOf(groups, key, table);
      if (group.rows > 0 && timeNs < group.lastNs) backward++;
      group.lastNs = timeNs;
      group.rows++;
      for (const [i, text] of texts.entries()) {
        if (text.trim() === '' || ++noted > MAX_NOTES) continue;
        group.annotations.push(noteOf(text, timeNs, table.noteColumns[i]));
      }
    }
  }
  if (groups.size === 0) throw new VarveError('invalid-input', 'body: has no rows below a header line');
  if (backward > 0) {
    notes.push(`${backward} rows lie before the row above them in time; they were kept in the file's order`);
  }
  if (noted > 0)
    notes.push(`texts in ${table.noteColumns.join(', ')} became ${Math.min(noted, MAX_NOTES)} annotations`);
  if (noted > MAX_NOTES) notes.push(`${noted - MAX_NOTES} more texts were left out: at most ${MAX_NOTES} are taken`);
  notes.push(...(table.afterwards?.() ?? []));
  const naming = table.by.flatMap((_, i) =>
    table.byWasTold || new Set([...groups.values()].map(({ key }) => key[i])).size > 1 ? [i] : [],
  );
  const series = [...groups.values()].flatMap((group) =>
    table.parts.map((part, i) => seriesOf(table, part, group, { naming, isFirst: i === 0 })),
  );
  return { series: distinctNames(series), notes };
}

function groupOf(groups: Map<string, Group>, key: readonly string[], { by, parts }: DecidedTable): Group {
  const id = key.length === 0 ? '' : JSON.stringify(key);
  const known = groups.get(id);
  if (known) return known;
  if ((groups.size + 1) * parts.length > MAX_SERIES && groups.size > 0) {
    throw new VarveError('limit-exceeded', `by: the columns ${by.join(', ')} make more than ${MAX_SERIES} series`);
  }
  const made: Group = { key, rows: 0, lastNs: 0n, annotations: [] };
  groups.set(id, made);
  return made;
}

function noteOf(text: string, timeNs: bigint, column: string): NewAnnotation {
  const whole = text.trim();
  const label = whole.slice(0, MAX_NOTE_CHARS);
  return { startNs: timeNs, endNs: timeNs, label, payload: { column, ...(label !== whole && { text: whole }) } };
}

function seriesOf(
  table: DecidedTable,
  part: TablePart,
  group: Group,
  { naming, isFirst }: { readonly naming: readonly number[]; readonly isFirst: boolean },
): RecordedSeries {
  const { dtype, channels, missing } = part;
  const labels = distinctLabels(channels.map(({ label }) => label));
  const shape: SampleShape = { dtype, channelLabels: labels, kind: 'irregular' };
  const byTags = table.by.map((column, i): [string, TagValue] => [column, tagOf(group.key[i])]);
  const only = table.by.length > 0 ? group.key : null;
  return {
    spec: importedSpec({
      name: [table.name, ...naming.map((i) => group.key[i]), ...(part.suffix === null ? [] : [part.suffix])].join('/'),
      dtype,
      channels: channels.map((channel, i) => ({ ...channel, label: labels[i] })),
      sampling: { kind: 'irregular' },
      timeReference: table.relative ? 'relative' : 'utc',
      tags: { ...Object.fromEntries(byTags), ...part.tags },
      missingValue: DTYPES[dtype].kind === 'int' ? missing : null,
      ...(table.timeZone !== null && { timeZone: table.timeZone }),
      provenance: { format: table.format, ...table.provenance },
    }),
    rows: group.rows,
    batches: () => batchesOf(table, part, only, shape),
    annotations: isFirst ? group.annotations : [],
  };
}

async function* batchesOf(
  table: DecidedTable,
  { places }: TablePart,
  only: readonly string[] | null,
  shape: SampleShape,
): AsyncGenerator<Batch> {
  const batch = new BatchBuilder(shape);
  for await (const rows of table.rows(only)) {
    for (const { timeNs, values } of rows) {
      batch.push((c) => values[places[c]], timeNs);
      if (batch.full) yield batch.take();
    }
  }
  if (batch.rows > 0) yield batch.take();
}

/** Numbers among the tags can be searched by range. */
function tagOf(text: string): TagValue {
  return text !== '' && String(Number(text)) === text && Number.isFinite(Number(text)) ? Number(text) : text;
}

function distinctNames(series: readonly RecordedSeries[]): RecordedSeries[] {
  const names = distinctLabels(series.map(({ spec }) => spec.name));
  return series.map((each, i) => ({ ...each, spec: { ...each.spec, name: names[i] } }));
}
