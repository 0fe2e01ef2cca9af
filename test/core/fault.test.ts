import { describe, expect, test } from '@jest/globals';
import { faultOf, isRefusedByPostgres } from '../../src/core/fault.ts';

const coded = (code: string, message = ''): Error => Object.assign(new Error(message), { code });

describe('the fault behind an error', () => {
  test.each([
    ['ENOSPC', 'full'],
    ['EDQUOT', 'full'],
    ['53100', 'full'],
    ['ECONNRESET', 'away'],
    ['08006', 'away'],
    ['40P01', 'away'],
    ['57P01', 'away'],
    ['55P03', 'away'],
    ['25P03', 'away'],
    ['25P04', 'away'],
    ['25P02', null],
    ['EIO', 'disk'],
    ['EROFS', 'disk'],
    ['ENOENT', null],
    ['22P02', null],
    ['corrupt', null],
  ])('%s is %s, also as a cause', (code, fault) => {
    expect(faultOf(coded(code))).toBe(fault);
    expect(faultOf(new Error('wrapped', { cause: coded(code) }))).toBe(fault);
  });

  test.each([
    'Connection terminated unexpectedly',
    'Query read timeout',
    'timeout exceeded when trying to connect',
    'Client has encountered a connection error and is not queryable',
  ])('a broken connection is told by its message: %s', (message) => expect(faultOf(new Error(message))).toBe('away'));

  test.each([undefined, null, 'text', 5])('%p is none', (error) => {
    expect(faultOf(error)).toBeNull();
  });
});

describe('whether Postgres has certainly refused', () => {
  test.each([
    ['23505', true],
    ['53100', true],
    ['40001', true],
    ['55P03', true],
    ['XX000', true],
    ['08006', false],
    ['57P01', false],
    ['EPIPE', false],
    ['ENOSPC', false],
    ['EBUSY', false],
  ])('%s: %p', (code, refused) => {
    expect(isRefusedByPostgres(coded(code))).toBe(refused);
  });

  test('an error without a code leaves it open', () => {
    expect(isRefusedByPostgres(new Error('Connection terminated unexpectedly'))).toBe(false);
  });
});
