/** Memory of JSON documents. Requests bring them whole, and have them until they are answered. */
import type { Response } from 'express';
import { VarveError } from '../../core/errors.ts';

/** Text of all documents of one process, at one time. */
export const MAX_DOCUMENT_BYTES = 32 * 1024 * 1024;
const RETRY_AFTER_S = 5;

export class DocumentRoom {
  readonly #most: number;
  #bytes = 0;

  constructor(most = MAX_DOCUMENT_BYTES) {
    this.#most = most;
  }

  /**
   * Counts bytes of a request until its answer is out.
   * @returns to be told of bytes as they come. It throws unavailable `too-many-documents` where others have the room; what is too large has it alone
   */
  counterFor(res: Pick<Response, 'once' | 'closed'>): (bytes: number) => void {
    let own = 0;
    let isOver = res.closed;
    res.once('close', () => {
      isOver = true;
      this.#bytes -= own;
    });
    return (bytes) => {
      if (isOver) return;
      own += bytes;
      this.#bytes += bytes;
      if (this.#bytes <= this.#most || this.#bytes === own) return;
      const message = `${this.#most} bytes of JSON documents are being worked on already. Nothing was stored.`;
      throw new VarveError('unavailable', message, { slug: 'too-many-documents', retryAfterS: RETRY_AFTER_S });
    };
  }
}

/** The room of a process. */
export const documents = new DocumentRoom();
