/** What the service sends, as a file. */
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { finished } from 'node:stream/promises';
import type { SampleAnswer } from '../client/client.ts';
import { Progress } from './progress.ts';

/** The file appears under its name when it is whole. */
export async function saveFile(
  { body, contentLength }: Pick<SampleAnswer, 'body' | 'contentLength'>,
  path: string,
): Promise<void> {
  const partial = `${path}.part`;
  const progress = new Progress(path, contentLength, 'bytes');
  const file = createWriteStream(partial);
  try {
    for await (const piece of body) {
      if (!file.write(piece)) await once(file, 'drain');
      progress.add(piece.length);
    }
    file.end();
    await finished(file);
    await rename(partial, path);
  } catch (error) {
    file.destroy();
    await rm(partial, { force: true });
    throw error;
  } finally {
    progress.stop();
  }
}
