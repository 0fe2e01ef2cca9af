/** The id in a path. */
import type { Request } from 'express';
import { notFound } from '../../core/errors.ts';
import { isUuid } from '../wire/scalars.ts';

/** @throws not-found for what is no id: nothing has it */
export function pathId(req: Pick<Request, 'params'>, noun: string): string {
  const id = String(req.params.id);
  if (!isUuid(id)) throw notFound(noun, id);
  return id;
}
