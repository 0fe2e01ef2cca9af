/** One request with records of a spool, and what its answer means. */
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { z } from 'zod';
import { messageOf } from '../../core/errors.ts';
import type { QueueRecord } from '../../storage/queue/queue-record.ts';
import { RECORD_KINDS, withSequence } from './push-records.ts';

export interface PushTarget {
  readonly url: string;
  /** Asked for each request: a new one may have been put in its place. @throws what is wrong with it */
  readonly token: () => string;
  readonly project: string;
  readonly source: string;
}

export interface RefusedRecord {
  readonly record: QueueRecord;
  readonly reason: string;
}

export type PostOutcome =
  /** So many of the records need nothing more: stored, or refused for ever. */
  | { readonly kind: 'done'; readonly count: number; readonly refused: readonly RefusedRecord[]; readonly next?: Wait }
  /** Something in them is wrong. */
  | { readonly kind: 'wrong'; readonly reason: string }
  | Wait;

export interface Wait {
  /** `hold`: somebody has to do something; `retry`: it may go away by itself. */
  readonly kind: 'hold' | 'retry';
  readonly reason: string;
  /** True if the token is at fault. */
  readonly isRefusal: boolean;
  readonly afterMs: number | null;
}

/** A server that says nothing for so long is asked again. */
const ANSWER_MS = 60_000;
const LF = 0x0a;
/** Smaller bodies are sent as they are. */
const GZIP_BYTES = 1024;
const deflate = promisify(gzip);

/** @param records of one kind */
export async function postRecords(
  target: PushTarget,
  records: readonly QueueRecord[],
  stop: AbortSignal,
): Promise<PostOutcome> {
  let token: string;
  try {
    token = target.token();
  } catch (error) {
    return { kind: 'hold', reason: messageOf(error), isRefusal: true, afterMs: null };
  }
  const isLines = records[0]?.kind === RECORD_KINDS.line;
  const request = new AbortController();
  const abort = (): void => request.abort();
  const timer = setTimeout(abort, ANSWER_MS);
  stop.addEventListener('abort', abort, { once: true });
  try {
    const { path, type, body } = isLines ? linesRequest(target, records) : itemsRequest(target, records);
    const isLarge = body.length >= GZIP_BYTES;
    const response = await fetch(`${target.url.replace(/\/+$/, '')}/${path}`, {
      method: 'POST',
      headers: {
        Authorization: `Bearer ${token}`,
        'Content-Type': type,
        ...(isLarge && { 'Content-Encoding': 'gzip' }),
      },
      body: isLarge ? await deflate(body) : body,
      // An answer of somebody else is none.
      redirect: 'manual',
      signal: request.signal,
    });
    const text = await response.text();
    return isLines ? linesOutcome(response, text, records) : itemsOutcome(response, text, records);
  } catch (error) {
    const { cause } = error as Error;
    const reason = `no answer from ${target.url}: ${messageOf(cause ?? error)}`;
    return { kind: 'retry', reason, isRefusal: false, afterMs: null };
  } finally {
    clearTimeout(timer);
    stop.removeEventListener('abort', abort);
  }
}

interface PushRequest {
  readonly path: string;
  readonly type: string;
  readonly body: Buffer;
}

function linesRequest({ project }: PushTarget, records: readonly QueueRecord[]): PushRequest {
  const query = new URLSearchParams({ bucket: project, precision: 'ns' });
  const end = Buffer.from('\n');
  const body = Buffer.concat(records.flatMap(({ payload }) => [payload, end]));
  return { path: `api/v2/write?${query.toString()}`, type: 'text/plain; charset=utf-8', body };
}

function itemsRequest({ project, source }: PushTarget, records: readonly QueueRecord[]): PushRequest {
  const query = new URLSearchParams({ project });
  const isNumbered = records[0]?.kind === RECORD_KINDS.item;
  if (isNumbered) query.set('source', source);
  const lines = records.map(({ payload, sequence }) =>
    isNumbered ? withSequence(payload, sequence) : Buffer.from(payload).toString(),
  );
  const body = Buffer.from(`${lines.join('\n')}\n`);
  return { path: `v1/samples?${query.toString()}`, type: 'application/x-ndjson', body };
}

function linesOutcome(response: Response, text: string, records: readonly QueueRecord[]): PostOutcome {
  const count = records.length;
  if (response.status === 204) return { kind: 'done', count, refused: [] };
  const partial = response.status === 400 ? partialOf(text) : null;
  if (partial === null) return otherOutcome(response, text);
  const byLine = recordsByLine(records);
  const reasons = new Map(partial.map(({ line, reason }) => [byLine.get(line), reason]));
  // All others are stored; if that cannot be told line by line, it has to be found out.
  if (reasons.has(undefined)) return otherOutcome(response, text);
  const refused = records.flatMap((record) => {
    const reason = reasons.get(record);
    return reason === undefined ? [] : [{ record, reason: `400: ${reason}` }];
  });
  return { kind: 'done', count, refused };
}

const partialAnswer = z.object({
  code: z.literal('invalid'),
  dropped: z.int(),
  lines: z.array(z.object({ line: z.int(), reason: z.string() })),
});

/** Lines that were refused; null: it is another answer, or does not name all of them. */
function partialOf(text: string): z.output<typeof partialAnswer>['lines'] | null {
  const { data } = partialAnswer.safeParse(parsed(text));
  return data && data.dropped === data.lines.length ? data.lines : null;
}

/** A record may be several lines, of which the last one is named, or the first. */
function recordsByLine(records: readonly QueueRecord[]): Map<number, QueueRecord> {
  const found = new Map<number, QueueRecord>();
  let line = 1;
  for (const record of records) {
    found.set(line, record);
    for (let at = record.payload.indexOf(LF); at >= 0; at = record.payload.indexOf(LF, at + 1))
      found.set(++line, record);
    line++;
  }
  return found;
}

interface AnsweredItems {
  readonly items: readonly { readonly status: number; readonly problem?: { readonly detail?: string } }[];
}

function itemsOutcome(response: Response, text: string, records: readonly QueueRecord[]): PostOutcome {
  const answer = response.status === 200 ? (parsed(text) as AnsweredItems | undefined) : undefined;
  if (!Array.isArray(answer?.items) || answer.items.length !== records.length) return otherOutcome(response, text);
  const { items } = answer;
  const refused: RefusedRecord[] = [];
  for (const [at, record] of records.entries()) {
    const { status = 0, problem } = items[at] ?? {};
    const reason = `${status}: ${problem?.detail ?? 'refused'}`;
    if (status === 201) continue;
    if (!isFinal(status)) {
      // What comes behind is sent again with it: its number says what of it is stored.
      return { kind: 'done', count: at, refused, next: waitFor(status, reason, null) };
    }
    refused.push({ record, reason });
  }
  return { kind: 'done', count: records.length, refused };
}

function otherOutcome(response: Response, text: string): PostOutcome {
  const { status } = response;
  const document = parsed(text) as { message?: unknown; detail?: unknown; type?: unknown } | undefined;
  const said = document?.detail ?? document?.message;
  const isOurs = typeof said === 'string';
  const reason = `${status}: ${isOurs ? said : `not an answer of Varve: ${text.slice(0, 100)}`}`;
  if (status === 413 || (isOurs && isFinal(status) && !isAboutProject(status))) return { kind: 'wrong', reason };
  return waitFor(status, reason, retryAfterMs(response));
}

/** Another try would be answered the same, whatever becomes of the service. */
function isFinal(status: number): boolean {
  return status >= 400 && status < 500 && ![401, 403, 408, 425, 429].includes(status);
}

/** A project that is not there is a fault of the command, not of the lines. */
function isAboutProject(status: number): boolean {
  return status === 404 || status === 405 || status === 415;
}

function waitFor(status: number, reason: string, afterMs: number | null): Wait {
  const isBusy = status >= 500 || status === 408 || status === 425 || status === 429;
  return { kind: isBusy ? 'retry' : 'hold', reason, isRefusal: status === 401 || status === 403, afterMs };
}

function retryAfterMs(response: Response): number | null {
  const text = response.headers.get('Retry-After');
  if (text === null) return null;
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isFinite(ms) && ms > 0 ? ms : null;
}

function parsed(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
