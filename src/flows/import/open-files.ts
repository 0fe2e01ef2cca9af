/** Recordings of one file, or of several that lie in a folder. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, normalize, sep } from 'node:path';
import { invalidField } from '../../core/errors.ts';
import { parseTime, TIME_FORMS } from '../../core/time.ts';
import type { Recording } from '../../core/signal/recording.ts';
import type { FileOptions, RecordingFiles } from '../../formats/recordings/recording-files.ts';
import { localZone } from './local-clock.ts';
import { bytesOnDisk, READ_BYTES, sha256Of, tellLook, type RecordingOpener } from './source-files.ts';

/** Reads the files of one format. @param file the one that was named, among the files */
export type FileReader = (files: RecordingFiles, file: string, options: FileOptions) => Promise<Recording>;

/** The files of a folder and of those in it. What a header calls `../x` or `/x` is none of them. */
export function folderFiles(folder: string): RecordingFiles {
  return {
    async size(name) {
      const within = normalize(name);
      if (name === '' || name.includes('\0') || isAbsolute(within) || within.split(sep)[0] === '..') return null;
      const found = await stat(join(folder, within)).catch(() => null);
      return found?.isFile() ? found.size : null;
    },
    open: (name, fromByte = 0, toByte = Infinity) =>
      createReadStream(join(folder, name), {
        start: fromByte,
        // The last byte, not the one after it.
        end: toByte - 1,
        highWaterMark: Math.max(1, Math.min(READ_BYTES, toByte - fromByte)),
      }),
  };
}

/** The opener of a format whose reader finds the files it needs beside the one that was named. */
export function filesOpener(read: FileReader): RecordingOpener {
  return async (file, name, { tz, start }, onLook) => {
    const folder = dirname(file);
    const startNs = start === undefined ? undefined : parseTime(start);
    if (start !== undefined && startNs === undefined) throw invalidField('--start', `${start} is not ${TIME_FORMS}`);
    const recording = await read(folderFiles(folder), basename(file), {
      name,
      ...(tz !== undefined && { zone: localZone(tz) }),
      ...(startNs !== undefined && { startNs }),
    });
    const sources = recording.sources ?? [basename(file)];
    const paths = sources.map((source) => join(folder, source));
    const sha256 = await sha256Of(paths, tellLook(onLook, await bytesOnDisk(paths)));
    const files = sources.length > 1 ? { files: sources } : {};
    return { recording, source: { file: basename(file), sha256, ...files }, close: async () => {} };
  };
}
