/** Imports: files of the server, or uploads, that become series. */
import { createHash } from 'node:crypto';
import express, { type Request, type Router } from 'express';
import { z } from 'zod';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import type { ImportService } from '../../flows/import/import-service.ts';
import { disconnectSignal } from '../body/disconnect.ts';
import { EVENT_MEDIA_TYPES, eventFormatOf, sendEvents, type OutEvent } from '../body/event-stream.ts';
import { bodyOf, jsonBody } from '../body/json-body.ts';
import { mayRead, needs, principalOf, stillPrincipalOf } from '../request/authenticate.ts';
import { nextLink, openCursor } from '../request/cursor.ts';
import { KEY_HEADER, onceOf } from '../request/idempotency-key.ts';
import { json, problems } from '../request/operation.ts';
import { pathId } from '../request/path-id.ts';
import { queryOf } from '../request/query.ts';
import {
  importAnswer,
  importCreate,
  importPage,
  importPosition,
  importReceipt,
  importsQuery,
  toImportAnswer,
  toImportRequest,
} from '../wire/imports-schema.ts';
import { idOf, noQuery } from '../wire/scalars.ts';

const ALL_IMPORTS = '/v1/imports';
const ONE_IMPORT = `${ALL_IMPORTS}/:id`;

/** These come before what compresses answers: events are sent one by one. */
export function importEventRoutes(imports: ImportService): Router {
  const router = express.Router({ caseSensitive: true });
  router.get(`${ONE_IMPORT}/events`, needs('read'), async (req, res) => {
    queryOf(req, noQuery);
    const format = eventFormatOf(req, EVENT_MEDIA_TYPES);
    const id = pathId(req, 'import');
    await sendEvents(req, res, format, outEvents(imports.follow(stillPrincipalOf(res), id, disconnectSignal(res))));
  });
  return router;
}

async function* outEvents(states: ReturnType<ImportService['follow']>): AsyncGenerator<OutEvent> {
  for await (const state of states) {
    yield { event: state.state, id: null, data: JSON.stringify(toImportAnswer(state)) };
  }
}

export function importRoutes(imports: ImportService): Router {
  const router = express.Router({ caseSensitive: true });

  router.post(ALL_IMPORTS, needs('write'), jsonBody(), async (req, res) => {
    queryOf(req, noQuery);
    const request = toImportRequest(bodyOf(req, importCreate));
    const once = onceOf(req, () => contentHash(req));
    const { answer, replayed } = await imports.start(principalOf(res), request, once, toImportAnswer);
    if (replayed) res.set('Idempotency-Replayed', 'true');
    res.status(202).set('Location', `${ALL_IMPORTS}/${answer.id}`);
    res.json(mayRead(res) ? answer : { id: answer.id });
  });

  router.get(ALL_IMPORTS, needs('read'), async (req, res) => {
    const { limit, cursor, ...question } = queryOf(req, importsQuery);
    const after = openCursor(req.originalUrl, cursor, importPosition);
    const page = await imports.list(principalOf(res), question, { limit, after });
    const next = page.after === null ? null : nextLink(req.originalUrl, page.after);
    res.json({ items: page.items.map(toImportAnswer), next });
  });

  router.get(ONE_IMPORT, needs('read'), async (req, res) => {
    queryOf(req, noQuery);
    res
      .set('Cache-Control', 'no-store')
      .json(toImportAnswer(await imports.get(principalOf(res), pathId(req, 'import'))));
  });

  router.delete(ONE_IMPORT, needs('write'), async (req, res) => {
    queryOf(req, noQuery);
    const cancelled = await imports.cancel(principalOf(res), pathId(req, 'import'));
    res.json(mayRead(res) ? toImportAnswer(cancelled) : { id: cancelled.id });
  });

  return router;
}

function contentHash(req: Request): Buffer {
  return createHash('sha256')
    .update(`${req.method} ${req.path}\n${JSON.stringify(req.body)}`)
    .digest();
}

const path = z.object({ id: idOf('import') });
const TOLD = {
  description: 'The import; to a token without the scope read, only its id',
  content: json(z.union([importAnswer, importReceipt])),
};

export const importDescriptions: ZodOpenApiPathsObject = {
  [ALL_IMPORTS]: {
    post: {
      operationId: 'startImport',
      tags: ['imports'],
      summary: 'Import files: uploads, or files of the server',
      description: `Answers at once; the import goes on by itself. All that it brings becomes readable by one commit. An import that fails or is cancelled leaves nothing.
The same files with the same options change nothing a second time (\`same_as\`). Files of the server must lie below the folders that \`VARVE_IMPORT_ROOTS\` names.`,
      requestParams: { header: KEY_HEADER },
      requestBody: { description: 'Which files, and how to read them', required: true, content: json(importCreate) },
      responses: {
        202: {
          ...TOLD,
          headers: { Location: { description: 'Path of the import', schema: { type: 'string' } } },
        },
        ...problems(404, 409, 413, 415, 422),
      },
    },
    get: {
      operationId: 'listImports',
      tags: ['imports'],
      summary: 'List imports, newest first',
      description: 'Those of the projects that the token reaches.',
      requestParams: { query: importsQuery },
      responses: { 200: { description: 'One page', content: json(importPage) }, ...problems() },
    },
  },
  [`${ALL_IMPORTS}/{id}`]: {
    get: {
      operationId: 'getImport',
      tags: ['imports'],
      summary: 'Show how far an import is, and what became of it',
      description: 'State, progress and, once it is done, what each file was.',
      requestParams: { path },
      responses: { 200: { description: 'The import', content: json(importAnswer) }, ...problems(404) },
    },
    delete: {
      operationId: 'cancelImport',
      tags: ['imports'],
      summary: 'Cancel an import',
      description: 'Nothing of it is stored. One that has ended is a 409.',
      requestParams: { path },
      responses: { 200: TOLD, ...problems(404, 409) },
    },
  },
  [`${ALL_IMPORTS}/{id}/events`]: {
    get: {
      operationId: 'followImport',
      tags: ['imports'],
      summary: 'Follow an import until it has ended',
      description: 'An event for each change, named by the state; its data is the import as `GET` shows it.',
      requestParams: { path },
      responses: {
        200: {
          description: 'Events, or a JSON object a line',
          content: Object.fromEntries(Object.values(EVENT_MEDIA_TYPES).map((type) => [type, { schema: z.string() }])),
        },
        ...problems(404, 406),
      },
    },
  },
};
