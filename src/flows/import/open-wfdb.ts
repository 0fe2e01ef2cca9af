/** WFDB records: a header, with the files beside it that it names. */
import { readdir } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { readWfdb } from '../../formats/recordings/wfdb.ts';
import { bytesIn, bytesOnDisk, tellLook, sha256Of, type RecordingOpener } from './source-files.ts';

const ANNOTATOR = '.atr';

export const openWfdb: RecordingOpener = async (file, name, _options, onLook) => {
  const folder = dirname(file);
  const header = basename(file);
  const names = await readdir(folder);
  const files = { names, open: (each: string) => bytesIn(join(folder, each)) };
  const recording = await readWfdb(files, header, { name });
  const signals = recording.series.flatMap(({ spec }) => spec.provenance.files as string[]);
  const marks = `${basename(header, extname(header))}${ANNOTATOR}`;
  const parts = names.includes(marks) ? [...signals, marks] : signals;
  const paths = parts.map((each) => join(folder, each));
  const sha256 = await sha256Of(paths, tellLook(onLook, await bytesOnDisk(paths)));
  return { recording, source: { file: header, sha256, files: parts }, close: async () => {} };
};
