/** The HTTP API as the page asks it: types from the OpenAPI document, every refusal an error that is a sentence. */
import createClient, { type Client, type Middleware } from 'openapi-fetch';
import type { paths, schemas } from '../../dist/api-types.d.ts';

/** One series, as the API answers it. */
export type SeriesItem = schemas['Series'];
export type ApiSchemas = schemas;

/** What the service, or the way to it, has refused. Its message is a sentence for people. */
export class Refusal extends Error {
  /** 0: no answer came. */
  readonly status: number;
  /** The stable name of the problem; empty where there was none. */
  readonly type: string;
  /** What is wrong with which field. */
  readonly fields: readonly { readonly field: string; readonly message: string }[];

  constructor(message: string, status: number, type = '', fields: Refusal['fields'] = []) {
    super(message);
    this.name = 'Refusal';
    this.status = status;
    this.type = type;
    this.fields = fields;
  }
}

export interface Api extends Client<paths> {
  /** What comes before `/v1`: nothing, or `/s/{share}`, where one may only read. */
  readonly base: string;
  /**
   * Any path below `/v1`, for answers that are no JSON.
   * @param path begins with `/v1/`
   * @throws Refusal if the status is no success, or nothing answers; an abort stays an `AbortError`
   */
  raw(path: string, init?: RequestInit): Promise<Response>;
}

/**
 * @param base what comes before `/v1`, without a slash at its end
 * @param heard is told of each answer, and of each refusal
 */
export function createApi(base: string, heard: (refusal: Refusal | null) => void = () => {}): Api {
  const settle = async (response: Response): Promise<Response> => {
    const refusal = response.ok || response.status === 304 ? null : await refusalOf(response);
    heard(refusal);
    if (refusal) throw refusal;
    return response;
  };
  const gone = (error: unknown): unknown => {
    if (isAbort(error) || error instanceof Refusal) return error;
    const refusal = new Refusal('Varve does not answer. Is it running, and is the network there?', 0);
    heard(refusal);
    return refusal;
  };
  const middleware: Middleware = {
    onResponse: async ({ response }) => void (await settle(response)),
    onError: ({ error }) => gone(error) as Error,
  };
  const client = createClient<paths>({ baseUrl: base, credentials: 'same-origin' });
  client.use(middleware);
  return {
    ...client,
    base,
    async raw(path, init) {
      let response;
      try {
        response = await fetch(`${base}${path}`, { credentials: 'same-origin', ...init });
      } catch (error) {
        throw gone(error);
      }
      return settle(response);
    },
  };
}

/** The data of an answer: refusals have been thrown before. */
export async function dataOf<T>(answer: Promise<{ data?: T }>): Promise<T> {
  return (await answer).data as T;
}

/** True of what an AbortController has ended. */
export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}

/** What went wrong, as a sentence. */
export function sentenceOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return /[.?!…]$/.test(text) ? text : `${text}.`;
}

const SENTENCES: Readonly<Record<number, string>> = {
  401: 'You are not signed in, or your token is not valid any more.',
  403: 'This is not shared with you: your token does not allow it.',
  404: 'There is no such thing here; it may have been deleted.',
  413: 'That is too much at once; choose less of it.',
  429: 'Too many requests at once; try again in a moment.',
  503: 'Varve cannot serve this just now; try again in a moment.',
  507: 'The disk of the service is full.',
};

async function refusalOf(response: Response): Promise<Refusal> {
  const problem: unknown = await response.json().catch(() => null);
  const { type, detail, errors } = isProblem(problem) ? problem : {};
  const general = SENTENCES[response.status] ?? `Varve answered with status ${response.status}.`;
  const said = detail === undefined ? '' : sentence(detail);
  // What a door says of tokens and headers is for programs; people are told what it means for them.
  const message =
    said === '' || response.status === 401 ? general : response.status === 403 ? `${general} ${said}` : said;
  const fields = (errors ?? []).flatMap(({ field, message }) =>
    typeof field === 'string' && typeof message === 'string' ? [{ field, message }] : [],
  );
  const named = fields.map((each) => `${each.field}: ${each.message}`).filter((each) => !message.includes(each));
  return new Refusal([message, ...named.map(sentence)].join(' '), response.status, type, fields);
}

function isProblem(
  value: unknown,
): value is { type?: string; detail?: string; errors?: { field?: unknown; message?: unknown }[] } {
  return typeof value === 'object' && value !== null;
}

function sentence(text: string): string {
  const upper = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.?!…]$/.test(upper) ? upper : `${upper}.`;
}
