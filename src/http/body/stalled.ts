/** Cuts off clients that stand still, before what they hold is missed. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { VarveError } from '../../core/errors.ts';

/** Event of a request whose body has stopped coming; whoever reads the body listens, with a {@link VarveError}. */
export const STALLED = 'varve-stalled';

const goingOn = new WeakSet<IncomingMessage>();

/** Says of a request that its body comes whenever there is something to say: silence is no delay. */
export function letGoOn(request: IncomingMessage): void {
  goingOn.add(request);
}

interface Exchange {
  /** The newest request: only its body can be on its way. */
  request: IncomingMessage;
  /** Answers that are not out yet. */
  unanswered: number;
}

/**
 * Acts on connections on which nothing has moved for a while. If the client reads no answer, or asks nothing, the
 * connection is destroyed. If a request's body does not come, its reader is told ({@link STALLED}). A client that waits
 * for us goes on waiting. Node counts every byte that moves, either way.
 */
export function cutStalled(server: Server, stallMs: number): void {
  const exchanges = new WeakMap<Socket, Exchange>();
  server.timeout = stallMs;
  server.prependListener('request', (request: IncomingMessage, response: ServerResponse) => {
    const { socket } = request;
    const exchange = exchanges.get(socket) ?? { request, unanswered: 0 };
    exchange.request = request;
    exchange.unanswered++;
    exchanges.set(socket, exchange);
    response.once('close', () => exchange.unanswered--);
  });
  server.on('timeout', (socket) => {
    const exchange = exchanges.get(socket);
    if (!exchange || exchange.unanswered === 0 || socket.writableLength > 0) {
      socket.destroy();
      return;
    }
    const { request } = exchange;
    // What lies here unread is not the client's delay.
    const isLate = !request.complete && request.readableLength === 0 && !goingOn.has(request);
    if (isLate) request.emit(STALLED, stalled(stallMs));
    socket.setTimeout(stallMs);
  });
}

function stalled(stallMs: number): VarveError {
  return new VarveError('request-timeout', `body: nothing has come for ${stallMs / 1000} s. Nothing was stored.`, {
    errors: [{ field: 'body', message: 'has stopped coming' }],
  });
}
