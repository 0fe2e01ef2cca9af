/** Whether a file is HDF5, where it says that it ends, and what it is if it is none. */
import { contentOf } from './file-content.ts';

const SIGNATURE = [0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a];
/** The first place is the beginning; a block of the user's may lie before the others, as of MATLAB. */
const FIRST_BLOCK = 512;
const READ_AT_ONCE = 64;

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
    const bytes = await read(at, READ_AT_ONCE);
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
  if (!place || bytes.length < READ_AT_ONCE || bytes[place.sizeAt] !== 8) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const base = view.getBigUint64(place.base, true);
  const end = Number(
    base === 0n ? view.getBigUint64(place.end, true) + BigInt(at) : view.getBigUint64(place.end, true),
  );
  return Number.isSafeInteger(end) ? end : null;
}

/** @param head its first bytes */
export function foreignName(head: Uint8Array): string {
  const known = contentOf(head);
  if (known) return 'foreign' in known ? known.foreign : `a file of another format (${known.format})`;
  return /^[\s\u0020-\u007e]+$/.test(Buffer.from(head).toString('latin1')) ? 'a text' : 'of another format';
}
