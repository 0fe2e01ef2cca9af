/**
 * The spool on a disk that may lose its power. What is acknowledged is whole, and a commit names no file that may not
 * be there.
 */
import { existsSync, readFileSync } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { v7 as uuidv7 } from 'uuid';
import { SpoolWriter } from '../../src/storage/folder/spool.ts';
import { PowerCutDisk } from './power-cut-disk.ts';
import { temporaryRoot } from './temporary-root.ts';

const root = temporaryRoot();
afterAll(() => root.remove());

/** Node's `open`, of which the disk is told all that is written and made durable. */
function recording(disk: PowerCutDisk): typeof open {
  return async (path, flags, mode) => {
    const handle = await open(path, flags, mode);
    const isFolder = flags === 'r';
    const file = isFolder ? -1 : disk.created(String(path));
    const recorded: Partial<FileHandle> = {
      async writev(buffers, position) {
        for (let at = position ?? 0, i = 0; i < buffers.length; at += buffers[i++].byteLength) {
          disk.written(file, at, buffers[i] as Uint8Array);
        }
        return handle.writev(buffers, position);
      },
      async datasync() {
        disk.synced(file);
      },
      async sync() {
        if (isFolder) disk.syncFolder();
        else disk.synced(file);
      },
      stat: ((...given: []) => handle.stat(...given)) as FileHandle['stat'],
      close: () => handle.close(),
    };
    return recorded as FileHandle;
  };
}

describe('a spool file', () => {
  test('is whole from the instant at which it may be committed, whenever the power goes', async () => {
    const disk = new PowerCutDisk([]);
    const id = uuidv7();
    const writer = await SpoolWriter.open(root, id, recording(disk));
    // Several writes: it is flushed whenever a megabyte has been gathered.
    const pieces = Array.from({ length: 5 }, (_, i) => Buffer.alloc(700_000 + i, i + 1));
    for (const piece of pieces) await writer.append(piece);
    await writer.finish();
    const acknowledged = disk.instants - 1;
    const whole = readFileSync(root.spooled(id));
    expect(whole.equals(Buffer.concat(pieces))).toBe(true);
    const left = join(root.root, 'after-power-cut');
    const path = join(left, basename(root.spooled(id)));
    const isWhole = (): boolean => existsSync(path) && readFileSync(path).equals(whole);
    let partly = 0;
    for (let instant = 0; instant < disk.instants; instant++) {
      for (const fate of ['whole', 'torn', 'lost'] as const) {
        disk.cutAt(instant, left, () => fate);
        if (instant >= acknowledged) expect([instant, fate, isWhole()]).toEqual([instant, fate, true]);
        else if (!isWhole()) partly++;
      }
    }
    expect(partly).toBeGreaterThan(0);
  });
});
