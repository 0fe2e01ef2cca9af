/** What became of a write, for those who may see its series. */
import type { Database } from '../../catalog/database.ts';
import { readWrite, type WriteStatus } from '../../catalog/appends/write-store.ts';
import { notFound } from '../../core/errors.ts';
import type { Principal } from '../principal.ts';

/** @throws not-found, also if the series is out of the principal's reach */
export async function writeStatus(db: Database, principal: Principal, id: string): Promise<WriteStatus> {
  const status = await readWrite(db, id);
  if (!status || (principal.projects && !principal.projects.ids.includes(status.projectId)))
    throw notFound('write', id);
  return status;
}
