/** Whether the service is alive, can serve, and how it does. */
import express, { type RequestHandler, type Router } from 'express';
import { z } from 'zod';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import type { HealthService, Liveness } from '../../flows/health-service.ts';
import { needsForAll } from '../request/authenticate.ts';
import { json, problems, problemsOnly } from '../request/operation.ts';
import { queryOf } from '../request/query.ts';
import type { Log } from '../request/request-log.ts';
import { noQuery } from '../wire/scalars.ts';

const RETRY_AFTER_S = 2;

/** Probes need no token, so they say which part is away and leave the reason to the log. */
export function healthRoutes(health: HealthService, authenticated: RequestHandler, log: Log): Router {
  const router = express.Router({ caseSensitive: true });

  router.get('/healthz', (req, res) => {
    queryOf(req, noQuery);
    const status = health.alive();
    // An attempt under way is not to be disturbed; one that has failed may need somebody.
    if (status === 'failing') res.status(503).set('Retry-After', String(RETRY_AFTER_S));
    res.set('Cache-Control', 'no-store').json({ status });
  });

  router.get('/readyz', async (req, res) => {
    queryOf(req, noQuery);
    const { ok, checks } = await health.ready();
    if (!ok) {
      log.warn({ checks, requestId: res.locals.requestId, fault: 'away' }, 'not ready');
      res.status(503).set('Retry-After', String(RETRY_AFTER_S));
    }
    const answers = Object.entries(checks).map(([part, { ok, degraded, message }]) => [
      part,
      { ok, degraded, message },
    ]);
    res
      .set('Cache-Control', 'no-store')
      .json({ status: ok ? 'ready' : 'not ready', checks: Object.fromEntries(answers) });
  });

  router.get('/metrics', authenticated, needsForAll('read'), async (req, res) => {
    queryOf(req, noQuery);
    const { contentType, body } = await health.metrics();
    res.set('Content-Type', contentType).end(body);
  });

  return router;
}

function liveness(statuses: readonly Liveness[]) {
  return z.object({ status: z.enum(statuses).meta({ description: 'How the process and its own Postgres are' }) });
}

const readiness = z
  .object({
    status: z.enum(['ready', 'not ready']).meta({ description: 'Whether it can serve' }),
    checks: z
      .record(
        z.string(),
        z.object({
          ok: z.boolean().meta({ description: 'Whether this part answers' }),
          degraded: z.literal(true).optional().meta({ description: 'It serves, but not everything: see the log' }),
          message: z.string().optional().meta({ description: 'What is the matter, and what to do' }),
        }),
      )
      .meta({ description: 'By part: postgres, queue, storage and shards' }),
  })
  .meta({ id: 'Readiness', description: 'Whether the service can serve, part by part' });

export const healthDescriptions: ZodOpenApiPathsObject = {
  '/healthz': {
    get: {
      operationId: 'isAlive',
      tags: ['health'],
      summary: 'Is the process alive',
      description:
        'For whoever restarts a process that hangs: it asks nothing of queue or disk. An embedded Postgres belongs to the process: one that has ended is started again, and until then the status is `restarting`.',
      security: [],
      responses: {
        200: { description: 'It is', content: json(liveness(['ok', 'restarting'])) },
        503: {
          description: 'Its Postgres has ended and does not start: see the log',
          content: json(liveness(['failing'])),
        },
      },
    },
  },
  '/readyz': {
    get: {
      operationId: 'isReady',
      tags: ['health'],
      summary: 'Can it serve: Postgres, queue and storage are tried',
      description: 'For whoever sends requests here or elsewhere.',
      security: [],
      responses: {
        200: { description: 'It can', content: json(readiness) },
        503: { description: 'It cannot; the checks say which part is away', content: json(readiness) },
        ...problemsOnly(500),
      },
    },
  },
  '/metrics': {
    get: {
      operationId: 'getMetrics',
      tags: ['health'],
      summary: 'Measurements in the Prometheus text format',
      description:
        'They are of the whole service: needs the scope read, and a token that is limited to projects is refused.',
      responses: {
        200: { description: 'The metrics', content: { 'text/plain': { schema: z.string() } } },
        ...problems(),
      },
    },
  },
};
