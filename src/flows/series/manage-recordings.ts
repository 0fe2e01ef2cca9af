/** Recordings, as a principal may see and change them. */
import type { ReadsAndWrites } from '../../catalog/database.ts';
import {
  addRecordingSource,
  getRecording,
  listRecordings,
  renameRecording,
} from '../../catalog/series/recording-store.ts';
import { notFound } from '../../core/errors.ts';
import type { Principal } from '../principal.ts';
import type { RecordingService, StoredRecording } from './recording-service.ts';
import { mayUse } from './series-reach.ts';

export function recordingService({ reads, writes }: ReadsAndWrites): RecordingService {
  const visible = async (principal: Principal, id: string): Promise<StoredRecording> => {
    const recording = await getRecording(reads, id);
    if (!mayUse(principal, recording.project)) throw notFound('recording', id);
    return recording;
  };
  return {
    list: (principal, question, page) =>
      listRecordings(reads, { ...question, projectIds: principal.projects?.ids ?? null }, page),
    get: visible,
    async update(principal, id, { name, addSource }) {
      await visible(principal, id);
      if (name !== undefined) await renameRecording(writes, id, name, principal.tokenId);
      if (addSource) await addRecordingSource(writes, id, addSource);
      return getRecording(writes, id);
    },
  };
}
