/** From a file on disk to a recording: finds the format's reader. */
import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, extname } from 'node:path';
import { VarveError, invalidField } from '../../core/errors.ts';
import { openCsv } from './open-csv.ts';
import { openHdf5 } from './open-hdf5.ts';
import { openNpy } from './open-npy.ts';

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
  // One kind of HDF5, which is recognized anyhow.
  opensignals: openHdf5,
  hdf5: openHdf5,
};

const EXTENSIONS: Readonly<Record<string, RecordingFormat>> = {
  '.hea': 'wfdb',
  '.csv': 'csv',
  '.tsv': 'csv',
  '.txt': 'csv',
  '.npy': 'npy',
  '.h5': 'hdf5',
  '.hdf5': 'hdf5',
  '.hdf': 'hdf5',
  '.nwb': 'hdf5',
  '.snirf': 'hdf5',
  '.nc': 'hdf5',
  '.nc4': 'hdf5',
  '.mat': 'hdf5',
};

/** Options that mean something to some formats only. */
const OWNERS: Readonly<Record<string, readonly RecordingFormat[]>> = {
  rate: ['npy', 'hdf5'],
  start: ['npy', 'hdf5'],
  timeColumn: ['csv', 'hdf5'],
  valueColumn: ['csv'],
  by: ['csv'],
  delimiter: ['csv'],
  dataset: ['hdf5'],
  orient: ['hdf5'],
  epoch: ['hdf5'],
};

/**
 * @param path of a file; a WFDB record may go without its `.hea`
 * @throws not-found; invalid-input naming the option; what the format's reader throws
 */
export async function openRecording(path: string, options: RecordingOptions, onLook: OnLook): Promise<OpenRecording> {
  const { file, format } = await identify(path, options.format);
  for (const [option, owners] of Object.entries(OWNERS)) {
    if (!owners.includes(format) && options[option as keyof RecordingOptions] !== undefined) {
      const whose = owners.map((owner) => `${owner} files`).join(' and ');
      throw invalidField(`--${dashed(option)}`, `is for ${whose}; ${basename(file)} is read as ${format}`);
    }
  }
  return OPENERS[format](file, options.name ?? basename(file, extname(file)), options, onLook);
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
  if (existsSync(header)) throw new VarveError('invalid-input', `is a part of a WFDB record: import ${header}`);
  throw new VarveError(
    'invalid-input',
    `its name does not say its format (${Object.keys(EXTENSIONS).join(', ')}): add --format ${RECORDING_FORMATS.join('|')}`,
  );
}
