/** An item of a body that brings rows of many series: it names its series, whose shape says how its rows are to be read. */
import type { Batch, SampleShape } from '../core/batch.ts';
import { VarveError } from '../core/errors.ts';

/** What an item says of itself, as plain data. */
export interface ItemHead {
  /** From 1: its line, or its place among the items where there are no lines. */
  readonly line: number;
  /** Id or name, as it was sent. */
  readonly series: string;
  /** What makes a retry store once; null: nothing of its own. */
  readonly key: string | null;
  /** What the series is to be made of where there is none, as it was sent; undefined: it is not to be made. */
  readonly create: unknown;
}

export interface BodyItem extends ItemHead {
  /** May be called again, with another shape. @throws `invalid-input` and `unprocessable` naming the field, such as `values[3][0]` */
  batches(shape: SampleShape): Iterable<Batch>;
}

/** What cannot be read. */
export interface BadItem {
  readonly line: number;
  readonly error: VarveError;
}

/** Most items of one body. */
export const MAX_ITEMS = 10_000;

/** @throws `limit-exceeded` on `body` */
export function refuseMoreItems(items: number): void {
  if (items <= MAX_ITEMS) return;
  const message = `has more than ${MAX_ITEMS} items; send them in several requests`;
  throw new VarveError('limit-exceeded', `body: ${message}`, { errors: [{ field: 'body', message }] });
}
