/** A server that can be taken away: a TCP relay before one that other test files share and nobody may stop. */
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';

export interface TcpRelay {
  /** The target's URL with the relay's address. */
  readonly url: string;
  /** Ends all connections and refuses new ones. */
  cut(): Promise<void>;
  /** From now on the present connections bring questions to the server, and no answers back. New ones are as ever. */
  mute(): void;
  /** Accepts connections again, at the same address. */
  restore(): Promise<void>;
}

export async function relayTo(targetUrl: string): Promise<TcpRelay> {
  const target = new URL(targetUrl);
  const sockets = new Set<Socket>();
  const answering = new Map<Socket, Socket>();
  let server: Server | undefined;

  async function listen(port: number): Promise<number> {
    server = createServer((inward) => {
      const outward = connect(Number(target.port), target.hostname);
      for (const [from, to] of [
        [inward, outward],
        [outward, inward],
      ]) {
        if (from === outward) answering.set(outward, inward);
        sockets.add(from);
        from.on('error', () => {});
        from.on('close', () => {
          sockets.delete(from);
          answering.delete(from);
          to.destroy();
        });
        from.pipe(to);
      }
    }).listen(port, '127.0.0.1');
    await new Promise((resolve) => server?.once('listening', resolve));
    return (server.address() as AddressInfo).port;
  }

  const port = await listen(0);
  const url = new URL(targetUrl);
  url.hostname = '127.0.0.1';
  url.port = String(port);
  return {
    url: url.href,
    async cut() {
      if (!server) return;
      const closed = new Promise((resolve) => server?.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
      server = undefined;
    },
    mute() {
      for (const [outward, inward] of answering) {
        outward.unpipe(inward);
        outward.resume();
      }
    },
    async restore() {
      await listen(port);
    },
  };
}
