/** The environment a command reads: that of the process, and below it the file `.env` of the folder it was started in. */
import { readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';
import { VarveError } from '../core/errors.ts';

/** A variable that is set, even to nothing, hides the line of the file. @throws invalid-input if there is a file that cannot be read */
export function readEnvironment(file = '.env'): NodeJS.ProcessEnv {
  return { ...parseEnv(textOf(file)), ...process.env };
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return '';
    throw new VarveError('invalid-input', `the file ${file} of this folder cannot be read: ${message}`, {
      cause: error,
    });
  }
}
