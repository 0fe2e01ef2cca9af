/** Samples: append and read. */
import { pipeline } from 'node:stream/promises';
import type { Request, Response, Router } from 'express';
import { z } from 'zod';
import type { ZodOpenApiPathsObject, ZodOpenApiResponsesObject } from 'zod-openapi';
import type { SampleSelection, SampleService, SampleStream, SeriesService } from '../flows/service.ts';
import { WIRE_FORMATS } from '../formats/wire-formats.ts';
import { needs, principalOf } from './authenticate.ts';
import { disconnectSignal } from './disconnect.ts';
import { keyOfAppend } from './idempotency-key.ts';
import { formatOfBody, formatToSend, SAMPLE_MEDIA_TYPES } from './negotiate.ts';
import { json, problems } from './operation.ts';
import { parsePrefer } from './prefer.ts';
import { searchParamsOf } from './query.ts';
import { openRequestBody } from './request-body.ts';
import { addressOf, describeBoth, seriesPaths, seriesRouter } from './series-address.ts';
import {
  appendQuery,
  durableAnswer,
  fromSelection,
  readQuery,
  samplesAnswer,
  samplesBody,
  toAppendAnswer,
  toChannels,
  toSelection,
  visibleAnswer,
} from './wire/samples.ts';

/** Longest list of labels a header may carry: clients refuse headers of more than about 16 KiB in all. */
const MAX_LABELS_HEADER_CHARS = 8192;

export function sampleRoutes(samples: SampleService, series: Pick<SeriesService, 'get'>): Router {
  const router = seriesRouter();

  router.post(seriesPaths('/samples'), needs('write'), async (req, res) => {
    const signal = disconnectSignal(res);
    const { ref, query } = addressOf(req, appendQuery);
    const format = formatOfBody(req.get('content-type'));
    const idempotencyKey = keyOfAppend(req.get('idempotency-key'), query);
    const prefer = parsePrefer(req.get('prefer'));
    const outcome = await samples.append({
      series: await series.get(principalOf(res), ref),
      format,
      body: openRequestBody(req),
      startNs: query.start ?? null,
      declaredBytes: Number(req.get('content-length')) || null,
      idempotencyKey,
      waitMs: prefer.waitMs,
      signal,
    });
    const isVisible = outcome.level === 'visible';
    const applied = isVisible ? prefer.appliedIfVisible : prefer.appliedIfDurable;
    if (applied !== null) res.set('Preference-Applied', applied);
    if (outcome.replayed) res.set('Idempotency-Replayed', 'true');
    if (!isVisible) res.location(`/v1/writes/${outcome.write}`);
    res.status(isVisible ? 201 : 202).json(toAppendAnswer(outcome));
  });

  router.get(seriesPaths('/samples'), needs('read'), async (req, res) => {
    const signal = disconnectSignal(res);
    const { ref, query } = addressOf(req, readQuery, ['channels']);
    const format = query.format ?? formatToSend(req);
    const stream = await samples.read({
      principal: principalOf(res),
      ref,
      selection: toSelection(query),
      format,
      channels: toChannels(query.channels),
      physical: query.physical ?? false,
      limit: query.limit ?? null,
      linkTo: (rest) => linkTo(req.originalUrl, rest),
      signal,
    });
    await sendSamples(req, res, stream);
  });

  return router;
}

/** The same request for another selection. */
function linkTo(url: string, selection: SampleSelection): string {
  const params = searchParamsOf(url);
  for (const name of ['start', 'end', 'rows']) params.delete(name);
  for (const [name, value] of Object.entries(fromSelection(selection))) params.set(name, value);
  return `${url.split('?', 1)[0]}?${params.toString()}`;
}

async function sendSamples(req: Request, res: Response, stream: SampleStream): Promise<void> {
  const iterator = stream.body[Symbol.asyncIterator]();
  if (req.method === 'HEAD') {
    setSampleHeaders(res, stream);
    res.end();
    await iterator.return?.();
    return;
  }
  // What fails before the first byte can still be told as a problem.
  const first = await iterator.next();
  setSampleHeaders(res, stream);
  await pipeline(() => wholeBody(iterator, first, stream.contentLength), res);
}

function setSampleHeaders(res: Response, stream: SampleStream): void {
  const labels = stream.channelLabels.map(encodeURIComponent).join(',');
  res.vary('Accept');
  res.set('Content-Type', stream.mediaType);
  if (stream.contentLength !== null) res.set('Content-Length', String(stream.contentLength));
  res.set('X-Varve-Rows', String(stream.rows));
  res.set('X-Varve-First-Row', String(stream.firstRow));
  res.set('X-Varve-Dtype', stream.dtype);
  if (labels.length <= MAX_LABELS_HEADER_CHARS) res.set('X-Varve-Channels', labels);
  res.set('X-Varve-Commit', String(stream.commit));
  if (stream.next !== null) res.set('Link', `<${stream.next}>; rel="next"`);
}

/** The body from its first piece on. Throws, which breaks the connection, if it ends short of the promised length. */
async function* wholeBody(
  iterator: AsyncIterator<Uint8Array>,
  first: IteratorResult<Uint8Array>,
  promised: number | null,
): AsyncGenerator<Uint8Array> {
  let sent = 0;
  try {
    for (let piece = first; !piece.done; piece = await iterator.next()) {
      sent += piece.value.byteLength;
      yield piece.value;
    }
  } finally {
    await iterator.return?.();
  }
  if (promised !== null && sent !== promised)
    throw new Error(`the body has ${sent} bytes, not the promised ${promised}`);
}

const header = (description: string) => ({ description, schema: { type: 'string' as const } });
const binary = (mediaType: string) => ({ schema: { type: 'string' as const, contentMediaType: mediaType } });
const APPLIED = { 'Preference-Applied': header('Which preferences were honoured') };
const REPLAYED = { 'Idempotency-Replayed': header('true: this key was used before; the answer is the first one') };

const appendHeaders = z.object({
  'Content-Encoding': z.enum(['gzip', 'deflate', 'br']).optional(),
  'Idempotency-Key': z.string().optional().meta({
    description:
      '1 to 255 visible ASCII characters. The same key for the same series stores once, for at least 24 hours. Excludes source and sequence',
  }),
  Prefer: z.string().optional().meta({
    description: 'wait=N (seconds, 0 to 60; default 10) or respond-async, which does not wait',
    example: 'wait=5',
  }),
});

const appendResponses: ZodOpenApiResponsesObject = {
  201: { description: 'The rows are visible', headers: { ...APPLIED, ...REPLAYED }, content: json(visibleAnswer) },
  202: {
    description: 'The rows are durable and will become visible',
    headers: { ...APPLIED, ...REPLAYED, Location: header('Where to ask for the state of the write') },
    content: json(durableAnswer),
  },
  ...problems(404, 409, 413, 415, 422, 507),
};

export const sampleDescriptions: ZodOpenApiPathsObject = describeBoth('/samples', ({ path, by, query }) => ({
  post: {
    operationId: `appendSamples${by}`,
    tags: ['samples'],
    summary: 'Append rows',
    description: 'A body that is cut off stores nothing.',
    requestParams: { path, query: query(appendQuery), header: appendHeaders },
    requestBody: {
      required: true,
      content: {
        ...Object.fromEntries(SAMPLE_MEDIA_TYPES.map((mediaType) => [mediaType, binary(mediaType)])),
        ...json(samplesBody),
        [WIRE_FORMATS.csv.mediaType]: { schema: z.string(), example: 'time,MLII,V5\n2026-05-01T09:00:00Z,12,14\n' },
        [WIRE_FORMATS.ndjson.mediaType]: {
          schema: z.string(),
          example: '{"time":"2026-05-01T09:00:00Z","values":[12,14]}\n',
        },
      },
    },
    responses: appendResponses,
  },
  get: {
    operationId: `readSamples${by}`,
    tags: ['samples'],
    summary: 'Read rows by time or by number',
    requestParams: { path, query: query(readQuery) },
    responses: {
      200: {
        description: 'The rows. An answer that cannot be completed is cut off, never ended short.',
        headers: {
          'X-Varve-Rows': header('Rows of this answer'),
          'X-Varve-First-Row': header('Number of the first of them in the series'),
          'X-Varve-Dtype': header('Number type of the values sent'),
          'X-Varve-Channels': header(
            `Labels, percent-encoded, comma-separated; left out beyond ${MAX_LABELS_HEADER_CHARS} characters`,
          ),
          'X-Varve-Commit': header('State of the series that was read'),
          Link: header('rel="next": the rest, where the answer was cut at the limit'),
        },
        content: {
          ...Object.fromEntries(SAMPLE_MEDIA_TYPES.map((mediaType) => [mediaType, binary(mediaType)])),
          ...json(samplesAnswer),
        },
      },
      ...problems(404, 406, 422),
    },
  },
}));
