/** Archives of NumPy arrays. */
import { basename } from 'node:path';
import { invalidField } from '../../core/errors.ts';
import { readNpzRecording } from '../../formats/recordings/npz-recording.ts';
import { bytesOnDisk, sha256Of, tellLook, type RecordingOpener } from './source-files.ts';
import { startNsOf } from './table-options.ts';
import { zipMembers } from './zip-files.ts';

export const openNpz: RecordingOpener = async (file, name, { rate, start, orient, epoch, elapsed }, onLook) => {
  const startNs = startNsOf(start);
  if (epoch === 'excel' || elapsed === 'clock') {
    throw invalidField(epoch === 'excel' ? '--epoch' : '--elapsed', 'is for tables that people wrote');
  }
  const members = await zipMembers(file, (each) => each.endsWith('.npy'));
  const arrays = new Map(members.map((member) => [member.name.slice(0, -'.npy'.length), member.bytes]));
  const recording = await readNpzRecording(arrays, {
    name,
    ...(rate !== undefined && { rate }),
    ...(startNs !== undefined && { startNs }),
    ...(orient !== undefined && { orient }),
    ...(epoch !== undefined && { epoch }),
    ...(elapsed !== undefined && { elapsed }),
  });
  const sha256 = await sha256Of([file], tellLook(onLook, await bytesOnDisk([file])));
  return { recording, source: { file: basename(file), sha256 }, close: async () => {} };
};
