/** Subjects of a project. */
import express, { type Response, type Router } from 'express';
import { z } from 'zod';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import type { StoredSubject, SubjectService } from '../../flows/series/subject-service.ts';
import { needs, principalOf } from '../request/authenticate.ts';
import { nextLink, openCursor } from '../request/cursor.ts';
import { checkIfMatch, subjectTag } from '../body/entity-tag.ts';
import { parseWith } from '../body/field-errors.ts';
import { bodyOf, jsonBody } from '../body/json-body.ts';
import { json, problems } from '../request/operation.ts';
import { queryOf, refuseNul } from '../request/query.ts';
import { noQuery } from '../wire/scalars.ts';
import {
  subjectAnswer,
  subjectBody,
  subjectId,
  subjectPage,
  subjectPosition,
  subjectQuery,
  toSubjectAnswer,
} from '../wire/subjects-schema.ts';

const ALL = '/v1/projects/:project/subjects';
const ONE_SUBJECT = `${ALL}/:id`;

export function subjectRoutes(subjects: SubjectService): Router {
  const router = express.Router({ caseSensitive: true });
  router.param('project', (_req, _res, next, name: string) => {
    refuseNul('project', name);
    next();
  });
  router.param('id', (_req, _res, next, id: string) => {
    parseWith(subjectId, id, 'id');
    next();
  });
  const allowed = needs('subjects');

  router.get(ALL, allowed, async (req, res) => {
    const { limit, cursor } = queryOf(req, subjectQuery);
    const after = openCursor(req.originalUrl, cursor, subjectPosition);
    const project = String(req.params.project);
    const page = await subjects.list(principalOf(res), project, { limit, after });
    const next = page.after === null ? null : nextLink(req.originalUrl, page.after);
    res
      .set('Cache-Control', 'no-store')
      .json({ items: page.items.map((subject) => toSubjectAnswer(project, subject)), next });
  });

  router.get(ONE_SUBJECT, allowed, async (req, res) => {
    queryOf(req, noQuery);
    const { project, id } = subjectAddress(req);
    sendSubject(res, project, await subjects.get(principalOf(res), project, id));
  });

  router.put(ONE_SUBJECT, allowed, jsonBody(), async (req, res) => {
    queryOf(req, noQuery);
    const { project, id } = subjectAddress(req);
    const content = bodyOf(req, subjectBody);
    const insist = insistOn(req.get('if-match'));
    const { subject, isNew } = await subjects.put(principalOf(res), project, { id, content }, insist);
    res.status(isNew ? 201 : 200);
    sendSubject(res, project, subject);
  });

  router.delete(ONE_SUBJECT, allowed, async (req, res) => {
    queryOf(req, noQuery);
    const { project, id } = subjectAddress(req);
    await subjects.delete(principalOf(res), project, id, insistOn(req.get('if-match')));
    res.status(204).end();
  });

  return router;
}

function subjectAddress(req: { params: Record<string, unknown> }): { project: string; id: string } {
  return { project: String(req.params.project), id: String(req.params.id) };
}

function insistOn(ifMatch: string | undefined): (current: StoredSubject | null) => void {
  return (current) => checkIfMatch(ifMatch, current && subjectTag(current));
}

function sendSubject(res: Response, project: string, subject: StoredSubject): void {
  res.set({ ETag: subjectTag(subject), 'Cache-Control': 'no-store' }).json(toSubjectAnswer(project, subject));
}

const SUBJECT_ETAG = {
  ETag: { description: 'Tag of what is known of the subject', schema: { type: 'string' as const } },
};
const ifSubjectMatch = z.object({
  'If-Match': z.string().optional().meta({ description: 'Refuse unless it still has this entity tag' }),
});
const project = z.string().meta({ description: 'Name of the project' });
const path = z.object({ project, id: subjectId });

export const subjectDescriptions: ZodOpenApiPathsObject = {
  '/v1/projects/{project}/subjects': {
    get: {
      operationId: 'listSubjects',
      tags: ['metadata'],
      summary: 'The subjects of a project (scope subjects)',
      description: 'Personal data, so no answer is to be kept by a cache.',
      requestParams: { path: z.object({ project }), query: subjectQuery },
      responses: { 200: { description: 'By identifier', content: json(subjectPage) }, ...problems(404) },
    },
  },
  '/v1/projects/{project}/subjects/{id}': {
    get: {
      operationId: 'getSubject',
      tags: ['metadata'],
      summary: 'What is known of a subject (scope subjects)',
      description: 'Personal data, so no answer is to be kept by a cache.',
      requestParams: { path },
      responses: {
        200: { description: 'The subject', headers: SUBJECT_ETAG, content: json(subjectAnswer) },
        ...problems(404),
      },
    },
    put: {
      operationId: 'setSubject',
      tags: ['metadata'],
      summary: 'Set what is known of a subject (scope subjects)',
      description: `Personal data belong here, and nowhere else: not in tags, names, annotations or provenance. What is set takes the place of all that was
there, and no history keeps it. Series name the subject by \`provenance.subject\`; it need not be known here.`,
      requestParams: { path, header: ifSubjectMatch },
      requestBody: { description: 'What is known of the subject', required: true, content: json(subjectBody) },
      responses: {
        200: {
          description: 'It took the place of what was there',
          headers: SUBJECT_ETAG,
          content: json(subjectAnswer),
        },
        201: { description: 'It is new', headers: SUBJECT_ETAG, content: json(subjectAnswer) },
        ...problems(404, 412, 413, 415, 507),
      },
    },
    delete: {
      operationId: 'deleteSubject',
      tags: ['metadata'],
      summary: 'Delete a subject for good (scope subjects); series keep its identifier',
      description:
        'At once: there is no history of it. Files of Postgres hold it until they are recycled, and backups as long as they are kept.',
      requestParams: { path, header: ifSubjectMatch },
      responses: { 204: { description: 'Deleted' }, ...problems(404, 412) },
    },
  },
};
