/** How many requests of one token are under way: one program that floods the service leaves the others their part. */
import type { RequestHandler } from 'express';
import { VarveError } from '../../core/errors.ts';
import { principalOf } from './authenticate.ts';

const RETRY_AFTER_S = 1;

/** Limits the authenticated requests of a token, and those of a link. Answers too-many-requests beyond the limit. */
export function limitPerToken(most: number): RequestHandler {
  const underWay = new Map<string, number>();
  return (_req, res, next) => {
    // Whoever has a link does not use up what its maker may ask.
    const { tokenId, share } = principalOf(res);
    const asker = share?.id ?? tokenId;
    const before = underWay.get(asker) ?? 0;
    if (before >= most) {
      throw new VarveError('too-many-requests', `${most} requests of this token are under way already`, {
        retryAfterS: RETRY_AFTER_S,
      });
    }
    underWay.set(asker, before + 1);
    res.once('close', () => {
      const left = underWay.get(asker)! - 1;
      if (left === 0) underWay.delete(asker);
      else underWay.set(asker, left);
    });
    next();
  };
}
