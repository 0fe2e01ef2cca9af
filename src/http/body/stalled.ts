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
 *
 * A client is looked at twice before it is cut off. Bytes that we had no room for may move once we look.
 */
export function cutStalled(server: Server, stallMs: number): void {
  const exchanges = new WeakMap<Socket, Exchange>();
  /** Bytes that had moved when a client was first found standing still. */
  const seenStill = new WeakMap<Socket, number>();
  server.timeout = Math.ceil(stallMs / 2);
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
    if (exchange?.unanswered === 0) {
      socket.destroy();
      return;
    }
    const readsNothing = !exchange || socket.writableLength > 0;
    const sendsNothing = exchange !== undefined && isBodyAwaited(exchange.request);
    if (!readsNothing && !sendsNothing) {
      seenStill.delete(socket);
    } else {
      const moved = socket.bytesRead + socket.bytesWritten;
      const isSecondTime = seenStill.get(socket) === moved;
      seenStill.set(socket, moved);
      if (isSecondTime && readsNothing) {
        socket.destroy();
        return;
      }
      if (isSecondTime) exchange?.request.emit(STALLED, stalled(stallMs));
    }
    socket.setTimeout(server.timeout);
  });
}

/** Whether the next bytes of a body are the client's to send: what lies here unread is not its delay. */
function isBodyAwaited(request: IncomingMessage): boolean {
  return !request.complete && request.readableLength === 0 && !goingOn.has(request);
}

function stalled(stallMs: number): VarveError {
  return new VarveError('request-timeout', `body: nothing has come for ${stallMs / 1000} s. Nothing was stored.`, {
    errors: [{ field: 'body', message: 'has stopped coming' }],
  });
}
