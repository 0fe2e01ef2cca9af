/** A client of the REST API, for the command line: typed calls, streams both ways, problems as VarveErrors. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { z } from 'zod';
import { messageOf, notFound, VarveError, type FieldError } from '../../core/errors.ts';
import { formatRate } from '../../core/signal/rate.ts';
import type { NewAnnotation, NewSeries, RecordingSource, RecordingWish } from '../../core/signal/series.ts';
import type { SeriesRef } from '../../flows/series/series-service.ts';
import type { createdTokenAnswer, projectAnswer, tokenAnswer, tokenCreate } from '../../http/wire/access-schema.ts';
import type { annotationPage } from '../../http/wire/annotations-schema.ts';
import { codeOfStatus } from '../../http/wire/error-status.ts';
import type { exportAnswer } from '../../http/wire/exports-schema.ts';
import type { ProblemDocument } from '../../http/wire/problem-schema.ts';
import type { searchPage, seriesPage } from '../../http/wire/search-schema.ts';
import type { seriesAnswer, seriesCreate, seriesPatch } from '../../http/wire/series-schema.ts';
import type { recordingAnswer, recordingWish } from '../../http/wire/recordings-schema.ts';
import { isUuid } from '../../http/wire/scalars.ts';
import type { appendAnswer } from '../../http/wire/writes-schema.ts';

export type SeriesAnswer = z.output<typeof seriesAnswer>;
export type RecordingJson = z.output<typeof recordingAnswer>;
export type ExportAnswer = z.output<typeof exportAnswer>;
export type TokenAnswer = z.output<typeof tokenAnswer>;
export type AnnotationAnswer = z.output<typeof annotationPage>['items'][number];

export interface AppendOptions {
  /** The same key with the same bytes stores once, however often it is sent. */
  readonly idempotencyKey?: string;
  /** Regular series: the time of the first row, where it does not just go on. */
  readonly startNs?: bigint;
  /** That start opens a gap, however small. */
  readonly isGap?: boolean;
}

export interface Appended {
  readonly write: string;
  readonly rows: number;
  /** True if the rows were there already, under the same key. */
  readonly replayed: boolean;
}

export interface SampleAnswer {
  /** Throws if the answer is cut off. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Bytes of the body; null for formats whose length shows at the end. */
  readonly contentLength: number | null;
  readonly rows: number;
  /** Path of the rest, where the service cut the answer at its limit. */
  readonly next: string | null;
}

/** Annotations of one request: what the service takes … */
const MAX_ANNOTATIONS = 10_000;
/** … and half of the bytes it takes, as JSON. */
const MAX_ANNOTATION_BYTES = 4 * 1024 * 1024;
const PAGE_SERIES = 1000;
/** A service that is busy, or whose Postgres is starting again, is asked this often before the command gives up. */
const ATTEMPTS = 5;

/** The slug of a 500 that nobody foresaw. */
const INTERNAL_SLUG = 'internal';

const SEARCH = '/v1/series/search';

/** Query parameters of `GET /v1/series`, or a tree of conditions as `POST /v1/series/search` takes it. */
export type SeriesQuestion = URLSearchParams | { readonly where: unknown; readonly sort: readonly string[] };
export type Facets = NonNullable<z.output<typeof searchPage>['facets']>;

export class VarveClient {
  readonly url: string;
  readonly #token: string;

  /** @param url of the service, such as `http://127.0.0.1:7424` */
  constructor(url: string, token: string) {
    this.url = url.replace(/\/+$/, '');
    this.#token = token;
  }

  /** @throws conflict if the project has a series of that name; not-found for an unknown project */
  async createSeries(series: NewSeries): Promise<SeriesAnswer> {
    return this.#json('POST', '/v1/series', creation(series));
  }

  /**
   * The recording of this id, or of this name in the project. @throws not-found
   */
  async findRecording(project: string, called: string): Promise<RecordingJson> {
    const query = new URLSearchParams({ project, name: called });
    const page = await this.#json<{ items: RecordingJson[] }>('GET', `/v1/recordings?${query.toString()}`);
    const [named] = page.items;
    if (named) return named;
    if (isUuid(called)) return this.#json('GET', `/v1/recordings/${called}`);
    throw notFound('recording', called);
  }

  /** Notes one more file of a recording. */
  async addSource(id: string, source: RecordingSource): Promise<void> {
    await this.#json('PATCH', `/v1/recordings/${id}`, JSON.stringify({ add_source: source }));
  }

  /** @throws not-found */
  getSeries(ref: SeriesRef): Promise<SeriesAnswer> {
    return this.#json('GET', seriesPath(ref));
  }

  /** Sets tags, and removes those that are null. @throws not-found */
  async editTags(id: string, tags: z.input<typeof seriesPatch>['tags']): Promise<SeriesAnswer> {
    return this.#json('PATCH', `/v1/series/${id}`, JSON.stringify({ tags }));
  }

  /** Can be undone for some days. @throws not-found */
  async deleteSeries(id: string): Promise<void> {
    await this.#fetch('DELETE', `/v1/series/${id}`);
  }

  /**
   * Restores a deleted series. By name it is the one that was deleted last under it. @throws not-found, gone, or
   * conflict if its name was given away
   */
  restoreSeries(ref: SeriesRef): Promise<SeriesAnswer> {
    return this.#json('POST', seriesPath(ref, '/restore'));
  }

  /** @returns the new token, which is shown this once */
  async createToken(wanted: z.input<typeof tokenCreate>): Promise<z.output<typeof createdTokenAnswer>> {
    return this.#json('POST', '/v1/tokens', JSON.stringify(wanted));
  }

  async listTokens(): Promise<TokenAnswer[]> {
    return (await this.#json<{ items: TokenAnswer[] }>('GET', '/v1/tokens')).items;
  }

  /** @throws not-found */
  async revokeToken(id: string): Promise<void> {
    await this.#fetch('DELETE', `/v1/tokens/${id}`);
  }

  /** @throws unprocessable `would-lose` where the format has no place for something */
  createExport(wanted: Readonly<Record<string, unknown>>): Promise<ExportAnswer> {
    return this.#json('POST', '/v1/exports', JSON.stringify(wanted));
  }

  /** @throws not-found */
  getExport(id: string): Promise<ExportAnswer> {
    return this.#json('GET', `/v1/exports/${id}`);
  }

  /** @throws not-found; conflict while it is being made */
  async fetchExport(id: string): Promise<Pick<SampleAnswer, 'body' | 'contentLength'>> {
    const response = await this.#fetch('GET', `/v1/exports/${id}/file`);
    return { body: this.#bodyOf(response), contentLength: Number(response.headers.get('content-length')) };
  }

  /** @throws not-found */
  async deleteExport(id: string): Promise<void> {
    await this.#fetch('DELETE', `/v1/exports/${id}`);
  }

  async listProjects(): Promise<z.output<typeof projectAnswer>[]> {
    return (await this.#json<{ items: z.output<typeof projectAnswer>[] }>('GET', '/v1/projects')).items;
  }

  /** All series that a search finds, page after page, in its order. */
  async *search(question: SeriesQuestion): AsyncGenerator<SeriesAnswer> {
    if ('where' in question) {
      for (let cursor: string | null | undefined; cursor !== null;) {
        const body = { ...question, limit: PAGE_SERIES, ...(cursor !== undefined && { cursor }) };
        const page: z.output<typeof searchPage> = await this.#json('POST', SEARCH, JSON.stringify(body));
        yield* page.items;
        ({ cursor } = page);
      }
      return;
    }
    const query = new URLSearchParams(question);
    query.set('limit', String(PAGE_SERIES));
    let path: string | null = `/v1/series?${query.toString()}`;
    while (path !== null) {
      const page: z.output<typeof seriesPage> = await this.#json('GET', path);
      yield* page.items;
      path = page.next;
    }
  }

  /** How often each value of these tags and fields occurs among all series that a search finds. @param names as in `facets=` */
  async facets(question: SeriesQuestion, names: readonly string[]): Promise<Facets> {
    const query = new URLSearchParams('where' in question ? [] : question);
    query.set('limit', '1');
    query.set('facets', names.join(','));
    const body = JSON.stringify({ ...question, limit: 1, facets: names });
    const page: z.output<typeof searchPage> | z.output<typeof seriesPage> =
      'where' in question
        ? await this.#json('POST', SEARCH, body)
        : await this.#json('GET', `/v1/series?${query.toString()}`);
    return page.facets ?? {};
  }

  /**
   * Appends rows.
   * @param body regular series: little-endian rows × channels; irregular ones: packed records of an int64 time and the values
   * @throws unprocessable, among others, if the key was used for other bytes
   */
  async appendSamples(
    id: string,
    body: Uint8Array,
    { idempotencyKey, startNs, isGap = false }: AppendOptions,
  ): Promise<Appended> {
    const query = startNs === undefined ? '' : `?start=${startNs}${isGap ? '&gaps=exact' : ''}`;
    const response = await this.#fetch('POST', `/v1/series/${id}/samples${query}`, {
      headers: {
        'Content-Type': 'application/octet-stream',
        ...(idempotencyKey !== undefined && { 'Idempotency-Key': idempotencyKey }),
      },
      body,
    });
    const answer = (await response.json()) as z.output<typeof appendAnswer>;
    const replayed = response.headers.get('Idempotency-Replayed') === 'true';
    return { write: answer.write, rows: answer.rows, replayed };
  }

  /** Posts annotations in their order; each request stores all of its own or none. @param onPosted told their number so far */
  async annotate(id: string, annotations: readonly NewAnnotation[], onPosted?: (count: number) => void): Promise<void> {
    let posted = 0;
    for (const items of requestsOf(annotations)) {
      await this.#json('POST', `/v1/series/${id}/annotations`, `{"items":[${items.join(',')}]}`);
      posted += items.length;
      onPosted?.(posted);
    }
  }

  /** All annotations of a series in order of time. */
  async *annotations(id: string): AsyncGenerator<AnnotationAnswer> {
    let path: string | null = `/v1/series/${id}/annotations?limit=${MAX_ANNOTATIONS}`;
    while (path !== null) {
      const page: z.output<typeof annotationPage> = await this.#json('GET', path);
      yield* page.items;
      path = page.next;
    }
  }

  /** @param selection query parameters of `GET …/samples`, the format among them */
  async readSamples(ref: SeriesRef, selection: URLSearchParams): Promise<SampleAnswer> {
    const path = seriesPath(ref, '/samples');
    const response = await this.#fetch('GET', `${path}${path.includes('?') ? '&' : '?'}${selection.toString()}`);
    const length = response.headers.get('Content-Length');
    return {
      body: this.#bodyOf(response),
      contentLength: length === null ? null : Number(length),
      rows: Number(response.headers.get('X-Varve-Rows')),
      next: /<([^>]*)>; rel="next"/.exec(response.headers.get('Link') ?? '')?.[1] ?? null,
    };
  }

  async *#bodyOf(response: Response): AsyncGenerator<Uint8Array> {
    if (response.body === null) return;
    try {
      yield* response.body;
    } catch (error) {
      throw this.#unreachable(error);
    }
  }

  async #json<T>(method: string, path: string, body?: string): Promise<T> {
    const headers = body === undefined ? undefined : { 'Content-Type': 'application/json' };
    const response = await this.#fetch(method, path, { headers, body });
    return (await response.json()) as T;
  }

  async #fetch(
    method: string,
    path: string,
    { headers, body }: { headers?: Record<string, string>; body?: Uint8Array | string } = {},
  ): Promise<Response> {
    const request = {
      method,
      // Uncompressed: on the way from this machine to itself, compression only costs time.
      headers: { Authorization: `Bearer ${this.#token}`, 'Accept-Encoding': 'identity', ...headers },
      body,
    };
    const isRepeatable = method === 'GET' || (headers !== undefined && 'Idempotency-Key' in headers);
    for (let attempt = 1; ; attempt++) {
      const response = await fetch(`${this.url}${path}`, request).catch((error: unknown) => {
        throw this.#unreachable(error);
      });
      if (response.ok) return response;
      const problem = await problemOf(response);
      if (response.status !== 503 || !isRepeatable || attempt === ATTEMPTS) throw problem;
      await sleep(1000 * (Number(response.headers.get('Retry-After')) || 1));
    }
  }

  #unreachable(error: unknown): VarveError {
    const { cause } = error as Error;
    const { code = '' } = (cause ?? {}) as { code?: string };
    const text = NOT_THERE.has(code)
      ? `no Varve answers at ${this.url} (${code}): start one with \`varve serve\`, or name another with --port or --url`
      : `the connection to Varve at ${this.url} broke (${code || messageOf(cause ?? error)})`;
    return new VarveError('unavailable', text, { slug: 'unreachable', cause: error });
  }
}

const NOT_THERE: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
]);

function seriesPath(ref: SeriesRef, resource = ''): string {
  if ('id' in ref) return `/v1/series/${ref.id}${resource}`;
  // Slashes too: a name may end like a resource.
  return `/v1/series/by-name/${encodeURIComponent(ref.name)}${resource}?project=${encodeURIComponent(ref.project)}`;
}

function creation({
  sampling,
  timeReference,
  missingValue,
  timeZone,
  externalIds,
  recording = null,
  ...series
}: NewSeries): string {
  const body: z.input<typeof seriesCreate> = {
    ...series,
    channels: series.channels.map((channel) => ({ ...channel })),
    sampling:
      sampling.kind === 'irregular'
        ? sampling
        : {
            kind: 'regular',
            rate_hz: formatRate(sampling.rate),
            ...(sampling.startNs !== null && { start: String(sampling.startNs) }),
          },
    time_reference: timeReference,
    missing_value: typeof missingValue === 'bigint' ? String(missingValue) : missingValue,
    time_zone: timeZone,
    external_ids: externalIds,
    ...(recording && { recording: recordingBody(recording) }),
  };
  return JSON.stringify(body);
}

function recordingBody(wish: RecordingWish): z.input<typeof recordingWish> {
  if ('id' in wish) return wish;
  const { name, source, startNs } = wish;
  return {
    name,
    ...(source && { source: { ...source, files: source.files && [...source.files] } }),
    ...(startNs !== null && { start: String(startNs) }),
  };
}

/** Annotations as JSON texts, in as few requests as the limits allow. */
function* requestsOf(annotations: readonly NewAnnotation[]): Generator<string[]> {
  let items: string[] = [];
  let bytes = 0;
  for (const { startNs, endNs, ...about } of annotations) {
    const item = JSON.stringify({ start: String(startNs), end: String(endNs), ...about });
    const itemBytes = Buffer.byteLength(item) + 1;
    if (items.length === MAX_ANNOTATIONS || (items.length > 0 && bytes + itemBytes > MAX_ANNOTATION_BYTES)) {
      yield items;
      items = [];
      bytes = 0;
    }
    items.push(item);
    bytes += itemBytes;
  }
  if (items.length > 0) yield items;
}

async function problemOf(response: Response): Promise<VarveError> {
  const text = await response.text().catch(() => '');
  const problem = parseProblem(text);
  const slug = problem?.type?.replace(/^urn:varve:problem:/, '');
  const isForeseen = problem !== undefined && slug !== INTERNAL_SLUG;
  const code = (isForeseen ? codeOfStatus(response.status) : undefined) ?? 'unavailable';
  const message = problem?.detail ?? `the answer was ${response.status} ${response.statusText}`;
  const errors: readonly FieldError[] = problem?.errors ?? [];
  return new VarveError(code, message, { errors, ...(slug && { slug }) });
}

/** Undefined for what is not of Varve: the error page of a proxy, say. */
function parseProblem(text: string): Partial<ProblemDocument> | undefined {
  try {
    return JSON.parse(text) as Partial<ProblemDocument>;
  } catch {
    return undefined;
  }
}
