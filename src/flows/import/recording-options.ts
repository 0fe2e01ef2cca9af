/** What a person may say of a file that is imported: on the command line, in a mapping file, and over REST. */
import { z } from 'zod';
import { invalidField } from '../../core/errors.ts';
import { DTYPE_NAMES } from '../../core/numbers/dtype.ts';
import { RECORDING_FORMATS } from './recording-formats.ts';
import { ELAPSED_UNITS, TABLE_EPOCHS } from '../../formats/recordings/table-time.ts';

/** Tables may be large, but what is said of one is a page. */
const MAX_COLUMNS = 1000;
const MAX_TEXT_CHARS = 10_000;

const text = z.string().min(1).max(MAX_TEXT_CHARS);
const names = z.array(text).max(MAX_COLUMNS);

const aboutColumn = z.strictObject({
  label: text.optional().meta({ description: 'What its channel is called' }),
  unit: z.string().max(100).optional().meta({ description: 'UCUM code; empty: it has none' }),
  role: z
    .enum(['value', 'by', 'note', 'ignore'])
    .optional()
    .meta({ description: 'A channel, the name of series, annotations, or nothing' }),
});

/** The fields as they are on the wire and in a mapping file; on the command line they have dashes. */
export const recordingOptionFields = {
  name: text.optional().meta({ description: "Name of the recording; by default the file's, without its extension" }),
  format: z.enum(RECORDING_FORMATS).optional().meta({ description: 'By default as content and name of the file say' }),
  rate: z.union([text, z.number()]).optional().meta({ description: 'Samples a second: 360, 20.03 or 30000/1001' }),
  start: text.optional().meta({ description: 'Time of the first sample, or that from which elapsed times count' }),
  tz: text.optional().meta({ description: 'IANA zone, or an offset, of times that state none; default: UTC' }),
  time_column: text.optional().meta({ description: 'The column of times, by name or by number from 1' }),
  value_column: names.optional().meta({ description: 'Columns that become channels' }),
  by: names.optional().meta({ description: 'Columns whose values make series of their own' }),
  delimiter: text.optional().meta({ description: 'A character, or tab, comma, semicolon, pipe or space' }),
  decimal: z.enum(['.', ',']).optional().meta({ description: 'What stands before the fraction of a number' }),
  date_format: text
    .optional()
    .meta({ description: 'DMY, MDY, YMD, or a format such as %d/%m/%Y %H:%M:%S or dd.MM.yyyy HH:mm' }),
  epoch: z
    .enum(TABLE_EPOCHS)
    .optional()
    .meta({ description: 'What times that are numbers count since 1970; or days of Excel' }),
  elapsed: z.enum(ELAPSED_UNITS).optional().meta({ description: 'What times count since the start; clock: h:mm:ss' }),
  header: text.optional().meta({ description: 'none, the number of the line, or names with commas' }),
  orient: z.enum(['rows', 'channels']).optional().meta({ description: 'Whether each row is a time, or a channel' }),
  dtype: z.enum(DTYPE_NAMES).optional().meta({ description: 'Of all channels, in place of the one that is found' }),
  dataset: names.optional().meta({ description: 'Datasets of an HDF5 file that are meant' }),
  sheet: text.optional().meta({ description: 'Name of the sheet of a workbook, or its number from 1' }),
  columns: z.record(text, aboutColumn).optional().meta({ description: 'What is known of columns, by their names' }),
} as const;

const recordingOptionsObject = z.strictObject(recordingOptionFields);
type WireOptions = z.output<typeof recordingOptionsObject>;

/** A name with dashes or underscores as one of an option. */
type Camel<S extends string> = S extends `${infer A}_${infer B}` ? `${A}${Capitalize<Camel<B>>}` : S;
export type RecordingOptions = { readonly [K in keyof WireOptions as Camel<K>]?: WireOptions[K] | undefined };

/** @param source how messages name what was read @throws `invalid-input` naming the field */
export function readRecordingOptions(value: unknown, source: string): RecordingOptions {
  const parsed = recordingOptionsObject.safeParse(value);
  if (parsed.success) return fromWire(parsed.data);
  const [issue] = parsed.error.issues;
  throw invalidField([source, ...issue.path.map(String)].join(' '), issue.message);
}

/** Options that are checked, without those that are not said. */
export function fromWire(options: WireOptions): RecordingOptions {
  const said = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(said.map(([key, value]) => [camelCase(key), value])) as RecordingOptions;
}

function camelCase(key: string): string {
  return key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
