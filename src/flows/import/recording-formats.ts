/** Formats of files that are imported, by the names that people choose one by. */

export const RECORDING_FORMATS = [
  'wfdb',
  'csv',
  'xlsx',
  'parquet',
  'arrow',
  'npy',
  'npz',
  'opensignals',
  'hdf5',
  'edf',
  'abf',
  'brainvision',
  'spikeglx',
  'openephys',
  'xdf',
  'biopac',
] as const;
export type RecordingFormat = (typeof RECORDING_FORMATS)[number];
