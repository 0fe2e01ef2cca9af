/** Samples: append, replace, remove and read. */
import type { Request, Response, Router } from 'express';
import { z } from 'zod';
import type { ZodOpenApiPathsObject, ZodOpenApiResponsesObject } from 'zod-openapi';
import type { AppendOutcome, AppendService, RemoveOutcome } from '../../flows/append/append-service.ts';
import type { DivisibleAnswer, ReadService, SampleSelection, SampleStream } from '../../flows/read/read-service.ts';
import type { SeriesService } from '../../flows/series/series-service.ts';
import type { OverviewService } from '../../flows/overview/overview-service.ts';
import { HDF5_FILE, WIRE_FORMATS } from '../../formats/samples/wire-formats.ts';
import { needs, principalOf } from '../request/authenticate.ts';
import { disconnectSignal } from '../body/disconnect.ts';
import { isKnownTo, samplesTag } from '../body/entity-tag.ts';
import { keyOfAppend } from '../request/idempotency-key.ts';
import {
  ANSWER_FORMATS,
  ANSWER_MEDIA_TYPES,
  BODY_MEDIA_TYPES,
  formatOfBody,
  formatToSend,
  partToSend,
} from '../body/negotiate.ts';
import { json, problems } from '../request/operation.ts';
import { answerBuckets, answerKindOf } from './overview-routes.ts';
import { searchParamsOf } from '../request/query.ts';
import { openRequestBody } from '../body/request-body.ts';
import { refuseRange } from '../request/range-refusal.ts';
import { sendBody } from '../body/send-body.ts';
import { addressOf, describeBoth, seriesPaths, seriesRouter } from '../request/series-address.ts';
import { PROBLEM_MEDIA_TYPE, problemDocument } from '../wire/problem-schema.ts';
import {
  appendQuery,
  fromSelection,
  readQuery,
  removeQuery,
  replaceQuery,
  samplesAnswer,
  samplesBody,
  toChannels,
  toSelection,
  toSpelling,
  toPhysicalWish,
} from '../wire/samples-schema.ts';
import { appendAnswer, removeAnswer, toAppendAnswer, toRemoveAnswer } from '../wire/writes-schema.ts';
import { anyReadQuery, bucketsAnswer, BUCKETS_DESCRIPTION, latestQuery, lineAnswer } from '../wire/overview-schema.ts';

/** Longest list of labels a header may carry: clients refuse headers of more than about 16 KiB in all. */
const MAX_LABELS_HEADER_CHARS = 8192;

export function sampleWrites(samples: AppendService): Router {
  const router = seriesRouter();

  router.post(seriesPaths('/samples'), needs('write'), async (req, res) => {
    const { ref, query } = addressOf(req, appendQuery);
    const format = formatOfBody(req.get('content-type'));
    const idempotencyKey = keyOfAppend(req.get('idempotency-key'), query);
    const outcome = await samples.append({
      principal: principalOf(res),
      ref,
      format,
      body: openRequestBody(req),
      startNs: query.start ?? null,
      gaps: query.gaps,
      declaredBytes: Number(req.get('content-length')) || null,
      idempotencyKey,
    });
    sendOutcome(res, outcome, 201, toAppendAnswer(outcome));
  });

  router.put(seriesPaths('/samples'), needs('write'), async (req, res) => {
    const { ref, query } = addressOf(req, replaceQuery);
    const format = formatOfBody(req.get('content-type'));
    const idempotencyKey = keyOfAppend(req.get('idempotency-key'), query);
    const outcome = await samples.replace({
      principal: principalOf(res),
      ref,
      format,
      body: openRequestBody(req),
      startNs: query.start,
      endNs: query.end ?? null,
      declaredBytes: Number(req.get('content-length')) || null,
      idempotencyKey,
    });
    sendOutcome(res, outcome, 200, toAppendAnswer(outcome));
  });

  router.delete(seriesPaths('/samples'), needs('write'), async (req, res) => {
    const { ref, query } = addressOf(req, removeQuery);
    const idempotencyKey = keyOfAppend(req.get('idempotency-key'), query);
    const outcome = await samples.remove({
      principal: principalOf(res),
      ref,
      startNs: query.start ?? null,
      endNs: query.end ?? null,
      idempotencyKey,
    });
    sendOutcome(res, outcome, 200, toRemoveAnswer(outcome));
  });

  return router;
}

export function sampleReads(samples: ReadService & OverviewService, series: Pick<SeriesService, 'get'>): Router {
  const router = seriesRouter();

  router.get(seriesPaths('/samples'), needs('read'), answerBuckets(samples, series), async (req, res) => {
    const signal = disconnectSignal(res);
    const { ref, query, wanted } = toRead(req);
    const format = query.format ?? formatToSend(req, ANSWER_FORMATS);
    const spelling = toSpelling(query, format);
    const principal = principalOf(res);
    const tagOf = (state: { version: number; commit: bigint }): string => samplesTag(state, req.originalUrl, format);
    const ifNoneMatch = req.get('if-none-match');
    if (ifNoneMatch !== undefined) {
      const tag = tagOf(await series.get(principal, ref));
      if (isKnownTo(ifNoneMatch, tag)) {
        setCacheHeaders(res, tag);
        res.status(304).end();
        return;
      }
    }
    const request = {
      principal,
      ref,
      format,
      spelling,
      channels: toChannels(query),
      ...toPhysicalWish(query),
      clock: query.time,
      ...(req.method === 'GET' && {
        choosePart: (answer: DivisibleAnswer) => partToSend(req, answer.bytes, tagOf(answer)),
      }),
      signal,
    };
    const stream =
      wanted.by === 'newest'
        ? await samples.latest({ ...request, rows: wanted.rows })
        : await samples.read({ ...request, ...wanted, linkTo: (rest) => linkTo(req.originalUrl, rest) });
    await sendSamples(req, res, stream, tagOf(stream));
  });

  return router;
}

/** Which rows a request asks for: the newest, or those of a selection. @throws invalid-input naming the parameter */
function toRead(req: Request) {
  if (answerKindOf(req) === 'latest') {
    const { ref, query } = addressOf(req, latestQuery, ['channels']);
    return { ref, query, wanted: { by: 'newest', rows: query.latest } as const };
  }
  const { ref, query } = addressOf(req, readQuery, ['channels']);
  return {
    ref,
    query,
    wanted: { by: 'selection', selection: toSelection(query), limit: query.limit ?? null } as const,
  };
}

function sendOutcome(
  res: Response,
  { replayed }: Pick<AppendOutcome | RemoveOutcome, 'replayed'>,
  status: 200 | 201,
  answer: object,
): void {
  if (replayed) res.set('Idempotency-Replayed', 'true');
  res.status(status).json(answer);
}

/** The same request for another selection. */
function linkTo(url: string, selection: SampleSelection): string {
  const params = searchParamsOf(url);
  for (const name of ['start', 'end', 'rows', 'skip', 'count']) params.delete(name);
  for (const [name, value] of Object.entries(fromSelection(selection))) params.set(name, value);
  return `${url.split('?', 1)[0]}?${params.toString()}`;
}

async function sendSamples(req: Request, res: Response, stream: SampleStream, tag: string): Promise<void> {
  const { part, contentLength } = stream;
  const iterator = stream.body[Symbol.asyncIterator]();
  if (req.method === 'HEAD') {
    setSampleHeaders(res, stream, tag);
    res.end();
    await iterator.return?.();
    return;
  }
  if (part === 'unsatisfiable') {
    await iterator.return?.();
    refuseRange(req, res, contentLength ?? 0);
    return;
  }
  // What fails before the first byte can still be told as a problem.
  const first = await iterator.next();
  setSampleHeaders(res, stream, tag);
  if (part) {
    res.status(206).set('Content-Range', `bytes ${part.from}-${part.to - 1}/${contentLength}`);
    res.set('Content-Length', String(part.to - part.from));
  }
  await sendBody(res, iterator, first, part ? part.to - part.from : contentLength);
}

/** Rows may come at any time, so whoever keeps an answer asks again whether it still holds. */
function setCacheHeaders(res: Response, tag: string): void {
  res.vary('Accept');
  res.vary('Accept-Encoding');
  res.set('ETag', tag);
  res.set('Cache-Control', 'private, no-cache');
}

function setSampleHeaders(res: Response, stream: SampleStream, tag: string): void {
  const labels = stream.channelLabels.map(encodeURIComponent).join(',');
  setCacheHeaders(res, tag);
  res.set('Content-Type', stream.mediaType);
  if (stream.contentLength !== null) {
    res.set('Accept-Ranges', 'bytes');
    res.set('Content-Length', String(stream.contentLength));
  }
  res.set('X-Varve-Rows', String(stream.rows));
  if (stream.firstRow !== null) res.set('X-Varve-First-Row', String(stream.firstRow));
  res.set('X-Varve-Dtype', stream.dtype);
  if (labels.length <= MAX_LABELS_HEADER_CHARS) res.set('X-Varve-Channels', labels);
  res.set('X-Varve-Commit', String(stream.commit));
  if (stream.next !== null) res.set('Link', `<${stream.next}>; rel="next"`);
}

const header = (description: string) => ({ description, schema: { type: 'string' as const } });
const binary = (mediaType: string) => ({ schema: { type: 'string' as const, contentMediaType: mediaType } });
const REPLAYED = { 'Idempotency-Replayed': header('true: this key was used before; the answer is the first one') };

const CACHED = {
  ETag: header('Tag of this answer; it changes with the samples and with the description of the series'),
  'Cache-Control': header('private, no-cache: ask again, with If-None-Match'),
};

/** Media types of answers whose length is known beforehand. */
const DIVISIBLE = [WIRE_FORMATS.npy, WIRE_FORMATS.octet, HDF5_FILE].map(({ mediaType }) => mediaType);

const readHeaders = z.object({
  'If-None-Match': z.string().optional().meta({ description: 'An ETag: answers 304 if it still holds' }),
  Range: z.string().optional().meta({
    description:
      'npy, octet and HDF5: a part of the answer. Of npy and octet only the rows that it lies in are read; an HDF5 file is made anew for each',
    example: 'bytes=0-1048575',
  }),
  'If-Range': z.string().optional().meta({ description: 'An ETag: if it no longer holds, the whole is sent' }),
});

const writeHeaders = {
  'Idempotency-Key': z.string().optional().meta({
    description:
      '1 to 255 visible ASCII characters. The same key for the same series stores once, for at least 24 hours. Excludes source and sequence',
  }),
};
const bodyHeaders = z.object({
  'Content-Encoding': z.enum(['gzip', 'deflate', 'br']).optional().meta({ description: 'How the body is compressed' }),
  ...writeHeaders,
});

function writeResponses(status: 200 | 201, description: string, answer: z.ZodType): ZodOpenApiResponsesObject {
  return { [status]: { description, headers: REPLAYED, content: json(answer) } };
}

const sampleBody = {
  description:
    'Rows, in the format that Content-Type names; octets and .npy have the dtype of the series. Irregular series have a time in each row',
  required: true,
  content: {
    ...Object.fromEntries(BODY_MEDIA_TYPES.map((mediaType) => [mediaType, binary(mediaType)])),
    ...json(samplesBody),
    [WIRE_FORMATS.csv.mediaType]: { schema: z.string(), example: 'time,MLII,V5\n2026-05-01T09:00:00Z,12,14\n' },
    [WIRE_FORMATS.ndjson.mediaType]: {
      schema: z.string(),
      example: '{"time":"2026-05-01T09:00:00Z","values":[12,14]}\n',
    },
  },
};

export const sampleDescriptions: ZodOpenApiPathsObject = describeBoth('/samples', ({ path, by, query }) => ({
  post: {
    operationId: `appendSamples${by}`,
    tags: ['samples'],
    summary: 'Append rows',
    description:
      'A body that is cut off stores nothing. Columns of CSV and Arrow are found by their labels, compared in NFC. A channel called `time` has the column `time_`, and a channel called `time_` the column `time__`.',
    requestParams: { path, query: query(appendQuery), header: bodyHeaders },
    requestBody: sampleBody,
    responses: {
      ...writeResponses(201, 'The rows are durable, and readers see them', appendAnswer),
      ...problems(404, 408, 409, 413, 415, 422, 507),
    },
  },
  put: {
    operationId: `replaceSamples${by}`,
    tags: ['samples'],
    summary: 'Replace the rows of a range of time',
    description:
      'Regular series: the body has exactly the rows of the range, removed ones among them, which it fills again. Irregular series: any rows with times in the range. A body that is cut off changes nothing.',
    requestParams: { path, query: query(replaceQuery), header: bodyHeaders },
    requestBody: sampleBody,
    responses: {
      ...writeResponses(200, 'The rows are replaced', appendAnswer),
      ...problems(404, 408, 409, 413, 415, 422, 507),
    },
  },
  delete: {
    operationId: `removeSamples${by}`,
    tags: ['samples'],
    summary: 'Remove the rows of a range of time',
    description: 'The rows that are left keep their numbers and times: what is removed is a gap.',
    requestParams: { path, query: query(removeQuery), header: z.object(writeHeaders) },
    responses: {
      ...writeResponses(200, 'The rows are removed', removeAnswer),
      ...problems(404, 409, 422, 507),
    },
  },
  get: {
    operationId: `readSamples${by}`,
    tags: ['samples'],
    summary: 'Read rows by time or by number, or an overview of them',
    description: BUCKETS_DESCRIPTION,
    requestParams: { path, query: query(anyReadQuery), header: readHeaders },
    responses: {
      200: {
        description: 'The rows. An answer that cannot be completed is cut off, never ended short.',
        headers: {
          ...CACHED,
          'X-Varve-Rows': header('Rows of this answer'),
          'X-Varve-First-Row': header(
            'Number of the first of them in the series; absent of an irregular one, whose rows have none that lasts',
          ),
          'X-Varve-Dtype': header('Number type of the values sent'),
          'X-Varve-Channels': header(
            `Labels, percent-encoded, comma-separated; left out beyond ${MAX_LABELS_HEADER_CHARS} characters`,
          ),
          'X-Varve-Commit': header('State of the series that was read'),
          Link: header('rel="next": the rest, where the answer was cut at the limit'),
        },
        content: {
          ...Object.fromEntries(ANSWER_MEDIA_TYPES.map((mediaType) => [mediaType, binary(mediaType)])),
          ...json(z.union([samplesAnswer, bucketsAnswer, lineAnswer])),
        },
      },
      206: {
        description: 'The part of the answer that Range names',
        headers: { ...CACHED, 'Content-Range': header('Which bytes, and of how many') },
        content: Object.fromEntries(DIVISIBLE.map((mediaType) => [mediaType, binary(mediaType)])),
      },
      304: { description: 'If-None-Match names the present state: nothing has changed', headers: CACHED },
      416: {
        description: 'Range lies outside the answer',
        headers: { 'Content-Range': header('How many bytes there are') },
        content: { [PROBLEM_MEDIA_TYPE]: { schema: problemDocument } },
      },
      ...problems(404, 406, 422, 507),
    },
  },
}));
