/** A client for the running service: it knows HTTP and the contract, and nothing of the program behind them. */
import { expect } from '@jest/globals';
import { request, type Agent, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** A running service; its URL may change when it is started again. */
export interface Address {
  readonly url: string;
  readonly token: string;
}

export interface Call {
  readonly headers?: Readonly<Record<string, string>>;
  /** A stream is sent chunked, without a Content-Length. */
  readonly body?: string | Uint8Array | AsyncIterable<Uint8Array>;
  /** Instead of the service's own; null: none. */
  readonly token?: string | null;
  readonly agent?: Agent;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** As it came, still compressed if it was. */
  readonly body: Buffer;
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- a cast, in fewer words
  json<T = unknown>(): T;
}

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly instance: string;
  readonly errors: readonly { readonly field: string; readonly message: string }[];
}

export interface SeriesJson {
  readonly id: string;
  readonly project: string;
  readonly name: string;
  readonly unit: string | null;
  readonly tags: Readonly<Record<string, string | number | boolean>>;
  readonly rows: number;
  readonly first_time: string | null;
  readonly last_time: string | null;
  readonly version: number;
}

export interface AppendJson {
  readonly write: string;
  readonly rows: number;
  /** Number of the first row; regular series alone have one. */
  readonly first_row?: number;
  readonly last_row?: number;
  readonly level: 'visible';
  readonly commit: number;
}

export interface WriteJson {
  readonly write: string;
  readonly series: string;
  readonly kind: 'append' | 'replace' | 'remove';
  readonly level: 'visible';
  readonly rows?: number;
  readonly first_row?: number;
  readonly last_row?: number;
  readonly removed?: number;
  readonly commit: number;
  readonly at: string;
}

export interface SamplesJson {
  readonly series: string;
  readonly first_row: number;
  readonly times: readonly string[];
  readonly orient: 'rows' | 'channels';
  /** One list a channel, as {@link ApiClient.read} asks for them. */
  readonly values: readonly (readonly (number | string | null)[])[];
  readonly next: string | null;
}

const JSON_TYPE = { 'content-type': 'application/json' };

export class ApiClient {
  readonly #at: Address;

  constructor(at: Address) {
    this.#at = at;
  }

  /** Sends a request; the answer's body is still to be read. */
  async open(method: string, path: string, { headers = {}, body, token = this.#at.token, agent }: Call = {}) {
    const outgoing = request(new URL(path, this.#at.url), {
      method,
      agent,
      headers: {
        ...(token !== null && { authorization: `Bearer ${token}` }),
        ...((typeof body === 'string' || body instanceof Uint8Array) && {
          'content-length': String(Buffer.byteLength(body)),
        }),
        ...headers,
      },
    });
    return new Promise<IncomingMessage>((resolve, reject) => {
      outgoing.once('response', resolve);
      // A refusal may come before the body is out; what happens to the rest of the body is then nobody's business.
      outgoing.on('error', reject);
      if (body === undefined || typeof body === 'string' || body instanceof Uint8Array) outgoing.end(body);
      else pipeline(Readable.from(body), outgoing).catch(reject);
    });
  }

  async send(method: string, path: string, call: Call = {}): Promise<Answer> {
    const incoming = await this.open(method, path, call);
    const body = await bodyOf(incoming);
    return {
      status: incoming.statusCode ?? 0,
      headers: incoming.headers,
      body,
      json: () => JSON.parse(body.toString()),
    };
  }

  get(path: string, headers: Call['headers'] = {}): Promise<Answer> {
    return this.send('GET', path, { headers });
  }

  post(path: string, json: unknown, headers: Call['headers'] = {}): Promise<Answer> {
    return this.send('POST', path, { headers: { ...JSON_TYPE, ...headers }, body: JSON.stringify(json) });
  }

  patch(path: string, json: unknown, headers: Call['headers'] = {}): Promise<Answer> {
    return this.send('PATCH', path, { headers: { ...JSON_TYPE, ...headers }, body: JSON.stringify(json) });
  }

  delete(path: string, headers: Call['headers'] = {}): Promise<Answer> {
    return this.send('DELETE', path, { headers });
  }

  /** Creates a series that must be accepted. */
  async createSeries(fields: Readonly<Record<string, unknown>>): Promise<SeriesJson> {
    return expecting(201, await this.post('/v1/series', fields)).json<SeriesJson>();
  }

  async series(id: string): Promise<SeriesJson> {
    return expecting(200, await this.get(`/v1/series/${id}`)).json<SeriesJson>();
  }

  /** Appends samples as JSON, which must be accepted. */
  async append(id: string, samples: Readonly<Record<string, unknown>>): Promise<AppendJson> {
    return expecting(201, await this.post(`/v1/series/${id}/samples`, samples)).json<AppendJson>();
  }

  /** Reads samples as JSON, one list a channel: what tests compare is mostly of one. @param query with its question mark, or empty */
  async read(id: string, query = ''): Promise<SamplesJson> {
    const path = `/v1/series/${id}/samples${query}${query === '' ? '?' : '&'}orient=channels`;
    return expecting(200, await this.get(path)).json<SamplesJson>();
  }

  /** What is told of a write. */
  async write(id: string): Promise<WriteJson> {
    return expecting(200, await this.get(`/v1/writes/${id}`)).json<WriteJson>();
  }
}

/** The answer, if it has this status; else a failure that shows what it says. */
export function expecting(status: number, answer: Answer): Answer {
  if (answer.status !== status) {
    expect({ status: answer.status, body: answer.body.toString().slice(0, 2000) }).toEqual({ status });
  }
  return answer;
}

/** How many answers have each status. */
export function tally(answers: readonly Answer[]): Record<number, number> {
  const counts: Record<number, number> = {};
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}

export async function bodyOf(incoming: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of incoming) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
