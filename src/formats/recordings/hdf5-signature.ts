/** Whether a file is HDF5, where it says that it ends, and what it is if it is none. */

const SIGNATURE = [0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a];
/** The first place is the beginning; a block of the user's may lie before the others, as of MATLAB. */
const FIRST_BLOCK = 512;
const SUPERBLOCK_BYTES = 64;

export interface FoundHdf5 {
  /** Where the file says that it ends; null: not in a way that is known. */
  readonly endsAt: number | null;
}

/**
 * Looks at the beginning, at byte 512, 1024, 2048 and so on.
 * @see https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html section II.A
 */
export async function findHdf5(
  read: (at: number, length: number) => Promise<Uint8Array>,
  size: number,
): Promise<FoundHdf5 | null> {
  for (let at = 0; at + SIGNATURE.length <= size; at = at === 0 ? FIRST_BLOCK : at * 2) {
    const bytes = await read(at, SUPERBLOCK_BYTES);
    if (SIGNATURE.every((byte, i) => bytes[i] === byte)) return { endsAt: endOf(bytes, at) };
  }
  return null;
}

/** Bytes from the superblock to the address of the end, in each version, for addresses of 8 bytes. */
const END_AT: Readonly<Record<number, { readonly base: number; readonly end: number; readonly sizeAt: number }>> = {
  0: { base: 24, end: 40, sizeAt: 13 },
  1: { base: 28, end: 44, sizeAt: 13 },
  2: { base: 12, end: 28, sizeAt: 9 },
  3: { base: 12, end: 28, sizeAt: 9 },
};

function endOf(bytes: Uint8Array, at: number): number | null {
  const place = END_AT[bytes[8]];
  if (!place || bytes.length < SUPERBLOCK_BYTES || bytes[place.sizeAt] !== 8) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const base = view.getBigUint64(place.base, true);
  const end = Number(
    base === 0n ? view.getBigUint64(place.end, true) + BigInt(at) : view.getBigUint64(place.end, true),
  );
  return Number.isSafeInteger(end) ? end : null;
}

/** By what files begin with, as Latin-1. */
const BEGINNINGS: readonly (readonly [string, string])[] = [
  ['CDF\x01', 'a NetCDF-3 file'],
  ['CDF\x02', 'a NetCDF-3 file'],
  ['CDF\x05', 'a NetCDF-3 file'],
  ['MATLAB 5.0', 'a MATLAB file of version 5: save it with -v7.3'],
  ['\x0e\x03\x13\x01', 'an HDF4 file'],
  ['PK\x03\x04', 'a zip archive'],
  ['\x1f\x8b', 'a gzip file: unpack it first'],
  ['ABF', 'an Axon ABF file'],
  ['\x93NUMPY', 'a NumPy array'],
  ['PAR1', 'a Parquet file'],
  ['ARROW1', 'an Arrow file'],
  ['%PDF-', 'a PDF'],
  ['\xffBIOSEMI', 'a BDF file'],
  ['0       ', 'an EDF file'],
  ['version https://git-lfs', 'a pointer of Git LFS, whose file was not fetched'],
  ['<!DOCTYPE', 'a web page'],
  ['<html', 'a web page'],
];

/** @param head its first bytes */
export function foreignName(head: Uint8Array): string {
  const text = Array.from(head, (byte) => String.fromCharCode(byte)).join('');
  const known = BEGINNINGS.find(([beginning]) => text.startsWith(beginning))?.[1];
  return known ?? (/^[\s\u0020-\u007e]+$/.test(text) ? 'a text' : 'of another format');
}
