/** Sealing series, and opening them again. */
import type { Router } from 'express';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import type { StateService } from '../../flows/close/seal-service.ts';
import type { SeriesService } from '../../flows/series/series-service.ts';
import { needs, principalOf } from '../request/authenticate.ts';
import { disconnectSignal } from '../body/disconnect.ts';
import { insistsOnVersion } from '../body/entity-tag.ts';
import { problems } from '../request/operation.ts';
import { addressOf, describeBoth, seriesPaths, seriesRouter } from '../request/series-address.ts';
import { CHANGED_SERIES, ifMatch, sendSeries } from './series-routes.ts';
import { noQuery } from '../wire/scalars.ts';

export function stateRoutes(state: StateService, series: Pick<SeriesService, 'get'>): Router {
  const router = seriesRouter();

  for (const change of ['seal', 'unseal'] as const) {
    router.post(seriesPaths(`/${change}`), needs('write'), async (req, res) => {
      const signal = disconnectSignal(res);
      const { ref } = addressOf(req, noQuery);
      const current = await series.get(principalOf(res), ref);
      const ifVersion = insistsOnVersion(req.get('if-match'), current) ? current.version : undefined;
      sendSeries(res, await state[change](principalOf(res), current.id, { ifVersion, signal }));
    });
  }

  return router;
}

export const stateDescriptions: ZodOpenApiPathsObject = {
  ...describeBoth('/seal', ({ path, by, query }) => ({
    post: {
      operationId: `sealSeries${by}`,
      tags: ['series'],
      summary: 'Let a series take no more samples, and hash those it has',
      description: `From then on appends, replacements and removals are refused with 409 (\`series-sealed\`); metadata and annotations may still change.
The answer waits until the writes that were acknowledged before are visible and all samples have been read once. It has the SHA-256 of what a plain read of
the whole series gives: \`content_hash\`. Asked again, it is answered at once; if the service ended in between, the hash is computed then. Retention rules go
on: \`content_hash.commit\` is then older than \`commit\`.`,
      requestParams: { path, query: query(noQuery), header: ifMatch },
      responses: {
        200: CHANGED_SERIES,
        ...problems(404, 409, 412, 413),
      },
    },
  })),
  ...describeBoth('/unseal', ({ path, by, query }) => ({
    post: {
      operationId: `unsealSeries${by}`,
      tags: ['series'],
      summary: 'Let a sealed series take samples again',
      description: 'Its hash is forgotten, but for the history of the series.',
      requestParams: { path, query: query(noQuery), header: ifMatch },
      responses: {
        200: CHANGED_SERIES,
        ...problems(404, 412),
      },
    },
  })),
};
