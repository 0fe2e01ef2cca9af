/** NumPy arrays. */
import { basename } from 'node:path';
import { readNpyRecording } from '../../formats/recordings/npy-recording.ts';
import { bytesIn, bytesOnDisk, tellLook, sha256Of, type RecordingOpener } from './source-files.ts';
import { startNsOf } from './table-options.ts';

export const openNpy: RecordingOpener = async (file, name, { rate, start, orient }, onLook) => {
  const startNs = startNsOf(start);
  const recording = await readNpyRecording((from, to) => bytesIn(file, from, to), {
    name,
    ...(rate !== undefined && { rate }),
    ...(startNs !== undefined && { startNs }),
    ...(orient !== undefined && { orient }),
  });
  const sha256 = await sha256Of([file], tellLook(onLook, await bytesOnDisk([file])));
  return { recording, source: { file: basename(file), sha256 }, close: async () => {} };
};
