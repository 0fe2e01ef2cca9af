/** A request that is answered before its body has come. */
import type { IncomingMessage } from 'node:http';

/** How long a client may go on sending a body that has been answered; then its connection is cut. */
const LINGER_MS = 30_000;

/** A client that sends its whole body before it reads, gets to read: the rest of the body is thrown away, for a while. */
export function throwAwayRest(req: IncomingMessage, lingerMs = LINGER_MS): void {
  if (req.complete) return;
  req.resume();
  const linger = setTimeout(() => req.destroy(), lingerMs).unref();
  req.once('close', () => clearTimeout(linger));
}
