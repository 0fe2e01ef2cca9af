/** An HDF5 file as a recording: which kind of file it is, by what is in it, and the series that it has. */
import { invalidField, VarveError } from '../../core/errors.ts';
import type { Recording } from '../../core/signal/recording.ts';
import { distinctLabels } from './channel-labels.ts';
import { discoverSeries } from './hdf5-discovery.ts';
import type { Hdf5File } from './hdf5-file.ts';
import { recordSeries, type Hdf5Series, type Hdf5Options } from './hdf5-series.ts';
import { isMcs, readMcs } from './mcs-hdf5.ts';
import { isNetcdf, readNetcdf } from './netcdf.ts';
import { isNwb, readNwb } from './nwb.ts';
import { isOpenSignals, readOpenSignals } from './opensignals.ts';
import { isPandasStore, readPandasStore } from './pandas-store.ts';
import { isSnirf, readSnirf } from './snirf.ts';
import { isVarveExport, readVarveExport } from './varve-export.ts';

interface Profile {
  /** True if its dates may have no zone. */
  readonly isLocal?: boolean;
  readonly isIt: (file: Hdf5File) => boolean;
  readonly read: (file: Hdf5File, options: Hdf5Options, notes: string[]) => Promise<Hdf5Series[]>;
}

const PROFILES: readonly Profile[] = [
  { isIt: isVarveExport, read: (file, _, notes) => readVarveExport(file, notes) },
  { isLocal: true, isIt: isNwb, read: readNwb },
  { isLocal: true, isIt: isSnirf, read: readSnirf },
  { isLocal: true, isIt: isMcs, read: readMcs },
  { isIt: isPandasStore, read: readPandasStore },
  { isIt: isNetcdf, read: readNetcdf },
];

/** More series than this are no recording that anyone would look for series by series. */
const MAX_SERIES = 10_000;

/**
 * Recognizes NWB, SNIRF, OpenSignals, MCS, pandas, NetCDF-4 and our own exports by what is in them; other files by rules,
 * see {@link discoverSeries}. @throws unprocessable, or invalid-input naming an option, in one sentence
 */
export async function readHdf5Recording(file: Hdf5File, options: Hdf5Options): Promise<Recording> {
  if (isOpenSignals(file) && !options.datasets) return readOpenSignals(file, options);
  const notes: string[] = [];
  const found = await readFound(file, options, notes);
  if (found.length > MAX_SERIES) {
    throw new VarveError('limit-exceeded', `the file would make ${found.length} series: name some by --dataset`);
  }
  const only = found.length === 1 && !found[0].path.includes('/');
  const paths = only ? [''] : distinctLabels(found.map(({ path }) => path));
  const series = [];
  for (const [at, each] of found.entries()) {
    series.push(await recordSeries(file, { ...each, path: paths[at] }, options.name, notes));
  }
  return { series, notes };
}

async function readFound(file: Hdf5File, options: Hdf5Options, notes: string[]): Promise<Hdf5Series[]> {
  const profile = PROFILES.find(({ isIt }) => isIt(file));
  if (options.zone && !profile?.isLocal) {
    throw invalidField(
      '--tz',
      'is for NWB, SNIRF, OpenSignals and MCS; the times of other HDF5 files are those of UTC',
    );
  }
  if (!profile) return discoverSeries(file, options, notes);
  const all = await profile.read(file, options, notes);
  const found = options.datasets ? all.filter((each) => isChosen(each, options.datasets!)) : all;
  if (found.length > 0) return found;
  if (options.datasets) return discoverSeries(file, options, []);
  const because = notes.length > 0 ? ` (${notes.join('; ')})` : '';
  throw new VarveError('unprocessable', `the file has no series of samples${because}`, {
    slug: 'unsupported-recording',
  });
}

function isChosen({ path, source }: Hdf5Series, datasets: readonly string[]): boolean {
  const places = [path, ...source.parts.map((part) => part.path.slice(1))];
  return datasets.some((name) => places.includes(name.replace(/^\/+/, '')));
}
