/** `varve cat`: samples of one series, to standard output or into a file. */
import { extname } from 'node:path';
import { invalidField, VarveError } from '../../core/errors.ts';
import { HDF5_FILE, isFile, WIRE_FORMATS, type AnswerFormatName } from '../../formats/samples/wire-formats.ts';
import type { Config } from '../process/config.ts';
import { connect } from '../client/connect.ts';
import { saveFile } from './save-file.ts';
import { seriesRef } from '../client/series-ref.ts';
import { writeOut } from '../process/standard-output.ts';

export interface CatCommand {
  readonly project: string;
  readonly start?: string;
  readonly end?: string;
  readonly rows?: string;
  readonly channels?: string;
  /** Labels as they are. */
  readonly channel?: readonly string[];
  readonly physical?: boolean;
  readonly unit?: string;
  readonly format?: string;
  readonly out?: string;
}

/** @param series id, or name in the project */
export async function catSamples(config: Config, series: string, command: CatCommand): Promise<void> {
  const { project, out } = command;
  const format = formatOf(command);
  if (out === undefined && process.stdout.isTTY && (isFile(format) || !WIRE_FORMATS[format].isText)) {
    throw new VarveError('invalid-input', `${format} is binary: add --out FILE, or send it through a pipe`);
  }
  const query = new URLSearchParams({ format });
  for (const name of ['start', 'end', 'rows', 'channels', 'unit'] as const) {
    const value = command[name];
    if (value !== undefined) query.append(name, value);
  }
  for (const label of command.channel ?? []) query.append('channels[]', label);
  if (command.physical) query.append('physical', 'true');
  const answer = await connect(config).readSamples(seriesRef(series, project), query);
  if (out === undefined) for await (const piece of answer.body) await writeOut(piece);
  else await saveFile(answer, out);
  if (answer.rows === 0) process.stderr.write(`varve: ${series} has no rows there\n`);
  if (answer.next !== null) {
    process.stderr.write(
      `varve: cut after ${answer.rows} rows, as ${format} answers are; the others are not (ndjson, csv, npy, octet)\n`,
    );
  }
}

/** Extensions that name no format, or look like one that does. */
const EXTENSIONS: Readonly<Record<string, AnswerFormatName>> = {
  jsonl: 'ndjson',
  bin: 'octet',
  raw: 'octet',
  feather: 'arrow',
  arrows: 'arrow-stream',
  h5: 'hdf5',
};

/** @throws invalid-input for a file whose extension promises what cannot be written */
function formatOf({ format, out }: CatCommand): AnswerFormatName {
  if (format !== undefined) return format as AnswerFormatName;
  const extension = extname(out ?? '')
    .slice(1)
    .toLowerCase();
  if (extension === '') return 'csv';
  const meant = Object.hasOwn(EXTENSIONS, extension) ? EXTENSIONS[extension] : undefined;
  if (meant) return meant;
  if (isFormat(extension)) return extension;
  const known = [...Object.keys(WIRE_FORMATS), HDF5_FILE.name].filter((name) => !name.includes('-'));
  const writable = [...new Set([...known, ...Object.keys(EXTENSIONS)])].filter((name) => name !== 'octet');
  throw invalidField(
    '--out',
    `.${extension} cannot be written; these can: ${writable.map((name) => `.${name}`).join(', ')}; or name a format with --format`,
  );
}

function isFormat(name: string): name is AnswerFormatName {
  return name === HDF5_FILE.name || Object.hasOwn(WIRE_FORMATS, name);
}
