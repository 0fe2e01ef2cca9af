/** Parquet files. */
import { open } from 'node:fs/promises';
import { basename } from 'node:path';
import { readParquetRecording } from '../../formats/recordings/parquet-recording.ts';
import { bytesOnDisk, sha256Of, tellLook, type RecordingOpener } from './source-files.ts';
import { tableOptions } from './table-options.ts';

export const openParquet: RecordingOpener = async (file, name, options, onLook) => {
  const size = await bytesOnDisk([file]);
  const source = { file: basename(file), sha256: await sha256Of([file], tellLook(onLook, size)) };
  const handle = await open(file);
  const close = (): Promise<void> => handle.close();
  try {
    const slice = async (start: number, end = size): Promise<ArrayBuffer> => {
      const bytes = new Uint8Array(Math.max(0, Math.min(end, size) - start));
      for (let at = 0; at < bytes.length;) {
        const { bytesRead } = await handle.read(bytes, at, bytes.length - at, start + at);
        if (bytesRead === 0) break;
        at += bytesRead;
      }
      return bytes.buffer;
    };
    return {
      recording: await readParquetRecording({ byteLength: size, slice }, tableOptions(name, options)),
      source,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
};
