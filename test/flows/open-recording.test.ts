import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { parseTime } from '../../src/core/time.ts';
import { localZone } from '../../src/flows/import/local-clock.ts';
import { folderFiles } from '../../src/flows/import/open-files.ts';
import { openRecording } from '../../src/flows/import/open-recording.ts';
import type { RecordingOptions } from '../../src/flows/import/source-files.ts';
import { abfFile } from '../formats/abf-bytes.ts';
import { edfFile } from '../formats/edf-bytes.ts';
import { textFrom } from '../formats/streams.ts';

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'varve-open-'));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

async function open(name: string, bytes: Uint8Array | string, options: RecordingOptions = {}) {
  const path = join(folder, name);
  await writeFile(path, bytes);
  return openRecording(path, options, () => {});
}

describe('a file is what its content says', () => {
  const EDF = edfFile({ records: [[[1, 2]]] });

  test.each([
    ['night.rec', EDF, 'EDF'],
    ['night.abf', EDF, 'EDF'],
    [
      'cell.edf',
      abfFile({ version: 2, samples: [1], channels: [{ name: 'a', unit: 'mV', scaleFactor: 1 }] }),
      'ABF 2.6.0.0',
    ],
  ])('%s', async (name, bytes, format) => {
    const { recording, source } = await open(name, bytes);
    expect(recording.series[0].spec.provenance.format).toBe(format);
    expect(source.file).toBe(name);
  });

  test.each<[string, Uint8Array | string, string, string]>([
    ['nothing', '', 'zero.edf', 'is empty: it has 0 bytes'],
    ['an Intan file', Buffer.from('c6912702ff', 'hex'), 'a.edf', 'is an Intan RHD file, which is not read'],
    ['a gzip file', Buffer.from('1f8b0800', 'hex'), 'a.xdf', 'is a gzip file: unpack it first'],
    ['a MATLAB file', 'MATLAB 5.0 MAT-file', 'a.hea', 'is a MATLAB file of version 5'],
    ['a text in a binary format', 'hello', 'a.abf', 'does not begin as an ABF file does (byte 0)'],
    ['a text of no format', 'hello', 'mystery.xyz', 'add --format wfdb|csv|'],
    ['a folder', 'x', '.', 'is no file'],
  ])('%s is named as what it is', async (_, bytes, name, message) => {
    const opening = name === '.' ? openRecording(folder, {}, () => {}) : open(name, bytes);
    await expect(opening).rejects.toMatchObject({ name: 'VarveError', message: expect.stringContaining(message) });
  });

  test.each(['hea', 'vhdr', 'meta'])('a part of a recording names the .%s that has all of it', async (extension) => {
    await writeFile(join(folder, `whole.${extension}`), 'x');
    await expect(open('whole.dat', 'x')).rejects.toMatchObject({
      slug: 'part-of-recording',
      message: expect.stringContaining(`import ${join(folder, `whole.${extension}`)}`),
    });
    await rm(join(folder, `whole.${extension}`));
  });

  test.each<[RecordingOptions, string]>([
    [{ tz: 'Mars/Olympus' }, '--tz: Mars/Olympus is no time zone'],
    [{ start: 'soon' }, '--start: soon is not an RFC 3339 time'],
    [{ rate: '5' }, '--rate: is for npy, npz and hdf5 files'],
  ])('%j is refused by its name', async (options, message) => {
    await expect(open('o.edf', EDF, options)).rejects.toMatchObject({ message: expect.stringContaining(message) });
  });
});

describe('the files of a folder', () => {
  test('are those in it and below, and none above', async () => {
    await mkdir(join(folder, 'lab/below'), { recursive: true });
    await writeFile(join(folder, 'secret'), 'secret');
    await writeFile(join(folder, 'lab/below/x.dat'), '0123456789');
    await symlink(join(folder, 'lab/below/x.dat'), join(folder, 'lab/annexed.dat'));
    const files = folderFiles(join(folder, 'lab'));
    const names = [
      'below/x.dat',
      'annexed.dat',
      'below',
      '../secret',
      'below/../../secret',
      join(folder, 'secret'),
      '',
      'a\0',
    ];
    const sizes = await Promise.all(names.map((name) => files.size(name)));
    expect(sizes).toEqual([10, 10, null, null, null, null, null, null]);
    expect(await textFrom(files.open('below/x.dat', 2, 5))).toBe('234');
    expect(await textFrom(files.open('below/x.dat', 8))).toBe('89');
  });
});

describe('the clock on the wall', () => {
  test.each([
    ['2026-01-15T12:00:00Z', '2026-01-15T11:00:00Z'],
    ['2026-07-15T12:00:00Z', '2026-07-15T10:00:00Z'],
    // Shown twice: the first time.
    ['2026-10-25T02:30:00Z', '2026-10-25T00:30:00Z'],
    ['2026-10-25T03:00:00Z', '2026-10-25T02:00:00Z'],
    // Never shown.
    ['2026-03-29T02:30:00Z', '2026-03-29T01:30:00Z'],
    ['2026-03-29T03:00:00.000000001Z', '2026-03-29T01:00:00.000000001Z'],
  ])('%s in Berlin is %s', (local, utc) => {
    expect(localZone('Europe/Berlin').utcNs(parseTime(local)!)).toBe(parseTime(utc));
  });
});
