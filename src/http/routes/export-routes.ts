/** Exports: asked for, watched, fetched, given up. */
import { stat } from 'node:fs/promises';
import express, { type Request, type Response, type Router } from 'express';
import { z } from 'zod';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import { VarveError } from '../../core/errors.ts';
import type { ExportService, DoneFile } from '../../flows/export/export-service.ts';
import { bodyOf, jsonBody } from '../body/json-body.ts';
import { needs, principalOf } from '../request/authenticate.ts';
import { nextLink, openCursor } from '../request/cursor.ts';
import { json, problems } from '../request/operation.ts';
import { refuseRange } from '../request/range-refusal.ts';
import { pathId } from '../request/path-id.ts';
import { queryOf } from '../request/query.ts';
import {
  exportAnswer,
  exportCreate,
  exportPage,
  exportsQuery,
  toExportAnswer,
  toExportRequest,
} from '../wire/exports-schema.ts';
import { idOf, noQuery, uuid } from '../wire/scalars.ts';

const NOUN = 'export';

export function exportRoutes(exports: ExportService): Router {
  const router = express.Router({ caseSensitive: true });

  router.post('/v1/exports', needs('read'), jsonBody(), async (req, res) => {
    queryOf(req, noQuery);
    const request = toExportRequest(bodyOf(req, exportCreate), req.body, principalOf(res));
    const made = toExportAnswer(await exports.create(request));
    res.status(202).set('Location', `/v1/exports/${made.id}`).json(made);
  });

  router.get('/v1/exports', needs('read'), async (req, res) => {
    const { limit, cursor } = queryOf(req, exportsQuery);
    const after = openCursor(req.originalUrl, cursor, uuid);
    const page = await exports.list(principalOf(res), { limit, after });
    const next = page.after === null ? null : nextLink(req.originalUrl, page.after);
    res.json({ items: page.items.map(toExportAnswer), next });
  });

  router.get('/v1/exports/:id', needs('read'), async (req, res) => {
    queryOf(req, noQuery);
    res.json(toExportAnswer(await exports.get(principalOf(res), pathId(req, NOUN))));
  });

  router.delete('/v1/exports/:id', needs('read'), async (req, res) => {
    queryOf(req, noQuery);
    await exports.delete(principalOf(res), pathId(req, NOUN));
    res.status(204).end();
  });

  router.get('/v1/exports/:id/file', needs('read'), async (req, res) => {
    queryOf(req, noQuery);
    const id = pathId(req, NOUN);
    await sendFile(req, res, await exports.file(principalOf(res), id), `"${id}"`);
  });

  return router;
}

/** Sends a file that never changes, with Range, HEAD and If-None-Match. */
function sendFile(req: Request, res: Response, { path, name, mediaType }: DoneFile, tag: string): Promise<void> {
  res.attachment(name).type(mediaType);
  // Compressed on the way it would have neither its length nor its tag.
  res.set('ETag', tag).set('Cache-Control', 'private, no-cache, no-transform');
  return new Promise((resolve, reject) => {
    res.sendFile(path, { dotfiles: 'allow', lastModified: false, cacheControl: false }, (error) => {
      const { status, code } = (error ?? {}) as { status?: number; code?: string };
      if (!error || code === 'ECONNABORTED' || code === 'ECONNRESET') return resolve();
      if (res.headersSent) return reject(error);
      for (const header of ['Content-Disposition', 'Content-Type', 'ETag']) res.removeHeader(header);
      if (status === 404)
        return reject(new VarveError('gone', 'the file is kept for a day, and is gone', { slug: 'export-gone' }));
      if (status !== 416) return reject(error);
      stat(path).then(({ size }) => resolve(refuseRange(req, res, size)), reject);
    });
  });
}

export const exportDescriptions: ZodOpenApiPathsObject = {
  '/v1/exports': {
    post: {
      operationId: 'createExport',
      tags: ['samples'],
      summary: 'Make a file of series in the background: EDF+, WFDB, or one file for each series',
      description:
        'Refused at once (`would-lose`) where the format has no place for samples, times, labels or calibration, with what that is. `notes` says what else of the series is not in the file.',
      requestBody: { description: 'What is to be in the file', required: true, content: json(exportCreate) },
      responses: {
        202: { description: 'It is being made', content: json(exportAnswer) },
        ...problems(404, 413, 415, 422),
      },
    },
    get: {
      operationId: 'listExports',
      tags: ['samples'],
      summary: 'List exports of the token; of all tokens with scope admin',
      description: 'Newest first. Each is there for a day.',
      requestParams: { query: exportsQuery },
      responses: { 200: { description: 'One page, newest first', content: json(exportPage) }, ...problems() },
    },
  },
  '/v1/exports/{id}': {
    get: {
      operationId: 'getExport',
      tags: ['samples'],
      summary: 'Ask how far an export is',
      description: 'One whose process has ended has failed (`interrupted`): ask for the file once more.',
      requestParams: { path: z.object({ id: idOf(NOUN) }) },
      responses: { 200: { description: 'How far it is', content: json(exportAnswer) }, ...problems(404) },
    },
    delete: {
      operationId: 'deleteExport',
      tags: ['samples'],
      summary: 'Give an export up, or remove its file',
      description: 'One that is being made ends within seconds.',
      requestParams: { path: z.object({ id: idOf(NOUN) }) },
      responses: { 204: { description: 'Deleted' }, ...problems(404) },
    },
  },
  '/v1/exports/{id}/file': {
    get: {
      operationId: 'getExportFile',
      tags: ['samples'],
      summary: 'Fetch the file of an export, whole or a Range of it',
      description: 'It never changes; its ETag is strong. Before it is done the answer is 409 (`export-unfinished`).',
      requestParams: { path: z.object({ id: idOf(NOUN) }) },
      responses: {
        200: {
          description: 'The file',
          content: { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } },
        },
        206: {
          description: 'The part that Range names',
          content: { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } },
        },
        ...problems(404, 409, 410),
      },
    },
  },
};
