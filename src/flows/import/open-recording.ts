/** From a file on disk to a recording: finds the format's reader. */
import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, extname } from 'node:path';
import { VarveError, invalidField } from '../../core/errors.ts';
import { openCsv } from './open-csv.ts';
import { openNpy } from './open-npy.ts';
import { openOpenSignals } from './open-opensignals.ts';
import { openWfdb } from './open-wfdb.ts';
import {
  RECORDING_FORMATS,
  type OnLook,
  type OpenRecording,
  type RecordingFormat,
  type RecordingOpener,
  type RecordingOptions,
} from './source-files.ts';

const OPENERS: Readonly<Record<RecordingFormat, RecordingOpener>> = {
  wfdb: openWfdb,
  csv: openCsv,
  npy: openNpy,
  opensignals: openOpenSignals,
};

const EXTENSIONS: Readonly<Record<string, RecordingFormat>> = {
  '.hea': 'wfdb',
  '.csv': 'csv',
  '.tsv': 'csv',
  '.txt': 'csv',
  '.npy': 'npy',
  '.h5': 'opensignals',
  '.hdf5': 'opensignals',
};

/** Slug of what says that a file is no recording by itself: a folder may have such files. */
export const UNREADABLE = 'no-recording';

/** Options that mean something to one format only. */
const OWNERS: Readonly<Record<string, RecordingFormat>> = {
  rate: 'npy',
  start: 'npy',
  timeColumn: 'csv',
  valueColumn: 'csv',
  by: 'csv',
  delimiter: 'csv',
};

/**
 * @param path of a file; a WFDB record may go without its `.hea`
 * @throws not-found; invalid-input naming the option; what the format's reader throws
 */
export async function openRecording(
  path: string,
  options: RecordingOptions,
  onLook: OnLook,
): Promise<OpenRecording & { readonly format: RecordingFormat }> {
  const { file, format } = await identify(path, options.format);
  for (const [option, owner] of Object.entries(OWNERS)) {
    if (owner !== format && options[option as keyof RecordingOptions] !== undefined) {
      throw invalidField(`--${dashed(option)}`, `is for ${owner} files; ${basename(file)} is read as ${format}`);
    }
  }
  const opened = await OPENERS[format](file, options.name ?? basename(file, extname(file)), options, onLook);
  return { ...opened, format };
}

function dashed(option: string): string {
  return option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

async function identify(
  path: string,
  forced: RecordingFormat | undefined,
): Promise<{ file: string; format: RecordingFormat }> {
  if (!existsSync(path) && existsSync(`${path}.hea`)) return { file: `${path}.hea`, format: 'wfdb' };
  const found = await stat(path).catch(() => null);
  if (!found?.isFile()) throw new VarveError('not-found', found ? 'is no file' : 'there is no such file');
  const format = forced ?? EXTENSIONS[extname(path).toLowerCase()];
  if (format) return { file: path, format };
  const header = `${path.slice(0, path.length - extname(path).length)}.hea`;
  if (existsSync(header))
    throw new VarveError('invalid-input', `is a part of a WFDB record: import ${header}`, { slug: UNREADABLE });
  throw new VarveError(
    'invalid-input',
    `its name does not say its format (${Object.keys(EXTENSIONS).join(', ')}): add --format ${RECORDING_FORMATS.join('|')}`,
    { slug: UNREADABLE },
  );
}
