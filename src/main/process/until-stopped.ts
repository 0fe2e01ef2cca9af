/** Keeps a process going until it is told to stop, then lets it end cleanly. */

/** Calls `close` once on SIGINT or SIGTERM; a second signal ends the process at once. */
export async function untilStopped(close: () => Promise<void>): Promise<void> {
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => {
        process.once(signal, () => process.exit(1));
        resolve();
      });
    }
  });
  await close();
}
