/** Where something stands in a table, and how an error names it. */
import { invalidField, type VarveError } from '../../core/errors.ts';

export interface FieldPlace {
  readonly line: number;
  readonly text: string;
}

const MAX_SHOWN_CHARS = 40;

export function shownField(text: string): string {
  return JSON.stringify(text.length > MAX_SHOWN_CHARS ? `${text.slice(0, MAX_SHOWN_CHARS)}…` : text);
}

/** @param why what is wrong with the field, and the option that helps */
export function wrongCell({ line, text }: FieldPlace, column: string, why: string): VarveError {
  return invalidField(`line ${line} column ${column}`, `${shownField(text)} ${why}`);
}
