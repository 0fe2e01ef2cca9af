/** What a spool holds, asked while its agent runs or not. */
import { stat } from 'node:fs/promises';
import { notFound } from '../../core/errors.ts';
import { surveyQueue } from '../../storage/queue/disk-queue.ts';
import { countDeadLetters } from './dead-letters.ts';
import { readState, type PushState } from './push-state.ts';

export interface PushStatus {
  readonly spool: string;
  readonly source: string;
  readonly project: string;
  /** Records that are not delivered yet. */
  readonly records: number;
  /** On the disk, with what is delivered of the segment that is being worked off. */
  readonly bytes: number;
  /** When the oldest of them came. */
  readonly oldest: string | null;
  readonly delivered: string;
  readonly delivered_at: string | null;
  readonly dead_letters: number;
  readonly error: PushState['error'];
}

/** A running agent may take a file away between two looks. */
const LOOKS = 5;

/** @throws not-found if there is no spool; corrupt if its state cannot be read */
export async function readStatus(folder: string): Promise<PushStatus> {
  for (let look = 1; ; look++) {
    const state = await stat(folder).then(
      () => readState(folder),
      () => null,
    );
    if (state === null) throw notFound('spool in', folder);
    try {
      const { records, bytes, oldestMs } = await surveyQueue(folder, BigInt(state.delivered));
      return {
        spool: folder,
        source: state.source,
        project: state.project,
        records,
        bytes,
        oldest: oldestMs === null ? null : new Date(oldestMs).toISOString(),
        delivered: state.delivered,
        delivered_at: state.delivered_at,
        dead_letters: await countDeadLetters(folder),
        error: state.error,
      };
    } catch (error) {
      if (look === LOOKS || (error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
}

/** The status for people to read. */
export function statusText(status: PushStatus): string {
  const { records, bytes, oldest, delivered, delivered_at: deliveredAt, dead_letters: dead, error } = status;
  return [
    `spool         ${status.spool}`,
    `source        ${status.source}, for the project ${status.project}`,
    `held          ${records} records${oldest === null ? '' : `, the oldest of ${oldest}`}`,
    `on the disk   ${bytes} bytes`,
    `delivered     ${delivered}${deliveredAt === null ? '' : `, the last at ${deliveredAt}`}`,
    `dead letters  ${dead}`,
    `error         ${error === null ? 'none' : `${error.message}, since ${error.at}`}`,
    '',
  ].join('\n');
}
