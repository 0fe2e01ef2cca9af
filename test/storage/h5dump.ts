/** h5dump, the HDF Group's own reader, as an independent judge of our files. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** The header of a file: every group, dataset and attribute. @throws if h5dump cannot read it */
export function dumpHeader(file: string): string {
  return execFileSync('h5dump', ['-A', file], { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024, stdio: 'pipe' });
}

/** The little-endian bytes of a dataset, through a scratch file. */
export function dumpBytes(file: string, dataset: string, scratch: string): Buffer {
  execFileSync('h5dump', ['-d', dataset, '-b', 'LE', '-o', scratch, file], { stdio: 'pipe' });
  return readFileSync(scratch);
}
