/**
 * Events as they happen: as server-sent events, or a JSON object a line.
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html
 */
import type { Request, Response } from 'express';
import { VarveError } from '../../core/errors.ts';
import { sendBody } from './send-body.ts';

export type EventFormat = 'sse' | 'ndjson';

export const EVENT_MEDIA_TYPES: Readonly<Record<EventFormat, string>> = {
  sse: 'text/event-stream',
  ndjson: 'application/x-ndjson',
};

export interface OutEvent {
  readonly event: string;
  /** What a client names to go on behind it; null: behind a later one. */
  readonly id: string | null;
  /** A JSON object in one line. */
  readonly data: string;
}

/** Nothing has happened, but for the id. Server-sent events have a comment for it, which wakes nobody. */
export const HEARTBEAT = 'heartbeat';
/** After how long a browser comes back. */
const RETRY_MS = 1_000;
const RETRY_LINE = `retry: ${RETRY_MS}\n\n`;

/**
 * The format to answer in, of those offered, the first if all is the same.
 * @throws not-acceptable
 */
export function eventFormatOf<F extends string>(req: Request, offered: Readonly<Record<F, string>>): F {
  const mediaTypes = Object.values<string>(offered);
  const best = req.accepts(mediaTypes);
  const format = (Object.keys(offered) as F[]).find((name) => offered[name] === best);
  if (format !== undefined) return format;
  const message = `accepts none of ${mediaTypes.join(', ')}`;
  throw new VarveError('not-acceptable', `Accept: ${message}`, { errors: [{ field: 'Accept', message }] });
}

export function eventText(format: EventFormat, { event, id, data }: OutEvent): string {
  if (format === 'ndjson') {
    const head = `{"event":${JSON.stringify(event)}${id === null ? '' : `,"id":${JSON.stringify(id)}`}`;
    return data === '{}' ? `${head}}\n` : `${head},${data.slice(1)}\n`;
  }
  const idLine = id === null ? '' : `id: ${id}\n`;
  return event === HEARTBEAT ? `: ${HEARTBEAT}\n${idLine}\n` : `event: ${event}\n${idLine}data: ${data}\n\n`;
}

/**
 * Sends events at the pace of the client, for as long as there are any. What is thrown before the first one is an answer by itself.
 * @throws as {@link sendBody}
 */
export async function sendEvents(
  req: Request,
  res: Response,
  format: EventFormat,
  events: AsyncGenerator<OutEvent>,
): Promise<void> {
  const pieces = piecesOf(format, events);
  const first = await pieces.next();
  res.status(200).set({
    'Content-Type': EVENT_MEDIA_TYPES[format],
    'Cache-Control': 'no-cache, no-transform',
    'X-Accel-Buffering': 'no', // nginx would keep events back
  });
  res.vary('Accept');
  if (req.method === 'HEAD') {
    res.end();
    await pieces.return(undefined);
    return;
  }
  await sendBody(res, pieces, first, null);
}

async function* piecesOf(format: EventFormat, events: AsyncGenerator<OutEvent>): AsyncGenerator<Uint8Array> {
  let head = format === 'sse' ? RETRY_LINE : '';
  for await (const event of events) {
    yield Buffer.from(head + eventText(format, event));
    head = '';
  }
}
