/** What series and shards take on the disk. */
import type { Router } from 'express';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import type { SpaceService } from '../../flows/compact/space-service.ts';
import { needs, needsAdmin, principalOf } from '../request/authenticate.ts';
import { nextLink, openCursor } from '../request/cursor.ts';
import { json, problems } from '../request/operation.ts';
import { queryOf } from '../request/query.ts';
import { addressOf, describeBoth, seriesPaths, seriesRouter } from '../request/series-address.ts';
import { noQuery } from '../wire/scalars.ts';
import {
  chunkPage,
  chunkPosition,
  chunkQuery,
  shardPage,
  shardPosition,
  shardQuery,
  storageAnswer,
  toChunkAnswer,
  toShardAnswer,
  toStorageAnswer,
} from '../wire/space-schema.ts';

export function spaceRoutes(space: SpaceService): Router {
  const router = seriesRouter();

  router.get(seriesPaths('/storage'), needs('read'), async (req, res) => {
    const { ref } = addressOf(req, noQuery);
    res.json(toStorageAnswer(await space.ofSeries(principalOf(res), ref)));
  });

  router.get(seriesPaths('/chunks'), needs('read'), async (req, res) => {
    const { ref, query } = addressOf(req, chunkQuery);
    const after = openCursor(req.originalUrl, query.cursor, chunkPosition);
    const page = await space.chunks(principalOf(res), ref, { limit: query.limit, after });
    res.json({ items: page.items.map(toChunkAnswer), next: page.after && nextLink(req.originalUrl, page.after) });
  });

  router.get('/v1/shards', needsAdmin, async (req, res) => {
    const { limit, cursor } = queryOf(req, shardQuery);
    const page = await space.shards({ limit, after: openCursor(req.originalUrl, cursor, shardPosition) });
    const next = page.after === null ? null : nextLink(req.originalUrl, page.after);
    res.json({ items: page.items.map(toShardAnswer), next });
  });

  return router;
}

export const spaceDescriptions: ZodOpenApiPathsObject = {
  ...describeBoth('/storage', ({ path, by, query }) => ({
    get: {
      operationId: `getSeriesStorage${by}`,
      tags: ['space'],
      summary: 'What a series takes on the disk',
      description: 'Removed and expired rows count until compaction has dropped them.',
      requestParams: { path, query: query(noQuery) },
      responses: { 200: { description: 'Its bytes', content: json(storageAnswer) }, ...problems(404) },
    },
  })),
  ...describeBoth('/chunks', ({ path, by, query }) => ({
    get: {
      operationId: `listChunks${by}`,
      tags: ['space'],
      summary: 'The chunks of a series, with their checksums',
      description: 'Where each lies. Reads compare every chunk with its checksum, and `varve verify` compares all.',
      requestParams: { path, query: query(chunkQuery) },
      responses: { 200: { description: 'One page, in the order of rows', content: json(chunkPage) }, ...problems(404) },
    },
  })),
  '/v1/shards': {
    get: {
      operationId: 'listShards',
      tags: ['space'],
      summary: 'The files that hold samples (scope admin)',
      description: 'Every shard is an HDF5 file that opens without Varve.',
      requestParams: { query: shardQuery },
      responses: {
        200: { description: 'One page, in the order they were made', content: json(shardPage) },
        ...problems(),
      },
    },
  },
};
