/** Tells work in progress that nobody waits for it any more. */
import type { Response } from 'express';

/** Aborts when the connection closes before the answer is complete. */
export function disconnectSignal(res: Response): AbortSignal {
  const controller = new AbortController();
  if (res.closed) controller.abort();
  res.once('close', () => {
    if (!res.writableFinished) controller.abort();
  });
  return controller.signal;
}
