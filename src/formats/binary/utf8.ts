/** Text of bytes that say they are UTF-8. What is not is refused: a replacement character would make two texts one. */
import { isUtf8 } from 'node:buffer';
import { invalidField } from '../../core/errors.ts';

/** A byte order mark at the start is dropped. @throws invalid-input naming the field and the place */
export function utf8Text(bytes: Uint8Array, field: string): string {
  if (!isUtf8(bytes)) throw invalidField(field, `is not UTF-8 text: see byte ${firstWrongByte(bytes)}`);
  return new TextDecoder().decode(bytes);
}

/** Where the first byte is that belongs to no character, counted from 0. */
function firstWrongByte(bytes: Uint8Array): number {
  let from = 0;
  let to = bytes.length;
  // What is before `from` is text, except for a character that may go on behind it. What is before `to` is not.
  while (to - from > 1) {
    const middle = (from + to) >>> 1;
    if (isBeginning(bytes.subarray(0, middle))) from = middle;
    else to = middle;
  }
  // A character that does not go on as it begins is wrong from its beginning.
  while (!isUtf8(bytes.subarray(0, from))) from--;
  return from;
}

function isBeginning(bytes: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: true });
    return true;
  } catch {
    return false;
  }
}
