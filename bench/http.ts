/** HTTP over connections that are kept, as a client has them that asks again and again. */
import { Agent, request, type ClientRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** How much of an unwanted answer an error quotes. */
const QUOTE_LENGTH = 500;

export interface Call {
  readonly method?: 'GET' | 'POST';
  readonly headers?: Readonly<Record<string, string>>;
  /** Pieces are sent as the connection takes them. */
  readonly body?: Buffer | string | Iterable<Buffer>;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export class HttpClient {
  readonly #agent: Agent;

  /** @param maxConnections at the same time; a client that asks one thing after the other uses one of them */
  constructor(maxConnections: number) {
    this.#agent = new Agent({ keepAlive: true, maxSockets: maxConnections });
  }

  /** The answer's body is one piece of memory when this resolves, as a client needs it that makes an array of it. */
  async exchange(url: string, call: Call = {}): Promise<Answer> {
    const incoming = await this.#ask(url, call);
    const head = { status: incoming.statusCode ?? 0, headers: incoming.headers };
    const length = incoming.headers['content-length'];
    if (length === undefined) {
      const pieces: Buffer[] = [];
      await received(incoming, (piece) => void pieces.push(piece));
      return { ...head, body: Buffer.concat(pieces) };
    }
    const whole = Buffer.allocUnsafe(Number(length));
    let filled = 0;
    await received(incoming, (piece) => void (filled += piece.copy(whole, filled)));
    return { ...head, body: whole.subarray(0, filled) };
  }

  /** Gives away the answer's body piece by piece, and keeps none of it. @throws if the answer is not a success */
  async pour(url: string, call: Call, into: (piece: Buffer) => void): Promise<void> {
    const incoming = await this.#ask(url, call);
    if (incoming.statusCode !== 200) {
      incoming.destroy();
      throw new Error(`${url}: ${incoming.statusCode}`);
    }
    await received(incoming, into);
  }

  /** @throws if the answer is not a success */
  async expect(url: string, call?: Call): Promise<Buffer> {
    const { status, body } = await this.exchange(url, call);
    if (status < 200 || status > 299) throw new Error(`${url}: ${status}: ${body.toString().slice(0, QUOTE_LENGTH)}`);
    return body;
  }

  close(): void {
    this.#agent.destroy();
  }

  #ask(url: string, { method = 'GET', headers = {}, body }: Call): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const outgoing = request(url, { method, headers, agent: this.#agent }, resolve);
      outgoing.once('error', reject);
      sendBody(outgoing, body).catch(reject);
    });
  }
}

async function sendBody(outgoing: ClientRequest, body: Call['body']): Promise<void> {
  if (body === undefined || typeof body === 'string' || Buffer.isBuffer(body)) outgoing.end(body);
  else await pipeline(Readable.from(body), outgoing);
}

function received(incoming: IncomingMessage, into: (piece: Buffer) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    incoming.on('data', into).once('error', reject).once('end', resolve);
  });
}
