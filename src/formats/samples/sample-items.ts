/** Bodies with rows of many series: what both formats of them are read to, and their limits. */
import type { Batch, SampleShape } from '../../core/signal/batch.ts';
import { VarveError } from '../../core/errors.ts';

/** Rows of one series. */
export interface SampleItem {
  /** What the body calls the series: its id or its name. */
  readonly series: string;
  readonly key: string | null;
  /** Its number among those of its source; null: it has none. */
  readonly sequence: bigint | null;
  /** Gives what the series is to be if it is not there, as parsed JSON; null: it is not to be made. */
  readonly create: (() => unknown) | null;
  /** What reading its rows costs, in bytes. */
  readonly weight: number;
  /** The rows, once the series is known. @throws invalid-input and unprocessable naming the place, such as `values[3][0]` */
  read(shape: SampleShape): Iterable<Batch>;
}

/** A place of a body, from 1: a line, or a series in the order in which they come. */
export type ReadItem = { readonly line: number } & (
  | { readonly item: SampleItem }
  /** What is wrong with it whatever series it is for. */
  | { readonly error: VarveError }
);

/** Items of one body. */
export const MAX_BODY_ITEMS = 10_000;
/** Most bytes of a body, decompressed: its items are in memory together. */
export const MAX_ITEMS_BYTES = 32 * 1024 * 1024;

export function tooManyItems(): VarveError {
  const message = `has more than ${MAX_BODY_ITEMS} items; send them in several requests`;
  return new VarveError('limit-exceeded', `body: ${message}`, { errors: [{ field: 'body', message }] });
}
