/** What commands print for others to read: with back-pressure, and at peace with a reader that has seen enough (`| head`). */
import { once } from 'node:events';

/** Ends the process quietly once nobody reads its output any more. Call once at start. */
export function endWithReader(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(0);
  });
}

export async function writeOut(chunk: string | Uint8Array): Promise<void> {
  if (!process.stdout.write(chunk)) await once(process.stdout, 'drain');
}
