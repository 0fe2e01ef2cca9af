/** What an error means to a stream that could go on. */
import { isVarveError, messageOf } from '../../core/errors.ts';
import { faultOf } from '../../core/fault.ts';
import type { EndReason } from './live-service.ts';

/** A part of the service is away: the stream waits for it. */
export function isAway(error: unknown): boolean {
  return (isVarveError(error) && error.code === 'unavailable') || faultOf(error) === 'away';
}

/** Why the stream ends and says so; null: it breaks. */
export function reasonToEnd(error: unknown): { readonly reason: EndReason; readonly detail: string } | null {
  if (!isVarveError(error)) return null;
  switch (error.code) {
    case 'unauthorized':
    case 'forbidden':
      return { reason: 'unauthorized', detail: messageOf(error) };
    case 'not-found':
      return { reason: 'not-found', detail: messageOf(error) };
    case 'gone':
      return { reason: 'gone', detail: messageOf(error) };
    default:
      return null;
  }
}
