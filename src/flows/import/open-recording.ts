/** From a file on disk to a recording: finds the format's reader. */
import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, extname } from 'node:path';
import { VarveError, invalidField } from '../../core/errors.ts';
import { openArrow } from './open-arrow.ts';
import { openCsv } from './open-csv.ts';
import { openNpy } from './open-npy.ts';
import { openNpz } from './open-npz.ts';
import { openOpenSignals } from './open-opensignals.ts';
import { openParquet } from './open-parquet.ts';
import { openWfdb } from './open-wfdb.ts';
import { openXlsx } from './open-xlsx.ts';
import { RECORDING_FORMATS, type RecordingFormat, type RecordingOptions } from './recording-options.ts';
import type { OnLook, OpenRecording, RecordingOpener } from './source-files.ts';

const OPENERS: Readonly<Record<RecordingFormat, RecordingOpener>> = {
  wfdb: openWfdb,
  csv: openCsv,
  xlsx: openXlsx,
  parquet: openParquet,
  arrow: openArrow,
  npy: openNpy,
  npz: openNpz,
  opensignals: openOpenSignals,
};

const EXTENSIONS: Readonly<Record<string, RecordingFormat>> = {
  '.hea': 'wfdb',
  '.csv': 'csv',
  '.tsv': 'csv',
  '.txt': 'csv',
  '.tab': 'csv',
  '.asc': 'csv',
  '.xlsx': 'xlsx',
  '.xlsm': 'xlsx',
  '.parquet': 'parquet',
  '.pq': 'parquet',
  '.arrow': 'arrow',
  '.feather': 'arrow',
  '.arrows': 'arrow',
  '.npy': 'npy',
  '.npz': 'npz',
  '.h5': 'opensignals',
  '.hdf5': 'opensignals',
};

/** Formats that have columns. */
const TABLES: readonly RecordingFormat[] = ['csv', 'xlsx', 'parquet', 'arrow', 'npz'];
/** Those whose columns are texts, or hold what people wrote. */
const SHEETS: readonly RecordingFormat[] = ['csv', 'xlsx'];
const ARRAYS: readonly RecordingFormat[] = ['npy', 'npz'];
/** Options that mean something to some formats only. */
const OWNERS: Readonly<Record<string, readonly RecordingFormat[]>> = {
  rate: ARRAYS,
  start: [...TABLES, 'npy'],
  tz: TABLES,
  timeColumn: TABLES,
  valueColumn: TABLES,
  by: TABLES,
  columns: TABLES,
  epoch: TABLES,
  elapsed: TABLES,
  dtype: SHEETS,
  delimiter: ['csv'],
  decimal: SHEETS,
  dateFormat: SHEETS,
  header: SHEETS,
  orient: [...SHEETS, ...ARRAYS],
  sheet: ['xlsx'],
};

/**
 * @param path of a file; a WFDB record may go without its `.hea`
 * @throws not-found; invalid-input naming the option; what the format's reader throws
 */
export async function openRecording(path: string, options: RecordingOptions, onLook: OnLook): Promise<OpenRecording> {
  const { file, format } = await identify(path, options.format);
  for (const [option, owners] of Object.entries(OWNERS)) {
    if (!owners.includes(format) && options[option as keyof RecordingOptions] !== undefined) {
      const whose = owners.join(' and ');
      throw invalidField(`--${dashed(option)}`, `is for ${whose} files; ${basename(file)} is read as ${format}`);
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
