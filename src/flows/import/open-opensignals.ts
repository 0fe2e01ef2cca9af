/** Recordings of OpenSignals. */
import { basename } from 'node:path';
import { readOpenSignals } from '../../formats/recordings/opensignals.ts';
import { Hdf5Reader } from '../../storage/survey/hdf5-reader.ts';
import { openHdf5Tree } from './hdf5-tree.ts';
import { bytesOnDisk, tellLook, sha256Of, type RecordingOpener } from './source-files.ts';

export const openOpenSignals: RecordingOpener = async (file, name, _options, onLook) => {
  const reader = new Hdf5Reader();
  const close = (): Promise<void> => reader.close();
  try {
    const recording = await readOpenSignals(await openHdf5Tree(reader, file), { name });
    const sha256 = await sha256Of([file], tellLook(onLook, await bytesOnDisk([file])));
    return { recording, source: { file: basename(file), sha256 }, close };
  } catch (error) {
    await close();
    throw error;
  }
};
