/** Tables of text. */
import { basename, extname } from 'node:path';
import { readCsvRecording } from '../../formats/recordings/csv-recording.ts';
import { bytesIn, bytesOnDisk, countBytes, tellLook, sha256Of, type RecordingOpener } from './source-files.ts';

export const openCsv: RecordingOpener = async (file, name, options, onLook) => {
  const { timeColumn, valueColumn, by } = options;
  const size = await bytesOnDisk([file]);
  const looked = tellLook(onLook, 2 * size);
  const source = { file: basename(file), sha256: await sha256Of([file], looked) };
  let looking = true;
  const open = (): AsyncIterable<Uint8Array> => (looking ? countBytes(bytesIn(file), looked) : bytesIn(file));
  const recording = await readCsvRecording(open, {
    name,
    ...(timeColumn !== undefined && { timeColumn }),
    ...(valueColumn !== undefined && { valueColumns: valueColumn }),
    ...(by !== undefined && { by }),
    delimiter: options.delimiter ?? (extname(file).toLowerCase() === '.tsv' ? '\t' : ','),
  });
  looking = false;
  return { recording, source, close: async () => {} };
};
