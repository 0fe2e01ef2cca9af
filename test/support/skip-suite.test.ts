import { expect, test } from '@jest/globals';
import { describePython } from './python.ts';

const ran: string[] = [];
const strict = process.env.VARVE_TEST_NO_SKIP;

delete process.env.VARVE_TEST_NO_SKIP;
describePython('a suite that needs what is nowhere', ['no_module_has_this_name'], () => void ran.push('body'));
if (strict !== undefined) process.env.VARVE_TEST_NO_SKIP = strict;

test('the body of a suite that is skipped is not run: it may read what is missing', () => {
  expect(ran).toEqual([]);
});

test('a skip is an error where none is allowed', () => {
  process.env.VARVE_TEST_NO_SKIP = '1';
  try {
    expect(() => describePython('another', ['no_module_has_this_name'], () => {})).toThrow('no python3 with no_module');
  } finally {
    if (strict === undefined) delete process.env.VARVE_TEST_NO_SKIP;
    else process.env.VARVE_TEST_NO_SKIP = strict;
  }
});
