import { afterAll, describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { removeSpooled, SpoolWriter } from '../../src/storage/spool.ts';
import { withFileSizeLimit } from './file-size-limit.ts';
import { temporaryRoot } from './model-shard.ts';
import { openFilesBelow } from './open-files.ts';
import { describeProgram } from './program.ts';

const root = temporaryRoot();
afterAll(() => root.remove());

function filesOf(writeId: string): string[] {
  return readdirSync(root.spoolFolder)
    .filter((name) => name.startsWith(writeId))
    .sort();
}

describe('a payload in the spool', () => {
  test('is what was appended, in pieces of any size, with its length and checksum', async () => {
    const piece = fc.oneof(fc.uint8Array({ maxLength: 50 }), fc.constant(new Uint8Array(700_000).fill(0x5a)));
    const pieces = fc.array(fc.tuple(piece, fc.uint8Array({ maxLength: 50 })), { maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(pieces, fc.boolean(), async (rows, withTimes) => {
        const id = randomUUID();
        const writer = await SpoolWriter.open(root, id, withTimes);
        for (const [values, times] of rows) await writer.append(values, withTimes ? times : null);
        const said = await writer.finish();
        const values = Buffer.concat(rows.map(([part]) => part));
        const times = Buffer.concat(rows.map(([, part]) => part));
        expect(readFileSync(root.spooled(id, 'values')).equals(values)).toBe(true);
        expect(said.values).toEqual({ bytes: values.length, crc: crc32(values) });
        expect(said.times).toEqual(withTimes ? { bytes: times.length, crc: crc32(times) } : null);
        if (withTimes) expect(readFileSync(root.spooled(id, 'times')).equals(times)).toBe(true);
        expect(filesOf(id)).toHaveLength(withTimes ? 2 : 1);
        await removeSpooled(root, id);
      }),
      { numRuns: 20 },
    );
    expect(openFilesBelow(root.root)).toEqual([]);
  });

  test('that is discarded leaves nothing, at whatever point', async () => {
    const id = randomUUID();
    await (await SpoolWriter.open(root, id, true)).discard();
    const begun = await SpoolWriter.open(root, id, true);
    await begun.append(new Uint8Array(3_000_000), new Uint8Array(8));
    await begun.discard();
    const finished = await SpoolWriter.open(root, id, true);
    await finished.finish();
    await finished.discard();
    expect(filesOf(id)).toEqual([]);
    expect(openFilesBelow(root.root)).toEqual([]);
  });

  test('is never written over', async () => {
    const id = randomUUID();
    const writer = await SpoolWriter.open(root, id, false);
    await writer.append(Buffer.from('first'), null);
    await writer.finish();
    await expect(SpoolWriter.open(root, id, false)).rejects.toMatchObject({ code: 'EEXIST' });
    expect(readFileSync(root.spooled(id, 'values'), 'utf8')).toBe('first');
  });

  test('of which one file cannot be made leaves nothing of the other', async () => {
    const id = randomUUID();
    writeFileSync(root.spooled(id, 'times'), 'taken');
    await expect(SpoolWriter.open(root, id, true)).rejects.toMatchObject({ code: 'EEXIST' });
    expect(filesOf(id)).not.toContain(`${id}.values`);
    expect(openFilesBelow(root.root)).toEqual([]);
  });

  test('whose file somebody has removed meanwhile is not acknowledged', async () => {
    const id = randomUUID();
    const writer = await SpoolWriter.open(root, id, false);
    await writer.append(new Uint8Array(10), null);
    await removeSpooled(root, id);
    await expect(writer.finish()).rejects.toMatchObject({ code: 'unavailable', slug: 'payload-removed' });
    await writer.discard();
    expect(openFilesBelow(root.root)).toEqual([]);
  });

  test('is removed once, and again', async () => {
    const id = randomUUID();
    await (await SpoolWriter.open(root, id, true)).finish();
    await removeSpooled(root, id);
    await removeSpooled(root, id);
    expect(filesOf(id)).toEqual([]);
  });
});

describeProgram('prlimit', 'a full disk', () => {
  test('is said before the payload is acknowledged, and what was written can be discarded', async () => {
    for (const bytes of [3_000_000, 1_500_000]) {
      const id = randomUUID();
      const writer = await SpoolWriter.open(root, id, true);
      await withFileSizeLimit(1024 * 1024, async () => {
        const full = { code: expect.stringMatching(/^(ENOSPC|EFBIG)$/) };
        const written = async (): Promise<unknown> => {
          await writer.append(new Uint8Array(bytes), new Uint8Array(8));
          return writer.finish();
        };
        await expect(written()).rejects.toMatchObject(full);
        await writer.discard();
      });
      expect(filesOf(id)).toEqual([]);
    }
    expect(openFilesBelow(root.root)).toEqual([]);
  });
});
