/** A result or an error, as plain data that crosses threads. */
import { fromErrorRecord, toErrorRecord, type ErrorRecord } from '../../core/errors.ts';

/** Errors lose their fields on the way between threads, a plain record keeps them. */
export type Outcome<T> = { readonly value: T } | { readonly error: ErrorRecord };

/** Makes a promise an {@link Outcome}, on the thread's side. */
export async function outcome<T>(promise: Promise<T>): Promise<Outcome<T>> {
  try {
    return { value: await promise };
  } catch (error) {
    return { error: toErrorRecord(error) };
  }
}

/** The value, or the error thrown again. */
export function unwrap<T>(result: Outcome<T>): T {
  if ('error' in result) throw fromErrorRecord(result.error);
  return result.value;
}
