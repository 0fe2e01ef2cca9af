/** Ranges that lie outside what was asked for. */
import type { Request, Response } from 'express';
import { PROBLEM_MEDIA_TYPE, type ProblemDocument } from '../wire/problem-schema.ts';

/** Answers 416. @param bytes of the whole @see https://www.rfc-editor.org/rfc/rfc9110#section-15.5.17 */
export function refuseRange(req: Request, res: Response, bytes: number): void {
  const problem: ProblemDocument = {
    type: 'urn:varve:problem:range-not-satisfiable',
    title: 'The range lies outside the answer',
    status: 416,
    detail: `Range: the answer has ${bytes} bytes`,
    instance: req.path,
    request_id: String(res.locals.requestId),
    errors: [{ field: 'Range', message: `the answer has ${bytes} bytes` }],
  };
  res.status(416).set('Content-Range', `bytes */${bytes}`).type(PROBLEM_MEDIA_TYPE).json(problem);
}
