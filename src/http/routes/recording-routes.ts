/** Recordings: series that were taken together. */
import express, { type Response, type Router } from 'express';
import { z } from 'zod';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import type { RecordingService, StoredRecording } from '../../flows/series/recording-service.ts';
import { bodyOf, jsonBody } from '../body/json-body.ts';
import { mayRead, needs, principalOf } from '../request/authenticate.ts';
import { nextLink, openCursor } from '../request/cursor.ts';
import { json, problems } from '../request/operation.ts';
import { pathId } from '../request/path-id.ts';
import { queryOf } from '../request/query.ts';
import {
  recordingAnswer,
  recordingPage,
  recordingPatch,
  recordingPosition,
  recordingReceipt,
  recordingsQuery,
  toRecordingAnswer,
} from '../wire/recordings-schema.ts';
import { idOf, noQuery } from '../wire/scalars.ts';

const ALL_RECORDINGS = '/v1/recordings';
const ONE_RECORDING = `${ALL_RECORDINGS}/:id`;

export function recordingRoutes(recordings: RecordingService): Router {
  const router = express.Router({ caseSensitive: true });

  router.get(ALL_RECORDINGS, needs('read'), async (req, res) => {
    const { limit, cursor, ...question } = queryOf(req, recordingsQuery);
    const after = openCursor(req.originalUrl, cursor, recordingPosition);
    const page = await recordings.list(principalOf(res), question, { limit, after });
    const next = page.after === null ? null : nextLink(req.originalUrl, page.after);
    res.json({ items: page.items.map(toRecordingAnswer), next });
  });

  router.get(ONE_RECORDING, needs('read'), async (req, res) => {
    queryOf(req, noQuery);
    sendRecording(res, await recordings.get(principalOf(res), pathId(req, 'recording')));
  });

  router.patch(ONE_RECORDING, needs('write'), jsonBody(), async (req, res) => {
    queryOf(req, noQuery);
    const { name, add_source: addSource } = bodyOf(req, recordingPatch);
    sendRecording(res, await recordings.update(principalOf(res), pathId(req, 'recording'), { name, addSource }));
  });

  return router;
}

function sendRecording(res: Response, recording: StoredRecording): void {
  res.json(mayRead(res) ? toRecordingAnswer(recording) : { id: recording.id });
}

const path = z.object({ id: idOf('recording') });

export const recordingDescriptions: ZodOpenApiPathsObject = {
  [ALL_RECORDINGS]: {
    get: {
      operationId: 'listRecordings',
      tags: ['series'],
      summary: 'List recordings, newest first',
      description:
        'A recording is made with the first series that names it, and is there while it has one. Its series are found with `GET /v1/series?recording=…`.',
      requestParams: { query: recordingsQuery },
      responses: { 200: { description: 'One page', content: json(recordingPage) }, ...problems() },
    },
  },
  [`${ALL_RECORDINGS}/{id}`]: {
    get: {
      operationId: 'getRecording',
      tags: ['series'],
      summary: 'Show a recording',
      description: 'Its name, the files it was made from, and how many series it has.',
      requestParams: { path },
      responses: { 200: { description: 'The recording', content: json(recordingAnswer) }, ...problems(404) },
    },
    patch: {
      operationId: 'updateRecording',
      tags: ['series'],
      summary: 'Rename a recording, or note a file that was added to it',
      description: 'A new name is one of all its series at once, and in the history of each.',
      requestParams: { path },
      requestBody: { description: 'What is to change', required: true, content: json(recordingPatch) },
      responses: {
        200: {
          description: 'The recording; to a token without the scope read, only its id',
          content: json(z.union([recordingAnswer, recordingReceipt])),
        },
        ...problems(404, 409, 413, 415, 422),
      },
    },
  },
};
