/** Requests as the soak makes them: whole ones, and those that stand still. */
import { request, type Agent } from 'node:http';
import { connect, type Socket } from 'node:net';

export interface Service {
  readonly url: string;
  readonly token: string;
}

export interface Asked {
  readonly method: 'GET' | 'POST' | 'PATCH';
  readonly path: string;
  /** Sent as JSON, if it is no bytes. */
  readonly body?: object | Uint8Array;
  readonly mediaType?: string;
}

export interface Answer {
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly body: Buffer;
  readonly ms: number;
}

/** What takes longer counts as not answered at all. */
const ANSWER_LIMIT_MS = 60_000;

/** @throws if there is no answer, or none within the limit */
export function send(
  { url, token }: Service,
  { method, path, body, mediaType }: Asked,
  agent?: Agent,
): Promise<Answer> {
  const begun = performance.now();
  const bytes = body instanceof Uint8Array || body === undefined ? body : Buffer.from(JSON.stringify(body));
  return new Promise((resolve, reject) => {
    const headers = {
      authorization: `Bearer ${token}`,
      ...(bytes && { 'content-type': mediaType ?? 'application/json', 'content-length': bytes.length }),
    };
    const signal = AbortSignal.timeout(ANSWER_LIMIT_MS);
    const asked = request(new URL(path, url), { method, headers, agent, signal }, (answer) => {
      const pieces: Buffer[] = [];
      answer.on('data', (piece: Buffer) => pieces.push(piece)).on('error', reject);
      answer.on('end', () =>
        resolve({
          status: answer.statusCode ?? 0,
          retryAfter: answer.headers['retry-after'],
          body: Buffer.concat(pieces),
          ms: performance.now() - begun,
        }),
      );
    });
    asked.on('error', reject).end(bytes);
  });
}

/** @throws with what was answered instead */
export async function demand(service: Service, asked: Asked, status: number): Promise<Answer> {
  const answer = await send(service, asked);
  if (answer.status === status) return answer;
  throw new Error(`${asked.method} ${asked.path}: ${answer.status} ${answer.body.toString().slice(0, 500)}`);
}

/** Sends the head of a request and nothing more. */
export function beginRequest({ url, token }: Service, method: string, path: string, headers: string[] = []): Socket {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname).on('error', () => {});
  const lines = [`${method} ${path} HTTP/1.1`, 'Host: soak', `Authorization: Bearer ${token}`, ...headers];
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  return socket;
}
