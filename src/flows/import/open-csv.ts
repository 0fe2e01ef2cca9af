/** Tables of text. */
import { basename } from 'node:path';
import { readCsvRecording } from '../../formats/recordings/csv-recording.ts';
import { bytesIn, bytesOnDisk, countBytes, tellLook, sha256Of, type RecordingOpener } from './source-files.ts';
import { tableOptions } from './table-options.ts';

/** How often a file is read before its samples are: for its checksum, encoding, decimals, columns, and to check it. */
const LOOKS = 5;

export const openCsv: RecordingOpener = async (file, name, options, onLook) => {
  const size = await bytesOnDisk([file]);
  const looked = tellLook(onLook, LOOKS * size);
  const source = { file: basename(file), sha256: await sha256Of([file], looked) };
  let looking = true;
  const open = (): AsyncIterable<Uint8Array> => (looking ? countBytes(bytesIn(file), looked) : bytesIn(file));
  const { delimiter } = options;
  const recording = await readCsvRecording(open, {
    ...tableOptions(name, options),
    ...(delimiter !== undefined && { delimiter }),
  });
  looking = false;
  return { recording, source, close: async () => {} };
};
