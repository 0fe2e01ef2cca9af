/** Uploads, as a principal may bring and see them. */
import { randomBytes } from 'node:crypto';
import type { Database } from '../../catalog/database.ts';
import { notFound } from '../../core/errors.ts';
import type { DataRoot } from '../../storage/folder/data-root.ts';
import { findUpload, storeUpload, UPLOAD_KEPT_MS } from '../../storage/folder/uploads.ts';
import type { Backpressure } from '../append/backpressure.ts';
import type { Principal } from '../principal.ts';
import { assertProject, mayUse } from '../series/series-reach.ts';
import type { UploadService } from './upload-service.ts';

interface UploadDeps {
  readonly reads: Database;
  readonly root: DataRoot;
  readonly backpressure: Backpressure;
  readonly maxBytes: number;
}

export function uploadService({ reads, root, backpressure, maxBytes }: UploadDeps): UploadService {
  const admit = async (principal: Principal, project: string, bytes: number | null): Promise<void> => {
    await assertProject(reads, principal, project);
    (await backpressure.admit(bytes)).end();
  };
  return {
    folder: root.uploadFolder,
    maxBytes,
    keptMs: UPLOAD_KEPT_MS,
    admit,
    async find(principal, id) {
      const found = await findUpload(root, id);
      if (!found || !mayUse(principal, found.project)) throw notFound('upload', id);
      return found;
    },
    async receive(principal, file, body, declaredBytes) {
      await assertProject(reads, principal, file.project);
      const upload = await backpressure.admit(declaredBytes);
      const id = randomBytes(16).toString('hex');
      try {
        return { id, bytes: await storeUpload(root, id, file, upload.count(body)) };
      } finally {
        upload.end();
      }
    },
  };
}
