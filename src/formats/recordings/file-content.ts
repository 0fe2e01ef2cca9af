/** What a file is by its first bytes, whatever its name says. */

/** Bytes that tell. */
export const TELLING_BYTES = 4096;

/** A format that has a reader, by the name of that, or what another is called. */
export type FileContent =
  | { readonly format: 'edf' | 'abf' | 'brainvision' | 'xdf' | 'npy' | 'hdf5' | 'parquet' | 'arrow' }
  | { readonly foreign: string };

/** How files begin, as Latin-1: a text, or what more than one could be. */
const BEGINNINGS: readonly (readonly [string | RegExp, FileContent])[] = [
  ['\xffBIOSEMI', { format: 'edf' }],
  [/^0 {7}[^]{176}\d+ */, { format: 'edf' }],
  ['ABF ', { format: 'abf' }],
  ['ABF2', { format: 'abf' }],
  [/^(?:\xef\xbb\xbf)?Brain ?Vision(?: Data Exchange|\.+ ) ?Header File/i, { format: 'brainvision' }],
  ['XDF:', { format: 'xdf' }],
  // What a user's block hides, the name must tell.
  ['\x89HDF\r\n\x1a\n', { format: 'hdf5' }],
  ['MATLAB 7.3', { format: 'hdf5' }],
  ['\x93NUMPY', { format: 'npy' }],
  ['PAR1', { format: 'parquet' }],
  ['ARROW1', { format: 'arrow' }],
  [/^(?:\xef\xbb\xbf)?Brain ?Vision(?: Data Exchange)? Marker File/i, { foreign: 'a BrainVision marker file' }],
  ['ATF\t', { foreign: 'an Axon text file (ATF)' }],
  ['MATLAB 5.0', { foreign: 'a MATLAB file of version 5: save it with -v7.3' }],
  ['\x0e\x03\x13\x01', { foreign: 'an HDF4 file' }],
  ['CDF\x01', { foreign: 'a NetCDF-3 file' }],
  ['CDF\x02', { foreign: 'a NetCDF-3 file' }],
  ['CDF\x05', { foreign: 'a NetCDF-3 file' }],
  ['\x02\x27\x91\xc6', { foreign: 'an Intan RHD file' }],
  ['\xc6\x91\x27\x02', { foreign: 'an Intan RHD file' }],
  ['\xac\x27\x91\xd6', { foreign: 'an Intan RHS file' }],
  [/^(?:PLEX|XELP|58XP)/, { foreign: 'a Plexon PLX file' }],
  [/^(?:NEURALSG|NEURALCD|NEURALEV|BRSMPGRP|BREVENTS)/, { foreign: 'a Blackrock NSx or NEV file' }],
  ['######## Neuralynx', { foreign: 'a Neuralynx file' }],
  ['Version 3.0', { foreign: 'a Neuroscan CNT or EEG file' }],
  [/^GDF [12]/, { foreign: 'a GDF file' }],
  [/^\* ?MICROMED/, { foreign: 'a Micromed TRC file' }],
  [/^[^]{2}\(C\) CED 87/, { foreign: 'a Spike2 SMR file' }],
  [/^S64\.\d/, { foreign: 'a Spike2 SMRX file' }],
  ['CFWB', { foreign: 'a LabChart binary file' }],
  ['TDSm', { foreign: 'a LabVIEW TDMS file' }],
  [/^EEG-\d{4}/, { foreign: 'a Nihon Kohden EEG file' }],
  [/^MEG4(?:1|CPT)/, { foreign: 'a CTF MEG file' }],
  ['\0\0\0\x64\0\0\0\x1f\0\0\0\x14', { foreign: 'a FIF file' }],
  [/^RIFF[^]{4}WAVE/, { foreign: 'a WAV file' }],
  ['fLaC', { foreign: 'a FLAC file' }],
  [/^\d{6}[DRQM] /, { foreign: 'a miniSEED file' }],
  ['\x1f\x8b', { foreign: 'a gzip file: unpack it first' }],
  ['\x28\xb5\x2f\xfd', { foreign: 'a Zstandard file: unpack it first' }],
  [/^BZh[1-9]/, { foreign: 'a bzip2 file: unpack it first' }],
  ['\xfd7zXZ', { foreign: 'an xz file: unpack it first' }],
  ['7z\xbc\xaf', { foreign: 'a 7z archive: unpack it first' }],
  ['Rar!', { foreign: 'a RAR archive: unpack it first' }],
  ['%PDF-', { foreign: 'a PDF' }],
  ['\x89PNG', { foreign: 'a PNG picture' }],
  ['\xff\xd8\xff', { foreign: 'a JPEG picture' }],
  ['II*\0', { foreign: 'a TIFF picture' }],
  ['MM\0*', { foreign: 'a TIFF picture' }],
  ['\x7fELF', { foreign: 'a program' }],
  ['SQLite format 3', { foreign: 'an SQLite database' }],
  ['\xd0\xcf\x11\xe0', { foreign: 'an old Office file, such as .xls: save it as .xlsx or CSV' }],
];

/** @param head its first {@link TELLING_BYTES} bytes, or all; null: they do not tell */
export function contentOfFile(head: Uint8Array): FileContent | null {
  const text = Buffer.from(head).toString('latin1');
  const found = BEGINNINGS.find(([beginning]) =>
    typeof beginning === 'string' ? text.startsWith(beginning) : beginning.test(text),
  );
  return found?.[1] ?? null;
}
