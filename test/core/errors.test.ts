/** Whatever is thrown, what is told of it says something. */
import { expect, test } from '@jest/globals';
import { messageOf, toErrorRecord } from '../../src/core/errors.ts';

const refused = (address: string): Error =>
  Object.assign(new Error(`connect ECONNREFUSED ${address}`), { code: 'ECONNREFUSED' });

test.each<[string, unknown, string]>([
  ['an error', new Error('it broke'), 'it broke'],
  [
    'several attempts, which have no message together',
    Object.assign(new AggregateError([refused('::1:5432'), refused('127.0.0.1:5432')]), { code: 'ECONNREFUSED' }),
    'connect ECONNREFUSED ::1:5432; connect ECONNREFUSED 127.0.0.1:5432',
  ],
  ['the same thing several times', new AggregateError([new Error('no'), new Error('no')]), 'no'],
  ['a code alone', Object.assign(new Error(''), { code: 'EPIPE' }), 'EPIPE'],
  ['a cause alone', new Error('', { cause: new Error('below') }), 'below'],
  ['no error at all', 'a text', 'a text'],
  ['nothing', undefined, 'undefined'],
])('%s', (_, error, said) => {
  expect(messageOf(error)).toBe(said);
  expect(toErrorRecord(error).message).toBe(said);
});
