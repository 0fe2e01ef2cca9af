/** Options of an import from a mapping file. */
import { readFile } from 'node:fs/promises';
import { VarveError, messageOf } from '../../core/errors.ts';
import { readRecordingOptions, type RecordingOptions } from '../../flows/import/recording-options.ts';

/** A mapping is small, whatever its file is. */
const MAX_MAP_BYTES = 1024 * 1024;

/** @throws `invalid-input` naming the field of the file */
export async function mappedOptions(path: string | undefined): Promise<RecordingOptions> {
  if (path === undefined) return {};
  const bytes = await readFile(path).catch((error: unknown) => {
    throw new VarveError('not-found', `--map: ${messageOf(error)}`, { cause: error });
  });
  if (bytes.length > MAX_MAP_BYTES) throw new VarveError('limit-exceeded', `--map: ${path} is over 1 MiB`);
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw new VarveError('invalid-input', `--map: ${path} is no JSON: ${messageOf(error)}`, { cause: error });
  }
  return readRecordingOptions(value, '--map');
}
