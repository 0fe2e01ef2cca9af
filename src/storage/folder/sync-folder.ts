/** Makes the names in a folder durable: a file that was made or renamed there is found under its name after a power cut. */
import { open } from 'node:fs/promises';

/** @param path of the folder; @param openFolder where another file system stands in */
export async function syncFolder(path: string, openFolder: OpenFolder = open): Promise<void> {
  // Windows neither opens folders nor needs it.
  if (process.platform === 'win32') return;
  const folder = await openFolder(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

type OpenFolder = (path: string, flags: 'r') => Promise<{ sync(): Promise<void>; close(): Promise<void> }>;
