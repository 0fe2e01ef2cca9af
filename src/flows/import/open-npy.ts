/** NumPy arrays. */
import { basename } from 'node:path';
import { invalidField } from '../../core/errors.ts';
import { parseTime } from '../../core/time.ts';
import { readNpyRecording } from '../../formats/recordings/npy-recording.ts';
import { bytesIn, bytesOnDisk, tellLook, sha256Of, type RecordingOpener } from './source-files.ts';

export const openNpy: RecordingOpener = async (file, name, { rate, start }, onLook) => {
  const startNs = start === undefined ? undefined : parseTime(start);
  if (start !== undefined && startNs === undefined) {
    throw invalidField('--start', `${start} is neither an RFC 3339 time nor integer nanoseconds`);
  }
  const recording = await readNpyRecording(() => bytesIn(file), {
    name,
    ...(rate !== undefined && { rate }),
    ...(startNs !== undefined && { startNs }),
  });
  const sha256 = await sha256Of([file], tellLook(onLook, await bytesOnDisk([file])));
  return { recording, source: { file: basename(file), sha256 }, close: async () => {} };
};
