/** The state of one write, for those who may see its series, and for those who wait for it. */
import type { Database } from '../catalog/database.ts';
import { getWrites, type WriteStatus } from '../catalog/write-store.ts';
import { VarveError, notFound } from '../core/errors.ts';
import { faultOf } from '../core/fault.ts';
import type { Principal } from './service.ts';
import type { WriteWatch } from './watch-writes.ts';

/** @throws not-found, also if the series is out of the principal's reach */
export async function writeStatus(db: Database, principal: Principal, id: string): Promise<WriteStatus> {
  const [status] = await getWrites(db, [id]);
  if (!status || (principal.projects && !principal.projects.ids.includes(status.projectId)))
    throw notFound('write', id);
  return status;
}

/** An applied write has a commit. */
type AppliedWrite = WriteStatus & { readonly commit: bigint };

/**
 * What became of a write that was just acknowledged.
 * @param waitMs how long it may take to become visible
 * @returns null if it is durable, but not visible yet, or that cannot be asked: whoever is told of a failure sends it again
 * @throws unprocessable `write-failed` if it could not be applied
 */
export async function awaitWrite(
  { db, watch }: { readonly db: Database; readonly watch: WriteWatch },
  id: string,
  { waitMs, signal }: { readonly waitMs: number; readonly signal: AbortSignal },
): Promise<AppliedWrite | null> {
  let status: WriteStatus | undefined;
  try {
    status = waitMs > 0 ? await watch.settled(id, waitMs, signal) : (await getWrites(db, [id]))[0];
  } catch (error) {
    if (faultOf(error) === 'away') return null;
    throw error;
  }
  if (!status) throw notFound('write', id);
  if (status.state === 'failed') {
    throw new VarveError(
      'unprocessable',
      `the write was stored but could not be applied: ${status.error?.message ?? 'unknown reason'}`,
      {
        slug: 'write-failed',
        errors: [{ field: 'body', message: `see /v1/writes/${id}` }],
      },
    );
  }
  const { state, commit } = status;
  return state === 'applied' && commit !== null ? { ...status, commit } : null;
}
