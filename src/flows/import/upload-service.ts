/** Uploads: files that are brought to be imported. */
import type { FoundUpload } from '../../storage/folder/uploads.ts';
import type { Principal } from '../principal.ts';

export type { FoundUpload };

/** Uploads of projects outside the principal's reach do not exist for it (not-found). */
export interface UploadService {
  /** The folder of the protocol's store. */
  readonly folder: string;
  /** Most bytes of one. */
  readonly maxBytes: number;
  /** For how long one is kept that is neither finished nor imported. */
  readonly keptMs: number;
  /** Lets an upload in. @param bytes null: nobody has said it @throws not-found for the project; what backpressure refuses */
  admit(principal: Principal, project: string, bytes: number | null): Promise<void>;
  find(principal: Principal, id: string): Promise<FoundUpload>;
  /** Takes a whole file at once. */
  receive(
    principal: Principal,
    file: { readonly name: string; readonly project: string },
    body: AsyncIterable<Uint8Array>,
    declaredBytes: number | null,
  ): Promise<{ readonly id: string; readonly bytes: number }>;
}
