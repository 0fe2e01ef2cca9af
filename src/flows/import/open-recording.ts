/** From a file on disk to a recording: finds the format's reader. */
import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, dirname, extname, resolve, sep } from 'node:path';
import { VarveError, invalidField } from '../../core/errors.ts';
import { readAbf } from '../../formats/recordings/abf.ts';
import { readBiopac } from '../../formats/recordings/biopac.ts';
import { readBrainVision } from '../../formats/recordings/brainvision.ts';
import { contentOfFile, TELLING_BYTES } from '../../formats/recordings/file-content.ts';
import { readEdf } from '../../formats/recordings/edf.ts';
import { readOpenEphys } from '../../formats/recordings/open-ephys.ts';
import { partOfFile } from '../../formats/recordings/recording-files.ts';
import { readSpikeGlx } from '../../formats/recordings/spikeglx.ts';
import { readWfdb } from '../../formats/recordings/wfdb.ts';
import { readXdf } from '../../formats/recordings/xdf.ts';
import { openArrow } from './open-arrow.ts';
import { openCsv } from './open-csv.ts';
import { filesOpener, folderFiles } from './open-files.ts';
import { openHdf5 } from './open-hdf5.ts';
import { openNpy } from './open-npy.ts';
import { openNpz } from './open-npz.ts';
import { openParquet } from './open-parquet.ts';
import { openXlsx } from './open-xlsx.ts';
import { RECORDING_FORMATS, type RecordingFormat } from './recording-formats.ts';
import type { RecordingOptions } from './recording-options.ts';
import { bytesOnDisk, type OnLook, type OpenRecording, type RecordingOpener } from './source-files.ts';

const OPENERS: Readonly<Record<RecordingFormat, RecordingOpener>> = {
  wfdb: filesOpener(readWfdb),
  csv: openCsv,
  xlsx: openXlsx,
  parquet: openParquet,
  arrow: openArrow,
  npy: openNpy,
  npz: openNpz,
  // One kind of HDF5, which is recognized anyhow.
  opensignals: openHdf5,
  hdf5: openHdf5,
  edf: filesOpener(readEdf),
  abf: filesOpener(readAbf),
  brainvision: filesOpener(readBrainVision),
  spikeglx: filesOpener(readSpikeGlx),
  openephys: filesOpener(readOpenEphys),
  xdf: filesOpener(readXdf),
  biopac: filesOpener(readBiopac),
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
  '.h5': 'hdf5',
  '.hdf5': 'hdf5',
  '.hdf': 'hdf5',
  '.nwb': 'hdf5',
  '.snirf': 'hdf5',
  '.nc': 'hdf5',
  '.nc4': 'hdf5',
  '.mat': 'hdf5',
  '.edf': 'edf',
  '.bdf': 'edf',
  '.abf': 'abf',
  '.vhdr': 'brainvision',
  '.meta': 'spikeglx',
  '.oebin': 'openephys',
  '.xdf': 'xdf',
  '.acq': 'biopac',
};

/** Slugs of what says that a file is no recording by itself: a folder may have such files. */
export const NO_RECORDING: ReadonlySet<string> = new Set([
  'no-recording',
  'part-of-recording',
  'unsupported-recording',
]);

/** Files that belong to a header beside them, by the header's extension. */
const HEADERS = ['.hea', '.vhdr', '.meta'];

/** Formats whose files say when they began. */
const STARTED: readonly RecordingFormat[] = [
  'wfdb',
  'edf',
  'abf',
  'brainvision',
  'spikeglx',
  'openephys',
  'biopac',
  'hdf5',
];
/** Formats that have columns. */
const TABLES: readonly RecordingFormat[] = ['csv', 'xlsx', 'parquet', 'arrow', 'npz'];
/** Those whose columns are texts, or hold what people wrote. */
const SHEETS: readonly RecordingFormat[] = ['csv', 'xlsx'];
const ARRAYS: readonly RecordingFormat[] = ['npy', 'npz'];
/** Options that mean something to some formats only. */
const OWNERS: Readonly<Record<string, readonly RecordingFormat[]>> = {
  rate: [...ARRAYS, 'hdf5'],
  start: [...TABLES, 'npy', ...STARTED],
  tz: [...TABLES, ...STARTED],
  timeColumn: [...TABLES, 'hdf5'],
  valueColumn: TABLES,
  by: TABLES,
  columns: TABLES,
  epoch: [...TABLES, 'hdf5'],
  elapsed: TABLES,
  dtype: SHEETS,
  delimiter: ['csv'],
  decimal: SHEETS,
  dateFormat: SHEETS,
  header: SHEETS,
  orient: [...SHEETS, ...ARRAYS, 'hdf5'],
  sheet: ['xlsx'],
  dataset: ['hdf5'],
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
  for (const [option, owners] of Object.entries(OWNERS)) {
    if (!owners.includes(format) && options[option as keyof RecordingOptions] !== undefined) {
      const whose =
        owners.length > 6 ? 'recordings with a start' : `${owners.join(', ').replace(/, (?=\w+$)/, ' and ')} files`;
      throw invalidField(`--${dashed(option)}`, `is for ${whose}; ${basename(file)} is read as ${format}`);
    }
  }
  const opened = await OPENERS[format](file, options.name ?? nameOf(file, format), options, onLook);
  return { ...opened, format };
}

/** Open Ephys has one name for all of its headers, in a folder that tells more. */
function nameOf(file: string, format: RecordingFormat): string {
  if (format !== 'openephys') return basename(file, extname(file));
  return dirname(resolve(file)).split(sep).filter(Boolean).slice(-3).join('/');
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
  if (found.size === 0) throw new VarveError('invalid-input', 'is empty: it has 0 bytes');
  if (forced) return { file: path, format: forced };
  const extension = extname(path).toLowerCase();
  const known = contentOfFile(await headOf(path));
  if (known && 'format' in known) return { file: path, format: known.format };
  const format = EXTENSIONS[extension];
  if (format && !known) return { file: path, format };
  const stem = path.slice(0, path.length - extension.length);
  const header = HEADERS.map((each) => `${stem}${each}`).find((each) => existsSync(each));
  if (header && !known) {
    throw new VarveError('invalid-input', `is a part of a recording: import ${header}`, { slug: 'part-of-recording' });
  }
  if (known) {
    throw new VarveError('unprocessable', `is ${known.foreign}, which is not read`, { slug: 'unsupported-recording' });
  }
  throw new VarveError(
    'invalid-input',
    `its name does not say its format (${Object.keys(EXTENSIONS).join(', ')}): add --format ${RECORDING_FORMATS.join('|')}`,
    { slug: 'no-recording' },
  );
}

async function headOf(path: string): Promise<Uint8Array> {
  const size = await bytesOnDisk([path]);
  return partOfFile(folderFiles(dirname(path)), basename(path), 0, Math.min(size, TELLING_BYTES));
}
