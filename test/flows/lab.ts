/** A catalog and a data folder without the service around them, for tests that play its parts one by one. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { v7 as uuidv7 } from 'uuid';
import { UNSAID } from '../../src/core/series.ts';
import { openDatabase, type Database } from '../../src/catalog/database.ts';
import { createSeries } from '../../src/catalog/series-store.ts';
import { getWrites, stageWrite, type WriteStatus } from '../../src/catalog/write-store.ts';
import { crc32 } from 'node:zlib';
import { parseRate } from '../../src/core/rate.ts';
import { ensureAccess } from '../../src/flows/access.ts';
import { drainLane, type DrainResult } from '../../src/flows/drain-lane.ts';
import { CodecPool } from '../../src/storage/codec-pool.ts';
import { DataRoot } from '../../src/storage/data-root.ts';
import { thisProcess, type ProcessIdentity } from '../../src/storage/process-identity.ts';
import { ShardWriter } from '../../src/storage/shard-writer.ts';
import { SpoolWriter } from '../../src/storage/spool.ts';
import { testDatabase } from '../support/postgres.ts';

export interface Lab {
  readonly db: Database;
  readonly root: DataRoot;
  readonly holder: ProcessIdentity;
  readonly log: Record<'info' | 'warn' | 'error', (fields: object, message: string) => void>;
  /** What was logged. */
  readonly lines: string[];
  /** A regular int32 series of one channel. */
  newSeries(): Promise<{ id: string; laneId: string }>;
  /** Stages an append. @param how spooled, or in Postgres */
  stage(seriesId: string, values: readonly number[], how?: 'inline' | 'spooled'): Promise<string>;
  drain(laneId: string): Promise<DrainResult>;
  /** Until nothing is left that can be drained. Failed drains are repeated, as the queue would. */
  drainAll(laneId: string): Promise<void>;
  write(id: string): Promise<WriteStatus>;
  close(): Promise<void>;
}

const MAX_DRAINS = 50;

export async function openLab(): Promise<Lab> {
  const database = await testDatabase();
  const folder = await mkdtemp(join(tmpdir(), 'varve-lab-'));
  const root = new DataRoot(folder);
  root.prepare();
  const { db, close } = openDatabase(database.url, { poolSize: 4, onError: () => {} });
  await ensureAccess(db, 'a-token-of-the-laboratory');
  const writer = new ShardWriter(1);
  const codec = new CodecPool(new URL('../../src/flows/codec-thread.js', import.meta.url), 1);
  const holder = thisProcess();
  const lines: string[] = [];
  const keep = (fields: object, message: string): void => void lines.push(`${message} ${JSON.stringify(fields)}`);
  const log = { info: keep, warn: keep, error: keep };
  const drain = (laneId: string): Promise<DrainResult> => drainLane({ db, root, writer, codec, holder, log }, laneId);
  return {
    db,
    root,
    holder,
    log,
    lines,
    drain,
    async newSeries() {
      const id = uuidv7();
      await createSeries(db, id, uuidv7(), {
        project: 'default',
        name: id,
        description: null,
        dtype: 'int32',
        channels: [{ label: '0' }],
        unit: null,
        scale: 1,
        offset: 0,
        sampling: { kind: 'regular', rate: parseRate('100/1')!, startNs: null },
        timeReference: 'utc',
        duplicates: 'last',
        codec: 'none',
        tags: {},
        ...UNSAID,
        provenance: {},
      });
      const row = await db.selectFrom('series').select('lane_id').where('id', '=', id).executeTakeFirstOrThrow();
      return { id, laneId: row.lane_id };
    },
    async stage(seriesId, numbers, how = 'inline') {
      const id = uuidv7();
      const values = new Uint8Array(Int32Array.from(numbers).buffer);
      if (how === 'spooled') {
        const spool = await SpoolWriter.open(root, id, false);
        await spool.append(values, null);
        await spool.finish();
      }
      await stageWrite(db, {
        id,
        seriesId,
        payload: {
          rows: numbers.length,
          bytes: values.length,
          inline: how === 'inline' ? { values, times: null } : null,
          valuesCrc: crc32(values),
          timesCrc: null,
          firstNs: null,
          lastNs: null,
        },
        startNs: null,
        idempotency: null,
      });
      return id;
    },
    async drainAll(laneId) {
      for (let drains = 0; drains < MAX_DRAINS; drains++) {
        const result = await drain(laneId).catch(() => null);
        if (result?.kind === 'nothing') return;
      }
      throw new Error(`lane ${laneId} is not drained after ${MAX_DRAINS} drains:\n${lines.join('\n')}`);
    },
    write: async (id) => (await getWrites(db, [id]))[0],
    async close() {
      await writer.close();
      await codec.close();
      await close();
      await database.drop();
      await rm(folder, { recursive: true });
    },
  };
}
