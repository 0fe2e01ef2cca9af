/** Series: create, find, show, change, delete, restore. */
import { createHash } from 'node:crypto';
import type { Request, Response, Router } from 'express';
import { z } from 'zod';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import type { LastValue, Series } from '../../core/signal/series.ts';
import { RESTORE_DAYS } from '../../core/upkeep/retention.ts';
import type { Expression } from '../../core/tags/tag-expression.ts';
import { parseTagParameter } from '../../core/tags/tag-parameters.ts';
import type { SeriesService } from '../../flows/series/series-service.ts';
import type { TableService } from '../../flows/table/table-service.ts';
import { readUnit } from '../../flows/series/tag-units.ts';
import { mayRead, needs, principalOf } from '../request/authenticate.ts';
import { makeCursor, nextLink, openCursor, openCursorOf } from '../request/cursor.ts';
import { entityTag, insistsOnVersion, isKnownTo } from '../body/entity-tag.ts';
import { KEY_HEADER, onceOf } from '../request/idempotency-key.ts';
import { bodyOf, jsonBody } from '../body/json-body.ts';
import { json, problems } from '../request/operation.ts';
import { queryOf, refuseNul, searchParamsOf } from '../request/query.ts';
import { addressOf, describeBoth, seriesPaths, seriesRouter } from '../request/series-address.ts';
import { noQuery } from '../wire/scalars.ts';
import {
  fromSearchBody,
  questionOf,
  SEARCH_EXAMPLE,
  searchBody,
  searchPage,
  searchPosition,
  seriesPage,
  seriesQuery,
  toSearchAnswer,
  toSearchRequest,
} from '../wire/search-schema.ts';
import {
  includeQuery,
  newSeries,
  seriesAnswer,
  seriesCreate,
  seriesPatch,
  seriesReceipt,
  toSeriesAnswer,
  toSeriesPatch,
  toSeriesReceipt,
} from '../wire/series-schema.ts';

const TAG_PREFIX = 'tag.';
/** Parameters that may be repeated. */
const LISTS = ['sort', 'facets'];

export function seriesRoutes(series: SeriesService, samples: Pick<TableService, 'lastValues'>): Router {
  const router = seriesRouter();

  router.post('/v1/series', needs('write'), jsonBody(), async (req, res) => {
    queryOf(req, noQuery);
    const input = newSeries(bodyOf(req, seriesCreate));
    const once = onceOf(req, () => contentHash(req));
    const { answer, replayed } = once
      ? await series.createOnce(principalOf(res), input, once, toSeriesAnswer)
      : { answer: toSeriesAnswer(await series.create(principalOf(res), input)), replayed: false };
    if (replayed) res.set('Idempotency-Replayed', 'true');
    const { id, version, commit } = answer;
    res
      .status(201)
      .location(`/v1/series/${id}`)
      .set('ETag', entityTag({ version, commit: BigInt(commit) }))
      .json(answer);
  });

  router.get('/v1/series', needs('read'), async (req, res) => {
    const query = queryOf(req, seriesQuery, { lists: LISTS, skip: (name) => name.startsWith(TAG_PREFIX) });
    const after = openCursor(req.originalUrl, query.cursor, searchPosition);
    const page = await series.search(principalOf(res), toSearchRequest(query, tagConditions(req), after));
    const next = page.after && nextLink(req.originalUrl, page.after);
    const last = query.include && (await samples.lastValues(principalOf(res), page.items));
    res.json({ ...toSearchAnswer(page, last), next });
  });

  router.post('/v1/series/search', needs('read'), jsonBody(), async (req, res) => {
    queryOf(req, noQuery);
    const body = bodyOf(req, searchBody);
    const question = questionOf(body);
    const after = openCursorOf(question, body.cursor, searchPosition);
    const page = await series.search(principalOf(res), fromSearchBody(body, after));
    const cursor = page.after && makeCursor(question, page.after);
    const last = body.include.length > 0 ? await samples.lastValues(principalOf(res), page.items) : undefined;
    res.json({ ...toSearchAnswer(page, last), cursor });
  });

  router.get(seriesPaths(''), needs('read'), async (req, res) => {
    const { ref, query } = addressOf(req, includeQuery);
    const found = await series.get(principalOf(res), ref);
    const tag = entityTag(found);
    if (isKnownTo(req.get('if-none-match'), tag)) {
      res.status(304).set('ETag', tag).end();
      return;
    }
    const [last] = query.include ? await samples.lastValues(principalOf(res), [found]) : [];
    sendSeries(res, found, last);
  });

  router.patch(seriesPaths(''), needs('write'), jsonBody(), async (req, res) => {
    const { ref } = addressOf(req, noQuery);
    const patch = toSeriesPatch(bodyOf(req, seriesPatch));
    const current = await series.get(principalOf(res), ref);
    const version = insistsOnVersion(req.get('if-match'), current) ? current.version : undefined;
    sendSeries(res, await series.update(principalOf(res), current.id, patch, version));
  });

  router.delete(seriesPaths(''), needs('write'), async (req, res) => {
    const { ref } = addressOf(req, noQuery);
    const current = await series.get(principalOf(res), ref);
    insistsOnVersion(req.get('if-match'), current);
    await series.delete(principalOf(res), current.id);
    res.status(204).end();
  });

  router.post(seriesPaths('/restore'), needs('write'), async (req, res) => {
    const { ref } = addressOf(req, noQuery);
    sendSeries(res, await series.restore(principalOf(res), ref));
  });

  return router;
}

function contentHash(req: Request): Buffer {
  return createHash('sha256')
    .update(`${req.method} ${req.path}\n${JSON.stringify(req.body)}`)
    .digest();
}

/** What a series is now; whoever may not read is told only that it was changed. */
export function sendSeries(res: Response, series: Series, last?: LastValue | null): void {
  res.set('ETag', entityTag(series)).json(mayRead(res) ? toSeriesAnswer(series, last) : toSeriesReceipt(series));
}

function tagConditions(req: Request): Expression[] {
  const tags = [...searchParamsOf(req.originalUrl)].filter(([name]) => name.startsWith(TAG_PREFIX));
  return tags.map(([name, text]) => {
    refuseNul(name, text);
    return parseTagParameter(name, text, readUnit);
  });
}

export const ETAG = {
  ETag: { description: 'Version of the metadata and commit of the samples', schema: { type: 'string' as const } },
};
export const ifMatch = z.object({
  'If-Match': z.string().optional().meta({ description: 'Refuse unless the metadata still have this entity tag' }),
});

/** The answer of {@link sendSeries} to a change. */
export const CHANGED_SERIES = {
  description: 'The series; to a token without the scope read, only its id and version',
  headers: ETAG,
  content: json(z.union([seriesAnswer, seriesReceipt])),
};

export const seriesDescriptions: ZodOpenApiPathsObject = {
  '/v1/series': {
    post: {
      operationId: 'createSeries',
      tags: ['series'],
      summary: 'Create a series',
      description: 'Only `name`, `dtype` and `sampling` are needed. A name that the project has already is a 409.',
      requestParams: { header: KEY_HEADER },
      requestBody: { description: 'What it is', required: true, content: json(seriesCreate) },
      responses: {
        201: {
          description: 'The series',
          headers: { ...ETAG, Location: { description: 'Path of the series', schema: { type: 'string' } } },
          content: json(seriesAnswer),
        },
        ...problems(404, 409, 413, 415, 422, 507),
      },
    },
    get: {
      operationId: 'searchSeries',
      tags: ['series'],
      summary: 'Find series by tags and other metadata',
      description: `Each condition on a tag is a parameter of its own: \`tag.<key>=<value>\`, or with an operator \`tag.<key>[op]=<value>\`. All of them must hold.
Operators are eq, ne, in (values separated by commas), exists (true or false), prefix, contains, regex, gt, gte, lt and lte.
A key that has brackets needs an operator behind it: \`tag.a[b][eq]=x\`. Names, keys and texts are compared in NFC.
A value matches in every type that it can be read as. So \`61\` finds the number and the text, and \`5 mV\` the quantity, in whatever unit it was given.
\`ne\` and \`exists=false\` hold for a series without the tag, too. Where a tag is a list, one of its values has to match. Examples:

- \`/v1/series?tag.species=mouse&tag.age_days[gte]=60&sort=-last_time\`
- \`/v1/series?tag.depth[lt]=0.5 mm&tag.region[in]=V1,V2&facets=species,region\`
- \`/v1/series?q=open field&overlaps=2026-05-01,2026-06-01&unit=mV\``,
      requestParams: { query: seriesQuery },
      responses: { 200: { description: 'One page', content: json(seriesPage) }, ...problems(422) },
    },
  },
  '/v1/series/search': {
    post: {
      operationId: 'searchSeriesByExpression',
      tags: ['series'],
      summary: 'Find series by an expression',
      description: `The same as \`GET /v1/series\` with and, or and not. \`ne\` and \`not\` hold for series that do not have the tag
or field, as in pandas. Only values of one type are compared: a number is not a text of digits, and a quantity compares with quantities of its dimension.
Bounds in one condition (\`{"tag": "age_days", "gte": 60, "lt": 90}\`, or as \`"range"\`) must hold for one and the same value. \`overlaps\` looks into
the gaps of regular series. An error names its place, such as \`where.and[1].range.gte\`.`,
      requestBody: {
        description: 'The expression, and how to answer',
        required: true,
        content: {
          'application/json': {
            schema: searchBody,
            examples: {
              tree: { summary: 'and, or, not, quantities and time', value: SEARCH_EXAMPLE },
              patterns: {
                summary: 'texts',
                value: {
                  where: {
                    and: [
                      { text: 'open field' },
                      { tag: 'subject', prefix: 'm-1' },
                      { field: 'name', regex: '^lab/[a-z]+-[0-9]+$' },
                      { tag: 'region', in: ['V1', 'V2'] },
                    ],
                  },
                  sort: ['tag.age_days', 'name'],
                },
              },
              wired: {
                summary: 'by what a channel says, where it comes from, and what others call it',
                value: {
                  where: {
                    and: [
                      { has_channel: { location: 'V1, layer 4', bad: false } },
                      {
                        or: [
                          { field: 'subject', eq: 'm-12' },
                          { field: 'external_id', eq: '000123' },
                        ],
                      },
                      { field: 'state', eq: 'sealed' },
                    ],
                  },
                },
              },
              annotated: {
                summary: 'with a mark on the time line',
                value: {
                  where: {
                    has_annotation: { label: 'seizure', overlaps: ['2026-05-01T00:00:00Z', '2026-05-02T00:00:00Z'] },
                  },
                },
              },
            },
          },
        },
      },
      responses: { 200: { description: 'One page', content: json(searchPage) }, ...problems(413, 415, 422) },
    },
  },
  ...describeBoth('/restore', ({ path, by, query }) => ({
    post: {
      operationId: `restoreSeries${by}`,
      tags: ['series'],
      summary: 'Undo the deletion of a series',
      description: `Possible for ${RESTORE_DAYS} days. After this deadline the answer is 410 (\`deadline-passed\`); once its samples are gone from the disk, 404. By name it is
the series that was deleted last under this name. A name that was given away since is a 409.`,
      requestParams: { path, query: query(noQuery) },
      responses: {
        200: CHANGED_SERIES,
        ...problems(404, 409, 410),
      },
    },
  })),
  ...describeBoth('', ({ path, by, query }) => ({
    get: {
      operationId: `getSeries${by}`,
      tags: ['series'],
      summary: 'Show a series',
      description: 'What it is, how many rows it has and from when to when.',
      requestParams: { path, query: query(includeQuery) },
      responses: {
        200: { description: 'The series', headers: ETAG, content: json(seriesAnswer) },
        304: { description: 'If-None-Match names the current entity tag' },
        ...problems(404),
      },
    },
    patch: {
      operationId: `updateSeries${by}`,
      tags: ['series'],
      summary: 'Change the metadata of a series',
      description:
        'A JSON merge patch (RFC 7396): null removes a tag, an external id, a key of the provenance or a text. What is not named stays. Every change is in the history.',
      requestParams: { path, query: query(noQuery), header: ifMatch },
      requestBody: {
        description: 'A JSON merge patch (RFC 7396): what is to change',
        required: true,
        content: json(seriesPatch),
      },
      responses: {
        200: CHANGED_SERIES,
        ...problems(404, 409, 412, 413, 415, 422),
      },
    },
    delete: {
      operationId: `deleteSeries${by}`,
      tags: ['series'],
      summary: `Delete a series; can be undone for ${RESTORE_DAYS} days`,
      description: 'It is found no more, and neither are its samples. Its name is free again.',
      requestParams: { path, query: query(noQuery), header: ifMatch },
      responses: { 204: { description: 'Deleted' }, ...problems(404, 412) },
    },
  })),
};
