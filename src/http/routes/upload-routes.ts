/**
 * Uploads: files that are brought to be imported, piece by piece, or a small one at once.
 * @see https://tus.io/protocols/resumable-upload (version 1.0.0)
 */
import { Readable } from 'node:stream';
import type { ReadableStream } from 'node:stream/web';
import { FileStore } from '@tus/file-store';
import { Metadata, Server } from '@tus/server';
import express, { type Request as ExpressRequest, type Response as ExpressResponse, type Router } from 'express';
import { z } from 'zod';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import { invalidField, isVarveError, VarveError } from '../../core/errors.ts';
import { DEFAULT_PROJECT } from '../../core/signal/series.ts';
import type { UploadService } from '../../flows/import/upload-service.ts';
import { openRequestBody } from '../body/request-body.ts';
import { needs, principalOf } from '../request/authenticate.ts';
import { json, problems } from '../request/operation.ts';
import { queryOf } from '../request/query.ts';
import { codeOfStatus } from '../wire/error-status.ts';
import { name, noQuery } from '../wire/scalars.ts';

const ALL_UPLOADS = '/v1/uploads';
const ONE_UPLOAD = `${ALL_UPLOADS}/:id`;
const TUS = 'Tus-Resumable';
/** What the protocol calls a request without an offset or a type for its bytes: malformed, and no matter of rights. */
const MALFORMED = 403;

/** What the protocol's clients may ask before they have a token. */
export function uploadOptions(uploads: Pick<UploadService, 'maxBytes'>): Router {
  const router = express.Router({ caseSensitive: true });
  router.options([ALL_UPLOADS, ONE_UPLOAD], (_req, res, next) => {
    res.set({
      [TUS]: '1.0.0',
      'Tus-Version': '1.0.0',
      'Tus-Extension': 'creation,creation-with-upload,creation-defer-length,termination,expiration',
      'Tus-Max-Size': String(uploads.maxBytes),
    });
    next();
  });
  return router;
}

export function uploadRoutes(uploads: UploadService): Router {
  const router = express.Router({ caseSensitive: true });
  const server = new Server({
    path: ALL_UPLOADS,
    relativeLocation: true,
    maxSize: uploads.maxBytes,
    datastore: new FileStore({ directory: uploads.folder, expirationPeriodInMilliseconds: uploads.keptMs }),
    allowedOrigins: [],
  });

  router.post(ALL_UPLOADS, needs('write'), async (req, res) => {
    if (req.get(TUS) === undefined) {
      const file = queryOf(req, uploadQuery);
      const length = req.get('content-length');
      const body = openRequestBody(req, uploads.maxBytes);
      const declared = length === undefined || req.get('content-encoding') !== undefined ? null : Number(length);
      const { id, bytes } = await uploads.receive(
        principalOf(res),
        { name: file.filename, project: file.project },
        body,
        declared,
      );
      res.status(201).location(`${ALL_UPLOADS}/${id}`).json({ id, filename: file.filename, bytes, received: bytes });
      return;
    }
    queryOf(req, noQuery);
    const { filename = '', project } = metadataOf(req);
    if (filename === '') throw invalidField('Upload-Metadata', 'must say the filename');
    const length = req.get('upload-length');
    await uploads.admit(principalOf(res), project, length === undefined ? null : Number(length));
    await passOn(server, req, res, `filename ${base64(filename)},project ${base64(project)}`);
  });

  router.head(ONE_UPLOAD, needs('write'), async (req, res) => {
    await uploads.find(principalOf(res), String(req.params.id));
    await passOn(server, req, res);
  });

  router.get(ONE_UPLOAD, needs('write'), async (req, res) => {
    queryOf(req, noQuery);
    const id = String(req.params.id);
    const { name: filename, bytes, received } = await uploads.find(principalOf(res), id);
    res.json({ id, filename, bytes, received });
  });

  router.patch(ONE_UPLOAD, needs('write'), async (req, res) => {
    await uploads.find(principalOf(res), String(req.params.id));
    await passOn(server, req, res);
  });

  router.delete(ONE_UPLOAD, needs('write'), async (req, res) => {
    await uploads.find(principalOf(res), String(req.params.id));
    await passOn(server, req, res, undefined, { [TUS]: '1.0.0' });
  });

  return router;
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

/** @throws invalid-input naming the header */
function metadataOf(req: ExpressRequest): { filename?: string; project: string } {
  const header = req.get('upload-metadata');
  try {
    const { filename, project } = header === undefined ? {} : Metadata.parse(header);
    const parsed = name.safeParse(project ?? DEFAULT_PROJECT);
    if (!parsed.success) throw invalidField('Upload-Metadata', 'has a project that is no name');
    return { ...(filename && { filename }), project: parsed.data };
  } catch (error) {
    if (isVarveError(error)) throw error;
    throw invalidField('Upload-Metadata', 'must be pairs of a key and a value in Base64, with commas between them');
  }
}

/**
 * Lets the protocol's server answer; a refusal of it becomes a problem document.
 * @param metadata in the place of the client's
 */
async function passOn(
  server: Server,
  req: ExpressRequest,
  res: ExpressResponse,
  metadata?: string,
  more: Readonly<Record<string, string>> = {},
): Promise<void> {
  const headers = new Headers(more);
  for (const [key, value] of Object.entries(req.headers)) {
    // Node joins those that are given twice; what a proxy says of the host is no matter here.
    if (typeof value === 'string' && PASSED_ON.test(key)) headers.set(key, value);
  }
  if (metadata !== undefined) headers.set('upload-metadata', metadata);
  const hasBody = req.method === 'PATCH' || req.method === 'POST';
  const body = hasBody ? Readable.toWeb(Readable.from(openRequestBody(req))) : null;
  const url = new URL(req.originalUrl, 'http://localhost');
  const init = { method: req.method, headers, body: body as ReadableStream<Uint8Array> | null, duplex: 'half' };
  const answer = await server.handleWeb(new Request(url, init as RequestInit));
  if (answer.status >= 400) throw refusal(answer.status, (await answer.text()).trim());
  for (const [key, value] of answer.headers) if (!key.startsWith('access-control-')) res.set(key, value);
  res.status(answer.status).end(answer.status === 204 ? undefined : await answer.text());
}

const PASSED_ON = /^(tus-|upload-|content-type$|content-length$|x-http-method-override$)/;

function refusal(status: number, text: string): Error {
  if (status >= 500) return new Error(`the upload was refused: ${text}`);
  const code = status === MALFORMED ? 'invalid-input' : (codeOfStatus(status) ?? 'invalid-input');
  return new VarveError(code, text);
}

const filename = name.meta({ description: 'Name of the file: what belongs together finds each other by it' });
const uploadQuery = z.strictObject({
  filename,
  project: name.default(DEFAULT_PROJECT).meta({ description: 'Project that it is imported into' }),
});

const uploadAnswer = z
  .object({
    id: z.string().meta({ description: 'What an import calls it by' }),
    filename: z.string().meta({ description: 'Name of the file' }),
    bytes: z.int().meta({ description: 'Bytes that it is to have' }),
    received: z.int().meta({ description: 'Bytes that have come' }),
  })
  .meta({
    id: 'Upload',
    description: 'A file that was brought to be imported',
    example: { id: '6f4b1e2c0d9a4c57b0c1d2e3f4a5b6c7', filename: 'mouse-12.edf', bytes: 4096, received: 4096 },
  });

const path = z.object({ id: z.string().meta({ description: 'Id of the upload' }) });
const ABOUT_TUS = 'By [tus 1.0](https://tus.io/protocols/resumable-upload), as its clients do it';
const octets = { 'application/octet-stream': { schema: z.string().meta({ format: 'binary' }) } };

export const uploadDescriptions: ZodOpenApiPathsObject = {
  [ALL_UPLOADS]: {
    post: {
      operationId: 'createUpload',
      tags: ['imports'],
      summary: 'Bring a file to be imported',
      description: `A file at once: its bytes are the body, \`filename\` its name. ${ABOUT_TUS}: with \`Tus-Resumable\`, \`Upload-Length\` and \`Upload-Metadata\` (filename, project).
An upload that is not imported is kept for 24 hours.`,
      requestParams: { query: uploadQuery.partial() },
      requestBody: { description: 'The bytes of the file', content: octets },
      responses: {
        201: {
          description: 'The upload; by tus without a body',
          headers: { Location: { description: 'Path of the upload', schema: { type: 'string' } } },
          content: json(uploadAnswer),
        },
        ...problems(404, 409, 413, 507),
      },
    },
  },
  [`${ALL_UPLOADS}/{id}`]: {
    get: {
      operationId: 'getUpload',
      tags: ['imports'],
      summary: 'Show how much of an upload has come',
      description: `HEAD answers by tus: \`Upload-Offset\` and \`Upload-Length\`.`,
      requestParams: { path },
      responses: { 200: { description: 'The upload', content: json(uploadAnswer) }, ...problems(404) },
    },
    patch: {
      operationId: 'continueUpload',
      tags: ['imports'],
      summary: 'Go on with an upload',
      description: `${ABOUT_TUS}: the next bytes, from \`Upload-Offset\` on.`,
      requestParams: { path },
      requestBody: {
        description: 'The next bytes',
        required: true,
        content: { 'application/offset+octet-stream': octets['application/octet-stream'] },
      },
      responses: { 204: { description: 'The bytes have come' }, ...problems(404, 409, 410, 412, 413, 415) },
    },
    delete: {
      operationId: 'deleteUpload',
      tags: ['imports'],
      summary: 'Throw an upload away',
      description: 'Before it is imported.',
      requestParams: { path },
      responses: { 204: { description: 'It is gone' }, ...problems(404) },
    },
  },
};
