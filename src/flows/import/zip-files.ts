/** Members of a zip archive, read whole and bounded: what an archive says of its sizes is checked before and while it is read. */
import { openPromise, type Entry, type ZipFile } from 'yauzl';
import { VarveError, invalidField, isVarveError, messageOf } from '../../core/errors.ts';

/** Members together, once unpacked. */
export const MAX_UNPACKED_BYTES = 256 * 1024 * 1024;
const MAX_MEMBERS = 10_000;
/** No table or array shrinks to less than this part of itself, but for a few megabytes. */
const MAX_RATIO = 400;
const FREE_BYTES = 16 * 1024 * 1024;

export interface ZipMember {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/**
 * @param wanted names of the members that are read; others count for the limits all the same
 * @throws `invalid-input` if it is no archive; `limit-exceeded` for one that is too large, or packed as no honest file is
 */
export async function zipMembers(path: string, wanted: (name: string) => boolean): Promise<ZipMember[]> {
  const archive = await openPromise(path, { lazyEntries: true, autoClose: false }).catch((error: unknown) => {
    throw invalidField('body', `is no zip archive, or is damaged: ${messageOf(error)}`);
  });
  try {
    const entries: Entry[] = [];
    let bytes = 0;
    for await (const entry of archive.eachEntry()) {
      if (entries.length === MAX_MEMBERS) throw new VarveError('limit-exceeded', `has over ${MAX_MEMBERS} members`);
      const { uncompressedSize, compressedSize, fileName } = entry;
      bytes += uncompressedSize;
      if (bytes > MAX_UNPACKED_BYTES) {
        throw new VarveError('limit-exceeded', `unpacks to over ${MAX_UNPACKED_BYTES / 1024 / 1024} MiB`);
      }
      if (uncompressedSize > FREE_BYTES && uncompressedSize > compressedSize * MAX_RATIO) {
        throw new VarveError(
          'limit-exceeded',
          `${fileName.slice(0, 60)} is packed to a ${MAX_RATIO}th, as a zip bomb is`,
        );
      }
      entries.push(entry);
    }
    const members: ZipMember[] = [];
    for (const entry of entries) if (wanted(entry.fileName)) members.push(await memberOf(archive, entry));
    return members;
  } catch (error) {
    if (isVarveError(error)) throw error;
    throw invalidField('body', `is a damaged zip archive: ${messageOf(error)}`);
  } finally {
    archive.close();
  }
}

/** The library refuses a member that is longer or shorter than its archive says. */
async function memberOf(archive: ZipFile, entry: Entry): Promise<ZipMember> {
  const stream = await archive.openReadStreamPromise(entry);
  const pieces: Uint8Array[] = [];
  for await (const piece of stream) pieces.push(piece as Uint8Array);
  return { name: entry.fileName, bytes: Buffer.concat(pieces) };
}
