/** What Node's parser refuses before there is a request, answered as everything else that is refused. */
import { randomUUID } from 'node:crypto';
import { STATUS_CODES, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { HttpRefusal } from './refusal.ts';
import { toProblem } from './problem.ts';
import { PROBLEM_MEDIA_TYPE } from '../wire/problem-schema.ts';

interface ParserError extends Error {
  readonly code?: string;
  /** What was being parsed. */
  readonly rawPacket?: Buffer;
}

/** Request line and headers of a connection may have so many bytes; Node's own default is half of it, which a URL alone may have. */
export const MAX_HEADER_BYTES = 32 * 1024;

/** Answers what Node refuses; to be called before the server listens. */
export function answerNodeRefusals(server: Server): void {
  /** Answers under way: what comes behind them on a connection must not be written into them. */
  const answering = new WeakMap<Duplex, ServerResponse>();
  server.on('request', (req, res) => {
    answering.set(req.socket, res);
    res.once('close', () => {
      if (answering.get(req.socket) === res) answering.delete(req.socket);
    });
  });
  server.on('clientError', (error: ParserError, socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable || answering.get(socket)?.headersSent) {
      socket.destroy();
      return;
    }
    socket.end(answerOf(refusalOf(error)), () => socket.destroy());
  });
  // Without a listener Node closes the connection, and says nothing.
  server.on('connect', (_req, socket) => {
    const refusal = new HttpRefusal(
      405,
      'method-not-allowed',
      'This path has no such method',
      'CONNECT is for proxies, and this is none',
    );
    socket.end(answerOf(refusal, { Allow: 'OPTIONS' }), () => socket.destroy());
  });
  server.on('checkExpectation', (req, res) => {
    const message = 'must be 100-continue';
    const refusal = new HttpRefusal(417, 'expectation-failed', 'The expectation cannot be met', `Expect: ${message}`, [
      { field: 'Expect', message },
    ]);
    const { body, headers } = documentOf(refusal, req.url ?? '');
    res.writeHead(417, headers).end(body);
  });
}

function refusalOf({ code, rawPacket }: ParserError): HttpRefusal {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return isInRequestLine(rawPacket)
        ? new HttpRefusal(414, 'uri-too-long', 'The URL is too long', 'The URL is longer than is read')
        : new HttpRefusal(
            431,
            'headers-too-large',
            'The headers are too large',
            `Request line and headers may have ${MAX_HEADER_BYTES} bytes`,
          );
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return new HttpRefusal(
        413,
        'limit-exceeded',
        'The request is too large',
        'The extensions of a chunk are too large',
      );
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new HttpRefusal(408, 'request-timeout', 'The request took too long', 'The request did not come in time');
    default:
      return new HttpRefusal(
        400,
        'invalid-input',
        'The request is malformed',
        'This is no HTTP request that can be read',
      );
  }
}

/** True if the packet begins with a request line that does not end within what is read. */
function isInRequestLine(packet: Buffer | undefined): boolean {
  return packet !== undefined && /^[A-Z]+ [^\r\n]*$/.test(packet.toString('latin1', 0, MAX_HEADER_BYTES));
}

function documentOf(refusal: HttpRefusal, path: string): { body: string; headers: Record<string, string | number> } {
  const id = randomUUID();
  const { document } = toProblem(refusal, { path, id });
  const body = JSON.stringify(document);
  const headers = {
    'Content-Type': PROBLEM_MEDIA_TYPE,
    'Content-Length': Buffer.byteLength(body),
    'X-Request-Id': id,
    Connection: 'close',
  };
  return { body, headers };
}

function answerOf(refusal: HttpRefusal, more: Readonly<Record<string, string>> = {}): string {
  const { body, headers } = documentOf(refusal, '');
  const lines = Object.entries({ ...headers, ...more }).map(([name, value]) => `${name}: ${value}`);
  return [`HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status]}`, ...lines, '', body].join('\r\n');
}
