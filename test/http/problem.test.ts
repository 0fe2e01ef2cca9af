import { describe, expect, test } from '@jest/globals';
import { invalidField, VarveError, type ErrorCode } from '../../src/core/errors.ts';
import { toProblem } from '../../src/http/request/problem.ts';

const request = { path: '/v1/series', id: 'r-1' };
const coded = (code: string, message = 'secret internals'): Error => Object.assign(new Error(message), { code });

describe('the table of problems', () => {
  test.each<[ErrorCode, number]>([
    ['invalid-input', 400],
    ['unauthorized', 401],
    ['forbidden', 403],
    ['not-found', 404],
    ['not-acceptable', 406],
    ['conflict', 409],
    ['precondition-failed', 412],
    ['limit-exceeded', 413],
    ['unsupported-media-type', 415],
    ['unprocessable', 422],
    ['corrupt', 500],
    ['unavailable', 503],
    ['storage-full', 507],
  ])('%s is a %i', (code, status) => {
    const problem = toProblem(new VarveError(code, 'why', { slug: 'some-cause' }), request);
    expect(problem.status).toBe(status);
    expect(problem.document).toMatchObject({
      type: 'urn:varve:problem:some-cause',
      status,
      detail: 'why',
      instance: '/v1/series',
      request_id: 'r-1',
    });
  });

  test('wrong fields are listed', () => {
    const { document } = toProblem(invalidField('channels[1].unit', 'must be a text'), request);
    expect(document.errors).toEqual([{ field: 'channels[1].unit', message: 'must be a text' }]);
  });

  test('401 says how to authenticate, 503 when to come back', () => {
    expect(toProblem(new VarveError('unauthorized', ''), request).headers['WWW-Authenticate']).toMatch(/^Bearer /);
    expect(toProblem(new VarveError('unavailable', '', { retryAfterS: 7 }), request).headers['Retry-After']).toBe('7');
  });

  test.each([
    ['ECONNREFUSED', 503],
    ['ECONNRESET', 503],
    ['08006', 503],
    ['40001', 503],
    ['53300', 503],
    ['57P01', 503],
    ['53100', 507],
    ['ENOSPC', 507],
    ['EDQUOT', 507],
    ['22P02', 500],
    ['ENOENT', 500],
    ['EACCES', 500],
  ])('an error of the environment with the code %s is a %i without internals', (code, status) => {
    for (const error of [coded(code), new Error('wrapped secret', { cause: coded(code) })]) {
      const { status: answered, document, headers } = toProblem(error, request);
      expect(answered).toBe(status);
      expect(JSON.stringify(document)).not.toContain('secret');
      expect(headers['Retry-After'] !== undefined).toBe(status === 503);
    }
  });

  test('a broken connection to Postgres without a code is a 503', () => {
    expect(toProblem(new Error('Connection terminated unexpectedly'), request).status).toBe(503);
  });

  test.each([new Error('secret'), 'secret', null, undefined, 5])('%p is a 500 without internals', (error) => {
    const problem = toProblem(error, request);
    expect(problem).toMatchObject({ status: 500, isFault: true });
    expect(problem.document.type).toBe('urn:varve:problem:internal');
    expect(JSON.stringify(problem.document)).not.toContain('secret');
  });
});
