/** Arrow streams and files, which pandas calls Feather. */
import { basename } from 'node:path';
import { readArrowRecording } from '../../formats/recordings/arrow-recording.ts';
import { bytesIn, bytesOnDisk, sha256Of, tellLook, type RecordingOpener } from './source-files.ts';
import { tableOptions } from './table-options.ts';

export const openArrow: RecordingOpener = async (file, name, options, onLook) => {
  const size = await bytesOnDisk([file]);
  const source = { file: basename(file), sha256: await sha256Of([file], tellLook(onLook, size)) };
  const recording = await readArrowRecording((from, to) => bytesIn(file, from, to), size, tableOptions(name, options));
  return { recording, source, close: async () => {} };
};
