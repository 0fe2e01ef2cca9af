/** Answers of buckets instead of rows. */
import type { Request, RequestHandler, Response } from 'express';
import { invalidField } from '../../core/errors.ts';
import { BUCKET_FORMATS } from '../../flows/overview/print-overview.ts';
import { openRange } from '../../core/time.ts';
import type { BucketRequest, OverviewService } from '../../flows/overview/overview-service.ts';
import type { SeriesService } from '../../flows/series/series-service.ts';

import { principalOf } from '../request/authenticate.ts';
import { disconnectSignal } from '../body/disconnect.ts';
import { bucketsTag, isKnownTo } from '../body/entity-tag.ts';
import { formatToSend } from '../body/negotiate.ts';
import { searchParamsOf } from '../request/query.ts';
import { addressOf } from '../request/series-address.ts';
import {
  everyQuery,
  ANSWER_KINDS,
  NOT_WITH,
  pointsQuery,
  toWantedEvery,
  toWantedPoints,
} from '../wire/overview-schema.ts';
import { toChannels, toPhysicalWish } from '../wire/samples-schema.ts';

/**
 * The kind of answer that a request asks for, which is the parameter that says so; null: rows. @throws invalid-input
 * naming a parameter that does not go with it
 */
export function answerKindOf(req: Pick<Request, 'originalUrl'>): (typeof ANSWER_KINDS)[number] | null {
  const params = searchParamsOf(req.originalUrl);
  const [kind, another] = ANSWER_KINDS.filter((name) => params.has(name));
  if (!kind) return null;
  if (another) throw invalidField(another, `excludes ${kind}`);
  const excluded = (kind === 'latest' ? [...NOT_WITH, 'start', 'end'] : NOT_WITH).find((name) => params.has(name));
  if (excluded) throw invalidField(excluded, `excludes ${kind}`);
  return kind;
}

/** Answers requests with `points` or `every`, and leaves others to the next handler. */
export function answerBuckets(samples: OverviewService, series: Pick<SeriesService, 'get'>): RequestHandler {
  return async (req, res, next) => {
    const kind = answerKindOf(req);
    if (kind === null || kind === 'latest') {
      next();
      return;
    }
    const signal = disconnectSignal(res);
    const lists = ['channels', 'agg'];
    const asked =
      kind === 'points'
        ? (({ ref, query }) => ({ ref, query, wanted: toWantedPoints(query) }))(addressOf(req, pointsQuery, lists))
        : (({ ref, query }) => ({ ref, query, wanted: toWantedEvery(query) }))(addressOf(req, everyQuery, lists));
    const { ref, query, wanted } = asked;
    const format = query.format ?? formatToSend(req, BUCKET_FORMATS);
    const principal = principalOf(res);
    const tagOf = (state: { version: number; commit: bigint }): string => bucketsTag(state, req.originalUrl, format);
    const ifNoneMatch = req.get('if-none-match');
    if (ifNoneMatch !== undefined) {
      const tag = tagOf(await series.get(principal, ref));
      if (isKnownTo(ifNoneMatch, tag)) {
        setHeaders(res, tag);
        res.status(304).end();
        return;
      }
    }
    const request: BucketRequest = {
      principal,
      ref,
      wanted,
      format,
      channels: toChannels(query),
      ...toPhysicalWish(query),
      signal,
      ...openRange(query),
    };
    const answer = await samples.buckets(request);
    if (res.closed) answer.release();
    else res.once('close', () => answer.release());
    setHeaders(res, tagOf(answer));
    res.set('X-Varve-Commit', String(answer.commit));
    res.set('Content-Type', answer.mediaType);
    res.set('Content-Length', String(answer.body.byteLength));
    res.end(req.method === 'HEAD' ? undefined : answer.body);
  };
}

function setHeaders(res: Response, tag: string): void {
  res.vary('Accept');
  res.vary('Accept-Encoding');
  res.set('ETag', tag);
  res.set('Cache-Control', 'private, no-cache');
}
