/** What this service is, and the API's description, for programs and for people. They hold no data, so they need no token. */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import express, { type RequestHandler, type Router } from 'express';
import helmet from 'helmet';
import { z } from 'zod';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import { json } from '../request/operation.ts';

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Varve API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="api"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
`;

const WELCOME = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Varve</title>
</head>
<body>
<h1>Varve</h1>
<p>A time-series service for laboratories: metadata in Postgres, samples in HDF5 files, one REST API over both.</p>
<ul>
<li><a href="/docs">The API</a>, to read and to try; <a href="/openapi.json">the same for programs</a></li>
<li><a href="/readyz">Is it ready</a></li>
</ul>
<p>Requests need a token: <code>Authorization: Bearer &lt;token&gt;</code>. The first one is in the file <code>token</code> of the data folder.</p>
</body>
</html>
`;

const START = `window.ui = SwaggerUIBundle({
  url: '/openapi.json',
  dom_id: '#api',
  deepLinking: true,
  validatorUrl: null,
});
`;

/** The files of the package that the page loads; nothing comes from another host. */
const ASSETS = ['swagger-ui.css', 'swagger-ui-bundle.js'];

/** Paths of what the page loads. */
export const DOCS_FILES: readonly string[] = ['/docs/start.js', ...ASSETS.map((asset) => `/docs/${asset}`)];

/** Swagger UI styles its elements inline and draws its icons from data URLs. */
const contentSecurityPolicy = helmet.contentSecurityPolicy({
  useDefaults: false,
  directives: {
    defaultSrc: ["'none'"],
    scriptSrc: ["'self'"],
    styleSrc: ["'self'", "'unsafe-inline'"],
    imgSrc: ["'self'", 'data:'],
    connectSrc: ["'self'"],
    frameAncestors: ["'none'"],
    baseUri: ["'none'"],
    formAction: ["'none'"],
  },
});

/**
 * @param openApi makes the document; asked once, when it is first wanted
 * @param page what browsers are shown in place of the welcome
 */
export function docsRoutes(openApi: () => object, version: string, page: RequestHandler | null = null): Router {
  const router = express.Router({ caseSensitive: true });
  const assets = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));
  let document: string | undefined;

  router.get('/', (req, res, next) => {
    const welcome = {
      name: 'varve',
      version,
      description:
        'A time-series service for laboratories: metadata in Postgres, samples in HDF5 files, one REST API over both',
      docs: '/docs',
      openapi: '/openapi.json',
      ready: '/readyz',
    };
    res.vary('Accept');
    // A client that takes anything is a program: browsers name HTML.
    if (req.accepts(['json', 'html']) !== 'html') res.json(welcome);
    else if (page) void page(req, res, next);
    else res.type('html').send(WELCOME);
  });

  router.get('/openapi.json', (_req, res) => {
    document ??= JSON.stringify(openApi());
    res.type('application/json').send(document);
  });

  router.use('/docs', contentSecurityPolicy);
  router.get('/docs', (_req, res) => {
    res.type('html').send(PAGE);
  });
  router.get('/docs/start.js', (_req, res) => {
    res.type('js').send(START);
  });
  for (const asset of ASSETS) {
    router.get(`/docs/${asset}`, (_req, res) => {
      res.sendFile(join(assets, asset), { maxAge: '1d' });
    });
  }

  return router;
}

const welcomeAnswer = z
  .object({
    name: z.literal('varve').meta({ description: 'What answers here' }),
    version: z.string().meta({ description: 'Its version' }),
    description: z.string().meta({ description: 'What it is for' }),
    docs: z.string().meta({ description: 'Path of the page that describes the API' }),
    openapi: z.string().meta({ description: 'Path of the same for programs' }),
    ready: z.string().meta({ description: 'Path that tells whether it can serve' }),
  })
  .meta({ id: 'Welcome', description: 'What this is, and where it is described' });

export const docsDescriptions: ZodOpenApiPathsObject = {
  '/': {
    get: {
      operationId: 'getWelcome',
      tags: ['docs'],
      summary: 'What this is, and where it is described',
      description: 'A page for browsers, JSON for everybody else.',
      security: [],
      responses: {
        200: {
          description: 'What this is',
          content: { ...json(welcomeAnswer), 'text/html': { schema: { type: 'string' } } },
        },
      },
    },
  },
  '/openapi.json': {
    get: {
      operationId: 'getOpenApi',
      tags: ['docs'],
      summary: 'This document',
      description: 'Made from the schemas that requests are checked with.',
      security: [],
      responses: {
        200: { description: 'OpenAPI 3.1', content: { 'application/json': { schema: { type: 'object' } } } },
      },
    },
  },
  '/docs': {
    get: {
      operationId: 'getDocs',
      tags: ['docs'],
      summary: 'This document as a page',
      description: 'Swagger UI, from this service alone.',
      security: [],
      responses: { 200: { description: 'HTML', content: { 'text/html': { schema: { type: 'string' } } } } },
    },
  },
};
